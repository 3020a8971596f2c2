//! Native programs, and what the system gives of any process.

use necropsy_model::Runtime;
use necropsy_model::advice::Complaint::{Crash, HangBusy, HangIdle, OutOfMemory};

use super::{BLANK, Entry, HANGS, NATIVE};
use crate::advice::run::Run;

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
