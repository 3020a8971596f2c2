//! Reports of the race detector: `WARNING: DATA RACE` blocks, printed by `ThreadSanitizer`'s Go runtime
//! (`compiler-rt/lib/tsan/rtl/tsan_report.cpp`).

use memchr::memmem;
use necropsy_model::go::{GoAccess, GoFacts, GoForm, GoRace};
use necropsy_model::{Activity, Arena, Process, Runtime, Snapshot, Source, Stack, State, Thread, ThreadId, Warning};

use super::frame::hex;
use super::header::number;
use super::stack::Interner;
use crate::text::{LineMap, lines};

const TITLE: &[u8] = b"WARNING: DATA RACE";

/// Reports that are read; a test run may print the same race thousands of times.
const MAX_RACES: usize = 1000;

/// Where a report begins.
pub(super) fn find(text: &[u8]) -> Option<usize> {
    memmem::find(text, TITLE)
}

/// One snapshot with all reports; none when there is no report.
pub(super) fn read<'d>(text: &'d [u8], map: &LineMap, arena: &'d Arena) -> Option<Snapshot<'d>> {
    find(text)?;
    let process = Process { runtime: Some(Runtime::Go), ..Process::default() };
    let mut snapshot = Snapshot { format: super::NAME, process, ..Snapshot::default() };
    let mut interner = Interner::new(arena);
    let mut races: Vec<GoRace<'d>> = Vec::new();
    let mut side: Option<Side<'d>> = None;
    let mut inside = false;
    for (number, line) in lines(text) {
        let source = map.source(number);
        if line.trim_ascii() == TITLE {
            finish(side.take(), &mut snapshot, &mut interner, &mut races);
            if races.len() >= MAX_RACES {
                let text = format!("there are more than {MAX_RACES} reports of races; those from here on are not read");
                snapshot.warnings.push(Warning::new(text, source));
                break;
            }
            races.push(GoRace { accesses: Vec::new(), source: Some(source) });
            inside = true;
        } else if line.starts_with(b"==================") {
            finish(side.take(), &mut snapshot, &mut interner, &mut races);
            inside = false;
        } else if inside && line.is_empty() {
            finish(side.take(), &mut snapshot, &mut interner, &mut races);
        } else if inside && line.starts_with(b"  ") {
            if let Some(side) = &mut side {
                side.lines.push(line);
            }
        } else if inside {
            finish(side.take(), &mut snapshot, &mut interner, &mut races);
            side = access(line, source);
        }
    }
    finish(side.take(), &mut snapshot, &mut interner, &mut races);
    let stack_waits = vec![None; snapshot.stacks.len()];
    let facts = GoFacts { form: GoForm::Races, races, stack_waits, ..GoFacts::default() };
    snapshot.go = Some(Box::new(facts));
    Some(snapshot)
}

/// One side of a report as it is read.
struct Side<'d> {
    what: &'d [u8],
    address: Option<u64>,
    goroutine: Option<u64>,
    source: Source,
    lines: Vec<&'d [u8]>,
}

/// `Previous write at 0x00c000012428 by goroutine 8:`, or `by main goroutine:`.
fn access(line: &[u8], source: Source) -> Option<Side<'_>> {
    let at = memmem::find(line, b" at 0x")?;
    let (address, rest) = hex(line.get(at + 4..)?)?;
    let by = memmem::find(rest, b" by ").and_then(|at| rest.get(at + 4..))?;
    let goroutine = match by.strip_prefix(b"goroutine ") {
        Some(rest) => number(rest).map(|(id, _)| id),
        None => by.starts_with(b"main goroutine").then_some(1),
    };
    Some(Side { what: line.get(..at)?, address: Some(address), goroutine, source, lines: Vec::new() })
}

/// Makes a thread of a side.
fn finish<'d>(
    side: Option<Side<'d>>,
    snapshot: &mut Snapshot<'d>,
    interner: &mut Interner<'d>,
    races: &mut [GoRace<'d>],
) {
    let (Some(side), Some(race)) = (side, races.last_mut()) else { return };
    let frames = interner.pairs(&side.lines, snapshot);
    let mut thread = Thread::new(ThreadId(side.goroutine.unwrap_or_default()), side.source);
    thread.stack = snapshot.add_stack(Stack { frames, ..Stack::default() });
    let text = String::from_utf8_lossy(side.what).to_lowercase();
    thread.state = snapshot.intern_state(State { text: text.into(), activity: Activity::Running });
    race.accesses.push(GoAccess {
        what: String::from_utf8_lossy(side.what),
        address: side.address,
        goroutine: side.goroutine.map(ThreadId),
        thread: Some(snapshot.threads.len()),
        source: side.source,
    });
    snapshot.threads.push(thread);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_of_a_race() {
        let text = "==================\nWARNING: DATA RACE\nRead at 0x00c000012428 by main goroutine:\n  main.main()\n      /a.go:356 +0x1e5\n\nPrevious write at 0x00c000012428 by goroutine 8:\n  main.main.func14()\n      /a.go:355 +0x45\n\nGoroutine 8 (running) created at:\n  main.main()\n      /a.go:355 +0x1d8\n==================\n";
        let arena = Arena::new();
        let snapshot = read(text.as_bytes(), &LineMap::identity(), &arena).unwrap();
        let facts = snapshot.go.as_ref().unwrap();
        let sides: Vec<_> =
            facts.races[0].accesses.iter().map(|side| (side.what.as_ref(), side.goroutine.unwrap().0)).collect();
        assert_eq!(sides, [("Read", 1), ("Previous write", 8)]);
        let names: Vec<_> =
            snapshot.frames_of(&snapshot.threads[1]).map(|frame| frame.function.clone().unwrap()).collect();
        assert_eq!(names, ["main.main.func14"]);
    }
}
