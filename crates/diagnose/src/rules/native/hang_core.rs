//! A core of a process that did not crash.

use necropsy_model::{Activity, Evidence, Finding, Role, Runtime, Severity, Source, Thread, ThreadFlags};

use super::advice;
use crate::crash::{Crash, Kind};
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
        let title = match running.as_slice() {
            [] if total == 1 => "no crash: the only thread was waiting".to_owned(),
            [] => format!("no crash: all {total} threads were waiting"),
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
            evidence.push(Evidence::new("every thread was in a system call", Source::DUMP));
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
    fn keeps_quiet() {
        assert!(!fired(&RULE, &with_memory(stop(Signal::ABRT, -6, |_| {}))));
        assert!(!fired(&RULE, &with_memory(stop(Signal::ILL, -6, |_| {}))));
    }
}
