//! Every dump there is to take: for which runtime and failure, how, and what it costs. One row each.
//!
//! The verdict about a dump and `necropsy advise` give commands from here and nowhere else. Rows stand in the order in which
//! to take them: what is cheap and answers first.

use necropsy_model::Runtime;
use necropsy_model::advice::Complaint::{self, Crash, HangBusy, HangIdle, OutOfMemory};

use super::run::Run;

/// A dump to take.
pub(crate) struct Entry {
    /// What it gives.
    pub what: &'static str,
    /// Runtimes of whose processes it can be taken; none named is all.
    pub runtimes: &'static [Runtime],
    /// Failures it tells something about.
    pub complaints: &'static [Complaint],
    /// How it is taken.
    pub run: Run,
    /// How long the process stands still.
    pub pause: &'static str,
    /// What it takes on disk.
    pub size: &'static str,
    /// What must be there.
    pub needs: &'static str,
}

const NATIVE: &[Runtime] = &[Runtime::Native, Runtime::Rust];
const JVM: &[Runtime] = &[Runtime::Jvm];
const GO: &[Runtime] = &[Runtime::Go];
const PYTHON: &[Runtime] = &[Runtime::Python];
const NODE: &[Runtime] = &[Runtime::Node];
const HANGS: &[Complaint] = &[HangIdle, HangBusy];

/// A row of which most columns are empty.
const BLANK: Entry = Entry {
    what: "",
    runtimes: &[],
    complaints: &[],
    run: Run::Shell { host: "", docker: "", k8s: "" },
    pause: "",
    size: "",
    needs: "",
};

/// What the container or the service manager knows of the end.
pub(crate) const LAST_END: &Entry = &Entry {
    what: "how it ended: exit code, signal, OOMKilled",
    complaints: &[Crash, OutOfMemory],
    run: Run::Shell {
        host: "coredumpctl list; journalctl -k -b --no-pager | grep -iE 'killed process|segfault|traps:|oom-kill'",
        docker: "docker inspect -f '{{.State.ExitCode}} OOMKilled={{.State.OOMKilled}} {{.State.Error}}' CONTAINER",
        k8s: "kubectl get pod POD -o jsonpath='{.status.containerStatuses[*].lastState.terminated}'; kubectl describe pod POD",
    },
    pause: "none",
    ..BLANK
};

/// The log of the run that ended: panics, exceptions and fatal errors are printed there.
pub(crate) const LAST_WORDS: &Entry = &Entry {
    what: "what it said last: panic, exception, allocator's or runtime's message",
    complaints: &[Crash, OutOfMemory],
    run: Run::Shell {
        host: "journalctl -u UNIT --since -1h --no-pager > log.txt; necropsy log.txt",
        docker: "docker logs CONTAINER > log.txt 2>&1; necropsy log.txt",
        k8s: "kubectl logs POD -c CONTAINER --previous > log.txt; necropsy log.txt",
    },
    pause: "none",
    ..BLANK
};

/// The core that the system kept.
pub(crate) const KEPT_CORE: &Entry = &Entry {
    what: "the core that was written as it died",
    runtimes: &[Runtime::Native, Runtime::Rust, Runtime::Go, Runtime::Jvm, Runtime::Python, Runtime::Node],
    complaints: &[Crash],
    run: Run::Shell {
        host: "coredumpctl dump EXECUTABLE -o core; cat /proc/sys/kernel/core_pattern",
        docker: "cat /proc/sys/kernel/core_pattern; coredumpctl dump -o core; docker cp CONTAINER:/CORE_PATH core",
        k8s: "kubectl debug node/NODE -it --image=DEBUG_IMAGE --profile=sysadmin -- chroot /host coredumpctl dump -o /tmp/core",
    },
    pause: "none: it has ended",
    size: "about the memory it used; the pattern and coredumpctl belong to the machine, not to the container",
    ..BLANK
};

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

/// Goroutines by HTTP.
pub(crate) const GO_STACKS: &Entry = &Entry {
    what: "the stacks of all goroutines with states and waits, ten seconds apart",
    runtimes: GO,
    complaints: HANGS,
    run: Run::Fetches { path: "/debug/pprof/goroutine?debug=2", file: "goroutines", ending: "txt", twice: true },
    pause: "it stands still meanwhile: 1 second for 100,000 goroutines",
    size: "1 kB a goroutine, cut at 64 MiB",
    needs: "net/http/pprof in the program",
};

/// Goroutines counted by stack.
pub(crate) const GO_COUNTS: &Entry = &Entry {
    what: "exact counts of all goroutines by stack, however many",
    runtimes: GO,
    complaints: &[HangIdle, OutOfMemory],
    run: Run::Fetches { path: "/debug/pprof/goroutine?debug=1", file: "goroutine-counts", ending: "txt", twice: false },
    pause: "milliseconds",
    size: "some kB",
    needs: "net/http/pprof in the program",
};

/// Goroutines by signal.
pub(crate) const GO_QUIT: &Entry = &Entry {
    what: "the stacks of all goroutines without pprof: SIGQUIT prints them where it logs, and ENDS the process",
    runtimes: GO,
    complaints: HANGS,
    run: Run::Signals { signal: "QUIT", twice: false },
    pause: "it ends, exit code 2: take a core with gcore first",
    size: "1 kB a goroutine, in its log",
    needs: "GOTRACEBACK not none; a program that handles SIGQUIT itself prints nothing",
};

/// Where a Go program computes.
pub(crate) const GO_PROFILE: &Entry = &Entry {
    what: "where the CPU goes, over ten seconds",
    runtimes: GO,
    complaints: &[HangBusy],
    run: Run::Fetches { path: "/debug/pprof/profile?seconds=10", file: "cpu", ending: "pb.gz", twice: false },
    pause: "none; a few % of CPU meanwhile",
    size: "under 1 MB",
    needs: "net/http/pprof in the program, and that it still answers; else perf",
};

/// What holds the heap of a Go program.
pub(crate) const GO_HEAP: &Entry = &Entry {
    what: "which calls allocated what is still held, twice: the difference is what grows",
    runtimes: GO,
    complaints: &[OutOfMemory],
    run: Run::Fetches { path: "/debug/pprof/heap", file: "heap", ending: "pb.gz", twice: true },
    pause: "milliseconds",
    size: "under 1 MB",
    needs: "net/http/pprof in the program",
};

/// All goroutines, and a core, at the next crash.
pub(crate) const GO_CRASH_NEXT: &Entry = &Entry {
    what: "the stacks of all goroutines at the next crash, and a core with the C frames and the values",
    runtimes: GO,
    complaints: &[Crash],
    run: Run::Sets { variable: "GOTRACEBACK", value: "crash" },
    pause: "none until then",
    size: "1 kB a goroutine in the log, and a core of all its memory",
    needs: "ulimit -c unlimited for the core; GOTRACEBACK=all prints without a core",
};

/// A limit that the Go collector works towards.
pub(crate) const GO_LIMIT_NEXT: &Entry = &Entry {
    what: "a collector that works harder before the cgroup kills: nine tenths of the limit",
    runtimes: GO,
    complaints: &[OutOfMemory],
    run: Run::Sets { variable: "GOMEMLIMIT", value: "900MiB" },
    pause: "more collections near the limit; it hides a leak, it mends none",
    ..BLANK
};

/// Stacks of a native process.
pub(crate) const NATIVE_STACKS: &Entry = &Entry {
    what: "the stacks of all threads twice, ten seconds apart",
    runtimes: NATIVE,
    complaints: HANGS,
    run: Run::Traces {
        command: "gdb -p {pid} -batch -ex 'thread apply all bt'",
        file: "stacks",
        ending: "txt",
        twice: true,
    },
    pause: "it stands still for a second each, longer with many libraries",
    size: "1 kB a thread",
    needs: "gdb, and root or the same user with kernel.yama.ptrace_scope 0",
};

/// A core of a living process.
pub(crate) const CORE: &Entry = &Entry {
    what: "a core of the living process: all stacks, locks with their owners, and values; it goes on afterwards",
    runtimes: &[],
    complaints: HANGS,
    run: Run::Leaves { command: "gcore -o {file} {pid}", file: "hang" },
    pause: "it stands still while its memory is written: about 1 second a GB, more on a slow disk",
    size: "the memory it uses; look at RssAnon in /proc/PID/status",
    needs: "gdb, root, and a liveness probe that waits that long",
};

/// A core of a process that grows.
pub(crate) const MEMORY_CORE: &Entry = &Entry {
    what: "what holds the memory, before the process ends",
    runtimes: &[Runtime::Native, Runtime::Rust, Runtime::Python],
    complaints: &[OutOfMemory],
    run: Run::Leaves { command: "gcore -o {file} {pid}", file: "memory" },
    pause: "it stands still while its memory is written: about 1 second a GB",
    size: "the memory it uses; look at RssAnon in /proc/PID/status",
    needs: "gdb and root",
};

/// How the memory of a process is made up.
pub(crate) const MEMORY_MAP: &Entry = &Entry {
    what: "how its memory is made up: heap, stacks, files, shared; twice, to see what grows",
    complaints: &[OutOfMemory],
    run: Run::Prints {
        command: "cat /proc/{pid}/smaps_rollup /proc/{pid}/status",
        file: "memory",
        ending: "txt",
        twice: true,
    },
    pause: "none to speak of",
    size: "2 kB",
    ..BLANK
};

/// Where a native process computes.
pub(crate) const PERF: &Entry = &Entry {
    what: "where the time goes, over ten seconds",
    runtimes: &[Runtime::Native, Runtime::Rust, Runtime::Go, Runtime::Node],
    complaints: &[HangBusy],
    run: Run::Shell {
        host: "perf record -g -p {pid} -- sleep 10; perf report",
        docker: "perf record -g -p $(docker inspect -f '{{.State.Pid}}' CONTAINER) -- sleep 10; perf report",
        k8s: "kubectl debug node/NODE -it --image=DEBUG_IMAGE --profile=sysadmin -- chroot /host perf record -g -p HOST_PID -- sleep 10",
    },
    pause: "none",
    size: "some MB",
    needs: "perf, and root or kernel.perf_event_paranoid 1",
};

/// Which thread computes.
pub(crate) const TOP: &Entry = &Entry {
    what: "which thread it is",
    complaints: &[HangBusy],
    run: Run::Prints { command: "top -b -n 1 -H -p {pid}", file: "top", ending: "txt", twice: false },
    pause: "none",
    size: "1 kB",
    ..BLANK
};

/// Who used CPU between two moments. For those who have two dumps without times, so not a row of the table.
pub(crate) const TOP_TWICE: &Entry = &Entry {
    what: "CPU time of each thread, now and in ten seconds; the process goes on",
    complaints: HANGS,
    run: Run::Prints { command: "top -b -H -n 2 -d 10 -p {pid}", file: "top", ending: "txt", twice: false },
    pause: "none",
    size: "2 kB",
    ..BLANK
};

/// Two cores of a living process, which show what moves. For those who compare cores, so not a row of the table.
pub(crate) const CORES: &Entry = &Entry {
    what: "two cores of one process, ten seconds apart",
    complaints: HANGS,
    run: Run::Shell {
        host: "gcore -o core-1 {pid}; sleep 10; gcore -o core-2 {pid}",
        docker: "P=$(docker inspect -f '{{.State.Pid}}' CONTAINER); gcore -o core-1 $P; sleep 10; gcore -o core-2 $P",
        k8s: "kubectl debug POD -it --image=DEBUG_IMAGE --target=CONTAINER --profile=sysadmin -- sh -c 'gcore -o /proc/1/root/tmp/core-1 1; sleep 10; gcore -o /proc/1/root/tmp/core-2 1'; kubectl cp -c CONTAINER POD:/tmp/core-1.1 core-1; kubectl cp -c CONTAINER POD:/tmp/core-2.1 core-2",
    },
    pause: "it stands still while its memory is written: about 1 second a GB each, more on a slow disk",
    size: "twice the memory it uses; look at RssAnon in /proc/PID/status",
    needs: "gdb, root, and a liveness probe that waits that long",
    ..BLANK
};

/// Where each thread sleeps in the kernel.
pub(crate) const KERNEL_WAITS: &Entry = &Entry {
    what: "what each thread waits for in the kernel: state D is a disk or a network file system",
    complaints: &[HangIdle],
    run: Run::Prints {
        command: "grep -s . /proc/{pid}/task/*/wchan /proc/{pid}/task/*/stat",
        file: "waits",
        ending: "txt",
        twice: false,
    },
    pause: "none",
    size: "300 bytes a thread",
    ..BLANK
};

/// Cores at the next crash.
pub(crate) const CORE_NEXT: &Entry = &Entry {
    what: "whole cores at the next crash",
    runtimes: &[Runtime::Native, Runtime::Rust, Runtime::Python, Runtime::Node],
    complaints: &[Crash],
    run: Run::Shell {
        host: "ulimit -c unlimited; sysctl kernel.core_pattern",
        docker: "docker run --ulimit core=-1 IMAGE; sysctl kernel.core_pattern",
        k8s: "kubectl debug node/NODE -it --image=DEBUG_IMAGE --profile=sysadmin -- chroot /host sysctl kernel.core_pattern",
    },
    pause: "none until then",
    size: "the memory it uses, where the pattern says; of a container that is on the machine, or it is lost with it",
    needs: "LimitCORE=infinity in a systemd unit; Storage and ProcessSizeMax of coredump.conf",
};

/// A backtrace with a Rust panic.
pub(crate) const RUST_BACKTRACE_NEXT: &Entry = &Entry {
    what: "a stack with the panic's words",
    runtimes: &[Runtime::Rust],
    complaints: &[Crash],
    run: Run::Sets { variable: "RUST_BACKTRACE", value: "1" },
    pause: "none until then",
    size: "some kB in the log",
    needs: "panic = \"abort\" in the profile where a core is wanted",
};

/// Stacks of a Python process.
pub(crate) const PYTHON_STACKS: &Entry = &Entry {
    what: "the Python stacks of all threads with their locals, twice, ten seconds apart",
    runtimes: PYTHON,
    complaints: HANGS,
    run: Run::Traces { command: "py-spy dump --locals --pid {pid}", file: "py-spy", ending: "txt", twice: true },
    pause: "milliseconds each",
    size: "1 kB a thread",
    needs: "py-spy and root (CAP_SYS_PTRACE in a container); locals hold the values of customers",
};

/// Tasks of asyncio, which stacks do not show.
pub(crate) const PYTHON_TASKS: &Entry = &Entry {
    what: "asyncio's tasks and who awaits whom, from Python 3.14 on",
    runtimes: PYTHON,
    complaints: &[HangIdle],
    run: Run::Prints { command: "python3 -m asyncio pstree {pid}", file: "tasks", ending: "txt", twice: false },
    pause: "milliseconds",
    size: "1 kB a task",
    needs: "the same Python version, and root",
};

/// Where a Python process computes.
pub(crate) const PYTHON_PROFILE: &Entry = &Entry {
    what: "where the time goes, over ten seconds",
    runtimes: PYTHON,
    complaints: &[HangBusy],
    run: Run::Leaves { command: "py-spy record -d 10 -f raw -o {file} --pid {pid}", file: "cpu.folded" },
    pause: "milliseconds, a hundred times a second; --nonblocking has none",
    size: "some kB",
    needs: "py-spy and root (CAP_SYS_PTRACE in a container)",
};

/// A stack for every fatal signal of a Python process.
pub(crate) const PYTHON_CRASH_NEXT: &Entry = &Entry {
    what: "the Python stacks of all threads at the next fatal signal",
    runtimes: PYTHON,
    complaints: &[Crash],
    run: Run::Sets { variable: "PYTHONFAULTHANDLER", value: "1" },
    pause: "none until then",
    size: "some kB in the log; at most 100 threads",
    ..BLANK
};

/// Who allocates in a Python process.
pub(crate) const PYTHON_MEMORY_NEXT: &Entry = &Entry {
    what: "which lines allocated what is held: tracemalloc.take_snapshot() then answers",
    runtimes: PYTHON,
    complaints: &[OutOfMemory],
    run: Run::Sets { variable: "PYTHONTRACEMALLOC", value: "10" },
    pause: "none; up to twice as slow, and a third more memory",
    ..BLANK
};

/// A diagnostic report of Node.js on demand.
pub(crate) const NODE_REPORT_NEXT: &Entry = &Entry {
    what: "a report with the JavaScript stack, handles and memory: `kill -USR2 PID` writes one, and so does a fatal error",
    runtimes: NODE,
    complaints: &[Crash, HangIdle, HangBusy, OutOfMemory],
    run: Run::Sets {
        variable: "NODE_OPTIONS",
        value: "--report-on-signal --report-on-fatalerror --report-uncaught-exception --report-directory=/dumps",
    },
    pause: "milliseconds",
    size: "100 kB; it holds all environment variables, passwords too",
    needs: "without --report-on-signal SIGUSR2 ends the process",
};

/// A CPU profile of Node.js through its inspector.
pub(crate) const NODE_INSPECT: &Entry = &Entry {
    what: "a debugger port on the living process: profile, pause and heap snapshot from chrome://inspect",
    runtimes: NODE,
    complaints: &[HangBusy, OutOfMemory],
    run: Run::Shell {
        host: "kill -USR1 {pid}; curl -s http://127.0.0.1:9229/json/list",
        docker: "docker kill -s USR1 CONTAINER; docker exec CONTAINER wget -qO- http://127.0.0.1:9229/json/list",
        k8s: "kubectl exec POD -c CONTAINER -- kill -USR1 1; kubectl port-forward POD 9229:9229",
    },
    pause: "none; a heap snapshot stands still for seconds and needs as much memory again",
    size: "a snapshot is about twice the heap",
    needs: "nobody else who can reach port 9229: it runs any code; a loop that never returns is seen by perf only",
};

/// A heap snapshot before V8 gives up.
pub(crate) const NODE_HEAP_NEXT: &Entry = &Entry {
    what: "heap snapshots shortly before V8 gives up",
    runtimes: NODE,
    complaints: &[OutOfMemory],
    run: Run::Sets { variable: "NODE_OPTIONS", value: "--heapsnapshot-near-heap-limit=2 --diagnostic-dir=/dumps" },
    pause: "it stands still for seconds as it writes, and needs as much memory again: leave room below the cgroup's limit",
    size: "about twice the heap, two of them",
    ..BLANK
};

/// The same dump, with the files that name its functions. Not a dump, so not a row of the table.
pub(crate) const WITH_NAMES: &Entry = &Entry {
    what: "the same triage with names",
    complaints: &[Crash],
    run: Run::Shell {
        host: "necropsy CORE --exe EXECUTABLE --debug-dir DIR",
        docker: "necropsy CORE --exe EXECUTABLE --debug-dir DIR",
        k8s: "necropsy CORE --exe EXECUTABLE --debug-dir DIR",
    },
    ..BLANK
};

/// All rows, in the order in which to take them.
pub(crate) const CATALOGUE: &[&Entry] = &[
    LAST_END,
    LAST_WORDS,
    HS_ERR,
    KEPT_CORE,
    JAVA_THREADS,
    GO_STACKS,
    PYTHON_STACKS,
    NATIVE_STACKS,
    JAVA_QUIT,
    JAVACORES,
    JAVA_VIRTUAL,
    GO_COUNTS,
    PYTHON_TASKS,
    GO_PROFILE,
    JAVA_PROFILE,
    PYTHON_PROFILE,
    PERF,
    TOP,
    KERNEL_WAITS,
    GO_HEAP,
    JAVA_HISTOGRAM,
    MEMORY_MAP,
    JAVA_NATIVE_MEMORY,
    NODE_INSPECT,
    CORE,
    MEMORY_CORE,
    JAVA_HEAP,
    GO_QUIT,
    CORE_NEXT,
    RUST_BACKTRACE_NEXT,
    GO_CRASH_NEXT,
    GO_LIMIT_NEXT,
    JAVA_CRASH_NEXT,
    JAVA_HEAP_NEXT,
    JAVA_NATIVE_MEMORY_NEXT,
    JAVA_RECORD_NEXT,
    PYTHON_CRASH_NEXT,
    PYTHON_MEMORY_NEXT,
    NODE_REPORT_NEXT,
    NODE_HEAP_NEXT,
];

impl Entry {
    /// It can be taken of a process of this runtime, or the runtime is not known and it can be of any.
    pub(crate) fn suits(&self, runtime: Option<Runtime>, complaint: Complaint) -> bool {
        let of_runtime = self.runtimes.is_empty() || runtime.is_some_and(|runtime| self.runtimes.contains(&runtime));
        let hang = complaint == Complaint::Hang;
        of_runtime && self.complaints.iter().any(|&it| it == complaint || hang && HANGS.contains(&it))
    }

    /// It is this row.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.what == other.what && self.runtimes == other.runtimes
    }

    /// It is set now for the next time.
    pub(crate) fn is_for_next_time(&self) -> bool {
        matches!(self.run, Run::Sets { .. }) || self.is(CORE_NEXT)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const RUNTIMES: [Runtime; 6] =
        [Runtime::Native, Runtime::Rust, Runtime::Go, Runtime::Jvm, Runtime::Python, Runtime::Node];

    #[test]
    fn every_failure_of_every_runtime_has_something_to_take_now() {
        for runtime in RUNTIMES {
            for complaint in [Crash, OutOfMemory, HangIdle, HangBusy, Complaint::Hang] {
                let now = |entry: &&&Entry| entry.suits(Some(runtime), complaint) && !entry.is_for_next_time();
                assert!(CATALOGUE.iter().filter(now).count() >= 2, "{runtime:?} {complaint:?}");
            }
        }
    }

    #[test]
    fn every_crash_and_every_full_memory_can_leave_more_the_next_time() {
        for runtime in RUNTIMES {
            let next = |entry: &&&Entry| entry.suits(Some(runtime), Crash) && entry.is_for_next_time();
            assert!(CATALOGUE.iter().any(|entry| next(&entry)), "{runtime:?}");
        }
    }

    #[test]
    fn every_row_says_what_it_gives_for_what_and_what_it_costs() {
        let mut seen = BTreeSet::new();
        for entry in CATALOGUE {
            assert!(
                !entry.what.is_empty() && !entry.complaints.is_empty() && !entry.pause.is_empty(),
                "{}",
                entry.what
            );
            assert!(!entry.complaints.contains(&Complaint::Hang), "{}: which hang?", entry.what);
            assert!(seen.insert((entry.what, entry.runtimes.first().map(|it| it.name()))), "{} twice", entry.what);
        }
    }
}
