//! The runtime found every goroutine blocked.

use necropsy_model::{Activity, Confidence, Evidence, Finding, Group, Role, Severity};

use crate::go::{Go, fatal, finding, show};
use crate::{Case, Rule};

pub(crate) static RULE: Rule = Rule { id: "go-all-asleep", doc: include_str!("all_asleep.md"), check };

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::of(case) else { return Vec::new() };
    let Some(fatal) = fatal::line(&go).filter(|_| go.is_all_asleep()) else { return Vec::new() };
    let mut groups: Vec<&Group> = go.front().collect();
    // Who waits for a lock or another goroutine tells more than main, which waits for the others.
    groups.sort_by_key(|group| go.activity(group) == Activity::Never);
    let first = groups.first().map(|group| format!(", such as {} in {}", go.at(group), go.state(group)));
    let title = format!("deadlock, said by the runtime: all goroutines are blocked{}", first.unwrap_or_default());
    let mut finding = finding(RULE.id, Severity::Critical, Confidence::High, title);
    finding.evidence.push(Evidence::new(fatal.text.clone(), fatal.source));
    show(&go, &groups, Role::Waiter, &mut finding);
    finding.next.push("start with the goroutine that waits for a lock or sends on a channel".to_owned());
    vec![finding]
}

#[cfg(test)]
mod tests {
    use necropsy_model::go::GoForm;

    use super::RULE;
    use crate::go::samples::Dump;

    #[test]
    fn fires() {
        let dump = Dump::asleep().add(1, "select (no cases)", &["main.main"]).add(1, "chan send", &["main.produce"]);
        let found = dump.findings(&RULE);
        assert!(found[0].title.ends_with("such as main.produce at jobs.go:1 in chan send"), "{}", found[0].title);
    }

    #[test]
    fn keeps_quiet() {
        assert!(!Dump::new(GoForm::Signalled).add(1, "chan send", &["main.produce"]).fires(&RULE));
        assert!(!Dump::fatal("out of memory").fires(&RULE));
    }
}
