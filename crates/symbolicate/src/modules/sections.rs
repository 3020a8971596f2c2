//! Sections of an ELF file, decompressed where they are compressed, each at most once.

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};

use gimli::SectionId;
use necropsy_model::Arena;
use object::{CompressionFormat, Object, ObjectSection};
use rustc_hash::FxHashMap;

use crate::image::{Dwarf, Elf, Slice};

/// Most bytes of a decompressed section: above the largest debug information that a linker with 32-bit offsets writes.
const MOST_DECOMPRESSED: u64 = 4 << 30;
/// Deflate can not expand by more than 1032; a section that claims more is damaged, and one of zstd is not believed.
const MOST_EXPANSION: u64 = 2048;

/// A file with sections.
pub(crate) struct Sections<'data> {
    /// The file.
    pub elf: Elf<'data>,
    arena: &'data Arena,
    decompressed: Mutex<FxHashMap<&'static str, &'data [u8]>>,
}

impl<'data> Sections<'data> {
    /// The sections of a file.
    pub fn new(elf: Elf<'data>, arena: &'data Arena) -> Self {
        Self { elf, arena, decompressed: Mutex::default() }
    }

    /// The bytes of a section; empty when it is missing or damaged. `.zdebug_…` is found under its `.debug_…` name.
    pub fn get(&self, name: &'static str) -> &'data [u8] {
        let Some(section) = self.elf.section_by_name(name) else { return &[] };
        let Ok(data) = section.compressed_data() else { return &[] };
        if data.format == CompressionFormat::None {
            return data.data;
        }
        let stated = data.uncompressed_size;
        if stated > MOST_DECOMPRESSED || stated > (data.data.len() as u64).saturating_mul(MOST_EXPANSION) {
            return &[];
        }
        let mut known = self.decompressed.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(name).or_insert_with(|| match data.decompress() {
            Ok(Cow::Borrowed(bytes)) => bytes,
            Ok(Cow::Owned(bytes)) => self.arena.keep(bytes),
            Err(_) => &[],
        })
    }

    /// Debug information is there.
    pub fn has_dwarf(&self) -> bool {
        self.elf.section_by_name(".debug_info").is_some_and(|section| section.size() > 0)
    }

    /// Location lists are compressed, so that leaving them alone spares work.
    pub fn locations_cost(&self) -> bool {
        let lists = [".debug_loc", ".debug_loclists"].into_iter().filter_map(|name| self.elf.section_by_name(name));
        lists
            .into_iter()
            .any(|section| section.compressed_data().is_ok_and(|data| data.format != CompressionFormat::None))
    }

    /// The debug information of this file: the sections that names need and, when asked for, those that values need.
    pub fn dwarf(&self, with_locations: bool) -> Dwarf<'data> {
        let load = |id: SectionId| {
            let bytes = match id {
                SectionId::DebugLoc | SectionId::DebugLocLists if !with_locations => &[],
                // Nobody here reads these.
                SectionId::DebugMacinfo | SectionId::DebugMacro | SectionId::DebugNames => &[],
                _ => self.get(id.name()),
            };
            Ok::<_, std::convert::Infallible>(Slice::new(bytes, gimli::LittleEndian))
        };
        match Dwarf::load(load) {
            Ok(dwarf) => dwarf,
            Err(never) => match never {},
        }
    }
}
