//! A symbol table that came alone, as the two sections that a server sent, in the form of a file: what reads the tables of
//! files reads it too.

use std::borrow::Cow;

/// Bytes of an `Elf64_Sym`.
const SYMBOL: usize = 24;
/// Bytes of an `Elf64_Ehdr` and of an `Elf64_Shdr`.
const HEADER: u64 = 64;
/// Where `st_shndx` stands in a symbol, and the first of its reserved values (`SHN_LORESERVE`).
const SECTION_AT: usize = 6;
const RESERVED: u16 = 0xff00;
/// `sh_type` of bytes of the program, of a symbol table, of strings (gABI, chapter 4).
const PROGBITS: u32 = 1;
const SYMTAB: u32 = 2;
const STRTAB: u32 = 3;
/// Names of the sections of the file that is made.
const NAMES: &[u8] = b"\0.symtab\0.strtab\0";

/// A section as the program saw it.
pub(super) fn section(sent: &[u8]) -> Option<Vec<u8>> {
    necropsy_debuginfod::unpacked_section(sent).map(Cow::into_owned)
}

/// An ELF file of these two sections; `None` when they can not be a symbol table and its strings.
///
/// Sections that symbols lie in are there by number, without bytes, and reach as far as anybody asks: where they end, only
/// the file itself says.
pub(super) fn table(symbols: &[u8], strings: &[u8]) -> Option<Vec<u8>> {
    if symbols.is_empty()
        || !symbols.len().is_multiple_of(SYMBOL)
        || strings.first() != Some(&0)
        || strings.last() != Some(&0)
    {
        return None;
    }
    let section = |symbol: &[u8]| Some(u16::from_le_bytes(*symbol.get(SECTION_AT..)?.first_chunk()?));
    let numbers = symbols.chunks_exact(SYMBOL).filter_map(section).filter(|&number| number < RESERVED);
    let last = numbers.max()?;
    let at_symbols = HEADER;
    let at_strings = at_symbols.checked_add(symbols.len() as u64)?;
    let at_names = at_strings.checked_add(strings.len() as u64)?;
    let at_headers = at_names.checked_add(NAMES.len() as u64)?.checked_next_multiple_of(8)?;
    let count = last.checked_add(4)?;

    let mut file = Vec::new();
    file.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    file.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    put64(&mut file, &[0, 0, at_headers]);
    file.extend([0; 4]);
    let halves = [HEADER as u16, 0, 0, HEADER as u16, count, last + 3];
    file.extend(halves.iter().flat_map(|half| half.to_le_bytes()));
    file.extend(symbols);
    file.extend(strings);
    file.extend(NAMES);
    file.resize(usize::try_from(at_headers).ok()?, 0);
    let mut header = |name: u32, kind: u32, offset: u64, size: u64, link: u32, entry: u64| {
        put32(&mut file, &[name, kind]);
        put64(&mut file, &[0, 0, offset, size]);
        put32(&mut file, &[link, 0]);
        put64(&mut file, &[1, entry]);
    };
    header(0, 0, 0, 0, 0, 0);
    (0..last).for_each(|_| header(0, PROGBITS, 0, u64::MAX, 0, 0));
    header(1, SYMTAB, at_symbols, symbols.len() as u64, u32::from(last) + 2, SYMBOL as u64);
    header(9, STRTAB, at_strings, strings.len() as u64, 0, 0);
    header(9, STRTAB, at_names, NAMES.len() as u64, 0, 0);
    Some(file)
}

fn put32(file: &mut Vec<u8>, words: &[u32]) {
    file.extend(words.iter().flat_map(|word| word.to_le_bytes()));
}

fn put64(file: &mut Vec<u8>, words: &[u64]) {
    file.extend(words.iter().flat_map(|word| word.to_le_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Elf;

    /// A function of 16 bytes in a section.
    fn symbol(name: u32, section: u16, value: u64) -> Vec<u8> {
        let mut symbol = name.to_le_bytes().to_vec();
        symbol.extend([0x12, 0]);
        symbol.extend(section.to_le_bytes());
        symbol.extend(value.to_le_bytes());
        symbol.extend(16_u64.to_le_bytes());
        symbol
    }

    #[test]
    fn a_table_that_came_alone_reads_like_that_of_a_file() {
        let symbols = [symbol(0, 0, 0), symbol(1, 14, 0x1000), symbol(6, 0xfff1, 0x2000)].concat();
        let file = table(&symbols, b"\0main\0absolute\0").expect("a table");
        let elf = Elf::parse(&*file).expect("a file");
        let table = elf.elf_symbol_table();
        let names: Vec<_> = table.iter().map(|symbol| table.symbol_name(object::LittleEndian, symbol).ok()).collect();
        assert_eq!(names, [Some(&b""[..]), Some(b"main"), Some(b"absolute")]);
        let of = table.symbol(object::SymbolIndex(1)).expect("a symbol");
        let section = table.symbol_section(object::LittleEndian, of, object::SymbolIndex(1)).expect("a section");
        assert!(elf.elf_section_table().section(section.expect("a number")).is_ok());
        assert!(super::super::debug::has_section(&elf, ".symtab"));
    }

    #[test]
    fn what_can_not_be_a_table_is_refused() {
        let good = symbol(0, 1, 0);
        assert!(table(&good, b"\0").is_some());
        for (symbols, strings) in
            [(&good[..20], &b"\0"[..]), (&good, b""), (&good, b"main\0"), (&good, b"\0main"), (&[], b"\0")]
        {
            assert!(table(symbols, strings).is_none());
        }
    }
}
