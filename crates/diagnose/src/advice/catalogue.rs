//! Every dump there is to take: for which runtime and failure, how, and what it costs. One row each.
//!
//! The verdict about a dump and `necropsy advise` give commands from here and nowhere else. Rows stand in the order in which
//! to take them: what is cheap and answers first.

mod ended;
mod go;
mod jvm;
mod native;
mod node;
mod python;

use necropsy_model::Runtime;
use necropsy_model::advice::Complaint::{self, HangBusy, HangIdle};

use super::run::Run;
pub(crate) use ended::{KEPT_CORE, LAST_END, LAST_WORDS};
pub(crate) use go::{GO_COUNTS, GO_CRASH_NEXT, GO_HEAP, GO_LIMIT_NEXT, GO_PROFILE, GO_QUIT, GO_STACKS};
pub(crate) use jvm::{
    HS_ERR, JAVA_CRASH_NEXT, JAVA_HEAP, JAVA_HEAP_NEXT, JAVA_HISTOGRAM, JAVA_NATIVE_MEMORY, JAVA_NATIVE_MEMORY_NEXT,
    JAVA_PROFILE, JAVA_QUIT, JAVA_RECORD_NEXT, JAVA_THREADS, JAVA_VIRTUAL, JAVACORES,
};
pub(crate) use native::{
    CORE, CORE_NEXT, CORES, KERNEL_WAITS, MEMORY_CORE, MEMORY_MAP, NATIVE_STACKS, PERF, RUST_BACKTRACE_NEXT, TOP,
    TOP_TWICE, WITH_NAMES,
};
pub(crate) use node::{NODE_HEAP_NEXT, NODE_INSPECT, NODE_REPORT_NEXT};
pub(crate) use python::{PYTHON_CRASH_NEXT, PYTHON_MEMORY_NEXT, PYTHON_PROFILE, PYTHON_STACKS, PYTHON_TASKS};

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

    use necropsy_model::advice::Complaint::{Crash, OutOfMemory};

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
