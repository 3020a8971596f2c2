//! Go's own table of functions, `.gopclntab`: it names code of programs whose debug information and symbols were stripped,
//! because the runtime prints its tracebacks with it. Functions, files, lines, inlined functions (since Go 1.18), and how far
//! the stack pointer has moved.
//!
//! Sources: `debug/gosym/pclntab.go`, `runtime/symtab.go`, `runtime/symtabinl.go`, `internal/abi/symtab.go`, Go 1.2 to 1.27.

mod module_data;

use necropsy_model::{Svma, Text};
use object::{Object, ObjectSection};

use crate::image::Elf;
use crate::image::Segment;

/// Most functions inlined into each other at one address.
const MOST_INLINED: usize = 256;
/// Most steps through one table of values: a step covers an instruction at least, and no function has more.
const MOST_STEPS: usize = 1 << 22;
/// Longest name of a function or file.
const LONGEST_NAME: usize = 64 << 10;
/// Where linkers put the table: in programs that are moved when they are loaded, up to Go 1.25, among what is relocated.
const SECTIONS: [&str; 2] = [".gopclntab", ".data.rel.ro.gopclntab"];
/// Bytes before the first number of the header: magic, two zeros, size of an instruction, size of a pointer.
const PREFIX: usize = 8;
/// `internal/abi`: `PCDATA_InlTreeIndex`, `FUNCDATA_InlTree`.
const INLINE_INDEX: u64 = 2;
const INLINE_TREE: u64 = 3;

/// What the fields of the table are. The magic number is the same since Go 1.20; where the code begins, which the header said
/// until Go 1.25, stands in the description of the module since then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Layout {
    /// 1.2 to 1.15: one table, offsets from its beginning.
    Go12,
    /// 1.16 and 1.17: names, files and values apart.
    Go116,
    /// 1.18 and 1.19: addresses are offsets from the beginning of the code.
    Go118,
    /// Since 1.20: each function has its first line.
    Go120,
}

const LAYOUTS: [(u32, Layout); 4] = [
    (0xffff_fffb, Layout::Go12),
    (0xffff_fffa, Layout::Go116),
    (0xffff_fff0, Layout::Go118),
    (0xffff_fff1, Layout::Go120),
];

/// The table of one image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GoTable<'data> {
    layout: Layout,
    /// Bytes of a pointer.
    pointer: usize,
    /// Bytes of the shortest instruction: the unit of the distances between code addresses.
    quantum: u64,
    /// Functions.
    count: usize,
    /// What addresses are counted from, since Go 1.18.
    text: u64,
    /// First addresses and records of the functions, ascending.
    index: &'data [u8],
    /// What the offsets in `index` are counted from.
    functions: &'data [u8],
    names: &'data [u8],
    /// Numbers of files of each package, since Go 1.16; before, of all files.
    units: &'data [u8],
    files: &'data [u8],
    values: &'data [u8],
    /// `go:func.*`, which the trees of inlined functions lie in.
    trees: &'data [u8],
}

/// A function at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GoFrame<'data> {
    /// Its name, with the path of its package.
    pub name: Option<Text<'data>>,
    /// File and line in it.
    pub position: Option<(Text<'data>, u32)>,
}

/// The record of a function.
#[derive(Clone, Copy, Debug)]
struct Function<'data> {
    start: u64,
    end: u64,
    record: &'data [u8],
}

impl<'data> GoTable<'data> {
    /// The table of a file, by its section; where the sections were stripped away, by the first bytes of a header.
    pub fn of(elf: &Elf<'data>, segments: &[Segment<'data>]) -> Option<Self> {
        let section = SECTIONS.iter().find_map(|name| elf.section_by_name(name));
        let (address, bytes) = match section {
            Some(section) => (section.address(), section.data().ok()?),
            None if elf.elf_section_table().is_empty() => scan(segments)?,
            None => return None,
        };
        let mut table = Self::parse(bytes)?;
        if table.layout >= Layout::Go118 {
            let before = table.layout == Layout::Go118;
            let trees = if before { module_data::TREES_BEFORE_120 } else { module_data::TREES };
            let module = module_data::find(elf, segments, address, trees);
            if table.text == 0 {
                table.text = module.text.or_else(|| Some(elf.section_by_name(".text")?.address()))?;
            }
            table.trees = module.functions.unwrap_or_default();
        }
        // Records that lie outside the code are not those of this file.
        let first = table.start(0)?;
        segments
            .iter()
            .any(|segment| segment.executable && first.wrapping_sub(segment.start.0) < segment.size)
            .then_some(table)
    }

    /// A table that stands alone: code begins at 0, and the trees of inlined functions may be any bytes.
    pub fn alone(bytes: &'data [u8]) -> Option<Self> {
        Some(Self { trees: bytes, ..Self::parse(bytes)? })
    }

    /// Reads the header.
    fn parse(bytes: &'data [u8]) -> Option<Self> {
        let magic = u32_at(bytes, 0)?;
        let &(_, layout) = LAYOUTS.iter().find(|&&(known, _)| known == magic)?;
        let &[0, 0, quantum @ (1 | 2 | 4), pointer @ (4 | 8)] = bytes.get(4..PREFIX)? else { return None };
        let pointer = usize::from(pointer);
        let field = |index: usize| word(bytes, PREFIX + index * pointer, pointer);
        let part = |index: usize| bytes.get(usize::try_from(field(index)?).ok()?..);
        let count = usize::try_from(field(0)?).ok()?;
        let mut table = Self {
            layout,
            pointer,
            quantum: u64::from(quantum),
            count,
            text: 0,
            index: &[],
            functions: bytes,
            names: bytes,
            units: &[],
            files: bytes,
            values: bytes,
            trees: &[],
        };
        match layout {
            Layout::Go12 => {
                table.index = bytes.get(PREFIX + pointer..)?;
                let files = u32_at(table.index, count.checked_mul(2)?.checked_add(1)?.checked_mul(pointer)?)?;
                table.units = bytes.get(usize::try_from(files).ok()?..)?;
            }
            Layout::Go116 | Layout::Go118 | Layout::Go120 => {
                let first = if layout == Layout::Go116 { 2 } else { 3 };
                if layout >= Layout::Go118 {
                    table.text = field(2)?;
                }
                table.names = part(first)?;
                table.units = part(first + 1)?;
                table.files = part(first + 2)?;
                table.values = part(first + 3)?;
                table.functions = part(first + 4)?;
                table.index = table.functions;
            }
        }
        let length = count.checked_mul(2)?.checked_add(1)?.checked_mul(table.index_word())?;
        table.index = table.index.get(..length)?;
        (count > 0).then_some(table)
    }

    /// Bytes of a number in the index.
    fn index_word(&self) -> usize {
        if self.layout >= Layout::Go118 { 4 } else { self.pointer }
    }

    /// First address of a function by its number; that of the number behind the last one is the end of all.
    fn start(&self, number: usize) -> Option<u64> {
        let size = self.index_word();
        let start = word(self.index, number.checked_mul(2)?.checked_mul(size)?, size)?;
        Some(if self.layout >= Layout::Go118 { self.text.wrapping_add(start) } else { start })
    }

    fn function(&self, number: usize) -> Option<Function<'data>> {
        let size = self.index_word();
        let offset = word(self.index, number.checked_mul(2)?.checked_add(1)?.checked_mul(size)?, size)?;
        let record = self.functions.get(usize::try_from(offset).ok()?..)?;
        Some(Function { start: self.start(number)?, end: self.start(number.checked_add(1)?)?, record })
    }

    /// The function at an address: the last that begins before it.
    fn at(&self, address: Svma) -> Option<Function<'data>> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.start(middle)? <= address.0 {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        self.function(low.checked_sub(1)?).filter(|function| address.0 < function.end)
    }

    /// The functions at an address, innermost first.
    pub fn look_up(&self, address: Svma) -> Vec<GoFrame<'data>> {
        let Some(function) = self.at(address) else { return Vec::new() };
        let mut frames = Vec::new();
        let mut pc = address.0;
        while frames.len() < MOST_INLINED {
            let position = self.position(&function, pc);
            let Some((name, parent)) = self.inlined(&function, pc) else {
                frames.push(GoFrame { name: self.name(&function), position });
                break;
            };
            frames.push(GoFrame { name: Some(name), position });
            pc = parent;
        }
        frames
    }

    /// The address lies in a function that Go's compiler or assembler made.
    pub fn covers(&self, address: Svma) -> bool {
        self.at(address).is_some()
    }

    /// The function at an address, as first address and first address behind, and how far the stack pointer is below where the
    /// caller left it: the return address not counted.
    pub fn stack_delta(&self, address: Svma) -> Option<((Svma, Svma), i64)> {
        let function = self.at(address)?;
        let moved = self.value(self.field(&function, 4)?, function.start, address.0)?;
        Some(((Svma(function.start), Svma(function.end)), moved))
    }

    /// First address, first address behind, of the functions with these names.
    pub fn named<'n>(&self, names: &[&'n str]) -> Vec<(&'n str, u64, u64)> {
        let functions = (0..self.count).filter_map(|number| self.function(number));
        let known = |function: &Function<'data>| {
            let found = self.name_bytes(function)?;
            names.iter().copied().find(|name| name.as_bytes() == found)
        };
        functions.filter_map(|function| Some((known(&function)?, function.start, function.end))).collect()
    }

    /// A number of a function's record, counted from 1 as `debug/gosym` does: 1 name, 4 stack pointer, 5 file, 6 line, 7 how
    /// many tables of values, 8 package.
    fn field(&self, function: &Function<'data>, number: usize) -> Option<u32> {
        u32_at(function.record, self.fields() + (number - 1) * 4)
    }

    /// Where the numbers of a record begin: behind the function's address.
    fn fields(&self) -> usize {
        self.index_word()
    }

    fn name_bytes(&self, function: &Function<'data>) -> Option<&'data [u8]> {
        text_at(self.names, self.field(function, 1)?)
    }

    fn name(&self, function: &Function<'data>) -> Option<Text<'data>> {
        Some(text(self.name_bytes(function)?)).filter(|name| !name.is_empty())
    }

    /// File and line at an address of a function.
    fn position(&self, function: &Function<'data>, pc: u64) -> Option<(Text<'data>, u32)> {
        let number = self.value(self.field(function, 5)?, function.start, pc)?;
        let line = self.value(self.field(function, 6)?, function.start, pc)?;
        let number = u32::try_from(number).ok()?;
        let offset = if self.layout == Layout::Go12 {
            u32_at(self.units, usize::try_from(number).ok()?.checked_mul(4)?)?
        } else {
            let unit = self.field(function, 8)?;
            u32_at(self.units, usize::try_from(unit.checked_add(number)?).ok()?.checked_mul(4)?)?
        };
        let file = text_at(self.files, offset).filter(|file| offset != u32::MAX && !file.is_empty())?;
        Some((text(file), u32::try_from(line).ok().filter(|&line| line > 0)?))
    }

    /// The function inlined at an address, and the address that stands for its call.
    fn inlined(&self, function: &Function<'data>, pc: u64) -> Option<(Text<'data>, u64)> {
        /// Bytes of an entry, where its name and where the call stand in it.
        const BEFORE_120: (usize, usize, usize) = (20, 12, 16);
        const SINCE_120: (usize, usize, usize) = (16, 4, 8);
        let (size, name, call) = match self.layout {
            Layout::Go12 | Layout::Go116 => return None,
            Layout::Go118 => BEFORE_120,
            Layout::Go120 => SINCE_120,
        };
        // Behind the numbers: since 1.20 the first line; kind, flags, a gap, and how many references to data.
        let tail = self.fields() + 32 + if self.layout == Layout::Go120 { 4 } else { 0 };
        let references = u64::from(*function.record.get(tail + 3)?);
        let tables = u64::from(self.field(function, 7)?);
        if tables <= INLINE_INDEX || references <= INLINE_TREE {
            return None;
        }
        let at = |number: u64| {
            let offset = usize::try_from(number.checked_mul(4)?).ok()?;
            u32_at(function.record, tail.checked_add(4)?.checked_add(offset)?)
        };
        let index = self.value(at(INLINE_INDEX)?, function.start, pc)?;
        let tree = at(tables.checked_add(INLINE_TREE)?).filter(|&offset| offset != u32::MAX)?;
        let entry = usize::try_from(index).ok()?.checked_mul(size)?.checked_add(usize::try_from(tree).ok()?)?;
        let entry = self.trees.get(entry..entry.checked_add(size)?)?;
        let found = text_at(self.names, u32_at(entry, name)?).filter(|found| !found.is_empty())?;
        let parent = function.start.checked_add(u64::from(u32_at(entry, call)?))?;
        (parent < function.end).then(|| (text(found), parent))
    }

    /// The value that a table gives for an address: pairs of differences, of the value and of the address.
    fn value(&self, offset: u32, start: u64, address: u64) -> Option<i64> {
        let mut bytes = self.values.get(usize::try_from(offset).ok().filter(|&offset| offset > 0)?..)?;
        let (mut value, mut pc) = (-1_i64, start);
        for step in 0..MOST_STEPS {
            let difference = variable(&mut bytes)?;
            if difference == 0 && step > 0 {
                return None;
            }
            let magnitude = i64::from(difference >> 1);
            value = value.checked_add(if difference & 1 == 0 { magnitude } else { !magnitude })?;
            let distance = u64::from(variable(&mut bytes)?).checked_mul(self.quantum)?;
            pc = pc.checked_add(distance)?;
            if address < pc {
                return Some(value);
            }
        }
        None
    }
}

/// A table in the bytes of a file without sections.
fn scan<'data>(segments: &[Segment<'data>]) -> Option<(u64, &'data [u8])> {
    segments.iter().find_map(|segment| {
        LAYOUTS.iter().find_map(|(magic, _)| {
            memchr::memmem::find_iter(segment.bytes, &magic.to_le_bytes()).find_map(|at| {
                let bytes = segment.bytes.get(at..)?;
                let address = segment.start.0.checked_add(u64::try_from(at).ok()?)?;
                GoTable::parse(bytes).filter(|_| at.is_multiple_of(8)).map(|_| (address, bytes))
            })
        })
    })
}

/// A number of seven bits a byte, least significant first.
fn variable(bytes: &mut &[u8]) -> Option<u32> {
    let mut number = 0_u32;
    for shift in (0..32).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u32::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// A number of four or eight bytes.
fn word(bytes: &[u8], at: usize, size: usize) -> Option<u64> {
    match size {
        4 => u32_at(bytes, at).map(u64::from),
        _ => Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?)),
    }
}

/// The text at an offset, up to its zero.
fn text_at(table: &[u8], offset: u32) -> Option<&[u8]> {
    let tail = table.get(usize::try_from(offset).ok()?..)?;
    let tail = tail.get(..LONGEST_NAME).unwrap_or(tail);
    tail.get(..memchr::memchr(0, tail)?)
}

fn text(bytes: &[u8]) -> Text<'_> {
    String::from_utf8_lossy(bytes)
}

#[cfg(test)]
mod tests;
