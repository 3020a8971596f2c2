//! Sections of an ELF file, decompressed where they are compressed, each at most once.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use flate2::{Decompress, FlushDecompress};
use gimli::SectionId;
use necropsy_model::Arena;
use object::{CompressedData, CompressionFormat, Object, ObjectSection};
use rustc_hash::FxHashMap;

use super::open::Pages;
use crate::image::{Dwarf, Elf, Slice};

/// Most bytes of a decompressed section: above the largest debug information that a linker with 32-bit offsets writes.
const MOST_DECOMPRESSED: u64 = 4 << 30;
/// Deflate can not expand by more than 1032; a section that claims more is damaged, and one of zstd is not believed.
const MOST_EXPANSION: u64 = 2048;

/// Unpacking less than this is not worth a second thread.
const WORTH_A_THREAD: u64 = 256 << 10;

/// How much of the debug information is unpacked, where it is compressed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    /// Bytes of `.debug_info`, from its beginning.
    pub info: usize,
    /// Location lists, which only values need.
    pub locations: bool,
}

/// A file with sections.
pub(crate) struct Sections<'data> {
    /// The file.
    pub elf: Elf<'data>,
    arena: &'data Arena,
    pages: Option<Pages>,
    unpacked: Mutex<FxHashMap<&'static str, Arc<OnceLock<&'data [u8]>>>>,
}

impl<'data> Sections<'data> {
    /// The sections of a file.
    pub fn new(elf: Elf<'data>, pages: Option<Pages>, arena: &'data Arena) -> Self {
        Self { elf, arena, pages, unpacked: Mutex::default() }
    }

    /// Gives back the memory of the pages that were read so far.
    pub fn forget_pages(&self) {
        if let Some(pages) = &self.pages {
            pages.forget();
        }
    }

    /// The bytes of a section; empty when it is missing or damaged. `.zdebug_…` is found under its `.debug_…` name.
    pub fn get(&self, name: &'static str) -> &'data [u8] {
        let Some(data) = self.data(name) else { return &[] };
        if data.format == CompressionFormat::None {
            return data.data;
        }
        let slot = Arc::clone(self.unpacked.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default());
        slot.get_or_init(|| match data.decompress() {
            Ok(Cow::Borrowed(bytes)) => bytes,
            Ok(Cow::Owned(bytes)) => self.arena.keep(bytes),
            Err(_) => &[],
        })
    }

    /// At least so many bytes from the beginning of a section, or all of it.
    fn beginning(&self, name: &'static str, length: usize) -> &'data [u8] {
        let Some(data) = self.data(name) else { return &[] };
        let known = self.unpacked.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        let whole = known.is_some_and(|slot| slot.get().is_some());
        let zlib = data.format == CompressionFormat::Zlib;
        if whole || !zlib || length as u64 >= data.uncompressed_size {
            return self.get(name);
        }
        inflate(data.data, length).map_or(&[], |bytes| self.arena.keep(bytes))
    }

    /// The data of a section, compressed or not, unless it claims what can not be.
    fn data(&self, name: &str) -> Option<CompressedData<'data>> {
        let data = self.elf.section_by_name(name)?.compressed_data().ok()?;
        let most = (data.data.len() as u64).saturating_mul(MOST_EXPANSION).min(MOST_DECOMPRESSED);
        (data.format == CompressionFormat::None || data.uncompressed_size <= most).then_some(data)
    }

    /// Debug information is there.
    pub fn has_dwarf(&self) -> bool {
        self.elf.section_by_name(".debug_info").is_some_and(|section| section.size() > 0)
    }

    /// A section has to be unpacked before it can be read.
    pub fn is_compressed(&self, name: &str) -> bool {
        self.data(name).is_some_and(|data| data.format != CompressionFormat::None)
    }

    /// Bytes of a section as the program sees them; 0 where it is missing or claims what can not be.
    pub fn unpacked_size(&self, name: &str) -> usize {
        self.data(name).and_then(|data| usize::try_from(data.uncompressed_size).ok()).unwrap_or(0)
    }

    /// The debug information of this file, or the part of it that is asked for: what is not compressed is always whole.
    pub fn dwarf(&self, part: Part) -> Dwarf<'data> {
        let others = || {
            for id in NEEDED.iter().filter(|&&id| id != SectionId::DebugInfo) {
                self.get(id.name());
            }
        };
        let info = || self.beginning(SectionId::DebugInfo.name(), part.info);
        let sizes = NEEDED.iter().filter_map(|id| self.data(id.name()));
        let packed = sizes.filter(|data| data.format != CompressionFormat::None).map(|data| data.data.len() as u64);
        let info = if packed.sum::<u64>() < WORTH_A_THREAD || part.info == 0 {
            info()
        } else {
            std::thread::scope(|scope| {
                scope.spawn(others);
                info()
            })
        };
        let load = |id: SectionId| {
            let bytes = match id {
                SectionId::DebugInfo => info,
                SectionId::DebugLoc | SectionId::DebugLocLists if part.locations || !self.is_compressed(id.name()) => {
                    self.get(id.name())
                }
                _ if NEEDED.contains(&id) => self.get(id.name()),
                _ => &[],
            };
            Ok::<_, std::convert::Infallible>(Slice::new(bytes, gimli::LittleEndian))
        };
        match Dwarf::load(load) {
            Ok(dwarf) => dwarf,
            Err(never) => match never {},
        }
    }
}

/// The sections that names and types need. Macros and the index of names are read by nobody here.
const NEEDED: [SectionId; 11] = [
    SectionId::DebugInfo,
    SectionId::DebugLine,
    SectionId::DebugAbbrev,
    SectionId::DebugStr,
    SectionId::DebugRngLists,
    SectionId::DebugRanges,
    SectionId::DebugAranges,
    SectionId::DebugLineStr,
    SectionId::DebugStrOffsets,
    SectionId::DebugAddr,
    SectionId::DebugTypes,
];

/// The first bytes of a zlib stream; `None` when it is damaged or shorter.
fn inflate(packed: &[u8], length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut stream = Decompress::new(true);
    let (mut read, mut written) = (0, 0);
    while written < length {
        let before = (read, written);
        stream.decompress(packed.get(read..)?, bytes.get_mut(written..)?, FlushDecompress::None).ok()?;
        read = usize::try_from(stream.total_in()).ok()?;
        written = usize::try_from(stream.total_out()).ok()?;
        if (read, written) == before {
            return None;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_beginning_of_a_stream_is_unpacked_alone() {
        let bytes: Vec<u8> = (0..200_000_u32).flat_map(|number| (number / 7).to_le_bytes()).collect();
        let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(&bytes).expect("memory");
        let packed = packer.finish().expect("memory");
        for length in [0, 1, 4096, 300_001] {
            assert_eq!(inflate(&packed, length).as_deref(), bytes.get(..length));
        }
        assert_eq!(inflate(&packed, bytes.len() + 1), None, "shorter than asked for");
        assert_eq!(inflate(&packed[..packed.len() / 2], bytes.len()), None, "cut");
    }
}
