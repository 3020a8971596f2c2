//! A stack, frame by frame: what was found, how, and what is missing and why.

use std::io;
use std::ops::Range;

use necropsy_model::{
    Frame, FrameKind, Gap, Origin, Snapshot, Stack, StackEnd, Symbol, SymbolSource, Thread, Trust, Value, Variable,
    VariableKind,
};

use super::clean::{clean, columns, middle, start};
use super::page::{Line, Note, Page, Tone};
use super::places::{doubt, name_limit, named, position};
use super::{first_stop, machine, noun, words};
use crate::{Report, value};

/// Frames of one stack that are shown unless all were asked for: the head tells what happened, the tail how it began.
const HEAD: usize = 32;
const TAIL: usize = 8;

/// Columns of a value; long structures are whole in the JSON.
const VALUE: usize = 72;

/// The stack of the thread that stopped the process.
pub(super) fn stopped(page: &mut Page<'_>, report: &Report<'_, '_>) -> io::Result<()> {
    let snapshot = report.snapshot;
    let Some(thread) = snapshot.stopped_thread() else { return Ok(()) };
    let role = match first_stop(snapshot).and_then(|stop| stop.signal) {
        Some(signal) if signal.is_sent() == Some(true) => "that got the signal",
        _ => "that stopped the process",
    };
    page.heading("STACK", called(thread, snapshot).plain(format!(", the one {role}")))?;
    write(page, report, thread, snapshot.stop.as_ref().map_or(0, |stop| stop.frame))?;
    if let Some(index) = snapshot.stop.as_ref().and_then(|stop| stop.thread) {
        machine::ancestors(page, snapshot, index, 2)?;
    }
    machine::stopped(page, report)
}

/// A thread by number and name.
pub(super) fn called(thread: &Thread<'_>, snapshot: &Snapshot<'_>) -> Line {
    let line = Line::new().plain(format!("{} {}", noun(snapshot), thread.id));
    match thread.name() {
        Some(name) => line.plain(" \"").put(Tone::Strong, middle(&clean(name), 40)).plain("\""),
        None => line,
    }
}

/// The stack of one thread. `fault` is the frame at fault where that is not the innermost.
pub(super) fn write(page: &mut Page<'_>, report: &Report<'_, '_>, thread: &Thread<'_>, fault: usize) -> io::Result<()> {
    let snapshot = report.snapshot;
    let Some(stack) = thread.stack.and_then(|id| snapshot.stack(id)).filter(|stack| !stack.frames.is_empty()) else {
        return page.line(Line::indented(2).put(Tone::Caution, no_stack(thread, snapshot)), 4);
    };
    let origin = report.verdict.origin.as_ref().filter(|origin| origin.birth.thread == Some(thread.id));
    let rows: Vec<_> = stack.frames.iter().filter_map(|&id| snapshot.frame(id)).collect();
    let shape = Shape::of(&rows, page.width(), snapshot);
    let turns = if page.style.threads { Vec::new() } else { recursions(&rows, stack.gap) };
    let again = |number: usize| turns.iter().find(|turn| turn.again.contains(&number));
    let listed: Vec<_> = (0..rows.len()).filter(|&number| again(number).is_none()).collect();
    let folded = (!page.style.threads && listed.len() > HEAD + TAIL + 1)
        .then(|| Some(*listed.get(HEAD)?..*listed.get(listed.len() - TAIL)?))
        .flatten();
    for (number, frame) in rows.iter().enumerate() {
        if let Some(gap) = stack.gap.filter(|gap| gap.after == number) {
            page.line(gap_line(gap), 8)?;
        }
        match &folded {
            Some(range) if range.start == number => {
                let words = format!("     … {} more frames, all of them with --threads or --json", range.len());
                page.line(Line::new().put(Tone::Dim, words), 8)?;
            }
            Some(range) if range.contains(&number) => {}
            _ => match again(number) {
                Some(turn) if turn.again.start == number => {
                    let omitted = turn.again.len() as u64;
                    page.line(gap_line(Gap { after: number, omitted, period: Some(turn.period) }), 8)?;
                }
                Some(_) => {}
                None => write_frame(page, snapshot, &shape, number, frame, mark(number, fault, origin))?,
            },
        }
    }
    if let Some(gap) = stack.gap.filter(|gap| gap.after >= rows.len()) {
        page.line(gap_line(gap), 8)?;
    }
    ending(page, stack, &rows)
}

fn no_stack(thread: &Thread<'_>, snapshot: &Snapshot<'_>) -> String {
    let broken = thread.stack.and_then(|id| snapshot.stack(id)).map(|stack| &stack.end);
    match broken {
        Some(StackEnd::Broken(reason)) => format!("no stack: {reason}"),
        _ => "no stack in the dump".to_owned(),
    }
}

/// Frames of one turn of a recursion that is recognised, and turns that make one.
const PERIOD: usize = 4;
const TURNS: usize = 4;

/// A recursion among the frames.
struct Recursion {
    /// Frames of one turn.
    period: usize,
    /// All turns but the first.
    again: Range<usize>,
}

/// Recursions whose turns are the same: functions, lines, and no value that tells them apart.
fn recursions(rows: &[&Frame<'_>], gap: Option<Gap>) -> Vec<Recursion> {
    let same = |a: &Frame<'_>, b: &Frame<'_>| {
        let named = a.function.is_some() && a.function == b.function && a.location == b.location;
        named && a.inlined == b.inlined && a.variables.is_empty() && b.variables.is_empty()
    };
    let mut found = Vec::new();
    let mut start = 0;
    while start < rows.len() {
        // Frames that the runtime left out stand between two turns.
        let end = gap.map(|gap| gap.after).filter(|&after| after > start).unwrap_or(rows.len()).min(rows.len());
        let run = |period: usize| {
            let ahead = rows.get(start + period..end).unwrap_or_default();
            let repeated = rows.get(start..).unwrap_or_default().iter().zip(ahead).take_while(|(a, b)| same(a, b));
            repeated.count() / period
        };
        let turns = (1..=PERIOD).map(|period| (period, run(period))).find(|&(_, turns)| turns + 1 >= TURNS);
        match turns {
            Some((period, turns)) => {
                let again = start + period..start + period * (turns + 1);
                start = again.end;
                found.push(Recursion { period, again });
            }
            None => start += 1,
        }
    }
    found
}

/// What a frame is to the verdict, in words.
fn mark(number: usize, fault: usize, origin: Option<&Origin<'_>>) -> Option<&'static str> {
    let birth = origin.filter(|origin| origin.kind != "unknown").and_then(|origin| origin.birth.frame);
    match number {
        _ if birth == Some(number) => Some("<- origin"),
        _ if fault > 0 && number == fault => Some("<- crashed here"),
        _ => None,
    }
}

/// Widths of the columns of one stack.
struct Shape {
    number: usize,
    name: usize,
    position: usize,
    /// Too narrow for columns: one frame flows over several rows.
    flows: bool,
}

impl Shape {
    fn of(frames: &[&Frame<'_>], width: usize, snapshot: &Snapshot<'_>) -> Self {
        let shown = || frames.iter().take(HEAD);
        let name = shown().map(|frame| columns(&title(frame, snapshot, width).0)).max().unwrap_or(0);
        let position = shown().map(|frame| columns(&place(frame, snapshot))).max().unwrap_or(0);
        Self {
            number: frames.len().saturating_sub(1).to_string().len(),
            name: name.min(width * 2 / 5),
            position: position.min(width / 4),
            flows: width < 60,
        }
    }
}

fn write_frame(
    page: &mut Page<'_>,
    snapshot: &Snapshot<'_>,
    shape: &Shape,
    number: usize,
    frame: &Frame<'_>,
    mark: Option<&str>,
) -> io::Result<()> {
    let (name, reason) = title(frame, snapshot, page.width());
    let tone = if frame.function.is_some() { Tone::Name } else { Tone::Caution };
    let column = shape.number + 4;
    let mut line = Line::new().put(Tone::Dim, format!("  {number:>width$}  ", width = shape.number)).put(tone, name);
    let place = place(frame, snapshot);
    if !place.is_empty() {
        line = if shape.flows { line.plain("  ") } else { line.fill_to(column + shape.name + 2) };
        line = line.keep(Tone::Plain, place);
    }
    if let Some(mark) = mark {
        line = line.plain("  ").keep(Tone::Bad, mark);
    }
    let arguments: Vec<_> = of_kind(frame, VariableKind::Argument).collect();
    for (index, variable) in arguments.iter().enumerate() {
        line = match index {
            0 if shape.flows => line.plain("  "),
            0 => line.fill_to(column + shape.name + 2 + shape.position + 2),
            _ => line.plain(" "),
        };
        // The comma stays on the line of what it ends.
        let comma = if index + 1 < arguments.len() { "," } else { "" };
        line = line.keep(Tone::Plain, assignment(variable, page.width()) + comma);
    }
    for note in notes(frame, reason) {
        line = line.plain("  ").join(note);
    }
    page.line(line, column + 2)?;
    if page.style.locals {
        for variable in of_kind(frame, VariableKind::Local) {
            page.line(Line::indented(column + 2).plain(assignment(variable, page.width())), column + 6)?;
        }
    }
    Ok(())
}

fn of_kind<'a, 'data>(frame: &'a Frame<'data>, kind: VariableKind) -> impl Iterator<Item = &'a Variable<'data>> {
    frame.variables.iter().filter(move |variable| variable.kind == kind)
}

/// `name = value`, the value cut for people.
fn assignment(variable: &Variable<'_>, width: usize) -> String {
    let text = match &variable.value {
        // Text is cut at its end, inside the quotes: its beginning tells the most.
        Value::Text { text, .. } if text.chars().count() > VALUE => {
            let head: String = text.chars().take(VALUE).collect();
            value::render(&Value::Text { text: head.into(), cut: true })
        }
        other => value::render(other),
    };
    let text = start(&text, VALUE.max(width / 2));
    match &variable.name {
        Some(name) => format!("{} = {text}", middle(&clean(name), 40)),
        None => text.into_owned(),
    }
}

/// A frame's name for people, and the reason where it has none.
pub(super) fn title(frame: &Frame<'_>, snapshot: &Snapshot<'_>, width: usize) -> (String, Option<&'static str>) {
    if frame.kind == FrameKind::SignalTrampoline {
        return ("<signal handler called>".to_owned(), None);
    }
    if let Some(function) = &frame.function {
        return (named(function, width), None);
    }
    let reason = match &frame.symbol {
        Symbol::Missing(missing) => Some(missing.reason()),
        Symbol::Found(_) => None,
    };
    let module = frame.module.and_then(|id| snapshot.module(id));
    let name = match (module, frame.svma, frame.pc()) {
        (Some(module), Some(svma), _) => format!("{}+{svma}", middle(&clean(module.name()), name_limit(width))),
        (Some(module), None, _) => middle(&clean(module.name()), name_limit(width)).into_owned(),
        (None, _, Some(pc)) => pc.to_string(),
        (None, ..) => "unnamed function".to_owned(),
    };
    (name, reason)
}

/// Source position, else the library that the function is in.
fn place(frame: &Frame<'_>, snapshot: &Snapshot<'_>) -> String {
    if let Some(location) = &frame.location {
        return position(location);
    }
    let module = frame.module.and_then(|id| snapshot.module(id));
    match module.filter(|module| frame.function.is_some() && !module.is_executable) {
        Some(module) => middle(&clean(module.name()), 32).into_owned(),
        None => String::new(),
    }
}

/// What a reader must know of a frame before trusting it.
fn notes(frame: &Frame<'_>, reason: Option<&'static str>) -> Vec<Line> {
    let mut notes = Vec::new();
    if let Some(reason) = reason {
        notes.push(Line::new().keep(Tone::Dim, format!("({reason})")));
    }
    match frame.kind {
        FrameKind::Interpreted => notes.push(Line::new().keep(Tone::Dim, "interpreted")),
        FrameKind::Compiled => notes.push(Line::new().keep(Tone::Dim, "compiled")),
        _ => {}
    }
    if frame.inlined {
        notes.push(Line::new().keep(Tone::Dim, "[inlined]"));
    }
    if frame.symbol == Symbol::Found(SymbolSource::Nearest) {
        notes.push(Line::new().keep(Tone::Caution, "[nearest symbol, a guess]"));
    }
    if frame.trust.is_weak() || frame.trust == Trust::TailCall {
        notes.push(doubt(frame.trust));
    }
    notes
}

/// Frames that are not listed.
fn gap_line(gap: Gap) -> Line {
    let omitted = words::number(gap.omitted);
    let words = match gap.period.filter(|&period| period > 0) {
        Some(1) => format!("     ↻ recursion: the frame above {omitted} more times"),
        Some(period) => {
            let turns = words::number(gap.omitted / period as u64);
            format!("     ↻ recursion: the {period} frames above {turns} more times ({omitted} frames)")
        }
        None => format!("     … {omitted} frames that the runtime left out"),
    };
    Line::new().put(Tone::Caution, words)
}

/// Why the stack ends, and what holds for all of it.
fn ending(page: &mut Page<'_>, stack: &Stack, frames: &[&Frame<'_>]) -> io::Result<()> {
    if let StackEnd::Broken(reason) = &stack.end {
        let words = format!("the stack ends early: {reason}");
        page.line(Line::indented(2).put(Tone::Caution, words), 4)?;
    }
    if frames.iter().any(|frame| frame.optimized) && page.first_time(Note::Optimised) {
        let words = "optimised code: lines are approximate, and a value may be of another moment than its line";
        page.line(Line::indented(2).put(Tone::Dim, words), 4)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use necropsy_model::Location;

    use super::*;

    #[test]
    fn recursions_are_found_and_end_at_a_gap() {
        let frame = |name: &str| Frame::printed(name.to_owned(), Some(Location::new("a.go", Some(1))));
        let names = ["f", "a", "b", "a", "b", "a", "b", "a", "b", "a", "m", "r", "r", "r", "r", "r", "z"];
        let frames: Vec<_> = names.iter().map(|name| frame(name)).collect();
        let rows: Vec<_> = frames.iter().collect();
        let found =
            |gap| -> Vec<_> { recursions(&rows, gap).into_iter().map(|turn| (turn.period, turn.again)).collect() };
        assert_eq!(found(None), [(2, 3..9), (1, 12..16)]);
        let gap = Gap { after: 5, omitted: 9, period: None };
        assert_eq!(found(Some(gap)), [(1, 12..16)]);
    }
}
