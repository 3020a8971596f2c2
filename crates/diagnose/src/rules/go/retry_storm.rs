//! Everybody sleeps at one place.

use necropsy_model::{Confidence, Evidence, Finding, Role, Severity};

use super::largest;
use crate::go::{Go, finding, of_group};
use crate::{Case, Rule};

pub(crate) static RULE: Rule = Rule { id: "go-retry-storm", doc: include_str!("retry_storm.md"), check };

/// Parts of names of functions that try again, in lower case.
const WORDS: [&str; 4] = ["retry", "backoff", "reconnect", "throttle"];

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::alive(case) else { return Vec::new() };
    let named = |group: &necropsy_model::Group| {
        let names = go.frames(group).into_iter().filter_map(|frame| frame.function.as_deref());
        names.map(str::to_lowercase).find(|name| WORDS.iter().any(|word| name.contains(word)))
    };
    // A pause that can be cancelled is a select on a timer; only its name tells that from any other select.
    let sleeps = |group: &necropsy_model::Group| match go.state(group) {
        "sleep" => true,
        "select" => named(group).is_some(),
        _ => false,
    };
    let Some((count, group)) = largest(&go, sleeps) else { return Vec::new() };
    let title = format!("{} sleep in {}: a retry with a pause, or a throttle", go.share(count), go.at(group));
    let word = named(group);
    let confidence = if word.is_some() { Confidence::Medium } else { Confidence::Low };
    let mut finding = finding(RULE.id, Severity::Warning, confidence, title);
    finding.places.extend(go.place(group, Role::Waiter));
    finding.evidence.push(of_group(&go, group));
    if word.is_some() {
        finding
            .evidence
            .push(Evidence::new("the name of a function on the stack says that it tries again", go.source(group)));
    }
    finding.next.push("read what the function does around the sleep, and look at the service it calls".to_owned());
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
        let dump = |call| Dump::new(GoForm::Stacks).add(60, "sleep", &["time.Sleep", call]);
        assert_eq!(dump("main.poll").findings(&RULE)[0].confidence, Confidence::Low);
        assert_eq!(dump("main.withRetry").findings(&RULE)[0].confidence, Confidence::Medium);
        assert!(Dump::new(GoForm::Stacks).add(60, "select", &["main.(*Backoff).Wait"]).fires(&RULE));
    }

    #[test]
    fn keeps_quiet() {
        let mixed = Dump::new(GoForm::Stacks).add(12, "sleep", &["time.Sleep", "main.poll"]);
        assert!(!mixed.add(60, "chan receive", &["main.work"]).fires(&RULE), "most do something else");
        assert!(!Dump::new(GoForm::Stacks).add(2, "sleep", &["time.Sleep", "main.withRetry"]).fires(&RULE));
    }
}
