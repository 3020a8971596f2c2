//! The fast path: one walk over a part of the text that turns each goroutine into 24 bytes.
//!
//! Nothing is parsed twice and nothing is kept for a stack that was seen before. A record that reads byte for byte like one
//! before it ([`super::seen`]) is skipped as a whole. Of any other the raw bytes, without what changes from goroutine to
//! goroutine (arguments, frame addresses, the creator's number), are hashed line by line, and only the first record of each
//! hash is taken apart later by [`super::stack`].

use std::ops::Range;

use memchr::{memchr, memmem, memrchr};
use necropsy_model::{LabelsId, StackId, StateId, ThreadFlags};
use rustc_hash::FxHashMap;

use super::frame::{Call, call, is_position};
use super::header::{self, Extra};
use super::seen::{Hash, Known, Seen};
use super::waits::{self, Plan};

/// Goroutines of each stack whose arguments are kept, per part of the text.
const SAMPLES: u32 = 2;

/// Bytes in which the end of a record is looked for; a hundred frames, the most that the runtime prints, need less.
const WINDOW: usize = 16 * 1024;

/// What a part of the text holds. Ids and lines are those of the part; [`super::build`] makes them those of the dump.
#[derive(Default)]
pub(super) struct Scan<'d> {
    /// Goroutines; their `stack` is an index of [`Scan::stacks`], and so on.
    pub threads: Vec<RawThread>,
    /// Distinct headers, but for the number.
    pub heads: Vec<Head>,
    /// Distinct records.
    pub stacks: Vec<RawStack>,
    /// Distinct statuses.
    pub states: Vec<&'d [u8]>,
    /// Distinct marks and labels.
    pub extras: Vec<Extra<'d>>,
    /// Goroutine and address of what it waits for.
    pub waits: Vec<(u32, u64)>,
    /// Goroutine and bytes of its record, for those whose arguments are kept.
    pub samples: Vec<(u32, Range<usize>)>,
    /// Text that is no goroutine.
    pub foreign: Vec<Foreign>,
    /// Goroutines that are torn.
    pub torn: Vec<(u32, Torn)>,
    /// Goroutine and text of the stacks of those that made it.
    pub ancestors: Vec<(u32, Range<usize>)>,
    /// Lines of the part.
    pub lines: u64,
}

/// A goroutine in its part of the text.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawThread {
    /// Its number.
    pub id: u64,
    /// Line of its header, from 0.
    pub line: u32,
    /// Index of [`Scan::heads`].
    pub head: u32,
    /// Index of [`Scan::stacks`].
    pub stack: Option<StackId>,
}

/// A distinct header, but for the number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    /// Index of [`Scan::states`].
    pub state: Option<StateId>,
    /// Index of [`Scan::extras`].
    pub labels: Option<LabelsId>,
    /// As in [`necropsy_model::Thread`].
    pub waited_s: u32,
    /// Marks.
    pub flags: ThreadFlags,
}

/// A distinct record.
#[derive(Clone, Debug)]
pub(super) struct RawStack {
    /// Hash of what does not change.
    pub hash: u64,
    /// Bytes behind the header, of the first record that has it.
    pub body: Range<usize>,
    /// Where the address of what it waits for stands.
    pub plan: Plan,
    /// The goroutine wrote this very dump.
    pub writer: bool,
    seen: u32,
}

/// Text between goroutines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Foreign {
    /// Bytes.
    pub bytes: Range<usize>,
    /// Line of its start.
    pub line: u64,
    /// Goroutines before it.
    pub threads: u32,
}

/// How a goroutine is torn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Torn {
    /// No frame follows its header.
    Empty,
    /// The text ends inside it.
    End,
    /// A call without its position.
    Frame,
}

/// Walks over `range` of `text`, which begins and ends between records.
pub(super) fn scan(text: &[u8], range: Range<usize>) -> Scan<'_> {
    let end = range.end.min(text.len());
    let mut scanner = Scanner {
        text: text.get(..end).unwrap_or_default(),
        at: range.start,
        scan: Scan::default(),
        stacks: FxHashMap::default(),
        states: FxHashMap::default(),
        extras: FxHashMap::default(),
        heads: FxHashMap::default(),
        last_head: None,
        seen: Seen::new(),
        empty_line: memmem::Finder::new(b"\n\n"),
        calls: [0; waits::FRAMES],
    };
    while scanner.at < end {
        scanner.next();
    }
    scanner.scan
}

struct Scanner<'d> {
    text: &'d [u8],
    /// Start of the next line.
    at: usize,
    scan: Scan<'d>,
    stacks: FxHashMap<u64, u32>,
    states: FxHashMap<&'d [u8], u32>,
    extras: FxHashMap<Extra<'d>, u32>,
    /// Headers from their bracket on.
    heads: FxHashMap<&'d [u8], u32>,
    last_head: Option<(&'d [u8], u32)>,
    seen: Seen<'d>,
    empty_line: memmem::Finder<'static>,
    /// Starts of the calls of the record at hand.
    calls: [usize; waits::FRAMES],
}

/// What the lines of a record came to.
struct Record {
    hash: u64,
    body: Range<usize>,
    calls: usize,
    creator: bool,
    torn: Option<Torn>,
}

impl<'d> Scanner<'d> {
    /// The line at `at`, and where the next one starts. The last line may have no end.
    #[inline]
    fn line(&self, at: usize) -> (&'d [u8], usize) {
        let rest = self.text.get(at..).unwrap_or_default();
        match memchr(b'\n', rest) {
            Some(length) => (rest.get(..length).unwrap_or_default(), at + length + 1),
            None => (rest, self.text.len()),
        }
    }

    /// Takes one record, or one line that is none.
    fn next(&mut self) {
        let (line, next) = self.line(self.at);
        if line.first() == Some(&b'g')
            && let Some((id, rest)) = header::begin(line)
            && let Some(head) = self.head(id, rest)
        {
            let thread = RawThread { id, line: self.scan.lines as u32, head, stack: None };
            self.at = next;
            self.scan.lines += 1;
            return self.goroutine(thread);
        }
        let line = self.scan.lines;
        match self.scan.foreign.last_mut() {
            Some(last) if last.bytes.end == self.at => last.bytes.end = next,
            // Empty lines between goroutines say nothing.
            _ if next - self.at > 1 => {
                let threads = self.scan.threads.len() as u32;
                self.scan.foreign.push(Foreign { bytes: self.at..next, line, threads });
            }
            _ => {}
        }
        self.at = next;
        self.scan.lines += 1;
    }

    /// Takes the lines behind a header: at one step, when they came before.
    fn goroutine(&mut self, thread: RawThread) {
        let start = self.at;
        if let Some((length, known)) = self.seen.follow(self.text.get(start..).unwrap_or_default()) {
            return self.known(thread, start..start + length, known);
        }
        let text = self.whole(start);
        let mut hash = 0;
        if let Some(text) = text {
            let known;
            (hash, known) = self.seen.find(text);
            if let Some(known) = known {
                return self.known(thread, start..start + text.len(), known);
            }
        }
        let (lines, ancestors) = (self.scan.lines, self.scan.ancestors.len());
        let record = self.record();
        let Some((stack, wait)) = self.thread(thread, &record) else { return };
        if let Some(text) = text
            && self.at == start + text.len() + 1
            && record.torn.is_none()
            && self.scan.ancestors.len() == ancestors
        {
            let lines = (self.scan.lines - lines) as u32;
            self.seen.keep(hash, text, Known { stack, lines, wait });
        }
    }

    /// Keeps a goroutine whose record came before.
    #[inline]
    fn known(&mut self, mut thread: RawThread, body: Range<usize>, known: Known) {
        let Known { stack, lines, wait } = known;
        self.advance(body.end + 1, u64::from(lines));
        thread.stack = StackId::new(stack as usize);
        self.sample(stack, body);
        self.wait(wait);
        self.scan.threads.push(thread);
    }

    /// The text from here to the next empty line, when that is near.
    #[inline]
    fn whole(&self, start: usize) -> Option<&'d [u8]> {
        let rest = self.text.get(start..)?;
        let rest = rest.get(..WINDOW).unwrap_or(rest);
        rest.get(..self.empty_line.find(rest)? + 1)
    }

    /// Walks over the lines behind a header.
    fn record(&mut self) -> Record {
        let mut hash = Hash::new();
        let start = self.at;
        let (mut calls, mut creator, mut torn, mut notes) = (0_usize, false, None, false);
        let mut body_end = start;
        while self.at < self.text.len() {
            let (line, next) = self.line(self.at);
            let step = match line.first() {
                None => {
                    self.advance(next, 1);
                    break;
                }
                Some(b'\t' | b' ') => {
                    if line.trim_ascii().is_empty() {
                        self.advance(next, 1);
                        break;
                    }
                    if memmem::find(line, b"stack unavailable").is_none() {
                        break;
                    }
                    hash.add(b"unavailable");
                    notes = true;
                    (next, 1)
                }
                Some(b'.') if line.starts_with(b"...") => {
                    // `...209517 frames elided...`, before Go 1.21 `...additional frames elided...`.
                    hash.add(b"elided");
                    (next, 1)
                }
                Some(b'g') if header::parse(line).is_some() => break,
                Some(b'[') if line.starts_with(super::stack::ORIGIN) => {
                    self.ancestors();
                    break;
                }
                Some(b'c') if line.starts_with(b"created by ") => {
                    creator = true;
                    let name = memmem::rfind(line, b" in goroutine ").and_then(|at| line.get(..at)).unwrap_or(line);
                    hash.add(name);
                    let (position, after) = self.line(next);
                    if is_position(position) {
                        hash.add(without_pointers(position));
                        (after, 2)
                    } else {
                        (next, 1)
                    }
                }
                Some(_) if creator => break,
                Some(_) => {
                    let (position, after) = self.line(next);
                    if !is_position(position) {
                        // The text may end in the middle of a record; `exit status 2` is none of it.
                        let ended = self.text.last() == Some(&b'\n');
                        if next >= self.text.len()
                            && (memchr(b'(', line).is_some() || !ended && memchr(b' ', line).is_none())
                        {
                            torn = Some(Torn::End);
                            self.advance(next, u64::from(ended));
                        } else if position.is_empty() && line.ends_with(b")") && memchr(b'(', line).is_some() {
                            torn = Some(Torn::Frame);
                        }
                        break;
                    }
                    let open = memrchr(b'(', line).unwrap_or(line.len());
                    hash.add(line.get(..open).unwrap_or(line));
                    // An inlined call prints `(...)`.
                    hash.add_word(u64::from(line.get(open..) == Some(b"(...)")));
                    hash.add(without_pointers(position));
                    if let Some(slot) = self.calls.get_mut(calls) {
                        *slot = self.at;
                    }
                    calls += 1;
                    (after, 2)
                }
            };
            self.advance(step.0, step.1);
            body_end = self.at;
        }
        if torn.is_none() {
            if calls == 0 && !creator && !notes {
                torn = Some(Torn::Empty);
            } else if self.at >= self.text.len() && self.text.last() != Some(&b'\n') && !self.ends_well(start) {
                torn = Some(Torn::End);
            }
        }
        Record { hash: hash.finish(), body: start..body_end, calls, creator, torn }
    }

    fn advance(&mut self, next: usize, lines: u64) {
        self.at = next;
        self.scan.lines += lines;
    }

    /// The last line of a text without a line end is whole: it is a position with its offset.
    fn ends_well(&self, start: usize) -> bool {
        let body = self.text.get(start..).unwrap_or_default();
        let last = memrchr(b'\n', body).and_then(|at| body.get(at + 1..)).unwrap_or(body).trim_ascii_end();
        let position = super::frame::position(last);
        is_position(last) && position.line > 0
    }

    /// Steps over the stacks of those that made this goroutine (`GODEBUG=tracebackancestors`).
    fn ancestors(&mut self) {
        let start = self.at;
        let mut end = start;
        while self.at < self.text.len() {
            let (line, next) = self.line(self.at);
            if header::parse(line).is_some() {
                break;
            }
            self.advance(next, 1);
            if line.is_empty() {
                break;
            }
            end = self.at;
        }
        self.scan.ancestors.push((self.scan.threads.len() as u32, start..end));
    }

    /// Keeps a goroutine; its stack and the address of what it waits for, 0 for none.
    fn thread(&mut self, mut thread: RawThread, record: &Record) -> Option<(u32, u64)> {
        if let Some(torn) = record.torn {
            self.scan.torn.push((self.scan.threads.len() as u32, torn));
        }
        let mut known = None;
        if record.calls > 0 || record.creator {
            let (stack, wait) = self.stack(record);
            thread.stack = StackId::new(stack as usize);
            self.sample(stack, record.body.clone());
            self.wait(wait);
            known = Some((stack, wait));
        }
        self.scan.threads.push(thread);
        known
    }

    /// Keeps where the arguments of this goroutine stand, while few of its stack were kept.
    #[inline]
    fn sample(&mut self, stack: u32, body: Range<usize>) {
        if let Some(stack) = self.scan.stacks.get_mut(stack as usize)
            && stack.seen < SAMPLES
        {
            stack.seen += 1;
            self.scan.samples.push((self.scan.threads.len() as u32, body));
        }
    }

    #[inline]
    fn wait(&mut self, address: u64) {
        if address != 0 {
            self.scan.waits.push((self.scan.threads.len() as u32, address));
        }
    }

    /// Index of the record's stack, new or known, and the address of what it waits for, 0 for none.
    fn stack(&mut self, record: &Record) -> (u32, u64) {
        let index = match self.stacks.get(&record.hash) {
            Some(&index) => index,
            None => self.new_stack(record),
        };
        let Some(stack) = self.scan.stacks.get(index as usize).filter(|stack| stack.plan.has_places()) else {
            return (index, 0);
        };
        let calls = self.calls.get(..record.calls).unwrap_or(&self.calls);
        let line = |frame: usize| {
            let rest = self.text.get(*calls.get(frame)?..)?;
            rest.get(..memchr(b'\n', rest)?).map(call)
        };
        (index, stack.plan.address(line).unwrap_or_default())
    }

    fn new_stack(&mut self, record: &Record) -> u32 {
        let index = self.scan.stacks.len() as u32;
        let calls = || -> Vec<Call<'d>> {
            let starts = self.calls.get(..record.calls).unwrap_or(&self.calls);
            starts.iter().map(|&start| call(self.line(start).0)).collect()
        };
        let calls = calls();
        let writer = calls.iter().any(|call| call.name == b"runtime/pprof.writeGoroutineStacks");
        let plan = waits::plan(calls.into_iter());
        self.stacks.insert(record.hash, index);
        self.scan.stacks.push(RawStack { hash: record.hash, body: record.body.clone(), plan, writer, seen: 0 });
        index
    }

    /// Index of the header whose text from the bracket on this is, new or known; none when it is no header.
    #[inline]
    fn head(&mut self, id: u64, text: &'d [u8]) -> Option<u32> {
        if let Some((last, index)) = self.last_head
            && last == text
        {
            return Some(index);
        }
        let index = match self.heads.get(text) {
            Some(&index) => index,
            None => self.new_head(id, text)?,
        };
        self.last_head = Some((text, index));
        Some(index)
    }

    fn new_head(&mut self, id: u64, text: &'d [u8]) -> Option<u32> {
        let (header, rest) = header::from_bracket(id, text)?;
        if !rest.trim_ascii().is_empty() {
            return None;
        }
        let mut flags = ThreadFlags::default();
        if header.locked {
            flags = flags | ThreadFlags::LOCKED;
        }
        if header.leaked {
            flags = flags | ThreadFlags::LEAKED;
        }
        let labels =
            if header.extra == Extra::default() { None } else { LabelsId::new(self.extra(header.extra) as usize) };
        let head = Head {
            state: StateId::new(self.state(header.status) as usize),
            labels,
            waited_s: header.minutes.map_or(u32::MAX, |minutes| minutes.saturating_mul(60).min(u32::MAX - 1)),
            flags,
        };
        let index = self.scan.heads.len() as u32;
        self.scan.heads.push(head);
        self.heads.insert(text, index);
        Some(index)
    }

    fn state(&mut self, status: &'d [u8]) -> u32 {
        let next = self.scan.states.len() as u32;
        *self.states.entry(status).or_insert_with(|| {
            self.scan.states.push(status);
            next
        })
    }

    fn extra(&mut self, extra: Extra<'d>) -> u32 {
        let next = self.scan.extras.len() as u32;
        *self.extras.entry(extra).or_insert_with(|| {
            self.scan.extras.push(extra);
            next
        })
    }
}

/// A position without what differs from goroutine to goroutine: the addresses of the frame.
#[inline]
fn without_pointers(position: &[u8]) -> &[u8] {
    // ` fp=0x… sp=0x… pc=0x…` ends the line; its last `=` can only stand in its last bytes.
    let tail = position.get(position.len().saturating_sub(24)..).unwrap_or_default();
    match memrchr(b'=', tail).and_then(|_| memmem::find(tail, b" pc=0x")) {
        Some(_) => memmem::rfind(position, b" fp=0x").and_then(|at| position.get(..at)).unwrap_or(position),
        None => position,
    }
}
