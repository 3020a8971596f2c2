//! Goroutines that use the CPU.

use necropsy_model::{Confidence, Finding, Group, Role, Severity};

use crate::go::{Go, finding, is_std, members, show};
use crate::{Case, Rule};

pub(crate) static RULE: Rule = Rule { id: "go-spinning", doc: include_str!("spinning.md"), check };

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::alive(case) else { return Vec::new() };
    let own = |group: &Group| {
        let frames = go.frames(group);
        let first =
            frames.iter().find_map(|frame| frame.function.as_deref().filter(|name| !name.starts_with("runtime.")));
        first.is_some_and(|name| !is_std(name))
    };
    let busy: Vec<&Group> = go
        .front()
        .filter(|group| crate::go::verdict::is_busy(go.activity(group)) && own(group))
        .filter(|group| !writes_the_dump(&go, group) && !is_about_to_wait(&go, group))
        .collect();
    let Some(first) = busy.first() else { return Vec::new() };
    let title = format!("{} on a CPU or queue for one, first in {}", go.does(members(&busy), "run"), go.at(first));
    let mut finding = finding(RULE.id, Severity::Note, Confidence::Low, title);
    show(&go, &busy, Role::Related, &mut finding);
    finding.next.push("take a second dump: a goroutine that runs in both is the one that uses the CPU".to_owned());
    vec![finding]
}

/// The goroutine that prints all others runs because of that.
///
/// `runtime.Stack` has no frame of its own in the dump: it runs on the system stack. What is left is a function whose
/// caller asked for a dump, which is `running` while all others of a dump that was not asked for by a signal are not.
pub(super) fn writes_the_dump(go: &Go<'_, '_>, group: &Group) -> bool {
    const WRITERS: [&str; 4] = [
        "runtime/pprof.writeGoroutineStacks",
        "runtime/pprof.writeRuntimeProfile",
        "runtime.Stack",
        "runtime/debug.Stack",
    ];
    let named = |name: &str| WRITERS.contains(&name) || name.starts_with("testing.(*M).startAlarm");
    let asked = || {
        go.facts.form == necropsy_model::go::GoForm::Stacks
            && go.state(group) == "running"
            && group.threads.len() == 1
            && group.threads.first() == Some(&0)
    };
    go.frames(group).iter().filter_map(|frame| frame.function.as_deref()).any(named) || asked()
}

/// A goroutine that blocks next is `runnable`: its innermost call is of the runtime.
fn is_about_to_wait(go: &Go<'_, '_>, group: &Group) -> bool {
    go.frames(group).first().and_then(|frame| frame.function.as_deref()).is_some_and(|name| {
        name == "runtime.block"
            || name.starts_with("runtime.gopark")
            || name.starts_with("syscall.")
            || name.starts_with("internal/runtime/syscall")
    })
}

#[cfg(test)]
mod tests {
    use necropsy_model::go::GoForm;

    use super::RULE;
    use crate::go::samples::Dump;

    #[test]
    fn fires() {
        let dump = Dump::new(GoForm::Signalled).add(1, "sleep", &["time.Sleep", "main.main"]);
        let found = dump.add(2, "runnable", &["main.spin"]).findings(&RULE);
        assert!(found[0].title.starts_with("2 of 3 goroutines run on a CPU"), "{}", found[0].title);
    }

    #[test]
    fn keeps_quiet() {
        let writer = Dump::new(GoForm::Stacks).add(1, "running", &["main.dumpStacks", "main.main"]);
        assert!(!writer.fires(&RULE), "it writes the dump");
        let parks = Dump::new(GoForm::Signalled).add(1, "runnable", &["runtime.gopark", "main.main"]);
        assert!(!parks.fires(&RULE));
    }
}
