//! Everybody waits for one service.

use necropsy_model::{Confidence, Finding, Role, Severity};

use super::largest;
use crate::go::{Go, finding, in_program, minutes, of_group};
use crate::{Case, Rule};

pub(crate) static RULE: Rule =
    Rule { id: "go-same-downstream-call", doc: include_str!("same_downstream_call.md"), check };

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::alive(case) else { return Vec::new() };
    // A request of the HTTP transport waits in a select for the goroutine that reads its connection.
    let in_request = |group: &necropsy_model::Group| {
        go.frames(group).iter().any(|frame| frame.function.as_deref() == Some("net/http.(*persistConn).roundTrip"))
    };
    let waits = |group: &necropsy_model::Group| match go.state(group) {
        "IO wait" => true,
        "select" => in_request(group),
        _ => false,
    };
    let Some((count, group)) = largest(&go, waits) else { return Vec::new() };
    let frames = go.frames(group);
    // A server that waits for the next request of its client is idle.
    let called = frames.iter().position(|frame| in_program(frame));
    let serves = frames
        .iter()
        .position(|frame| frame.function.as_deref().is_some_and(|name| name.starts_with("net/http.(*conn).serve")));
    let Some(called) = called else { return Vec::new() };
    if serves.is_some_and(|serves| serves < called) {
        return Vec::new();
    }
    let title =
        format!("{} wait for an answer from the network in {}{}", go.share(count), go.at(group), go.waited(group));
    let mut finding = finding(RULE.id, Severity::Warning, Confidence::Medium, title);
    finding.places.extend(go.place(group, Role::Waiter));
    finding.evidence.push(of_group(&go, group));
    minutes(&go, group, &mut finding);
    finding.next.push("look at the service behind this call; put a deadline on it".to_owned());
    vec![finding]
}

#[cfg(test)]
mod tests {
    use necropsy_model::go::GoForm;

    use super::RULE;
    use crate::go::samples::Dump;

    #[test]
    fn fires() {
        let reads = ["internal/poll.(*FD).Read", "net.(*conn).Read", "main.askLedger", "main.serve"];
        assert!(Dump::new(GoForm::Stacks).add(60, "IO wait", &reads).fires(&RULE));
        let requests =
            ["net/http.(*persistConn).roundTrip", "net/http.(*Client).Do", "main.charge", "net/http.(*conn).serve"];
        let found = Dump::new(GoForm::Stacks).add(60, "select", &requests).findings(&RULE);
        assert!(found[0].title.contains("in main.charge at jobs.go:3"), "{}", found[0].title);
    }

    #[test]
    fn keeps_quiet() {
        let idle = ["internal/poll.(*FD).Read", "net/http.(*connReader).Read", "net/http.(*conn).serve"];
        assert!(!Dump::new(GoForm::Stacks).add(60, "IO wait", &idle).fires(&RULE), "keep-alive connections");
        let few = ["internal/poll.(*FD).Read", "main.askLedger"];
        assert!(!Dump::new(GoForm::Stacks).add(3, "IO wait", &few).fires(&RULE));
        assert!(!Dump::new(GoForm::Stacks).add(60, "select", &["main.loop"]).fires(&RULE));
    }
}
