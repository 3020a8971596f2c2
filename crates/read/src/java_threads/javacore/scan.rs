//! The lines of a javacore by their tags.

use std::time::Duration;

use crate::text::lines;

/// Dumps in one file that get a report of their own.
pub(super) const MAX_DUMPS: usize = 64;

/// What one javacore says.
#[derive(Debug, Default)]
pub(super) struct RawDump<'d> {
    /// Line of the title.
    pub line: Option<u64>,
    /// `user`, `gpf`, `systhrow`: the event that asked for the dump; empty when a program did.
    pub event: &'d [u8],
    /// What the title quotes behind the event: an exception and its text.
    pub details: Vec<&'d [u8]>,
    pub taken_at: &'d [u8],
    pub version: &'d [u8],
    pub os: &'d [u8],
    pub machine: &'d [u8],
    pub pid: Option<u64>,
    pub command: &'d [u8],
    /// `Signal_Number` and other words with a number, of the signal.
    pub codes: Vec<(&'d [u8], u64)>,
    /// The library that the signal came from.
    pub module: &'d [u8],
    pub registers: Vec<(&'d [u8], u64)>,
    pub threads: Vec<RawThread<'d>>,
    /// Owners of monitors, by the address of the object, from the section on locks.
    pub monitors: Vec<(Object<'d>, Owner)>,
    /// Circles that the virtual machine found, by thread name.
    pub deadlocks: Vec<Vec<&'d [u8]>>,
    /// The last section was seen.
    pub ended: bool,
}

/// A thread as printed.
#[derive(Debug, Default)]
pub(super) struct RawThread<'d> {
    pub line: u64,
    pub name: &'d [u8],
    /// Address of the `J9VMThread`; none of native threads and of virtual threads without a carrier.
    pub vm_thread: Option<u64>,
    /// Address of the `java.lang.Thread`.
    pub object: Option<u64>,
    pub state: &'d [u8],
    pub priority: Option<i32>,
    /// `Thread.threadId`.
    pub number: Option<u64>,
    pub os_id: Option<u64>,
    pub daemon: bool,
    pub cpu: Option<Duration>,
    pub category: &'d [u8],
    pub block: Option<Block<'d>>,
    pub frames: Vec<&'d [u8]>,
    pub native: Vec<&'d [u8]>,
    /// Monitors entered.
    pub entered: Vec<Object<'d>>,
    /// In the section of the current thread.
    pub current: bool,
    pub is_virtual: bool,
    /// Of the carrier: it has a virtual thread on it.
    pub mounted: bool,
}

/// `shop/Drawer@0x00000000E14653B0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Object<'d> {
    pub class: &'d [u8],
    pub id: u64,
}

/// Who owns a lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Owner {
    /// The thread at this address.
    Thread(u64),
    /// A thread that has ended.
    Ended,
    /// Nobody, or nobody that the virtual machine knows.
    #[default]
    Nobody,
}

/// What a thread waits for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block<'d> {
    pub kind: Kind,
    pub object: Option<Object<'d>>,
    pub owner: Owner,
    /// The name of the thread that initialises the class waited for.
    pub initialises: &'d [u8],
    pub line: u64,
}

/// How a thread waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Blocked,
    Waiting,
    Parked,
}

/// Sorts the lines of the text into the first dumps, and counts all.
pub(super) fn scan(text: &[u8]) -> (Vec<RawDump<'_>>, usize) {
    let mut dumps: Vec<RawDump<'_>> = vec![RawDump::default()];
    let (mut current, mut beyond) = (false, 0);
    for (number, line) in lines(text) {
        let Some((tag, rest)) = split(line) else { continue };
        if tag == b"0SECTION" && rest.starts_with(b"TITLE")
            || tag == b"1TISIGINFO" && dumps.last().is_some_and(|dump| dump.line.is_some())
        {
            let fresh = dumps.last().is_some_and(|dump| dump.line.is_none() && dump.threads.is_empty());
            if dumps.len() == MAX_DUMPS && !fresh {
                // A dump has one title, and most have one event.
                beyond += usize::from(beyond == 0 || tag == b"0SECTION");
            } else if !fresh {
                dumps.push(RawDump::default());
            }
            current = false;
        }
        if beyond > 0 {
            continue;
        }
        let Some(dump) = dumps.last_mut() else { continue };
        match tag {
            b"1XMCURTHDINFO" => current = true,
            b"1XMTHDINFO" | b"1XMVTHDINFO" | b"1XMTHDSUMMARY" => current = false,
            b"3XMTHREADINFO" | b"3XMVTHDINFO" => dump.threads.push(thread(number, tag, rest, current)),
            _ if tag.starts_with(b"3XM") || tag.starts_with(b"4XE") || tag.starts_with(b"5XE") => {
                if let Some(thread) = dump.threads.last_mut() {
                    of_thread(thread, tag, rest, number);
                }
            }
            _ => of_dump(dump, tag, rest, number),
        }
    }
    dumps.retain(|dump| dump.line.is_some() || !dump.threads.is_empty());
    let all = dumps.len() + beyond;
    (dumps, all)
}

/// Tag and text of a line; nothing when the line does not begin with a digit, capitals and digits.
fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = line.iter().position(|byte| !(byte.is_ascii_uppercase() || byte.is_ascii_digit())).unwrap_or(line.len());
    let (tag, rest) = line.split_at_checked(end)?;
    (tag.len() > 3 && tag.first()?.is_ascii_digit()).then(|| (tag, rest.trim_ascii()))
}

fn of_dump<'d>(dump: &mut RawDump<'d>, tag: &[u8], rest: &'d [u8], number: u64) {
    let after = |mark: &[u8]| rest.strip_prefix(mark).map_or(rest, <[u8]>::trim_ascii);
    match tag {
        b"1TISIGINFO" => {
            dump.line = Some(number);
            let mut quoted = quotes(rest);
            if rest.starts_with(b"Dump Event") {
                dump.event = quoted.next().unwrap_or_default();
            }
            dump.details = quoted.collect();
        }
        b"1TIDATETIME" => dump.taken_at = after(b"Date:"),
        b"1CIJAVAVERSION" => dump.version = rest,
        b"1CICMDLINE" => dump.command = rest,
        b"1CIPROCESSID" => dump.pid = decimal(after(b"Process ID:")),
        b"2XHOSLEVEL" => dump.os = behind_colon(rest),
        b"3XHCPUARCH" => dump.machine = behind_colon(rest),
        b"1XHEXCPCODE" => {
            if let Some((name, value)) = cut(rest, b':')
                && let Some(value) = hexadecimal(value.trim_ascii())
            {
                dump.codes.push((name.trim_ascii(), value));
            }
        }
        b"1XHEXCPMODULE" => {
            if let Some(path) = rest.strip_prefix(b"Module:") {
                dump.module = path.trim_ascii();
            }
        }
        b"2XHREGISTER" => {
            if let Some((name, value)) = cut(rest, b':')
                && let Some(value) = hexadecimal(value.trim_ascii())
            {
                dump.registers.push((name.trim_ascii(), value));
            }
        }
        b"3LKMONOBJECT" => {
            // `shop/Drawer@0x00: Flat locked by "till-2" (J9VMThread:0x00), entry count 1`, `…: owner "till-2" (…)`.
            if let Some(object) = object(rest) {
                dump.monitors.push((object, owner(rest)));
            }
        }
        b"1LKDEADLOCK" => dump.deadlocks.push(Vec::new()),
        b"2LKDEADLOCKTHR" => {
            let name = quoted_to(rest, b"\" (0x");
            if let (Some(name), Some(cycle)) = (name, dump.deadlocks.last_mut()) {
                // The first thread is named again at the end.
                if cycle.first() != Some(&name) {
                    cycle.push(name);
                }
            }
        }
        b"0SECTION" => dump.ended |= rest.starts_with(b"Javadump End"),
        _ => {}
    }
}

/// `"till-1" J9VMThread:0x00.., omrthread_t:0x00.., java/lang/Thread:0x00.., state:B, prio=5`, or `Anonymous native thread`.
fn thread<'d>(line: u64, tag: &[u8], rest: &'d [u8], current: bool) -> RawThread<'d> {
    let is_virtual = tag == b"3XMVTHDINFO";
    let mark: &[u8] = if is_virtual { b"\" J9VMContinuation:" } else { b"\" J9VMThread:" };
    // J9 of Java 5 and 6 has `(TID:0x00.., sys_thread_t:0x00.., state:CW, native ID:0x00..) prio=5`.
    let name = quoted_to(rest, mark).or_else(|| quoted_to(rest, b"\" TID:")).or_else(|| quoted_to(rest, b"\" (TID:"));
    let tail = name.and_then(|name| rest.get(name.len() + 1..)).unwrap_or_default();
    let word = |key: &[u8]| value(tail, key);
    let state = word(b"state:").map(|text| until(text, b",)")).unwrap_or_default();
    let priority = word(b"prio=").and_then(decimal).and_then(|number| i32::try_from(number).ok());
    RawThread {
        line,
        name: name.unwrap_or_default(),
        vm_thread: word(b"J9VMThread:").or_else(|| word(b"TID:")).and_then(hexadecimal),
        object: word(b"java/lang/Thread:").and_then(hexadecimal),
        state,
        priority,
        os_id: word(b"native ID:").and_then(hexadecimal),
        current,
        is_virtual,
        ..RawThread::default()
    }
}

fn of_thread<'d>(thread: &mut RawThread<'d>, tag: &[u8], rest: &'d [u8], line: u64) {
    match tag {
        b"3XMJAVALTHREAD" => {
            thread.number = value(rest, b"getId:").and_then(hexadecimal);
            thread.daemon = value(rest, b"isDaemon:").is_some_and(|text| text.starts_with(b"true"));
        }
        b"3XMTHREADINFO1" => thread.os_id = value(rest, b"native thread ID:").and_then(hexadecimal).or(thread.os_id),
        b"3XMVTHDINFO1" => thread.mounted = rest.starts_with(b"Type: Carrier"),
        b"3XMCPUTIME" => {
            let seconds = value(rest, b"total:").map(|text| until(text.trim_ascii_start(), b" ,"));
            let seconds: Option<f64> = seconds.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
            thread.cpu = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            thread.category = value(rest, b"category=\"").map(|text| until(text, b"\"")).unwrap_or_default();
        }
        b"3XMTHREADBLOCK" => {
            let kinds =
                [(&b"Blocked on:"[..], Kind::Blocked), (b"Waiting on:", Kind::Waiting), (b"Parked on:", Kind::Parked)];
            thread.block = kinds.iter().find_map(|&(mark, kind)| {
                let rest = rest.strip_prefix(mark)?.trim_ascii_start();
                let initialises =
                    value(rest, b"Initializing thread: \"").map(|name| until(name, b"\"")).unwrap_or_default();
                Some(Block { kind, object: object(rest), owner: owner(rest), initialises, line })
            });
        }
        b"4XESTACKTRACE" => thread.frames.extend(rest.strip_prefix(b"at ")),
        b"4XENATIVESTACK" => thread.native.push(rest),
        b"5XESTACKTRACE" => {
            let found = rest.strip_prefix(b"(entered lock: ").and_then(object);
            thread.entered.extend(found);
        }
        _ => {}
    }
}

/// `shop/Drawer@0x00000000E14653B0…`; older ones print a second address behind a slash.
fn object(text: &[u8]) -> Option<Object<'_>> {
    let at = memchr::memmem::find(text, b"@0x")?;
    let class = text.get(..at)?;
    // `<unknown> Owned by: …` has no object of its own.
    let plain = !class.iter().any(|byte| matches!(byte, b'<' | b' ' | b'"'));
    let id = hexadecimal(text.get(at + 1..)?)?;
    (plain && !class.is_empty()).then_some(Object { class, id })
}

/// Who is named as `(J9VMThread:0x00…` behind a name.
fn owner(text: &[u8]) -> Owner {
    match value(text, b"(J9VMThread:") {
        Some(text) if text.starts_with(b"<null>") => Owner::Ended,
        Some(text) => hexadecimal(text).map_or(Owner::Nobody, Owner::Thread),
        None if memchr::memmem::find(text, b"\"<dead thread>\"").is_some() => Owner::Ended,
        None => Owner::Nobody,
    }
}

/// What stands in double quotes, one after the other.
fn quotes(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&byte| byte == b'"').skip(1).step_by(2)
}

/// The quoted name at the start, up to the last place where `end` follows it.
fn quoted_to<'d>(text: &'d [u8], end: &[u8]) -> Option<&'d [u8]> {
    let start = memchr::memchr(b'"', text)? + 1;
    let rest = text.get(start..)?;
    rest.get(..memchr::memmem::rfind(rest, end)?)
}

/// What follows a key, wherever it stands.
fn value<'d>(text: &'d [u8], key: &[u8]) -> Option<&'d [u8]> {
    text.get(memchr::memmem::rfind(text, key)? + key.len()..)
}

fn until<'d>(text: &'d [u8], ends: &[u8]) -> &'d [u8] {
    let end = text.iter().position(|byte| ends.contains(byte)).unwrap_or(text.len());
    text.get(..end).unwrap_or(text)
}

fn cut(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let place = memchr::memchr(at, text)?;
    Some((text.get(..place)?, text.get(place + 1..)?))
}

fn behind_colon(text: &[u8]) -> &[u8] {
    cut(text, b':').map_or(text, |(_, rest)| rest.trim_ascii())
}

/// A number in hexadecimal with or without `0x`, up to the first other character.
fn hexadecimal(text: &[u8]) -> Option<u64> {
    let text = text.strip_prefix(b"0x").unwrap_or(text);
    let end = text.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(text.len());
    u64::from_str_radix(std::str::from_utf8(text.get(..end)?).ok()?, 16).ok()
}

fn decimal(text: &[u8]) -> Option<u64> {
    super::super::scan::number_of(text)
}
