//! Nothing is stuck.

use necropsy_model::{Activity, Confidence, Evidence, Finding, Group, Role, Severity};

use super::spinning::writes_the_dump;
use crate::go::{Go, finding, number};
use crate::{Case, Rule};

pub(crate) static RULE: Rule = Rule { id: "go-background-only", doc: include_str!("background_only.md"), check };

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::alive(case).filter(|go| !go.is_all_asleep()) else { return Vec::new() };
    let rest: Vec<&Group> = go.front().filter(|group| !writes_the_dump(&go, group)).collect();
    let background = go.groups.groups.iter().any(|group| group.background);
    if !background || go.facts.cut.is_some() || !rest.iter().all(|group| waits_to_be_ended(&go, group)) {
        return Vec::new();
    }
    let count = go.snapshot.threads.len();
    let of_program = |group: &&&Group| go.frames(group).iter().any(|frame| crate::go::in_program(frame));
    let main = rest.iter().find(of_program);
    let title = match main {
        Some(main) => {
            format!("nothing is stuck: main waits to be ended at {}, the others are idle background", go.at(main))
        }
        None => "nothing is stuck: only idle background goroutines".to_owned(),
    };
    let mut finding = finding(RULE.id, Severity::Note, Confidence::Medium, title);
    finding.places.extend(main.and_then(|main| go.place(main, Role::Related)));
    let source = go.groups.groups.first().map_or(necropsy_model::Source::DUMP, |group| go.source(group));
    let text = format!("{} goroutines, none of which waits for anything of the program", number(count));
    finding.evidence.push(Evidence::new(text, source));
    finding.next.push("check that it is the right process; take the dump while the trouble lasts".to_owned());
    vec![finding]
}

/// The main goroutine, where programs wait for their end (a signal, a server that accepts, an empty select), or a goroutine
/// that only waits in the standard library.
fn waits_to_be_ended(go: &Go<'_, '_>, group: &Group) -> bool {
    let of_library = !go.frames(group).iter().any(|frame| crate::go::in_program(frame));
    if of_library {
        return matches!(go.state(group), "select" | "chan receive" | "IO wait" | "syscall");
    }
    let is_main = go.frames(group).iter().any(|frame| frame.function.as_deref() == Some("main.main"));
    let waits = matches!(go.activity(group), Activity::Never | Activity::Signal | Activity::Idle);
    is_main && waits && matches!(go.state(group), "select (no cases)" | "chan receive" | "select")
}

#[cfg(test)]
mod tests {
    use necropsy_model::go::GoForm;

    use super::RULE;
    use crate::go::samples::Dump;

    fn idle() -> Dump {
        Dump::new(GoForm::Signalled).add(4, "force gc (idle)", &["runtime.gopark", "runtime.forcegchelper"])
    }

    #[test]
    fn fires() {
        assert!(idle().fires(&RULE));
        let found = idle().add(1, "chan receive", &["main.main"]).findings(&RULE);
        assert!(found[0].title.starts_with("nothing is stuck: main waits to be ended"), "{}", found[0].title);
    }

    #[test]
    fn keeps_quiet() {
        assert!(!idle().add(1, "chan send", &["main.produce"]).fires(&RULE));
        assert!(!idle().add(1, "sync.Mutex.Lock", &["sync.(*Mutex).Lock", "main.main"]).fires(&RULE));
        assert!(!Dump::new(GoForm::Signalled).fires(&RULE), "nothing at all");
    }
}
