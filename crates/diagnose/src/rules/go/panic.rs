//! A panic that nobody recovered, or one that a server recovered and logged.

use necropsy_model::Finding;
use necropsy_model::go::GoForm;

use crate::go::{Go, panics};
use crate::{Case, Rule};

pub(crate) static RULE: Rule = Rule { id: "go-panic", doc: include_str!("panic.md"), check };

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::of(case).filter(|go| panics::is_panic(go) && !panics::is_nil(go)) else { return Vec::new() };
    let Some(last) = go.facts.panics.last() else { return Vec::new() };
    let raised = panics::Raised::of(&go);
    let at = raised.at().map(|at| format!(", raised in {at}")).unwrap_or_default();
    let value = last.value.lines().next().unwrap_or_default();
    let what = if go.facts.form == GoForm::Recovered { "a panic was recovered and logged" } else { "panic" };
    let mut finding = panics::found(&go, RULE.id, &raised, format!("{what}: {value}{at}"));
    finding.next.push(next(go.facts.panics.first().map_or("", |first| &first.value)).to_owned());
    vec![finding]
}

/// What to look for, by the words of the first panic: those of Go's `runtime/error.go`, `runtime/chan.go` and `sync`.
fn next(value: &str) -> &'static str {
    match value {
        _ if value.contains("index out of range") || value.contains("slice bounds out of range") => {
            "find where the index and the length come from: the value is in the words of the panic"
        }
        _ if value.contains("nil map") => "find the map that was declared and never made",
        _ if value.contains("closed channel") => {
            "find who closes the channel: only the sender may, once, after its last send"
        }
        _ if value.contains("interface conversion") => "use the two-value form of the type assertion, or a type switch",
        _ if value.contains("divide by zero") => "find where the divisor comes from",
        _ if value.contains("negative WaitGroup counter") => {
            "count the Done calls: one Add is missing, or one Done too many"
        }
        _ if value.contains("in bubble are blocked") => {
            "look at the goroutines of the bubble: one waits for what nobody in it does"
        }
        _ => "read the frame that is named, then who handed it the value",
    }
}

#[cfg(test)]
mod tests {
    use necropsy_model::Role;
    use necropsy_model::go::{GoForm, GoPanic};

    use super::RULE;
    use crate::go::samples::Dump;

    #[test]
    fn fires() {
        let found =
            Dump::panic("runtime error: index out of range [-1]").add(1, "running", &["main.pop"]).findings(&RULE);
        assert_eq!(found[0].title, "panic: runtime error: index out of range [-1], raised in main.pop at jobs.go:1");
        assert!(found[0].next[0].contains("index"));
    }

    #[test]
    fn the_first_panic_of_a_chain_is_the_origin() {
        let calls = ["main.cleanup", "panic", "main.pay", "main.main"];
        let mut dump = Dump::panic("no such account").add(1, "running", &calls);
        let (value, source) = ("second, in defer".into(), necropsy_model::Source::line(2));
        dump.facts().panics.push(GoPanic { value, recovered: false, repanicked: false, source });
        let found = dump.findings(&RULE);
        let origin = found[0].places.iter().find(|place| place.role == Role::Origin);
        assert_eq!(origin.and_then(|place| place.function.as_deref()), Some("main.pay"));
        assert!(found[0].title.starts_with("panic: second, in defer"));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!Dump::panic("test timed out after 2s").add(1, "running", &["main.f"]).fires(&RULE));
        assert!(!Dump::panic("invalid memory address or nil pointer dereference").fires(&RULE));
        assert!(!Dump::new(GoForm::Stacks).add(1, "running", &["main.f"]).fires(&RULE));
    }
}
