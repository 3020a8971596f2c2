//! Images that only the dump holds: the vDSO, and modules whose mappings were dumped whole.

use std::sync::OnceLock;

use necropsy_model::{Memory, Module, ModuleId, Svma};
use object::LittleEndian;
use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader};

use super::{Finder, bias_of};
use crate::image::{Elf, Image, Segment, UnwindSections};

/// Program headers read from an image in memory; linkers write some ten.
const MAX_HEADERS: usize = 256;

/// An image of what the dump holds of a module; `None` when it holds no code of it.
pub(super) fn image<'data>(
    id: ModuleId,
    module: &Module<'data>,
    memory: &Memory<'data>,
    finder: &Finder<'data>,
) -> Option<Image<'data>> {
    let endian = LittleEndian;
    let head = memory.tail(module.base);
    let header = FileHeader64::<LittleEndian>::parse(head).ok()?;
    let headers = header.program_headers(endian, head).ok()?.get(..).filter(|all| all.len() <= MAX_HEADERS)?;
    let loads = headers.iter().filter(|header| header.p_type(endian) == elf::PT_LOAD);
    let first = loads.clone().map(|header| header.p_vaddr(endian)).min()?;
    let bias = module.bias.unwrap_or_else(|| bias_of(module.base, Svma(first)));
    let bytes_at = |start: Svma, size: u64| {
        let tail = memory.tail(bias.to_avma(start));
        tail.get(..usize::try_from(size).unwrap_or(usize::MAX)).unwrap_or(tail)
    };
    let segments: Vec<_> = loads
        .map(|header| {
            let (start, size) = (Svma(header.p_vaddr(endian)), header.p_memsz(endian));
            Segment {
                start,
                size,
                bytes: bytes_at(start, size),
                writable: header.p_flags(endian).contains(elf::PF_W),
                executable: header.p_flags(endian).contains(elf::PF_X),
            }
        })
        .collect();
    let code = segments.iter().any(|segment| segment.executable && segment.bytes.len() as u64 == segment.size);
    if !code {
        return None;
    }
    let index = headers.iter().find(|header| header.p_type(endian) == elf::PT_GNU_EH_FRAME);
    let index = index.map(|header| (Svma(header.p_vaddr(endian)), header.p_memsz(endian)));
    let eh_frame_hdr = index.map(|(start, size)| (start, bytes_at(start, size)));
    let eh_frame = eh_frame_hdr.and_then(|(start, bytes)| {
        let target = eh_frame_address(start, bytes)?;
        Some((target, memory.tail(bias.to_avma(target))))
    });
    // The vDSO is a whole file in memory, sections included.
    let whole = elf_in_memory(module, memory);
    Some(Image {
        module: id,
        bias,
        segments,
        unwind: UnwindSections { eh_frame_hdr, eh_frame, ..UnwindSections::default() },
        data: whole.as_ref().map(Elf::data).unwrap_or_default(),
        elf: whole,
        path: None,
        finder: finder.clone(),
        debug: OnceLock::new(),
    })
}

fn elf_in_memory<'data>(module: &Module<'data>, memory: &Memory<'data>) -> Option<Elf<'data>> {
    let bytes = memory.read(module.base, usize::try_from(module.size).ok()?).ok()?;
    Elf::parse(bytes).ok()
}

/// Where the index says that `.eh_frame` is: Linux Standard Base, "The `.eh_frame_hdr` section".
///
/// Only the encoding that every linker writes is read: relative to the field, four bytes, signed.
fn eh_frame_address(start: Svma, bytes: &[u8]) -> Option<Svma> {
    const PCREL_SDATA4: u8 = 0x1b;
    let (version, encoding) = (*bytes.first()?, *bytes.get(1)?);
    if version != 1 || encoding != PCREL_SDATA4 {
        return None;
    }
    let offset = i32::from_le_bytes(bytes.get(4..8)?.try_into().ok()?);
    Some(Svma(start.0.wrapping_add(4).wrapping_add(i64::from(offset) as u64)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_points_at_the_frames() {
        let bytes = [1, 0x1b, 3, 0x3b, 0x0c, 0, 0, 0];
        assert_eq!(eh_frame_address(Svma(0x2000), &bytes), Some(Svma(0x2010)));
        assert_eq!(eh_frame_address(Svma(0x2000), &bytes[..6]), None);
        assert_eq!(eh_frame_address(Svma(0x2000), &[2, 0x1b, 0, 0, 0, 0, 0, 0]), None);
    }
}
