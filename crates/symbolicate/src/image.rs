//! An image: the verified file behind a module, or what the dump itself holds of it.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use gimli::SectionId;
use necropsy_model::{Avma, Bias, ModuleId, Svma};

use crate::go_table::GoTable;
use crate::modules::{Debug, Outcome};
use crate::names::thin;
use crate::unwind::{Machine, Tables};
use crate::values::debug_file::DebugFile;

/// A slice of a little-endian file; all unwound machines are little endian.
pub(crate) type Slice<'data> = gimli::EndianSlice<'data, gimli::LittleEndian>;

/// The debug information of one module, shared by names, unwinding and values.
pub(crate) type Dwarf<'data> = gimli::Dwarf<Slice<'data>>;

/// An ELF file of an unwound machine.
pub(crate) type Elf<'data> = object::read::elf::ElfFile64<'data, object::LittleEndian>;

/// The file behind a module, or what the dump holds of it (the vDSO; everything, with a generous `coredump_filter`).
pub(crate) struct Image<'data> {
    /// The module it stands for.
    pub module: ModuleId,
    /// What the loader added to the file's addresses.
    pub bias: Bias,
    /// Loadable segments in order of address.
    pub segments: Vec<Segment<'data>>,
    /// Tables to unwind with.
    pub unwind: UnwindSections<'data>,
    /// The module's own file; `None` when only the dump holds the image.
    pub elf: Option<Elf<'data>>,
    /// Where its debug information is looked for; the look-up happens at first use.
    pub debug: OnceLock<Arc<Debug<'data>>>,
    /// Go's own table, looked for at first use.
    pub go: OnceLock<Option<GoTable<'data>>>,
}

/// A loadable segment (`PT_LOAD`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment<'data> {
    /// First address in the file's terms.
    pub start: Svma,
    /// Bytes in memory.
    pub size: u64,
    /// Bytes of the file; shorter than `size` where the rest is zero-filled.
    pub bytes: &'data [u8],
    /// The process could write here, so that the file does not tell what was in memory.
    pub writable: bool,
    /// Holds code.
    pub executable: bool,
}

/// Tables to unwind with, each with its address in the file's terms.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct UnwindSections<'data> {
    /// `.eh_frame_hdr`: the sorted index into `.eh_frame`.
    pub eh_frame_hdr: Option<(Svma, &'data [u8])>,
    /// `.eh_frame`.
    pub eh_frame: Option<(Svma, &'data [u8])>,
    /// `.debug_frame`, of the file or of its debug file.
    pub debug_frame: Option<&'data [u8]>,
    /// `.text`, a base for relative pointers.
    pub text: Option<Svma>,
    /// `.got`, a base for relative pointers.
    pub got: Option<Svma>,
}

impl<'data> Image<'data> {
    /// `.debug_frame`, of the file itself or of its debug file: Go writes no other unwind table, and hand-written code of
    /// C libraries often has its rules only there.
    pub fn debug_frame(&self) -> Option<&'data [u8]> {
        self.unwind.debug_frame.or_else(|| self.debug.get()?.debug_frame())
    }

    /// Go's own table of functions, in a program or library that Go's linker made.
    pub fn go_table(&self) -> Option<&GoTable<'data>> {
        self.go.get_or_init(|| GoTable::of(self.elf.as_ref()?, &self.segments)).as_ref()
    }

    /// The code at an address was made by Go's compiler or assembler.
    pub fn is_go(&self, address: Svma) -> bool {
        self.go_table().is_some_and(|table| table.covers(address))
    }

    /// The bytes of the file behind an address, to the end of its segment; only where the process could not write.
    pub fn constant_bytes(&self, address: Svma) -> Option<&'data [u8]> {
        let segment = self.segments.iter().find(|segment| {
            !segment.writable && address.0.checked_sub(segment.start.0).is_some_and(|offset| offset < segment.size)
        })?;
        segment.bytes.get(usize::try_from(address.0 - segment.start.0).ok()?..)
    }
}

/// All images of a snapshot.
#[derive(Default)]
pub(crate) struct Images<'data> {
    images: Vec<Image<'data>>,
    /// Index of the image of each module.
    by_module: Vec<Option<usize>>,
    /// First address, first address behind, index: every loadable segment, sorted; modules may interleave.
    ranges: Vec<(u64, u64, usize)>,
    /// Unwind tables of each image, made at first use.
    tables: Vec<OnceLock<Tables<'data>>>,
    /// Debug information of each image, opened at first use and shared by names and values.
    debug_files: Vec<OnceLock<Option<DebugFile<'data>>>>,
    /// The [`thin`] functions of each image, found at first use.
    thin: Vec<OnceLock<Vec<Range<u64>>>>,
    /// What became of each module, in their order.
    outcomes: Vec<Outcome>,
}

impl<'data> Images<'data> {
    /// Images with an index by address.
    pub fn new(images: Vec<Image<'data>>) -> Self {
        let mut ranges = Vec::new();
        let mut by_module = Vec::new();
        for (index, image) in images.iter().enumerate() {
            let module = image.module.index();
            by_module.resize(by_module.len().max(module + 1), None);
            if let Some(slot @ None) = by_module.get_mut(module) {
                *slot = Some(index);
            }
            for segment in &image.segments {
                let start = image.bias.to_avma(segment.start).0;
                if let Some(end) = start.checked_add(segment.size) {
                    ranges.push((start, end, index));
                }
            }
        }
        ranges.sort_unstable();
        let tables = images.iter().map(|_| OnceLock::new()).collect();
        let debug_files = images.iter().map(|_| OnceLock::new()).collect();
        let thin = images.iter().map(|_| OnceLock::new()).collect();
        Self { images, by_module, ranges, tables, debug_files, thin, outcomes: Vec::new() }
    }

    /// The same, with what became of each module of the snapshot.
    pub fn with_outcomes(self, outcomes: Vec<Outcome>) -> Self {
        Self { outcomes, ..self }
    }

    /// What became of a module.
    pub fn outcome(&self, module: ModuleId) -> Option<&Outcome> {
        self.outcomes.get(module.index())
    }

    /// The image of a module.
    pub fn of(&self, module: ModuleId) -> Option<&Image<'data>> {
        self.images.get(self.index_of(module)?)
    }

    /// The index of the image of a module.
    pub fn index_of(&self, module: ModuleId) -> Option<usize> {
        *self.by_module.get(module.index())?
    }

    /// The image that is loaded at an address, with its index.
    pub fn at(&self, address: Avma) -> Option<(usize, &Image<'data>)> {
        let after = self.ranges.partition_point(|&(start, ..)| start <= address.0);
        let &(_, end, index) = self.ranges.get(after.checked_sub(1)?)?;
        (address.0 < end).then(|| Some((index, self.images.get(index)?)))?
    }

    /// The unwind tables of an image by its index.
    pub fn tables(&self, index: usize, machine: &'static Machine) -> Option<&Tables<'data>> {
        let image = self.images.get(index)?;
        Some(self.tables.get(index)?.get_or_init(|| Tables::new(image, machine)))
    }

    /// The debug information of an image by its index. The first who asks names the addresses, sorted, that will be looked up
    /// before all others: of compressed debug information only what they need is unpacked, and nothing for addresses that
    /// all lie in [`thin`] functions.
    pub fn debug_file(&self, index: usize, addresses: &[Svma]) -> Option<&DebugFile<'data>> {
        let image = self.images.get(index)?;
        let slot = self.debug_files.get(index)?;
        if slot.get().is_none() && self.thin_only(index, image, addresses) {
            return None;
        }
        slot.get_or_init(|| DebugFile::of(image.debug.get()?, image.bias, addresses)).as_ref()
    }

    fn thin_only(&self, index: usize, image: &Image<'data>, addresses: &[Svma]) -> bool {
        let packed = |debug: &Arc<Debug<'_>>| debug.is_of_system() && debug.is_compressed(SectionId::DebugInfo);
        let packed = image.debug.get().is_some_and(packed);
        let Some(ranges) = self.thin.get(index).filter(|_| packed) else { return false };
        let ranges = ranges.get_or_init(|| thin::ranges(image));
        addresses.iter().all(|&address| thin::covers(ranges, address))
    }

    /// All images; an index of [`Images::at`] counts these.
    pub fn all(&self) -> &[Image<'data>] {
        &self.images
    }
}
