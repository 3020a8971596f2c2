//! An ELF executable, library or vDSO as it lies in the memory of the process.

use necropsy_model::{Avma, Bias, BuildId, Memory, Text};

use super::bytes::{Layout, text};
use super::headers::{self, DYNAMIC, EXECUTABLES, INTERP, LOAD, NOTE, Segment};
use super::notes;

/// Most program headers of an image. Real ones have a dozen; a hostile core could let many images share many headers.
const MOST_HEADERS: usize = 256;
/// Most bytes of a note segment of an image.
const MOST_NOTES: usize = 64 * 1024;
/// Most entries of a dynamic section.
const MOST_DYNAMIC: usize = 4096;
/// Longest path or name, `PATH_MAX`.
pub(super) const LONGEST_PATH: usize = 4096;

/// The headers of an image and where it lies.
#[derive(Clone, Debug)]
pub(super) struct Image {
    /// Address of the file's first byte.
    pub base: u64,
    /// What was added to the addresses of the file.
    pub bias: Bias,
    /// Its program headers.
    pub segments: Vec<Segment>,
    layout: Layout,
}

impl Image {
    /// The image whose file begins at `base`, if there is one and its headers are in the dump.
    pub(super) fn read(memory: &Memory<'_>, base: u64) -> Option<Self> {
        let bytes = memory.tail(Avma(base));
        if !bytes.starts_with(b"\x7fELF") {
            return None;
        }
        let headers = headers::parse(bytes, MOST_HEADERS).filter(|headers| EXECUTABLES.contains(&headers.file_type))?;
        let first = headers.segments.iter().filter(|segment| segment.kind == LOAD).min_by_key(|load| load.offset)?;
        // The address in the file of its first byte; below the first segment where that begins in the middle of a page.
        let origin = first.address.wrapping_sub(first.offset);
        let bias = Bias(base.wrapping_sub(origin));
        Some(Self { base, bias, segments: headers.segments, layout: headers.layout })
    }

    /// First address behind the last segment.
    pub(super) fn end(&self) -> u64 {
        let loads = self.segments.iter().filter(|segment| segment.kind == LOAD);
        let ends = loads.map(|load| self.address(load).saturating_add(load.memory_size));
        ends.max().unwrap_or(self.base)
    }

    /// It has code.
    pub(super) fn has_code(&self) -> bool {
        self.segments.iter().any(|segment| segment.kind == LOAD && segment.flags & 1 != 0)
    }

    /// Where a segment lies in the process.
    pub(super) fn address(&self, segment: &Segment) -> u64 {
        segment.address.wrapping_add(self.bias.0)
    }

    fn find(&self, kind: u32) -> impl Iterator<Item = &Segment> {
        self.segments.iter().filter(move |segment| segment.kind == kind)
    }

    /// The bytes of a segment as far as the dump holds them, at most `most`.
    fn bytes<'data>(&self, memory: &Memory<'data>, segment: &Segment, most: usize) -> &'data [u8] {
        let tail = memory.tail(Avma(self.address(segment)));
        let size = usize::try_from(segment.file_size).unwrap_or(usize::MAX);
        tail.get(..size.min(most).min(tail.len())).unwrap_or_default()
    }

    /// Its build id. The note may lie behind the first page, which is all the kernel dumps by default.
    pub(super) fn build_id(&self, memory: &Memory<'_>) -> Option<BuildId> {
        // NT_GNU_BUILD_ID is 3.
        let mut notes = self.find(NOTE).flat_map(|segment| {
            notes::iterate(self.bytes(memory, segment, MOST_NOTES), self.address(segment), self.layout)
        });
        notes.find(|note| note.owner == b"GNU" && note.kind == 3).and_then(|note| BuildId::new(note.body))
    }

    /// The dynamic loader it asks for.
    pub(super) fn interpreter<'data>(&self, memory: &Memory<'data>) -> Option<Text<'data>> {
        let segment = self.find(INTERP).next()?;
        Some(text(self.bytes(memory, segment, LONGEST_PATH))).filter(|path| !path.is_empty())
    }

    /// The value of an entry of the dynamic section.
    pub(super) fn dynamic(&self, memory: &Memory<'_>, tag: u64) -> Option<u64> {
        let segment = self.find(DYNAMIC).next()?;
        let bytes = self.bytes(memory, segment, MOST_DYNAMIC * 16);
        dynamic_entry(bytes, tag, self.layout)
    }

    /// The name it gives itself, `DT_SONAME`.
    pub(super) fn soname<'data>(&self, memory: &Memory<'data>) -> Option<Text<'data>> {
        let strings = self.dynamic(memory, 5)?;
        // glibc adds the bias to the pointers in place, musl and the vDSO do not.
        let strings = if strings < self.base { strings.wrapping_add(self.bias.0) } else { strings };
        let tail = memory.tail(Avma(strings.checked_add(self.dynamic(memory, 14)?)?));
        Some(text(tail.get(..LONGEST_PATH).unwrap_or(tail))).filter(|name| !name.is_empty())
    }
}

/// The value of the entry `tag` of a dynamic section.
pub(super) fn dynamic_entry(bytes: &[u8], tag: u64, layout: Layout) -> Option<u64> {
    let mut words = layout.words(bytes);
    while let (Some(found), Some(value)) = (words.next(), words.next()) {
        match found {
            0 => return None,
            _ if found == tag => return Some(value),
            _ => {}
        }
    }
    None
}
