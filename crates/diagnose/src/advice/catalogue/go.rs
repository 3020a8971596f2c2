//! Go.

use necropsy_model::advice::Complaint::{Crash, HangBusy, HangIdle, OutOfMemory};

use super::{BLANK, Entry, GO, HANGS};
use crate::advice::run::Run;

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
