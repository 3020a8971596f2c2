//! A goroutine that waits for a lock which a method further down its own stack has.

use std::collections::BTreeMap;

use necropsy_model::{Confidence, Evidence, Finding, Group, Role, Severity, WaitKind};

use crate::go::locks::{self, Known, Lock, Outer, Reason};
use crate::go::{Go, finding};
use crate::{Case, Rule};

pub(crate) static RULE: Rule = Rule { id: "go-self-deadlock", doc: include_str!("self_deadlock.md"), check };

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::alive(case) else { return Vec::new() };
    let mut suspects: BTreeMap<u64, Vec<Suspect<'_, 'data>>> = BTreeMap::new();
    for suspect in locks::waiting(&go).into_iter().filter_map(|group| suspect(&go, group)) {
        suspects.entry(suspect.address).or_default().push(suspect);
    }
    if suspects.is_empty() {
        return Vec::new();
    }
    let locks = locks::locks(&go);
    locks.iter().filter_map(|lock| finding_of(&go, lock, suspects.remove(&lock.address)?)).collect()
}

/// A goroutine that may wait for itself.
struct Suspect<'a, 'data> {
    group: &'a Group,
    address: u64,
    waiter: Known<'a, 'data>,
    outer: Outer,
}

fn suspect<'a, 'data>(go: &Go<'a, 'data>, group: &'a Group) -> Option<Suspect<'a, 'data>> {
    let &first = group.threads.first()?;
    let address = locks::wanted(go, first)?;
    let waiter = Known::at(go, first)?;
    let outer = waiter.outer_method(Some(address))?;
    Some(Suspect { group, address, waiter, outer })
}

/// What the suspects of one lock come to: at most one of them has it.
fn finding_of<'data>(go: &Go<'_, 'data>, lock: &Lock, mut suspects: Vec<Suspect<'_, 'data>>) -> Option<Finding<'data>> {
    // A reader behind a writer that waits for readers is the other rule's.
    let reads = |suspect: &Suspect<'_, '_>| {
        let first = suspect.group.threads.first();
        first.is_some_and(|&first| locks::kind(go, first) == Some(WaitKind::ReadLock))
    };
    let has_readers = super::recursive_read_lock::writer(go, lock).is_some();
    // Methods that call each other are suspicious only when nobody else is near the lock.
    suspects.retain(|suspect| (suspect.outer.reentered || lock.threads.len() == 1) && !(has_readers && reads(suspect)));
    let several = suspects.len() > 1;
    let Suspect { group, address, waiter, outer } = suspects.into_iter().next()?;
    let same_receiver = outer.same_receiver;
    let (object, outer) = (outer.object, outer.frame);
    let first = *group.threads.first()?;
    let others = locks::candidates(go, address).iter().filter(|candidate| candidate.reason <= Reason::Near).count();
    // An object of the same type that lies next to this one can not be told from it without the receiver.
    if !same_receiver && (others > 0 || lock.threads.len() > 1) {
        return None;
    }
    let confidence = match (go.is_all_asleep(), others) {
        _ if several => Confidence::Low,
        (asleep, _) if !same_receiver => {
            if asleep {
                Confidence::Medium
            } else {
                Confidence::Low
            }
        }
        (true, 0) => Confidence::High,
        (true, _) | (false, 0) => Confidence::Medium,
        (false, _) => Confidence::Low,
    };
    let caller = waiter.caller()?;
    let who = if group.threads.len() == 1 {
        format!("goroutine {} waits for itself", waiter.thread.id)
    } else {
        format!("{} for themselves", go.does(group.threads.len(), "wait"))
    };
    let may = if confidence == Confidence::High { "" } else { ", it seems" };
    let title = format!(
        "{who}{may}: {} wants a lock of the object whose method {} called it",
        go.at(group),
        waiter.name(outer)
    );
    let mut finding = finding(RULE.id, Severity::Critical, confidence, title);
    finding.places.extend(go.place(group, Role::Waiter));
    finding.places.extend(go.snapshot.place(first as usize, outer, Role::Holder));
    let (called, inner) = (waiter.name(outer), waiter.name(caller));
    let text = if same_receiver {
        format!("the lock at {address:#x} lies in the object {object:#x}, the receiver of {inner} and of {called}")
    } else {
        format!(
            "the lock at {address:#x} lies in or behind the object {object:#x}, the receiver of {called}; that of {inner} is stale"
        )
    };
    finding.evidence.push(Evidence::new(text, waiter.thread.source));
    let text = match others {
        0 => {
            "no other goroutine of the dump, but for those that wait for the lock, has the lock or the object among its arguments"
        }
        _ => "other goroutines have the lock or the object among their arguments too, and may hold it",
    };
    finding.evidence.push(Evidence::new(text, waiter.thread.source));
    finding.next.push(format!(
        "see whether {} holds the lock when it makes this call, or whether an earlier call returned without unlocking",
        waiter.name(outer)
    ));
    Some(finding)
}

#[cfg(test)]
mod tests {
    use necropsy_model::go::GoForm;
    use necropsy_model::{Confidence, WaitKind};

    use super::RULE;
    use crate::go::samples::Dump;

    const CALLS: [&str; 4] = ["sync.(*Mutex).Lock", "main.(*Cart).total", "main.(*Cart).add", "main.main"];

    /// A method of the cart at `0xc000_0100` wants its lock; the receivers are these.
    fn cart(dump: Dump, inner: u64, outer: u64) -> Dump {
        let dump = dump.add(1, "sync.Mutex.Lock", &CALLS).waits_for(WaitKind::Lock, 0xc000_0110);
        dump.arguments(&[(1, 0, inner), (2, 0, outer)])
    }

    #[test]
    fn fires() {
        let alone = cart(Dump::new(GoForm::Stacks), 0xc000_0100, 0xc000_0100);
        assert_eq!(alone.findings(&RULE)[0].confidence, Confidence::Medium);
        let asleep = cart(Dump::asleep(), 0xc000_0100, 0xc000_0100);
        let found = asleep.findings(&RULE);
        assert_eq!(found[0].confidence, Confidence::High);
        assert!(found[0].title.contains("main.(*Cart).add called it"), "{}", found[0].title);
        let other = alone.add(1, "chan send", &["main.(*Cart).send"]).arguments(&[(0, 0, 0xc000_0100)]);
        assert_eq!(other.findings(&RULE)[0].confidence, Confidence::Low, "another one may hold it");
    }

    #[test]
    fn a_stale_receiver_makes_it_less_sure() {
        let calls = |dump: Dump| {
            let dump = dump.add(1, "sync.Mutex.Lock", &CALLS).waits_for(WaitKind::Lock, 0xc000_0110);
            dump.arguments(&[(2, 0, 0xc000_0100)])
        };
        assert_eq!(calls(Dump::asleep()).findings(&RULE)[0].confidence, Confidence::Medium);
        assert_eq!(calls(Dump::new(GoForm::Stacks)).findings(&RULE)[0].confidence, Confidence::Low);
        let other = calls(Dump::asleep()).add(1, "chan send", &["main.(*Cart).send"]).arguments(&[(0, 0, 0xc000_0110)]);
        assert!(!other.fires(&RULE), "two carts side by side look the same");
    }

    #[test]
    fn keeps_quiet() {
        let queue = cart(cart(Dump::new(GoForm::Stacks), 0xc000_0100, 0xc000_0100), 0xc000_0100, 0xc000_0100);
        assert!(!queue.fires(&RULE), "two wait: somebody else has it");
        let closure = ["sync.(*Mutex).Lock", "main.(*Cart).add.func1", "main.(*Cart).add"];
        let dump = Dump::new(GoForm::Stacks).add(1, "sync.Mutex.Lock", &closure).waits_for(WaitKind::Lock, 0xc000_0110);
        let dump = dump.arguments(&[(1, 0, 0xc000_0100), (2, 0, 0xc000_0100)]);
        assert!(!dump.fires(&RULE), "a closure is a part of its function");
        assert!(!cart(Dump::new(GoForm::Stacks), 0xc000_0100, 0xc000_0900).fires(&RULE), "another cart");
        assert!(!cart(Dump::new(GoForm::Stacks), 0xc000_0900, 0xc000_0900).fires(&RULE), "the lock is elsewhere");
        let recursion = ["sync.(*Mutex).Lock", "main.(*Cart).add", "main.(*Cart).add"];
        let dump = Dump::new(GoForm::Stacks).add(1, "sync.Mutex.Lock", &recursion);
        let dump = dump.waits_for(WaitKind::Lock, 0xc000_0110).arguments(&[(1, 0, 0xc000_0100), (2, 0, 0xc000_0100)]);
        assert!(!dump.fires(&RULE), "a recursion may lock below its call");
    }
}
