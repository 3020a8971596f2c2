//! Writers of a read-write lock that nobody holds for writing.

use necropsy_model::{Activity, Confidence, Evidence, Finding, Role, Severity, WaitKind};

use super::{At, Java, finding, outer_class};
use crate::{Case, Rule};

pub(crate) static RULE: Rule = Rule {
    id: "java-read-lock-blocks-writer",
    doc: "\
# What it means
Threads want the write lock of a `ReentrantReadWriteLock` that no thread holds for writing: readers keep it. A thread that holds
the read lock and asks for the write lock (an upgrade) waits for itself; two of them wait for each other.
# Why it matters
Readers that come later wait behind the writer. The virtual machine reports no deadlock, because it does not know who
holds a read lock.
# How it can be wrong
No dump names the readers. Those named here are threads inside the class that also takes the write lock, or the writers
themselves when there is nobody else: candidates. Without `-l` a holder for writing is not listed either.
# What to do
Give the read lock back before taking the write lock, or use a `StampedLock`, which can be upgraded; do not call foreign code while
holding the read lock.
",
    check,
};

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(java) = Java::of(case) else { return Vec::new() };
    let waits =
        java.waits(|wait| matches!(wait.kind, WaitKind::WriteLock | WaitKind::ReadLock) && wait.owner.is_none());
    waits.values().filter_map(|(wait, threads)| judge(&java, &crate::rules::lock(wait), threads)).collect()
}

fn judge<'data>(java: &Java<'_, 'data>, lock: &str, waiting: &[At<'_, 'data>]) -> Option<Finding<'data>> {
    let of = |kind| {
        let wanted = move |at: &&At<'_, 'data>| crate::wait_graph::wait(at.1).is_some_and(|wait| wait.kind == kind);
        waiting.iter().filter(wanted).copied().collect::<Vec<_>>()
    };
    let (writers, readers) = (of(WaitKind::WriteLock), of(WaitKind::ReadLock));
    let &first = writers.first()?;
    let classes: Vec<_> = writers.iter().filter_map(|at| Some(outer_class(java.own_method(at.1)?))).collect();
    let inside = |at: &At<'_, 'data>| {
        !waiting.iter().any(|other| other.0 == at.0)
            && java.activity(at.1) != Activity::Idle
            && java.methods(at.1).any(|method| classes.contains(&outer_class(method)))
            && !is_runner(java, *at, &classes)
    };
    let candidates: Vec<At<'_, 'data>> = java.threads().filter(inside).collect();
    let listed = java.facts.lists_synchronizers;
    if candidates.is_empty() && !listed && writers.len() < 2 {
        return None;
    }
    let timed = writers.iter().any(|at| java.is_timed(at.1));
    let stuck = candidates.iter().any(|at| matches!(java.activity(at.1), Activity::Signal | Activity::Lock));
    let confidence = if listed && !timed && (candidates.is_empty() && writers.len() > 1 || stuck) {
        Confidence::Medium
    } else {
        Confidence::Low
    };
    let names: Vec<_> = writers.iter().map(|at| crate::rules::called(at.1)).collect();
    let verb = if writers.len() == 1 { "wants" } else { "want" };
    let who = match (candidates.first(), writers.len()) {
        (Some(at), _) => format!("{} may hold it for reading", crate::rules::called(at.1)),
        (None, 1) => "it may hold it for reading itself".to_owned(),
        (None, _) => "they may hold it for reading themselves".to_owned(),
    };
    let behind = match readers.len() {
        0 => String::new(),
        1 => "; 1 reader waits behind".to_owned(),
        more => format!("; {more} readers wait behind"),
    };
    let title = format!(
        "{} {verb} to write under {lock}, which nobody holds for writing: {who}{behind}",
        crate::rules::few(&names)
    );
    let severity =
        if stuck || candidates.is_empty() && writers.len() > 1 { Severity::Critical } else { Severity::Warning };
    let mut finding = finding(&RULE, severity, confidence, title);
    finding.places.extend(java.place(first, Role::Waiter));
    for at in writers.iter().take(3) {
        finding.evidence.push(java.says(at.1, "waits for the write lock"));
    }
    for &at in candidates.iter().take(3) {
        finding.places.extend(java.place(at, Role::Holder));
        let text = format!(
            "candidate reader, because it has called through {}: it stands",
            classes.first().copied().unwrap_or("?")
        );
        finding.evidence.push(java.says(at.1, &text));
    }
    if listed {
        let text = "the dump lists ownable synchronizers, and nobody owns this one";
        finding.evidence.push(Evidence::new(text, first.1.source));
    } else {
        finding
            .next
            .push("take the dump with -l (jcmd PID Thread.print -l): it lists who holds locks for writing".to_owned());
    }
    Some(finding)
}

/// The class is only where the thread began: a `main` that has started the others.
fn is_runner(java: &Java<'_, '_>, at: At<'_, '_>, classes: &[&str]) -> bool {
    let inside = java.methods(at.1).filter(|method| classes.contains(&outer_class(method)));
    java.activity(at.1) == Activity::Sleep && inside.count() <= 2
        || java.methods(at.1).last().is_some_and(|last| classes.contains(&outer_class(last)))
}

#[cfg(test)]
mod tests {
    use super::super::samples::{add, empty, lock, waits};
    use super::*;
    use crate::rules::native::samples::fired;

    const CLASS: &str = "java.util.concurrent.locks.ReentrantReadWriteLock$FairSync";
    const WRITES: [&str; 3] = [
        "jdk.internal.misc.Unsafe.park",
        "java.util.concurrent.locks.ReentrantReadWriteLock$WriteLock.lock",
        "shop.Prices.put",
    ];

    fn writers(owner: Option<u64>) -> necropsy_model::Snapshot<'static> {
        let mut snapshot = empty();
        for name in ["a", "b"] {
            let thread = add(&mut snapshot, name, "WAITING (parking)", Activity::Lock, &WRITES);
            thread.detail_mut().waits_on = Some(waits(WaitKind::WriteLock, 9, CLASS, owner));
        }
        snapshot
    }

    #[test]
    fn fires() {
        assert!(fired(&RULE, &writers(None)));
        let mut snapshot = writers(None);
        let methods = ["java.util.concurrent.CompletableFuture.get", "shop.Prices.each", "java.lang.Thread.run"];
        add(&mut snapshot, "reader", "WAITING (parking)", Activity::Signal, &methods);
        let groups = necropsy_model::Groups::default();
        let found = check(&Case { snapshot: &snapshot, groups: &groups, noise: &crate::Noise::default() });
        assert!(found[0].title.contains("\"reader\" may hold it"), "{}", found[0].title);
    }

    #[test]
    fn keeps_quiet() {
        let mut snapshot = writers(Some(3));
        add(&mut snapshot, "c", "RUNNABLE", Activity::Running, &["x"]).detail_mut().holds.push(lock(9, CLASS));
        assert!(!fired(&RULE, &snapshot), "a writer holds it");
    }
}
