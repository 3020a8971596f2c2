//! Goroutines of one creator that pile up over time.

use necropsy_model::{Activity, Confidence, Evidence, Finding, Group, Role, Severity, ThreadFlags};

use super::PILE;
use crate::go::{Go, finding, of_group};
use crate::{Case, Rule};

pub(crate) static RULE: Rule = Rule { id: "go-leak", doc: include_str!("leak.md"), check };

/// Seconds that the oldest of a leak has waited at least.
const OLD: u64 = 600;

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::alive(case) else { return Vec::new() };
    let spread = |group: &&Group| {
        group.threads.len() >= PILE
            && matches!(go.activity(group), Activity::Signal | Activity::Lock | Activity::Io | Activity::Never)
            && group.waited.is_some_and(|spread| spread.max_s >= OLD && spread.min_s * 4 <= spread.max_s)
    };
    let proved = |group: &Group| {
        let marked = |&at: &u32| go.thread(at).is_some_and(|thread| thread.flags.contains(ThreadFlags::LEAKED));
        group.threads.iter().any(marked)
    };
    let Some(group) = go.front().find(|group| spread(group) && !proved(group)) else { return Vec::new() };
    let Some(waited) = group.waited else { return Vec::new() };
    let creator = go.creator(group).unwrap_or_else(|| "main".to_owned());
    let title = format!(
        "{} created by {creator} pile up in {} at {}: the oldest waits {} minutes or more, the youngest {}",
        go.share(group.threads.len()),
        go.state(group),
        go.at(group),
        waited.max_s / 60,
        waited.min_s / 60
    );
    let mut finding = finding(RULE.id, Severity::Warning, Confidence::Medium, title);
    finding.places.extend(go.place(group, Role::Waiter));
    finding.evidence.push(of_group(&go, group));
    let text = format!("half of them have waited {} minutes or more", waited.median_s / 60);
    finding.evidence.push(Evidence::new(text, go.source(group)));
    finding.next.push("give the goroutine a way out: a context, a closed channel, a buffer of one".to_owned());
    vec![finding]
}

#[cfg(test)]
mod tests {
    use necropsy_model::go::GoForm;

    use super::RULE;
    use crate::go::samples::Dump;

    fn waits(count: u32, min: u64, max: u64) -> Dump {
        let dump = Dump::new(GoForm::Stacks).add(count, "chan send", &["main.fetch.func1"]);
        dump.created_by("main.fetch").waited(min, max)
    }

    #[test]
    fn fires() {
        let found = waits(300, 2, 120).findings(&RULE);
        assert!(found[0].title.contains("created by main.fetch at jobs.go:40 pile up"), "{}", found[0].title);
    }

    #[test]
    fn keeps_quiet() {
        assert!(!waits(300, 118, 120).fires(&RULE), "they all came at once");
        assert!(!waits(300, 1, 5).fires(&RULE), "too young");
        assert!(!waits(3, 2, 120).fires(&RULE), "too few");
        assert!(!waits(300, 2, 120).leaked().fires(&RULE), "proved: the other rule's");
    }
}
