//! Node.js.

use necropsy_model::advice::Complaint::{Crash, HangBusy, HangIdle, OutOfMemory};

use super::{BLANK, Entry, NODE};
use crate::advice::run::Run;

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
