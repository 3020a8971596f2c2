//! Threads that compute.

use necropsy_model::{Confidence, Evidence, Finding, Role, Severity};

use super::{Java, finding};
use crate::{Case, Rule};

pub(crate) static RULE: Rule = Rule {
    id: "java-busy",
    doc: "\
# What it means
Threads are RUNNABLE in code, not in a system call that waits, and have used CPU for much of the time
since they began, or much of the CPU that the program used.
# Why it matters
In a process that seems to hang and uses CPU, these are the threads that use it.
# How it can be wrong
CPU time is counted since the thread began: what it did then it need not do now. Two dumps, ten seconds apart, tell how much it
used between them.
# What to do
Read where they stand; take several dumps, or a profile (`jcmd PID JFR.start duration=30s filename=cpu.jfr`), and see whether they stand
there again.
",
    check,
};

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(java) = Java::of(case) else { return Vec::new() };
    let mut busy = crate::jvm::busy(java.snapshot);
    let cpu = |thread: &necropsy_model::Thread<'_>| thread.detail.as_ref().and_then(|detail| detail.cpu);
    busy.sort_by_key(|(index, thread)| (std::cmp::Reverse(cpu(thread)), *index));
    let Some(&first) = busy.first() else { return Vec::new() };
    let names: Vec<_> = busy.iter().map(|at| crate::rules::called(at.1)).collect();
    let (shown, more) = names.split_at(names.len().min(3));
    let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
    let title = format!(
        "busy: {}{more} compute{}, most of all in {}",
        shown.join(", "),
        if names.len() == 1 { "s" } else { "" },
        java.at(first.1)
    );
    let mut finding = finding(&RULE, Severity::Warning, Confidence::Medium, title);
    finding.places.extend(java.place(first, Role::Related));
    for (_, thread) in busy.iter().take(3) {
        let Some((cpu, elapsed)) = thread.detail.as_ref().and_then(|detail| Some((detail.cpu?, detail.elapsed?)))
        else {
            continue;
        };
        let text = format!(
            "{} used {:.1} s of CPU in the {:.1} s since it began, and is RUNNABLE in {}",
            crate::rules::called(thread),
            cpu.as_secs_f64(),
            elapsed.as_secs_f64(),
            java.at(thread)
        );
        finding.evidence.push(Evidence::new(text, thread.source));
    }
    vec![finding]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use necropsy_model::Activity;

    use super::super::samples::{add, empty};
    use super::*;
    use crate::rules::native::samples::fired;

    fn of(cpu_ms: u64, activity: Activity) -> bool {
        let mut snapshot = empty();
        let thread = add(&mut snapshot, "a", "RUNNABLE", activity, &["shop.Hash.mine"]);
        thread.detail_mut().cpu = Some(Duration::from_millis(cpu_ms));
        fired(&RULE, &snapshot)
    }

    #[test]
    fn fires() {
        assert!(of(9000, Activity::Running));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!of(100, Activity::Running));
        assert!(!of(9000, Activity::Io), "it waits for input");
    }
}
