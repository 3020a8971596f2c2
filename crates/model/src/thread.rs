//! Threads: of the operating system, goroutines, Java threads.

use std::time::Duration;

use crate::{FrameId, LabelsId, Registers, Source, StackId, StateId, Text, Vectors};

/// The number by which the dump calls a thread: kernel tid, goroutine id, Java thread number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ThreadId(pub u64);

impl std::fmt::Display for ThreadId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A thread. Small, because a dump may hold a million; what few threads have is in [`ThreadDetail`].
#[derive(Clone, Debug)]
pub struct Thread<'data> {
    /// Id in the dump.
    pub id: ThreadId,
    /// Where in the dump it stands.
    pub source: Source,
    /// Its stack, interned.
    pub stack: Option<StackId>,
    /// Its state, interned.
    pub state: Option<StateId>,
    /// The call that created it.
    pub created_by: Option<FrameId>,
    /// Its labels, interned.
    pub labels: Option<LabelsId>,
    /// Seconds it has waited, as the dump prints it; `u32::MAX` for not said. See [`Thread::waited`].
    pub waited_s: u32,
    /// Marks.
    pub flags: ThreadFlags,
    /// What only some threads have.
    pub detail: Option<Box<ThreadDetail<'data>>>,
}

/// Marks of a thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ThreadFlags(pub u8);

impl ThreadFlags {
    /// Locked to its operating-system thread.
    pub const LOCKED: Self = Self(1);
    /// The garbage collector proved that nothing can wake it.
    pub const LEAKED: Self = Self(2);
    /// A daemon thread.
    pub const DAEMON: Self = Self(4);
    /// A virtual thread.
    pub const VIRTUAL: Self = Self(8);
    /// A thread of the runtime itself, not of the program.
    pub const SYSTEM: Self = Self(16);

    /// All marks of `other` are set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl std::ops::BitOr for ThreadFlags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What only some threads have.
#[derive(Clone, Debug, Default)]
pub struct ThreadDetail<'data> {
    /// Name.
    pub name: Option<Text<'data>>,
    /// Kernel thread id, where [`Thread::id`] is another number.
    pub os_id: Option<u64>,
    /// Registers of the innermost frame.
    pub registers: Option<Registers>,
    /// Vector registers of the innermost frame.
    pub vectors: Vectors,
    /// Base of the thread's local storage: `fs_base` of x86-64, `tpidr_el0` of aarch64.
    pub thread_pointer: Option<u64>,
    /// CPU time used.
    pub cpu: Option<Duration>,
    /// Time since it started.
    pub elapsed: Option<Duration>,
    /// Priority as printed.
    pub priority: Option<i32>,
    /// Locks it holds.
    pub holds: Vec<Lock<'data>>,
    /// Locks among them that do not name their holder: a guard among the variables of its stack does.
    pub by_guard: Vec<u64>,
    /// Addresses of locks that others wait for and that variables of this thread lead to, where the runtime records no holders:
    /// it may hold them.
    pub may_hold: Vec<u64>,
    /// What it waits for.
    pub waits_on: Option<Wait<'data>>,
    /// Number of the thread that created it.
    pub created_in: Option<ThreadId>,
    /// Number of the system call it was in, where the dump tells.
    pub syscall: Option<u64>,
    /// The carrier or the virtual thread it carries.
    pub carries: Option<ThreadId>,
}

impl<'data> Thread<'data> {
    /// A thread of which only the id and the place are known.
    pub fn new(id: ThreadId, source: Source) -> Self {
        Self {
            id,
            source,
            stack: None,
            state: None,
            created_by: None,
            labels: None,
            waited_s: u32::MAX,
            flags: ThreadFlags::default(),
            detail: None,
        }
    }

    /// How long it has waited at least; `None` when the dump does not say, which is not "just arrived".
    pub fn waited(&self) -> Option<Duration> {
        (self.waited_s != u32::MAX).then(|| Duration::from_secs(u64::from(self.waited_s)))
    }

    /// The details, made when there were none.
    pub fn detail_mut(&mut self) -> &mut ThreadDetail<'data> {
        self.detail.get_or_insert_with(Box::default)
    }

    /// Its name.
    pub fn name(&self) -> Option<&str> {
        self.detail.as_ref()?.name.as_deref()
    }

    /// The registers of its innermost frame.
    pub fn registers(&self) -> Option<&Registers> {
        self.detail.as_ref()?.registers.as_ref()
    }
}

/// A state as the dump calls it, and what kind of thing it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State<'data> {
    /// The dump's own word: `chan receive`, `BLOCKED`, `futex wait`.
    pub text: Text<'data>,
    /// What it does.
    pub activity: Activity,
}

/// What a thread does, in terms that hold for every runtime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Activity {
    /// On a CPU, or it was when the dump was taken.
    Running,
    /// Wants a CPU.
    Runnable,
    /// In a system call of which no more is known.
    Syscall,
    /// Waits for a lock.
    Lock,
    /// Waits for another thread to signal, send or finish.
    Signal,
    /// Waits for input or output.
    Io,
    /// Waits for time to pass.
    Sleep,
    /// Waits for work and will be woken when there is some: a healthy background thread.
    Idle,
    /// Waits for something that can never come: a nil channel, an empty select.
    Never,
    /// The dump does not say.
    #[default]
    Unknown,
}

impl Activity {
    /// The word in the JSON contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Runnable => "runnable",
            Self::Syscall => "syscall",
            Self::Lock => "lock",
            Self::Signal => "signal",
            Self::Io => "io",
            Self::Sleep => "sleep",
            Self::Idle => "idle",
            Self::Never => "never",
            Self::Unknown => "unknown",
        }
    }
}

/// A lock, monitor, channel or synchronizer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lock<'data> {
    /// Address or identity number; equal ones in one dump are one lock.
    pub id: u64,
    /// Class, type or variable name.
    pub name: Option<Text<'data>>,
}

/// What a thread waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait<'data> {
    /// What kind of wait.
    pub kind: WaitKind,
    /// The lock, where it is known.
    pub lock: Option<Lock<'data>>,
    /// The thread that holds it, where the dump proves it.
    pub owner: Option<ThreadId>,
    /// The wait has a time limit and ends by itself.
    pub limited: bool,
    /// Where the dump says so.
    pub source: Source,
}

/// Kinds of waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WaitKind {
    /// To take a mutex or monitor.
    Lock,
    /// To take a reader-writer lock for reading.
    ReadLock,
    /// To take a reader-writer lock for writing.
    WriteLock,
    /// On a condition variable or `Object.wait`; the mutex of it is not held meanwhile.
    Condition,
    /// On a semaphore.
    Semaphore,
    /// For a barrier or latch.
    Barrier,
    /// For a thread to end.
    Join,
    /// To receive from a channel.
    Receive,
    /// To send to a channel.
    Send,
    /// For one of several channels.
    Select,
    /// For another thread to initialise a class.
    ClassInit,
    /// Parked, on nothing that is known to have an owner.
    Park,
    /// For input or output.
    Io,
    /// For time to pass.
    Sleep,
}

impl WaitKind {
    /// The word in the JSON contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lock => "lock",
            Self::ReadLock => "read-lock",
            Self::WriteLock => "write-lock",
            Self::Condition => "condition",
            Self::Semaphore => "semaphore",
            Self::Barrier => "barrier",
            Self::Join => "join",
            Self::Receive => "receive",
            Self::Send => "send",
            Self::Select => "select",
            Self::ClassInit => "class-init",
            Self::Park => "park",
            Self::Io => "io",
            Self::Sleep => "sleep",
        }
    }
}
