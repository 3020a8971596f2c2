//! A lock that one thread held all the time while others waited for it.

use std::collections::BTreeMap;

use necropsy_model::{Confidence, Motion, PairFinding, Role, Severity, ThreadId, WaitKind};

use super::words::{at, called, count, noun, within};
use super::{PairCase, PairRule};
use crate::wait_graph::wait;

pub(super) static RULE: PairRule = PairRule {
    id: "same-holder",
    doc: "\
# What it means
Threads wait for a lock in both dumps, and one thread held it in both: it stands where it stood, or computes without leaving a
function. The queue behind it does not move.
# Why it matters
The waiters are innocent. What the holder waits for, or computes, is the trouble.
# How it can be wrong
The holder may have given the lock back and taken it again between the dumps; then it moved, and this rule says so.
# What to do
Look at the holder: what it does under the lock, and whether that has a time limit.
",
    check,
};

fn check<'data>(case: &PairCase<'_, 'data>) -> Vec<PairFinding<'data>> {
    let circles = case.after.verdict.deadlocks.iter().flat_map(|deadlock| &deadlock.threads).map(|thread| thread.id);
    let circles: Vec<ThreadId> = circles.collect();
    let mut queues: BTreeMap<ThreadId, usize> = BTreeMap::new();
    for pair in &case.comparison.pairs {
        let owner = |thread: Option<&necropsy_model::Thread<'_>>| lock_owner(thread?);
        let (was, is) = (owner(case.was(pair)), owner(case.is(pair)));
        if let Some(owner) = is.filter(|_| was == is && pair.motion == Motion::Still) {
            *queues.entry(owner).or_default() += 1;
        }
    }
    queues.retain(|owner, _| !circles.contains(owner));
    // Who waits for somebody else is not the head of the queue.
    let waits: Vec<ThreadId> = case
        .comparison
        .pairs
        .iter()
        .filter_map(|pair| case.is(pair))
        .filter(|thread| lock_owner(thread).is_some())
        .map(|thread| thread.id)
        .collect();
    let heads = queues.iter().filter(|(owner, _)| !waits.contains(owner));
    heads.filter_map(|(&owner, &waiters)| finding(case, owner, waiters)).collect()
}

/// The thread that holds what a thread wants. One that waits for another to end waits for no lock.
fn lock_owner(thread: &necropsy_model::Thread<'_>) -> Option<ThreadId> {
    let wait = wait(thread)?;
    let lock = matches!(wait.kind, WaitKind::Lock | WaitKind::ReadLock | WaitKind::WriteLock | WaitKind::ClassInit);
    wait.owner.filter(|_| lock)
}

fn finding<'data>(case: &PairCase<'_, 'data>, owner: ThreadId, waiters: usize) -> Option<PairFinding<'data>> {
    let snapshot = case.after.snapshot;
    let pair = case.comparison.pairs.iter().find(|pair| case.is(pair).is_some_and(|thread| thread.id == owner))?;
    let thread = case.is(pair)?;
    let busy = case.is_busy(pair);
    let still = pair.is_stuck();
    let place = case.place(pair, Role::Holder);
    let words = place.as_ref().map_or_else(|| "an unknown place".to_owned(), at);
    let name = called(snapshot, thread);
    let queue = count(waiters, noun(snapshot));
    let did = match (still, busy) {
        (true, _) => format!("stands in {words}"),
        (false, true) => format!("computes in {words}"),
        (false, false) => format!("went on, and is now in {words}"),
    };
    let verb = if waiters == 1 { "waits" } else { "wait" };
    let title =
        format!("{name} holds in both dumps what {queue} {verb} for{}, and {did}", within(case.comparison.elapsed));
    Some(PairFinding {
        rule: RULE.id,
        severity: if still || busy { Severity::Critical } else { Severity::Warning },
        confidence: if still || busy { Confidence::High } else { Confidence::Low },
        title,
        places: place.into_iter().collect(),
        evidence: vec![
            case.evidence(
                pair,
                format!("{name} {did}; {queue} {verb} for a lock of it in both dumps, at the same line"),
            ),
        ],
        threads: vec![owner],
        next: vec!["look at what the holder does under the lock, and give that a time limit".to_owned()],
    })
}

#[cfg(test)]
mod tests {
    use super::super::samples::{queue, stuck};
    use super::RULE;

    #[test]
    fn fires() {
        let found = queue(1, 1).found(&RULE);
        assert!(
            found[0].title.starts_with("\"worker-1\" holds in both dumps what 2 threads wait for in 10.0 s"),
            "{}",
            found[0].title
        );
    }

    #[test]
    fn keeps_quiet() {
        assert!(queue(1, 2).found(&RULE).is_empty(), "the lock went from hand to hand");
        assert!(stuck(3).found(&RULE).is_empty());
    }
}
