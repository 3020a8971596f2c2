//! The notes, sorted by what they speak of: the process, and each of its threads.

use necropsy_model::{Arch, Signal, Snapshot, Source, Stop, Thread, ThreadId, Vectors, Writer};

use super::auxv::{self, Auxv};
use super::file::{self, Mapping};
use super::headers::Headers;
use super::notes::{Kind, Note};
use super::prpsinfo::{self, Prpsinfo};
use super::prstatus::{self, Prstatus};
use super::regset;
use super::siginfo::{self, Siginfo};
use super::state;

/// What the notes say.
#[derive(Debug, Default)]
pub(super) struct Facts<'data> {
    /// Threads in the order of the dump; the one that stopped the process is the first.
    pub threads: Vec<ThreadFacts>,
    /// The process.
    pub process: Prpsinfo<'data>,
    /// What the kernel told the loader.
    pub auxv: Auxv,
    /// The same as it stands in the note.
    pub raw_auxv: &'data [u8],
    /// Mapped files, in order of address.
    pub mappings: Vec<Mapping<'data>>,
    /// Bits of a code pointer that hold a signature.
    pub pointer_mask: Option<u64>,
    /// Which program wrote the core.
    pub writer: Option<Writer>,
    /// The system, by the owner of its notes, when it is not Linux.
    pub foreign: Option<&'static str>,
}

/// What the notes say of a thread.
#[derive(Debug, Default)]
pub(super) struct ThreadFacts {
    /// Where its `NT_PRSTATUS` stands.
    pub offset: u64,
    pub status: Prstatus,
    /// Its siginfo and where that stands; gcore writes one for every thread.
    pub siginfo: Option<(Siginfo, u64)>,
    pub vectors: Vectors,
}

/// Owners of notes of other systems: their `NT_PRSTATUS` has the same number and another layout.
const FOREIGN: [(&[u8], &str); 4] =
    [(b"FreeBSD", "freebsd"), (b"NetBSD-CORE", "netbsd"), (b"OpenBSD", "openbsd"), (b"SunOS", "solaris")];

/// Sorts the notes.
pub(super) fn gather<'data>(notes: &[Note<'data>], headers: &Headers) -> Facts<'data> {
    let (arch, layout) = (headers.arch, headers.layout);
    let mut facts = Facts::default();
    for note in notes {
        let thread = facts.threads.last_mut();
        match (note.meaning(), thread) {
            (Kind::Prstatus, _) => facts.threads.push(ThreadFacts {
                offset: note.offset,
                status: prstatus::read(note.body, arch, layout),
                ..ThreadFacts::default()
            }),
            (Kind::Siginfo, Some(thread)) if thread.siginfo.is_none() => {
                thread.siginfo = siginfo::read(note.body, arch, layout).map(|siginfo| (siginfo, note.offset));
            }
            (Kind::Fpregset, Some(thread)) if thread.vectors.low.is_empty() => {
                thread.vectors = regset::vectors(note.body, arch, layout);
            }
            (Kind::X86Xstate, Some(thread)) => thread.vectors = regset::vectors(note.body, arch, layout),
            (Kind::ArmTls, Some(thread)) => thread.status.thread_pointer = layout.word(note.body, 0),
            (Kind::ArmSystemCall, Some(thread)) => thread.status.syscall = layout.i32(note.body, 0).map(i64::from),
            // struct user_pac_mask: the mask of data pointers, then that of code pointers.
            (Kind::ArmPacMask, _) => facts.pointer_mask = facts.pointer_mask.or(layout.u64(note.body, 8)),
            (Kind::Prpsinfo, _) => facts.process = prpsinfo::read(note.body, layout),
            (Kind::Auxv, _) => (facts.auxv, facts.raw_auxv) = (auxv::read(note.body, layout), note.body),
            (Kind::File, _) => facts.mappings = file::read(note.body, layout),
            _ => {}
        }
    }
    facts.foreign = FOREIGN
        .iter()
        .find(|(owner, _)| notes.iter().any(|note| note.owner.starts_with(owner)))
        .map(|&(_, system)| system);
    facts.writer = writer(notes, facts.foreign.is_some());
    facts
}

/// Tells the writer by what it leaves out and by the order of its notes.
///
/// The kernel begins with a thread; gcore and qemu-user (since 8.2) with the process. qemu-user writes the three oldest
/// notes and none of a machine's own (owner `LINUX`), and no floating-point registers, which every kernel writes.
fn writer(notes: &[Note<'_>], foreign: bool) -> Option<Writer> {
    let position = |kind| notes.iter().position(|note| note.meaning() == kind);
    let (thread, process) = (position(Kind::Prstatus)?, position(Kind::Prpsinfo)?);
    let has = |kind| position(kind).is_some();
    let rich = [Kind::Siginfo, Kind::File, Kind::Fpregset].into_iter().any(has)
        || notes.iter().any(|note| note.owner == b"LINUX");
    if foreign {
        None
    } else if has(Kind::GdbDescription) {
        Some(Writer::Gcore)
    } else if has(Kind::Auxv) && !rich {
        Some(Writer::QemuUser)
    } else if process < thread {
        Some(Writer::Gcore)
    } else {
        Some(Writer::Kernel)
    }
}

/// Why the process stopped; `None` when somebody asked for the dump of a live process.
pub(super) fn stop<'data>(facts: &Facts<'_>, arch: Arch) -> Option<Stop<'data>> {
    /// `SIGSTOP` and `SIGTRAP`: how a debugger holds a process that it did not find dying.
    const HELD: [i32; 3] = [0, 19, Signal::TRAP];
    let first = facts.threads.first()?;
    let siginfo = first.siginfo.map(|(siginfo, _)| siginfo);
    let bare = || {
        let number = first.status.signal.filter(|&number| number != 0)?;
        Some(Signal { number: siginfo::generic_number(arch, number), code: None })
    };
    let signal = siginfo.map(|siginfo| siginfo.signal).or_else(bare)?;
    if facts.writer == Some(Writer::Gcore) && HELD.contains(&signal.number) {
        return None;
    }
    let offset = first.siginfo.map_or(first.offset, |(_, offset)| offset);
    Some(Stop {
        signal: Some(signal),
        thread: Some(0),
        address: siginfo.and_then(|siginfo| siginfo.address),
        sender: siginfo.and_then(|siginfo| siginfo.sender),
        source: Some(Source::offset(offset)),
        ..Stop::default()
    })
}

/// No program has thread-local storage in the first page. gcore before gdb 8 left a segment selector in place of the base.
const LOWEST_POINTER: u64 = 4096;

/// Puts the threads into the snapshot, with what each was doing.
pub(super) fn fill<'data>(facts: Facts<'data>, arch: Arch, snapshot: &mut Snapshot<'data>) {
    // Only the kernel counts the time of each thread; gcore and qemu-user leave zeros.
    let has_times = facts.writer.is_none_or(|writer| writer == Writer::Kernel);
    snapshot.threads.reserve(facts.threads.len());
    for found in facts.threads {
        let id = ThreadId(found.status.tid.unwrap_or_default());
        let mut thread = Thread::new(id, Source::offset(found.offset));
        let doing = state::of(&found.status, arch, &snapshot.memory);
        let detail = thread.detail_mut();
        detail.syscall = doing.syscall;
        detail.registers = found.status.registers;
        detail.cpu = found.status.cpu.filter(|_| has_times);
        detail.thread_pointer = found.status.thread_pointer.filter(|&base| base >= LOWEST_POINTER);
        detail.vectors = found.vectors;
        thread.state = doing.state.and_then(|state| snapshot.intern_state(state));
        snapshot.threads.push(thread);
    }
}
