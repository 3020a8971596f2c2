//! Goroutines that wait to send.

use necropsy_model::{Confidence, Evidence, Finding, Group, Role, Severity};

use super::PILE;
use crate::go::{Go, finding, locks, minutes, of_group, show};
use crate::{Case, Rule};

pub(crate) static RULE: Rule = Rule { id: "go-stuck-producers", doc: include_str!("stuck_producers.md"), check };

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::alive(case) else { return Vec::new() };
    let mut waiting: Vec<&Group> = go.front().filter(|group| go.state(group) == "chan send").collect();
    waiting.sort_by_key(|group| std::cmp::Reverse(group.threads.len()));
    let Some(most) = waiting.first() else { return Vec::new() };
    let creator = go.creator(most).map(|creator| format!(", created by {creator}")).unwrap_or_default();
    let title =
        format!("{} to send at {}{}{creator}", go.does(most.threads.len(), "wait"), go.at(most), go.waited(most));
    let long = most.waited.is_some_and(|spread| spread.max_s >= 60);
    let receivers = behind_a_lock(&go, most);
    let (severity, confidence) = match (most.threads.len(), long || go.is_all_asleep()) {
        // Their receivers wait for a lock, it seems: the lock is the cause.
        _ if receivers.is_some() => (Severity::Warning, Confidence::Low),
        (PILE.., _) | (_, true) => (Severity::Critical, Confidence::Medium),
        _ => (Severity::Warning, Confidence::Low),
    };
    let mut finding = finding(RULE.id, severity, confidence, title);
    show(&go, &waiting, Role::Waiter, &mut finding);
    if let Some(receivers) = receivers {
        finding.places.extend(go.place(receivers, Role::Related));
        let text = format!(
            "started by the function that sends, so that it may be the receiver: {}",
            of_group(&go, receivers).text
        );
        finding.evidence.push(Evidence::new(text, go.source(receivers)));
    }
    minutes(&go, most, &mut finding);
    finding.next.push(
        "find the receiver: has it returned, or does it wait for something that these goroutines hold?".to_owned(),
    );
    vec![finding]
}

/// Goroutines that the sending function started and that wait for a lock.
fn behind_a_lock<'a>(go: &Go<'a, '_>, senders: &Group) -> Option<&'a Group> {
    let frames = go.frames(senders);
    let sends = frames.get(go.own_frame(senders)?)?.function.as_deref()?;
    let started = |group: &&Group| {
        let creator = group.created_by.and_then(|id| go.snapshot.frame(id)).and_then(|frame| frame.function.as_deref());
        creator == Some(sends)
    };
    locks::waiting(go).into_iter().find(started)
}

#[cfg(test)]
mod tests {
    use necropsy_model::go::GoForm;
    use necropsy_model::{Confidence, Severity};

    use super::RULE;
    use crate::go::samples::Dump;

    #[test]
    fn fires() {
        let pile = Dump::new(GoForm::Stacks).add(400, "chan send", &["main.report"]).created_by("main.serve");
        let found = pile.findings(&RULE);
        assert_eq!((found[0].severity, found[0].confidence), (Severity::Critical, Confidence::Medium));
        assert!(found[0].title.ends_with("created by main.serve at jobs.go:40"), "{}", found[0].title);
    }

    #[test]
    fn a_receiver_that_waits_for_a_lock_is_nearer_to_the_cause() {
        let dump = Dump::new(GoForm::Stacks).add(1, "chan send", &["main.render"]).waited(9, 9);
        assert_eq!(dump.findings(&RULE)[0].severity, Severity::Critical);
        let dump = dump.add(1, "sync.Mutex.Lock", &["sync.(*Mutex).Lock", "main.page"]).created_by("main.render");
        assert_eq!(dump.findings(&RULE)[0].confidence, Confidence::Low);
    }

    #[test]
    fn keeps_quiet() {
        assert!(!Dump::new(GoForm::Stacks).add(400, "chan receive", &["main.report"]).fires(&RULE));
        let one = Dump::new(GoForm::Stacks).add(1, "chan send", &["main.report"]);
        assert_eq!(one.findings(&RULE)[0].confidence, Confidence::Low, "one sender says little");
    }
}
