//! The system gave no memory.

use necropsy_model::Finding;

use crate::go::{Go, fatal};
use crate::{Case, Rule};

pub(crate) static RULE: Rule = Rule { id: "go-out-of-memory", doc: include_str!("out_of_memory.md"), check };

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::of(case) else { return Vec::new() };
    if fatal::line(&go).is_none_or(|line| !fatal::is_memory(&line.text)) {
        return Vec::new();
    }
    let next = "the goroutine that asked is seldom the one that holds it: take a heap profile of the running program";
    fatal::found(&go, RULE.id, "no memory was left for this request", next).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::go::samples::Dump;

    #[test]
    fn fires() {
        assert!(Dump::fatal("out of memory").add(1, "running", &["runtime.throw", "main.grow"]).fires(&RULE));
        assert!(Dump::fatal("runtime: cannot allocate memory").fires(&RULE));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!Dump::fatal("stack overflow").fires(&RULE));
        assert!(!Dump::panic("out of memory").fires(&RULE), "the program's own words");
    }
}
