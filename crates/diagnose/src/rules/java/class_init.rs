//! Threads in static initialisers that wait for classes, where the dump does not say for which.

use necropsy_model::{Activity, Confidence, Finding, Role, Severity, Thread, WaitKind};

use super::{At, Java, finding};
use crate::wait_graph::{WaitGraph, wait};
use crate::{Case, Rule};

pub(crate) static RULE: Rule = Rule {
    id: "java-class-init-cycle",
    doc: "\
# What it means
Two or more threads are inside static initialisers (`<clinit>`) and each waits until a class is initialised by another one.
# Why it matters
It does not pass, every thread that needs one of the classes joins them, and the virtual machine reports no deadlock: all of
them say RUNNABLE.
# How it can be wrong
Virtual machines before JDK 12 do not print which class is waited for. The circle follows from the fact that everyone who
initialises a class waits; a class that native code initialises would not be seen.
# What to do
Let the static initialisers not use each other: move what they share to a third class, or initialise it on first use. Touching
both classes in one thread at start-up hides it.
",
    check,
};

/// Waits for a class: RUNNABLE, and in `Object.wait()` all the same.
fn waits(java: &Java<'_, '_>, thread: &Thread<'_>) -> bool {
    match wait(thread) {
        Some(wait) => wait.kind == WaitKind::ClassInit,
        None => java.activity(thread) == Activity::Lock && java.state(thread).starts_with("RUNNABLE"),
    }
}

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(java) = Java::of(case) else { return Vec::new() };
    let initialises = |thread| java.methods(thread).find(|method| method.ends_with(".<clinit>"));
    let all: Vec<_> = java.threads().filter_map(|at| Some((at, initialises(at.1)?))).collect();
    let waiting: Vec<At<'_, '_>> = java.threads().filter(|at| waits(&java, at.1)).collect();
    let in_circle: Vec<_> = all.iter().filter(|(at, _)| waits(&java, at.1)).collect();
    let named =
        WaitGraph::of(case.snapshot).cycles.iter().flatten().any(|at| in_circle.iter().any(|(own, _)| own.0 == *at));
    if in_circle.len() < 2 || in_circle.len() < all.len() || named {
        return Vec::new();
    }
    let classes: Vec<_> = in_circle.iter().map(|(_, method)| method.trim_end_matches(".<clinit>").to_owned()).collect();
    let names: Vec<_> = in_circle.iter().map(|(at, _)| crate::rules::called(at.1)).collect();
    let behind = match waiting.len().saturating_sub(in_circle.len()) {
        0 => String::new(),
        1 => "; 1 more thread waits behind them".to_owned(),
        more => format!("; {more} more threads wait behind them"),
    };
    let title = format!(
        "class-initialisation deadlock: {} initialise {} and wait for each other's class{behind}",
        names.join(" and "),
        classes.join(" and ")
    );
    let confidence = if java.is_whole() { Confidence::Medium } else { Confidence::Low };
    let mut finding = finding(&RULE, Severity::Critical, confidence, title);
    for (at, _) in &in_circle {
        finding.places.extend(java.place(*at, Role::Waiter));
        finding.evidence.push(java.says(at.1, "is RUNNABLE and yet waits until a class is initialised,"));
    }
    vec![finding]
}

#[cfg(test)]
mod tests {
    use super::super::samples::{add, empty};
    use super::*;
    use crate::rules::native::samples::fired;

    #[test]
    fn fires() {
        let mut snapshot = empty();
        add(&mut snapshot, "a", "RUNNABLE", Activity::Lock, &["A.<clinit>", "Main.run"]);
        add(&mut snapshot, "b", "RUNNABLE", Activity::Lock, &["B.<clinit>", "Main.run"]);
        add(&mut snapshot, "c", "RUNNABLE", Activity::Lock, &["Main.run"]);
        assert!(fired(&RULE, &snapshot));
    }

    #[test]
    fn keeps_quiet() {
        let mut snapshot = empty();
        add(&mut snapshot, "a", "RUNNABLE", Activity::Lock, &["A.<clinit>", "Main.run"]);
        add(&mut snapshot, "b", "RUNNABLE", Activity::Lock, &["B.<clinit>", "Main.run"]);
        add(&mut snapshot, "c", "RUNNABLE", Activity::Running, &["C.<clinit>", "Main.run"]);
        assert!(!fired(&RULE, &snapshot), "one of them works, and the others may wait for it");
    }
}
