//! The thread that runs finalizers or cleaners is stuck in one.

use necropsy_model::{Activity, Confidence, Evidence, Finding, Role, Severity};

use super::{Java, finding, io};
use crate::wait_graph::wait;
use crate::{Case, Rule};

pub(crate) static RULE: Rule = Rule {
    id: "java-finalizer-blocked",
    doc: "\
# What it means
The one thread that runs finalizers (or cleaners) does not get on: the finalizer it is in waits.
# Why it matters
Nothing behind it is finalized: memory, files and sockets pile up until they run out, long after and far away from the cause.
# How it can be wrong
A dump shows one moment: a finalizer may wait shortly for a lock. A second dump tells whether it still does.
# What to do
See what it waits for. Finalizers must not wait: close resources where they are used.
",
    check,
};

/// Methods that run finalizers and cleaners.
const RUNS: [&str; 5] = [
    "java.lang.ref.Finalizer.runFinalizer",
    "java.lang.ref.Finalizer.invokeFinalizeMethod",
    "java.lang.System$2.invokeFinalize",
    "java.lang.ref.PhantomCleanable.clean",
    "jdk.internal.ref.PhantomCleanable.clean",
];

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(java) = Java::of(case) else { return Vec::new() };
    let mut findings = Vec::new();
    for (index, thread) in java.threads() {
        let methods: Vec<_> = java.methods(thread).collect();
        let runs = methods.iter().any(|method| RUNS.contains(method));
        let own =
            methods.iter().any(|method| method.contains("FinalizerThread.run") || method.contains("CleanerImpl.run"));
        let state = java.state(thread);
        let waits = ["BLOCKED", "WAITING", "TIMED_WAITING"].iter().any(|word| state.starts_with(word));
        let reads = java.activity(thread) == Activity::Io;
        if !runs || !own || !waits && !reads {
            continue;
        }
        let held = wait(thread).and_then(|wait| Some((wait, wait.owner?)));
        let owner = held.and_then(|(wait, id)| Some((wait, java.threads().find(|at| at.1.id == id)?)));
        let does = match (owner, reads) {
            (Some((wait, (_, owner))), _) => {
                format!("for {}, which {} holds", crate::rules::lock(wait), crate::rules::called(owner))
            }
            (None, true) => format!("in {}", io(&java, thread)),
            (None, false) => format!("and is {state}"),
        };
        let name = crate::rules::called(thread);
        let title =
            format!("{name} waits inside a finalizer {does}: nothing is finalized meanwhile, in {}", java.at(thread));
        let mut finding = finding(&RULE, Severity::Critical, Confidence::Medium, title);
        finding.places.extend(java.place((index, thread), Role::Waiter));
        finding.evidence.push(java.says(thread, &format!("is {state}")));
        if let Some((_, owner)) = owner {
            finding.places.extend(java.place(owner, Role::Holder));
            let text = format!(
                "{} holds it and is {} in {}",
                crate::rules::called(owner.1),
                java.state(owner.1),
                java.at(owner.1)
            );
            finding.evidence.push(Evidence::new(text, owner.1.source));
        }
        findings.push(finding);
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::samples::{add, empty};
    use super::*;
    use crate::rules::native::samples::fired;

    fn with(state: &'static str, activity: Activity, method: &'static str) -> necropsy_model::Snapshot<'static> {
        let mut snapshot = empty();
        let methods = [method, "java.lang.ref.Finalizer.runFinalizer", "java.lang.ref.Finalizer$FinalizerThread.run"];
        add(&mut snapshot, "Finalizer", state, activity, &methods);
        snapshot
    }

    #[test]
    fn fires() {
        assert!(fired(&RULE, &with("BLOCKED (on object monitor)", Activity::Lock, "shop.Cart.finalize")));
        assert!(fired(&RULE, &with("RUNNABLE", Activity::Io, "java.net.SocketInputStream.socketRead0")));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!fired(&RULE, &with("RUNNABLE", Activity::Running, "shop.Cart.finalize")), "it works");
        let mut snapshot = empty();
        let idle = ["java.lang.Object.wait", "java.lang.ref.Finalizer$FinalizerThread.run"];
        add(&mut snapshot, "Finalizer", "WAITING (on object monitor)", Activity::Idle, &idle);
        assert!(!fired(&RULE, &snapshot), "it has nothing to do");
    }
}
