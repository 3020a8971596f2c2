//! The notes of a core: which there are, where they stand, who wrote them.

use super::bytes::Layout;
use super::headers::{Headers, NOTE};

/// A note.
#[derive(Clone, Copy, Debug)]
pub(super) struct Note<'data> {
    /// Owner, without its NUL: `CORE`, `LINUX`, `GDB`, …
    pub owner: &'data [u8],
    /// `n_type`; its meaning depends on the owner.
    pub kind: u32,
    /// Contents. Shorter than stated when the core is cut inside the note.
    pub body: &'data [u8],
    /// Where the contents begin in the dump.
    pub offset: u64,
}

/// What a note holds, from `include/uapi/linux/elf.h`, glibc's `elf.h`, and gdb's `include/elf/common.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `NT_PRSTATUS`: a thread begins.
    Prstatus,
    /// `NT_PRPSINFO`.
    Prpsinfo,
    /// `NT_SIGINFO`.
    Siginfo,
    /// `NT_AUXV`.
    Auxv,
    /// `NT_FILE`.
    File,
    /// `NT_FPREGSET`.
    Fpregset,
    /// `NT_X86_XSTATE`.
    X86Xstate,
    /// `NT_ARM_TLS`.
    ArmTls,
    /// `NT_ARM_SYSTEM_CALL`.
    ArmSystemCall,
    /// `NT_ARM_PAC_MASK`.
    ArmPacMask,
    /// gdb's target description, `NT_GDB_TDESC`: the core is from `gcore`.
    GdbDescription,
    /// Any other. There are dozens (`NT_X86_XSAVE_LAYOUT` came with Linux 6.12) and none is needed.
    Other,
}

/// Owner, type, meaning. The owner matters: `LINUX` 0x202 is a register set, `GNU` 3 a build id.
const KINDS: [(&[u8], u32, Kind); 12] = [
    (b"CORE", 1, Kind::Prstatus),
    (b"CORE", 2, Kind::Fpregset),
    (b"CORE", 3, Kind::Prpsinfo),
    (b"CORE", 6, Kind::Auxv),
    (b"CORE", 0x5349_4749, Kind::Siginfo),
    (b"CORE", 0x4649_4c45, Kind::File),
    (b"LINUX", 2, Kind::Fpregset),
    (b"LINUX", 0x202, Kind::X86Xstate),
    (b"LINUX", 0x401, Kind::ArmTls),
    (b"LINUX", 0x404, Kind::ArmSystemCall),
    (b"LINUX", 0x406, Kind::ArmPacMask),
    (b"GDB", 0xff00_0000, Kind::GdbDescription),
];

impl Note<'_> {
    /// What it holds.
    pub(super) fn meaning(&self) -> Kind {
        let found = KINDS.iter().find(|(owner, kind, _)| *owner == self.owner && *kind == self.kind);
        found.map_or(Kind::Other, |(_, _, meaning)| *meaning)
    }
}

/// The notes in `bytes`, which begin at `offset` of the dump. A damaged note ends the walk.
///
/// Names and contents are padded to four bytes, also in 64-bit cores: the kernel and gdb both do so,
/// whatever `p_align` and the ELF specification say.
pub(super) fn iterate(bytes: &[u8], offset: u64, layout: Layout) -> impl Iterator<Item = Note<'_>> {
    let mut at = 0_usize;
    std::iter::from_fn(move || {
        let name_size = usize::try_from(layout.u32(bytes, at)?).ok()?;
        let body_size = usize::try_from(layout.u32(bytes, at.checked_add(4)?)?).ok()?;
        let kind = layout.u32(bytes, at.checked_add(8)?)?;
        let name_start = at.checked_add(12)?;
        let name_end = name_start.checked_add(name_size)?;
        let name = bytes.get(name_start..name_end)?;
        let body_start = name_end.checked_next_multiple_of(4)?;
        let body_end = body_start.checked_add(body_size)?;
        let body = bytes.get(body_start..body_end.min(bytes.len()))?;
        at = body_end.checked_next_multiple_of(4)?;
        let owner = name.split(|&byte| byte == 0).next().unwrap_or_default();
        Some(Note { owner, kind, body, offset: offset.saturating_add(body_start as u64) })
    })
}

/// All notes of a core. Segments that lie over each other are read once: a hostile core could repeat one without end.
pub(super) fn of_core<'data>(data: &'data [u8], headers: &Headers) -> Vec<Note<'data>> {
    let mut seen_to = 0;
    let mut notes = Vec::new();
    for segment in headers.segments.iter().filter(|segment| segment.kind == NOTE) {
        let end = segment.offset.saturating_add(segment.file_size).min(data.len() as u64);
        let range = usize::try_from(segment.offset).ok().zip(usize::try_from(end).ok());
        let Some(bytes) = range.and_then(|(start, end)| data.get(start..end)) else { continue };
        if segment.offset >= seen_to {
            seen_to = end;
            notes.extend(iterate(bytes, segment.offset, headers.layout));
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use necropsy_model::Endianness;

    use super::*;

    const LAYOUT: Layout = Layout { endian: Endianness::Little, wide: true };

    fn note(name: &[u8], kind: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for number in [name.len() as u32, body.len() as u32, kind] {
            bytes.extend(number.to_le_bytes());
        }
        for part in [name, body] {
            bytes.extend(part);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    #[test]
    fn an_owner_without_its_nul_is_still_that_owner() {
        let bytes = [note(b"CORE", 1, b"abc"), note(b"LINUX\0", 0x202, b"xstate")].concat();
        let notes: Vec<_> = iterate(&bytes, 0x100, LAYOUT).collect();
        assert_eq!(notes.iter().map(Note::meaning).collect::<Vec<_>>(), [Kind::Prstatus, Kind::X86Xstate]);
        assert_eq!(notes[0].body, b"abc");
        assert_eq!(notes[1].offset, 0x100 + 20 + 12 + 8);
    }

    #[test]
    fn a_note_of_another_owner_is_another_note() {
        let bytes = note(b"GNU\0", 3, b"0123456789abcdefghij");
        assert_eq!(iterate(&bytes, 0, LAYOUT).next().map(|note| note.meaning()), Some(Kind::Other));
    }

    #[test]
    fn a_cut_note_keeps_what_is_left_and_ends_the_walk() {
        let bytes = note(b"CORE\0", 6, &[7; 100]);
        let notes: Vec<_> = iterate(&bytes[..60], 0, LAYOUT).collect();
        assert_eq!(notes.len(), 1);
        assert_eq!(notes[0].body.len(), 40);
        assert_eq!(iterate(&[0xff; 40], 0, LAYOUT).count(), 0);
    }
}
