//! A core of a process that did not crash.

use std::collections::BTreeMap;

use necropsy_model::{Activity, Evidence, Finding, Role, Runtime, Severity, Source, Thread, ThreadFlags};

use super::advice;
use crate::crash::{Crash, Kind};
use crate::wait_graph::{own_frame, wait};
use crate::{Case, Rule, confidence};

pub(crate) static RULE: Rule = Rule {
    id: "not-a-crash",
    doc: include_str!("hang_core.md"),
    check: |case| {
        if !is_hang(case) {
            return Vec::new();
        }
        let running: Vec<_> = running(case).collect();
        let goroutines = case.snapshot.threads.iter().filter(|thread| is_goroutine(case, thread)).count();
        let total = case.snapshot.threads.len() - goroutines;
        let unknown = unknown(case);
        let title = match running.as_slice() {
            [] if unknown == total && total == 1 => {
                "the dump tells neither a signal nor what the only thread did".to_owned()
            }
            [] if unknown == total => format!("the dump tells neither a signal nor what its {total} threads did"),
            [] if unknown > 0 => {
                format!(
                    "no signal is told: {} of {total} threads were waiting, and what the rest did is not known",
                    total - unknown
                )
            }
            [] if total == 1 => "no crash: the only thread was waiting".to_owned(),
            [] => format!("no crash: all {total} threads were waiting{}", most(case)),
            [(_, one)] if total == 1 => format!("no crash: the only thread, {}, was running", one.id),
            [(_, one)] if total == 2 => format!("no crash: thread {} was running, the other was waiting", one.id),
            [(_, one)] => format!("no crash: thread {} was running, {} others were waiting", one.id, total - 1),
            more => format!("no crash: {} of {total} threads were running", more.len()),
        };
        let title = match goroutines {
            0 => title,
            1 => format!("{title}; 1 goroutine was on none of them"),
            more => format!("{title}; {} goroutines were on none of them", crate::go::number(more)),
        };
        let mut evidence: Vec<_> = running
            .iter()
            .map(|(_, thread)| {
                let cpu = thread.detail.as_ref().and_then(|detail| detail.cpu);
                let cpu = cpu.map(|cpu| format!(", {:.2} s of CPU time", cpu.as_secs_f64())).unwrap_or_default();
                Evidence::new(format!("thread {} was in no system call{cpu}", thread.id), thread.source)
            })
            .collect();
        if evidence.is_empty() {
            let text = match unknown {
                0 => "every thread was in a system call".to_owned(),
                1 => "of 1 thread neither the system call nor the function it waits in is known".to_owned(),
                more => format!("of {more} threads neither the system call nor the function they wait in is known"),
            };
            evidence.push(Evidence::new(text, Source::DUMP));
        }
        let places = running.iter().filter_map(|&(index, _)| case.snapshot.place(index, 0, Role::Related)).collect();
        let (severity, confidence, next) = (Severity::Note, confidence::of_hang(case), vec![advice(RULE.doc)]);
        vec![Finding { rule: RULE.id, severity, confidence, title, places, evidence, next }]
    },
};

/// The dump shows a native process that was stopped from outside.
pub(crate) fn is_hang(case: &Case<'_, '_>) -> bool {
    let asked_for = case.snapshot.stop.as_ref().is_none_or(|stop| stop.signal.is_none());
    let sent = || Crash::of(case).is_some_and(|crash| crash.kind() == Some(Kind::SignalSent) && !crash.raised_itself());
    // Of a process that died a tool prints the signal too.
    let native = !case.snapshot.memory.is_empty() || case.snapshot.process.runtime == Some(Runtime::Native);
    native && !case.snapshot.threads.is_empty() && (asked_for || sent())
}

/// What most threads that wait for others have in common: the wait, and the function of the program that waits.
fn most(case: &Case<'_, '_>) -> String {
    let snapshot = case.snapshot;
    let mut places: BTreeMap<(String, String), usize> = BTreeMap::new();
    let waits = |thread: &Thread<'_>| wait(thread).is_some() && !is_goroutine(case, thread);
    for (index, thread) in snapshot.threads.iter().enumerate().filter(|(_, thread)| waits(thread)) {
        let state = thread.state.and_then(|id| snapshot.state(id)).map(|state| state.text.to_string());
        let place = snapshot.place(index, own_frame(snapshot, thread), Role::Waiter);
        let (Some(state), Some(function)) = (state, place.and_then(|place| place.function)) else { continue };
        if let Some(what) = state.strip_prefix("waits ") {
            *places.entry((what.to_owned(), function.into_owned())).or_default() += 1;
        }
    }
    let (what, count) = places.into_iter().max_by_key(|(_, count)| *count).unwrap_or_default();
    if count > 1 { format!(", {count} of them {} in {}", what.0, what.1) } else { String::new() }
}

/// Nothing is known of what any thread did.
pub(crate) fn tells_nothing(case: &Case<'_, '_>) -> bool {
    case.snapshot.threads.iter().all(|thread| case.snapshot.activity(thread) == Activity::Unknown)
}

/// Threads of which it is not known what they did.
fn unknown(case: &Case<'_, '_>) -> usize {
    let threads = case.snapshot.threads.iter().filter(|thread| !is_goroutine(case, thread));
    threads.filter(|thread| case.snapshot.activity(thread) == Activity::Unknown).count()
}

/// A goroutine that no thread runs, which stands among the threads of a core.
fn is_goroutine(case: &Case<'_, '_>, thread: &Thread<'_>) -> bool {
    case.snapshot.process.runtime == Some(Runtime::Go) && thread.flags.contains(ThreadFlags::VIRTUAL)
}

/// Threads that ran, with their indexes.
pub(crate) fn running<'a, 'data>(case: &Case<'a, 'data>) -> impl Iterator<Item = (usize, &'a Thread<'data>)> {
    let snapshot = case.snapshot;
    let threads = snapshot.threads.iter().enumerate();
    threads.filter(|(_, thread)| snapshot.activity(thread) == Activity::Running)
}

#[cfg(test)]
mod tests {
    use necropsy_model::{Avma, Memory, Region, Signal, Snapshot};

    use super::RULE;
    use crate::rules::native::samples::{fired, stop};

    fn with_memory(mut snapshot: Snapshot<'static>) -> Snapshot<'static> {
        let (start, end) = (Avma(0x1000), Avma(0x2000));
        snapshot.memory =
            Memory::new(vec![Region { start, end, permissions: None, bytes: &[], dumped: 0, file: None }]);
        snapshot
    }

    #[test]
    fn fires() {
        assert!(fired(&RULE, &with_memory(stop(Signal::ABRT, 0, |_| {}))));
    }

    #[test]
    fn fires_for_printed_stacks() {
        let mut snapshot = stop(Signal::ABRT, 0, |_| {});
        assert!(!fired(&RULE, &snapshot));
        snapshot.process.runtime = Some(necropsy_model::Runtime::Native);
        snapshot.stop = None;
        assert!(fired(&RULE, &snapshot));
    }

    #[test]
    fn what_is_not_known_was_not_waiting() {
        let mut snapshot = with_memory(stop(Signal::ABRT, 0, |_| {}));
        snapshot.stop = None;
        let title = |snapshot: &Snapshot<'static>| {
            let groups = necropsy_model::Groups::default();
            let case = crate::Case { snapshot, groups: &groups, noise: &crate::Noise::default() };
            (RULE.check)(&case).remove(0).title
        };
        assert_eq!(title(&snapshot), "the dump tells neither a signal nor what the only thread did");
        let text = "in poll".into();
        let state = snapshot.intern_state(necropsy_model::State { text, activity: necropsy_model::Activity::Io });
        snapshot.threads[0].state = state;
        assert_eq!(title(&snapshot), "no crash: the only thread was waiting");
    }

    #[test]
    fn keeps_quiet() {
        assert!(!fired(&RULE, &with_memory(stop(Signal::ABRT, -6, |_| {}))));
        assert!(!fired(&RULE, &with_memory(stop(Signal::ILL, -6, |_| {}))));
    }
}
