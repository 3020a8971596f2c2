//! Victim and origin: where it crashed, and where the bad value was born.

use std::fmt::Write;
use std::io;

use necropsy_model::{Fault, MessageKind, Origin, Place, SourceKind, Stop, Symptom, Trust, spoken};

use super::clean::{clean, middle};
use super::page::{Line, Page, Tone};
use super::{first_stop, header, noun};
use crate::Report;

/// Messages of a dying process that are shown; the rest is in the JSON.
const MESSAGES: usize = 4;

/// Crash site, what the process said, and origin.
pub(super) fn write(page: &mut Page<'_>, report: &Report<'_, '_>) -> io::Result<()> {
    crash_site(page, report)?;
    if let Some(owner) = report.owner {
        page.line(Line::indented(2).plain("owner: ").put(Tone::Strong, owner), 4)?;
    }
    match (&report.verdict.origin, report.verdict.symptom, &report.verdict.crash_site) {
        (Some(origin), ..) => write_origin(page, report, origin),
        (None, _, None) if first_stop(report.snapshot).is_some_and(was_sent) => {
            let sender = first_stop(report.snapshot).and_then(|stop| stop.sender);
            let by = sender.map(|sender| format!(" by process {}", sender.pid)).unwrap_or_default();
            let words = format!("there is none: the signal was sent{by}, and no value is to blame");
            page.heading("ORIGIN", Line::new().put(Tone::Dim, words))
        }
        (None, Symptom::NativeCrash, Some(_)) => {
            let words = "not known: no rule could trace where the bad value was born";
            page.heading("ORIGIN", Line::new().put(Tone::Dim, words))
        }
        _ => Ok(()),
    }
}

fn crash_site(page: &mut Page<'_>, report: &Report<'_, '_>) -> io::Result<()> {
    let stop = first_stop(report.snapshot);
    let site = report.verdict.crash_site.as_ref();
    if site.is_none() && stop.is_none() {
        return Ok(());
    }
    match site {
        Some(site) => {
            page.heading("CRASH SITE", place(site, page.width()).plain("  ").join(seat(site, report)))?;
            source_line(page, site)?;
        }
        None => page.heading("STOP", stop.map(stopped_by).unwrap_or_default())?,
    }
    let Some(stop) = stop else { return Ok(()) };
    if site.is_some() && stop.signal.is_some() {
        page.line(Line::indented(2).join(stopped_by(stop)), 4)?;
    }
    if let Some(fault) = &stop.fault {
        write_fault(page, fault)?;
    }
    virtual_machine(page, report)?;
    // The last words may belong to the second signal: the handler that aborted says why.
    let second = report.snapshot.stop.iter().filter(|outer| outer.original.is_some());
    let mut messages: Vec<_> = stop.messages.iter().chain(second.flat_map(|outer| &outer.messages)).collect();
    messages.dedup();
    for message in messages.iter().take(MESSAGES) {
        let line = Line::indented(2).plain(speaker(message.kind)).plain(": ").put(Tone::Strong, &message.text);
        page.line(line.join(source(message.source)), 4)?;
    }
    if let Some(more) = messages.len().checked_sub(MESSAGES).filter(|&more| more > 0) {
        page.line(Line::indented(2).put(Tone::Dim, format!("… {more} more messages, all in --json")), 4)?;
    }
    Ok(())
}

/// What a Java virtual machine did as it died: the operation it was in, the method it compiled.
fn virtual_machine(page: &mut Page<'_>, report: &Report<'_, '_>) -> io::Result<()> {
    let Some(log) = report.snapshot.hs_err.as_deref() else { return Ok(()) };
    if let Some(operation) = &log.vm_operation {
        let mode = operation.mode.as_ref().map(|mode| format!(" ({mode})")).unwrap_or_default();
        let line = Line::indented(2).plain("VM operation ").put(Tone::Name, &operation.name).plain(mode);
        page.line(line.join(source(operation.source)), 4)?;
    }
    if let Some(task) = &log.compile_task {
        let compiler = task.compiler.as_deref().unwrap_or("the compiler");
        let line = Line::indented(2).plain(format!("{} compiled ", clean(compiler)));
        let line = line.put(Tone::Name, task.method.as_ref().unwrap_or(&task.text));
        page.line(line.join(source(task.source)), 4)?;
    }
    Ok(())
}

/// The signal came from `kill` or the like, and not from an instruction.
fn was_sent(stop: &Stop<'_>) -> bool {
    stop.signal.is_some_and(|signal| signal.is_sent() == Some(true))
}

/// The signal with its code in words, and who sent it.
fn stopped_by(stop: &Stop<'_>) -> Line {
    let Some(signal) = stop.signal else { return Line::new() };
    let mut line = Line::new().put(Tone::Bad, signal.to_string());
    match (signal.code_name(), signal.code) {
        (Some(code), _) => line = line.plain(format!(", {}: {}", code.name, code.meaning)),
        (None, Some(code)) => line = line.plain(format!(", code {code}")),
        (None, None) => {}
    }
    if let Some(address) = stop.address.filter(|_| signal.is_fault_signal() && signal.is_sent() != Some(true)) {
        line = line.plain(format!(", address {address}"));
    }
    if let Some(sender) = stop.sender {
        line = line.plain(format!(", sent by process {} of user {}", sender.pid, sender.uid));
    }
    line
}

/// The instruction at fault, its operand and what is known of the address.
fn write_fault(page: &mut Page<'_>, fault: &Fault<'_>) -> io::Result<()> {
    let mut line = Line::indented(2);
    if let Some(instruction) = &fault.instruction {
        line = line.keep(Tone::Strong, instruction);
    }
    if let Some(operand) = &fault.operand {
        let base = operand.base.iter().map(|(name, value)| format!("{name} = {value:#x}"));
        let index = operand.index.iter().map(|(name, value, _)| format!("{name} = {value:#x}"));
        for register in base.chain(index) {
            line = line.plain("  ").keep(Tone::Plain, register);
        }
    }
    if let Some(divisor) = fault.divisor {
        line = line.plain(format!("  divisor {divisor}"));
    }
    if let Some(address) = fault.address {
        let mut words = fault.access.map_or("address used:", |access| access.name()).to_owned();
        // Writing to a string can not fail.
        let _ = match fault.size.filter(|_| fault.access.is_some()) {
            Some(1) => write!(words, " of 1 byte at"),
            Some(size) => write!(words, " of {size} bytes at"),
            None if fault.access.is_some() => write!(words, " at"),
            None => Ok(()),
        };
        let _ = write!(words, " {address}");
        if fault.non_canonical {
            words.push_str(", which no process can map: not a canonical address");
        } else if let Some(state) = fault.state {
            let _ = write!(words, ", {}", state.reason());
        }
        if let Some(permissions) = fault.permissions {
            let _ = write!(words, ", mapping {permissions}");
        }
        if let Some(file) = &fault.file {
            let _ = write!(words, " of {file}");
        }
        if let Some(bytes) = fault.misaligned {
            let _ = write!(words, ", not aligned to {bytes} bytes");
        }
        line = line.plain("  ").plain(words);
    }
    if line.columns() > 2 {
        page.line(line, 4)?;
    }
    for fact in &fault.value_facts {
        page.line(Line::indented(2).plain(&fact.text).join(source(fact.source)), 4)?;
    }
    Ok(())
}

fn speaker(kind: MessageKind) -> &'static str {
    match kind {
        MessageKind::Assert => "assertion failed",
        MessageKind::Heap => "the allocator said",
        MessageKind::StackSmash => "the stack protector said",
        MessageKind::Terminate => "C++ terminated",
        MessageKind::RustPanic | MessageKind::GoPanic => "it panicked",
        MessageKind::GoFatal => "the Go runtime said",
        MessageKind::Java => "the VM said",
        MessageKind::Kernel => "the kernel",
        MessageKind::Other => "it said",
    }
}

fn write_origin(page: &mut Page<'_>, report: &Report<'_, '_>, origin: &Origin<'_>) -> io::Result<()> {
    let width = page.width();
    let known = origin.kind != "unknown";
    let beside =
        if known { place(&origin.birth, width) } else { Line::new().plain("not known: where the value was born") };
    let beside = if known { beside.plain("  ").join(seat(&origin.birth, report)) } else { beside };
    page.heading("ORIGIN", beside.plain("  ").join(header::confidence(origin.confidence)))?;
    if known {
        source_line(page, &origin.birth)?;
    }
    let mut line = Line::indented(2);
    if let Some(value) = &origin.value {
        line = line.put(Tone::Strong, value).plain(", ");
    }
    if known {
        line = line.plain(born(&origin.kind)).plain(format!(": {}", origin.why));
    } else {
        line = line.plain("nearest evidence: ").join(place(&origin.birth, width)).plain(format!(": {}", origin.why));
    }
    page.line(line.put(Tone::Dim, format!("  (evidence of grade {})", origin.grade.name())), 4)?;
    if let Some(gate) = &origin.gate {
        page.line(Line::indented(2).plain("let in unchecked by ").join(place(gate, width)), 4)?;
        source_line(page, gate)?;
    }
    if !origin.handed_through.is_empty() {
        let names: Vec<_> = origin.handed_through.iter().map(|place| name(place, width)).collect();
        page.line(Line::indented(2).plain(format!("only handed through by {}", names.join(", "))), 4)?;
    }
    if page.style.explain {
        for (index, step) in origin.trail.iter().enumerate() {
            let line = Line::indented(4).plain(format!("{}. ", index + 1)).join(place(&step.place, width));
            page.line(line.plain("  ").plain(&step.text).join(source(step.source)), 7)?;
        }
        if !origin.not_checked.is_empty() {
            let words = format!("not checked: {}", origin.not_checked.join("; "));
            page.line(Line::indented(4).put(Tone::Dim, words), 7)?;
        }
    }
    for other in &origin.alternatives {
        page.line(Line::indented(2).put(Tone::Caution, "or: ").join(place(other, width)), 4)?;
    }
    Ok(())
}

/// What the function of birth did, in words.
fn born(kind: &str) -> String {
    let words = match kind {
        "returned-constant" => "it returned this as a constant",
        "returned-computed" => "it returned this",
        "returned-arithmetic" => "it computed this and returned it",
        "library-result" => "a library call gave this",
        "constant" => "a constant of its own",
        "stored" => "it stored this",
        "stored-somewhere" => "it stored this into the object",
        "global-store" => "it stored this into a global variable",
        "global-initial" => "nobody ever set the variable",
        "never-set" => "it made the object and left this part unset",
        "uninitialised-local" => "a local variable that nobody set",
        "freed" => "it released the object that was used afterwards",
        "overrun" => "it wrote past the end of an object",
        "overrun-of-local" => "it wrote past the end of one of its variables",
        "counted-too-far" => "it counts further than the object reaches",
        "moved" => "it moved or unmapped the block",
        "mismatch" => "it passed an argument of another kind",
        "size-overflow" => "it computed a size that is too small",
        "file-shortened" => "it made the mapped file shorter",
        "end-of-list" => "it went past the end of a list",
        "thrown" => "it threw the exception",
        "endless-recursion" => "it calls itself without end",
        "thrown-by-library" => "a library that it called threw the exception",
        other => return other.replace('-', " "),
    };
    words.to_owned()
}

/// Function and position of a place.
pub(super) fn place(place: &Place<'_>, width: usize) -> Line {
    let mut line = Line::new().put(Tone::Name, name(place, width));
    if let Some(location) = &place.location {
        line = line.plain("  ").plain(position(location));
    }
    if place.inlined {
        line = line.plain(" [inlined]");
    }
    if let Some(trust) = place.trust.filter(|&trust| trust.is_weak() || trust == Trust::TailCall) {
        line = line.plain(" ").join(doubt(trust));
    }
    line
}

/// A function's name cut for people, or the module's.
pub(super) fn name(place: &Place<'_>, width: usize) -> String {
    match (&place.function, &place.module) {
        (Some(function), _) => named(function, width),
        (None, Some(module)) if let Some(svma) = place.svma => {
            format!("{}+{svma}", clean(module.rsplit('/').next().unwrap_or(module)))
        }
        (None, Some(module)) => format!("unnamed function in {}", clean(module.rsplit('/').next().unwrap_or(module))),
        (None, None) => "unnamed function".to_owned(),
    }
}

/// The name of a function as people say it, cut where it is still too long.
pub(super) fn named(function: &str, width: usize) -> String {
    let limit = name_limit(width);
    middle(&clean(&spoken(function, limit)), limit).into_owned()
}

/// Columns for the name of a function.
pub(super) fn name_limit(width: usize) -> usize {
    (width / 2).max(24)
}

/// File name and line.
pub(super) fn position(location: &necropsy_model::Location<'_>) -> String {
    let file = clean(location.file_name());
    let file = middle(&file, 48);
    match location.line {
        Some(line) => format!("{file}:{line}"),
        None => file.into_owned(),
    }
}

/// How weak a frame is, in words.
pub(super) fn doubt(trust: Trust) -> Line {
    match trust {
        Trust::TailCall => Line::new().keep(Tone::Dim, "[tail call, rebuilt]"),
        Trust::FramePointer => Line::new().keep(Tone::Caution, "[by frame pointer, may be wrong]"),
        Trust::Scanned => Line::new().keep(Tone::Caution, "[guess: found by scanning, may be stale]"),
        Trust::Context | Trust::Cfi | Trust::Printed => Line::new(),
    }
}

/// Frame and thread of a place.
fn seat(place: &Place<'_>, report: &Report<'_, '_>) -> Line {
    let noun = noun(report.snapshot);
    let words = match (place.frame, place.thread) {
        (Some(frame), Some(thread)) => format!("frame {frame} of {noun} {thread}"),
        (None, Some(thread)) => format!("{noun} {thread}, no longer on the stack"),
        (Some(frame), None) => format!("frame {frame}"),
        (None, None) => return Line::new(),
    };
    Line::new().put(Tone::Dim, words)
}

/// The line of source code, where it is at hand.
fn source_line(page: &mut Page<'_>, place: &Place<'_>) -> io::Result<()> {
    let Some(location) = &place.location else { return Ok(()) };
    let Some(text) = &location.text else { return Ok(()) };
    let number = location.line.map(|line| line.to_string()).unwrap_or_default();
    let room = page.width().saturating_sub(number.len() + 7);
    let text = text.replace('\t', " ");
    let text = clean(text.trim());
    page.verbatim(Line::indented(4).put(Tone::Dim, format!("{number} | ")).plain(middle(&text, room)))
}

/// Where in the dump a fact stands, at the end of its line.
pub(super) fn source(source: necropsy_model::Source) -> Line {
    match source.kind() {
        SourceKind::Dump => Line::new(),
        SourceKind::Line(_) | SourceKind::Offset(_) => Line::new().plain("  ").keep(Tone::Dim, format!("({source})")),
    }
}
