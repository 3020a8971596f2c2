//! Many threads behind one that holds a lock and does something else.

use necropsy_model::{Activity, Confidence, Evidence, Finding, Role, Severity, Snapshot, Thread, WaitKind};

use super::native::hang_core;
use crate::wait_graph::{WaitGraph, own_frame, wait};
use crate::{Case, Rule};

pub(super) static RULE: Rule = Rule {
    id: "lock-convoy",
    doc: "\
# What it means
Threads wait, directly or through others, for a lock whose holder is not waiting for any of them: it works, sleeps or waits
for input, output or a signal while it holds the lock. In a native process that has come to rest one such waiter is enough.
# Why it matters
All of them are as slow as what the holder does.
# How it can be wrong
A dump shows one moment: a lock that many want may change hands thousands of times a second. A second dump tells whether the
same thread still holds it. This is not a deadlock.
# What to do
See what the holder does, and do it without the lock.
",
    check,
};

/// Waiters from which a queue is worth a finding.
const WAITERS: usize = 3;

/// Waiters from which it is the trouble, not a part of it.
const MANY: usize = 10;

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let graph = WaitGraph::of(case.snapshot);
    // Who waits for a thread to end does not want its lock.
    let wants_lock =
        |at: &usize| case.snapshot.threads.get(*at).and_then(wait).is_some_and(|wait| wait.kind != WaitKind::Join);
    let chains = graph.chains().into_iter().map(|(head, mut waiters)| {
        waiters.retain(wants_lock);
        (head, waiters)
    });
    // Where a native process has come to rest, one waiter is enough: its holder waits itself, and nobody may be left to wake it.
    let stuck = |head: usize| {
        let holder = case.snapshot.threads.get(head);
        let waits = holder.and_then(wait).is_some_and(|wait| !wait.limited);
        hang_core::is_hang(case) && hang_core::running(case).next().is_none() && waits
    };
    chains
        .filter(|(head, waiters)| waiters.len() >= WAITERS || !waiters.is_empty() && stuck(*head))
        .filter_map(|(head, waiters)| finding(case.snapshot, head, &waiters))
        .collect()
}

fn finding<'data>(snapshot: &Snapshot<'data>, head: usize, waiters: &[usize]) -> Option<Finding<'data>> {
    let holder = snapshot.threads.get(head)?;
    let name = super::called(holder);
    let does = does(snapshot, holder);
    let place = snapshot.place(head, own_frame(snapshot, holder), Role::Holder);
    let at = place.as_ref().and_then(|place| place.function.as_deref()).map(|name| format!(" in {name}"));
    let who = match waiters {
        [one] => format!("{} waits", snapshot.threads.get(*one).map_or_else(|| "1 thread".to_owned(), super::called)),
        more => format!("{} threads wait, directly or through others,", more.len()),
    };
    let title = format!("{who} for a lock that {name} holds while it {does}{}", at.unwrap_or_default());
    let mut evidence = Vec::new();
    for thread in waiters.iter().filter_map(|&at| snapshot.threads.get(at)) {
        let Some(wait) = wait(thread).filter(|wait| wait.owner == Some(holder.id)) else { continue };
        evidence.push(Evidence::new(format!("{} waits for {}", super::called(thread), super::lock(wait)), wait.source));
        if evidence.len() == 2 {
            break;
        }
    }
    let state = holder.state.and_then(|id| snapshot.state(id)).map(|state| state.text.to_string()).unwrap_or_default();
    let under = callers(snapshot, holder);
    evidence.push(Evidence::new(format!("{name} holds it and is {state}{under}"), holder.source));
    let mut places: Vec<_> = place.into_iter().collect();
    if let Some((&first, thread)) = waiters.first().and_then(|at| Some((at, snapshot.threads.get(*at)?))) {
        places.extend(snapshot.place(first, own_frame(snapshot, thread), Role::Waiter));
    }
    Some(Finding {
        rule: RULE.id,
        severity: if waiters.len() >= MANY { Severity::Critical } else { Severity::Warning },
        confidence: Confidence::Medium,
        title,
        places,
        evidence,
        next: vec![format!("take a second dump ten seconds later: if {name} still holds the lock, it is the cause")],
    })
}

/// The program's own functions on the stack of a native thread, the innermost first: one of them took the lock.
fn callers(snapshot: &Snapshot<'_>, thread: &Thread<'_>) -> String {
    /// Functions that are named.
    const MOST: usize = 4;
    if snapshot.memory.is_empty() {
        return String::new();
    }
    let own = snapshot.frames_of(thread).filter(|frame| !crate::noise::is_noise(snapshot, frame));
    let names: Vec<_> = own.filter_map(|frame| frame.function.as_deref()).take(MOST).collect();
    if names.is_empty() { String::new() } else { format!(", below {}", names.join(" < ")) }
}

fn does(snapshot: &Snapshot<'_>, thread: &Thread<'_>) -> String {
    let does = match snapshot.activity(thread) {
        Activity::Io if snapshot.jvm.is_some() => {
            let top = snapshot.frames_of(thread).next().and_then(|frame| frame.function.as_deref());
            return format!("waits in {}", crate::jvm::io_of(top.unwrap_or_default()));
        }
        Activity::Lock | Activity::Signal if !snapshot.memory.is_empty() => {
            let state = thread.state.and_then(|id| snapshot.state(id)).map(|state| state.text.to_string());
            return state
                .filter(|text| text.starts_with("waits "))
                .unwrap_or_else(|| "waits for another thread".to_owned());
        }
        Activity::Io => "waits for input or output",
        Activity::Sleep => "sleeps",
        Activity::Running | Activity::Runnable => "runs",
        Activity::Lock => "waits for a lock without a known owner",
        Activity::Signal | Activity::Idle | Activity::Never => "waits for another thread",
        Activity::Syscall => "is in a system call",
        Activity::Unknown => "does what the dump does not say",
    };
    does.to_owned()
}

#[cfg(test)]
pub(super) mod tests {
    use necropsy_model::{
        Activity, Avma, Lock, Memory, Region, Snapshot, Source, State, Thread, ThreadId, Wait, WaitKind,
    };

    use super::RULE;
    use crate::rules::native::samples::fired;

    /// Threads that wait for the one at this index.
    pub(crate) fn waiting(next: &[Option<u64>]) -> Snapshot<'static> {
        let mut snapshot = Snapshot::default();
        for (at, next) in (0..).zip(next) {
            let mut thread = Thread::new(ThreadId(at), Source::line(at + 1));
            let lock = |id: u64| Lock { id: 0x10 + id, name: Some("shop.Cart".into()) };
            thread.detail_mut().holds.push(lock(at));
            thread.detail_mut().waits_on = next.map(|next| Wait {
                kind: WaitKind::Lock,
                lock: Some(lock(next)),
                owner: Some(ThreadId(next)),
                limited: false,
                source: Source::line(at + 1),
            });
            snapshot.threads.push(thread);
        }
        snapshot
    }

    #[test]
    fn fires() {
        assert!(fired(&RULE, &waiting(&[None, Some(0), Some(1), Some(0)])));
    }

    #[test]
    fn one_waiter_is_enough_where_all_have_come_to_rest() {
        let mut snapshot = waiting(&[None, Some(0)]);
        let (start, end) = (Avma(0x1000), Avma(0x2000));
        let region = Region { start, end, permissions: None, bytes: &[], dumped: 0, file: None };
        snapshot.memory = Memory::new(vec![region]);
        assert!(!fired(&RULE, &snapshot), "what the holder does is not known");
        let text = "waits on a condition variable".into();
        snapshot.threads[0].state = snapshot.intern_state(State { text, activity: Activity::Signal });
        let (kind, source) = (WaitKind::Condition, Source::line(1));
        snapshot.threads[0].detail_mut().waits_on =
            Some(Wait { kind, lock: None, owner: None, limited: false, source });
        let groups = necropsy_model::Groups::default();
        let case = crate::Case { snapshot: &snapshot, groups: &groups, noise: &crate::Noise::default() };
        let title = (RULE.check)(&case).remove(0).title;
        assert_eq!(title, "thread 1 waits for a lock that thread 0 holds while it waits on a condition variable");
    }

    #[test]
    fn keeps_quiet() {
        assert!(!fired(&RULE, &waiting(&[Some(1), Some(0), Some(0), Some(0), Some(0)])), "a deadlock is no convoy");
        assert!(!fired(&RULE, &waiting(&[None, Some(0), None])));
    }
}
