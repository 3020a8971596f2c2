//! The memory map of a log, with the bytes that it shows around the stack pointer and the program counter.

use std::borrow::Cow;

use necropsy_model::hs_err::{Bytes, HsErr, MapEntry, PrintedAccess};
use necropsy_model::{Avma, FileBacking, Memory, Module, Permissions, Region};

/// Rights of code.
const CODE: Permissions = Permissions { read: true, write: false, execute: true };
/// Rights of a stack.
const STACK: Permissions = Permissions { read: true, write: true, execute: false };

/// The memory of the process as far as the log shows it.
pub(super) fn memory<'d>(log: &HsErr<'d>) -> Memory<'d> {
    let map = &log.process.map;
    let mut regions: Vec<Region<'d>> = map.entries.iter().map(region).collect();
    regions.sort_by_key(|region| region.start);
    let mut parts = Vec::new();
    if !map.is_all {
        parts.extend(stack(log));
    }
    if let Some(bytes) = &log.machine.stack {
        parts.extend(piece(bytes, Some(STACK)));
    }
    if let Some(bytes) = &log.machine.instructions {
        // Where the map shows no rights, an instruction that ran says that it could; one that could not be fetched does not.
        parts.extend(piece(bytes, Some(CODE).filter(|_| !fetch_failed(log))));
    }
    for part in parts {
        lay(&mut regions, part);
    }
    let memory = Memory::new(regions);
    if map.is_all { memory } else { memory.listed_in_part() }
}

fn region<'d>(entry: &MapEntry<'d>) -> Region<'d> {
    let named = entry.path.as_ref().filter(|path| !path.starts_with('['));
    Region {
        start: Avma(entry.range.low),
        end: Avma(entry.range.high),
        permissions: entry.permissions,
        bytes: &[],
        dumped: 0,
        file: named.map(|path| FileBacking { path: path.clone(), offset: entry.offset }),
    }
}

/// The stack of the thread that reported, from its stack pointer up: below it may be a guard page.
fn stack<'d>(log: &HsErr<'d>) -> Option<Region<'d>> {
    let stack = log.thread.as_ref()?.stack?;
    let sp = stack.sp.filter(|&sp| stack.range.contains(sp))?;
    let (start, end) = (Avma(sp & !0xfff), Avma(stack.range.high));
    Some(Region { start, end, permissions: Some(STACK), bytes: &[], dumped: 0, file: None })
}

fn piece<'d>(bytes: &Bytes<'d>, permissions: Option<Permissions>) -> Option<Region<'d>> {
    let Cow::Borrowed(content) = &bytes.bytes else { return None };
    let length = content.len() as u64;
    let end = bytes.start.checked_add(length)?;
    Some(Region { start: Avma(bytes.start), end: Avma(end), permissions, bytes: content, dumped: length, file: None })
}

/// The processor could not fetch the instruction: the fault is at the pc itself, and the record says so.
fn fetch_failed(log: &HsErr<'_>) -> bool {
    const INSTRUCTION_FETCH: u64 = 1 << 4;
    let by_code = log.machine.error_code.as_ref().is_some_and(|code| code.value & INSTRUCTION_FETCH != 0);
    let info = log.siginfo.as_ref();
    let by_record = info.is_some_and(|info| info.access == Some(PrintedAccess::Execute));
    let at_pc = info.and_then(|info| info.address).is_some_and(|address| Some(address) == log.header.pc);
    by_code || by_record || at_pc
}

/// Lays bytes over the regions: each region that they touch is cut, and the map's rights and file win where it has any.
fn lay<'d>(regions: &mut Vec<Region<'d>>, mut part: Region<'d>) {
    let touched: Vec<usize> = regions
        .iter()
        .enumerate()
        .filter(|(_, region)| region.start < part.end && part.start < region.end)
        .map(|(index, _)| index)
        .collect();
    let mut pieces = Vec::new();
    for &index in touched.iter().rev() {
        let region = regions.remove(index);
        part.permissions = region.permissions.or(part.permissions);
        if part.file.is_none() {
            part.file = region.file.as_ref().map(|file| moved(file, region.start, part.start));
        }
        if region.start < part.start {
            pieces.push(Region { end: part.start, ..region.clone() });
        }
        if part.end < region.end {
            let file = region.file.as_ref().map(|file| moved(file, region.start, part.end));
            pieces.push(Region { start: part.end, file, bytes: &[], dumped: 0, ..region });
        }
    }
    regions.push(part);
    regions.extend(pieces);
}

fn moved<'d>(file: &FileBacking<'d>, from: Avma, to: Avma) -> FileBacking<'d> {
    FileBacking { path: file.path.clone(), offset: file.offset.wrapping_add(to.0.wrapping_sub(from.0)) }
}

/// Files that hold code: on Linux those with an executable mapping, elsewhere all that are listed.
pub(super) fn modules<'d>(log: &HsErr<'d>) -> Vec<Module<'d>> {
    let mut modules: Vec<Module<'d>> = Vec::new();
    let mut by_path = rustc_hash::FxHashMap::default();
    for entry in &log.process.map.entries {
        let Some(path) = entry.path.as_ref().filter(|path| path.contains(['/', '\\'])) else { continue };
        let index = *by_path.entry(path.as_ref()).or_insert(modules.len());
        match modules.get_mut(index) {
            Some(module) => {
                let end = entry.range.high.max(module.base.0.saturating_add(module.size));
                module.base = module.base.min(Avma(entry.range.low));
                module.size = end.saturating_sub(module.base.0);
            }
            None => modules.push(Module {
                deleted: entry.deleted,
                base: Avma(entry.range.low),
                size: entry.range.high.saturating_sub(entry.range.low),
                ..Module::at_path(path.clone())
            }),
        }
    }
    let code: rustc_hash::FxHashSet<&str> = log
        .process
        .map
        .entries
        .iter()
        .filter(|entry| entry.permissions.is_none_or(|rights| rights.execute))
        .filter_map(|entry| entry.path.as_deref())
        .collect();
    modules.retain(|module| code.contains(module.path.as_ref()));
    modules
}

#[cfg(test)]
mod tests {
    use necropsy_model::AddressState;
    use necropsy_model::Source;
    use necropsy_model::hs_err::{AddressRange, MapList};

    use super::*;

    #[test]
    fn bytes_are_laid_over_the_map() {
        static BYTES: [u8; 32] = [0x90; 32];
        let entry = MapEntry {
            range: AddressRange { low: 0x1000, high: 0x3000 },
            end_is_bound: false,
            permissions: Some(CODE),
            offset: 0x100,
            path: Some("/x.so".into()),
            deleted: false,
            source: Source::line(1),
        };
        let mut log = HsErr::default();
        log.process.map = MapList { entries: vec![entry], total: None, is_all: true };
        log.machine.instructions = Some(Bytes { start: 0x2000, bytes: Cow::Borrowed(&BYTES), source: Source::line(2) });
        let memory = memory(&log);
        assert_eq!(memory.regions().len(), 3);
        assert_eq!(memory.read(Avma(0x2010), 4), Ok(&BYTES[..4]));
        assert_eq!(memory.state(Avma(0x2020)), AddressState::NotDumped);
        assert_eq!(memory.region(Avma(0x2020)).unwrap().file.as_ref().unwrap().offset, 0x100 + 0x1020);
        assert_eq!(memory.region(Avma(0x2000)).unwrap().permissions, Some(CODE));
        assert_eq!(memory.state(Avma(0x4000)), AddressState::NotMapped);
        assert_eq!(modules(&log)[0].size, 0x2000);
    }
}
