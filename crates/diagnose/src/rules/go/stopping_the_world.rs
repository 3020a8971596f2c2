//! The world is to stop, and somebody goes on.

use necropsy_model::{Activity, Confidence, Finding, FrameKind, Group, Role, Severity};

use crate::go::{Go, finding, of_group};
use crate::{Case, Rule};

pub(crate) static RULE: Rule = Rule { id: "go-stopping-the-world", doc: include_str!("stopping_the_world.md"), check };

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::alive(case) else { return Vec::new() };
    // The collector's own worker stops the world at the end of each cycle: that is a part of its work.
    let collects = |group: &Group| {
        go.frames(group).iter().any(|frame| frame.function.as_deref() == Some("runtime.gcBgMarkWorker"))
    };
    let stops = |group: &&Group| {
        let said = matches!(
            go.state(group),
            "stopping the world" | "flushing proc caches" | "trace goroutine status" | "trace proc status"
        );
        said && !collects(group)
    };
    let Some(group) = go.groups.groups.iter().find(stops) else { return Vec::new() };
    // The one that does not yield runs code of the program or of a library.
    let holds = go.front().find(|group| {
        go.activity(group) == Activity::Running
            && go.frames(group).first().is_some_and(|frame| frame.kind != FrameKind::Runtime)
    });
    let who = holds.map_or_else(|| "a goroutine keeps".to_owned(), |group| format!("{} keeps", go.at(group)));
    let title = format!("the world is being stopped ({}) at {}, and {who} running", go.state(group), go.at(group));
    let mut finding = finding(RULE.id, Severity::Warning, Confidence::Medium, title);
    finding.places.extend(go.place(group, Role::Waiter));
    finding.evidence.push(of_group(&go, group));
    if let Some(holds) = holds {
        finding.places.extend(go.place(holds, Role::Holder));
        finding.evidence.push(of_group(&go, holds));
    }
    finding.next.push("look at the goroutines that run: a long copy, assembler, a loop in Go before 1.14".to_owned());
    vec![finding]
}

#[cfg(test)]
mod tests {
    use necropsy_model::go::GoForm;

    use super::RULE;
    use crate::go::samples::Dump;

    #[test]
    fn fires() {
        let dump = Dump::new(GoForm::Stacks).add(1, "stopping the world", &["runtime.GC", "main.trim"]);
        let found = dump.add(1, "running", &["main.copyAll"]).findings(&RULE);
        assert!(found[0].title.ends_with("main.copyAll at jobs.go:1 keeps running"), "{}", found[0].title);
    }

    #[test]
    fn keeps_quiet() {
        assert!(!Dump::new(GoForm::Stacks).add(1, "running", &["main.copyAll"]).fires(&RULE));
        let collector = ["runtime.gcMarkTermination", "runtime.gcMarkDone", "runtime.gcBgMarkWorker"];
        assert!(!Dump::new(GoForm::Signalled).add(1, "flushing proc caches", &collector).fires(&RULE));
    }
}
