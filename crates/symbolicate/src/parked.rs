//! Goroutines of a core that no thread runs: Go's own list of them, where each will go on, and what it waits for. They become
//! threads of the snapshot, so that they are unwound, named and grouped like any other.
//!
//! The list is the variable `runtime.allgs`. Where a `g` keeps its status, number and reason differs between releases; the words
//! themselves tell: `atomicstatus`, `stackLock`, `goid`, `schedlink`, `waitsince` and `waitreason` have stood together, in this order,
//! since Go 1.17 (`runtime/runtime2.go`), and the first goroutine has the number 1.

use necropsy_model::{
    Arch, Avma, ModuleId, Registers, Snapshot, Source, State, Svma, Thread, ThreadFlags, ThreadId, Warning, go,
};

use crate::goroutine::Goroutine;
use crate::image::Images;
use crate::names::data_address;
use crate::space::AddressSpace;
use crate::unwind::Machine;

/// Goroutines that are looked at. A core of more tells its story with these; the rest is counted.
const MOST: u64 = 20_000;
/// Where `atomicstatus` may stand: behind `sched`, before the second half of the structure.
const STATUS_AT: std::ops::Range<u64> = 104..256;
/// From `atomicstatus` to `stackLock`, `goid` and `waitreason`.
const LOCK: u64 = 4;
const ID: u64 = 8;
const REASON: u64 = 32;
/// Goroutines by which the layout is told.
const SAMPLE: usize = 64;
/// Statuses of goroutines that are on no thread: `_Grunnable`, `_Gwaiting`, `_Gpreempted`, `_Gleaked`. The collector sets a bit in
/// those that it scans.
const RUNNABLE: u32 = 1;
const WAITING: u32 = 4;
const PREEMPTED: u32 = 9;
const LEAKED: u32 = 10;
const KNOWN: u32 = 12;
const SCANNED: u32 = 0x1000;
/// `waitReasonStrings` has fewer than 64 entries in any release.
const MOST_REASONS: u8 = 64;
const LONGEST_REASON: u64 = 64;

/// Adds the goroutines of the core as threads; says so where there is no list of them.
pub(crate) fn add<'data>(snapshot: &mut Snapshot<'data>, images: &Images<'data>) {
    let executable = snapshot.modules.iter().position(|module| module.is_executable);
    let Some(image) = executable.and_then(ModuleId::new).and_then(|id| images.of(id)) else { return };
    let Some(list) = data_address(image, "runtime.allgs") else { return };
    let reasons = data_address(image, "runtime.waitReasonStrings");
    let place = |address: Svma| image.bias.to_avma(address);
    let arch = snapshot.threads.iter().find_map(|thread| thread.registers()).map(Registers::arch);
    let Some((arch, machine)) = arch.and_then(|arch| Some((arch, Machine::of(arch)?))) else { return };
    let memory = std::mem::take(&mut snapshot.memory);
    let space = AddressSpace::new(&memory, images);
    let all = addresses(place(list), &space);
    if let Some(status_at) = layout(&all.0, &space) {
        for &address in &all.0 {
            let Some(found) = read(address, status_at, &space) else { continue };
            let reason = reasons.and_then(|table| reason(found.reason, place(table), &space));
            let source = memory.source(Avma(address));
            add_one(snapshot, (arch, machine), &found, reason.as_deref(), source);
        }
        if all.1 > MOST {
            let text = format!("the core has {} goroutines: {MOST} of them were looked at", all.1);
            snapshot.warnings.push(Warning::new(text, memory.source(place(list))));
        }
    }
    snapshot.memory = memory;
}

/// A goroutine that no thread runs.
struct Parked {
    id: u64,
    status: u32,
    reason: u8,
    resumes_at: (u64, u64),
}

/// Addresses of the structures in a slice, at most [`MOST`], and how many there are.
fn addresses(list: Avma, space: &AddressSpace<'_, '_>) -> (Vec<u64>, u64) {
    let word = |at: u64| space.read_u64(Avma(at)).ok();
    let slice = || Some((word(list.0)?, word(list.0.checked_add(8)?)?));
    let Some((start, count)) = slice() else { return (Vec::new(), 0) };
    let each = (0..count.min(MOST)).map_while(|index| word(start.checked_add(8 * index)?));
    (each.collect(), count)
}

/// Where the status stands in a `g`: at the place where all of them have a status, and the numbers begin with 1 and differ.
fn layout(all: &[u64], space: &AddressSpace<'_, '_>) -> Option<u64> {
    let sample = all.get(..SAMPLE.min(all.len()))?;
    let fits = |offset: &u64| {
        let mut ids = Vec::new();
        for address in sample {
            let at = |further: u64| Some(Avma(address.checked_add(*offset)?.checked_add(further)?));
            let status = at(0).and_then(|at| space.read_u32(at).ok());
            let unlocked = at(LOCK).and_then(|at| space.read_u32(at).ok()) == Some(0);
            let id = at(ID).and_then(|at| space.read_u64(at).ok());
            match (status, id) {
                (Some(status), Some(id)) if status & !SCANNED < KNOWN && unlocked => ids.push(id),
                _ => return false,
            }
        }
        let first = ids.first().copied();
        // A dead goroutine keeps its number until it is used again, or loses it.
        ids.retain(|&id| id != 0);
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        first == Some(1) && ids.len() == count && ids.last().is_some_and(|&id| id < 1 << 48)
    };
    STATUS_AT.step_by(8).find(fits)
}

fn read(address: u64, status_at: u64, space: &AddressSpace<'_, '_>) -> Option<Parked> {
    let at = |further: u64| Some(Avma(address.checked_add(status_at)?.checked_add(further)?));
    let status = space.read_u32(at(0)?).ok()? & !SCANNED;
    let goroutine = Goroutine::read(address, space)?;
    let parked = matches!(status, RUNNABLE | WAITING | PREEMPTED | LEAKED) && goroutine.owns(goroutine.resumes_at.0);
    let reason = *space.read(at(REASON)?, 1).ok()?.first()?;
    parked.then_some(Parked { id: space.read_u64(at(ID)?).ok()?, status, reason, resumes_at: goroutine.resumes_at })
}

/// A string of `waitReasonStrings`, an array of pointers with lengths.
fn reason(number: u8, table: Avma, space: &AddressSpace<'_, '_>) -> Option<String> {
    if number == 0 || number >= MOST_REASONS {
        return None;
    }
    let entry = table.0.checked_add(16 * u64::from(number))?;
    let start = space.read_u64(Avma(entry)).ok()?;
    let length =
        space.read_u64(Avma(entry.checked_add(8)?)).ok().filter(|length| (1..LONGEST_REASON).contains(length))?;
    let bytes = space.read(Avma(start), usize::try_from(length).ok()?).ok()?;
    std::str::from_utf8(bytes)
        .ok()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '))
        .map(str::to_owned)
}

fn add_one(
    snapshot: &mut Snapshot<'_>,
    (arch, machine): (Arch, &Machine),
    found: &Parked,
    reason: Option<&str>,
    source: Source,
) {
    let text = match found.status {
        RUNNABLE => "runnable",
        PREEMPTED => "preempted",
        _ => reason.unwrap_or("waiting"),
    };
    let mut registers = Registers::new(arch);
    registers.set(machine.sp, found.resumes_at.0);
    registers.set(machine.pc, found.resumes_at.1);
    let mut thread = Thread::new(ThreadId(found.id), source);
    thread.state = snapshot.intern_state(State { text: text.to_owned().into(), activity: go::activity(text) });
    thread.flags = ThreadFlags::VIRTUAL;
    let detail = thread.detail_mut();
    detail.name = Some(format!("goroutine {}", found.id).into());
    detail.registers = Some(registers);
    snapshot.threads.push(thread);
}

#[cfg(test)]
mod tests {
    use necropsy_model::{Memory, Permissions, Region};

    use super::*;

    /// A `g` at each address with its status, number and reason at 144, and the list of them at 0x1000.
    fn memory(goroutines: &[(u32, u64, u8)]) -> Vec<u8> {
        let mut bytes = vec![0_u8; 0x4000];
        let mut put = |at: usize, word: u64| bytes[at - 0x1000..at - 0x1000 + 8].copy_from_slice(&word.to_le_bytes());
        put(0x1000, 0x1100);
        put(0x1008, goroutines.len() as u64);
        for (index, &(status, id, reason)) in goroutines.iter().enumerate() {
            let g = 0x2000 + 0x200 * index;
            put(0x1100 + 8 * index, g as u64);
            for (offset, word) in [(0, 0x8000), (8, 0x9000), (56, 0x8800), (64, 0x40_0000)] {
                put(g + offset, word);
            }
            put(g + 144, u64::from(status));
            put(g + 152, id);
            put(g + 176, u64::from(reason));
        }
        bytes
    }

    fn parked(goroutines: &[(u32, u64, u8)]) -> Option<Vec<u64>> {
        let bytes = memory(goroutines);
        let permissions = Some(Permissions { read: true, write: true, execute: false });
        let (start, end) = (Avma(0x1000), Avma(0x5000));
        let memory = Memory::new(vec![Region { start, end, permissions, bytes: &bytes, dumped: 0x4000, file: None }]);
        let images = Images::default();
        let space = AddressSpace::new(&memory, &images);
        let (all, _) = addresses(Avma(0x1000), &space);
        let status_at = layout(&all, &space)?;
        assert_eq!(status_at, 144);
        Some(all.iter().filter_map(|&address| read(address, status_at, &space)).map(|found| found.id).collect())
    }

    #[test]
    fn those_on_no_thread_are_found_by_the_words_themselves() {
        // Waiting, running on a thread, dead, scanned while it waits.
        let found = parked(&[(WAITING, 1, 20), (2, 2, 0), (6, 0, 0), (WAITING | SCANNED, 18, 20)]);
        assert_eq!(found, Some(vec![1, 18]));
    }

    #[test]
    fn nothing_is_claimed_of_an_unknown_layout() {
        assert_eq!(parked(&[(WAITING, 7, 20), (WAITING, 8, 20)]), None, "the first one has not the number 1");
        assert_eq!(parked(&[(WAITING, 1, 20), (77, 8, 20)]), None, "no such status");
        assert_eq!(parked(&[]), None);
    }
}
