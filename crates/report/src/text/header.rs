//! What was read, and the verdict on it.

use std::io;

use necropsy_model::advice::Standing;
use necropsy_model::jvm::Joined;
use necropsy_model::{
    Command, Confidence, Severity, Snapshot, Suitability, SuitabilityStatus, Symptom, ThreadFlags, Writer,
};

use super::page::{Line, Page, Tone};
use super::{noun, places, words};
use crate::Report;

/// Columns that the process line may take: a command line can be of any length.
const COMMAND_LINE: usize = 160;

/// The dump, and the process it was taken from.
pub(super) fn write(page: &mut Page<'_>, report: &Report<'_, '_>) -> io::Result<()> {
    let Report { input, snapshot, .. } = report;
    let process = &snapshot.process;
    let name = match &*input.path {
        "-" => "standard input",
        path => path,
    };
    let mut facts = vec![snapshot.format.to_owned()];
    let machine = [process.arch.map(|arch| arch.name().to_owned()), process.os.as_deref().map(str::to_owned)];
    facts.extend(machine.into_iter().flatten());
    facts.push(match input.compression {
        Some(compression) => format!("{} ({compression})", words::size(input.bytes)),
        None => words::size(input.bytes),
    });
    facts.push(how_many(snapshot));
    facts.extend(process.writer.map(writer).map(str::to_owned));
    facts.extend(process.taken_at.as_ref().map(|at| format!("taken {at}")));
    let mut line = Line::new().put(Tone::Strong, "necropsy ").put(Tone::Strong, name);
    if input.index > 0 {
        line = line.plain(format!(" (dump {} of the file)", input.index + 1));
    }
    page.line(line.plain("  ·  ").plain(facts.join(", ")), 2)?;

    let mut line = Line::indented(2);
    if let Some(pid) = process.pid {
        line = line.keep(Tone::Plain, format!("pid {pid}")).plain("  ");
    }
    if let Some(command) = process.command_line.as_ref().or(process.exe.as_ref()) {
        let cut = if process.command_line_cut { " …" } else { "" };
        line = line.plain(super::clean::middle(&super::clean(command), COMMAND_LINE)).plain(cut);
    }
    if let Some(version) = &process.runtime_version {
        // A bare number says nothing without the name of what it is a version of.
        let bare = version.starts_with(|first: char| first.is_ascii_digit());
        let name = process.runtime.filter(|_| bare).map(|runtime| format!("{} ", runtime.name())).unwrap_or_default();
        line = line.plain("  ").put(Tone::Dim, format!("{name}{version}"));
    }
    if line.columns() > 2 {
        page.line(line, 4)?;
    }
    match snapshot.jvm.as_ref().and_then(|jvm| jvm.joined.as_ref()) {
        Some(joined) => page.line(Line::indented(2).plain(said_of(joined)), 4),
        None => Ok(()),
    }
}

/// Threads; of a core of Go those of the kernel, and the goroutines that are on none.
fn how_many(snapshot: &Snapshot<'_>) -> String {
    let parked = snapshot.threads.iter().filter(|thread| thread.flags.contains(ThreadFlags::VIRTUAL)).count();
    if parked == 0 || snapshot.memory.is_empty() {
        return words::count(snapshot.threads.len(), noun(snapshot));
    }
    let threads = words::count(snapshot.threads.len() - parked, noun(snapshot));
    format!("{threads} and {}", words::count(parked, "parked goroutine"))
}

/// What the second listing added, and that there was nothing where it added nothing.
fn said_of(joined: &Joined) -> String {
    let Joined { format, path, threads, virtual_threads, stacks, objects } = joined;
    let mut parts = vec![match (threads, virtual_threads) {
        (0, _) => "no thread that this dump lacks".to_owned(),
        (all, some) if all == some => format!("{} that this dump lacks", words::count(*all, "virtual thread")),
        (all, 0) => format!("{} that this dump lacks", words::count(*all, "thread")),
        (all, some) => format!("{} that this dump lacks, {some} of them virtual", words::count(*all, "thread")),
    }];
    if *stacks > 0 {
        parts.push(format!("the stacks of {} listed here without one", words::count(*stacks, "thread")));
    }
    parts.push(match objects {
        0 => "no lock could be proved to be the same object in both".to_owned(),
        1 => "1 lock is the same object in both".to_owned(),
        more => format!("{more} locks are the same objects in both"),
    });
    format!("joined with {} ({format}): {}", super::clean(path), parts.join("; "))
}

fn writer(writer: Writer) -> &'static str {
    match writer {
        Writer::Kernel => "written by the kernel",
        Writer::Gcore => "written by gcore of a live process",
        Writer::QemuUser => "written by qemu-user",
        Writer::KernelLog => "logged by the kernel",
    }
}

/// The headline, or the honest sentence where nothing was concluded.
pub(super) fn headline<'a>(report: &'a Report<'_, '_>) -> &'a str {
    match report.verdict.headline.as_str() {
        "" => "no rule could tell what went wrong",
        headline => headline,
    }
}

/// The verdict and whether this was the dump to take.
pub(super) fn verdict(page: &mut Page<'_>, report: &Report<'_, '_>) -> io::Result<()> {
    let verdict = report.verdict;
    let beside = Line::new().put(symptom_tone(verdict.symptom), symptom(verdict.symptom)).plain(", ");
    page.heading("VERDICT", beside.join(confidence(verdict.confidence)))?;
    page.line(Line::indented(2).put(Tone::Strong, headline(report)), 4)?;

    suitability(page, &verdict.suitability, "dump")?;
    claim(page, report)?;
    evidence(page, report)
}

/// Whether these were the dumps to take, and which to take instead. `noun` is what there is: one dump or several.
pub(super) fn suitability(page: &mut Page<'_>, suitability: &Suitability, noun: &str) -> io::Result<()> {
    let (tone, words) = match suitability.status {
        SuitabilityStatus::Right => (Tone::Good, format!("right {noun} for this")),
        SuitabilityStatus::Partial if noun == "dump" => (Tone::Caution, "this dump answers only a part".to_owned()),
        SuitabilityStatus::Partial => (Tone::Caution, format!("these {noun} answer only a part")),
        SuitabilityStatus::Wrong => (Tone::Bad, format!("wrong {noun} for this")),
    };
    let line = Line::indented(2).put(tone, words);
    let line = match suitability.why.as_str() {
        "" => line,
        why => line.plain(": ").plain(why),
    };
    page.line(line, 4)?;
    commands(page, &suitability.take_instead)
}

/// What to take, with what it costs where there is room for that.
fn commands(page: &mut Page<'_>, commands: &[Command]) -> io::Result<()> {
    for command in commands {
        page.line(Line::indented(4).plain("take: ").plain(&command.what), 6)?;
        page.verbatim(Line::indented(6).put(Tone::Name, &command.command))?;
        if page.left().is_none() {
            super::advice::cost(page, command, 6)?;
        }
    }
    Ok(())
}

/// What the user said it was, against the evidence.
fn claim(page: &mut Page<'_>, report: &Report<'_, '_>) -> io::Result<()> {
    let Some(claim) = &report.verdict.claim else { return Ok(()) };
    let (tone, words) = match claim.standing {
        Standing::Confirmed => (Tone::Good, "as you say"),
        Standing::Contradicted => (Tone::Bad, "not what you say"),
        Standing::Open => (Tone::Caution, "you may be right"),
    };
    let line = Line::indented(2).put(tone, words).plain(": ").plain(&claim.why).plain("  (");
    page.line(line.join(confidence(claim.confidence)).plain(")"), 4)?;
    if !claim.take.is_empty() {
        page.line(Line::indented(4).plain(format!("for {} this would serve:", claim.complaint.words())), 6)?;
    }
    commands(page, &claim.take)
}

/// What shows the symptom, where it was asked for.
fn evidence(page: &mut Page<'_>, report: &Report<'_, '_>) -> io::Result<()> {
    let evidence = &report.verdict.evidence;
    if !(page.style.explain || page.style.all) || evidence.is_empty() {
        return Ok(());
    }
    page.line(Line::indented(2).plain(format!("{}, because", symptom(report.verdict.symptom))), 4)?;
    for piece in evidence {
        page.line(Line::indented(4).plain("- ").plain(&piece.text).join(places::source(piece.source)), 6)?;
    }
    Ok(())
}

/// The symptom in words and in its tone.
pub(super) fn symptom_line(kind: Symptom) -> Line {
    Line::new().put(symptom_tone(kind), symptom(kind))
}

fn symptom(symptom: Symptom) -> &'static str {
    match symptom {
        Symptom::NativeCrash => "native crash",
        Symptom::ManagedCrash => "crash in managed code",
        Symptom::OutOfMemory => "out of memory",
        Symptom::HangIdle => "hang, using no CPU",
        Symptom::HangBusy => "hang, using CPU",
        Symptom::Unclear => "unclear",
    }
}

fn symptom_tone(symptom: Symptom) -> Tone {
    if symptom == Symptom::Unclear { Tone::Caution } else { Tone::Bad }
}

/// How sure, in words.
pub(super) fn confidence(confidence: Confidence) -> Line {
    let tone = match confidence {
        Confidence::High => Tone::Good,
        Confidence::Medium => Tone::Plain,
        Confidence::Low => Tone::Caution,
    };
    Line::new().plain("confidence ").put(tone, confidence.name())
}

/// The tone of a severity.
pub(super) fn severity(severity: Severity) -> Tone {
    match severity {
        Severity::Critical => Tone::Bad,
        Severity::Warning => Tone::Caution,
        Severity::Note => Tone::Dim,
    }
}
