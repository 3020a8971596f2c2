//! Functions, inlined functions and lines from debug information.
//!
//! Only the units are read in which an address lies, and of them only what an address asks for. `addr2line`, which reads
//! every unit when it opens a file and keeps every line of a unit, is the second opinion in the tests.

use std::collections::BTreeMap;

use gimli::{AttributeValue, UnitOffset, UnitRef};
use necropsy_model::{Location, Svma, SymbolSource, Text};

use super::demangle::demangle;
use crate::image::Slice;
use crate::values::debug_file::{DebugFile, Unit};
use crate::values::entries::{Die, Entry};

/// Most functions inlined into each other at one address; compilers stop at some dozens.
const MOST_INLINED: usize = 256;
/// Most parameters and locals of a function to look at.
const MOST_CHILDREN: usize = 64;

/// One function at an address.
pub(super) struct Function<'data> {
    pub name: Option<Text<'data>>,
    pub location: Option<Location<'data>>,
}

/// What debug information, or what stands in for it, says of an address: innermost first.
pub(super) struct Functions<'data> {
    pub functions: Vec<Function<'data>>,
    pub optimized: bool,
    /// Where it came from.
    pub source: SymbolSource,
}

/// A row of a line table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    /// Number of the file.
    file: u64,
    line: Option<u32>,
    /// The line of the statement at the same address, where this row begins none.
    ///
    /// gcc writes several rows for one address: those of statements whose code was moved away, and the line that the
    /// instruction belongs to. The last of them is often marked as no place to stop; gdb takes the last one that is. Seen on
    /// aarch64 at -O2, where `x->a -= n; x->version++;` began with the load of the second.
    statement: Option<u32>,
}

/// What a unit says of optimisation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Producer {
    Optimized,
    NotOptimized,
    /// clang and rustc do not say: the function's own records tell.
    Silent,
}

/// Where an address lies: the units that claim it, and its function.
struct Place<'u, 'data> {
    /// That of the function, or all that claim the address.
    units: Vec<&'u Unit<'data>>,
    function: Option<Die<'u, 'data>>,
}

/// Names addresses, which are sorted; each with whether a frame was interrupted at the instruction itself, not behind a call.
pub(super) fn look_up<'data>(file: &DebugFile<'data>, wanted: &[(Svma, bool)]) -> Vec<Option<Functions<'data>>> {
    let addresses: Vec<Svma> = wanted.iter().map(|&(address, _)| address).collect();
    file.locate(&addresses);
    let places: Vec<_> = addresses.iter().map(|&address| place(file, address)).collect();
    let rows = rows(&places, &addresses);
    let mut producers = BTreeMap::new();
    let source = SymbolSource::Dwarf;
    let named = places.iter().zip(rows).zip(wanted).map(|((place, row), &(address, interrupted))| {
        let unit = row.map(|(unit, _)| unit).or_else(|| place.units.first().copied());
        let inlined = place.function.map(|function| inlined_at(function, address)).unwrap_or_default();
        let location = row.and_then(|(unit, row)| {
            let statement = row.statement.filter(|_| interrupted && inlined.is_empty());
            location(file, unit, Some(row.file), statement.or(row.line))
        });
        let Some(function) = place.function else {
            let optimized = unit.is_some_and(|unit| *known(&mut producers, file, unit) == Producer::Optimized);
            return row.map(|_| Functions { functions: vec![Function { name: None, location }], optimized, source });
        };
        let unit = unit?;
        let optimized = match known(&mut producers, file, unit) {
            Producer::Optimized => true,
            Producer::NotOptimized => false,
            Producer::Silent => !inlined.is_empty() || moves_variables(function),
        };
        Some(Functions { functions: chain(file, unit, function, &inlined, location), optimized, source })
    });
    named.collect()
}

fn place<'u, 'data>(file: &'u DebugFile<'data>, address: Svma) -> Place<'u, 'data> {
    let units = file.units_at(address);
    let found = units.iter().find_map(|&unit| Some((unit, file.function_in(unit, address)?)));
    match found {
        Some((unit, function)) => Place { units: vec![unit], function: Some(function) },
        None => Place { units, function: None },
    }
}

/// The functions at an address, innermost first, from the entries of the inlined ones, outermost first.
fn chain<'data>(
    file: &DebugFile<'data>,
    unit: &Unit<'data>,
    function: Die<'_, 'data>,
    inlined: &[Entry<'_, 'data>],
    location: Option<Location<'data>>,
) -> Vec<Function<'data>> {
    let mut functions = Vec::new();
    let mut location = location;
    for inlined in inlined.iter().rev().take(MOST_INLINED) {
        let called = called_at(file, unit, inlined);
        functions.push(Function { name: name(inlined), location: std::mem::replace(&mut location, called) });
    }
    let name = function.read().and_then(|entry| name(&entry));
    functions.push(Function { name, location });
    functions
}

/// The name that the linker sees, else the name in the source.
fn name<'data>(entry: &Entry<'_, 'data>) -> Option<Text<'data>> {
    let names = [gimli::DW_AT_linkage_name, gimli::DW_AT_MIPS_linkage_name, gimli::DW_AT_name];
    let name = entry.chain().find_map(|entry| names.into_iter().find_map(|name| entry.text(name)))?;
    match name {
        _ if name.is_empty() => None,
        Text::Borrowed(name) => Some(demangle(name)),
        Text::Owned(name) => Some(Text::Owned(demangle(&name).into_owned())),
    }
}

/// Where an inlined function was called: its file is one of the line table of the unit.
fn called_at<'data>(
    file: &DebugFile<'data>,
    unit: &Unit<'data>,
    inlined: &Entry<'_, 'data>,
) -> Option<Location<'data>> {
    let number = match inlined.value(gimli::DW_AT_call_file) {
        // Number 0 meant no file before DWARF 5, and clang uses it for the first one since.
        Some(AttributeValue::FileIndex(number)) => Some(number).filter(|&n| n > 0 || unit.parsed.header.version() >= 5),
        _ => None,
    };
    let line = inlined.number(gimli::DW_AT_call_line).and_then(|line| u32::try_from(line).ok());
    location(file, unit, number, line)
}

fn location<'data>(
    file: &DebugFile<'data>,
    unit: &Unit<'data>,
    number: Option<u64>,
    line: Option<u32>,
) -> Option<Location<'data>> {
    Some(Location::new(path(file, unit, number?)?, line.filter(|&line| line > 0)))
}

/// The path of a file of the line table: the unit's directory, the file's directory, its name; an absolute part starts anew.
fn path(file: &DebugFile<'_>, unit: &Unit<'_>, number: u64) -> Option<String> {
    let header = unit.parsed.line_program.as_ref()?.header();
    let entry = header.file(number)?;
    let part = |value| file.dwarf().attr_string(&unit.parsed, value).ok().map(|part| part.to_string_lossy());
    // Directory 0 is that of the unit.
    let directory = entry.directory(header).filter(|_| entry.directory_index() != 0).and_then(part);
    let unit_directory = unit.parsed.comp_dir.map(|directory| directory.to_string_lossy());
    let parts = unit_directory.into_iter().chain(directory).chain([part(entry.path_name())?]);
    let mut path = String::new();
    for part in parts {
        if part.starts_with('/') {
            path.clear();
        } else if !path.is_empty() && !path.ends_with('/') {
            path.push('/');
        }
        path.push_str(&part);
    }
    (!path.is_empty()).then_some(path)
}

/// The row of each address, with its unit: every line program is run once, and none of its other rows is kept.
fn rows<'u, 'data>(places: &[Place<'u, 'data>], addresses: &[Svma]) -> Vec<Option<(&'u Unit<'data>, Row)>> {
    let mut wanted: BTreeMap<usize, (&'u Unit<'data>, Vec<usize>)> = BTreeMap::new();
    for (index, place) in places.iter().enumerate() {
        for &unit in &place.units {
            wanted.entry(unit.start()).or_insert_with(|| (unit, Vec::new())).1.push(index);
        }
    }
    let mut found = vec![None; places.len()];
    for (unit, indices) in wanted.into_values() {
        let targets: Vec<Svma> = indices.iter().filter_map(|&index| addresses.get(index).copied()).collect();
        for (index, row) in indices.into_iter().zip(rows_of(&unit.parsed, &targets)) {
            if let (Some(row), Some(slot @ None)) = (row, found.get_mut(index)) {
                *slot = Some((unit, row));
            }
        }
    }
    found
}

/// The rows of a unit that cover addresses, which are sorted. A row covers all up to the next one of its sequence; of several
/// at one address the last holds.
fn rows_of(unit: &gimli::Unit<Slice<'_>>, addresses: &[Svma]) -> Vec<Option<Row>> {
    let mut found = vec![None; addresses.len()];
    let Some(program) = unit.line_program.clone() else { return found };
    let (Some(first), Some(last)) = (addresses.first(), addresses.last()) else { return found };
    let mut rows = program.rows();
    let mut open: Option<gimli::LineRow> = None;
    let mut stop: Option<gimli::LineRow> = None;
    let line_of = |row: &gimli::LineRow| row.line().and_then(|line| u32::try_from(line.get()).ok());
    // An error ends the table: the rows before it still serve.
    while let Ok(Some((_, row))) = rows.next_row() {
        let end = row.address();
        if let Some(open) = open
            && open.address() < end
            && open.address() <= last.0
            && first.0 < end
        {
            let start = open.address();
            let beside = |stop: &gimli::LineRow| stop.address() == start && stop.file_index() == open.file_index();
            let statement = stop.as_ref().filter(|stop| !open.is_stmt() && beside(stop)).and_then(line_of);
            let covering = Row { file: open.file_index(), line: line_of(&open), statement };
            let from = addresses.partition_point(|address| address.0 < start);
            let to = addresses.partition_point(|address| address.0 < end);
            for slot in found.get_mut(from..to).into_iter().flatten() {
                slot.get_or_insert(covering);
            }
        }
        if row.is_stmt() {
            stop = Some(*row);
        }
        open = Some(*row).filter(|row| !row.end_sequence());
    }
    found
}

/// The functions inlined into each other at an address of a function, outermost first.
fn inlined_at<'u, 'data>(function: Die<'u, 'data>, address: Svma) -> Vec<Entry<'u, 'data>> {
    let mut offsets = Vec::new();
    // An error ends the search: what encloses the address so far still serves.
    let _ = find_inlined(function, address, &mut offsets);
    offsets.into_iter().filter_map(|offset| function.sibling(offset).read()).collect()
}

fn find_inlined(function: Die<'_, '_>, address: Svma, found: &mut Vec<UnitOffset>) -> gimli::Result<()> {
    let mut entries = function.unit.parsed.entries_raw(Some(function.offset))?;
    let mut attrs = Vec::new();
    // Depth of the innermost entry that covers the address, and of the last one beside it, whose children do not matter.
    let mut inside = entries.next_depth();
    let mut beside = None;
    if let Some(abbreviation) = entries.read_abbreviation()? {
        entries.skip_attributes(abbreviation.attributes())?;
    }
    while !entries.is_empty() && entries.next_depth() > inside {
        let (depth, offset) = (entries.next_depth(), entries.next_offset());
        let Some(abbreviation) = entries.read_abbreviation()? else { continue };
        if beside.is_some_and(|beside| depth > beside) {
            entries.skip_attributes(abbreviation.attributes())?;
            continue;
        }
        beside = None;
        if abbreviation.tag() != gimli::DW_TAG_inlined_subroutine {
            entries.skip_attributes(abbreviation.attributes())?;
            beside = (abbreviation.tag() == gimli::DW_TAG_subprogram).then_some(depth);
            continue;
        }
        entries.read_attributes(abbreviation.attributes(), &mut attrs)?;
        if function.ranges_of(&attrs).iter().any(|&(start, end)| (start..end).contains(&address.0)) {
            found.push(offset);
            inside = depth;
        } else {
            beside = Some(depth);
        }
    }
    Ok(())
}

fn known<'p>(producers: &'p mut BTreeMap<usize, Producer>, file: &DebugFile<'_>, unit: &Unit<'_>) -> &'p Producer {
    producers.entry(unit.start()).or_insert_with(|| producer(UnitRef::new(file.dwarf(), &unit.parsed)))
}

fn text<'data>(slice: &Slice<'data>) -> Option<&'data str> {
    std::str::from_utf8(slice.slice()).ok()
}

/// gcc records its options in `DW_AT_producer` (`-grecord-gcc-switches`, on by default); `-O0` is not among them.
fn producer(unit: UnitRef<'_, Slice<'_>>) -> Producer {
    let producer = || {
        let mut entries = unit.entries();
        let root = entries.next_dfs().ok()??;
        let value = root.attr_value(gimli::DW_AT_producer)?;
        unit.attr_string(value).ok()
    };
    let producer = producer();
    let producer = producer.as_ref().and_then(text).unwrap_or_default();
    if !producer.starts_with("GNU ") {
        return Producer::Silent;
    }
    let level = producer.split_whitespace().rfind(|option| option.starts_with("-O"));
    match level {
        None | Some("-O0") => Producer::NotOptimized,
        Some(_) => Producer::Optimized,
    }
}

/// A function whose variables lie in location lists, or whose calls are all described, was optimised.
fn moves_variables(function: Die<'_, '_>) -> bool {
    let Ok(mut tree) = function.unit.parsed.entries_tree(Some(function.offset)) else { return false };
    let Ok(root) = tree.root() else { return false };
    let described = [gimli::DW_AT_call_all_calls, gimli::DW_AT_GNU_all_call_sites, gimli::DW_AT_APPLE_optimized];
    if described.iter().any(|&name| root.entry().attr(name).is_some()) {
        return true;
    }
    let mut children = root.children();
    for _ in 0..MOST_CHILDREN {
        let Ok(Some(child)) = children.next() else { break };
        let location = child.entry().attr_value(gimli::DW_AT_location);
        if matches!(
            location,
            Some(
                AttributeValue::LocationListsRef(_)
                    | AttributeValue::DebugLocListsIndex(_)
                    | AttributeValue::SecOffset(_)
            )
        ) {
            return true;
        }
    }
    false
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::sync::Arc;

    use addr2line::Context;
    use necropsy_model::{Arena, Bias};
    use object::{Object, ObjectSymbol, SymbolKind};

    use super::*;
    use crate::modules::{Part, debug_of};

    /// Functions of this test program that are looked up, of some ten thousand.
    const EVERY: usize = 40;

    fn said(name: Option<&str>, file: Option<&str>, line: Option<u32>) -> String {
        format!("{} {}:{}", name.unwrap_or("?"), file.unwrap_or("?"), line.unwrap_or(0))
    }

    #[test]
    fn names_and_lines_are_those_of_addr2line() {
        let arena = Arena::new();
        let path = std::env::current_exe().expect("a path");
        let debug = Arc::new(debug_of(&path, &arena).expect("an ELF file"));
        let elf = &debug.own.as_ref().expect("a file").sections.elf;
        let functions = elf.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 0);
        let mut addresses: Vec<_> =
            functions.step_by(EVERY).map(|symbol| Svma(symbol.address() + symbol.size() / 2)).collect();
        addresses.sort_unstable();
        addresses.dedup();
        let file = DebugFile::of(&debug, Bias(0), &addresses).expect("debug information");
        let wanted: Vec<_> = addresses.iter().map(|&address| (address, false)).collect();
        let ours = look_up(&file, &wanted);

        let whole = debug.dwarf(Part { info: usize::MAX, locations: false }).expect("debug information");
        let context = Context::from_arc_dwarf(whole).expect("sound debug information");
        let mut inlined = 0;
        for (address, ours) in addresses.iter().zip(ours) {
            let mut theirs = Vec::new();
            let mut frames = context.find_frames(address.0).skip_all_loads().expect("frames");
            while let Ok(Some(frame)) = frames.next() {
                let name = frame.function.and_then(|function| text(&function.name).map(demangle));
                let (file, line) = frame.location.map(|at| (at.file, at.line)).unwrap_or_default();
                theirs.push(said(name.as_deref(), file, line));
            }
            let ours = ours.map(|found| found.functions).unwrap_or_default().into_iter().map(|one| {
                let at = one.location.as_ref();
                said(one.name.as_deref(), at.map(|at| &*at.file), at.and_then(|at| at.line))
            });
            assert_eq!(ours.collect::<Vec<_>>(), theirs, "at {address}");
            inlined += usize::from(theirs.len() > 1);
        }
        assert!(addresses.len() > 50 && inlined > 5, "{} addresses, {inlined} with inlined functions", addresses.len());
    }
}
