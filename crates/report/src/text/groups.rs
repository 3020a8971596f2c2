//! Threads by group: the interesting ones with their way, the healthy background folded into one line.

use std::io;

use necropsy_model::{Activity, Frame, FrameKind, Group, Snapshot, SourceKind, Symptom, Thread, WaitSpread};

use super::clean::{clean, middle};
use super::page::{Line, Page, Tone};
use super::places::position;
use super::{hangs, noun, stack, words};
use crate::Report;

/// Groups that are listed; a dump of ten thousand goroutines is to fit on a screen.
const GROUPS: usize = 5;

/// Rows for the ways of all groups together: in a dump of many threads it is the counts that tell, in one of few the stacks.
const ROWS_OF_MANY: usize = 12;
const ROWS_OF_FEW: usize = 24;

/// Threads that are many.
const MANY: usize = 100;

/// Names of members that are listed.
const NAMES: usize = 3;

pub(super) fn write(page: &mut Page<'_>, report: &Report<'_, '_>) -> io::Result<()> {
    let snapshot = report.snapshot;
    let stopped = snapshot.stop.as_ref().and_then(|stop| stop.thread).filter(|_| !hangs(report));
    let all: Vec<_> = report.groups.groups.iter().map(|group| Members::of(group, stopped)).collect();
    let total: usize = all.iter().map(|members| members.count).sum();
    if total == 0 {
        return Ok(());
    }
    let (background, mut front): (Vec<_>, Vec<_>) =
        all.into_iter().filter(|members| members.count > 0).partition(|members| members.group.background);
    if report.verdict.symptom == Symptom::HangBusy {
        // One thread that runs says more than a hundred that wait.
        front.sort_by_key(|members| activity(members.group, snapshot) != Activity::Running);
    }
    let heading = match (stopped, noun(snapshot)) {
        (Some(_), "goroutine") => "OTHER GOROUTINES",
        (Some(_), _) => "OTHER THREADS",
        (None, "goroutine") => "GOROUTINES",
        (None, _) => "THREADS",
    };
    let groups = words::count(front.len() + background.len(), "group");
    let mut beside = Line::new().plain(format!("{} in {groups}", words::number(total as u64)));
    if report.groups.filtered_out > 0 {
        beside = beside.plain(format!(", {} left out by the filter", words::number(report.groups.filtered_out as u64)));
    }
    page.heading(heading, beside)?;
    let most = if page.style.all { usize::MAX } else { GROUPS };
    let shown = front.len().min(most);
    let rows = if total < MANY { ROWS_OF_FEW } else { ROWS_OF_MANY } / shown.max(1);
    let digits = front.iter().map(|members| words::number(members.count as u64).len()).max().unwrap_or(1);
    for members in front.iter().take(most) {
        write_one(page, snapshot, members, total, digits, rows)?;
    }
    if front.len() > most {
        let rest: usize = front.iter().skip(GROUPS).map(|members| members.count).sum();
        let groups = words::count(front.len() - GROUPS, "more group");
        let words = format!("… {groups} with {}; --all lists them", words::count(rest, noun(snapshot)));
        page.line(Line::indented(2).put(Tone::Dim, words), 4)?;
    }
    if page.style.all {
        for members in &background {
            write_one(page, snapshot, members, total, digits, 2)?;
        }
    } else if !background.is_empty() {
        let rest: usize = background.iter().map(|members| members.count).sum();
        let (threads, groups) = (words::count(rest, noun(snapshot)), words::count(background.len(), "group"));
        let words = format!("idle background: {threads} in {groups}; --all lists them");
        page.line(Line::indented(2).put(Tone::Dim, words), 4)?;
    }
    Ok(())
}

fn activity(group: &Group, snapshot: &Snapshot<'_>) -> Activity {
    group.state.and_then(|id| snapshot.state(id)).map(|state| state.activity).unwrap_or_default()
}

/// A group without the thread that has a section of its own.
struct Members<'a> {
    group: &'a Group,
    count: usize,
    left_out: Option<u32>,
}

impl<'a> Members<'a> {
    fn of(group: &'a Group, stopped: Option<usize>) -> Self {
        let stopped = stopped.and_then(|index| u32::try_from(index).ok());
        // Members are in ascending order.
        let left_out = stopped.filter(|index| group.threads.binary_search(index).is_ok());
        Self { group, count: group.threads.len() - usize::from(left_out.is_some()), left_out }
    }

    fn threads<'s, 'data>(&self, snapshot: &'s Snapshot<'data>) -> impl Iterator<Item = &'s Thread<'data>> {
        let indexes = self.group.threads.iter().filter(|&&index| Some(index) != self.left_out);
        indexes.filter_map(|&index| snapshot.threads.get(index as usize))
    }
}

fn write_one(
    page: &mut Page<'_>,
    snapshot: &Snapshot<'_>,
    members: &Members<'_>,
    total: usize,
    digits: usize,
    rows: usize,
) -> io::Result<()> {
    let group = members.group;
    let count = words::number(members.count as u64);
    let mut line = Line::new().put(Tone::Strong, format!("  {count:>digits$} ×  "));
    let start = line.columns();
    let state = group.state.and_then(|id| snapshot.state(id));
    let mut facts: Vec<_> = group.title.iter().map(|title| clean(title).into_owned()).collect();
    if total >= MANY && members.count * 100 >= total {
        facts.push(words::percent(members.count, total));
    }
    facts.extend(state.filter(|_| group.title.is_none()).map(|state| clean(&state.text).into_owned()));
    facts.extend(group.waited.map(|spread| waited(spread, group.threads.len())));
    facts.extend(cpu(members, snapshot));
    let tone = match activity(group, snapshot) {
        Activity::Never | Activity::Lock => Tone::Bad,
        Activity::Running => Tone::Strong,
        _ => Tone::Plain,
    };
    line = line.put(tone, facts.join(", "));
    let gap = if line.columns() > start { "  " } else { "" };
    page.line(line.plain(gap).join(sample(members, snapshot)), start)?;
    way(page, snapshot, group, start, rows)
}

/// Waiting times of a group. The dump's minutes are rounded down: "or more" is what they mean.
fn waited(spread: WaitSpread, of: usize) -> String {
    let WaitSpread { min_s, median_s, max_s, known } = spread;
    let [min, median, max] = [min_s, median_s, max_s].map(words::seconds);
    let time = if min_s == max_s { format!("{min} or more") } else { format!("{min} to {max}, median {median}") };
    let some = if known < of { format!(", said of {}", words::number(known as u64)) } else { String::new() };
    format!("waiting {time}{some}")
}

/// CPU time of the members together, and of the busiest.
fn cpu(members: &Members<'_>, snapshot: &Snapshot<'_>) -> Option<String> {
    let times = || {
        let known = |thread: &Thread<'_>| Some((thread.detail.as_ref()?.cpu?, thread.id));
        members.threads(snapshot).filter_map(known)
    };
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
fn way(page: &mut Page<'_>, snapshot: &Snapshot<'_>, group: &Group, start: usize, rows: usize) -> io::Result<()> {
    let frames: Vec<_> = group.stack.and_then(|id| snapshot.stack(id)).iter().flat_map(|stack| &stack.frames).collect();
    let frames: Vec<_> = frames.into_iter().filter_map(|&id| snapshot.frame(id)).collect();
    // Frames of the runtime itself at the top say how it waits, which the state says better.
    let own = frames.iter().position(|frame| frame.kind != FrameKind::Runtime).unwrap_or(0);
    let frames = frames.get(own..).unwrap_or_default();
    let creator = group.created_by.and_then(|id| snapshot.frame(id));
    let creator =
        creator.map(|frame| Line::new().put(Tone::Dim, "created by ").join(step(frame, snapshot, page.width())));
    if rows < 5 {
        return one_row(page, snapshot, frames, creator, start);
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
    match creator {
        Some(creator) => page.line(Line::indented(start).join(creator), start + 2),
        None => Ok(()),
    }
}

fn step(frame: &Frame<'_>, snapshot: &Snapshot<'_>, width: usize) -> Line {
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
    creator: Option<Line>,
    start: usize,
) -> io::Result<()> {
    let width = page.width();
    let mut line = Line::indented(start.min(width / 2));
    let reserved = creator.as_ref().map_or(0, |creator| creator.columns() + 2);
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
    let line = match creator {
        Some(creator) if frames.is_empty() => line.join(creator),
        Some(creator) => line.plain("  ").join(creator),
        None if frames.is_empty() => return Ok(()),
        None => line,
    };
    page.line(line, start + 2)
}
