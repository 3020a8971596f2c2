//! Goroutines that wait for a lock, by its address, and who may hold it.

use std::collections::BTreeMap;

use necropsy_model::go::GoWait;
use necropsy_model::{Confidence, Evidence, Finding, Group, Role, Severity, Source, WaitKind};

use crate::go::{Go, finding};
use crate::{Case, Rule};

pub(super) static WAITERS: Rule = Rule {
    id: "go-mutex-waiters",
    doc: "\
# What it means
Goroutines wait for one mutex or reader-writer lock. They are put together by the address that the runtime's own frames
print, and by the place where no address is printed.
# Why it matters
Whoever holds the lock keeps all of them.
# How it can be wrong
A text dump never names the holder. A candidate is a goroutine whose arguments hold the address: neighbours in memory and
stale slots look the same. A lock that is busy looks like a lock that is stuck.
# What to do
Read the candidates first. A core can settle who holds it; `GODEBUG` and the mutex profile show contention.
",
    check: waiters,
};

pub(super) static SELF: Rule = Rule {
    id: "go-self-deadlock",
    doc: "\
# What it means
A goroutine waits for a lock in a call that was made, further down its own stack, by a method of the same object which waits
for it or has it: it waits for itself.
# Why it matters
It can never go on, and neither can anybody else who wants the lock.
# How it can be wrong
That the lower frame holds the lock is inferred from its argument. It is sure only when the runtime said that all
goroutines are blocked.
# What to do
Split the method in one that locks and one that expects the lock to be held.
",
    check: alone,
};

/// Words from the start of an object in which its own lock is looked for.
const INSIDE: u64 = 0x200;

/// Waiters of one lock.
#[derive(Default)]
struct Lock {
    threads: Vec<u32>,
    kinds: Vec<WaitKind>,
}

fn is_lock(kind: Option<WaitKind>) -> bool {
    matches!(kind, Some(WaitKind::Lock | WaitKind::ReadLock | WaitKind::WriteLock))
}

fn locks(go: &Go<'_, '_>) -> BTreeMap<u64, Lock> {
    let mut locks: BTreeMap<u64, Lock> = BTreeMap::new();
    for &GoWait { thread, address } in &go.facts.waits {
        let stack = go.thread(thread).and_then(|thread| thread.stack);
        let kind = stack.and_then(|id| go.facts.stack_waits.get(id.index()).copied().flatten());
        if let Some(kind) = kind.filter(|&kind| is_lock(Some(kind))) {
            let lock = locks.entry(address).or_default();
            lock.threads.push(thread);
            if !lock.kinds.contains(&kind) {
                lock.kinds.push(kind);
            }
        }
    }
    locks
}

/// Groups that wait for a lock.
fn waiting<'a>(go: &Go<'a, '_>) -> Vec<&'a Group> {
    let inferred =
        |group: &Group| matches!(go.state(group), "sync.Mutex.Lock" | "sync.RWMutex.RLock" | "sync.RWMutex.Lock");
    go.front().filter(|group| is_lock(go.wait_kind(group)) || inferred(group)).collect()
}

fn waiters<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::of(case).filter(Go::is_alive) else { return Vec::new() };
    let groups = waiting(&go);
    let Some(most) = groups.first() else { return Vec::new() };
    let count: usize = groups.iter().map(|group| group.threads.len()).sum();
    let locks = locks(&go);
    let mut known: Vec<_> = locks.iter().collect();
    known.sort_by_key(|(address, lock)| (std::cmp::Reverse(lock.threads.len()), **address));
    let (what, one) = match known.as_slice() {
        [] => ("a lock".to_owned(), false),
        [(address, lock)] if lock.threads.len() == count => (format!("one lock, {address:#x}"), true),
        several => (format!("{} locks", several.len().max(2)), false),
    };
    let title = format!(
        "{} for {what}, {}at {}{}",
        go.does(count, "wait"),
        if groups.len() > 1 { "most of them " } else { "" },
        go.at(most),
        go.waited(most)
    );
    let critical = count > 1 || go.is_all_asleep();
    let severity = if critical { Severity::Critical } else { Severity::Warning };
    let confidence = if one && count > 2 || go.is_all_asleep() { Confidence::Medium } else { Confidence::Low };
    let mut finding = finding(WAITERS.id, severity, confidence, title);
    for group in groups.iter().take(4) {
        finding.places.extend(go.place(group, Role::Waiter));
        finding.evidence.push(crate::go::of_group(&go, group));
    }
    for &(&address, lock) in known.iter().take(4) {
        let source = lock.threads.first().and_then(|&at| go.thread(at)).map_or(Source::DUMP, |thread| thread.source);
        let text = format!("{} for the lock at {address:#x}", go.does(lock.threads.len(), "wait"));
        finding.evidence.push(Evidence::new(text, source));
        candidates(&go, address, lock, &mut finding);
    }
    finding.next.push("a text dump does not name the holder: read the candidates, or take a core".to_owned());
    vec![finding]
}

/// Goroutines whose live arguments hold the lock's address, and that do not wait for it themselves.
fn candidates<'data>(go: &Go<'_, 'data>, address: u64, lock: &Lock, finding: &mut Finding<'data>) {
    let mut shown = 0;
    for sample in &go.facts.samples {
        if lock.threads.binary_search(&sample.thread).is_ok() || shown == 3 {
            continue;
        }
        // The address itself, or an object that begins a little below it.
        let near = |value: u64| {
            value == address || address.checked_sub(value).is_some_and(|inside| inside < 0x40 && value > 0x1000)
        };
        let Some(argument) = sample.arguments.iter().find(|argument| !argument.stale && near(argument.value)) else {
            continue;
        };
        let Some(thread) = go.thread(sample.thread) else { continue };
        let frames: Vec<_> = go.snapshot.frames_of(thread).collect();
        let Some(frame) = frames.get(usize::from(argument.frame)) else { continue };
        let state = thread.state.and_then(|id| go.snapshot.state(id)).map_or("", |state| state.text.as_ref());
        let what = if argument.value == address { "is the lock" } else { "is an object around the lock" };
        let text = format!(
            "candidate holder: goroutine {} ({state}), because an argument of {} {what}",
            thread.id,
            crate::go::words(frame)
        );
        finding.evidence.push(Evidence::new(text, thread.source));
        finding.places.extend(go.snapshot.place(sample.thread as usize, usize::from(argument.frame), Role::Holder));
        shown += 1;
    }
}

fn alone<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::of(case).filter(Go::is_alive) else { return Vec::new() };
    let mut findings = Vec::new();
    for group in waiting(&go) {
        let frames = go.frames(group);
        let Some(caller) = crate::go::own(&frames) else { continue };
        let Some(&first) = group.threads.first() else { continue };
        let address =
            go.facts.waits.binary_search_by_key(&first, |wait| wait.thread).ok().and_then(|at| go.facts.waits.get(at));
        let (Some(address), Some(sample)) =
            (address.map(|wait| wait.address), go.facts.samples.iter().find(|sample| sample.thread == first))
        else {
            continue;
        };
        let receiver = |frame: usize| {
            let matches = |argument: &&necropsy_model::go::GoArgument| {
                usize::from(argument.frame) == frame && argument.position == 0 && !argument.stale
            };
            sample.arguments.iter().find(matches).map(|argument| argument.value)
        };
        let around = |value: u64| value > 0x1000 && address.checked_sub(value).is_some_and(|inside| inside < INSIDE);
        let Some(object) = receiver(caller).filter(|&value| around(value)) else { continue };
        // A method of the same object, below another function or itself: it called back into the object.
        let name = |at: usize| frames.get(at).and_then(|frame| frame.function.as_deref()).unwrap_or_default();
        let object_type = |at: usize| name(at).rsplit_once('.').map_or("", |(owner, _)| owner);
        let lower = (caller + 1..frames.len()).find(|&at| {
            receiver(at) == Some(object)
                && name(at).contains(").")
                && object_type(at) == object_type(caller)
                && name(at) != name(caller)
        });
        let Some(lower) = lower else { continue };
        let sure = go.is_all_asleep() && go.wait_kind(group) != Some(WaitKind::ReadLock);
        let title = format!(
            "{} may wait for itself: {} wants a lock of the object whose method {} called it",
            if group.threads.len() == 1 { "one goroutine".to_owned() } else { go.share(group.threads.len()) },
            go.at(group),
            name(lower)
        );
        let confidence = if sure { Confidence::Medium } else { Confidence::Low };
        let mut finding = finding(SELF.id, Severity::Critical, confidence, title);
        finding.places.extend(go.place(group, Role::Waiter));
        finding.places.extend(go.snapshot.place(first as usize, lower, Role::Holder));
        let text = format!(
            "the lock at {address:#x} lies in the object {object:#x}, which is the receiver of {} and of {}",
            name(caller),
            name(lower)
        );
        finding.evidence.push(Evidence::new(text, go.source(group)));
        finding.next.push("see whether the outer method holds the lock when it makes this call".to_owned());
        findings.push(finding);
    }
    findings
}
