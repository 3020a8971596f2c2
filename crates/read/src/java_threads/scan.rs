//! The lines of the text, sorted into dumps, threads, frames and notes.

use std::ops::Range;

use super::deadlock::Section;
use super::header::{self, Header};
use super::jhsdb;
use super::note::{self, Note};
use crate::text::lines;

/// Lines over which the name of a thread may go.
const NAME_LINES: usize = 4;

/// What is printed between two lines `Full thread dump`.
#[derive(Debug, Default)]
pub(super) struct RawDump<'d> {
    /// Number of the line `Full thread dump`, if there is one.
    pub line: Option<u64>,
    /// The virtual machine and its version.
    pub vm: &'d [u8],
    pub taken_at: &'d [u8],
    pub pid: Option<u64>,
    pub threads: Vec<RawThread<'d>>,
    pub deadlocks: Section<'d>,
    /// Ownable synchronizers are listed below threads (`-l`).
    pub synchronizers: bool,
    /// The VM's own end of a dump was seen.
    pub ended: bool,
    /// Lines that look like frames and are none.
    pub unread: Vec<u64>,
    /// `jhsdb jstack` wrote it: frames and locks look otherwise, and nothing marks its end.
    pub from_outside: bool,
}

/// A thread as printed.
#[derive(Debug, Default)]
pub(super) struct RawThread<'d> {
    pub line: u64,
    pub header: Header<'d>,
    pub state: &'d [u8],
    pub frames: Vec<&'d [u8]>,
    /// Notes with the line they stand in.
    pub notes: Vec<(u64, Note<'d>)>,
    pub carries: Option<u64>,
    /// The thread is a virtual one on its carrier, by the number of the carrier's raw thread.
    pub mounted: bool,
    /// Not a Java thread: one of the virtual machine or of a library, of which only the kernel's number is known.
    pub native: bool,
    /// Notes below the innermost frame.
    pub top_notes: usize,
}

/// Where the lines belong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Before the first thread of a dump, or behind its last.
    Around,
    Thread,
    /// In the VM's own section on deadlocks: its stacks are no threads.
    Deadlocks,
}

/// Sorts the lines of the text.
pub(super) fn scan(text: &[u8]) -> Vec<RawDump<'_>> {
    let mut scanner = Scanner { dumps: Vec::new(), part: Part::Around, before: [&[], &[]] };
    let mut start = 0;
    let mut skip = 0;
    for (number, line) in lines(text) {
        let place = start..start + line.len();
        start = place.end + 1;
        if skip > 0 {
            skip -= 1;
            continue;
        }
        let quoted = line.first() == Some(&b'"') && scanner.part != Part::Deadlocks;
        if let Some((header, used)) = quoted.then(|| header_at(text, &place)).flatten() {
            scanner.thread(number, header);
            skip = used;
            continue;
        }
        scanner.line(number, line);
    }
    scanner.dumps.retain(|dump| dump.line.is_some() || !dump.threads.is_empty());
    scanner.dumps
}

/// The header that begins at this line, and how many more lines its name takes.
fn header_at<'d>(text: &'d [u8], place: &Range<usize>) -> Option<(Header<'d>, usize)> {
    let line = text.get(place.clone())?;
    if let Some(header) = header::parse(line) {
        return Some((header, 0));
    }
    // The name may go on in the next lines; the VM's section and other quoted text end with the quote or a colon.
    if line.ends_with(b":") || line.ends_with(b"\"") {
        return None;
    }
    let mut end = place.end;
    for used in 1..NAME_LINES {
        let next = text.get(end + 1..).map(crate::text::line_at)?;
        if next.is_empty() || next.first() == Some(&b'"') || next.starts_with(b"   java.lang.Thread.State") {
            return None;
        }
        end += 1 + next.len();
        if let Some(header) = header::parse(text.get(place.start..end)?) {
            return Some((header, used));
        }
    }
    None
}

struct Scanner<'d> {
    dumps: Vec<RawDump<'d>>,
    part: Part,
    /// The last two lines that belong to no thread.
    before: [&'d [u8]; 2],
}

impl<'d> Scanner<'d> {
    fn dump(&mut self) -> Option<&mut RawDump<'d>> {
        if self.dumps.is_empty() {
            self.dumps.push(RawDump::default());
        }
        self.dumps.last_mut()
    }

    fn thread(&mut self, line: u64, header: Header<'d>) {
        self.part = Part::Thread;
        if let Some(dump) = self.dump() {
            // In the mixed mode the kernel's number stands in a line of its own before.
            let same = |thread: &RawThread<'_>| {
                thread.native && thread.frames.is_empty() && thread.header.os_id == header.os_id
            };
            if dump.threads.last().is_some_and(same) {
                dump.threads.pop();
            }
            dump.threads.push(RawThread { line, header, ..RawThread::default() });
        }
    }

    fn line(&mut self, number: u64, line: &'d [u8]) {
        let trimmed = line.trim_ascii();
        if let Some(vm) = line.strip_prefix(super::START) {
            let [first, second] = self.before;
            let (pid, taken_at) = (pid(first).or_else(|| pid(second)), date(second));
            self.dumps.push(RawDump { line: Some(number), vm: vm_of(vm), taken_at, pid, ..RawDump::default() });
            self.part = Part::Around;
            return;
        }
        if self.line_of_jhsdb(number, line) {
            return;
        }
        let told = self.part == Part::Deadlocks && self.dumps.last().is_some_and(|dump| dump.deadlocks.has_links());
        if trimmed.starts_with(b"Found one Java-level deadlock") || trimmed.starts_with(b"Found a total of") && !told {
            self.part = Part::Deadlocks;
            if let Some(dump) = self.dump() {
                dump.deadlocks.begin();
            }
            return;
        }
        if self.part == Part::Deadlocks {
            let ends = trimmed.starts_with(b"Found ") || trimmed == b"Heap";
            if let Some(dump) = self.dump() {
                dump.deadlocks.line(line);
                dump.ended = true;
            }
            if ends {
                self.part = Part::Around;
            }
            return;
        }
        if line.starts_with(b"JNI global ref") {
            self.part = Part::Around;
            if let Some(dump) = self.dump() {
                dump.ended = true;
            }
            return;
        }
        if self.part == Part::Thread && self.body(number, trimmed) {
            return;
        }
        if !trimmed.is_empty() {
            self.before = [self.before[1], trimmed];
        }
    }

    /// Takes a line that only `jhsdb` writes; `false` for any other.
    fn line_of_jhsdb(&mut self, number: u64, line: &'d [u8]) -> bool {
        if jhsdb::begins(line) {
            self.dumps.push(RawDump {
                line: Some(number),
                pid: jhsdb::pid(line),
                from_outside: true,
                ..RawDump::default()
            });
            self.part = Part::Around;
        } else if let Some(os_id) = jhsdb::separator(line) {
            self.part = Part::Thread;
            if let Some(dump) = self.dump() {
                dump.from_outside = true;
                let header = Header { os_id: Some(os_id), ..Header::default() };
                dump.threads.push(RawThread { line: number, header, native: true, ..RawThread::default() });
            }
        } else if let Some(version) = line.strip_prefix(b"JVM version is ")
            && let Some(dump) = self.dumps.last_mut().filter(|dump| dump.from_outside)
        {
            dump.vm = version.trim_ascii();
        } else {
            return false;
        }
        true
    }

    /// Takes a line below a header; `false` for anything foreign.
    fn body(&mut self, number: u64, line: &'d [u8]) -> bool {
        let Some(dump) = self.dumps.last_mut() else { return false };
        let Some(thread) = dump.threads.last_mut() else { return false };
        if let Some(frame) = line.strip_prefix(b"at ") {
            match memchr::memchr(b'(', frame) {
                Some(_) => thread.frames.push(frame),
                None => dump.unread.push(number),
            }
        } else if let Some(text) = line.strip_prefix(b"- ").filter(|text| jhsdb::is_java_frame(text)) {
            dump.from_outside = true;
            thread.frames.push(text);
        } else if dump.from_outside && jhsdb::is_mixed_frame(line) {
            thread.frames.push(line);
        } else if let Some(text) = line.strip_prefix(b"- ") {
            let (note, more) = note::parse(text);
            thread.notes.push((number, note));
            if thread.frames.len() == 1 {
                thread.top_notes = thread.notes.len();
            }
            thread.frames.extend(more.and_then(|more| more.strip_prefix(b"at ")));
        } else if let Some(state) = line.strip_prefix(b"java.lang.Thread.State: ") {
            if thread.state.is_empty() {
                thread.state = state;
            }
        } else if let Some(digits) = line.strip_prefix(b"Carrying virtual thread #") {
            thread.carries = number_of(digits);
        } else if let Some(digits) = line.strip_prefix(b"Mounted virtual thread #") {
            let number_ = number_of(digits);
            let header = Header { number: number_, ..Header::default() };
            dump.threads.push(RawThread { line: number, header, mounted: true, ..RawThread::default() });
        } else {
            let listed = line.starts_with(b"Locked ownable synchronizers:");
            dump.synchronizers |= listed;
            return line.is_empty() || listed;
        }
        true
    }
}

pub(super) fn number_of(digits: &[u8]) -> Option<u64> {
    let end = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    std::str::from_utf8(digits.get(..end)?).ok()?.parse().ok()
}

/// `12345:`, which `jcmd` writes first.
fn pid(line: &[u8]) -> Option<u64> {
    std::str::from_utf8(line.strip_suffix(b":")?).ok()?.parse().ok()
}

/// `2026-11-21 01:42:57`; nothing when the line is another one.
fn date(line: &[u8]) -> &[u8] {
    let shape = |(at, byte): (usize, &u8)| match at {
        4 | 7 => *byte == b'-',
        10 => matches!(byte, b' ' | b'T'),
        13 | 16 => *byte == b':',
        _ => byte.is_ascii_digit(),
    };
    let is_date = line.len() == 19 && line.iter().enumerate().all(shape);
    if is_date { line } else { &[] }
}

fn vm_of(text: &[u8]) -> &[u8] {
    let text = text.trim_ascii();
    text.strip_suffix(b":").unwrap_or(text)
}
