//! Goroutines that wait to send.

use necropsy_model::{Confidence, Finding, Group, Role, Severity};

use super::PILE;
use crate::go::{Go, finding, minutes, show};
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
    let (severity, confidence) = match (most.threads.len(), long || go.is_all_asleep()) {
        (PILE.., _) | (_, true) => (Severity::Critical, Confidence::Medium),
        _ => (Severity::Warning, Confidence::Low),
    };
    let mut finding = finding(RULE.id, severity, confidence, title);
    show(&go, &waiting, Role::Waiter, &mut finding);
    minutes(&go, most, &mut finding);
    finding.next.push(
        "find the receiver: has it returned, or does it wait for something that these goroutines hold?".to_owned(),
    );
    vec![finding]
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
    fn keeps_quiet() {
        assert!(!Dump::new(GoForm::Stacks).add(400, "chan receive", &["main.report"]).fires(&RULE));
        let one = Dump::new(GoForm::Stacks).add(1, "chan send", &["main.report"]);
        assert_eq!(one.findings(&RULE)[0].confidence, Confidence::Low, "one sender says little");
    }
}
