//! Seeded damage to a file, and its undoing.

use std::ops::Range;

use object::read::elf::{ElfFile64, FileHeader, SectionHeader};
use object::{LittleEndian, Object, ObjectSection};

/// Pseudo-random numbers, the same for the same seed on every machine (`SplitMix64`).
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 when that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.number() % bound.max(1) as u64) as usize
    }

    /// One of some things.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// Bytes that stand somewhere else than before.
pub(crate) type Patch = (usize, Vec<u8>);

/// Numbers that break what trusts them.
const NUMBERS: [u64; 14] = [
    0,
    1,
    2,
    7,
    0x7f,
    0x80,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0xffff_ffff_ffff_f000,
    u64::MAX,
];

/// Words that mean something in text dumps and on terminals, and some that are no text.
const WORDS: [&[u8]; 16] = [
    b"\n",
    b"\n\n",
    b"goroutine 1 [running]:\n",
    b"goroutine 18446744073709551616 [",
    b"created by ",
    b"99999999999999999999999 minutes",
    b"(0x",
    b"{",
    b"\"",
    b"\\u001b",
    b"\x1b[31m",
    "\u{202e}".as_bytes(),
    b"\xff\xfe",
    b"\0",
    b"panic: ",
    b"\xf0\x9f",
];

/// Damage to one place of a file, somewhere in one of its zones.
pub(crate) fn patch(data: &[u8], zones: &[Range<usize>], is_text: bool, random: &mut Random) -> Patch {
    let zone = random.pick(zones).clone();
    let at = zone.start + random.below(zone.len());
    let room = zone.end.saturating_sub(at);
    let length = 1 + random.below(64.min(room));
    let number = *random.pick(&NUMBERS);
    let old = &data[at..at + length.min(room)];
    let bytes = match random.below(if is_text { 9 } else { 8 }) {
        0 => old.iter().take(8).map(|byte| byte ^ (1 << random.below(8))).collect(),
        1 => vec![0xff; old.len()],
        2 => vec![0; old.len()],
        3 => number.to_le_bytes()[..4.min(room)].to_vec(),
        4 => number.to_le_bytes()[..8.min(room)].to_vec(),
        5 => {
            let from = zone.start + random.below(zone.len());
            data[from..(from + old.len()).min(zone.end)].to_vec()
        }
        6 => old.iter().take(1).map(|byte| byte.wrapping_add(1 + random.below(4) as u8)).collect(),
        7 => old.iter().map(|_| random.number() as u8).collect(),
        _ => {
            let word = *random.pick(&WORDS);
            word[..word.len().min(room)].to_vec()
        }
    };
    (at, bytes)
}

/// Puts the bytes in and keeps those that stood there, so that the same call takes them out again.
pub(crate) fn swap(data: &mut [u8], patches: &mut [Patch]) {
    for (at, bytes) in patches {
        data[*at..*at + bytes.len()].swap_with_slice(bytes);
    }
}

/// Where damage to a core hurts: its headers and notes, its last segments (stacks), and anywhere.
pub(crate) fn zones_of_dump(data: &[u8]) -> Vec<Range<usize>> {
    let end = data.len();
    if data.starts_with(b"\x7fELF") {
        let head = (16 * 1024).min(end);
        vec![0..64.min(end), 64.min(end)..head, 64.min(end)..head, end.saturating_sub(160 * 1024)..end, 0..end]
    } else {
        std::iter::once(0..end).collect()
    }
}

/// Every section of an executable, and its tables of headers. The note with the build id stays out: a file of another build
/// is refused before anything in it is read.
pub(crate) fn zones_of_elf(data: &[u8]) -> Vec<Range<usize>> {
    let Ok(file) = ElfFile64::<LittleEndian>::parse(data) else { return Vec::new() };
    let header = file.elf_header();
    let sections = file.elf_section_table().iter().count();
    let table = usize::try_from(header.e_shoff(LittleEndian)).unwrap_or(usize::MAX);
    let mut zones = vec![16..64, 64..(64 + 56 * usize::from(header.e_phnum(LittleEndian)))];
    zones.push(table..table.saturating_add(64 * sections));
    for section in file.sections().filter(|section| section.name() != Ok(".note.gnu.build-id")) {
        if let Some((offset, size)) = section.elf_section_header().file_range(LittleEndian) {
            // The file may be damaged already.
            zones.push(offset as usize..offset.saturating_add(size) as usize);
        }
    }
    zones.retain(|zone| !zone.is_empty() && zone.end <= data.len());
    zones
}
