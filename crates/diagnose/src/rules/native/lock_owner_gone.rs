//! A mutex whose owner has ended.

use std::collections::{BTreeMap, BTreeSet};

use necropsy_model::{Confidence, Evidence, Finding, Role, Severity, ThreadId, WaitKind};

use super::advice;
use crate::wait_graph::{own_frame, wait};
use crate::{Case, Rule};

pub(crate) static RULE: Rule = Rule { id: "lock-owner-gone", doc: include_str!("lock_owner_gone.md"), check };

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let snapshot = case.snapshot;
    if snapshot.memory.is_empty() {
        return Vec::new();
    }
    let present: BTreeSet<ThreadId> = snapshot.threads.iter().map(|thread| thread.id).collect();
    let mut waiters: BTreeMap<(ThreadId, u64), Vec<usize>> = BTreeMap::new();
    for (index, thread) in snapshot.threads.iter().enumerate() {
        let Some(wait) = wait(thread).filter(|wait| wait.kind == WaitKind::Lock) else { continue };
        let Some((owner, lock)) = wait.owner.zip(wait.lock.as_ref()) else { continue };
        if !present.contains(&owner) {
            waiters.entry((owner, lock.id)).or_default().push(index);
        }
    }
    let findings = waiters.into_iter().filter_map(|((owner, _), waiters)| {
        let first = *waiters.first()?;
        let thread = snapshot.threads.get(first)?;
        let wait = wait(thread)?;
        let lock = crate::rules::lock(wait);
        let who = match waiters.len() {
            1 => format!("{} waits", crate::rules::called(thread)),
            more => format!("{more} threads wait"),
        };
        Some(Finding {
            rule: RULE.id,
            severity: Severity::Critical,
            confidence: Confidence::Medium,
            title: format!("{who} for {lock}, whose owner, thread {owner}, is not in the process any more"),
            places: snapshot.place(first, own_frame(snapshot, thread), Role::Waiter).into_iter().collect(),
            evidence: vec![
                Evidence::new(format!("the mutex names thread {owner} as its owner"), wait.source),
                Evidence::new(
                    format!("none of the {} threads of the dump has this number", snapshot.threads.len()),
                    necropsy_model::Source::DUMP,
                ),
            ],
            next: vec![advice(RULE.doc)],
        })
    });
    findings.collect()
}

#[cfg(test)]
mod tests {
    use necropsy_model::{Avma, Memory, Region, Snapshot};

    use super::RULE;
    use crate::rules::lock_convoy::tests::waiting;
    use crate::rules::native::samples::fired;

    fn core(next: &[Option<u64>]) -> Snapshot<'static> {
        let (start, end) = (Avma(0x1000), Avma(0x2000));
        let region = Region { start, end, permissions: None, bytes: &[], dumped: 0, file: None };
        Snapshot { memory: Memory::new(vec![region]), ..waiting(next) }
    }

    #[test]
    fn fires() {
        assert!(fired(&RULE, &core(&[Some(77), None])));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!fired(&RULE, &core(&[Some(1), None])), "the owner is there");
        assert!(!fired(&RULE, &waiting(&[Some(77), None])), "a text dump may leave threads out");
    }
}
