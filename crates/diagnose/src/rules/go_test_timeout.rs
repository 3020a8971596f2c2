//! `go test` gave up.

use necropsy_model::{Confidence, Evidence, Finding, Role, Severity};

use crate::go::{Go, finding};
use crate::{Case, Rule};

pub(super) static RULE: Rule = Rule {
    id: "go-test-timeout",
    doc: "\
# What it means
A test ran longer than `-timeout`. The goroutine that panicked is the alarm of the testing package, not the culprit.
# Why it matters
The tests named after `running tests:` are those that hang.
# How it can be wrong
A slow machine makes a slow test look stuck.
# What to do
Look at the goroutine that stands in the named test.
",
    check,
};

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::of(case) else { return Vec::new() };
    let Some(alarm) = go.facts.panics.iter().find(|panic| panic.value.starts_with("test timed out after")) else {
        return Vec::new();
    };
    let names: Vec<_> = go.facts.running_tests.iter().map(|(name, _)| name.to_string()).collect();
    let in_test = |name: &str| {
        let function = name.rsplit('.').next().unwrap_or_default();
        names.iter().any(|test| test.split('/').next() == Some(function))
            || names.is_empty() && function.starts_with("Test")
    };
    let group = go.front().find(|group| {
        go.frames(group).iter().any(|frame| frame.function.as_deref().is_some_and(in_test))
            && !matches!(go.state(group), "running")
    });
    let test = names.first().cloned().unwrap_or_else(|| "a test".to_owned());
    let at = group.map(|group| format!(": {} at {}", go.state(group), go.at(group))).unwrap_or_default();
    let first = alarm.value.lines().next().unwrap_or_default();
    let mut finding = finding(
        RULE.id,
        Severity::Critical,
        if group.is_some() { Confidence::High } else { Confidence::Medium },
        format!("{test} hangs ({first}){at}"),
    );
    finding.evidence.push(Evidence::new(first.to_owned(), alarm.source));
    if let Some(group) = group {
        finding.places.extend(go.place(group, Role::Waiter));
        finding.evidence.push(crate::go::of_group(&go, group));
    }
    vec![finding]
}
