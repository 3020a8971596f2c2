//! Errors of the runtime that nobody can recover, but for those that have a rule of their own.

use necropsy_model::Finding;

use crate::go::{Go, fatal};
use crate::{Case, Rule};

pub(crate) static RULE: Rule = Rule { id: "go-fatal-error", doc: include_str!("fatal_error.md"), check };

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::of(case) else { return Vec::new() };
    let Some(line) = fatal::line(&go) else { return Vec::new() };
    let text = &*line.text;
    let other = fatal::is_memory(text) || fatal::is_map(text) || fatal::is_threads(text) || text == "stack overflow";
    if other || go.is_all_asleep() || fatal::in_c(&go) {
        return Vec::new();
    }
    let (means, next) = meaning(text);
    fatal::found(&go, RULE.id, means, next).into_iter().collect()
}

/// What the runtime's words mean, and what to do.
fn meaning(text: &str) -> (&'static str, &'static str) {
    match text {
        _ if text.contains("of unlocked") => (
            "a lock was released that was not held",
            "look for a second Unlock, or one without its Lock, on the way to this line",
        ),
        "fault" => {
            ("memory at a wild address was used: unsafe, C code or a damaged pointer", "take a core: GOTRACEBACK=crash")
        }
        _ if text.starts_with("unexpected signal") => {
            ("a signal came outside of Go code: C, unsafe or a damaged runtime", "take a core: GOTRACEBACK=crash")
        }
        _ => ("the runtime gave up", "read the words of the runtime"),
    }
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::go::samples::Dump;

    #[test]
    fn fires() {
        assert!(Dump::fatal("sync: unlock of unlocked mutex").add(1, "running", &["main.f"]).fires(&RULE));
        assert!(Dump::fatal("fault").fires(&RULE));
    }

    #[test]
    fn keeps_quiet() {
        for text in ["concurrent map writes", "out of memory", "stack overflow", "thread exhaustion"] {
            assert!(!Dump::fatal(text).fires(&RULE), "{text}");
        }
        assert!(!Dump::asleep().fires(&RULE));
        let in_c = Dump::fatal("unexpected signal during runtime execution").signal("SIGSEGV", 0, false);
        assert!(!in_c.add(1, "syscall", &["runtime.cgocall", "main._Cfunc_f", "main.main"]).fires(&RULE));
    }
}
