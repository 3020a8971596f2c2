//! All threads, for `--threads`. Threads with the very same stack share an entry.

use std::collections::HashMap;
use std::io;

use necropsy_model::{Snapshot, Thread};

use super::clean::{clean, middle};
use super::page::{Line, Page, Tone};
use super::{noun, stack, words};
use crate::Report;

pub(super) fn write(page: &mut Page<'_>, report: &Report<'_, '_>) -> io::Result<()> {
    let snapshot = report.snapshot;
    if snapshot.threads.is_empty() {
        return Ok(());
    }
    let alike = alike(snapshot);
    let heading = if noun(snapshot) == "goroutine" { "GOROUTINES" } else { "THREADS" };
    page.heading(heading, Line::new().plain(words::number(snapshot.threads.len() as u64)))?;
    let stopped = snapshot.stop.as_ref().and_then(|stop| Some((stop.thread?, stop.frame)));
    for members in alike {
        let Some(&first) = members.first() else { continue };
        let Some(thread) = snapshot.threads.get(first) else { continue };
        let fault = stopped.filter(|&(index, _)| index == first).map(|(_, frame)| frame);
        page.line(title(&members, thread, snapshot, fault.is_some()), 4)?;
        stack::write(page, report, thread, fault.unwrap_or(0))?;
    }
    Ok(())
}

/// Indexes of threads by stack and state, in the order of the dump. The thread that stopped stands first and alone.
fn alike(snapshot: &Snapshot<'_>) -> Vec<Vec<usize>> {
    let stopped = snapshot.stop.as_ref().and_then(|stop| stop.thread).filter(|&index| index < snapshot.threads.len());
    let mut entries: Vec<Vec<usize>> = stopped.map(|index| vec![index]).into_iter().collect();
    let mut seen = HashMap::new();
    for (index, thread) in snapshot.threads.iter().enumerate().filter(|&(index, _)| Some(index) != stopped) {
        let named = thread.detail.as_ref().is_some_and(|detail| detail.cpu.is_some() || detail.name.is_some());
        // A thread with a name or a CPU time of its own is worth its own entry.
        let own = named.then_some(index);
        let entry = *seen.entry((thread.stack, thread.state, own)).or_insert(entries.len());
        match entries.get_mut(entry) {
            Some(members) => members.push(index),
            None => entries.push(vec![index]),
        }
    }
    entries
}

fn title(members: &[usize], first: &Thread<'_>, snapshot: &Snapshot<'_>, stopped: bool) -> Line {
    let mut line = if let [_] = members {
        stack::called(first, snapshot)
    } else {
        let ids: Vec<_> = members.iter().filter_map(|&index| snapshot.threads.get(index)).map(|it| it.id.0).collect();
        Line::new().plain(format!("{}: {}", words::count(members.len(), noun(snapshot)), ranges(&ids)))
    };
    if stopped {
        line = line.put(Tone::Bad, ", stopped the process");
    }
    if let Some(state) = first.state.and_then(|id| snapshot.state(id)) {
        line = line.plain(", ").plain(middle(&clean(&state.text), 60));
    }
    if let Some(waited) = first.waited().filter(|_| members.len() == 1) {
        line = line.plain(format!(", waiting {} or more", words::seconds(waited.as_secs())));
    }
    if let Some(cpu) = first.detail.as_ref().and_then(|detail| detail.cpu) {
        line = line.plain(format!(", CPU {}", words::cpu(cpu)));
    }
    line
}

/// `7, 9-12, 40`: ids in their order, neighbours joined.
fn ranges(ids: &[u64]) -> String {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for &id in ids {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(id) => *last = id,
            _ => runs.push((id, id)),
        }
    }
    let run = |&(first, last): &(u64, u64)| if first == last { first.to_string() } else { format!("{first}-{last}") };
    runs.iter().map(run).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_ids_are_joined() {
        assert_eq!(ranges(&[7, 9, 10, 11, 40, 41, u64::MAX]), format!("7, 9-11, 40-41, {}", u64::MAX));
        assert_eq!(ranges(&[3, 2, 1]), "3, 2, 1");
    }
}
