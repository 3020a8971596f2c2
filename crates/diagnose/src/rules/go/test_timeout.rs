//! `go test` gave up.

use necropsy_model::{Confidence, Evidence, Finding, Role, Severity};

use crate::go::{Go, finding, in_program, of_group};
use crate::{Case, Rule};

pub(crate) static RULE: Rule = Rule { id: "go-test-timeout", doc: include_str!("test_timeout.md"), check };

/// How the alarm of Go's `testing/testing.go` begins.
pub(super) const ALARM: &str = "test timed out after";

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::of(case) else { return Vec::new() };
    let Some(alarm) = go.facts.panics.iter().find(|panic| panic.value.starts_with(ALARM)) else { return Vec::new() };
    let names: Vec<_> = go.facts.running_tests.iter().map(|(name, _)| name.to_string()).collect();
    let function = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let in_test = |name: &str| {
        let function = function(name);
        names.iter().any(|test| test.split('/').next() == Some(&function))
            || names.is_empty() && function.starts_with("Test") && !crate::go::is_std(name)
    };
    let group = go.front().find(|group| {
        let frames = go.frames(group);
        frames.iter().any(|frame| in_program(frame) && frame.function.as_deref().is_some_and(in_test))
            && go.state(group) != "running"
    });
    let stands_in = || {
        let frames = go.frames(group?);
        frames.iter().filter_map(|frame| frame.function.as_deref()).find(|name| in_test(name)).map(function)
    };
    // Before Go 1.20 the alarm does not say which tests run: the stack does.
    let test = names.first().cloned().or_else(stands_in).unwrap_or_else(|| "a test".to_owned());
    let at = group.map(|group| format!(": {} at {}", go.state(group), go.at(group))).unwrap_or_default();
    let first = alarm.value.lines().next().unwrap_or_default();
    let confidence = if group.is_some() { Confidence::High } else { Confidence::Medium };
    let title = format!("{test} hangs ({first}){at}");
    let mut finding = finding(RULE.id, Severity::Critical, confidence, title);
    finding.evidence.push(Evidence::new(first.to_owned(), alarm.source));
    if let Some(group) = group {
        finding.places.extend(go.place(group, Role::Waiter));
        finding.evidence.push(of_group(&go, group));
    }
    finding.next.push("look at the goroutine of the test; the one that panicked is the alarm".to_owned());
    vec![finding]
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::go::samples::Dump;

    #[test]
    fn fires() {
        let alarm =
            || Dump::panic("test timed out after 2s").add(1, "running", &["panic", "testing.(*M).startAlarm.func1"]);
        let mut dump = alarm().add(1, "chan receive", &["shop.TestSlow", "testing.tRunner"]);
        let before_1_20 = dump.findings(&RULE);
        assert!(before_1_20[0].title.starts_with("TestSlow hangs"), "{}", before_1_20[0].title);
        dump.facts().running_tests.push(("TestSlow/refund".into(), Some(2)));
        assert!(dump.findings(&RULE)[0].title.starts_with("TestSlow/refund hangs"));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!Dump::panic("boom").add(1, "running", &["panic", "shop.TestSlow"]).fires(&RULE));
    }
}
