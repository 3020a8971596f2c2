//! What a file says of itself in its dynamic section.

use goblin::container::{Container, Ctx};
use goblin::elf::dynamic::{DT_NEEDED, DT_RPATH, DT_RUNPATH, DT_SONAME, Dynamic};
use goblin::elf::program_header::{PT_INTERP, ProgramHeader};
use necropsy_model::Identity;

/// Longest name, `PATH_MAX`.
const LONGEST: usize = 4096;
/// Most libraries that one file asks for, and most paths.
const MOST_ENTRIES: usize = 4096;

/// Reads the identity of an ELF file. Only the dynamic section and its strings are touched.
pub(super) fn read(bytes: &[u8]) -> Option<Identity> {
    let header = goblin::elf::Elf::parse_header(bytes).ok()?;
    let context = Ctx::new(Container::Big, header.endianness().ok()?);
    let offset = usize::try_from(header.e_phoff).ok()?;
    let headers = ProgramHeader::parse(bytes, offset, usize::from(header.e_phnum), context).ok()?;
    let interpreter = headers.iter().find(|header| header.p_type == PT_INTERP);
    let interpreter = interpreter.and_then(|header| text_at(bytes, header.p_offset));
    let Ok(Some(dynamic)) = Dynamic::parse(bytes, &headers, context) else {
        return Some(Identity { interpreter, ..Identity::default() });
    };
    let start = dynamic.info.strtab;
    let end = start.checked_add(dynamic.info.strsz);
    let strings = end.and_then(|end| bytes.get(start..end)).unwrap_or_default();
    let all = |tag| {
        let entries = dynamic.dyns.iter().filter(move |entry| entry.d_tag == tag).take(MOST_ENTRIES);
        entries.filter_map(|entry| text_at(strings, entry.d_val))
    };
    Some(Identity {
        soname: all(DT_SONAME).next(),
        needed: all(DT_NEEDED).collect(),
        interpreter,
        runpaths: all(DT_RUNPATH).chain(all(DT_RPATH)).collect(),
    })
}

/// The text at an offset, up to its zero. goblin's own table reads every string of the file first, or panics on bad ones.
fn text_at(table: &[u8], offset: u64) -> Option<String> {
    let tail = table.get(usize::try_from(offset).ok()?..)?;
    let text = tail.get(..LONGEST).unwrap_or(tail).split(|&byte| byte == 0).next()?;
    Some(String::from_utf8_lossy(text).into_owned()).filter(|text| !text.is_empty())
}
