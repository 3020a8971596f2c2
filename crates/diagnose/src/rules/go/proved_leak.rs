//! Goroutines of which the garbage collector proved that nothing can wake them.

use necropsy_model::{Confidence, Evidence, Finding, Group, Role, Severity, ThreadFlags};

use crate::go::{Go, finding};
use crate::{Case, Rule};

pub(crate) static RULE: Rule = Rule { id: "go-proved-leak", doc: include_str!("proved_leak.md"), check };

/// Groups that are named.
const SHOWN: usize = 6;

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    // A million goroutines are looked at only when a mark is among them.
    let Some(go) = Go::alive(case).filter(|go| go.facts.leak_profile) else { return Vec::new() };
    let leaked = |group: &Group| {
        let marked = |&at: &u32| go.thread(at).is_some_and(|thread| thread.flags.contains(ThreadFlags::LEAKED));
        group.threads.iter().filter(|at| marked(at)).count()
    };
    let mut proved: Vec<_> =
        go.groups.groups.iter().map(|group| (leaked(group), group)).filter(|(count, _)| *count > 0).collect();
    proved.sort_by_key(|(count, group)| (std::cmp::Reverse(*count), group.threads.first().copied()));
    let Some((_, most)) = proved.first() else { return Vec::new() };
    let total: usize = proved.iter().map(|(count, _)| count).sum();
    let creator = go.creator(most).map(|creator| format!(", created by {creator}")).unwrap_or_default();
    let most_at = if proved.len() > 1 { "; most at " } else { " at " };
    let title = format!("{} leaked, proved by the garbage collector{most_at}{}{creator}", go.share(total), go.at(most));
    let mut finding = finding(RULE.id, Severity::Critical, Confidence::High, title);
    for (count, group) in proved.iter().take(SHOWN) {
        finding.places.extend(go.place(group, Role::Waiter));
        let text = format!("{} marked (leaked) in {} at {}", go.share(*count), go.state(group), go.at(group));
        finding.evidence.push(Evidence::new(text, go.source(group)));
    }
    finding.next.push("give the goroutine a way out: a context, a closed channel, a buffer of one".to_owned());
    vec![finding]
}

#[cfg(test)]
mod tests {
    use necropsy_model::Confidence;
    use necropsy_model::go::GoForm;

    use super::RULE;
    use crate::go::samples::Dump;

    #[test]
    fn fires() {
        let dump = Dump::new(GoForm::Stacks).add(12, "chan send", &["main.fetch.func1"]).created_by("main.fetch");
        let found = dump.leaked().findings(&RULE);
        assert_eq!(found[0].confidence, Confidence::High);
        assert!(found[0].title.ends_with("created by main.fetch at jobs.go:40"), "{}", found[0].title);
    }

    #[test]
    fn keeps_quiet() {
        assert!(!Dump::new(GoForm::Stacks).add(12, "chan send", &["main.fetch.func1"]).fires(&RULE));
    }
}
