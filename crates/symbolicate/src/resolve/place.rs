//! From what a text states of an address to the file's own address.

use necropsy_model::{Avma, Offset, Svma};
use object::elf::{ET_EXEC, PF_X, PT_LOAD, STT_FUNC, STT_GNU_IFUNC, STT_NOTYPE};
use object::read::elf::{FileHeader, ProgramHeader, Sym};

use crate::image::{Elf, Image};
use crate::modules::headers::PAGE;

const LE: object::LittleEndian = object::LittleEndian;

/// An address that lies in code of the file.
pub(super) fn is_code(image: &Image<'_>, at: Svma) -> bool {
    let mut segments = image.segments.iter().filter(|segment| segment.executable);
    segments.any(|segment| at.0.checked_sub(segment.start.0).is_some_and(|offset| offset < segment.size))
}

/// The address of the process, where the file runs at its own addresses.
pub(super) fn fixed(image: &Image<'_>, process: Avma) -> Option<Svma> {
    let fixed = elf(image)?.elf_header().e_type(LE) == ET_EXEC;
    Some(Svma(process.0)).filter(|&at| fixed && is_code(image, at))
}

/// The place that an offset states.
pub(super) fn of(image: &Image<'_>, offset: &Offset, process: Option<Avma>) -> Option<Svma> {
    if let Some(fixed) = process.and_then(|process| fixed(image, process)) {
        return Some(fixed);
    }
    match *offset {
        Offset::Stated(at) => Some(at),
        Offset::Loaded(offset) => {
            let first = image.segments.first()?.start.0;
            let found = Svma((first - first % PAGE).checked_add(offset)?);
            // People also write the file's own address behind the name of a program that is not position independent.
            Some(found).filter(|&found| is_code(image, found)).or(Some(Svma(offset)))
        }
        Offset::InFile(_) | Offset::InMapping { .. } => in_code(headers(image)?, offset),
        Offset::Symbol { .. } => None,
    }
}

/// The place that an offset states of the kernel's kinds, by the file's program headers: in a segment that holds code.
pub(crate) fn in_code(headers: &[object::elf::ProgramHeader64<object::LittleEndian>], offset: &Offset) -> Option<Svma> {
    let mut code = headers.iter().filter(|header| header.p_type(LE) == PT_LOAD && header.p_flags(LE).contains(PF_X));
    match *offset {
        Offset::InFile(offset) => code.find_map(|header| {
            let inside = offset.checked_sub(header.p_offset(LE)).filter(|&inside| inside < header.p_memsz(LE))?;
            Some(Svma(header.p_vaddr(LE).checked_add(inside)?))
        }),
        Offset::InMapping { offset, size } => {
            let pages = |header: &object::elf::ProgramHeader64<object::LittleEndian>| {
                let start = header.p_vaddr(LE);
                let end = start.saturating_add(header.p_memsz(LE));
                (start - start % PAGE, end.checked_next_multiple_of(PAGE).unwrap_or(end))
            };
            let (start, _) = code.map(pages).find(|&(start, end)| end - start == size)?;
            Some(Svma(start.checked_add(offset)?))
        }
        Offset::Stated(_) | Offset::Loaded(_) | Offset::Symbol { .. } => None,
    }
}

/// The address of a function by its name in a symbol table.
pub(super) fn symbol(image: &Image<'_>, name: &str) -> Option<u64> {
    let debug = image.debug.get();
    let separate = debug.and_then(|debug| debug.found().separate.as_ref()).map(|(_, sections)| &sections.elf);
    let tables = [(image.elf.as_ref(), true), (image.elf.as_ref(), false), (separate, false)];
    let name = name.split('@').next().unwrap_or(name).as_bytes();
    tables.into_iter().find_map(|(elf, dynamic)| {
        let elf = elf?;
        let table = if dynamic { elf.elf_dynamic_symbol_table() } else { elf.elf_symbol_table() };
        let found = table.iter().find(|symbol| {
            let kind = symbol.st_type();
            (kind == STT_FUNC || kind == STT_GNU_IFUNC || kind == STT_NOTYPE)
                && symbol.st_value(LE) != 0
                && table.symbol_name(LE, symbol).ok() == Some(name)
        });
        found.map(|symbol| symbol.st_value(LE))
    })
}

fn elf<'i, 'data>(image: &'i Image<'data>) -> Option<&'i Elf<'data>> {
    let separate = || Some(&image.debug.get()?.found().separate.as_ref()?.1.elf);
    image.elf.as_ref().or_else(separate)
}

fn headers<'data>(image: &Image<'data>) -> Option<&'data [object::elf::ProgramHeader64<object::LittleEndian>]> {
    elf(image).map(object::read::elf::ElfFile::elf_program_headers)
}
