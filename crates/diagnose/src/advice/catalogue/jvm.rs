//! Java virtual machines.

use necropsy_model::advice::Complaint::{Crash, HangBusy, OutOfMemory};

use super::{BLANK, Entry, HANGS, JVM};
use crate::advice::run::Run;

/// Fatal error logs of a Java virtual machine.
pub(crate) const HS_ERR: &Entry = &Entry {
    what: "the fatal error log: the stack, registers and the reason of the virtual machine",
    runtimes: JVM,
    complaints: &[Crash, OutOfMemory],
    run: Run::Shell {
        host: "ls -t WORKING_DIRECTORY/hs_err_pid*.log /tmp/hs_err_pid*.log",
        docker: "docker cp CONTAINER:/WORKING_DIRECTORY/hs_err_pid1.log .",
        k8s: "kubectl logs POD -c CONTAINER --previous | necropsy -",
    },
    pause: "none: it has ended",
    size: "100 kB; it is lost with the container unless -XX:ErrorFile names a volume",
    ..BLANK
};

/// Two thread dumps of a Java virtual machine.
pub(crate) const JAVA_THREADS: &Entry = &Entry {
    what: "two thread dumps ten seconds apart, with the owners of java.util.concurrent locks",
    runtimes: JVM,
    complaints: HANGS,
    run: Run::Prints { command: "{jcmd} {pid} Thread.print -l", file: "threads", ending: "txt", twice: true },
    pause: "one safepoint each, milliseconds; it waits for a thread that does not stop",
    size: "1 kB a thread",
    needs: "a JDK beside the process and its user; else the next one",
};

/// Two javacores of an `OpenJ9` virtual machine.
pub(crate) const JAVACORES: &Entry = &Entry {
    what: "of OpenJ9, two javacores ten seconds apart; they lie in the working directory of the process",
    runtimes: JVM,
    complaints: HANGS,
    run: Run::Shell {
        host: "jcmd {pid} Dump.java; sleep 10; jcmd {pid} Dump.java",
        docker: "docker exec CONTAINER sh -c 'jcmd 1 Dump.java; sleep 10; jcmd 1 Dump.java'",
        k8s: "kubectl exec POD -c CONTAINER -- sh -c 'jcmd 1 Dump.java; sleep 10; jcmd 1 Dump.java'",
    },
    pause: "some hundred milliseconds each",
    size: "1 to 10 MB each",
    needs: "OpenJ9 or IBM's virtual machine: HotSpot has no javacores",
};

/// A thread dump where there is no JDK.
pub(crate) const JAVA_QUIT: &Entry = &Entry {
    what: "the same without a JDK: SIGQUIT makes it print its threads where it logs, and go on",
    runtimes: JVM,
    complaints: HANGS,
    run: Run::Signals { signal: "QUIT", twice: true },
    pause: "one safepoint each, milliseconds",
    size: "1 kB a thread, in its log",
    needs: "no -Xrs among its options, which lets the signal end it",
};

/// Virtual threads, which no other thread dump lists.
pub(crate) const JAVA_VIRTUAL: &Entry = &Entry {
    what: "virtual threads too, from JDK 21 on",
    runtimes: JVM,
    complaints: HANGS,
    run: Run::Writes { command: "{jcmd} {pid} Thread.dump_to_file -format=json {file}", file: "threads.json" },
    pause: "none as a whole; each thread for its stack",
    size: "1 kB a thread",
    needs: "a JDK beside the process",
};

/// Where a Java virtual machine computes.
pub(crate) const JAVA_PROFILE: &Entry = &Entry {
    what: "where its time goes, over thirty seconds",
    runtimes: JVM,
    complaints: &[HangBusy],
    run: Run::Writes { command: "{jcmd} {pid} JFR.start duration=30s filename={file}; sleep 31", file: "cpu.jfr" },
    pause: "none; about 1 % of CPU meanwhile",
    size: "1 to 10 MB",
    needs: "JDK 11 or later",
};

/// Classes by the bytes of their instances.
pub(crate) const JAVA_HISTOGRAM: &Entry = &Entry {
    what: "which classes fill the heap: enough to see most leaks, cheap enough for now",
    runtimes: JVM,
    complaints: &[OutOfMemory],
    run: Run::Prints { command: "{jcmd} {pid} GC.class_histogram", file: "histogram", ending: "txt", twice: true },
    pause: "a full collection each: about a second for each 4 GB of live objects",
    size: "1 MB",
    needs: "a JDK beside the process",
};

/// The whole heap.
pub(crate) const JAVA_HEAP: &Entry = &Entry {
    what: "who holds what: the whole heap",
    runtimes: JVM,
    complaints: &[OutOfMemory],
    run: Run::Writes { command: "{jcmd} {pid} GC.heap_dump {file}", file: "heap.hprof" },
    pause: "it stands still while the heap is written: 2 to 10 seconds a GB",
    size: "as much as the live objects, free on that disk; not on a memory-backed /tmp",
    needs: "a JDK beside the process; out of the load balancer first",
};

/// Memory of the virtual machine outside of its heap.
pub(crate) const JAVA_NATIVE_MEMORY: &Entry = &Entry {
    what: "what the virtual machine itself uses memory for: threads, code, metaspace, buffers",
    runtimes: JVM,
    complaints: &[OutOfMemory],
    run: Run::Prints {
        command: "{jcmd} {pid} VM.native_memory summary",
        file: "native-memory",
        ending: "txt",
        twice: false,
    },
    pause: "milliseconds",
    size: "10 kB",
    needs: "started with -XX:NativeMemoryTracking=summary",
};

/// A heap dump at the moment when memory runs out.
pub(crate) const JAVA_HEAP_NEXT: &Entry = &Entry {
    what: "the heap at the moment it is full",
    runtimes: JVM,
    complaints: &[OutOfMemory],
    run: Run::Sets {
        variable: "JAVA_TOOL_OPTIONS",
        value: "-XX:+HeapDumpOnOutOfMemoryError -XX:HeapDumpPath=/dumps -XX:+ExitOnOutOfMemoryError",
    },
    pause: "none until then; 2 to 10 seconds a GB as it dies",
    size: "as much as the heap, on /dumps",
    needs: "the Java heap to be full: a kill by the cgroup leaves no dump, so keep -Xmx below three quarters of the limit",
};

/// Accounting of the virtual machine's own memory.
pub(crate) const JAVA_NATIVE_MEMORY_NEXT: &Entry = &Entry {
    what: "what the virtual machine itself uses memory for, asked with `jcmd PID VM.native_memory summary` while it grows",
    runtimes: JVM,
    complaints: &[OutOfMemory],
    run: Run::Sets { variable: "JAVA_TOOL_OPTIONS", value: "-XX:NativeMemoryTracking=summary" },
    pause: "none; 5 to 10 % slower",
    ..BLANK
};

/// A fatal error log and a core where they survive.
pub(crate) const JAVA_CRASH_NEXT: &Entry = &Entry {
    what: "a fatal error log and a core that outlive the container",
    runtimes: JVM,
    complaints: &[Crash],
    run: Run::Sets {
        variable: "JAVA_TOOL_OPTIONS",
        value: "-XX:ErrorFile=/dumps/hs_err_%p.log -XX:+CreateCoredumpOnCrash",
    },
    pause: "none until then",
    size: "100 kB, and a core of all its memory",
    needs: "ulimit -c unlimited",
};

/// A recording that is there when the hang comes.
pub(crate) const JAVA_RECORD_NEXT: &Entry = &Entry {
    what: "a recording that already runs when it hangs again",
    runtimes: JVM,
    complaints: &[HangBusy],
    run: Run::Sets {
        variable: "JAVA_TOOL_OPTIONS",
        value: "-XX:StartFlightRecording=maxsize=200m,filename=/dumps/hang.jfr,dumponexit=true",
    },
    pause: "none; about 1 % of CPU",
    size: "200 MB",
    ..BLANK
};
