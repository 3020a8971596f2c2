//! Threads that wait for locks, in a dump that names no holders.

use std::collections::BTreeMap;

use necropsy_model::{
    Confidence, Evidence, Finding, IN_A_SENTENCE, Role, Runtime, Severity, Snapshot, Thread, WaitKind, spoken,
};

use crate::wait_graph::{own_frame, wait};
use crate::{Case, Rule};

pub(crate) static RULE: Rule = Rule { id: "lock-holder-unknown", doc: include_str!("holder_unknown.md"), check };

/// Waiters from which it is worth a finding: one thread at a lock is an everyday sight.
const WAITERS: usize = 2;

/// Queues that are told apart in the title.
const SHOWN: usize = 3;

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let snapshot = case.snapshot;
    // A core holds the locks themselves, and other runtimes print holders or have rules of their own; but JDK 21 to 24 list virtual
    // threads with frames alone.
    let java = snapshot.process.runtime == Some(Runtime::Jvm);
    if !(java || snapshot.process.runtime == Some(Runtime::Native)) || !snapshot.memory.is_empty() {
        return Vec::new();
    }
    let mut queues: BTreeMap<(Option<String>, Option<String>), Vec<usize>> = BTreeMap::new();
    for (index, thread) in snapshot.threads.iter().enumerate() {
        let named = java && wait(thread).is_some_and(|wait| wait.lock.is_some());
        if wants_lock(thread) && !named {
            queues.entry((lock_of(thread), function_of(snapshot, thread))).or_default().push(index);
        }
    }
    let mut queues: Vec<_> = queues.into_iter().collect();
    queues.sort_by_key(|(_, waiters)| std::cmp::Reverse(waiters.len()));
    let waiters: usize = queues.iter().map(|(_, waiters)| waiters.len()).sum();
    if waiters < WAITERS {
        return Vec::new();
    }
    let told: Vec<String> = queues
        .iter()
        .take(SHOWN)
        .map(|((lock, function), at)| told(lock.as_ref(), function.as_ref(), at.len()))
        .collect();
    let more = if queues.len() > SHOWN { ", and others elsewhere" } else { "" };
    let title = format!(
        "{waiters} of {} threads wait for a {}, and the dump does not say who holds it: {}{more}",
        snapshot.threads.len(),
        if java { "lock" } else { "mutex" },
        told.join(", ")
    );
    let next = if java {
        "take a dump that names the holders: jcmd PID Thread.print -l"
    } else {
        "take a core while it hangs, which names the holders: gcore PID"
    };
    let mut finding = Finding {
        rule: RULE.id,
        severity: Severity::Warning,
        // Who waits is read from the frames there, and for how long is not told.
        confidence: if java { Confidence::Low } else { Confidence::Medium },
        title,
        places: Vec::new(),
        evidence: Vec::new(),
        next: vec![next.to_owned()],
    };
    for ((lock, _), waiters) in queues.iter().take(SHOWN) {
        let Some((&at, thread)) = waiters.first().and_then(|at| Some((at, snapshot.threads.get(*at)?))) else {
            continue;
        };
        finding.places.extend(snapshot.place(at, own_frame(snapshot, thread), Role::Waiter));
        let lock = lock.as_deref().unwrap_or("a lock, which the text does not name");
        finding.evidence.push(Evidence::new(format!("thread {} waits for {lock}", thread.id), thread.source));
    }
    vec![finding]
}

fn wants_lock(thread: &Thread<'_>) -> bool {
    let lock = |kind| matches!(kind, WaitKind::Lock | WaitKind::ReadLock | WaitKind::WriteLock);
    wait(thread).is_some_and(|wait| lock(wait.kind) && wait.owner.is_none())
}

/// The lock by its variable, else by its address.
fn lock_of(thread: &Thread<'_>) -> Option<String> {
    let lock = wait(thread)?.lock.as_ref()?;
    Some(lock.name.as_deref().map_or_else(|| format!("{:#x}", lock.id), str::to_owned))
}

/// The function of the program that wants it.
fn function_of(snapshot: &Snapshot<'_>, thread: &Thread<'_>) -> Option<String> {
    let frame = snapshot.frames_of(thread).nth(own_frame(snapshot, thread))?;
    // Java threads may have no frame of the program at all.
    let own = |name: &&str| !["java.", "jdk."].iter().any(|package| name.starts_with(package));
    frame.function.as_deref().filter(own).map(|name| spoken(name, IN_A_SENTENCE).into_owned())
}

fn told(lock: Option<&String>, function: Option<&String>, count: usize) -> String {
    if lock.is_none() && function.is_none() {
        return format!("{count} with no function of the program on the stack");
    }
    let lock = lock.map(|lock| format!(" for {lock}")).unwrap_or_default();
    let function = function.map(|function| format!(" in {function}")).unwrap_or_default();
    format!("{count}{lock}{function}")
}

#[cfg(test)]
mod tests {
    use necropsy_model::{Frame, Lock, Source, Stack, ThreadId, Wait};

    use super::*;
    use crate::rules::native::samples::fired;

    fn waiting(locks: &[u64]) -> Snapshot<'static> {
        let mut snapshot = Snapshot::default();
        snapshot.process.runtime = Some(Runtime::Native);
        for (number, &id) in locks.iter().enumerate() {
            let frames = snapshot.add_frame(Frame::printed("post", None)).into_iter().collect();
            let mut thread = Thread::new(ThreadId(number as u64), Source::line(1));
            thread.stack = snapshot.add_stack(Stack { frames, ..Stack::default() });
            let lock = Some(Lock { id, name: None });
            let wait = Wait { kind: WaitKind::Lock, lock, owner: None, limited: false, source: Source::line(1) };
            thread.detail_mut().waits_on = Some(wait);
            snapshot.threads.push(thread);
        }
        snapshot
    }

    #[test]
    fn fires() {
        assert!(fired(&RULE, &waiting(&[16, 32])));
        let snapshot = waiting(&[16, 16, 32]);
        let groups = necropsy_model::Groups::default();
        let found = check(&Case { snapshot: &snapshot, groups: &groups, noise: &crate::Noise::default() });
        assert!(found[0].title.ends_with("2 for 0x10 in post, 1 for 0x20 in post"), "{}", found[0].title);
    }

    #[test]
    fn keeps_quiet() {
        assert!(!fired(&RULE, &waiting(&[16])));
        let mut of_java = waiting(&[16, 32]);
        of_java.process.runtime = Some(Runtime::Jvm);
        assert!(!fired(&RULE, &of_java));
    }
}
