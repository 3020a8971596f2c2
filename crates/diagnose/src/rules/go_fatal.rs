//! Errors of the runtime that nobody can recover.

use necropsy_model::go::GoForm;
use necropsy_model::{Confidence, Evidence, Finding, Role, Severity};

use crate::go::{Go, finding, words};
use crate::{Case, Rule};

pub(super) static FATAL: Rule = Rule {
    id: "go-fatal-error",
    doc: "\
# What it means
The Go runtime gave up: maps used by several goroutines at once, a mutex unlocked twice, a fault at a wild address.
# Why it matters
No deferred call can recover it.
# How it can be wrong
For maps, the goroutine that noticed is only one side. The other may have returned already.
# What to do
For maps and locks run the program with the race detector (`go test -race`), which names both sides.
",
    check: fatal,
};

pub(super) static MEMORY: Rule = Rule {
    id: "go-out-of-memory",
    doc: "\
# What it means
The runtime asked the system for memory and got none, or hit its limit.
# Why it matters
The goroutine that asked last is seldom the one that holds the memory.
# How it can be wrong
A limit of the address space (`ulimit -v`, a container) looks the same as a full machine.
# What to do
Take a heap profile of the running program before the next time.
",
    check: memory,
};

pub(super) static OVERFLOW: Rule = Rule {
    id: "go-stack-overflow",
    doc: "\
# What it means
A goroutine's stack reached its limit (1 GB on 64 bit): a recursion without end.
# Why it matters
The frames that repeat are the recursion; the frame below them began it.
# How it can be wrong
Only the innermost and outermost fifty frames are printed: a longer turn than that is not seen.
# What to do
Find the missing end of the recursion in the functions named.
",
    check: overflow,
};

pub(super) static ASLEEP: Rule = Rule {
    id: "go-all-asleep",
    doc: "\
# What it means
The runtime found every goroutine blocked: no timer, no input and no running goroutine could wake one.
# Why it matters
It is proved. Which wait is the cause is told by the other findings.
# How it can be wrong
It can not; but the runtime says it only when all are blocked, so one ticker hides the same deadlock.
# What to do
Start with the goroutine that waits for a lock or sends on a channel.
",
    check: asleep,
};

/// Frames in which a turn of a recursion is looked for; the runtime prints fifty.
const TURN: usize = 24;

fn line<'a, 'data>(go: &Go<'a, 'data>) -> Option<&'a necropsy_model::go::GoLine<'data>> {
    go.facts.fatal.as_ref().filter(|_| go.facts.form == GoForm::Fatal)
}

fn is_memory(text: &str) -> bool {
    text.contains("out of memory") || text.contains("cannot allocate memory")
}

fn fatal<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::of(case) else { return Vec::new() };
    let Some(fatal) = line(&go) else { return Vec::new() };
    let text = &*fatal.text;
    let in_c = go.facts.signal.as_ref().is_some_and(|signal| signal.in_c);
    if is_memory(text) || text == "stack overflow" || go.is_all_asleep() || in_c {
        return Vec::new();
    }
    build(&go, &FATAL, meaning(text)).into_iter().collect()
}

/// What the runtime's words mean.
fn meaning(text: &str) -> (&'static str, &'static str) {
    match text {
        _ if text.starts_with("concurrent map") => (
            "a map was used by several goroutines at once; this one noticed, the other side is another goroutine",
            "run with -race, or guard the map with one mutex",
        ),
        _ if text.contains("of unlocked") => (
            "a lock was released that was not held",
            "look for a second Unlock, or one without its Lock, on the way to this line",
        ),
        "thread exhaustion" => (
            "too many operating-system threads: each goroutine in a blocking system call or C call holds one",
            "look at the goroutines in syscall below; bound how many run at once",
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

fn memory<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::of(case) else { return Vec::new() };
    if line(&go).is_none_or(|fatal| !is_memory(&fatal.text)) {
        return Vec::new();
    }
    let next = "the goroutine that asked is seldom the one that holds it: take a heap profile of the running program";
    build(&go, &MEMORY, ("no memory was left for this request", next)).into_iter().collect()
}

fn asleep<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::of(case) else { return Vec::new() };
    let Some(fatal) = line(&go).filter(|_| go.is_all_asleep()) else { return Vec::new() };
    let first = go.front().next().map(|group| format!(", such as {} in {}", go.at(group), go.state(group)));
    let title = format!("deadlock, said by the runtime: all goroutines are blocked{}", first.unwrap_or_default());
    let mut finding = finding(ASLEEP.id, Severity::Critical, Confidence::High, title);
    finding.evidence.push(Evidence::new(fatal.text.clone(), fatal.source));
    for group in go.front().take(4) {
        finding.places.extend(go.place(group, Role::Waiter));
        finding.evidence.push(crate::go::of_group(&go, group));
    }
    vec![finding]
}

fn overflow<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::of(case) else { return Vec::new() };
    if line(&go).is_none_or(|fatal| fatal.text != "stack overflow") {
        return Vec::new();
    }
    let mut finding = build(&go, &OVERFLOW, ("a recursion without end", "find the missing end of the recursion"));
    if let Some(finding) = &mut finding {
        let thread = go.snapshot.threads.first();
        let frames: Vec<_> = thread.into_iter().flat_map(|thread| go.snapshot.frames_of(thread)).collect();
        // By functions: a turn enters each at its own line but for the first.
        let names: Vec<_> = frames.iter().map(|frame| frame.function.as_deref().unwrap_or_default()).collect();
        if let Some(turn) = period(&names) {
            let text = format!(
                "the stack repeats every {turn} frames: {}",
                names.iter().take(turn).copied().collect::<Vec<_>>().join(" < ")
            );
            let source = thread.map_or(necropsy_model::Source::DUMP, |thread| thread.source);
            finding.evidence.push(Evidence::new(text, source));
        }
    }
    finding.into_iter().collect()
}

/// Frames of one turn of the recursion at the top of a stack.
fn period(names: &[&str]) -> Option<usize> {
    (1..=TURN).find(|&turn| {
        let (head, tail) = (names.get(..turn * 2), names.get(turn..turn * 3));
        matches!((head.and_then(|head| head.get(turn..)), names.get(..turn), tail.and_then(|tail| tail.get(turn..))),
            (Some(second), Some(first), Some(third)) if first == second && second == third)
    })
}

fn build<'data>(go: &Go<'_, 'data>, rule: &'static Rule, (means, next): (&str, &str)) -> Option<Finding<'data>> {
    let fatal = line(go)?;
    let stop = go.snapshot.stop.as_ref();
    let place = stop.and_then(|stop| go.snapshot.place(stop.thread?, stop.frame, Role::Victim));
    let frame =
        stop.and_then(|stop| go.snapshot.frames_of(go.snapshot.threads.get(stop.thread?)?).nth(stop.frame).map(words));
    let at = frame.map(|at| format!(" in {at}")).unwrap_or_default();
    let mut finding = finding(rule.id, Severity::Critical, Confidence::High, format!("{}{at}", fatal.text));
    finding.places.extend(place);
    finding.evidence.push(Evidence::new(format!("{}: {means}", fatal.text), fatal.source));
    finding.evidence.extend(go.facts.remarks.iter().take(3).map(|line| Evidence::new(line.text.clone(), line.source)));
    finding.next.push(next.to_owned());
    Some(finding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_of_a_recursion() {
        assert_eq!(period(&["f", "f", "f", "f"]), Some(1));
        assert_eq!(period(&["f", "g", "f", "g", "f", "g"]), Some(2));
        assert_eq!(period(&["f", "g", "h", "main"]), None);
        assert_eq!(period(&[]), None);
    }
}
