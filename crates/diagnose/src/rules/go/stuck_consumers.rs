//! Goroutines that pile up in a receive.

use necropsy_model::{Confidence, Evidence, Finding, Group, Role, Severity, Source};

use super::PILE;
use crate::go::{Go, finding, minutes, of_group};
use crate::{Case, Rule};

pub(crate) static RULE: Rule = Rule { id: "go-stuck-consumers", doc: include_str!("stuck_consumers.md"), check };

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::alive(case) else { return Vec::new() };
    let waiting = go.front().filter(|group| go.state(group) == "chan receive");
    let most = waiting.max_by_key(|group| (group.threads.len(), std::cmp::Reverse(group.threads.first().copied())));
    let Some(most) = most.filter(|group| group.threads.len() >= PILE) else { return Vec::new() };
    let sends = go.any(|group| go.state(group) == "chan send");
    let creator = go.creator(most).map(|creator| format!(", created by {creator}")).unwrap_or_default();
    let nobody = if sends { "" } else { "; nobody in the dump sends" };
    let title =
        format!("{} at {}{}{creator}{nobody}", go.does(most.threads.len(), "receive"), go.at(most), go.waited(most));
    let many = most.threads.len() * 2 >= go.snapshot.threads.len();
    let (severity, confidence) = match (sends, many) {
        (false, true) => (Severity::Critical, Confidence::Medium),
        (false, false) => (Severity::Warning, Confidence::Low),
        (true, _) => (Severity::Note, Confidence::Low),
    };
    let mut finding = finding(RULE.id, severity, confidence, title);
    finding.places.extend(go.place(most, Role::Waiter));
    finding.evidence.push(of_group(&go, most));
    if let Some(evidence) = creator_elsewhere(&go, most) {
        finding.evidence.push(evidence);
    }
    minutes(&go, most, &mut finding);
    finding
        .next
        .push("find who should send to this channel or close it; an idle pool of workers looks the same".to_owned());
    vec![finding]
}

/// Whether the function that started the consumers, the likeliest producer, is still in the dump, and what it does.
fn creator_elsewhere<'data>(go: &Go<'_, 'data>, most: &Group) -> Option<Evidence<'data>> {
    let creator = go.snapshot.frame(most.created_by?)?.function.as_deref()?;
    let stands = |group: &&Group| {
        let function = |frame: &&necropsy_model::Frame<'_>| frame.function.as_deref() == Some(creator);
        group.threads != most.threads && go.frames(group).iter().any(function)
    };
    Some(match go.groups.groups.iter().find(stands) {
        Some(group) => Evidence::new(
            format!(
                "{creator}, which started them, is in the dump: {} in {}",
                go.share(group.threads.len()),
                go.state(group)
            ),
            go.source(group),
        ),
        None => {
            Evidence::new(format!("{creator}, which started them, is not in the dump: it has returned"), Source::DUMP)
        }
    })
}

#[cfg(test)]
mod tests {
    use necropsy_model::go::GoForm;
    use necropsy_model::{Confidence, Severity};

    use super::RULE;
    use crate::go::samples::Dump;

    fn workers(count: u32) -> Dump {
        Dump::new(GoForm::Stacks).add(count, "chan receive", &["main.work"]).created_by("main.start").waited(47, 47)
    }

    #[test]
    fn fires() {
        let found = workers(9_982).add(131, "IO wait", &["main.serve"]).findings(&RULE);
        assert_eq!(
            found[0].title,
            "9,982 of 10,113 goroutines receive at main.work at jobs.go:1, 47 minutes or more, created by main.start at \
             jobs.go:40; nobody in the dump sends"
        );
        assert_eq!((found[0].severity, found[0].confidence), (Severity::Critical, Confidence::Medium));
        assert!(found[0].evidence.iter().any(|evidence| evidence.text.contains("it has returned")));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!workers(9).fires(&RULE), "a small pool");
        let fed = workers(50).add(1, "chan send", &["main.produce"]).findings(&RULE);
        assert_eq!(fed[0].severity, Severity::Note, "somebody sends");
    }
}
