//! What is left of a process that has ended, whatever it ran.

use necropsy_model::Runtime;
use necropsy_model::advice::Complaint::{Crash, OutOfMemory};

use super::{BLANK, Entry};
use crate::advice::run::Run;

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
