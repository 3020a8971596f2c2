//! Names of variables, from symbol tables.

use necropsy_model::{Svma, Text};
use object::elf::STT_OBJECT;
use object::read::elf::Sym;

use super::demangle::demangle;
use crate::image::{Elf, Image};

const LE: object::LittleEndian = object::LittleEndian;

/// A variable that covers an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DataSymbol<'data> {
    /// Demangled name.
    pub name: Text<'data>,
    /// First address.
    pub start: Svma,
}

/// The variable at each address of an image; addresses are sorted. One pass over each table of the file.
pub(crate) fn data_symbols<'data>(image: &Image<'data>, addresses: &[Svma]) -> Vec<Option<DataSymbol<'data>>> {
    let mut found = vec![None; addresses.len()];
    let debug = image.debug.get();
    let separate = debug.and_then(|debug| debug.found().separate.as_ref()).map(|(_, sections)| &sections.elf);
    for (elf, dynamic) in [(image.elf.as_ref(), false), (separate, false), (image.elf.as_ref(), true)] {
        if found.iter().all(Option::is_some) {
            break;
        }
        if let Some(elf) = elf {
            scan(elf, dynamic, addresses, &mut found);
        }
    }
    found
}

/// The address of the variable with this name, as the linker wrote it.
pub(crate) fn data_address(image: &Image<'_>, name: &str) -> Option<Svma> {
    let table = image.elf.as_ref()?.elf_symbol_table();
    let named = |symbol: &&object::elf::Sym64<object::LittleEndian>| {
        symbol.st_type() == STT_OBJECT && table.symbol_name(LE, symbol).is_ok_and(|found| found == name.as_bytes())
    };
    table.iter().find(named).map(|symbol| Svma(symbol.st_value(LE)))
}

fn scan<'data>(elf: &Elf<'data>, dynamic: bool, addresses: &[Svma], found: &mut [Option<DataSymbol<'data>>]) {
    let table = if dynamic { elf.elf_dynamic_symbol_table() } else { elf.elf_symbol_table() };
    for symbol in table.iter().filter(|symbol| symbol.st_type() == STT_OBJECT) {
        let (start, size) = (symbol.st_value(LE), symbol.st_size(LE));
        let from = addresses.partition_point(|address| address.0 < start);
        let to = addresses.partition_point(|address| address.0 < start.saturating_add(size));
        for at in from..to {
            let Some(slot) = found.get_mut(at).filter(|slot| slot.is_none()) else { continue };
            let name = table.symbol_name(LE, symbol).ok().and_then(|name| std::str::from_utf8(name).ok());
            *slot = name
                .filter(|name| !name.is_empty())
                .map(|name| DataSymbol { name: demangle(name), start: Svma(start) });
        }
    }
}
