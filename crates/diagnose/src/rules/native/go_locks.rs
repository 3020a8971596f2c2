//! Locks that goroutines of a core wait for; Go records no holders.

use std::collections::BTreeMap;

use necropsy_model::{Confidence, Evidence, Finding, Role, Runtime, Severity, Snapshot, Thread, ThreadFlags};

use super::advice;
use crate::wait_graph::{own_frame, wait};
use crate::{Case, Rule};

pub(crate) static RULE: Rule = Rule { id: "go-locks-in-core", doc: include_str!("go_locks.md"), check };

/// Goroutines that may hold a lock which are named.
const SHOWN: usize = 3;

/// A lock with the indexes of those that wait for it and of those that may hold it.
#[derive(Default)]
struct Contested {
    waiters: Vec<usize>,
    candidates: Vec<usize>,
}

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let snapshot = case.snapshot;
    if snapshot.memory.is_empty() || snapshot.process.runtime != Some(Runtime::Go) {
        return Vec::new();
    }
    let goroutines = || snapshot.threads.iter().enumerate().filter(|(_, it)| it.flags.contains(ThreadFlags::VIRTUAL));
    let mut locks: BTreeMap<u64, Contested> = BTreeMap::new();
    for (index, thread) in goroutines() {
        if let Some(lock) = wait(thread).and_then(|wait| wait.lock.as_ref()) {
            locks.entry(lock.id).or_default().waiters.push(index);
        }
    }
    for (index, thread) in goroutines() {
        for lock in thread.detail.iter().flat_map(|detail| &detail.may_hold) {
            if let Some(contested) = locks.get_mut(lock) {
                contested.candidates.push(index);
            }
        }
    }
    let mut findings: Vec<_> =
        cycle(snapshot, &locks).and_then(|cycle| suspected(snapshot, &cycle)).into_iter().collect();
    let mut contested: Vec<_> = locks.values().collect();
    contested.sort_by_key(|lock| std::cmp::Reverse(lock.waiters.len()));
    findings.extend(contested.into_iter().filter_map(|lock| waiters(snapshot, lock)));
    findings
}

/// Goroutines each of which waits for a lock that, of those that wait for locks themselves, only the next one may hold.
fn cycle(snapshot: &Snapshot<'_>, locks: &BTreeMap<u64, Contested>) -> Option<Vec<usize>> {
    let next = |index: usize| {
        let lock = wait(snapshot.threads.get(index)?)?.lock.as_ref()?;
        // Who made the objects and sleeps now knows them all.
        let waits = |index: &usize| snapshot.threads.get(*index).and_then(wait).is_some_and(|wait| wait.lock.is_some());
        let mut waiting = locks.get(&lock.id)?.candidates.iter().copied().filter(waits);
        waiting.next().filter(|_| waiting.next().is_none())
    };
    let starts = locks.values().flat_map(|lock| lock.waiters.iter().copied());
    starts.into_iter().find_map(|start| {
        let mut path = vec![start];
        while let Some(further) = next(*path.last()?) {
            if further == start {
                return Some(path);
            }
            if path.contains(&further) {
                return None;
            }
            path.push(further);
        }
        None
    })
}

fn suspected<'data>(snapshot: &Snapshot<'data>, cycle: &[usize]) -> Option<Finding<'data>> {
    let threads: Vec<_> = cycle.iter().filter_map(|&index| Some((index, snapshot.threads.get(index)?))).collect();
    let names: Vec<String> = threads.iter().map(|(_, thread)| name(thread)).collect();
    let title = match names.as_slice() {
        [one] => format!("suspected deadlock: {one} waits for a lock that it may hold itself"),
        [a, b] => format!("suspected deadlock: {a} and {b} wait for locks that the other one may hold"),
        more => format!("suspected deadlock: {} goroutines wait in a circle: {}", more.len(), crate::rules::few(more)),
    };
    let mut evidence = Vec::new();
    for ((_, thread), holder) in threads.iter().zip(names.iter().cycle().skip(1)) {
        let wait = wait(thread)?;
        let text =
            format!("{} waits for {}, which the variables of {holder} lead to", name(thread), crate::rules::lock(wait));
        evidence.push(Evidence::new(text, wait.source));
    }
    let place =
        |&(index, thread): &(usize, &Thread<'data>)| snapshot.place(index, own_frame(snapshot, thread), Role::Waiter);
    Some(Finding {
        rule: RULE.id,
        severity: Severity::Critical,
        confidence: Confidence::Low,
        title,
        places: threads.iter().filter_map(place).collect(),
        evidence,
        next: vec![advice(RULE.doc)],
    })
}

fn waiters<'data>(snapshot: &Snapshot<'data>, lock: &Contested) -> Option<Finding<'data>> {
    let &first = lock.waiters.first()?;
    let thread = snapshot.threads.get(first)?;
    let wait = wait(thread)?;
    let who = match lock.waiters.len() {
        1 => format!("{} waits", name(thread)),
        more => format!("{} goroutines wait", crate::go::number(more)),
    };
    let place = snapshot.place(first, own_frame(snapshot, thread), Role::Waiter);
    let at =
        place.as_ref().and_then(|place| place.function.as_deref()).map(|at| format!(" in {at}")).unwrap_or_default();
    let title = format!("{who} for {}{at}, and Go does not record who holds it", crate::rules::lock(wait));
    let mut evidence = vec![Evidence::new(format!("{} wants it{at}", name(thread)), wait.source)];
    for candidate in lock.candidates.iter().take(SHOWN).filter_map(|&index| snapshot.threads.get(index)) {
        let state = candidate.state.and_then(|id| snapshot.state(id)).map(|state| state.text.to_string());
        let text = format!(
            "{} may hold it: its variables lead there; its state: {}",
            name(candidate),
            state.unwrap_or_else(|| "not known".to_owned())
        );
        evidence.push(Evidence::new(text, candidate.source));
    }
    Some(Finding {
        rule: RULE.id,
        severity: Severity::Warning,
        confidence: Confidence::Medium,
        title,
        places: place.into_iter().collect(),
        evidence,
        next: vec![advice(RULE.doc)],
    })
}

fn name(thread: &Thread<'_>) -> String {
    format!("goroutine {}", thread.id)
}

#[cfg(test)]
mod tests {
    use necropsy_model::{Avma, Frame, Lock, Memory, Region, Source, Stack, ThreadId, Wait, WaitKind};

    use super::*;
    use crate::rules::native::samples::fired;

    /// Goroutines of a core, each with the lock that it waits for and those that it may hold.
    fn core(goroutines: &[(u64, &[u64])]) -> Snapshot<'static> {
        let mut snapshot = Snapshot::default();
        let (start, end) = (Avma(0x1000), Avma(0x2000));
        snapshot.memory =
            Memory::new(vec![Region { start, end, permissions: None, bytes: &[], dumped: 0, file: None }]);
        snapshot.process.runtime = Some(Runtime::Go);
        for (id, &(waits, may_hold)) in (1..).zip(goroutines) {
            let frames = snapshot.add_frame(Frame::printed("main.pay", None)).into_iter().collect();
            let mut thread = Thread::new(ThreadId(id), Source::DUMP);
            thread.flags = ThreadFlags::VIRTUAL;
            thread.stack = snapshot.add_stack(Stack { frames, ..Stack::default() });
            let lock = Some(Lock { id: waits, name: None });
            let detail = thread.detail_mut();
            detail.waits_on =
                Some(Wait { kind: WaitKind::Lock, lock, owner: None, limited: false, source: Source::DUMP });
            detail.may_hold = may_hold.to_vec();
            snapshot.threads.push(thread);
        }
        snapshot
    }

    fn titles(snapshot: &Snapshot<'_>) -> Vec<String> {
        let groups = necropsy_model::Groups::default();
        let case = Case { snapshot, groups: &groups, noise: &crate::Noise::default() };
        check(&case).into_iter().map(|finding| finding.title).collect()
    }

    #[test]
    fn fires() {
        let titles = titles(&core(&[(16, &[32]), (32, &[16]), (32, &[])]));
        assert_eq!(
            titles[0],
            "suspected deadlock: goroutine 1 and goroutine 2 wait for locks that the other one may hold"
        );
        assert!(titles[1].starts_with("2 goroutines wait for 0x20 in main.pay"), "{}", titles[1]);
        assert!(fired(&RULE, &core(&[(16, &[])])));
    }

    #[test]
    fn who_knows_the_locks_and_waits_for_none_is_no_part_of_the_circle() {
        let mut snapshot = core(&[(16, &[32]), (32, &[16]), (48, &[16, 32])]);
        snapshot.threads[2].detail_mut().waits_on = None;
        let titles = titles(&snapshot);
        assert!(titles[0].starts_with("suspected deadlock: goroutine 1 and goroutine 2"), "{titles:?}");
    }

    #[test]
    fn two_that_may_hold_a_lock_make_no_circle() {
        let titles = titles(&core(&[(16, &[32]), (32, &[16]), (48, &[16])]));
        assert!(titles.iter().all(|title| !title.starts_with("suspected")), "{titles:?}");
    }

    #[test]
    fn keeps_quiet() {
        let mut text = core(&[(16, &[])]);
        text.memory = Memory::default();
        assert!(!fired(&RULE, &text), "text dumps have rules of their own");
        assert!(!fired(&RULE, &core(&[])));
    }
}
