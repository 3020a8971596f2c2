//! Cycles of threads that wait for each other, told as a cycle.

use std::io;

use necropsy_model::{Deadlock, DeadlockThread, Lock, WaitKind};

use super::clean::{clean, middle};
use super::page::{Line, Page, Tone};
use super::{places, words};
use crate::Report;

/// Cycles, and threads of one cycle, that are shown; the rest is in the JSON.
const CYCLES: usize = 4;
const THREADS: usize = 12;

pub(super) fn write(page: &mut Page<'_>, report: &Report<'_, '_>) -> io::Result<()> {
    let deadlocks = &report.verdict.deadlocks;
    for deadlock in deadlocks.iter().take(CYCLES) {
        let size = deadlock.threads.len();
        let words = match size {
            1 => "one thread waits for itself".to_owned(),
            _ => format!("{} wait for each other", words::count(size, super::noun(report.snapshot))),
        };
        page.heading("DEADLOCK", Line::new().put(Tone::Bad, words))?;
        cycle(page, deadlock)?;
    }
    match deadlocks.len().checked_sub(CYCLES) {
        Some(more @ 1..) => {
            let words = format!("… {}, all in --json", words::count(more, "more cycle"));
            page.line(Line::indented(2).put(Tone::Dim, words), 4)
        }
        _ => Ok(()),
    }
}

fn cycle(page: &mut Page<'_>, deadlock: &Deadlock<'_>) -> io::Result<()> {
    let threads = &deadlock.threads;
    for (index, thread) in threads.iter().enumerate().take(THREADS) {
        let next = threads.get(index + 1).or(threads.first()).unwrap_or(thread);
        let mut line = Line::indented(2).join(called(thread));
        if !thread.holds.is_empty() {
            let held: Vec<_> = thread.holds.iter().take(4).map(lock).collect();
            let more = if thread.holds.len() > 4 { ", …" } else { "" };
            line = line.plain(" holds ").plain(held.join(", ")).plain(more).plain(" and");
        }
        line = line.plain(" waits for ").put(Tone::Bad, lock(&thread.waits_for));
        // What is waited for names a joined thread already.
        if thread.kind != WaitKind::Join || thread.waits_for.id != 0 {
            line = line.plain(", held by ").join(called(next));
        }
        if index + 1 == threads.len() && index > 0 {
            line = line.plain(": the cycle is closed");
        }
        page.line(line, 4)?;
        if let Some(at) = &thread.at {
            page.line(Line::indented(6).plain("at ").join(places::place(at, page.width())), 8)?;
        }
    }
    match threads.len().checked_sub(THREADS) {
        Some(more @ 1..) => {
            let words = format!("… {}, all in --json", words::count(more, "more thread"));
            page.line(Line::indented(2).put(Tone::Dim, words), 4)
        }
        _ => Ok(()),
    }
}

fn called(thread: &DeadlockThread<'_>) -> Line {
    match &thread.name {
        Some(name) => {
            let name = format!("\"{}\"", middle(&clean(name), 40));
            Line::new().put(Tone::Strong, name).plain(format!(" ({})", thread.id))
        }
        None => Line::new().put(Tone::Strong, format!("thread {}", thread.id)),
    }
}

fn lock(lock: &Lock<'_>) -> String {
    match &lock.name {
        // A class that is being initialised is waited for by its name.
        Some(name) if lock.id == 0 => middle(&clean(name), 60).to_string(),
        Some(name) => format!("{} ({:#x})", middle(&clean(name), 60), lock.id),
        None => format!("{:#x}", lock.id),
    }
}
