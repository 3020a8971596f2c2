//! A recursion without end.

use necropsy_model::{Evidence, Finding, Frame, Role, Source};

use crate::go::{Go, fatal, words};
use crate::{Case, Rule};

/// Frames in which a turn of a recursion is looked for; the runtime prints fifty innermost ones.
const TURN: usize = 24;

pub(crate) static RULE: Rule = Rule { id: "go-stack-overflow", doc: include_str!("stack_overflow.md"), check };

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::of(case) else { return Vec::new() };
    if fatal::line(&go).is_none_or(|line| line.text != "stack overflow") {
        return Vec::new();
    }
    let next = "find the missing end of the recursion in the functions named";
    let mut found = fatal::found(&go, RULE.id, "a recursion without end", next);
    if let Some(finding) = &mut found {
        turn(&go, finding);
    }
    found.into_iter().collect()
}

/// Says which functions take turns, and from where they were entered.
fn turn<'data>(go: &Go<'_, 'data>, finding: &mut Finding<'data>) {
    let number = go.snapshot.stop.as_ref().and_then(|stop| stop.thread).unwrap_or(0);
    let Some(thread) = go.snapshot.threads.get(number) else { return };
    let all: Vec<_> = go.snapshot.frames_of(thread).collect();
    // What checks the stack stands above the recursion.
    let above = all.iter().take_while(|frame| frame.kind == necropsy_model::FrameKind::Runtime).count();
    let frames = all.get(above..).unwrap_or_default();
    let name = |frame: &&Frame<'_>| frame.function.as_deref().unwrap_or_default().to_owned();
    // By functions: a turn enters each at its own line but for the first.
    let names: Vec<_> = frames.iter().map(name).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let Some(turn) = period(&names) else { return };
    let members = names.get(..turn).unwrap_or_default();
    let text = match members {
        [one] => format!("{one} calls itself"),
        several => format!("the stack repeats every {turn} frames: {}", several.join(" < ")),
    };
    finding.evidence.push(Evidence::new(text, thread.source));
    // The frames in the middle are left out; those behind them are the outermost.
    let last = names.iter().rposition(|name| members.contains(name));
    if let Some(entry) = last.map(|last| last + 1).filter(|&entry| entry < frames.len()) {
        finding.places.extend(go.snapshot.place(number, above + entry, Role::Related));
        let from = frames.get(entry).map(|frame| words(frame)).unwrap_or_default();
        let source: Source = thread.source;
        finding.evidence.push(Evidence::new(format!("the recursion was entered from {from}"), source));
    }
}

/// Frames of one turn of the recursion at the top of a stack.
fn period(names: &[&str]) -> Option<usize> {
    (1..=TURN).find(|&turn| {
        let (head, tail) = (names.get(..turn * 2), names.get(turn..turn * 3));
        matches!((head.and_then(|head| head.get(turn..)), names.get(..turn), tail.and_then(|tail| tail.get(turn..))),
            (Some(second), Some(first), Some(third)) if first == second && second == third)
    })
}

#[cfg(test)]
mod tests {
    use super::{RULE, period};
    use crate::go::samples::Dump;

    #[test]
    fn fires() {
        let turns = ["main.f", "main.g", "main.f", "main.g", "main.f", "main.g", "main.main"];
        let found = Dump::fatal("stack overflow").add(1, "running", &turns).findings(&RULE);
        let texts: Vec<_> = found[0].evidence.iter().map(|evidence| &*evidence.text).collect();
        assert!(texts.contains(&"the stack repeats every 2 frames: main.f < main.g"), "{texts:?}");
        assert!(texts.contains(&"the recursion was entered from main.main at jobs.go:7"), "{texts:?}");
    }

    #[test]
    fn keeps_quiet() {
        assert!(!Dump::fatal("out of memory").add(1, "running", &["main.f"]).fires(&RULE));
    }

    #[test]
    fn turns_of_a_recursion() {
        assert_eq!(period(&["f", "f", "f", "f"]), Some(1));
        assert_eq!(period(&["f", "g", "f", "g", "f", "g"]), Some(2));
        assert_eq!(period(&["f", "g", "h", "main"]), None);
        assert_eq!(period(&[]), None);
    }
}
