//! Blocks of the heap as glibc keeps them (`malloc/malloc.c`): how far one reaches, and the marks that a released one bears.

use necropsy_model::Avma;

use super::Tracer;
use super::lead::{Path, Spot};

/// Largest block that is believed.
const LARGEST: u64 = 1 << 40;

impl Tracer<'_, '_, '_> {
    /// The object at a pointer may reach to an address.
    pub fn covers(&self, pointer: u64, address: u64) -> bool {
        if let Some((block, header)) = self.damaged.filter(|&(_, header)| header == address) {
            return (block..header).contains(&pointer);
        }
        if self.on_stack(address) || self.is_static(address) {
            return near(pointer, address);
        }
        pointer > 0xffff && self.chunk_covers(pointer, address)
    }

    /// The heap chunk at a pointer reaches to an address, by the size in front of it (glibc `malloc_chunk`).
    pub fn chunk_covers(&self, pointer: u64, address: u64) -> bool {
        let size = pointer.checked_sub(8).and_then(|header| self.word(header, 8)).map(|size| size & !7);
        match size {
            Some(size) if (0x20..LARGEST).contains(&size) && size.is_multiple_of(16) => {
                address.wrapping_sub(pointer) < size - 8
            }
            // A large block that is gone took its header with it.
            _ => near(pointer, address),
        }
    }

    /// Bytes from a pointer to the end of its block, where the sizes in front of it and behind it make sense.
    pub fn block_size(&self, block: u64) -> Option<u64> {
        /// A block has room for two links and the size of the next.
        const SMALLEST: u64 = 0x20;
        let sane = |size: u64| (SMALLEST..LARGEST).contains(&size) && size.is_multiple_of(16);
        let size = self.word(block.checked_sub(8)?, 8)? & !7;
        let heap = block.is_multiple_of(16) && sane(size) && !self.on_stack(block) && !self.is_static(block);
        if !heap {
            return None;
        }
        // A large block is a mapping of its own: nothing stands behind it.
        let mapped = self.word(block - 8, 8)? & 2 != 0 && block % 0x1000 == 16;
        let next = self.word(block.checked_add(size)?.checked_sub(8)?, 8).map(|next| next & !7);
        (mapped || next.is_some_and(|next| sane(next) || next == 0x10)).then(|| size - 8)
    }

    /// One of the first words at a pointer leads to the block around an address.
    pub fn leads_to(&self, pointer: u64, address: u64) -> bool {
        /// Words of a structure that are looked at.
        const WORDS: u64 = 12;
        if pointer <= 0xffff || self.on_stack(address) || self.is_static(address) {
            return false;
        }
        let inner = (0..WORDS).map_while(|index| self.word(pointer.checked_add(index * 8)?, 8));
        let before = inner.filter(|&inner| inner <= address && inner > 0xffff);
        if let Some((block, header)) = self.damaged.filter(|&(_, header)| header == address) {
            return before.into_iter().any(|inner| (block..header).contains(&inner));
        }
        let reaches = |inner: u64| match self.block_size(inner) {
            Some(size) => address - inner < size,
            // Go's allocator writes no sizes in front of its objects.
            None => self.stack.is_some() && near(inner, address),
        };
        before.into_iter().any(reaches)
    }

    /// A released block bears the allocator's marks in its first two words.
    pub fn is_released(&self, block: u64) -> bool {
        let Some((first, second)) = self.word(block, 8).zip(self.word(block.wrapping_add(8), 8)) else { return false };
        if self.block_size(block).is_none() {
            return false;
        }
        // The cache of a thread: the next block, mangled by its own place (`PROTECT_PTR`), and a random key (since 2.34).
        let next = first ^ (block >> 12);
        let region = |address| self.space.memory.region(Avma(address)).map(|region| region.start);
        let linked = next == 0 || next.is_multiple_of(16) && region(next).is_some() && region(next) == region(block);
        let random = !self.machine.is_canonical(second);
        if linked && random {
            return true;
        }
        // A bin: both links lead to blocks or to the heads of bins, which the C library has in its data.
        let head = |link: u64| {
            let linked = || self.global_name(link).is_some_and(|name| name == "main_arena");
            self.is_static(link) && (self.is_of_system(link) || linked()) && self.is_writable(link)
        };
        let link = |link: u64| link.is_multiple_of(16) && (head(link) || region(link) == region(block));
        (head(first) || head(second)) && link(first) && link(second)
    }

    /// The one place outside of the stack that has a value which is found nowhere by chance.
    pub fn only_place_of(&self, value: u64) -> Option<u64> {
        /// Bytes that are searched.
        const MOST: usize = 64 << 20;
        if value >> 32 == 0 || self.is_mapped(value) {
            return None;
        }
        let writable =
            |permissions: Option<necropsy_model::Permissions>| permissions.is_some_and(|rights| rights.write);
        let regions = self.space.memory.regions().iter().filter(|region| writable(region.permissions));
        let mut left = MOST;
        let mut found = None;
        for region in regions.filter(|region| !self.on_stack(region.start.0)) {
            left = left.checked_sub(region.bytes.len())?;
            for (at, word) in region.bytes.chunks_exact(8).enumerate() {
                let place = region.start.0 + at as u64 * 8;
                if word == value.to_le_bytes() && self.is_in_use(place) && found.replace(place).is_some() {
                    return None;
                }
            }
        }
        found
    }

    /// The first and the last page of a module's data show what lies next to it in the file too.
    fn is_in_use(&self, address: u64) -> bool {
        let Some((_, image)) = self.space.images.at(Avma(address)) else {
            let region = self.space.memory.region(Avma(address));
            let holds = |start: Avma| region.is_some_and(|region| region.start <= start && start < region.end);
            let images = self.space.images.all().iter();
            let mut data = images.flat_map(|image| {
                let writable = image.segments.iter().filter(|segment| segment.writable);
                writable.map(|segment| image.bias.to_avma(segment.start))
            });
            return !data.any(holds);
        };
        let svma = image.bias.to_svma(Avma(address)).0;
        image.segments.iter().any(|segment| {
            segment.writable && svma.checked_sub(segment.start.0).is_some_and(|offset| offset < segment.size)
        })
    }

    /// A value is the mark that the cache of a thread puts into released blocks (`tcache_key`): it was read out of one of them.
    ///
    /// Whether somebody is found who released such blocks.
    pub fn was_key(&mut self, value: u64, spot: Spot, path: &Path) -> bool {
        /// Bytes that are searched.
        const MOST: usize = 64 << 20;
        /// Blocks that are followed.
        const BLOCKS: usize = 8;
        if self.machine.is_canonical(value) {
            return false;
        }
        let mut left = MOST;
        let mut blocks: Vec<u64> = Vec::new();
        for region in self.space.memory.regions() {
            let writable = region.permissions.is_some_and(|rights| rights.write);
            if !writable || self.on_stack(region.start.0) || self.is_static(region.start.0) {
                continue;
            }
            let Some(rest) = left.checked_sub(region.bytes.len()) else { break };
            left = rest;
            let words = region.bytes.chunks_exact(8).enumerate().skip(1).step_by(2);
            let found = words.filter(|(_, word)| *word == value.to_le_bytes());
            blocks.extend(found.map(|(at, _)| region.start.0 + (at as u64 - 1) * 8));
        }
        blocks.retain(|&block| self.is_released(block));
        blocks.truncate(BLOCKS);
        let before = self.leads.len();
        for block in blocks {
            let mut path =
                path.with(spot, "released", "the value is what the allocator marks released blocks with".to_owned());
            path.seen_in(block);
            path.doubts.push("which released block it was read from is not known");
            self.freed(block, &path);
        }
        self.leads.len() > before
    }

    /// The released block around an address.
    pub fn released_block(&self, address: u64) -> Option<u64> {
        /// Bytes before the address in which its block may begin.
        const REACH: u64 = 1024;
        let candidates = (0..REACH / 16).map_while(|step| (address & !15).checked_sub(step * 16));
        let covers = |block: &u64| self.block_size(*block).is_some_and(|size| address - block < size);
        candidates.filter(covers).find(|&block| self.is_released(block))
    }
}

/// An object that begins at a pointer may reach to an address.
pub(super) fn near(pointer: u64, address: u64) -> bool {
    /// Bytes of an object whose size is not known.
    const OBJECT: u64 = 2048;
    pointer > 0xffff && address.wrapping_sub(pointer) < OBJECT
}
