//! Python.

use necropsy_model::advice::Complaint::{Crash, HangBusy, HangIdle, OutOfMemory};

use super::{BLANK, Entry, HANGS, PYTHON};
use crate::advice::run::Run;

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
