//! Goroutine dumps of Go 1.4 to 1.27, in every form the runtime and `runtime/pprof` print them.
//!
//! The text forms share one path: [`crate::text::prepare`] undoes what logs did to the text, [`scan`] walks over parts of
//! it in parallel, [`build`] makes one snapshot of each dump, [`preamble`] reads the words around the goroutines. Counts
//! ([`counts`], `debug=1`), the binary profile ([`profile`]) and reports of the race detector ([`race`]) have their own.

mod build;
mod counts;
mod frame;
mod header;
mod labels;
mod machine;
mod preamble;
mod profile;
mod race;
mod scan;
mod seen;
mod stack;
mod state;
mod waits;

use std::ops::Range;

use memchr::memmem;
use necropsy_model::go::GoCut;
use necropsy_model::{Arena, Snapshot, Source, Warning};
use rustc_hash::FxHashSet;

use crate::text::{self, LineMap, Marker, lines};
use crate::{Error, Probe, Reader};
use build::{Dump, Parts};
use stack::Interner;

/// Name of the reader.
const NAME: &str = "go-goroutines";

/// Parts of a text, and the bytes of one: enough parts to share the work, large enough that their tables cost nothing. They
/// do not depend on the number of processors, because samples are kept by part.
const CHUNKS: usize = 32;
const CHUNK: std::ops::RangeInclusive<usize> = 1 << 20..=16 << 20;

/// `runtime/pprof.writeGoroutineStacks` gives up at this buffer size and cuts the dump without a word.
const PPROF_LIMIT: u64 = 64 << 20;

/// Dumps in one file that get a report of their own.
const MAX_DUMPS: usize = 256;

/// The header of a goroutine, anywhere in a line.
pub(crate) const MARKER: Marker = Marker { needle: header::START, accepts: is_header };

/// The reader of goroutine dumps.
pub(crate) struct Goroutines;

impl Reader for Goroutines {
    fn name(&self) -> &'static str {
        NAME
    }

    fn probe(&self, head: &[u8]) -> Probe {
        let begins = |what: &[u8]| head.starts_with(what);
        if profile::probe(head) {
            return Probe::Yes;
        }
        if begins(b"\x7fELF") {
            return Probe::No;
        }
        if text::find(head, &MARKER).is_some() || counts::find(head).is_some() || race::find(head).is_some() {
            return Probe::Yes;
        }
        let words = begins(b"SIGQUIT: quit") || begins(b"panic: ") || begins(b"fatal error: ") || utf16_header(head);
        if words { Probe::Maybe } else { Probe::No }
    }

    fn find(&self, data: &[u8]) -> Option<usize> {
        let found = [text::find(data, &MARKER), counts::find(data), race::find(data), panic_alone(data)];
        found.into_iter().flatten().min()
    }

    fn read<'data>(&self, data: &'data [u8], arena: &'data Arena) -> Result<Vec<Snapshot<'data>>, Error> {
        if profile::probe(data) {
            return profile::read(data, arena).map(|snapshot| vec![snapshot]);
        }
        let text::Prepared { text, lines } = text::prepare(data, arena, &MARKER);
        let parts = Parts::scan(text, lines.clone());
        let mut snapshots = Vec::new();
        // Both are text that is no goroutine, so that half a gigabyte of goroutines is not searched again.
        let has = |find: fn(&[u8]) -> Option<usize>| {
            parts.foreign().any(|foreign| find(parts.bytes(&foreign.bytes)).is_some())
        };
        if has(race::find) {
            snapshots.extend(race::read(text, &lines, arena));
        }
        if has(counts::find) {
            snapshots.extend(counts::read(text, &lines, arena));
        }
        snapshots.extend(dumps(parts, arena));
        if snapshots.is_empty() {
            return Err(Error::Unreadable { reason: "there is no goroutine in it".to_owned() });
        }
        let all = snapshots.len();
        Ok(crate::first_dumps(snapshots, MAX_DUMPS, all))
    }
}

/// Whether a line from the marker on is a header; escaped text goes on behind it.
fn is_header(rest: &[u8]) -> bool {
    header::parse_prefix(rest).is_some_and(|(_, rest)| {
        let rest = rest.trim_ascii_start();
        rest.is_empty()
            || rest.starts_with(b"\\n")
            || rest.starts_with(b"\\\\n")
            || rest.starts_with(b"\\r")
            || rest.starts_with(b"\"")
    })
}

/// A header in UTF-16.
fn utf16_header(head: &[u8]) -> bool {
    let wide: Vec<u8> = header::START.iter().flat_map(|&byte| [byte, 0]).collect();
    memmem::find(head, wide.get(..wide.len() - 1).unwrap_or_default()).is_some()
}

/// A panic whose goroutines are missing, at the start of a line.
fn panic_alone(data: &[u8]) -> Option<usize> {
    [&b"panic: "[..], b"fatal error: "]
        .iter()
        .filter_map(|words| {
            memmem::find_iter(data, words)
                .find(|&at| at.checked_sub(1).is_none_or(|before| data.get(before) == Some(&b'\n')))
        })
        .min()
}

/// Every dump of goroutines in the text.
fn dumps<'d>(parts: Parts<'d>, arena: &'d Arena) -> Vec<Snapshot<'d>> {
    let (text, map) = (parts.text, parts.lines.clone());
    let any = parts.scans.iter().any(|scan| !scan.threads.is_empty());
    let alone = || parts.foreign().any(|foreign| panic_alone(parts.bytes(&foreign.bytes)).is_some());
    let counted = || parts.foreign().any(|foreign| counts::find(parts.bytes(&foreign.bytes)).is_some());
    if !any && (!alone() || counted()) {
        return Vec::new();
    }
    let starts = build::starts(&parts);
    let dumps = parts.build(&starts, arena);
    let all = dumps.len();
    let finished = dumps.into_iter().take(MAX_DUMPS).map(|dump| finish(dump, text, &map, arena)).collect();
    crate::first_dumps(finished, MAX_DUMPS, all)
}

/// Parts of the text, cut between goroutines.
fn chunks(text: &[u8]) -> Vec<Range<usize>> {
    let border = memmem::Finder::new(b"\n\ngoroutine ");
    let size = (text.len() / CHUNKS).clamp(*CHUNK.start(), *CHUNK.end());
    let mut chunks = Vec::new();
    let mut start = 0;
    while start < text.len() {
        let wanted = start.saturating_add(size);
        let found = text.get(wanted..).and_then(|rest| border.find(rest));
        let end = found.map_or(text.len(), |at| wanted + at + 2);
        chunks.push(start..end);
        start = end;
    }
    chunks
}

/// Reads the words around the goroutines of a dump.
fn finish<'d>(dump: Dump<'d>, text: &'d [u8], map: &LineMap, arena: &'d Arena) -> Snapshot<'d> {
    let Dump { mut snapshot, mut facts, foreign } = dump;
    let bytes = |range: &Range<usize>| text.get(range.clone()).unwrap_or_default();
    machine_threads(&mut snapshot, &mut facts, &foreign, text, map, arena);
    if foreign.iter().any(|foreign| foreign.threads > 0 && build::is_machine_thread(bytes(&foreign.bytes))) {
        facts.repeated = drop_repeated(&mut snapshot, &mut facts);
    }
    for part in &foreign {
        preamble::read(bytes(&part.bytes), part.line, part.threads == 0, map, &mut facts);
    }
    preamble::conclude(&mut facts);
    snapshot.stop = preamble::stop(&snapshot, &facts);
    facts.leak_profile =
        snapshot.threads.iter().any(|thread| thread.flags.contains(necropsy_model::ThreadFlags::LEAKED));
    process(&mut snapshot, text, &foreign);
    let length = text.len() as u64;
    if length == PPROF_LIMIT {
        let highest_id = snapshot.threads.iter().map(|thread| thread.id.0).max().unwrap_or_default();
        facts.cut = Some(GoCut { bytes: length, highest_id });
        let text = "the dump has exactly 67,108,864 bytes: pprof's debug=2 stops there, so goroutines are missing";
        snapshot.warnings.push(Warning::new(text, Source::DUMP));
    }
    snapshot.go = Some(Box::new(facts));
    snapshot
}

/// Reads what machine threads print of themselves.
fn machine_threads<'d>(
    snapshot: &mut Snapshot<'d>,
    facts: &mut necropsy_model::go::GoFacts<'d>,
    foreign: &[scan::Foreign],
    text: &'d [u8],
    map: &LineMap,
    arena: &'d Arena,
) {
    let mut interner = Interner::new(arena);
    // The goroutine that a machine thread ran is the first that it prints.
    let mut first = 0;
    for part in foreign {
        let text = text.get(part.bytes.clone()).unwrap_or_default();
        let ran = snapshot.threads.get(first as usize).map(|thread| thread.id);
        machine::registers(text, part.line, ran.filter(|_| part.threads > first), map, facts);
        if build::is_machine_thread(text) {
            first = part.threads;
        }
        if facts.runtime_stack.is_none() {
            facts.runtime_stack = machine::stack(text, part.line, map, &mut interner, snapshot);
        }
    }
    facts.stack_waits.resize(snapshot.stacks.len(), None);
}

/// Keeps the first print of each goroutine: `GOTRACEBACK=crash` prints those that run on a machine thread again.
fn drop_repeated(snapshot: &mut Snapshot<'_>, facts: &mut necropsy_model::go::GoFacts<'_>) -> usize {
    let before = snapshot.threads.len();
    let mut seen = FxHashSet::default();
    let mut kept = Vec::with_capacity(before);
    for thread in &snapshot.threads {
        // Goroutine 0 is the stack of a machine thread: each print is another one.
        kept.push(thread.id.0 == 0 || seen.insert(thread.id.0));
    }
    let mut renumbered = Vec::with_capacity(before);
    let mut next = 0_u32;
    for &keep in &kept {
        renumbered.push(keep.then_some(next));
        next += u32::from(keep);
    }
    let number = |thread: u32| renumbered.get(thread as usize).copied().flatten();
    facts.waits.retain_mut(|wait| number(wait.thread).inspect(|&thread| wait.thread = thread).is_some());
    facts.samples.retain_mut(|sample| number(sample.thread).inspect(|&thread| sample.thread = thread).is_some());
    facts.ancestors.retain_mut(|one| number(one.thread).inspect(|&thread| one.thread = thread).is_some());
    let mut keep = kept.iter();
    snapshot.threads.retain(|_| keep.next().copied().unwrap_or(true));
    before - snapshot.threads.len()
}

/// What the paths of the standard library and the registers tell of the process.
fn process<'d>(snapshot: &mut Snapshot<'d>, text: &'d [u8], foreign: &[scan::Foreign]) {
    let assembler = snapshot.frames.iter().filter_map(|frame| frame.location.as_ref()).find_map(|location| {
        let name = location.file_name().strip_prefix("asm_").or_else(|| location.file_name().strip_prefix("sys_"))?;
        name.strip_suffix(".s")?.rsplit('_').next().map(str::to_owned)
    });
    let registers = foreign.iter().any(|foreign| {
        let text = text.get(foreign.bytes.clone()).unwrap_or_default();
        foreign.threads > 0 && lines(text).any(|(_, line)| line.starts_with(b"rax    0x"))
    });
    snapshot.process.arch = match assembler.as_deref() {
        Some("amd64") => Some(necropsy_model::Arch::X86_64),
        Some("arm64") => Some(necropsy_model::Arch::Aarch64),
        _ if registers => Some(necropsy_model::Arch::X86_64),
        _ => None,
    };
}

#[cfg(test)]
mod tests;
