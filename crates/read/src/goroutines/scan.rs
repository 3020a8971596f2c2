//! The fast path: one walk over a part of the text that turns each goroutine into a 48-byte thread.
//!
//! Nothing is parsed twice and nothing is kept for a stack that was seen before: a record's raw bytes, without what
//! changes from goroutine to goroutine (arguments, frame addresses, the creator's number), are hashed line by line, and
//! only the first record of each hash is taken apart later by [`super::stack`].

use std::ops::Range;

use memchr::{memchr, memmem, memrchr};
use necropsy_model::{LabelsId, Source, StackId, StateId, Thread, ThreadFlags, ThreadId};
use rustc_hash::FxHashMap;

use super::frame::{Call, call};
use super::header::{self, Extra, Header};
use super::waits::{self, Plan};

/// Goroutines of each stack whose arguments are kept, per part of the text.
const SAMPLES: u32 = 2;

/// What a part of the text holds. Ids and lines are those of the part; [`super::build`] makes them those of the dump.
#[derive(Default)]
pub(super) struct Scan<'d> {
    /// Goroutines; their `stack` is an index of [`Scan::stacks`], and so on.
    pub threads: Vec<Thread<'d>>,
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
    /// Lines of the part.
    pub lines: u64,
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
        last_state: None,
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
    last_state: Option<(&'d [u8], u32)>,
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
            && let Some(header) = header::parse(line)
        {
            let source = Source::line(self.scan.lines);
            self.at = next;
            self.scan.lines += 1;
            let record = self.record();
            return self.thread(header, source, &record);
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
                Some(b'[') if line.starts_with(b"[originating from goroutine ") => {
                    self.ancestors();
                    break;
                }
                Some(b'c') if line.starts_with(b"created by ") => {
                    creator = true;
                    let name = memmem::rfind(line, b" in goroutine ").and_then(|at| line.get(..at)).unwrap_or(line);
                    hash.add(name);
                    let (position, after) = self.line(next);
                    if matches!(position.first(), Some(b'\t' | b' ')) {
                        hash.add(without_pointers(position));
                        (after, 2)
                    } else {
                        (next, 1)
                    }
                }
                Some(_) if creator => break,
                Some(_) => {
                    let (position, after) = self.line(next);
                    if !matches!(position.first(), Some(b'\t' | b' ')) {
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
        matches!(last.first(), Some(b'\t' | b' ')) && position.line > 0
    }

    /// Skips the stacks of those that made this goroutine (`GODEBUG=tracebackancestors`).
    fn ancestors(&mut self) {
        while self.at < self.text.len() {
            let (line, next) = self.line(self.at);
            if header::parse(line).is_some() {
                return;
            }
            self.advance(next, 1);
            if line.is_empty() {
                return;
            }
        }
    }

    fn thread(&mut self, header: Header<'d>, source: Source, record: &Record) {
        let number = self.scan.threads.len() as u32;
        let mut thread = Thread::new(ThreadId(header.id), source);
        thread.state = StateId::new(self.state(header.status) as usize);
        if header.extra != Extra::default() {
            thread.labels = LabelsId::new(self.extra(header.extra) as usize);
        }
        if let Some(minutes) = header.minutes {
            thread.waited_s = minutes.saturating_mul(60).min(u32::MAX - 1);
        }
        if header.locked {
            thread.flags = thread.flags | ThreadFlags::LOCKED;
        }
        if header.leaked {
            thread.flags = thread.flags | ThreadFlags::LEAKED;
        }
        if let Some(torn) = record.torn {
            self.scan.torn.push((number, torn));
        }
        if record.calls > 0 || record.creator {
            thread.stack = StackId::new(self.stack(number, record) as usize);
        }
        self.scan.threads.push(thread);
    }

    /// Index of the record's stack, new or known; keeps what differs from goroutine to goroutine.
    fn stack(&mut self, number: u32, record: &Record) -> u32 {
        let index = match self.stacks.get(&record.hash) {
            Some(&index) => index,
            None => self.new_stack(record),
        };
        let Some(stack) = self.scan.stacks.get_mut(index as usize) else { return index };
        if stack.seen < SAMPLES {
            stack.seen += 1;
            self.scan.samples.push((number, record.body.clone()));
        }
        if stack.plan.has_places() {
            let calls = self.calls.get(..record.calls).unwrap_or(&self.calls);
            let text = self.text;
            let line = |frame: usize| {
                let rest = text.get(*calls.get(frame)?..)?;
                rest.get(..memchr(b'\n', rest)?).map(call)
            };
            if let Some(address) = stack.plan.address(line) {
                self.scan.waits.push((number, address));
            }
        }
        index
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

    fn state(&mut self, status: &'d [u8]) -> u32 {
        if let Some((last, index)) = self.last_state
            && last == status
        {
            return index;
        }
        let next = self.scan.states.len() as u32;
        let index = *self.states.entry(status).or_insert_with(|| {
            self.scan.states.push(status);
            next
        });
        self.last_state = Some((status, index));
        index
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
    // ` fp=0x… sp=0x… pc=0x…` ends the line; `pc=` can only stand in its last bytes.
    let tail = position.len().saturating_sub(24);
    match position.get(tail..).and_then(|tail| memmem::find(tail, b" pc=0x")) {
        Some(_) => memmem::rfind(position, b" fp=0x").and_then(|at| position.get(..at)).unwrap_or(position),
        None => position,
    }
}

/// A fast hash for one run of the program: eight bytes at a time, folded multiplication as in wyhash.
struct Hash(u64);

impl Hash {
    const KEY: u64 = 0x9e37_79b9_7f4a_7c15;

    fn new() -> Self {
        Self(0x2d35_8dcc_aa6c_78a5)
    }

    #[inline]
    fn add_word(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word).wrapping_mul(u128::from(Self::KEY));
        self.0 = (product as u64) ^ ((product >> 64) as u64).rotate_left(1);
    }

    #[inline]
    fn add(&mut self, bytes: &[u8]) {
        let (words, tail) = bytes.as_chunks::<8>();
        for word in words {
            self.add_word(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        for (to, from) in last.iter_mut().zip(tail) {
            *to = *from;
        }
        self.add_word(u64::from_le_bytes(last) ^ (bytes.len() as u64) << 56);
    }

    fn finish(self) -> u64 {
        self.0
    }
}
