//! `runtime.moduledata`: where the code begins and where the trees of inlined functions lie. No symbol names it in a stripped
//! file, but its first word is the address of the table.

use object::{Object, ObjectSection};

use crate::image::{Elf, Segment};

/// Numbers of words of the structure (`runtime/symtab.go`): first address of a function, first address of the code, and
/// `gofunc`, where the trees are. Since 1.20 the counters of coverage stand before it, since 1.27 sizes of tables of types;
/// since then the trees lie behind the table itself, and the end of both stands behind it.
const FIRST_PC: u64 = 20;
const TEXT: u64 = 22;
pub(super) const TREES_BEFORE_120: u64 = 38;
pub(super) const TREES: u64 = 40;
const TREES_SINCE_127: u64 = 43;
const END_SINCE_127: u64 = 44;
/// Bytes of a word; the machines of necropsy have no other.
const WORD: u64 = 8;
/// Bytes of `Elf64_Rela`: where, what, and what to add.
const RELOCATION: usize = 24;
/// Most places that hold the address of the table; a program has one, and one more for each plugin.
const MOST_CANDIDATES: usize = 64;

/// What the description of the module says.
#[derive(Default)]
pub(super) struct ModuleData<'data> {
    /// First address of the code.
    pub text: Option<u64>,
    /// From the trees of inlined functions on.
    pub functions: Option<&'data [u8]>,
}

/// Reads the description of the module whose table lies at an address; `trees` is the number of its word that says where the
/// trees are.
pub(super) fn find<'data>(elf: &Elf<'data>, segments: &[Segment<'data>], table: u64, trees: u64) -> ModuleData<'data> {
    let file = File { elf, segments };
    let own = elf.section_by_name(".go.module").map(|section| section.address());
    let Some(at) = own.into_iter().chain(file.holders(table)).find(|&at| file.is_module(at, table)) else {
        return ModuleData::default();
    };
    let text = file.word(at, TEXT);
    let since_127 = file.word(at, TREES_SINCE_127).zip(file.word(at, END_SINCE_127));
    let since_127 =
        since_127.filter(|&(place, end)| trees == TREES && (table..end).contains(&place)).map(|(place, _)| place);
    let functions = since_127.or_else(|| file.word(at, trees)).and_then(|place| file.bytes(place));
    ModuleData { text, functions }
}

struct File<'a, 'data> {
    elf: &'a Elf<'data>,
    segments: &'a [Segment<'data>],
}

impl<'data> File<'_, 'data> {
    /// Places in data that hold an address, before and after the loader has moved the file.
    fn holders(&self, table: u64) -> impl Iterator<Item = u64> + '_ {
        let needle = table.to_le_bytes();
        let writable = self.segments.iter().filter(|segment| segment.writable);
        let stored = writable.flat_map(move |segment| {
            let found = memchr::memmem::find_iter(segment.bytes, &needle).collect::<Vec<_>>();
            let found = found.into_iter().filter_map(|at| segment.start.0.checked_add(u64::try_from(at).ok()?));
            found.filter(|at| at.is_multiple_of(WORD)).take(MOST_CANDIDATES)
        });
        let relocated = self.relocations().filter(move |&(_, addend)| addend == table).map(|(at, _)| at);
        stored.chain(relocated.take(MOST_CANDIDATES))
    }

    /// Places that the loader fills in, each with the address that it puts there, moved with the file.
    fn relocations(&self) -> impl Iterator<Item = (u64, u64)> + use<'data> {
        let tables = [".rela.dyn", ".rela"].into_iter().filter_map(|name| self.elf.section_by_name(name)?.data().ok());
        let number = |entry: &[u8], at: usize| Some(u64::from_le_bytes(*entry.get(at..)?.first_chunk()?));
        let entries = tables.collect::<Vec<_>>().into_iter().flat_map(|table| table.chunks_exact(RELOCATION));
        entries.filter_map(move |entry| Some((number(entry, 0)?, number(entry, 16)?)))
    }

    /// It begins with the address of the table, and the code begins where its first function does.
    fn is_module(&self, at: u64, table: u64) -> bool {
        let text = self.word(at, TEXT);
        self.word(at, 0) == Some(table)
            && text.is_some_and(|text| self.is_code(text))
            && self.word(at, FIRST_PC).zip(text).is_some_and(|(first, text)| first >= text)
    }

    fn is_code(&self, address: u64) -> bool {
        self.segments.iter().any(|one| one.executable && address.wrapping_sub(one.start.0) < one.size)
    }

    /// A word of the structure at an address.
    fn word(&self, structure: u64, number: u64) -> Option<u64> {
        let at = structure.checked_add(number.checked_mul(WORD)?)?;
        let stored = self.bytes(at).and_then(|bytes| Some(u64::from_le_bytes(*bytes.first_chunk()?)));
        stored
            .filter(|&stored| stored != 0)
            .or_else(|| self.relocations().find(|&(place, _)| place == at).map(|(_, to)| to))
    }

    fn bytes(&self, address: u64) -> Option<&'data [u8]> {
        self.segments.iter().find_map(|segment| {
            let offset = address.checked_sub(segment.start.0).filter(|&offset| offset < segment.size)?;
            segment.bytes.get(usize::try_from(offset).ok()?..)
        })
    }
}
