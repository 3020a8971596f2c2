//! Threads that wait for each other in a circle.

use std::collections::BTreeSet;

use necropsy_model::{Confidence, Evidence, Finding, Severity, Text, WaitKind};

use crate::wait_graph::{WaitGraph, wait};
use crate::{Case, Rule};

pub(super) static RULE: Rule = Rule {
    id: "deadlock",
    doc: "\
# What it means
Each thread of a circle waits for a lock that the next one holds. None of them can ever go on, and neither can anybody who
wants one of these locks.
# Why it matters
It does not pass: only a restart ends it, and the same order of locks brings it back.
# How it can be wrong
A wait with a time limit (`tryLock` with a timeout) ends by itself. A thread in `Object.wait` does not hold the monitor, and
is not counted as its holder. A queue of threads behind one that works is a convoy, not a deadlock.
# What to do
Take the locks in one order everywhere, or take both under one lock; keep the dump before the restart.
",
    check,
};

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let graph = WaitGraph::of(case.snapshot);
    let reported: BTreeSet<Vec<&str>> =
        case.snapshot.jvm.iter().flat_map(|jvm| &jvm.reported_deadlocks).map(sorted).collect();
    let behind = graph.behind();
    let cycles = graph.cycles.iter().zip(behind);
    cycles.filter_map(|(cycle, behind)| finding(case, &graph, cycle, behind, &reported)).collect()
}

fn sorted<'a>(names: &'a Vec<Text<'_>>) -> Vec<&'a str> {
    let mut names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    names.sort_unstable();
    names
}

fn finding<'data>(
    case: &Case<'_, 'data>,
    graph: &WaitGraph<'_, 'data>,
    cycle: &[usize],
    behind: usize,
    reported: &BTreeSet<Vec<&str>>,
) -> Option<Finding<'data>> {
    let snapshot = case.snapshot;
    let threads: Vec<_> = cycle.iter().filter_map(|&at| snapshot.threads.get(at)).collect();
    let names: Vec<String> = threads.iter().map(|thread| super::called(thread)).collect();
    let first = threads.first()?;
    let classes = threads.iter().all(|thread| wait(thread).is_some_and(|wait| wait.kind == WaitKind::ClassInit));
    let what = if classes { "class-initialisation deadlock" } else { "deadlock" };
    let mut title = match names.as_slice() {
        [one] => format!("{what}: {one} waits for itself"),
        [a, b] => format!("{what}: {a} and {b} wait for each other"),
        more => format!("{what}: {} threads wait in a circle: {}", more.len(), super::few(more)),
    };
    let behind = match behind {
        0 => String::new(),
        1 => "; 1 more thread waits behind them".to_owned(),
        behind => format!("; {behind} more threads wait behind them"),
    };
    title.push_str(&behind);
    let mut evidence = Vec::new();
    let mut places = Vec::new();
    for (&at, thread) in cycle.iter().zip(&threads) {
        let Some(wait) = wait(thread) else { continue };
        let owner = graph.owner(at).and_then(|at| snapshot.threads.get(at));
        let owner = owner.filter(|_| wait.kind != WaitKind::Join);
        let held = owner.map(|owner| format!(", held by {}", super::called(owner))).unwrap_or_default();
        evidence.push(Evidence::new(
            format!("{} waits for {}{held}", super::called(thread), super::lock(wait)),
            wait.source,
        ));
        places.extend(snapshot.place(at, crate::wait_graph::own_frame(snapshot, thread), necropsy_model::Role::Waiter));
    }
    if snapshot.jvm.is_some() {
        let mut own: Vec<&str> = threads.iter().filter_map(|thread| thread.name()).collect();
        own.sort_unstable();
        let text = if reported.contains(&own) {
            "the virtual machine reports the same circle"
        } else {
            "the virtual machine reports no such circle; the locks that the threads list prove it"
        };
        evidence.push(Evidence::new(text, first.source));
    }
    let timed = threads.iter().any(|thread| wait(thread).is_some_and(|wait| wait.limited));
    let inferred =
        threads.iter().any(|thread| thread.detail.as_ref().is_some_and(|detail| !detail.by_guard.is_empty()));
    if inferred {
        evidence.push(Evidence::new(
            "these locks do not name their holders: guards among the variables on the stacks do",
            first.source,
        ));
    }
    let next = if classes {
        "let the static initialisers not use each other: move what they share to a third class; only a restart frees this process"
    } else {
        "take these locks in the same order in every thread; only a restart frees this process"
    };
    Some(Finding {
        rule: RULE.id,
        severity: Severity::Critical,
        confidence: if timed || inferred { Confidence::Medium } else { Confidence::High },
        title,
        places,
        evidence,
        next: vec![next.to_owned()],
    })
}

#[cfg(test)]
mod tests {
    use necropsy_model::Snapshot;

    use super::RULE;
    use crate::rules::lock_convoy::tests::waiting;
    use crate::rules::native::samples::fired;

    #[test]
    fn fires() {
        assert!(fired(&RULE, &waiting(&[Some(1), Some(0)])));
        assert!(fired(&RULE, &waiting(&[Some(1), Some(2), Some(0), Some(0)])));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!fired(&RULE, &waiting(&[None, Some(0), Some(1)])), "a convoy is no deadlock");
        assert!(!fired(&RULE, &Snapshot::default()));
    }
}
