//! What a fatal error log of HotSpot says (`hs_err_pid*.log`): facts in its own terms, each with its line.
//!
//! The file is written by `VMError::report` of `src/hotspot/share/utilities/vmError.cpp`: a chain of steps, each under a
//! signal handler of its own, so that any section may be absent, cut or replaced by a marker. Everything here is
//! therefore optional, and [`HsErr::sections`] and [`HsErr::damage`] say what there was.

mod frame;
mod header;
mod machine;
mod process;
mod system;
mod thread;

pub use frame::{HsFrame, HsFrameKind, JavaMethod};
pub use header::{Build, CoreNote, ErrorHeader, ErrorKind, NativeOom, OomCall, Summary};
pub use machine::{Bytes, MachineState, MappedValue, PrintedAccess, Register, SigInfo, ValueKind};
pub use process::{
    Argument, Arguments, CodeHeap, Event, EventRing, GlobalFlag, HandlerLine, Heap, HeapLine, MapEntry, MapList,
    NmtLine, ProcessState, SpaceUse,
};
pub use system::{Cpu, Limit, Measure, MemoryLine, Rlimit, SystemState};
pub use thread::{
    CompileTask, CurrentThread, FrameList, StackBounds, VmOperation, VmThread, VmThreadKind, VmThreadWords,
};

use crate::{Source, Text};

/// A fatal error log.
#[derive(Clone, Debug, Default)]
pub struct HsErr<'data> {
    /// The lines that begin with `#`.
    pub header: ErrorHeader<'data>,
    /// Which virtual machine wrote it.
    pub build: Build<'data>,
    /// Command line, host and times: the SUMMARY of JDK 9 and later, the last lines before.
    pub summary: Summary<'data>,
    /// The thread that reported.
    pub thread: Option<CurrentThread<'data>>,
    /// `siginfo:`.
    pub siginfo: Option<SigInfo<'data>>,
    /// Registers, stack words, instruction bytes, and what the VM says of the values.
    pub machine: MachineState<'data>,
    /// The VM operation in progress.
    pub vm_operation: Option<VmOperation<'data>>,
    /// What the compiler thread compiled.
    pub compile_task: Option<CompileTask<'data>>,
    /// Threads of the VM in the order of the log; [`VmThread::thread`] leads to [`crate::Snapshot::threads`].
    pub threads: Vec<VmThread<'data>>,
    /// Heap, locks, events, memory map, arguments: the PROCESS part.
    pub process: ProcessState<'data>,
    /// Machine and limits: the SYSTEM part.
    pub system: SystemState<'data>,
    /// Sections that are there, in the order of the log.
    pub sections: Vec<SeenSection>,
    /// Marks of a damaged report.
    pub damage: Vec<Damage<'data>>,
    /// How much of the log there is.
    pub completeness: Completeness,
}

impl HsErr<'_> {
    /// The log has this section, though it may be cut.
    pub fn has(&self, section: Section) -> bool {
        self.sections.iter().any(|seen| seen.section == section)
    }

    /// Where a section begins.
    pub fn section(&self, section: Section) -> Option<Source> {
        self.sections.iter().find(|seen| seen.section == section).map(|seen| seen.source)
    }
}

/// A fact with the line it stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said<T> {
    /// What was said.
    pub value: T,
    /// Where.
    pub source: Source,
}

impl<T> Said<T> {
    /// A fact and its line.
    pub fn new(value: T, source: Source) -> Self {
        Self { value, source }
    }
}

/// Text of the log with its line.
pub type SaidText<'data> = Said<Text<'data>>;

/// A range of addresses: the first and the first behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddressRange {
    /// First address.
    pub low: u64,
    /// First address behind.
    pub high: u64,
}

impl AddressRange {
    /// The address lies in it.
    pub fn contains(self, address: u64) -> bool {
        (self.low..self.high).contains(&address)
    }
}

/// A section that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenSection {
    /// Which.
    pub section: Section,
    /// Its header line.
    pub source: Source,
}

/// Sections of a log, by their headers. The order is that of JDK 17; other releases order them otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    /// The `#` lines.
    Header,
    /// `S U M M A R Y`.
    Summary,
    /// `T H R E A D`.
    Thread,
    /// `Stack: [`.
    StackBounds,
    /// `Native frames:`.
    NativeFrames,
    /// `Java frames:`.
    JavaFrames,
    /// `siginfo:`.
    SigInfo,
    /// `Registers:`.
    Registers,
    /// `Register to memory mapping:`.
    RegisterMapping,
    /// `Top of Stack:`.
    TopOfStack,
    /// `Instructions:`.
    Instructions,
    /// `Stack slot to memory mapping:`.
    StackSlots,
    /// `P R O C E S S`.
    Process,
    /// `Java Threads:` and `Other Threads:`.
    Threads,
    /// `VM state:`.
    VmState,
    /// `VM Mutex/Monitor currently owned by a thread:`.
    Mutexes,
    /// `Heap:` or `Heap`.
    Heap,
    /// `Metaspace:`.
    Metaspace,
    /// `CodeCache:`, `CodeHeap`, `Code Cache`.
    CodeCache,
    /// Rings of events.
    Events,
    /// `Dynamic libraries:`.
    DynamicLibraries,
    /// `VM Arguments:`.
    Arguments,
    /// `[Global flags]`.
    GlobalFlags,
    /// `Environment Variables:`.
    Environment,
    /// `Signal Handlers:`.
    SignalHandlers,
    /// `Native Memory Tracking:`.
    NativeMemory,
    /// `S Y S T E M`.
    System,
    /// `rlimit:`.
    Limits,
    /// `/proc/meminfo:`.
    MemInfo,
    /// `container (cgroup) information:`.
    Container,
    /// `CPU:`.
    Cpu,
    /// `Memory:`.
    Memory,
    /// `vm_info:`.
    VmInfo,
}

impl Section {
    /// Its name as people say it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Summary => "summary",
            Self::Thread => "thread",
            Self::StackBounds => "stack bounds",
            Self::NativeFrames => "native frames",
            Self::JavaFrames => "Java frames",
            Self::SigInfo => "siginfo",
            Self::Registers => "registers",
            Self::RegisterMapping => "register mapping",
            Self::TopOfStack => "top of stack",
            Self::Instructions => "instructions",
            Self::StackSlots => "stack slots",
            Self::Process => "process",
            Self::Threads => "thread list",
            Self::VmState => "VM state",
            Self::Mutexes => "VM mutexes",
            Self::Heap => "heap",
            Self::Metaspace => "metaspace",
            Self::CodeCache => "code cache",
            Self::Events => "events",
            Self::DynamicLibraries => "memory map",
            Self::Arguments => "VM arguments",
            Self::GlobalFlags => "global flags",
            Self::Environment => "environment",
            Self::SignalHandlers => "signal handlers",
            Self::NativeMemory => "native memory tracking",
            Self::System => "system",
            Self::Limits => "limits",
            Self::MemInfo => "/proc/meminfo",
            Self::Container => "container",
            Self::Cpu => "CPU",
            Self::Memory => "memory",
            Self::VmInfo => "VM build",
        }
    }
}

/// How much of a log there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Completeness {
    /// It ends as the VM ends a report: `END.` since JDK 9, `time:` or `elapsed time:` before.
    Complete,
    /// Only the `#` lines, as the VM prints them on the console and people paste them.
    HeaderOnly,
    /// It stops before its end.
    #[default]
    Cut,
}

/// A mark of a damaged report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage<'data> {
    /// What kind.
    pub kind: DamageKind<'data>,
    /// Where.
    pub source: Source,
}

/// Kinds of damage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DamageKind<'data> {
    /// `[error occurred during error reporting (step), id 0xb, SIGSEGV (0xb) at pc=0x…]`: that step is missing.
    StepFailed {
        /// What the step was to print.
        step: Text<'data>,
        /// Number of the signal or exception that ended it: 7 is SIGBUS, 11 SIGSEGV.
        id: Option<u64>,
    },
    /// `[timeout occurred during error reporting in step "…"]` and `------ Timeout during error reporting`.
    Timeout,
    /// `[Too many errors, abort]`.
    TooManyErrors,
    /// `[thread N also had an error]`: the number as printed.
    OtherThreadFailed(u64),
    /// NUL bytes: the file's pages were never written, as after a reset of the machine.
    NulBytes(u64),
    /// Text that stops in the middle of a line.
    TornLine,
}
