//! glibc's allocator as it shows in memory: `malloc/malloc.c`, since 2.32 (safe-linking) and 2.34 (random tcache key).

use memchr::memmem;
use necropsy_model::{Avma, Evidenced, Region};

use crate::space::AddressSpace;

/// Memory that is searched for freed chunks at most: a heap of hundreds of megabytes is not worth reading for one fact.
const SEARCHED: usize = 64 << 20;
/// Bytes by which a freed chunk's second word may have been changed before it was used as a pointer.
const DRIFT: u64 = 4096;

/// What the heap says of a value that was used as a pointer.
pub(super) fn facts(value: u64, non_canonical: bool, space: &AddressSpace<'_, '_>) -> Vec<Evidenced> {
    if non_canonical {
        return key_of_freed(value, space).into_iter().collect();
    }
    freed_chunk(value, space).into_iter().collect()
}

/// Regions that can hold a heap, smallest first.
fn heaps<'a, 'data>(space: &AddressSpace<'a, 'data>) -> Vec<&'a Region<'data>> {
    let writable =
        |region: &&Region<'_>| region.permissions.is_some_and(|rights| rights.write) && region.file.is_none();
    let mut found: Vec<_> =
        space.memory.regions().iter().filter(writable).filter(|region| !region.bytes.is_empty()).collect();
    found.sort_by_key(|region| (region.bytes.len(), region.start));
    let mut budget = SEARCHED;
    found.retain(|region| {
        let fits = region.bytes.len() <= budget;
        budget -= if fits { region.bytes.len() } else { 0 };
        fits
    });
    found
}

/// The value stands as the second word of freed chunks: it is the mark that glibc puts there, `tcache_key`.
fn key_of_freed(value: u64, space: &AddressSpace<'_, '_>) -> Option<Evidenced> {
    let mut seen: Vec<Avma> = Vec::new();
    for region in heaps(space) {
        let finder = memmem::Finder::new(&value.to_le_bytes()[2..]).into_owned();
        for at in finder.find_iter(region.bytes) {
            let Some(slot) = at.checked_sub(2).map(|at| region.start.0.wrapping_add(at as u64)) else { continue };
            let (Some(chunk), true) = (slot.checked_sub(8), slot % 16 == 8) else { continue };
            let word = space.read_u64(Avma(slot)).unwrap_or_default();
            if word.abs_diff(value) < DRIFT && is_free_listed(chunk, region, space) {
                seen.push(Avma(chunk));
            }
        }
    }
    let &first = seen.first()?;
    let count = seen.len();
    let what = if count == 1 { "1 freed heap chunk".to_owned() } else { format!("{count} freed heap chunks") };
    let text =
        format!("{value:#x} is glibc's mark in freed memory (tcache_key): second word of {what}, the first at {first}");
    Some(Evidenced { kind: "tcache-key", text, source: space.memory.source(Avma(first.0.wrapping_add(8))) })
}

/// The chunk at this address looks as a member of a free list does: a sane header, and a link that demangles.
fn is_free_listed(chunk: u64, region: &Region<'_>, space: &AddressSpace<'_, '_>) -> bool {
    let Ok(header) = space.read_u64(Avma(chunk.wrapping_sub(8))) else { return false };
    let Ok(link) = space.read_u64(Avma(chunk)) else { return false };
    // The three low bits are flags; a chunk is at least 32 bytes and the thread cache holds none above 1040.
    let size = header & !7;
    let sane = (0x20..=0x410).contains(&size) && size.is_multiple_of(16);
    let next = link ^ (chunk >> 12);
    sane && (next == 0 || (next.is_multiple_of(16) && region.start.0 <= next && next < region.end.0))
}

/// The allocation at an address was given back to glibc's thread cache: a link that demangles stands where its contents began.
pub(crate) fn is_freed(address: u64, space: &AddressSpace<'_, '_>) -> bool {
    let marked = || address.checked_add(8).and_then(|slot| space.read_u64(Avma(slot)).ok()).is_some_and(|key| key != 0);
    let region = space.memory.region(Avma(address)).filter(|_| address.is_multiple_of(16));
    region.is_some_and(|region| is_free_listed(address, region, space)) && marked()
}

/// The value points at, or a little into, a chunk whose second word marks it as freed.
fn freed_chunk(value: u64, space: &AddressSpace<'_, '_>) -> Option<Evidenced> {
    let region = space.memory.region(Avma(value))?;
    let chunk = value & !15;
    let key = space.read_u64(Avma(chunk.checked_add(8)?)).ok()?;
    // The key is random: it is no address and not small.
    if !value.is_multiple_of(16) || key >> 48 == 0 || !is_free_listed(chunk, region, space) {
        return None;
    }
    let text = format!(
        "the object at {value:#x} is a freed heap chunk: its first word is a mangled free-list link, its second the freed mark {key:#x}"
    );
    Some(Evidenced { kind: "freed-chunk", text, source: space.memory.source(Avma(chunk)) })
}

#[cfg(test)]
mod tests {
    use necropsy_model::{Memory, Permissions};

    use super::*;
    use crate::image::Images;

    #[test]
    fn text_of_a_dropped_string_is_freed_memory() {
        const START: u64 = 0x5555_5558_1000;
        let freed = |size: u64, first: u64, second: u64| {
            let words = [0, size, first, second, 0, 0x21, 0, 0];
            let bytes: &'static [u8] = words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>().leak();
            let permissions = Some(Permissions { read: true, write: true, execute: false });
            let (start, end) = (Avma(START), Avma(START + 0x40));
            let memory = Memory::new(vec![Region { start, end, permissions, bytes, dumped: 0x40, file: None }]);
            let images = Images::default();
            is_freed(START + 16, &AddressSpace::new(&memory, &images))
        };
        let key = 0x9e37_79b9_7f4a_7c15;
        assert!(freed(0x21, START >> 12, key));
        assert!(freed(0x21, (START >> 12) ^ (START + 0x30), key));
        assert!(!freed(0x21, u64::from_le_bytes(*b"no rate\0"), key));
        assert!(!freed(0x21, START >> 12, 0));
        assert!(!freed(0x7, START >> 12, key));
    }
}
