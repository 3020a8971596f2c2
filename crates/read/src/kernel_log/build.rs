//! Ends of processes to snapshots.

use std::collections::HashMap;

use necropsy_model::oom::OomKill;
use necropsy_model::{
    Access, AddressState, Arch, Arena, Avma, Evidenced, FileBacking, Frame, Memory, Message, MessageKind, Missing,
    Module, Offset, Permissions, Process, Region, Registers, Runtime, Signal, Snapshot, Source, Stack, StackEnd, Stop,
    Symbol, Thread, ThreadId, Trust, Warning, Writer,
};

use super::fault::{self, FETCH, FIRST_MAPPED, Fault, KEY, PRESENT, RESERVED, SHADOW_STACK, USER, WRITE};
use super::machine::{self, Code};
use super::{NAME, line, oom};
use crate::tokens::kernel::mapping;

/// Lines below that of a fault that may belong to it: a page of registers.
const LINES_BELOW: u64 = 24;
/// Ends of one log that are reported; the kernel prints ten in five seconds at most (`DEFAULT_RATELIMIT_BURST`).
const MOST_ENDS: usize = 10_000;
/// Most bytes of the kernel's own line that are quoted.
const QUOTED: usize = 400;

/// The end of a thread with all that its lines say.
struct End<'t> {
    fault: Fault<'t>,
    when: Option<&'t str>,
    words: &'t str,
    source: Source,
    registers: Registers,
    code: Option<Code>,
}

/// Reads all ends of a log.
pub(super) fn snapshots<'data>(text: &'data str, arena: &'data Arena) -> Vec<Snapshot<'data>> {
    let mut all: Vec<Snapshot<'data>> = Vec::new();
    let mut seen: HashMap<String, Vec<usize>> = HashMap::new();
    let mut block = oom::Block::default();
    let mut open: Option<(End<'data>, u64)> = None;
    let mut times: Vec<(usize, Source, Option<&'data str>)> = Vec::new();
    let (mut beyond, mut kills_beyond): (Option<Source>, Option<Source>) = (None, None);
    let mut close = |end: End<'data>, all: &mut Vec<Snapshot<'data>>| {
        let key = key(&end);
        let (source, when) = (end.source, end.when);
        match seen.get(&key).and_then(|indexes| indexes.first()) {
            Some(&index) => times.push((index, source, when)),
            None if all.len() < MOST_ENDS => {
                seen.entry(key).or_default().push(all.len());
                all.push(snapshot(end, arena));
            }
            None => beyond = beyond.or(Some(source)),
        }
    };
    for (number, raw) in (1..).zip(text.lines()) {
        let parsed = line::parse(raw);
        let source = Source::line(number);
        if let Some((end, last)) = &mut open {
            if let Some(code) = machine::code(parsed.words) {
                end.code = end.code.take().or(Some(code));
            } else if end.fault.arch == Arch::Aarch64 {
                machine::registers(parsed.words, &mut end.registers);
            }
            let complete = number >= *last || end.code.is_some();
            if let Some((end, _)) = open.take_if(|_| complete) {
                close(end, &mut all);
            }
        }
        if let Some(fault) = fault::parse(parsed.words) {
            if let Some((end, _)) = open.take() {
                close(end, &mut all);
            }
            let registers = Registers::new(fault.arch);
            let words = cut(parsed.words);
            let below = if fault.arch == Arch::Aarch64 { LINES_BELOW } else { 2 };
            open = Some((End { fault, when: parsed.when, words, source, registers, code: None }, number + below));
        } else if let Some((kill, full)) = block.line(parsed.words, source) {
            if all.len() < MOST_ENDS {
                let mut snapshot = killed(kill, parsed, source);
                snapshot.warnings.extend(full.warnings(source));
                all.push(snapshot);
            } else {
                kills_beyond = kills_beyond.or(Some(source));
            }
        }
    }
    if let Some((end, _)) = open {
        close(end, &mut all);
    }
    if let (Some(source), Some(last)) = (beyond.or(kills_beyond), all.last_mut()) {
        let text = format!("the log tells of more than {MOST_ENDS} ends; those from here on are not reported");
        last.warnings.push(Warning::new(text, source));
    }
    for (index, source, when) in times {
        if let Some(snapshot) = all.get_mut(index) {
            again(snapshot, source, when);
        }
    }
    all
}

/// What makes two ends the same: the program, the place in the file, and what happened there.
fn key(end: &End<'_>) -> String {
    let Fault { name, what, error, mapping, pc, .. } = &end.fault;
    let place = match mapping {
        Some(found) => format!("{} {:?}", found.name, found.offset),
        None => format!("{pc:?}"),
    };
    // An end without a place in a file is like no other, but for a jump to the same low address.
    format!("{name}\n{what}\n{error:?}\n{place}")
}

/// Counts a further end of the same kind.
fn again(snapshot: &mut Snapshot<'_>, source: Source, when: Option<&str>) {
    const SHOWN: usize = 3;
    let Some(stop) = &mut snapshot.stop else { return };
    let count = stop.messages.iter().filter(|message| message.text.starts_with("again")).count();
    let when = when.map(|when| format!(" at {when}")).unwrap_or_default();
    if count < SHOWN {
        stop.messages.push(Message { text: format!("again{when}").into(), kind: MessageKind::Kernel, source });
    } else if let Some(last) = stop.messages.last_mut() {
        let before: usize =
            last.text.rsplit("and ").next().and_then(|text| text.split(' ').next()?.parse().ok()).unwrap_or(0);
        last.text = format!("again, and {} times more", before + 1).into();
    }
}

fn snapshot<'data>(end: End<'data>, arena: &'data Arena) -> Snapshot<'data> {
    let End { mut fault, when, words, source, mut registers, code } = end;
    fault.pc = fault.pc.or(registers.pc());
    fault.sp = fault.sp.or(registers.sp());
    if fault.mapping.is_none() {
        fault.mapping = fault.pc.and_then(|pc| mapping(words.as_bytes(), 0, pc));
    }
    let numbers = [(fault.arch.program_counter(), fault.pc), (fault.arch.stack_pointer(), fault.sp)];
    for (register, value) in numbers {
        if let Some((register, value)) = register.zip(value) {
            registers.set(register, value);
        }
    }
    let mut snapshot = Snapshot {
        format: NAME,
        process: Process {
            arch: Some(fault.arch),
            os: Some("linux".into()),
            taken_at: when.map(told),
            writer: Some(Writer::KernelLog),
            ..Process::default()
        },
        ..Snapshot::default()
    };
    if let Some(found) = &fault.mapping {
        // A library is no program; a thread may have a name of its own, so that the name tells nothing.
        let is_executable = !found.name.contains(".so");
        if is_executable {
            snapshot.process.exe = Some(found.name.into());
        }
        let stated = fault.pc.map(|pc| Box::new((Avma(pc), found.offset.clone())));
        snapshot.modules.push(Module {
            base: Avma(found.base),
            size: found.size,
            stated,
            is_executable,
            ..Module::at_path(found.name)
        });
        snapshot.memory = memory(&fault, code, arena);
    }
    let mut thread = Thread::new(ThreadId(fault.id), source);
    thread.detail_mut().name = Some(fault.name.into());
    thread.detail_mut().registers = fault.pc.map(|_| registers);
    if snapshot.memory.is_empty() {
        // Where no file is mapped there is nothing to find out.
        let address = fault.pc.map(|pc| necropsy_model::CodeAddress::Instruction(Avma(pc)));
        let frame = Frame { symbol: Symbol::Missing(Missing::NotMapped), ..Frame::at(address, Trust::Context) };
        let frames = snapshot.add_frame(frame).into_iter().collect();
        let end = StackEnd::Broken("the kernel logs no stack".to_owned());
        thread.stack = snapshot.add_stack(Stack { frames, gap: None, end });
    }
    snapshot.threads.push(thread);
    let told = fault_facts(&fault, source);
    snapshot.stop = Some(Stop {
        signal: Some(fault.signal),
        thread: Some(0),
        address: fault.address.map(Avma),
        fault: Some(told),
        messages: vec![Message { text: words.into(), kind: MessageKind::Kernel, source }],
        source: Some(source),
        ..Stop::default()
    });
    snapshot
}

/// A time in words that stand alone.
fn told(when: &str) -> necropsy_model::Text<'_> {
    let since_boot = when.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if since_boot { format!("{when} s after the machine started").into() } else { when.into() }
}

/// The mapping that the line names, with the bytes of code where they are printed.
fn memory<'data>(fault: &Fault<'data>, code: Option<Code>, arena: &'data Arena) -> Memory<'data> {
    let Some((found, pc)) = fault.mapping.as_ref().zip(fault.pc) else { return Memory::default() };
    let end = found.base.saturating_add(found.size);
    let first = match &found.offset {
        // The file's offset of the mapping's first byte.
        Offset::InFile(offset) => offset.checked_sub(pc.saturating_sub(found.base)),
        _ => None,
    };
    let rights = Permissions { read: true, write: false, execute: true };
    let file = |start: u64| {
        let offset = first.map_or(0, |first| first.saturating_add(start - found.base));
        Some(FileBacking { path: found.name.into(), offset })
    };
    let region = |start: u64, end: u64, bytes: &'data [u8]| Region {
        start: Avma(start),
        end: Avma(end),
        permissions: Some(rights),
        bytes,
        dumped: bytes.len() as u64,
        file: file(start),
    };
    let mut regions = Vec::new();
    let shown = code.and_then(|code| {
        let start = pc.checked_sub(code.before as u64)?.max(found.base);
        // Bytes before the mapping belong to another one.
        let skipped = usize::try_from((start + code.before as u64).saturating_sub(pc)).ok()?;
        let bytes = arena.keep(code.bytes.get(skipped..)?.to_vec());
        let length = (bytes.len() as u64).min(end.saturating_sub(start));
        Some((start, bytes.get(..usize::try_from(length).ok()?)?))
    });
    match shown {
        Some((start, bytes)) => {
            let behind = start.saturating_add(bytes.len() as u64);
            regions.push(region(found.base, start, &[]));
            regions.push(region(start, behind, bytes));
            regions.push(region(behind, end, &[]));
        }
        None => regions.push(region(found.base, end, &[])),
    }
    Memory::new(regions).listed_in_part()
}

/// What the kernel says of the access.
fn fault_facts<'data>(fault: &Fault<'data>, source: Source) -> necropsy_model::Fault<'data> {
    let mut told = necropsy_model::Fault {
        pc: Avma(fault.pc.unwrap_or_default()),
        address: fault.address.map(Avma),
        ..necropsy_model::Fault::default()
    };
    let note = |text: String| Evidenced { kind: "kernel-error", text, source };
    match (fault.arch, fault.error) {
        (Arch::Aarch64, Some(syndrome)) => {
            told.access = match fault::class(syndrome) {
                0x20 => Some(Access::Execute),
                0x24 if syndrome & 1 << 6 != 0 => Some(Access::Write),
                0x24 => Some(Access::Read),
                _ => None,
            };
            if fault.address.is_none() && told.access == Some(Access::Execute) {
                told.address = fault.pc.map(Avma);
            }
            let did = told.access.map_or("", Access::name);
            told.value_facts.push(note(format!("ESR {syndrome:#x}: {} {did}", fault.what).trim_end().to_owned()));
        }
        (_, Some(error)) if fault.what == "segfault" => {
            told.access = Some(match error {
                error if error & FETCH != 0 => Access::Execute,
                error if error & WRITE != 0 => Access::Write,
                _ => Access::Read,
            });
            let kind = if error & (PRESENT | RESERVED) == 0 { "kernel-no-page" } else { "kernel-error" };
            told.value_facts.push(Evidenced { kind, ..note(in_words(error, told.access)) });
        }
        _ => {}
    }
    let present = match fault.arch {
        Arch::Aarch64 => fault.error.is_some_and(|syndrome| matches!(syndrome & 0x3f, 0x0c..=0x0f)),
        _ => fault.error.is_some_and(|error| error & PRESENT != 0),
    };
    if let Some(address) = told.address {
        let kernel_half = address.0 >> 63 == 1;
        told.non_canonical = false;
        (told.state, told.permissions) = match told.access {
            // What lies there is the kernel's own, of which a program may touch nothing.
            _ if kernel_half => (Some(AddressState::NotMapped), None),
            Some(access) if present && fault.signal.number == Signal::SEGV => {
                (Some(AddressState::NotDumped), without(access, fault.error))
            }
            Some(Access::Execute) => (Some(AddressState::NotMapped), None),
            _ if address.0 < FIRST_MAPPED => (Some(AddressState::NotMapped), None),
            // Not mapped, or mapped without the right and never touched: the page table alone does not tell them apart.
            _ => (Some(AddressState::NotListed), None),
        };
    }
    if let Some((sp, address)) = fault.sp.zip(told.address) {
        told.below_stack_pointer = i64::try_from(i128::from(sp) - i128::from(address.0)).ok();
    }
    told
}

/// The rights of a page that is there and forbids an access.
fn without(access: Access, error: Option<u64>) -> Option<Permissions> {
    if error.is_some_and(|error| error & (KEY | SHADOW_STACK) != 0) {
        return None;
    }
    match access {
        Access::Write | Access::ReadWrite => Some(Permissions { read: true, write: false, execute: false }),
        Access::Execute => Some(Permissions { read: true, write: true, execute: false }),
        Access::Read => None,
    }
}

/// The error code of a page fault in words.
fn in_words(error: u64, access: Option<Access>) -> String {
    let who = if error & USER != 0 { "the program" } else { "the kernel on behalf of the program" };
    let did = match access {
        Some(Access::Execute) => "fetched an instruction from",
        Some(Access::Write) => "wrote to",
        _ => "read from",
    };
    let page = match error {
        error if error & RESERVED != 0 => "a page whose table entry is damaged",
        error if error & SHADOW_STACK != 0 => "a shadow stack",
        error if error & KEY != 0 => "a page that a protection key forbids",
        error if error & PRESENT != 0 => "a page that forbids it",
        _ => "where no page is",
    };
    format!("error {error:x}: {who} {did} {page}")
}

/// A kill for memory.
fn killed<'data>(kill: OomKill<'data>, line: line::Line<'data>, source: Source) -> Snapshot<'data> {
    let mut process = Process {
        os: Some("linux".into()),
        taken_at: line.when.map(told),
        writer: Some(Writer::KernelLog),
        ..Process::default()
    };
    if let Some(killed) = &kill.killed {
        process.pid = Some(killed.pid);
        process.exe = Some(killed.name.clone());
        // Virtual machines are called by their own name and not by their program's.
        process.runtime = match killed.name.as_ref() {
            "java" => Some(Runtime::Jvm),
            "node" => Some(Runtime::Node),
            name if name.starts_with("python") => Some(Runtime::Python),
            _ => None,
        };
    }
    let words = Message { text: cut(line.words).into(), kind: MessageKind::Kernel, source };
    Snapshot {
        format: NAME,
        process,
        stop: Some(Stop {
            signal: Some(Signal { number: Signal::KILL, code: None }),
            messages: vec![words],
            source: Some(source),
            ..Stop::default()
        }),
        oom: Some(Box::new(kill)),
        ..Snapshot::default()
    }
}

fn cut(words: &str) -> &str {
    words.char_indices().nth(QUOTED).and_then(|(at, _)| words.get(..at)).unwrap_or(words)
}
