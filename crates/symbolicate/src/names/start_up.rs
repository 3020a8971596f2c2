//! Functions of the C library that start a program or a thread.

use std::ops::Range;

use necropsy_model::Svma;
use object::read::elf::Sym;

use crate::image::{Elf, Image};

/// What lies below `main` and below a thread's function: glibc's `csu/libc-start.c`, `nptl/pthread_create.c` and `clone3.S`,
/// musl's `src/env/__libc_start_main.c` and `src/thread/pthread_create.c`.
const NAMES: [&str; 12] = [
    "_start",
    "__libc_start_call_main",
    "__libc_start_main",
    "__libc_start_main_impl",
    "generic_start_main",
    "libc_start_main_stage2",
    "start_thread",
    "start",
    "clone",
    "__clone",
    "clone3",
    "__clone3",
];

/// Where these functions are in an image, by all its symbol tables; sorted.
///
/// Nobody asks for their lines or their arguments. Where a distribution's compressed debug file is installed, unpacking it
/// for the last two frames of the only stack took more than half of the time for a small core.
pub(crate) fn ranges(image: &Image<'_>) -> Vec<Range<u64>> {
    let debug = image.debug.get();
    let separate = debug.and_then(|debug| debug.found().separate.as_ref()).map(|(_, sections)| &sections.elf);
    let mut found: Vec<_> = image.elf.iter().chain(separate).flat_map(of_file).collect();
    found.sort_by_key(|range| range.start);
    found
}

/// Whether an address lies in one of these ranges.
pub(crate) fn covers(ranges: &[Range<u64>], address: Svma) -> bool {
    ranges.iter().any(|range| range.contains(&address.0))
}

fn of_file<'a>(elf: &'a Elf<'_>) -> impl Iterator<Item = Range<u64>> + 'a {
    let tables = [elf.elf_symbol_table(), elf.elf_dynamic_symbol_table()];
    tables.into_iter().flat_map(|table| {
        table.iter().filter_map(|symbol| {
            let size = symbol.st_size(object::LittleEndian);
            let start = symbol.st_value(object::LittleEndian);
            let name = table.symbol_name(object::LittleEndian, symbol).ok().filter(|_| size > 0)?;
            let name = name.split(|&byte| byte == b'@').next()?;
            NAMES.iter().any(|start_up| start_up.as_bytes() == name).then(|| start..start.saturating_add(size))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_covered_to_the_last_byte() {
        let ranges = [0x10..0x20, 0x40..0x48];
        assert!(covers(&ranges, Svma(0x10)) && covers(&ranges, Svma(0x47)));
        assert!(!covers(&ranges, Svma(0x20)) && !covers(&ranges, Svma(0x48)) && !covers(&[], Svma(0)));
    }
}
