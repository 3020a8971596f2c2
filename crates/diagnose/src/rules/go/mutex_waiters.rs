//! Goroutines that wait for a lock, by its address, and who may hold it.

use necropsy_model::{Confidence, Finding, Role, Severity};

use crate::go::locks::{self, Reason};
use crate::go::{Go, finding, members, show};
use crate::{Case, Rule};

pub(crate) static RULE: Rule = Rule { id: "go-mutex-waiters", doc: include_str!("mutex_waiters.md"), check };

/// Locks that are told one by one.
const SHOWN: usize = 4;

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::alive(case) else { return Vec::new() };
    let groups = locks::waiting(&go);
    let Some(most) = groups.first() else { return Vec::new() };
    let count = members(&groups);
    let known = locks::locks(&go);
    let (what, one) = match known.as_slice() {
        [] => ("a lock".to_owned(), false),
        [lock] if lock.threads.len() == count => (format!("one lock, {:#x}", lock.address), true),
        several => (format!("{} locks", several.len().max(2)), false),
    };
    let holder = known.first().filter(|_| one).and_then(|lock| {
        let best =
            locks::candidates(&go, lock.address).into_iter().next().filter(|best| best.reason <= Reason::Receiver)?;
        let thread = go.thread(best.thread)?;
        let state = thread.state.and_then(|id| go.snapshot.state(id))?;
        Some(format!("; goroutine {} ({}) may hold it", thread.id, state.text))
    });
    let title = format!(
        "{} for {what}, {}at {}{}{}",
        go.does(count, "wait"),
        if groups.len() > 1 { "most of them " } else { "" },
        go.at(most),
        go.waited(most),
        holder.unwrap_or_default()
    );
    let critical = count > 1 || go.is_all_asleep();
    let severity = if critical { Severity::Critical } else { Severity::Warning };
    let confidence = if one && count > 2 || go.is_all_asleep() { Confidence::Medium } else { Confidence::Low };
    let mut finding = finding(RULE.id, severity, confidence, title);
    show(&go, &groups, Role::Waiter, &mut finding);
    for lock in known.iter().take(SHOWN) {
        finding.evidence.extend(locks::evidence(&go, lock));
        for holder in locks::candidates(&go, lock.address).iter().take(1) {
            finding.places.extend(go.snapshot.place(holder.thread as usize, holder.frame, Role::Holder));
        }
    }
    finding.next.push("a text dump does not name the holder: read the candidates, or take a core".to_owned());
    vec![finding]
}

#[cfg(test)]
mod tests {
    use necropsy_model::go::GoForm;
    use necropsy_model::{Role, WaitKind};

    use super::RULE;
    use crate::go::samples::Dump;

    fn queue() -> Dump {
        let dump = Dump::new(GoForm::Stacks).add(7, "sync.Mutex.Lock", &["sync.(*Mutex).Lock", "main.(*Cart).add"]);
        dump.waits_for(WaitKind::Lock, 0xc000_0010)
    }

    #[test]
    fn fires() {
        let found = queue().findings(&RULE);
        assert_eq!(found[0].title, "7 of 7 goroutines wait for one lock, 0xc0000010, at main.(*Cart).add at jobs.go:2");
    }

    #[test]
    fn a_candidate_is_a_call_of_the_program() {
        let calls = ["internal/poll.(*FD).Read", "net.(*conn).Read", "main.(*Cart).load"];
        let holder = queue().add(1, "IO wait", &calls);
        let runtime_only = |at: u16| queue().add(1, "IO wait", &calls).arguments(&[(at, 0, 0xc000_0010)]);
        let holders = |dump: Dump| {
            let places = dump.findings(&RULE).remove(0).places;
            places.iter().filter(|place| place.role == Role::Holder).count()
        };
        assert_eq!(holders(runtime_only(0)) + holders(runtime_only(1)), 0, "the library knows many addresses");
        let found = holder.arguments(&[(2, 0, 0xc000_0010)]).findings(&RULE);
        assert!(found[0].title.ends_with("goroutine 8 (IO wait) may hold it"), "{}", found[0].title);
    }

    #[test]
    fn keeps_quiet() {
        assert!(!Dump::new(GoForm::Stacks).add(7, "chan receive", &["main.work"]).fires(&RULE));
        assert!(
            !Dump::panic("boom").add(7, "sync.Mutex.Lock", &["main.work"]).fires(&RULE),
            "it died of something else"
        );
    }
}
