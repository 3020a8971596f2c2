//! `Thread.dump_to_file` as text: pid, time and version on a line each, then the threads.

use crate::java_threads::listed::{RawDump, RawThread, Want, WantKind};

/// Lines before the first thread.
const HEAD_LINES: usize = 8;

pub(super) fn is_text(head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(head.get(..4096).unwrap_or(head));
    let mut lines = text.lines();
    let pid = lines.next().is_some_and(|line| !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_digit()));
    let time = lines.next().is_some_and(is_time);
    pid && time && lines.take(HEAD_LINES).any(|line| header(line).is_some())
}

/// `2026-11-21T01:47:37.136285761Z`.
fn is_time(line: &str) -> bool {
    let line = line.trim();
    line.ends_with('Z') && line.contains('T') && line.starts_with(|c: char| c.is_ascii_digit()) && line.len() >= 20
}

pub(super) fn parse(data: &[u8]) -> RawDump {
    let text = String::from_utf8_lossy(data);
    let mut dump = RawDump { cut: !text.ends_with('\n'), ..RawDump::default() };
    for (number, line) in (1..).zip(text.lines()) {
        if let Some(thread) = header(line) {
            dump.threads.push(RawThread { line: Some(number), ..thread });
            continue;
        }
        match (number, dump.threads.last_mut()) {
            (1, None) => dump.pid = line.trim().parse().ok(),
            (2, None) => line.trim().clone_into(&mut dump.time),
            (3, None) => line.trim().clone_into(&mut dump.version),
            (_, Some(thread)) => body(line, thread),
            _ => {}
        }
    }
    dump
}

/// `#27 "vm-left" virtual BLOCKED 2026-11-21T01:47:37.1Z`; JDK 21 ends behind the name or `virtual`.
fn header(line: &str) -> Option<RawThread> {
    let rest = line.strip_prefix('#')?;
    let (number, rest) = rest.split_once(" \"")?;
    let number = number.parse().ok()?;
    // Names are raw: the last quote ends them.
    let (name, rest) = rest.rsplit_once('"')?;
    let mut words = rest.split_whitespace().peekable();
    let is_virtual = words.next_if_eq(&"virtual").is_some();
    let state = words.next().filter(|word| word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'));
    let state = state.unwrap_or_default().to_owned();
    Some(RawThread { number, name: name.to_owned(), is_virtual, state, ..RawThread::default() })
}

/// A line below a header: a frame, with `at` since JDK 25, or a note.
fn body(line: &str, thread: &mut RawThread) {
    let text = line.trim();
    let Some(note) = text.strip_prefix("- ") else {
        let frame = text.strip_prefix("at ").unwrap_or(text);
        if frame.contains('(') {
            thread.frames.push(frame.to_owned());
        }
        return;
    };
    let object = |rest: &str| Some(rest.trim().strip_prefix('<')?.split('>').next()?.to_owned());
    let verbs =
        [("waiting to lock ", WantKind::Lock), ("waiting on ", WantKind::On), ("parking to wait for ", WantKind::Park)];
    if let Some(object) = note.strip_prefix("locked ").and_then(object) {
        thread.holds.push(object);
        return;
    }
    for (verb, kind) in verbs {
        if let Some(object) = note.strip_prefix(verb).and_then(object) {
            thread.wants.get_or_insert(Want { kind, object, owner: None });
            return;
        }
    }
}
