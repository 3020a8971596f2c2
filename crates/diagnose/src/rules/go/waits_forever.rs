//! Goroutines that nothing can wake.

use necropsy_model::{Activity, Confidence, Finding, Group, Role, Severity};

use super::PILE;
use crate::go::{Go, finding, members, show};
use crate::{Case, Rule};

pub(crate) static RULE: Rule = Rule { id: "go-waits-forever", doc: include_str!("waits_forever.md"), check };

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::alive(case) else { return Vec::new() };
    let is_main = |group: &Group| go.frames(group).iter().any(|frame| frame.function.as_deref() == Some("main.main"));
    let mut stuck: Vec<_> = go
        .front()
        .filter(|group| go.activity(group) == Activity::Never)
        .filter(|group| !(go.state(group) == "select (no cases)" && is_main(group)))
        .collect();
    stuck.sort_by_key(|group| (std::cmp::Reverse(group.threads.len()), group.threads.first().copied()));
    let Some(most) = stuck.first() else { return Vec::new() };
    let count = members(&stuck);
    let title = format!("{} can never go on: {} at {}", go.share(count), go.state(most), go.at(most));
    let severity = if count >= PILE { Severity::Critical } else { Severity::Warning };
    let mut finding = finding(RULE.id, severity, Confidence::High, title);
    show(&go, &stuck, Role::Waiter, &mut finding);
    finding.next.push("find the channel that was never made".to_owned());
    vec![finding]
}

#[cfg(test)]
mod tests {
    use necropsy_model::go::GoForm;

    use super::RULE;
    use crate::go::samples::Dump;

    #[test]
    fn fires() {
        assert!(Dump::new(GoForm::Stacks).add(1, "chan receive (nil chan)", &["main.watch"]).fires(&RULE));
        assert!(Dump::new(GoForm::Stacks).add(1, "select (no cases)", &["main.park"]).fires(&RULE));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!Dump::new(GoForm::Stacks).add(1, "select (no cases)", &["main.main"]).fires(&RULE));
        assert!(!Dump::new(GoForm::Stacks).add(1, "chan receive", &["main.watch"]).fires(&RULE));
    }
}
