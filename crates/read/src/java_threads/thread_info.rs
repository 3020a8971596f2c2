//! `ThreadInfo.toString`, as programs print it that dump their own threads over JMX: at most eight frames of each, but with the owner
//! of every lock, also of `java.util.concurrent`.

use necropsy_model::{Arena, Snapshot};

use super::listed::{self, RawDump, RawThread, Want, WantKind};
use crate::{Error, Probe, Reader};

/// Name of the reader.
const NAME: &str = "java-thread-info";

/// The reader of `ThreadInfo.toString`.
pub(crate) struct ThreadInfo;

impl Reader for ThreadInfo {
    fn name(&self) -> &'static str {
        NAME
    }

    fn probe(&self, head: &[u8]) -> Probe {
        let text = String::from_utf8_lossy(head);
        if text.lines().any(|line| header(line).is_some()) { Probe::Yes } else { Probe::No }
    }

    fn find(&self, data: &[u8]) -> Option<usize> {
        // Only where the head of a file has none: a log with such a listing in it.
        let at = memchr::memmem::find(data, b" Id=")?;
        let start = memchr::memrchr(b'\n', data.get(..at)?).map_or(0, |at| at + 1);
        let line = data.get(start..).and_then(|rest| rest.split(|&byte| byte == b'\n').next())?;
        header(&String::from_utf8_lossy(line)).map(|_| start)
    }

    fn read<'data>(&self, data: &'data [u8], arena: &'data Arena) -> Result<Vec<Snapshot<'data>>, Error> {
        Ok(vec![listed::snapshot(parse(&String::from_utf8_lossy(data)), NAME, arena)?])
    }
}

fn parse(text: &str) -> RawDump {
    let mut dump = RawDump { cut: !text.ends_with('\n'), ..RawDump::default() };
    let mut inside = false;
    for (number, line) in (1..).zip(text.lines()) {
        if let Some(thread) = header(line) {
            dump.threads.push(RawThread { line: Some(number), ..thread });
            inside = true;
            continue;
        }
        let indented = line.starts_with(['\t', ' ']) || line.is_empty();
        inside &= indented;
        if let Some(thread) = dump.threads.last_mut().filter(|_| inside) {
            body(line.trim(), thread);
        }
    }
    dump
}

/// `"right" daemon prio=5 Id=23 BLOCKED on java.lang.Object@1 owned by "left" Id=22 (in native)`.
fn header(line: &str) -> Option<RawThread> {
    let rest = line.strip_prefix('"')?;
    let (before, rest) = rest.split_once(" Id=")?;
    // Names are raw: the last quote before the id ends them.
    let (name, between) = before.rsplit_once('"')?;
    if !between.split_whitespace().all(|word| word == "daemon" || word.starts_with("prio=")) {
        return None;
    }
    let (number, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let (state, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    if !state.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_') || state.is_empty() {
        return None;
    }
    let wants = rest.strip_prefix("on ").map(|rest| {
        let (object, owner) = rest.split_once(" owned by ").unwrap_or((rest, ""));
        let owner = owner.rsplit_once(" Id=").and_then(|(_, id)| id.split_whitespace().next()?.parse().ok());
        let object = object.split_whitespace().next().unwrap_or_default().to_owned();
        let kind = if state == "BLOCKED" { WantKind::Lock } else { WantKind::Park };
        Want { kind, object, owner }
    });
    Some(RawThread {
        number: number.parse().ok()?,
        name: name.to_owned(),
        state: state.to_owned(),
        wants,
        ..RawThread::default()
    })
}

fn body(line: &str, thread: &mut RawThread) {
    if let Some(frame) = line.strip_prefix("at ") {
        // What it waits for by Object.wait has the same words as what it is parked for.
        let waits = thread.frames.is_empty() && frame.contains("java.lang.Object.wait");
        if let Some(want) = thread.wants.as_mut().filter(|want| waits && want.kind == WantKind::Park) {
            want.kind = WantKind::On;
        }
        thread.frames.push(frame.to_owned());
    } else if let Some(note) = line.strip_prefix('-') {
        let note = note.trim();
        if let Some(object) = note.strip_prefix("locked ") {
            thread.holds.push(object.to_owned());
        } else if note.contains('@') && !note.contains(' ') {
            // Below `Number of locked synchronizers = 1`.
            thread.holds.push(note.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use necropsy_model::{ThreadId, WaitKind};

    use super::*;

    const TEXT: &str = "dump of my threads:\n\"left \"1\" daemon prio=5 Id=12 BLOCKED on java.lang.Object@b owned by \"right\" Id=13\n\tat app//Main.left(Main.java:8)\n\t\
        -  blocked on java.lang.Object@b\n\t-  locked java.lang.Object@a\n\t...\n\n\"right\" prio=5 Id=13 WAITING on j.ReentrantLock$Sync@c owned by \"left\" Id=12\n\t\
        at java.base@17/jdk.internal.misc.Unsafe.park(Native Method)\n\t-  waiting on j.ReentrantLock$Sync@c\n\n\t\
        Number of locked synchronizers = 1\n\t- j.ReentrantLock$Sync@d\n\n\"Finalizer\" daemon prio=8 Id=3 WAITING on Q@e\n\tat java.base@17/java.lang.Object.wait(Native Method)\n";

    #[test]
    fn owners_are_read() {
        let arena = Arena::new();
        assert_eq!(ThreadInfo.probe(TEXT.as_bytes()), Probe::Yes);
        let dump = ThreadInfo.read(TEXT.as_bytes(), &arena).unwrap().remove(0);
        let wait = |at: usize| dump.threads[at].detail.as_ref().unwrap().waits_on.clone().unwrap();
        assert_eq!((wait(0).owner, wait(0).kind), (Some(ThreadId(13)), WaitKind::Lock));
        assert_eq!((wait(1).owner, wait(1).kind), (Some(ThreadId(12)), WaitKind::Lock));
        assert_eq!(wait(2).kind, WaitKind::Condition);
        assert_eq!(dump.threads[0].name(), Some("left \"1"));
        assert_eq!(ThreadInfo.probe(b"\"main\" #1 prio=5 os_prio=0 tid=0x1 nid=0x2 runnable\n"), Probe::No);
    }
}
