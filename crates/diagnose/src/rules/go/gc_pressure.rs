//! Goroutines that the garbage collector keeps busy.

use necropsy_model::{Confidence, Finding, Group, Role, Severity};

use crate::go::{Go, finding, members, show};
use crate::{Case, Rule};

pub(crate) static RULE: Rule = Rule { id: "go-gc-pressure", doc: include_str!("gc_pressure.md"), check };

/// Goroutines from which it is more than one collection that happens to run.
const SEVERAL: usize = 3;

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::alive(case) else { return Vec::new() };
    let helps = |group: &&Group| {
        let said = matches!(
            go.state(group),
            "GC assist marking" | "GC assist wait" | "wait for GC cycle" | "GC weak to strong wait"
        );
        // Whoever allocates while a cycle is to begin waits for it in `gcStart` of Go's `runtime/mgc.go`.
        let starts = || {
            let mut names = go.frames(group).into_iter().filter_map(|frame| frame.function.as_deref());
            names.any(|name| matches!(name, "runtime.gcStart" | "runtime.gcAssistAlloc"))
        };
        said || go.state(group) == "semacquire" && starts()
    };
    let groups: Vec<_> = go.groups.groups.iter().filter(helps).collect();
    let count = members(&groups);
    let Some(most) = groups.first().filter(|_| count >= SEVERAL) else { return Vec::new() };
    let title = format!("{} help or wait for the garbage collector, first at {}", go.share(count), go.at(most));
    let mut finding = finding(RULE.id, Severity::Warning, Confidence::Medium, title);
    show(&go, &groups, Role::Related, &mut finding);
    finding.next.push("take an allocation profile; look at GOGC, GOMEMLIMIT and the limit of the container".to_owned());
    vec![finding]
}

#[cfg(test)]
mod tests {
    use necropsy_model::go::GoForm;

    use super::RULE;
    use crate::go::samples::Dump;

    #[test]
    fn fires() {
        let dump = Dump::new(GoForm::Stacks).add(5, "GC assist wait", &["runtime.gcAssistAlloc", "main.parse"]);
        assert!(dump.add(2, "GC assist marking", &["main.parse"]).findings(&RULE)[0].title.starts_with("7 of 7"));
    }

    #[test]
    fn who_waits_for_a_cycle_to_begin_counts() {
        let calls = ["runtime.semacquire", "runtime.gcStart", "runtime.mallocgc", "main.parse"];
        assert!(Dump::new(GoForm::Signalled).add(20, "semacquire", &calls).fires(&RULE));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!Dump::new(GoForm::Stacks).add(1, "GC assist wait", &["main.parse"]).fires(&RULE));
        assert!(!Dump::new(GoForm::Stacks).add(9, "force gc (idle)", &["runtime.gopark"]).fires(&RULE));
    }
}
