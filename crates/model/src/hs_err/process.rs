//! The PROCESS part: state of the VM, heap, events, memory map, arguments.

use super::{AddressRange, Said, SaidText};
use crate::{Permissions, Source, Text};

/// State of the VM and the process.
#[derive(Clone, Debug, Default)]
pub struct ProcessState<'data> {
    /// `VM state:` as printed.
    pub vm_state: Option<SaidText<'data>>,
    /// `at safepoint` or `synchronizing`.
    pub at_safepoint: Option<bool>,
    /// The VM had been initialised; false for `not fully initialized`.
    pub initialized: Option<bool>,
    /// Mutexes of the VM that a thread held, one line each; empty for `None`.
    pub mutexes: Vec<SaidText<'data>>,
    /// `OutOfMemory and StackOverflow Exception counts:`: what Java code threw and may have swallowed.
    pub exception_counts: Vec<(Text<'data>, u64, Source)>,
    /// Heap.
    pub heap: Heap<'data>,
    /// Metaspace as a whole.
    pub metaspace: Option<SpaceUse>,
    /// Class space.
    pub class_space: Option<SpaceUse>,
    /// Code cache, one entry for each heap of it.
    pub code_heaps: Vec<CodeHeap<'data>>,
    /// `Compilation: enabled` or `disabled (…)` as printed.
    pub compilation: Option<SaidText<'data>>,
    /// Archives of class data that are mapped.
    pub cds: Option<Said<AddressRange>>,
    /// `Card table byte_map: [lo,hi]`.
    pub card_table: Option<Said<AddressRange>>,
    /// `Polling page:`.
    pub polling_page: Option<Said<u64>>,
    /// Rings of events.
    pub events: Vec<EventRing<'data>>,
    /// `Dynamic libraries:`.
    pub map: MapList<'data>,
    /// Arguments.
    pub arguments: Arguments<'data>,
    /// `[Global flags]`.
    pub flags: Vec<GlobalFlag<'data>>,
    /// Environment variables, of a fixed list of names.
    pub environment: Vec<(Text<'data>, Text<'data>, Source)>,
    /// Signal handlers.
    pub handlers: Vec<HandlerLine<'data>>,
    /// Lines of native memory tracking.
    pub native_memory: Vec<NmtLine<'data>>,
    /// Agents of the tool interface; none for `none`.
    pub agents: Vec<SaidText<'data>>,
}

impl<'data> ProcessState<'data> {
    /// A ring by the begin of its name: `Dll operation`.
    pub fn ring(&self, name: &str) -> Option<&EventRing<'data>> {
        self.events.iter().find(|ring| ring.name.starts_with(name))
    }

    /// A global flag, else an argument `-XX:name=value`, else `-XX:+name`.
    pub fn flag(&self, name: &str) -> Option<&str> {
        if let Some(flag) = self.flags.iter().find(|flag| flag.name == name) {
            return Some(&flag.value);
        }
        self.arguments.vm.iter().rev().find_map(|argument| {
            let flag = argument.text.strip_prefix("-XX:")?;
            match flag.strip_prefix(['+', '-']) {
                Some(rest) if rest == name => Some(if flag.starts_with('+') { "true" } else { "false" }),
                Some(_) => None,
                None => flag.strip_prefix(name)?.strip_prefix('='),
            }
        })
    }
}

/// Heap.
#[derive(Clone, Debug, Default)]
pub struct Heap<'data> {
    /// `Heap address: 0x…, size: N MB`: all that is reserved.
    pub range: Option<Said<AddressRange>>,
    /// `Compressed Oops mode:` as printed.
    pub oops_mode: Option<Text<'data>>,
    /// Generations and spaces with their use, in the order of the log.
    pub lines: Vec<HeapLine<'data>>,
    /// Lines of `GC Precious Log:`.
    pub precious: Vec<SaidText<'data>>,
}

/// A generation or space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeapLine<'data> {
    /// `garbage-first heap`, `PSYoungGen`, `eden space`.
    pub name: Text<'data>,
    /// Bytes in all.
    pub total: Option<u64>,
    /// Bytes in use.
    pub used: Option<u64>,
    /// Use in percent, as printed.
    pub percent: Option<u8>,
    /// Addresses.
    pub range: Option<AddressRange>,
    /// Where.
    pub source: Source,
}

/// `used N, committed N, reserved N`, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpaceUse {
    /// In use.
    pub used: Option<u64>,
    /// Backed by memory.
    pub committed: Option<u64>,
    /// Addresses set aside.
    pub reserved: Option<u64>,
    /// Where.
    pub source: Source,
}

/// `CodeHeap 'non-nmethods': size=5692Kb used=1331Kb …`, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeHeap<'data> {
    /// `non-nmethods`; `CodeCache` where there is one heap.
    pub name: Text<'data>,
    /// All.
    pub size: Option<u64>,
    /// In use.
    pub used: Option<u64>,
    /// Free.
    pub free: Option<u64>,
    /// Addresses.
    pub range: Option<AddressRange>,
    /// Where.
    pub source: Source,
}

/// A ring of events, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRing<'data> {
    /// `Compilation events`, `Deoptimization events`, `Internal exceptions`, `Dll operation events`, `Events`.
    pub name: Text<'data>,
    /// Number in its header.
    pub count: u64,
    /// Events that are listed.
    pub events: Vec<Event<'data>>,
    /// Where.
    pub source: Source,
}

/// `Event: 12.345 Thread 0x… text`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<'data> {
    /// Milliseconds since the VM began.
    pub at_ms: Option<u64>,
    /// Address of the thread's object.
    pub thread: Option<u64>,
    /// The rest of the line.
    pub text: Text<'data>,
    /// Where.
    pub source: Source,
}

/// The memory map.
#[derive(Clone, Debug, Default)]
pub struct MapList<'data> {
    /// Its lines in the order of the log.
    pub entries: Vec<MapEntry<'data>>,
    /// `Total number of mappings:`, or the number of lines of a Linux map that is there to its end.
    pub total: Option<u64>,
    /// Every mapping of the process is listed, so that an address outside of all of them was not mapped. Only Linux lists all.
    pub is_all: bool,
}

impl<'data> MapList<'data> {
    /// The entry that covers an address.
    pub fn at(&self, address: u64) -> Option<&MapEntry<'data>> {
        self.entries.iter().find(|entry| entry.range.contains(address))
    }
}

/// A line of the memory map. macOS prints no ends: there the end is the next begin, and only a bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapEntry<'data> {
    /// Addresses.
    pub range: AddressRange,
    /// The end is the next begin, because the log prints none.
    pub end_is_bound: bool,
    /// Rights, on Linux.
    pub permissions: Option<Permissions>,
    /// Offset in the file, on Linux.
    pub offset: u64,
    /// Path or name in brackets; none for anonymous memory.
    pub path: Option<Text<'data>>,
    /// The path was unlinked or replaced: ` (deleted)`.
    pub deleted: bool,
    /// Where.
    pub source: Source,
}

/// `VM Arguments:`.
#[derive(Clone, Debug, Default)]
pub struct Arguments<'data> {
    /// `jvm_args:` split at spaces, and `jvm_flags:` (from `.hotspotrc`).
    pub vm: Vec<Argument<'data>>,
    /// `java_command:`.
    pub command: Option<SaidText<'data>>,
    /// `java_class_path (initial):`.
    pub class_path: Option<SaidText<'data>>,
    /// `Launcher Type:`.
    pub launcher: Option<Text<'data>>,
}

/// One argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument<'data> {
    /// The text.
    pub text: Text<'data>,
    /// Where.
    pub source: Source,
}

/// `     intx CICompilerCount = 2        {product} {ergonomic}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobalFlag<'data> {
    /// Name.
    pub name: Text<'data>,
    /// Value as printed.
    pub value: Text<'data>,
    /// `command line`, `ergonomic`, `environment`.
    pub origin: Option<Text<'data>>,
    /// Where.
    pub source: Source,
}

/// `   SIGSEGV: crash_handler in libjvm.so, mask=…, flags=…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandlerLine<'data> {
    /// Signal.
    pub signal: Text<'data>,
    /// What handles it, as printed: `[libjvm.so+0x12]`, `SIG_DFL`, `crash_handler in libjvm.so`.
    pub handler: Text<'data>,
    /// Library of the handler.
    pub library: Option<Text<'data>>,
    /// The VM says that somebody replaced its own: `*** Handler was modified!`.
    pub modified: bool,
    /// Where.
    pub source: Source,
}

/// `-                 Class (reserved=1048668KB, committed=220KB)`, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NmtLine<'data> {
    /// `Total`, `Java Heap`, `Thread`, …
    pub name: Text<'data>,
    /// Reserved.
    pub reserved: u64,
    /// Committed.
    pub committed: u64,
    /// Where.
    pub source: Source,
}
