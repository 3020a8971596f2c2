//! A thread waits for another one while it holds the monitor that this other one needs.

use necropsy_model::{Activity, Confidence, Evidence, Finding, Role, Severity, WaitKind};

use super::{At, Java, finding, outer_class};
use crate::wait_graph::wait;
use crate::{Case, Rule};

pub(crate) static RULE: Rule = Rule {
    id: "java-nested-monitor",
    doc: "\
# What it means
A thread holds a monitor and waits, without a time limit, for another thread to signal, put or finish something; and the threads
of the same class that could do so want that monitor. Waiting gives back only the monitor that is waited on, not the outer one.
# Why it matters
If nobody else can wake it, it never ends, and the virtual machine reports no deadlock: a wait for a signal has no owner.
# How it can be wrong
The dump does not say who was meant to signal. It may be a thread that is on its way; a second dump tells.
# What to do
Wait outside the outer monitor, or use one lock for both: a queue that blocks needs no lock around it.
",
    check,
};

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(java) = Java::of(case) else { return Vec::new() };
    java.threads().filter_map(|holder| judge(&java, holder)).collect()
}

/// The thread holds a lock and waits for a signal without a time limit.
fn waits_for_signal(java: &Java<'_, '_>, (_, thread): At<'_, '_>) -> bool {
    let kinds = [
        WaitKind::Condition,
        WaitKind::Semaphore,
        WaitKind::Barrier,
        WaitKind::Receive,
        WaitKind::Send,
        WaitKind::Join,
        WaitKind::Park,
    ];
    let holds = thread.detail.as_ref().is_some_and(|detail| !detail.holds.is_empty());
    holds
        && java.activity(thread) == Activity::Signal
        && !java.is_timed(thread)
        && wait(thread).is_some_and(|wait| kinds.contains(&wait.kind))
}

/// Threads that want what the holder has, when one of them works for the same class.
fn judge<'data>(java: &Java<'_, 'data>, holder: At<'_, 'data>) -> Option<Finding<'data>> {
    if !waits_for_signal(java, holder) {
        return None;
    }
    let wants = |at: &At<'_, 'data>| wait(at.1).is_some_and(|wait| wait.owner == Some(holder.1.id));
    let blocked: Vec<_> = java.threads().filter(wants).collect();
    let class = outer_class(java.own_method(holder.1)?);
    let partner =
        *blocked.iter().find(|at| java.own_method(at.1).is_some_and(|method| outer_class(method) == class))?;
    let wanted = wait(partner.1)?;
    let more = match blocked.len() {
        1 => String::new(),
        2 => " and 1 more thread".to_owned(),
        all => format!(" and {} more threads", all - 1),
    };
    let (name, other) = (crate::rules::called(holder.1), crate::rules::called(partner.1));
    let title = format!(
        "nested monitor lockout: {name} waits for another thread in {} and holds {}, which {other}{more} need{} to get there",
        java.at(holder.1),
        crate::rules::lock(wanted),
        if blocked.len() == 1 { "s" } else { "" }
    );
    let mut finding = finding(&RULE, Severity::Critical, Confidence::Medium, title);
    finding.places.extend(java.place(holder, Role::Holder));
    finding.places.extend(java.place(partner, Role::Waiter));
    finding.evidence.push(java.says(holder.1, "waits without a time limit and keeps the monitor,"));
    let text = format!(
        "{other} waits for {} in {}, of the same class {class}",
        crate::rules::lock(wanted),
        java.at(partner.1)
    );
    finding.evidence.push(Evidence::new(text, wanted.source));
    Some(finding)
}

#[cfg(test)]
mod tests {
    use super::super::samples::{add, empty, lock, waits};
    use super::*;
    use crate::rules::native::samples::fired;

    fn lockout(partner: &'static str, state: &'static str) -> necropsy_model::Snapshot<'static> {
        let mut snapshot = empty();
        let take =
            ["jdk.internal.misc.Unsafe.park", "java.util.concurrent.ArrayBlockingQueue.take", "shop.Mill.process"];
        let detail = add(&mut snapshot, "worker", state, Activity::Signal, &take).detail_mut();
        detail.holds.push(lock(7, "shop.Mill"));
        detail.waits_on = Some(waits(
            WaitKind::Condition,
            8,
            "java.util.concurrent.locks.AbstractQueuedSynchronizer$ConditionObject",
            None,
        ));
        let detail = add(&mut snapshot, "main", "BLOCKED (on object monitor)", Activity::Lock, &[partner]).detail_mut();
        detail.waits_on = Some(waits(WaitKind::Lock, 7, "shop.Mill", Some(1)));
        snapshot
    }

    #[test]
    fn fires() {
        assert!(fired(&RULE, &lockout("shop.Mill.accept", "WAITING (parking)")));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!fired(&RULE, &lockout("shop.Mill.accept", "TIMED_WAITING (parking)")), "it goes on by itself");
        assert!(
            !fired(&RULE, &lockout("shop.Other.read", "WAITING (parking)")),
            "nothing says that they belong together"
        );
    }
}
