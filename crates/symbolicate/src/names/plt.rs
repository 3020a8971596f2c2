//! Names of entries of the procedure linkage table, which no symbol names: `memcpy@plt`, as disassemblers write them.

use necropsy_model::{Arch, Svma, Text};
use object::{Object, ObjectSection};

use super::demangle::demangle;
use crate::image::{Elf, Image};
use crate::unwind::plt_slot;

const LE: object::LittleEndian = object::LittleEndian;
/// Bytes of an entry where its section does not say: the same on x86-64 and aarch64.
const ENTRY: u64 = 16;
/// Bytes of an `Elf64_Rela`: offset, info, addend.
const RELOCATION: usize = 24;

/// The function that the entry at an address jumps to, with `@plt` behind its name.
pub(super) fn name<'data>(image: &Image<'data>, address: Svma) -> Option<Text<'data>> {
    let elf = image.elf.as_ref()?;
    let covers = |section: &object::read::elf::ElfSection64<'data, '_, object::LittleEndian>| {
        let named = section.name().is_ok_and(|name| name.starts_with(".plt"));
        named && address.0.checked_sub(section.address()).is_some_and(|offset| offset < section.size())
    };
    let section = elf.sections().find(covers)?;
    let first = section.address();
    let arch = match elf.architecture() {
        object::Architecture::X86_64 => Arch::X86_64,
        object::Architecture::Aarch64 => Arch::Aarch64,
        _ => return None,
    };
    // `.plt.got` of older linkers has entries of eight bytes.
    [ENTRY, ENTRY / 2].into_iter().find_map(|size| {
        let entry = first + (address.0 - first) / size * size;
        let slot = plt_slot(image.constant_bytes(Svma(entry))?, entry, arch)?;
        let name = relocated_to(elf, slot)?;
        Some(Text::from(format!("{}@plt", demangle(name))))
    })
}

/// The symbol whose address the loader puts into a slot.
fn relocated_to<'data>(elf: &Elf<'data>, slot: u64) -> Option<&'data str> {
    let symbol = [".rela.plt", ".rela.dyn"].into_iter().find_map(|name| {
        let table = elf.section_by_name(name)?.data().ok()?;
        let word = |entry: &[u8], at: usize| Some(u64::from_le_bytes(*entry.get(at..)?.first_chunk()?));
        let entry = table.chunks_exact(RELOCATION).find(|entry| word(entry, 0) == Some(slot))?;
        usize::try_from(word(entry, 8)? >> 32).ok().filter(|&index| index != 0)
    })?;
    let table = elf.elf_dynamic_symbol_table();
    let symbol = table.symbol(object::SymbolIndex(symbol)).ok()?;
    std::str::from_utf8(table.symbol_name(LE, symbol).ok()?).ok().filter(|name| !name.is_empty())
}
