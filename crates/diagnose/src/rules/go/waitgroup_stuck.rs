//! Wait groups that do not come to zero.

use necropsy_model::{Confidence, Finding, Group, Role, Severity, WaitKind};

use crate::go::{Go, finding, members, of_group};
use crate::{Case, Rule};

pub(crate) static RULE: Rule = Rule { id: "go-waitgroup-stuck", doc: include_str!("waitgroup_stuck.md"), check };

/// Groups of workers that are named.
const SHOWN: usize = 3;

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::alive(case) else { return Vec::new() };
    let waits =
        |group: &&Group| go.wait_kind(group) == Some(WaitKind::Barrier) || go.state(group) == "sync.WaitGroup.Wait";
    let Some(waiter) = go.front().find(waits) else { return Vec::new() };
    let frames = go.frames(waiter);
    let function = go.own_frame(waiter).and_then(|at| frames.get(at)).and_then(|frame| frame.function.as_deref());
    let function = function.unwrap_or_default();
    // Workers that the waiting function itself, or its closures, started.
    let started = |group: &Group| {
        let creator = group.created_by.and_then(|id| go.snapshot.frame(id)).and_then(|frame| frame.function.as_deref());
        creator.is_some_and(|creator| creator == function)
    };
    let workers: Vec<&Group> = go.front().filter(|group| !waits(group) && started(group)).collect();
    let runs = |group: &&Group| matches!(go.state(group), "running" | "runnable");
    let (running, workers): (Vec<&Group>, Vec<&Group>) = workers.into_iter().partition(runs);
    // Its workers are at work: it waits as it should.
    if workers.is_empty() && !running.is_empty() {
        return Vec::new();
    }
    let (title, confidence) = match workers.first() {
        Some(worker) => {
            let count = members(&workers);
            let stand = if count == 1 { "stands" } else { "stand" };
            let title = format!(
                "{} waits for a wait group while {} it started {stand} in {} at {}",
                go.at(waiter),
                go.share(count),
                go.state(worker),
                go.at(worker)
            );
            (title, Confidence::Medium)
        }
        None => {
            let why = "none of its workers is in the dump: a Done is missing, or it waits on others";
            (format!("{} waits for a wait group and {why}", go.at(waiter)), Confidence::Low)
        }
    };
    let mut finding = finding(RULE.id, Severity::Warning, confidence, title);
    finding.places.extend(go.place(waiter, Role::Waiter));
    finding.evidence.push(of_group(&go, waiter));
    for worker in workers.iter().take(SHOWN) {
        finding.places.extend(go.place(worker, Role::Related));
        finding.evidence.push(of_group(&go, worker));
    }
    finding.next.push("look at the goroutines that the same function created: which did not call Done?".to_owned());
    vec![finding]
}

#[cfg(test)]
mod tests {
    use necropsy_model::Confidence;
    use necropsy_model::go::GoForm;

    use super::RULE;
    use crate::go::samples::Dump;

    fn waiter() -> Dump {
        Dump::new(GoForm::Stacks).add(1, "sync.WaitGroup.Wait", &["sync.(*WaitGroup).Wait", "main.collect"])
    }

    #[test]
    fn fires() {
        let found = waiter().add(3, "chan send", &["main.collect.func1"]).created_by("main.collect").findings(&RULE);
        assert!(found[0].title.contains("3 of 4 goroutines it started stand in chan send"), "{}", found[0].title);
        let alone = waiter().add(3, "chan send", &["main.other"]).created_by("main.serve").findings(&RULE);
        assert_eq!(alone[0].confidence, Confidence::Low);
    }

    #[test]
    fn workers_that_run_are_waited_for_as_they_should() {
        let busy = waiter().add(2, "running", &["main.collect.func1"]).created_by("main.collect");
        assert!(!busy.fires(&RULE));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!Dump::new(GoForm::Stacks).add(1, "semacquire", &["sync.(*Mutex).Lock", "main.collect"]).fires(&RULE));
    }
}
