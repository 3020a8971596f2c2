//! The thread that reported, and the list of threads.

use super::{AddressRange, HsFrame, SaidText};
use crate::{Source, Text};

/// The thread that reported: `Current thread (0x…):`.
#[derive(Clone, Debug, Default)]
pub struct CurrentThread<'data> {
    /// The line as printed.
    pub text: Text<'data>,
    /// Address of the VM's object; none for a thread that the VM does not know.
    pub address: Option<u64>,
    /// Who it is and what it did.
    pub who: VmThreadWords<'data>,
    /// `Stack:`, else the bounds of the thread line.
    pub stack: Option<StackBounds>,
    /// Index in [`crate::Snapshot::threads`].
    pub thread: Option<usize>,
    /// The stack: native and Java frames as one, innermost first; parallel to the frames of the snapshot's thread.
    pub frames: Vec<HsFrame<'data>>,
    /// Which lists the stack was made of.
    pub list: FrameList,
    /// Number of frames of the native list; those behind come from `Java frames:` alone.
    pub native_frames: usize,
    /// `...<more frames>...`: the list was cut at its limit.
    pub more_frames: bool,
    /// `JavaThread 0x… was being processed`: the thread that a collector or an operation looked at.
    pub being_processed: Option<SaidText<'data>>,
    /// Where.
    pub source: Option<Source>,
}

/// What the log says of any thread, in the list and of the one that reported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VmThreadWords<'data> {
    /// What kind of thread.
    pub kind: VmThreadKind,
    /// The word of the log: `JavaThread`, `GCTaskThread`, `WorkerThread`.
    pub kind_text: Text<'data>,
    /// Name.
    pub name: Option<Text<'data>>,
    /// A daemon.
    pub daemon: bool,
    /// `_thread_in_native`, `_thread_in_vm`, …
    pub state: Option<Text<'data>>,
    /// `id=`.
    pub os_id: Option<u64>,
}

/// Which lists a stack was made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FrameList {
    /// None.
    #[default]
    None,
    /// `Native frames:` alone.
    Native,
    /// `Java frames:` alone.
    Java,
    /// Both: the Java frames continue where the native walk ended.
    Both,
    /// The problematic frame of the header alone.
    Problematic,
}

/// `Stack: [lo,hi],  sp=…,  free space=…k`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StackBounds {
    /// Lowest address and first address behind.
    pub range: AddressRange,
    /// Stack pointer.
    pub sp: Option<u64>,
    /// Free space in bytes as printed; absurdly large when the stack pointer lies outside.
    pub free: Option<u64>,
    /// Where.
    pub source: Source,
}

/// Kinds of threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum VmThreadKind {
    /// Runs Java code.
    Java,
    /// Compiles.
    Compiler,
    /// Works for a collector.
    Gc,
    /// `VMThread`: runs operations at safepoints.
    Vm,
    /// Another thread of the VM: watcher, agent, JFR.
    Internal,
    /// The VM does not know it.
    Native,
    /// Not told.
    #[default]
    Unknown,
}

/// A line of the thread list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VmThread<'data> {
    /// Address of the VM's object.
    pub address: u64,
    /// Marked `=>`.
    pub current: bool,
    /// Who it is and what it did.
    pub who: VmThreadWords<'data>,
    /// Stack.
    pub stack: Option<AddressRange>,
    /// Index in [`crate::Snapshot::threads`].
    pub thread: usize,
    /// Where.
    pub source: Source,
}

/// `VM_Operation (0x…): G1CollectForAllocation, mode: safepoint, requested by thread 0x…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VmOperation<'data> {
    /// Its name.
    pub name: Text<'data>,
    /// `safepoint`, `no safepoint`, `concurrent`.
    pub mode: Option<Text<'data>>,
    /// Address of the thread that asked for it.
    pub requested_by: Option<u64>,
    /// Where.
    pub source: Source,
}

/// `Current CompileTask:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileTask<'data> {
    /// `C1`, `C2`, `JVMCI`.
    pub compiler: Option<Text<'data>>,
    /// Number of the compilation.
    pub id: Option<u32>,
    /// Compiled for a loop that already runs.
    pub osr: bool,
    /// Tier, 1 to 4.
    pub level: Option<u32>,
    /// Method: `pkg.Cls::m`.
    pub method: Option<Text<'data>>,
    /// The line as printed.
    pub text: Text<'data>,
    /// Where.
    pub source: Source,
}
