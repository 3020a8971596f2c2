//! All threads wait for each other, without a lock between them.

use std::collections::{BTreeMap, BTreeSet};

use necropsy_model::{Activity, Confidence, Evidence, Finding, Role, Severity, Source, Thread, Wait, WaitKind};

use super::{advice, hang_core};
use crate::wait_graph::{WaitGraph, own_frame, wait};
use crate::{Case, Rule};

pub(crate) static RULE: Rule = Rule { id: "pool-starved", doc: include_str!("pool_starved.md"), check };

/// Workers in one place from which it is a pool.
const WORKERS: usize = 2;

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let snapshot = case.snapshot;
    let present: BTreeSet<_> = snapshot.threads.iter().map(|thread| thread.id).collect();
    // Behind a lock whose holder nobody knows may be a circle of locks, and behind one that has ended is another rule.
    let by_others = |wait: &Wait<'_>| match wait.kind {
        WaitKind::Condition | WaitKind::Semaphore => true,
        _ => wait.owner.is_some_and(|owner| present.contains(&owner)),
    };
    let helpless = |thread: &Thread<'_>| {
        let inside = matches!(snapshot.activity(thread), Activity::Signal | Activity::Lock | Activity::Idle);
        inside && wait(thread).is_some_and(|wait| !wait.limited && by_others(wait))
    };
    if !hang_core::is_hang(case) || !snapshot.threads.iter().all(helpless) || !WaitGraph::of(snapshot).cycles.is_empty()
    {
        return Vec::new();
    }
    let mut places: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, thread) in snapshot.threads.iter().enumerate() {
        let for_signal =
            wait(thread).is_some_and(|wait| matches!(wait.kind, WaitKind::Condition | WaitKind::Semaphore));
        let place = snapshot.place(index, own_frame(snapshot, thread), Role::Waiter);
        if let Some(function) = place.and_then(|place| place.function).filter(|_| for_signal) {
            places.entry(function.into_owned()).or_default().push(index);
        }
    }
    let Some((function, workers)) = places.into_iter().max_by_key(|(_, workers)| workers.len()) else {
        return Vec::new();
    };
    let Some(&first) = workers.first().filter(|_| workers.len() >= WORKERS) else { return Vec::new() };
    let Some(thread) = snapshot.threads.get(first) else { return Vec::new() };
    let source = wait(thread).map_or(thread.source, |wait| wait.source);
    vec![Finding {
        rule: RULE.id,
        severity: Severity::Warning,
        confidence: Confidence::Medium,
        title: format!("{} threads wait in {function} for a signal that nobody is left to give", workers.len()),
        places: snapshot.place(first, own_frame(snapshot, thread), Role::Waiter).into_iter().collect(),
        evidence: vec![
            Evidence::new(
                format!("{} waits for a signal without a limit of time", crate::rules::called(thread)),
                source,
            ),
            Evidence::new(
                format!("all {} threads wait for another thread of the process", snapshot.threads.len()),
                Source::DUMP,
            ),
        ],
        next: vec![advice(RULE.doc)],
    }]
}

#[cfg(test)]
mod tests {
    use necropsy_model::{
        Activity, Avma, Frame, Memory, Region, Snapshot, Source, Stack, State, Thread, ThreadId, Wait, WaitKind,
    };

    use super::RULE;
    use crate::rules::native::samples::fired;

    fn pool(others: Activity, limited: bool) -> Snapshot<'static> {
        let mut snapshot = Snapshot::default();
        let (start, end) = (Avma(0x1000), Avma(0x2000));
        let region = Region { start, end, permissions: None, bytes: &[], dumped: 0, file: None };
        snapshot.memory = Memory::new(vec![region]);
        for id in 1..=4 {
            let activity = if id == 4 { others } else { Activity::Signal };
            let frames = snapshot.add_frame(Frame::printed("settle", None)).into_iter().collect();
            let mut thread = Thread::new(ThreadId(id), Source::offset(id));
            thread.stack = snapshot.add_stack(Stack { frames, ..Stack::default() });
            thread.state = snapshot.intern_state(State { text: activity.name().into(), activity });
            let source = thread.source;
            thread.detail_mut().waits_on =
                Some(Wait { kind: WaitKind::Condition, lock: None, owner: None, limited, source });
            snapshot.threads.push(thread);
        }
        snapshot
    }

    #[test]
    fn fires() {
        assert!(fired(&RULE, &pool(Activity::Signal, false)));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!fired(&RULE, &pool(Activity::Io, false)), "one waits for the outside and may signal then");
        assert!(!fired(&RULE, &pool(Activity::Signal, true)), "they wake up by themselves");
        let mut locked = pool(Activity::Lock, false);
        if let Some(wait) = &mut locked.threads[3].detail_mut().waits_on {
            wait.kind = WaitKind::Lock;
        }
        assert!(!fired(&RULE, &locked), "the holder of a lock is not known");
    }
}
