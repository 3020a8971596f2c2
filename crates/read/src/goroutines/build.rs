//! From the parts of the text to snapshots: ids and lines of a part become those of its dump.

use std::ops::Range;

use memchr::memmem;
use necropsy_model::go::{GoAncestor, GoArgument, GoFacts, GoSample, GoWait};
use necropsy_model::{
    Activity, Arena, LabelsId, Process, Runtime, Snapshot, StackId, State, StateId, Text, Thread, ThreadFlags,
    ThreadId, Warning,
};
use rayon::prelude::*;
use rustc_hash::{FxHashMap, FxHashSet};

use super::frame::{call, is_position, words};
use super::labels;
use super::scan::{self, Foreign, Head, RawStack, RawThread, Scan, Torn};
use super::stack::{Interner, Resolved};
use super::state;
use super::waits::Plan;
use crate::text::{LineMap, lines};

/// Goroutines of each stack whose arguments are kept.
const SAMPLES: usize = 4;

/// Torn goroutines that are named one by one; the others are counted.
const TORN_NAMED: usize = 8;

/// The text and the parts it was read in.
pub(super) struct Parts<'d> {
    pub text: &'d [u8],
    pub lines: LineMap,
    pub scans: Vec<Scan<'d>>,
}

/// A dump as far as its goroutines say, with the text around them.
pub(super) struct Dump<'d> {
    pub snapshot: Snapshot<'d>,
    pub facts: GoFacts<'d>,
    /// Text that is no goroutine, by its place among the threads of the dump.
    pub foreign: Vec<Foreign>,
}

impl<'d> Parts<'d> {
    /// Scans the text in parallel.
    pub(super) fn scan(text: &'d [u8], lines: LineMap) -> Self {
        Self::of(text, lines, super::chunks(text))
    }

    /// Scans these parts of the text.
    pub(super) fn of(text: &'d [u8], lines: LineMap, ranges: Vec<Range<usize>>) -> Self {
        let mut scans: Vec<_> = ranges.into_par_iter().map(|range| scan::scan(text, range)).collect();
        let (mut line, mut thread) = (0, 0);
        for scan in &mut scans {
            for foreign in &mut scan.foreign {
                foreign.line += line;
                foreign.threads += thread;
            }
            line += scan.lines;
            thread += scan.threads.len() as u32;
        }
        Self { text, lines, scans }
    }

    /// All text that is no goroutine.
    pub(super) fn foreign(&self) -> impl Iterator<Item = &Foreign> {
        self.scans.iter().flat_map(|scan| &scan.foreign)
    }

    pub(super) fn bytes(&self, range: &Range<usize>) -> &'d [u8] {
        self.text.get(range.clone()).unwrap_or_default()
    }

    /// Builds the dumps that begin at the thread numbers `starts`, the first of which is 0.
    pub(super) fn build(self, starts: &[u32], arena: &'d Arena) -> Vec<Dump<'d>> {
        let mut dumps = Vec::new();
        let total: usize = self.scans.iter().map(|scan| scan.threads.len()).sum();
        let mut builder = Builder::new(self.text, arena);
        builder.dump.snapshot.threads.reserve_exact(if starts.len() <= 1 { total } else { 0 });
        let mut next_start = starts.iter().copied().skip(1).peekable();
        let mut number = 0_u32;
        let mut line = 0;
        let mut foreign_seen = 0_u32;
        for scan in self.scans {
            let mut part = Part::new(&scan, line);
            let mut foreign = scan.foreign.iter().cloned().peekable();
            let mut waits = scan.waits.iter().peekable();
            let mut samples = scan.samples.iter().peekable();
            let mut torn = scan.torn.iter().peekable();
            let mut ancestors = scan.ancestors.iter().peekable();
            let first = number;
            for &thread in &scan.threads {
                let local = number - first;
                if next_start.next_if_eq(&number).is_some() {
                    // The text right before the first goroutine belongs to it.
                    while let Some(before) = foreign.next_if(|foreign| foreign.threads < number) {
                        builder.foreign(before, foreign_seen);
                    }
                    let done = std::mem::replace(&mut builder, Builder::new(self.text, arena));
                    dumps.push(done.finish());
                    part.forget();
                    foreign_seen = number;
                }
                while let Some(before) = foreign.next_if(|foreign| foreign.threads <= number) {
                    builder.foreign(before, foreign_seen);
                }
                let wait = waits.next_if(|(at, _)| *at == local).map(|&(_, address)| address);
                let sample = samples.next_if(|(at, _)| *at == local).map(|(_, body)| body.clone());
                let torn = torn.next_if(|(at, _)| *at == local).map(|&(_, torn)| torn);
                builder.thread(thread, &mut part, &self.lines, wait, sample, torn);
                if let Some((_, text)) = ancestors.next_if(|(at, _)| *at == local) {
                    builder.ancestors(text);
                }
                number += 1;
            }
            for after in foreign {
                builder.foreign(after, foreign_seen);
            }
            line += scan.lines;
        }
        dumps.push(builder.finish());
        dumps
    }
}

/// Tables of one part, and what they came to in the dump at hand.
struct Part<'s, 'd> {
    stacks: &'s [RawStack],
    states: &'s [&'d [u8]],
    extras: &'s [super::header::Extra<'d>],
    heads: &'s [Head],
    known_stacks: Vec<Option<Known>>,
    known_labels: Vec<Option<LabelsId>>,
    line: u64,
}

/// A stack of the part in the dump at hand, with the state it was last seen in.
#[derive(Clone, Copy)]
struct Known {
    resolved: Resolved,
    raw_state: Option<StateId>,
    state: Option<StateId>,
}

impl<'s, 'd> Part<'s, 'd> {
    fn new(scan: &'s Scan<'d>, line: u64) -> Self {
        Self {
            stacks: &scan.stacks,
            states: &scan.states,
            extras: &scan.extras,
            heads: &scan.heads,
            known_stacks: vec![None; scan.stacks.len()],
            known_labels: vec![None; scan.extras.len()],
            line,
        }
    }

    /// Another dump begins: ids of the one before mean nothing.
    fn forget(&mut self) {
        self.known_stacks.fill(None);
        self.known_labels.fill(None);
    }
}

struct Builder<'d> {
    text: &'d [u8],
    dump: Dump<'d>,
    interner: Interner<'d>,
    by_hash: FxHashMap<u64, Resolved>,
    states: FxHashMap<(&'d [u8], bool), StateId>,
    idle: FxHashMap<(StackId, StateId), StateId>,
    labels: FxHashMap<super::header::Extra<'d>, LabelsId>,
    samples: FxHashMap<StackId, usize>,
    made: FxHashMap<StackId, usize>,
    torn: Vec<(u32, Torn)>,
}

impl<'d> Builder<'d> {
    fn new(text: &'d [u8], arena: &'d Arena) -> Self {
        let process = Process { runtime: Some(Runtime::Go), ..Process::default() };
        let snapshot = Snapshot { format: super::NAME, process, ..Snapshot::default() };
        Self {
            text,
            dump: Dump { snapshot, facts: GoFacts::default(), foreign: Vec::new() },
            interner: Interner::new(arena),
            by_hash: FxHashMap::default(),
            states: FxHashMap::default(),
            idle: FxHashMap::default(),
            labels: FxHashMap::default(),
            samples: FxHashMap::default(),
            made: FxHashMap::default(),
            torn: Vec::new(),
        }
    }

    fn foreign(&mut self, mut foreign: Foreign, first: u32) {
        foreign.threads = foreign.threads.saturating_sub(first);
        self.dump.foreign.push(foreign);
    }

    fn thread(
        &mut self,
        raw: RawThread,
        part: &mut Part<'_, 'd>,
        map: &LineMap,
        wait: Option<u64>,
        sample: Option<Range<usize>>,
        torn: Option<Torn>,
    ) {
        let number = self.dump.snapshot.threads.len() as u32;
        let Some(&head) = part.heads.get(raw.head as usize) else { return };
        let mut thread = Thread::new(ThreadId(raw.id), map.source(part.line + u64::from(raw.line)));
        (thread.stack, thread.state, thread.labels) = (raw.stack, head.state, head.labels);
        (thread.waited_s, thread.flags) = (head.waited_s, head.flags);
        self.place(&mut thread, part);
        if let Some(labels) = thread.labels {
            thread.labels = self.labels(part, labels);
        }
        if let Some(address) = wait {
            self.dump.facts.waits.push(GoWait { thread: number, address });
        }
        if let Some(body) = sample {
            self.sample(number, thread.stack, &body);
        }
        if let Some(torn) = torn {
            self.torn.push((number, torn));
        }
        self.dump.snapshot.threads.push(thread);
    }

    /// Gives a thread the ids of the dump for its stack, creator and state.
    fn place(&mut self, thread: &mut Thread<'d>, part: &mut Part<'_, 'd>) {
        let raw_state = thread.state;
        let raw = raw_state.and_then(|id| part.states.get(id.index())).copied().unwrap_or_default();
        let Some(index) = thread.stack.map(StackId::index) else {
            thread.state = self.state(raw, false);
            return;
        };
        if let Some(Some(known)) = part.known_stacks.get(index)
            && known.raw_state == raw_state
        {
            (thread.stack, thread.created_by, thread.state) =
                (known.resolved.stack, known.resolved.creator, known.state);
            if known.resolved.system {
                thread.flags = thread.flags | ThreadFlags::SYSTEM;
            }
            return;
        }
        let Some(stack) = part.stacks.get(index) else { return };
        let resolved = match self.by_hash.get(&stack.hash) {
            Some(&resolved) => resolved,
            None => self.resolve(stack),
        };
        let state = self.state_of(raw, resolved.stack);
        if let Some(slot) = part.known_stacks.get_mut(index) {
            *slot = Some(Known { resolved, raw_state, state });
        }
        (thread.stack, thread.created_by, thread.state) = (resolved.stack, resolved.creator, state);
        if resolved.system {
            thread.flags = thread.flags | ThreadFlags::SYSTEM;
        }
    }

    fn resolve(&mut self, stack: &RawStack) -> Resolved {
        let body = self.text.get(stack.body.clone()).unwrap_or_default();
        let resolved = self.interner.resolve(body, &mut self.dump.snapshot);
        self.by_hash.insert(stack.hash, resolved);
        if let Some(id) = resolved.stack {
            let waits = &mut self.dump.facts.stack_waits;
            if waits.len() <= id.index() {
                waits.resize(id.index() + 1, None);
            }
            let Plan { kind, .. } = stack.plan;
            if let Some(slot) = waits.get_mut(id.index()) {
                *slot = slot.or(kind);
            }
        }
        resolved
    }

    /// The state of a status on a stack: idle where the stack says so.
    fn state_of(&mut self, status: &'d [u8], stack: Option<StackId>) -> Option<StateId> {
        let plain = self.state(status, false)?;
        let Some(stack) = stack else { return Some(plain) };
        if let Some(&known) = self.idle.get(&(stack, plain)) {
            return Some(known);
        }
        let snapshot = &self.dump.snapshot;
        let frames = snapshot.stack(stack).map(|stack| stack.frames.as_slice()).unwrap_or_default();
        let names = frames.iter().filter_map(|&id| snapshot.frame(id)?.function.as_deref());
        let text = snapshot.state(plain).map(|state| state.text.clone()).unwrap_or_default();
        let idle = state::is_idle(&text, names);
        let state = if idle { self.state(status, true)? } else { plain };
        self.idle.insert((stack, plain), state);
        Some(state)
    }

    fn state(&mut self, status: &'d [u8], idle: bool) -> Option<StateId> {
        if let Some(&known) = self.states.get(&(status, idle)) {
            return Some(known);
        }
        let text = String::from_utf8_lossy(status);
        let activity = if idle { Activity::Idle } else { necropsy_model::go::activity(&text) };
        let id = StateId::new(self.dump.snapshot.states.len())?;
        self.dump.snapshot.states.push(State { text, activity });
        self.states.insert((status, idle), id);
        Some(id)
    }

    fn labels(&mut self, part: &mut Part<'_, 'd>, local: LabelsId) -> Option<LabelsId> {
        if let Some(Some(known)) = part.known_labels.get(local.index()) {
            return Some(*known);
        }
        let extra = *part.extras.get(local.index())?;
        let id = if let Some(&known) = self.labels.get(&extra) {
            known
        } else {
            let id = LabelsId::new(self.dump.snapshot.labels.len())?;
            self.dump.snapshot.labels.push(labels::of_header(extra));
            self.labels.insert(extra, id);
            id
        };
        *part.known_labels.get_mut(local.index())? = Some(id);
        Some(id)
    }

    /// Keeps the arguments of a goroutine, while few of its stack were kept.
    fn sample(&mut self, thread: u32, stack: Option<StackId>, body: &Range<usize>) {
        let Some(id) = stack else { return };
        let kept = self.samples.entry(id).or_default();
        if *kept >= SAMPLES {
            return;
        }
        *kept += 1;
        let mut arguments = Vec::new();
        let mut frame = 0;
        for (_, line) in lines(self.text.get(body.clone()).unwrap_or_default()) {
            if line.starts_with(b"created by ") {
                break;
            }
            if matches!(line.first(), None | Some(b'.')) || is_position(line) {
                continue;
            }
            for (position, value, stale) in call(line).arguments.into_iter().flat_map(words) {
                arguments.push(GoArgument { frame, position, value, stale });
            }
            frame += 1;
        }
        if !arguments.is_empty() {
            self.dump.facts.samples.push(GoSample { thread, stack, arguments });
        }
    }

    /// Keeps those that made the last thread, while few of its stack were kept.
    fn ancestors(&mut self, text: &Range<usize>) {
        let snapshot = &mut self.dump.snapshot;
        let Some(thread) = snapshot.threads.len().checked_sub(1) else { return };
        let Some(stack) = snapshot.threads.get(thread).and_then(|thread| thread.stack) else { return };
        let kept = self.made.entry(stack).or_default();
        if *kept >= SAMPLES {
            return;
        }
        *kept += 1;
        let text = self.text.get(text.clone()).unwrap_or_default();
        let ancestor = |(id, resolved): (u64, Resolved)| GoAncestor {
            thread: thread as u32,
            goroutine: ThreadId(id),
            stack: resolved.stack,
            created_by: resolved.creator,
        };
        self.dump.facts.ancestors.extend(self.interner.ancestors(text, snapshot).into_iter().map(ancestor));
    }

    fn finish(mut self) -> Dump<'d> {
        self.dump.facts.stack_waits.resize(self.dump.snapshot.stacks.len(), None);
        let snapshot = &mut self.dump.snapshot;
        for &(number, torn) in self.torn.iter().take(TORN_NAMED) {
            let Some(thread) = snapshot.threads.get(number as usize) else { continue };
            let what = match torn {
                Torn::Empty => "has a header but no frame",
                Torn::End => "is cut: the text ends inside it",
                Torn::Frame => "has a call without its position; what follows was not read",
            };
            let text = format!("goroutine {} {what}", thread.id);
            snapshot.warnings.push(Warning::new(text, thread.source));
        }
        if let Some(more) = self.torn.len().checked_sub(TORN_NAMED).filter(|&more| more > 0) {
            let text: Text<'d> = format!("{more} more goroutines are torn").into();
            snapshot.warnings.push(Warning::new(text, necropsy_model::Source::DUMP));
        }
        snapshot.warnings.extend(self.interner.full.warnings(necropsy_model::Source::DUMP));
        self.dump
    }
}

/// Where dumps begin, as thread numbers. Several dumps in one file are told apart by the words that begin a dump, by a
/// goroutine that writes one, and by a number that comes again.
pub(super) fn starts(parts: &Parts<'_>) -> Vec<u32> {
    let mut starts = vec![0];
    let mut writers: Vec<u32> = Vec::new();
    let mut first = 0;
    for scan in &parts.scans {
        if scan.stacks.iter().any(|stack| stack.writer) {
            for (thread, number) in scan.threads.iter().zip(first..) {
                let stack = thread.stack.and_then(|id| scan.stacks.get(id.index()));
                let state = scan.heads.get(thread.head as usize).and_then(|head| head.state);
                let running = state.and_then(|id| scan.states.get(id.index())) == Some(&&b"running"[..]);
                if running && stack.is_some_and(|stack| stack.writer) {
                    writers.push(number);
                }
            }
        }
        first += scan.threads.len() as u32;
    }
    let total = first;
    // A goroutine that writes a dump is its first one; where it is not, something else began the dump.
    starts.extend(writers.iter().skip(1).copied().filter(|_| writers.first() == Some(&0)));
    let mut known: Option<FxHashSet<u64>> = None;
    for foreign in parts.foreign().filter(|foreign| foreign.threads > 0 && foreign.threads < total) {
        let text = parts.bytes(&foreign.bytes);
        if is_machine_thread(text) {
            continue;
        }
        let begins = begins_dump(text) || {
            let known = known.get_or_insert_with(FxHashSet::default);
            repeats(parts, foreign.threads, known)
        };
        if begins {
            starts.push(foreign.threads);
        }
    }
    starts.sort_unstable();
    starts.dedup();
    starts
}

/// `GOTRACEBACK=crash` prints each machine thread behind such a line, and its goroutine once more.
pub(super) fn is_machine_thread(text: &[u8]) -> bool {
    lines(text).any(|(_, line)| line == b"-----")
}

/// Words that stand only before a dump.
fn begins_dump(text: &[u8]) -> bool {
    lines(text).any(|(_, line)| {
        line.starts_with(b"panic: ")
            || line.starts_with(b"fatal error: ")
            || line.starts_with(b"SIGQUIT: quit")
            || line.starts_with(b"SIGABRT: abort")
            || memmem::find(line, b"=== BEGIN goroutine stack dump ===").is_some()
    })
}

/// Whether the goroutine behind a text was there before it. Goroutine 0 is every machine thread's.
fn repeats(parts: &Parts<'_>, at: u32, known: &mut FxHashSet<u64>) -> bool {
    let ids = || parts.scans.iter().flat_map(|scan| &scan.threads).map(|thread| thread.id);
    if known.len() < at as usize {
        known.extend(ids().take(at as usize));
    }
    ids().nth(at as usize).is_some_and(|id| id != 0 && known.contains(&id))
}
