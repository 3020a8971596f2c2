//! Threads by group: the interesting ones with their way, the healthy background folded into one line.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::io;

use necropsy_model::go::is_standard_library;
use necropsy_model::{
    Activity, Frame, Group, GroupBy, Runtime, Severity, Snapshot, SourceKind, Symptom, Thread, ThreadId, WaitSpread,
};

use super::clean::{clean, middle};
use super::families::{Family, families, way};
use super::page::{Line, Page, Tone};
use super::places::position;
use super::{MANY, hangs, machine, noun, stack, words};
use crate::Report;

/// Groups that are listed; a dump of ten thousand goroutines is to fit on a screen.
const GROUPS: usize = 5;

/// Groups that are listed to those who asked for a view of their own.
const ASKED: usize = 20;

/// Groups that are listed of many threads, however few rows are left.
const LEAST: usize = 2;

/// Rows for the ways of all groups together, where the threads are few; of many it is the counts that tell.
const ROWS_OF_FEW: usize = 24;

/// Branches of a group whose callers part that are shown.
const BRANCHES: usize = 4;

/// Members of a group among which one that a finding names is looked for.
const NAMED: usize = 16;

/// Names of members that are listed.
const NAMES: usize = 3;

pub(super) fn write(page: &mut Page<'_>, report: &Report<'_, '_>) -> io::Result<()> {
    let snapshot = report.snapshot;
    let stopped = snapshot.stop.as_ref().and_then(|stop| stop.thread).filter(|_| !hangs(report));
    let stopped = stopped.and_then(|index| u32::try_from(index).ok());
    let by = report.groups.by;
    let asked = by != GroupBy::Stack || report.groups.filtered_out > 0;
    let short = page.left().is_some() && by == GroupBy::Stack;
    let named = named(report);
    let quiet = |group: &Group| short && !asked && !is_named(group, &named, snapshot) && is_library(group, snapshot);
    let (background, front): (Vec<_>, Vec<_>) =
        report.groups.groups.iter().partition(|group| group.background || quiet(group));
    let told = if short { families(&front, snapshot) } else { front.iter().copied().map(Family::single).collect() };
    let mut front = members(told, stopped);
    let background = members(background.into_iter().map(Family::single).collect(), stopped);
    let total: usize = front.iter().chain(&background).map(|members| members.count).sum();
    if total == 0 {
        return Ok(());
    }
    if short {
        let is_named = |members: &Members<'_>| members.family.groups.iter().any(|one| is_named(one, &named, snapshot));
        front.sort_by_key(|members| (!is_named(members), Reverse(members.count)));
    }
    if report.verdict.symptom == Symptom::HangBusy {
        // One thread that runs says more than a hundred that wait.
        front.sort_by_key(|members| activity(members.first(), snapshot) != Activity::Running);
    }
    heading(page, report, total, front.iter().chain(&background).map(|members| members.family.groups.len()).sum())?;
    let digits = front.iter().map(|members| words::number(members.count as u64).len()).max().unwrap_or(1);
    let told = match (page.style.all, asked) {
        (true, _) => usize::MAX,
        (false, true) => ASKED,
        (false, false) => GROUPS,
    };
    let titles: Vec<_> = front.iter().take(told).map(|members| title(members, snapshot, total, digits, by)).collect();
    let most = page.left().filter(|_| !asked).map_or(told, |left| fitting(page, &titles, left));
    let shown = front.len().min(most);
    let rows = if total < MANY { ROWS_OF_FEW / shown.max(1) } else { 2 };
    let mut ahead: usize = titles.iter().take(shown).map(|(line, start)| page.height(line, *start) + 1).sum();
    for (members, (title, start)) in front.iter().zip(titles).take(shown) {
        ahead = ahead.saturating_sub(page.height(&title, start) + 1);
        page.line(title, start)?;
        if by != GroupBy::Stack && !page.style.all {
            // What they share is all that is told; the way of one of them would not be that of all.
            continue;
        }
        describe(page, snapshot, members, start, rows)?;
        let room = page.left().map_or(0, |left| left.saturating_sub(ahead + 2));
        branches(page, snapshot, members, start, room.min(BRANCHES))?;
    }
    left_out(page, report, front.get(shown..).unwrap_or_default())?;
    if page.style.all {
        for members in &background {
            let (title, start) = title(members, snapshot, total, digits, by);
            page.line(title, start)?;
            describe(page, snapshot, members, start, 2)?;
        }
        return Ok(());
    }
    folded(page, report, &background)
}

/// How many fit: each takes its title and a row for its way, those that are left out a row, the background another one.
fn fitting(page: &Page<'_>, titles: &[(Line, usize)], left: usize) -> usize {
    let room = left.saturating_sub(2);
    let rows = titles.iter().map(|(line, start)| page.height(line, *start) + 1);
    let used = rows.scan(0, |used, rows| {
        *used += rows;
        Some(*used)
    });
    used.take_while(|&used| used <= room).count().clamp(LEAST, GROUPS)
}

/// Groups that are counted only.
fn left_out(page: &mut Page<'_>, report: &Report<'_, '_>, rest: &[Members<'_>]) -> io::Result<()> {
    if rest.is_empty() {
        return Ok(());
    }
    let threads: usize = rest.iter().map(|members| members.count).sum();
    let groups: usize = rest.iter().map(|members| members.family.groups.len()).sum();
    let (groups, threads) = (words::count(groups, "more group"), words::count(threads, noun(report.snapshot)));
    let words = format!("… {groups} with {threads}; --all lists them");
    page.line(Line::indented(2).put(Tone::Dim, words), 4)
}

/// The background in one row.
fn folded(page: &mut Page<'_>, report: &Report<'_, '_>, background: &[Members<'_>]) -> io::Result<()> {
    if background.is_empty() {
        return Ok(());
    }
    let threads: usize = background.iter().map(|members| members.count).sum();
    let (threads, groups) = (words::count(threads, noun(report.snapshot)), words::count(background.len(), "group"));
    let idle = background.iter().all(|members| members.first().is_none_or(|group| group.background));
    let what = if idle { "idle background" } else { "background, idle or in the standard library only" };
    let words = format!("{what}: {threads} in {groups}; --all lists them");
    page.line(Line::indented(2).put(Tone::Dim, words), 4)
}

fn is_named(group: &Group, named: &BTreeSet<ThreadId>, snapshot: &Snapshot<'_>) -> bool {
    let first = group.threads.iter().take(NAMED).filter_map(|&index| snapshot.threads.get(index as usize));
    !named.is_empty() && first.into_iter().any(|thread| named.contains(&thread.id))
}

/// Goroutines that wait in code of the standard library only, and were made by it: keep-alive connections, timers, watchers
/// of contexts. Who waits for a lock or computes is of interest wherever it is, and so are most of all goroutines.
fn is_library(group: &Group, snapshot: &Snapshot<'_>) -> bool {
    let waits = matches!(activity(Some(group), snapshot), Activity::Io | Activity::Signal | Activity::Sleep);
    let stack = group.stack.and_then(|id| snapshot.stack(id));
    let mut frames = stack.iter().flat_map(|stack| &stack.frames).chain(&group.created_by).peekable();
    let name = |id| snapshot.frame(id).and_then(|frame| frame.function.as_deref());
    waits
        && snapshot.process.runtime == Some(Runtime::Go)
        && group.threads.len() * 2 < snapshot.threads.len()
        && frames.peek().is_some()
        && frames.all(|&id| name(id).is_some_and(is_standard_library))
}

fn members(told: Vec<Family<'_>>, stopped: Option<u32>) -> Vec<Members<'_>> {
    told.into_iter().map(|family| Members::of(family, stopped)).filter(|members| members.count > 0).collect()
}

fn heading(page: &mut Page<'_>, report: &Report<'_, '_>, total: usize, groups: usize) -> io::Result<()> {
    let stopped = report.snapshot.stop.as_ref().and_then(|stop| stop.thread).filter(|_| !hangs(report));
    let heading = match (stopped, noun(report.snapshot)) {
        (Some(_), "goroutine") => "OTHER GOROUTINES",
        (Some(_), _) => "OTHER THREADS",
        (None, "goroutine") => "GOROUTINES",
        (None, _) => "THREADS",
    };
    let groups = words::count(groups, "group");
    let mut beside = Line::new().plain(format!("{} in {groups}", words::number(total as u64)));
    if report.groups.filtered_out > 0 {
        beside = beside.plain(format!(", {} left out by the filter", words::number(report.groups.filtered_out as u64)));
    }
    page.heading(heading, beside)
}

/// Threads that findings name, notes left aside.
fn named(report: &Report<'_, '_>) -> BTreeSet<ThreadId> {
    let serious = report.verdict.findings.iter().filter(|finding| finding.severity > Severity::Note);
    serious.flat_map(|finding| &finding.places).filter_map(|place| place.thread).collect()
}

fn activity(group: Option<&Group>, snapshot: &Snapshot<'_>) -> Activity {
    group
        .and_then(|group| group.state)
        .and_then(|id| snapshot.state(id))
        .map(|state| state.activity)
        .unwrap_or_default()
}

/// Groups that are told together, without the thread that has a section of its own.
struct Members<'a> {
    family: Family<'a>,
    count: usize,
    left_out: Option<u32>,
}

impl<'a> Members<'a> {
    fn of(family: Family<'a>, stopped: Option<u32>) -> Self {
        // Members are in ascending order.
        let holds = |index: &u32| family.groups.iter().any(|group| group.threads.binary_search(index).is_ok());
        let left_out = stopped.filter(holds);
        let count: usize = family.groups.iter().map(|group| group.threads.len()).sum();
        Self { count: count - usize::from(left_out.is_some()), left_out, family }
    }

    /// The group that stands for all.
    fn first(&self) -> Option<&'a Group> {
        self.family.groups.first().copied()
    }

    fn threads<'s, 'data>(&self, snapshot: &'s Snapshot<'data>) -> impl Iterator<Item = &'s Thread<'data>> {
        let indexes = self.family.groups.iter().flat_map(|group| &group.threads);
        let indexes = indexes.filter(|&&index| Some(index) != self.left_out);
        indexes.filter_map(|&index| snapshot.threads.get(index as usize))
    }

    /// The spread of the waits of all groups together.
    fn waited(&self, snapshot: &Snapshot<'_>) -> Option<WaitSpread> {
        let spreads = || self.family.groups.iter().filter_map(|group| group.waited);
        let min_s = spreads().map(|spread| spread.min_s).min()?;
        let max_s = spreads().map(|spread| spread.max_s).max()?;
        let known = spreads().map(|spread| spread.known).sum();
        let median_s = match spreads().next() {
            Some(only) if self.family.groups.len() == 1 => only.median_s,
            _ if min_s == max_s => min_s,
            _ => {
                let mut waits: Vec<_> = self.threads(snapshot).filter_map(Thread::waited).collect();
                let middle = waits.len() / 2;
                waits.sort_unstable();
                waits.get(middle).map_or(min_s, std::time::Duration::as_secs)
            }
        };
        Some(WaitSpread { min_s, median_s, max_s, known })
    }
}

/// Count, share, state, waits, a member to look at; and the column at which the way goes on.
fn title(members: &Members<'_>, snapshot: &Snapshot<'_>, total: usize, digits: usize, by: GroupBy) -> (Line, usize) {
    let count = words::number(members.count as u64);
    let mut line = Line::new().put(Tone::Strong, format!("  {count:>digits$} ×  "));
    let start = line.columns();
    let Some(group) = members.first() else { return (line, start) };
    let state = group.state.and_then(|id| snapshot.state(id));
    let shared =
        |title: &String| if title.is_empty() { format!("no {}", by.name()) } else { clean(title).into_owned() };
    let mut facts: Vec<_> = group.title.iter().map(shared).collect();
    if total >= MANY && members.count * 100 >= total {
        facts.push(words::percent(members.count, total));
    }
    facts.extend(state.filter(|_| group.title.is_none()).map(|state| clean(&state.text).into_owned()));
    facts.extend(members.waited(snapshot).map(|spread| waited(spread, members.count)));
    facts.extend(cpu(members, snapshot));
    let tone = match activity(Some(group), snapshot) {
        Activity::Never | Activity::Lock => Tone::Bad,
        Activity::Running => Tone::Strong,
        _ => Tone::Plain,
    };
    line = line.put(tone, facts.join(", "));
    let gap = if line.columns() > start { "  " } else { "" };
    (line.plain(gap).join(sample(members, snapshot)), start)
}

/// Waiting times of a group. They are lower bounds: a dump rounds them down, and Go's collector stamps a wait only when it
/// comes by. So no time is not "just arrived" either: the dump does not say.
fn waited(spread: WaitSpread, of: usize) -> String {
    let WaitSpread { min_s, median_s, max_s, known } = spread;
    let [min, median, max] = [min_s, median_s, max_s].map(words::seconds);
    let time = if min_s == max_s { min } else { format!("{min} to {max}, median {median}") };
    let some = match of.checked_sub(known) {
        Some(rest @ 1..) => format!(" ({} not said)", words::number(rest as u64)),
        _ => String::new(),
    };
    format!("waiting at least {time}{some}")
}

/// CPU time of the members together, and of the busiest.
fn cpu(members: &Members<'_>, snapshot: &Snapshot<'_>) -> Option<String> {
    let known = |thread: &Thread<'_>| Some((thread.detail.as_ref()?.cpu?, thread.id));
    let times = || members.threads(snapshot).filter_map(known);
    // Where none of the first has one, none has: a dump of a million goroutines is not searched for it.
    members.threads(snapshot).take(NAMED).find_map(known)?;
    // The first of the busiest, so that equal times give one answer.
    let (most, busiest) = times().reduce(|best, next| if next.0 > best.0 { next } else { best })?;
    let sum = times().fold(std::time::Duration::ZERO, |sum, (time, _)| sum.saturating_add(time));
    Some(match members.count {
        1 => format!("CPU {}", words::cpu(most)),
        // One that used no more than its peers is not worth naming.
        count if most.saturating_mul(count as u32) <= sum.saturating_mul(2) => format!("CPU {}", words::cpu(sum)),
        _ => format!("CPU {}, most in {busiest}: {}", words::cpu(sum), words::cpu(most)),
    })
}

/// A member to look at, and where it stands in the dump.
fn sample(members: &Members<'_>, snapshot: &Snapshot<'_>) -> Line {
    let Some(first) = members.threads(snapshot).next() else { return Line::new() };
    let mut names: Vec<_> = members.threads(snapshot).take(NAMES).filter_map(Thread::name).collect();
    names.dedup();
    let mut words = match members.count {
        1 => format!("{} {}", noun(snapshot), first.id),
        _ => format!("e.g. {}", first.id),
    };
    if !names.is_empty() {
        let names: Vec<_> = names.into_iter().map(|name| middle(&clean(name), 24).into_owned()).collect();
        let more = if members.count > NAMES { ", …" } else { "" };
        words = format!("{words} ({}{more})", names.join(", "));
    }
    if let SourceKind::Line(line) = first.source.kind() {
        words = format!("{words}, line {line}");
    }
    Line::new().put(Tone::Dim, words)
}

/// The way into the wait: one frame a row where there is room, else all on one row. The creator is its last step.
fn describe(
    page: &mut Page<'_>,
    snapshot: &Snapshot<'_>,
    members: &Members<'_>,
    start: usize,
    rows: usize,
) -> io::Result<()> {
    let Some(group) = members.first() else { return Ok(()) };
    let frames = way(group, snapshot);
    let shared = members.family.shared.min(frames.len());
    let frames = frames.get(..shared.max(1)).unwrap_or(&frames);
    let creator = group.created_by.and_then(|id| snapshot.frame(id));
    let creator =
        creator.map(|frame| Line::new().put(Tone::Dim, "created by ").join(step(frame, snapshot, page.width())));
    if rows < 5 {
        return one_row(page, snapshot, frames, tail(&members.family), creator, start);
    }
    let room = rows.min(8) - usize::from(creator.is_some());
    for (number, frame) in frames.iter().enumerate() {
        if number + 1 >= room && frames.len() > room {
            let words = format!("… {} more frames", frames.len() - number);
            page.line(Line::indented(start).put(Tone::Dim, words), start + 2)?;
            break;
        }
        page.line(Line::indented(start).join(step(frame, snapshot, page.width())), start + 2)?;
    }
    if let Some(creator) = creator {
        page.line(Line::indented(start).join(creator), start + 2)?;
    }
    let first = members.family.groups.iter().find_map(|group| group.threads.first());
    first.map_or(Ok(()), |&first| machine::ancestors(page, snapshot, first as usize, start))
}

/// What the groups of a family do not share.
fn tail(family: &Family<'_>) -> Option<Line> {
    let groups = family.groups.len();
    let words = match groups {
        ..2 => return None,
        _ if family.recursion => format!(" ({groups} depths of recursion)"),
        _ => format!(" ({groups} ways to here)"),
    };
    Some(Line::new().put(Tone::Dim, words))
}

/// Where the callers of a family part, one row each.
fn branches(
    page: &mut Page<'_>,
    snapshot: &Snapshot<'_>,
    members: &Members<'_>,
    start: usize,
    room: usize,
) -> io::Result<()> {
    let Family { groups, shared, recursion } = &members.family;
    if *recursion || groups.len() < 2 || groups.len() > room {
        return Ok(());
    }
    for group in groups {
        let frames = way(group, snapshot);
        let words = format!("from {} ×  ", words::number(group.threads.len() as u64));
        let line = Line::indented(start + 2).put(Tone::Dim, words);
        match frames.get(*shared..) {
            Some(rest @ [_, ..]) => flow(page, snapshot, line, rest, None, start + 4)?,
            _ => page.line(line.put(Tone::Dim, "no further caller"), start + 4)?,
        }
    }
    Ok(())
}

pub(super) fn step(frame: &Frame<'_>, snapshot: &Snapshot<'_>, width: usize) -> Line {
    let (name, reason) = stack::title(frame, snapshot, width);
    let line = Line::new().put(Tone::Name, name);
    let line = match &frame.location {
        Some(location) => line.plain(" ").put(Tone::Plain, position(location)),
        None => line,
    };
    match reason {
        Some(reason) => line.put(Tone::Dim, format!(" ({reason})")),
        None => line,
    }
}

/// `innermost < its caller < …, created by …`, as many as fit.
fn one_row(
    page: &mut Page<'_>,
    snapshot: &Snapshot<'_>,
    frames: &[&Frame<'_>],
    tail: Option<Line>,
    creator: Option<Line>,
    start: usize,
) -> io::Result<()> {
    let line = Line::indented(start.min(page.width() / 2));
    let end = match (tail, creator) {
        (Some(tail), Some(creator)) => Some(tail.plain("  ").join(creator)),
        (None, Some(creator)) if frames.is_empty() => Some(creator),
        (None, Some(creator)) => Some(Line::new().plain("  ").join(creator)),
        (None, None) if frames.is_empty() => return Ok(()),
        (tail, None) => tail,
    };
    flow(page, snapshot, line, frames, end, start + 2)
}

/// Frames behind what the line begins with, as many as fit before its end.
pub(super) fn flow(
    page: &mut Page<'_>,
    snapshot: &Snapshot<'_>,
    mut line: Line,
    frames: &[&Frame<'_>],
    end: Option<Line>,
    hang: usize,
) -> io::Result<()> {
    let width = page.width();
    let reserved = end.as_ref().map_or(0, Line::columns);
    for (number, frame) in frames.iter().enumerate() {
        let next = step(frame, snapshot, width / 2);
        let more = if number + 1 < frames.len() { 4 } else { 0 };
        if number > 0 && line.columns() + 3 + next.columns() + more + reserved > width {
            line = line.plain(" < …");
            break;
        }
        line = if number > 0 { line.plain(" < ") } else { line };
        line = line.join(next);
    }
    page.line(end.into_iter().fold(line, Line::join), hang)
}
