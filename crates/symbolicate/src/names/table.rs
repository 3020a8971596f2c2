//! Names from symbol tables: `.symtab`, `.gnu_debugdata`, `.dynsym`.

use necropsy_model::{Svma, SymbolSource, Text};
use object::{Object, ObjectSection, ObjectSymbol, ObjectSymbolTable, SymbolKind};

use super::demangle::demangle;
use crate::image::{Elf, Image};

/// A symbol that ends before the address may still be meant, when it is this near: hand-written assembler has no sizes.
const NEAR: u64 = 64 * 1024;

/// The tables of an image, best first.
fn tables<'a, 'data>(image: &'a Image<'data>) -> impl Iterator<Item = (&'a Elf<'data>, SymbolSource)> {
    let debug = image.debug_file();
    let full = [image.elf.as_ref(), debug.elf.as_ref()].into_iter().flatten();
    let full = full.map(|elf| (elf, SymbolSource::SymbolTable));
    full.chain(debug.mini.iter().map(|elf| (elf, SymbolSource::MiniDebugInfo)))
}

/// The image has no symbol at all.
pub(super) fn is_empty(image: &Image<'_>) -> bool {
    let named = tables(image).any(|(elf, _)| elf.symbol_table().is_some());
    !named && image.elf.as_ref().is_none_or(|elf| elf.dynamic_symbol_table().is_none())
}

/// The symbols that cover sorted addresses, in their order.
///
/// One pass over each table: a table may hold a million symbols, a report some tens of addresses.
pub(super) fn look_up<'data>(image: &Image<'data>, addresses: &[Svma]) -> Vec<Option<(Text<'data>, SymbolSource)>> {
    let mut best: Vec<Option<Candidate<'data>>> = vec![None; addresses.len()];
    if addresses.is_empty() {
        return Vec::new();
    }
    for (elf, source) in tables(image) {
        scan(elf, elf.symbol_table(), source, addresses, &mut best);
    }
    if let Some(elf) = &image.elf {
        scan(elf, elf.dynamic_symbol_table(), SymbolSource::DynamicSymbol, addresses, &mut best);
    }
    best.into_iter().map(|found| found.map(|found| (demangle(found.name), found.source()))).collect()
}

#[derive(Clone, Copy)]
struct Candidate<'data> {
    name: &'data [u8],
    start: u64,
    covers: bool,
    global: bool,
    table: SymbolSource,
}

impl Candidate<'_> {
    fn source(&self) -> SymbolSource {
        if self.covers { self.table } else { SymbolSource::Nearest }
    }

    /// One that covers beats one that does not, then the better table, the nearer start, the global name, the first one.
    fn beats(&self, other: &Self) -> bool {
        let key = |one: &Self| (one.covers, std::cmp::Reverse(one.table), one.start, one.global);
        key(self) > key(other)
    }
}

fn scan<'data>(
    elf: &Elf<'data>,
    table: Option<object::read::elf::ElfSymbolTable<'data, '_, object::elf::FileHeader64<object::LittleEndian>>>,
    source: SymbolSource,
    addresses: &[Svma],
    best: &mut [Option<Candidate<'data>>],
) {
    let Some(table) = table else { return };
    for symbol in table.symbols() {
        if !symbol.is_definition()
            || !matches!(symbol.kind(), SymbolKind::Text | SymbolKind::Label | SymbolKind::Unknown)
        {
            continue;
        }
        let Ok(name) = symbol.name_bytes() else { continue };
        // Mapping symbols of aarch64 (`$x`, `$d`) mark code and data, they name nothing.
        if name.is_empty() || name.starts_with(b"$") {
            continue;
        }
        let (start, size) = (symbol.address(), symbol.size());
        let end = start.saturating_add(size.max(1));
        let reach = if size == 0 { start.saturating_add(NEAR).min(section_end(elf, &symbol, start)) } else { end };
        let from = addresses.partition_point(|address| address.0 < start);
        for (address, slot) in addresses.iter().zip(best.iter_mut()).skip(from) {
            if address.0 >= reach {
                break;
            }
            let candidate =
                Candidate { name, start, covers: address.0 < end, global: symbol.is_global(), table: source };
            if slot.as_ref().is_none_or(|known| candidate.beats(known)) {
                *slot = Some(candidate);
            }
        }
    }
}

/// Where the section of a symbol ends; a symbol names nothing behind it.
fn section_end<'data>(elf: &Elf<'data>, symbol: &impl ObjectSymbol<'data>, start: u64) -> u64 {
    let section = symbol.section_index().and_then(|index| elf.section_by_index(index).ok());
    section.map_or(start, |section| section.address().saturating_add(section.size()))
}
