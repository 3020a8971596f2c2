//! Names from symbol tables, for code without debug information.
//!
//! A report asks for a few addresses of a file with a hundred thousand symbols. One pass over the table with the
//! addresses sorted is cheaper than sorting the table, and needs no memory.

use necropsy_model::{Svma, SymbolSource};
use object::elf::{STB_GLOBAL, STB_LOCAL, STB_WEAK, STT_FUNC, STT_GNU_IFUNC, STT_NOTYPE};
use object::read::elf::{SectionHeader, Sym};

use crate::image::Elf;

const LE: object::LittleEndian = object::LittleEndian;

/// Farthest that a symbol without a size reaches: hand-written assembly, whose functions are short.
const REACH: u64 = 4096;

/// A symbol chosen for an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chosen<'data> {
    /// Its name as the table has it.
    pub name: &'data str,
    /// How much it says.
    pub source: SymbolSource,
    rank: Rank,
}

/// What makes one symbol a better name than another; greater is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    covers: bool,
    /// Address: the symbol that begins last.
    value: u64,
    function: bool,
    sized: bool,
    binding: u8,
    /// Fewer leading underscores: `write`, not `__write`.
    plain: std::cmp::Reverse<usize>,
    shorter: std::cmp::Reverse<usize>,
}

/// Finds the best symbol of a table for each of the addresses, which are sorted. `by_table` is what a covering symbol is worth.
pub(super) fn scan<'data>(
    elf: &Elf<'data>,
    dynamic: bool,
    addresses: &[Svma],
    by_table: SymbolSource,
) -> Vec<Option<Chosen<'data>>> {
    let table = if dynamic { elf.elf_dynamic_symbol_table() } else { elf.elf_symbol_table() };
    let mut best: Vec<Option<Chosen<'data>>> = vec![None; addresses.len()];
    for (index, symbol) in table.enumerate() {
        let kind = symbol.st_type();
        if kind != STT_FUNC && kind != STT_GNU_IFUNC && kind != STT_NOTYPE {
            continue;
        }
        let (value, size) = (symbol.st_value(LE), symbol.st_size(LE));
        let reach = if size == 0 { REACH } else { size };
        let from = addresses.partition_point(|address| address.0 < value);
        let to = addresses.partition_point(|address| address.0 < value.saturating_add(reach));
        if from >= to {
            continue;
        }
        let Ok(Some(section)) = table.symbol_section(LE, symbol, index) else { continue };
        let Ok(section) = elf.elf_section_table().section(section) else { continue };
        let end = section.sh_addr(LE).saturating_add(section.sh_size(LE));
        let Some(name) = table.symbol_name(LE, symbol).ok().and_then(|name| std::str::from_utf8(name).ok()) else {
            continue;
        };
        if is_label(name) {
            continue;
        }
        let function = kind != STT_NOTYPE;
        for address in from..to {
            let (Some(at), Some(slot)) = (addresses.get(address), best.get_mut(address)) else { continue };
            if at.0 >= end {
                continue;
            }
            // A function without a size is one of assembly; it goes on to the next symbol. A label may be anything, and
            // between two exported names there are others: musl's idle threads would all seem to run `memset`.
            let covers = size > 0 || function && !dynamic;
            let rank = Rank {
                covers,
                value,
                function,
                sized: size > 0,
                binding: binding(symbol.st_bind()),
                plain: std::cmp::Reverse(name.len() - name.trim_start_matches('_').len()),
                shorter: std::cmp::Reverse(name.len()),
            };
            let source = if covers { by_table } else { SymbolSource::Nearest };
            let chosen = Chosen { name, source, rank };
            if slot.is_none_or(|known| (known.rank, std::cmp::Reverse(known.name)) < (rank, std::cmp::Reverse(name))) {
                *slot = Some(chosen);
            }
        }
    }
    best
}

fn binding(binding: object::elf::SymbolBind) -> u8 {
    match binding {
        STB_GLOBAL => 3,
        STB_WEAK => 2,
        STB_LOCAL => 1,
        _ => 0,
    }
}

/// Not a function: marks of the assembler for code and data (`$x`, `$d`, `$x.12`), local labels, and nothing at all.
fn is_label(name: &str) -> bool {
    let mapping = name.strip_prefix('$').and_then(|rest| rest.chars().next());
    name.is_empty() || name.starts_with(".L") || matches!(mapping, Some('a' | 'd' | 't' | 'x'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_the_assembler_are_not_functions() {
        assert!(["$x", "$d.4", "", ".L12"].iter().all(|name| is_label(name)));
        assert!(!["$", "x", "$jit", "main"].iter().any(|name| is_label(name)));
    }

    fn rank(covers: bool, value: u64, binding: u8, name: &str) -> Rank {
        Rank {
            covers,
            value,
            function: true,
            sized: covers,
            binding,
            plain: std::cmp::Reverse(name.len() - name.trim_start_matches('_').len()),
            shorter: std::cmp::Reverse(name.len()),
        }
    }

    #[test]
    fn a_symbol_that_covers_beats_a_nearer_one_and_a_global_beats_its_aliases() {
        assert!(rank(true, 0x10, 3, "a") > rank(false, 0x18, 3, "b"));
        assert!(rank(true, 0x10, 3, "__write") > rank(true, 0x10, 2, "write"));
        assert!(rank(true, 0x10, 2, "write") > rank(true, 0x10, 2, "__write"));
    }
}
