//! Virtual threads that wait without leaving their carrier.

use necropsy_model::{Confidence, Evidence, Finding, Role, Severity, ThreadFlags};

use super::{Java, finding, threads};
use crate::{Case, Rule};

pub(crate) static RULE: Rule = Rule {
    id: "java-pinned-carriers",
    doc: "\
# What it means
Virtual threads wait while they are pinned to the threads that carry them: inside `synchronized` (up to JDK 23) or below a native
method. The others have no carrier to run on.
# Why it matters
There are as many carriers as processors. When all of them are pinned, no virtual thread goes on, and what the pinned ones wait for may
never come: a deadlock that nothing reports.
# How it can be wrong
A short wait passes by itself, and a scheduler may add carriers for some waits.
# What to do
Use `ReentrantLock` instead of `synchronized` around what waits, or JDK 24 and later; `-Djdk.tracePinnedThreads=full` names the places
on JDK 21.
",
    check,
};

/// Parks the carrier together with the virtual thread.
const PINNED: &str = "java.lang.VirtualThread.parkOnCarrierThread";

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(java) = Java::of(case) else { return Vec::new() };
    let virtuals: Vec<_> = java.threads().filter(|at| at.1.flags.contains(ThreadFlags::VIRTUAL)).collect();
    let pinned: Vec<_> =
        virtuals.iter().filter(|at| java.methods(at.1).any(|method| method == PINNED)).copied().collect();
    let Some(&first) = pinned.first() else { return Vec::new() };
    // One that has not begun has no frames.
    let waiting: Vec<_> = virtuals.iter().filter(|at| java.methods(at.1).next().is_none()).collect();
    let verb = if pinned.len() == 1 { "waits" } else { "wait" };
    let more = match waiting.len() {
        0 => String::new(),
        1 => "; 1 other has not begun".to_owned(),
        more => format!("; {} others have not begun", crate::go::number(more)),
    };
    let title =
        format!("virtual: {} {verb} pinned to the carrier, in {}{more}", threads(pinned.len()), java.at(first.1));
    let severity = if waiting.is_empty() { Severity::Warning } else { Severity::Critical };
    let mut finding = finding(&RULE, severity, Confidence::Medium, title);
    finding.places.extend(java.place(first, Role::Holder));
    for at in pinned.iter().take(3) {
        finding.evidence.push(java.says(at.1, &format!("is in {PINNED}, called")));
    }
    if let Some(at) = waiting.first() {
        finding.evidence.push(Evidence::new(format!("{} has no frame yet", crate::rules::called(at.1)), at.1.source));
    }
    vec![finding]
}

#[cfg(test)]
mod tests {
    use necropsy_model::Activity;

    use super::super::samples::{add, empty};
    use super::*;
    use crate::rules::native::samples::fired;

    fn with(method: &'static str) -> necropsy_model::Snapshot<'static> {
        let mut snapshot = empty();
        add(&mut snapshot, "pin", "", Activity::Unknown, &[method, "shop.Cart.save"]).flags = ThreadFlags::VIRTUAL;
        add(&mut snapshot, "next", "", Activity::Unknown, &[]).flags = ThreadFlags::VIRTUAL;
        snapshot
    }

    #[test]
    fn fires() {
        assert!(fired(&RULE, &with(PINNED)));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!fired(&RULE, &with("java.lang.VirtualThread.park")), "it has left its carrier");
    }
}
