//! Two dumps for people: the verdict, then what moved, what did not, and which groups changed.

use std::collections::BTreeMap;
use std::io::{self, Write};

use necropsy_model::{
    Comparison, Frame, FrameKind, GroupChange, Motion, Order, Pair, PairEvidence, SameProcess, Severity, Snapshot,
    Thread, ThreadFlags,
};

use super::page::{Line, Page, Tone};
use super::{clean, findings, groups, header, noun, stack, words};
use crate::{PairReport, Style};

/// Rows of each list that are shown; `--all` shows all, and the JSON holds them.
const ROWS: usize = 10;

/// Writes the report for people.
pub fn text(report: &PairReport<'_, '_>, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let mut page = Page::new(out, style);
    head(&mut page, report)?;
    verdict(&mut page, report)?;
    told(&mut page, report)?;
    if report.comparison.identity.same == SameProcess::No {
        return Ok(());
    }
    moved(&mut page, report)?;
    still(&mut page, report)?;
    came_and_went(&mut page, report)?;
    changes(&mut page, report)
}

/// Writes one line: paths, symptom, headline, confidence.
pub fn brief(report: &PairReport<'_, '_>, out: &mut dyn Write) -> io::Result<()> {
    let verdict = report.verdict;
    let (before, after) = (name(report.before.0), name(report.after.0));
    writeln!(
        out,
        "{} -> {}: {}: {} [{}]",
        clean(&before),
        clean(&after),
        verdict.symptom.name(),
        clean(&verdict.headline),
        verdict.confidence.name()
    )
}

/// A dump by its path, and its number where a file holds several.
fn name(input: &crate::Input) -> String {
    let path = if input.path == "-" { "standard input" } else { &input.path };
    if input.index > 0 { format!("{path} (dump {})", input.index + 1) } else { path.to_owned() }
}

fn head(page: &mut Page<'_>, report: &PairReport<'_, '_>) -> io::Result<()> {
    let comparison = report.comparison;
    let (before, after) = (report.before.1, report.after.1);
    let count = |snapshot: &Snapshot<'_>| words::count(snapshot.threads.len(), noun(snapshot));
    let line = Line::new().put(Tone::Strong, "necropsy diff ").put(Tone::Strong, name(report.before.0));
    let line = line.plain(" -> ").put(Tone::Strong, name(report.after.0)).plain("  ·  ").plain(after.format);
    let line = line.plain(format!(", {} -> {}", count(before), count(after)));
    let line = match comparison.elapsed {
        Some(elapsed) => {
            let about = if elapsed.basis.is_rough() { "about " } else { "" };
            line.plain(format!(", {about}{} apart", words::cpu(elapsed.time)))
        }
        None => line.plain(", time between them not told"),
    };
    page.line(line, 2)?;
    let mut facts = Vec::new();
    match comparison.order {
        Order::AsGiven => {}
        Order::Turned => facts.push("given the other way round: the later dump was named first".to_owned()),
        Order::NotTold => facts.push("nothing in them tells which is the earlier one: taken as given".to_owned()),
    }
    facts.extend(comparison.identity.because.iter().cloned());
    facts.iter().try_for_each(|fact| page.line(Line::indented(2).put(Tone::Dim, fact), 4))
}

fn verdict(page: &mut Page<'_>, report: &PairReport<'_, '_>) -> io::Result<()> {
    let verdict = report.verdict;
    let beside = header::symptom_line(verdict.symptom).plain(", ").join(header::confidence(verdict.confidence));
    page.heading("VERDICT", beside)?;
    page.line(Line::indented(2).put(Tone::Strong, &verdict.headline), 4)?;
    if let Some(owner) = report.owner {
        page.line(Line::indented(2).plain("owner: ").put(Tone::Strong, owner), 4)?;
    }
    header::suitability(page, &verdict.suitability, "dumps")
}

/// What the rules found.
fn told(page: &mut Page<'_>, report: &PairReport<'_, '_>) -> io::Result<()> {
    if report.verdict.findings.is_empty() {
        return Ok(());
    }
    page.heading("FINDINGS", Line::new())?;
    for finding in &report.verdict.findings {
        let line = Line::indented(2).put(header::severity(finding.severity), finding.severity.name()).plain(" ");
        let line = line.put(Tone::Strong, finding.rule);
        let said = finding.title == report.verdict.headline;
        let line = if said { line.plain(", as the verdict says") } else { line.plain(": ").plain(&finding.title) };
        page.line(line.plain("  (").join(header::confidence(finding.confidence)).plain(")"), 4)?;
        for evidence in &finding.evidence {
            page.line(piece(evidence), 6)?;
        }
        for next in finding.next.iter().filter(|_| finding.severity > Severity::Note) {
            page.line(findings::advice(next), 10)?;
        }
    }
    Ok(())
}

fn piece(evidence: &PairEvidence) -> Line {
    let line = Line::indented(4).plain("- ").plain(&evidence.text);
    let words = match (evidence.before, evidence.after) {
        (Some(before), Some(after)) => format!("({before}, then {after})"),
        (Some(before), None) => format!("({before} of the first dump)"),
        (None, Some(after)) => format!("({after} of the second dump)"),
        (None, None) => return line,
    };
    line.plain("  ").keep(Tone::Dim, words)
}

/// Pairs of the program's threads, with both threads.
fn pairs<'a, 'data>(
    report: &PairReport<'a, 'data>,
) -> impl Iterator<Item = (&'a Pair, &'a Thread<'data>, &'a Thread<'data>)> {
    let (before, after) = (report.before.1, report.after.1);
    let comparison: &'a Comparison = report.comparison;
    comparison.pairs.iter().filter_map(move |pair| {
        let was = before.threads.get(pair.before as usize)?;
        let is = after.threads.get(pair.after as usize)?;
        Some((pair, was, is))
    })
}

/// The stack of a thread without the machinery that it waits in: a row is short, and everybody parks in the same place.
fn telling<'s, 'data>(snapshot: &'s Snapshot<'data>, thread: &Thread<'data>) -> Vec<&'s Frame<'data>> {
    let machinery = |frame: &&Frame<'_>| {
        let library = frame.module.and_then(|id| snapshot.module(id)).is_some_and(|module| !module.is_executable);
        frame.kind == FrameKind::Runtime || frame.function.is_none() || library && frame.location.is_none()
    };
    let frames: Vec<_> = frames_of(snapshot, thread);
    let own: Vec<_> = frames.iter().copied().skip_while(machinery).collect();
    if own.is_empty() { frames } else { own }
}

fn frames_of<'s, 'data>(snapshot: &'s Snapshot<'data>, thread: &Thread<'data>) -> Vec<&'s Frame<'data>> {
    let ids = thread.stack.and_then(|id| snapshot.stack(id)).map(|stack| stack.frames.as_slice()).unwrap_or_default();
    ids.iter().filter_map(|&id| snapshot.frame(id)).collect()
}

fn is_own(thread: &Thread<'_>) -> bool {
    !thread.flags.contains(ThreadFlags::SYSTEM)
}

/// Threads that moved, those that used most CPU first.
fn moved(page: &mut Page<'_>, report: &PairReport<'_, '_>) -> io::Result<()> {
    let own = || pairs(report).filter(|(pair, _, is)| is_own(is) && pair.motion != Motion::NotTold);
    let mut moved: Vec<_> = own().filter(|(pair, ..)| !pair.is_stuck()).collect();
    // Those of the runtime only where they used CPU: nobody asks how a collector moves.
    let worked = |pair: &Pair| pair.cpu.is_some_and(|cpu| cpu >= Pair::AWAKE);
    moved.extend(pairs(report).filter(|(pair, _, is)| worked(pair) && (!is_own(is) || pair.motion == Motion::NotTold)));
    moved.sort_by_key(|(pair, ..)| (std::cmp::Reverse(pair.cpu), pair.motion == Motion::Still, pair.after));
    if moved.is_empty() {
        return Ok(());
    }
    let total = own().count();
    let beside = format!("{} of {}", words::number(moved.len() as u64), words::count(total, noun(report.after.1)));
    page.heading("MOVED", Line::new().plain(beside))?;
    let shown = if page.style.all { moved.len() } else { ROWS };
    for (pair, was, is) in moved.iter().take(shown) {
        let line = Line::indented(2).join(stack::called(is, report.after.1)).plain("  ");
        let how = match (pair.motion, pair.state_changed, pair.woke) {
            (Motion::Moved, ..) => "other functions",
            (Motion::WithinFunctions, ..) => "same functions, other lines",
            (Motion::NotTold, ..) => "no stack",
            (Motion::Still, true, _) => "same stack, other wait",
            (Motion::Still, false, true) => "same stack, was awake",
            (Motion::Still, false, false) => "same stack, used CPU",
        };
        let line = line.plain(how);
        let line = match pair.cpu {
            Some(cpu) => line.plain(format!(", CPU {}", words::cpu(cpu))),
            None => line,
        };
        page.line(line, 4)?;
        let stack = |snapshot: &Snapshot<'_>, thread: &Thread<'_>, label: &str, page: &mut Page<'_>| {
            let frames: Vec<_> = snapshot.frames_of(thread).collect();
            if frames.is_empty() {
                return Ok(());
            }
            groups::flow(page, snapshot, Line::indented(6).put(Tone::Dim, label), &frames, None, 13)
        };
        if pair.motion != Motion::Still {
            stack(report.before.1, was, "was    ", page)?;
        }
        stack(report.after.1, is, "is now ", page)?;
    }
    more(page, moved.len().saturating_sub(shown), "more thread")
}

/// Threads that stand where they stood, by place, most first.
fn still(page: &mut Page<'_>, report: &PairReport<'_, '_>) -> io::Result<()> {
    let snapshot = report.after.1;
    let stuck: Vec<_> = pairs(report).filter(|(pair, _, is)| pair.is_stuck() && is_own(is)).collect();
    if stuck.is_empty() {
        return Ok(());
    }
    let mut by_stack: BTreeMap<_, (usize, &Thread<'_>)> = BTreeMap::new();
    for (_, _, is) in &stuck {
        by_stack.entry((is.stack, is.state)).or_insert((0, is)).0 += 1;
    }
    // Stacks that differ only in what is not shown are one place.
    let mut by_words: BTreeMap<Vec<String>, (usize, &Thread<'_>)> = BTreeMap::new();
    for (count, is) in by_stack.into_values() {
        let state = is.state.and_then(|id| snapshot.state(id)).map(|state| state.text.to_string());
        let frames = telling(snapshot, is).into_iter().map(|frame| {
            let line = frame.location.as_ref().and_then(|location| location.line);
            format!("{:?} {line:?} {:?}", frame.function, frame.svma)
        });
        let row = by_words.entry(state.into_iter().chain(frames).collect()).or_insert((0, is));
        row.0 += count;
        if is.id < row.1.id {
            row.1 = is;
        }
    }
    let mut rows: Vec<_> = by_words.into_values().collect();
    rows.sort_by_key(|(count, is)| (std::cmp::Reverse(*count), is.id));
    let beside =
        format!("{} in {} places", words::count(stuck.len(), noun(snapshot)), words::number(rows.len() as u64));
    page.heading("NOT MOVED", Line::new().plain(beside))?;
    let shown = if page.style.all { rows.len() } else { ROWS };
    for (count, is) in rows.iter().take(shown) {
        let state = is.state.and_then(|id| snapshot.state(id)).map(|state| state.text.to_string()).unwrap_or_default();
        let line = Line::indented(2).plain(format!("{} ×  ", words::number(*count as u64))).put(Tone::Strong, state);
        page.line(line.plain("  ").put(Tone::Dim, "e.g. ").join(stack::called(is, snapshot)), 4)?;
        let frames = telling(snapshot, is);
        if !frames.is_empty() {
            groups::flow(page, snapshot, Line::indented(6), &frames, None, 8)?;
        }
    }
    more(page, rows.len().saturating_sub(shown), "more place")
}

fn came_and_went(page: &mut Page<'_>, report: &PairReport<'_, '_>) -> io::Result<()> {
    let lists = [("NEW", &report.comparison.new, report.after.1), ("GONE", &report.comparison.gone, report.before.1)];
    for (title, threads, snapshot) in lists.into_iter().filter(|(_, threads, _)| !threads.is_empty()) {
        page.heading(title, Line::new().plain(words::count(threads.len(), noun(snapshot))))?;
        let shown = if page.style.all { threads.len() } else { ROWS / 2 };
        for thread in threads.iter().take(shown).filter_map(|&at| snapshot.threads.get(at as usize)) {
            let line = Line::indented(2).join(stack::called(thread, snapshot)).plain("  ");
            let frames: Vec<_> = snapshot.frames_of(thread).collect();
            groups::flow(page, snapshot, line, &frames, None, 6)?;
        }
        more(page, threads.len().saturating_sub(shown), &format!("more {}", noun(snapshot)))?;
    }
    Ok(())
}

/// Groups that gained or lost threads.
fn changes(page: &mut Page<'_>, report: &PairReport<'_, '_>) -> io::Result<()> {
    let changed: Vec<_> = report.comparison.groups.iter().filter(|change| change.change() != 0).collect();
    if changed.is_empty() {
        return Ok(());
    }
    page.heading("GROUPS THAT CHANGED", Line::new().plain(words::number(changed.len() as u64)))?;
    let shown = if page.style.all { changed.len() } else { ROWS };
    for change in changed.iter().take(shown) {
        let snapshot = example_of(change, report);
        let Some(thread) = snapshot.threads.get(change.example as usize) else { continue };
        let number = |of: usize| words::number(of as u64);
        let sign = if change.change() > 0 { "+" } else { "-" };
        let by = words::number(change.change().unsigned_abs());
        let line = Line::indented(2).plain(format!("{} -> {}", number(change.before), number(change.after)));
        let line = line.plain(" (").put(Tone::Strong, format!("{sign}{by}")).plain(")  ");
        let state = thread.state.and_then(|id| snapshot.state(id)).map(|state| format!("{}  ", state.text));
        let line = line.plain(state.unwrap_or_default());
        let frames: Vec<_> = snapshot.frames_of(thread).collect();
        groups::flow(page, snapshot, line, &frames, None, 6)?;
    }
    more(page, changed.len().saturating_sub(shown), "more group")
}

/// The dump that the example of a group is in.
pub(crate) fn example_of<'a, 'data>(change: &GroupChange, report: &PairReport<'a, 'data>) -> &'a Snapshot<'data> {
    if change.after > 0 { report.after.1 } else { report.before.1 }
}

fn more(page: &mut Page<'_>, more: usize, noun: &str) -> io::Result<()> {
    if more == 0 {
        return Ok(());
    }
    let words = format!("… {}: --all", words::count(more, noun));
    page.line(Line::indented(2).put(Tone::Dim, words), 4)
}
