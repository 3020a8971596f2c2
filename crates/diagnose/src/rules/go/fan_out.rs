//! One set of goroutines for each of many things.

use necropsy_model::{Confidence, Finding, Group, Role, Severity};

use crate::go::{Go, finding, number, show};
use crate::{Case, Rule};

pub(crate) static RULE: Rule = Rule { id: "go-fan-out", doc: include_str!("fan_out.md"), check };

/// Goroutines of one stack from which it is worth a word.
const MANY: usize = 100;

/// Stacks of a set.
const STACKS: usize = 3;

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::alive(case) else { return Vec::new() };
    let mut groups: Vec<&Group> = go.groups.groups.iter().filter(|group| group.threads.len() >= MANY).collect();
    groups.sort_by_key(|group| (std::cmp::Reverse(group.threads.len()), group.threads.first().copied()));
    // The longest run of stacks whose counts differ by a twentieth at most.
    let alike = |from: usize| -> &[&Group] {
        let rest = groups.get(from..).unwrap_or_default();
        let most = rest.first().map_or(0, |group| group.threads.len());
        let end = rest.iter().take_while(|group| group.threads.len() * 20 >= most * 19).count();
        rest.get(..end).unwrap_or_default()
    };
    let runs = (0..groups.len()).map(alike);
    let Some(set) = runs.max_by_key(|run| (run.len(), std::cmp::Reverse(run.first().map(|group| group.threads.len()))))
    else {
        return Vec::new();
    };
    let Some(least) = set.last().map(|group| group.threads.len()).filter(|_| set.len() >= STACKS) else {
        return Vec::new();
    };
    let title = format!(
        "{} stacks have about {} goroutines each: one set of goroutines for each of so many things",
        set.len(),
        number(least)
    );
    let mut finding = finding(RULE.id, Severity::Note, Confidence::Medium, title);
    show(&go, set, Role::Related, &mut finding);
    finding.next.push(format!("compare {} with how many of these things should exist", number(least)));
    vec![finding]
}

#[cfg(test)]
mod tests {
    use necropsy_model::go::GoForm;

    use super::RULE;
    use crate::go::samples::Dump;

    #[test]
    fn fires() {
        let dump = Dump::new(GoForm::Counts).add(1010, "", &["main.read"]).add(1000, "", &["main.write"]);
        let found = dump.add(1003, "", &["main.watch"]).add(3, "", &["main.serve"]).findings(&RULE);
        assert!(found[0].title.starts_with("3 stacks have about 1,000 goroutines each"), "{}", found[0].title);
    }

    #[test]
    fn keeps_quiet() {
        let dump = Dump::new(GoForm::Counts).add(1000, "", &["main.read"]).add(700, "", &["main.write"]);
        assert!(!dump.add(400, "", &["main.watch"]).fires(&RULE), "different counts");
    }
}
