//! Many threads of the program wait for input in one call.

use std::collections::BTreeMap;

use necropsy_model::{Activity, Confidence, Finding, Role, Severity};

use super::{At, Java, finding, io, threads};
use crate::{Case, Rule};

pub(crate) static RULE: Rule = Rule {
    id: "java-same-downstream-call",
    doc: "\
# What it means
Many threads wait for another process at one place of the program. They are RUNNABLE for the virtual machine, which does not know that
a system call blocks; they use no CPU.
# Why it matters
The service behind that call is slow or gone, and there is no time limit, or a long one.
# How it can be wrong
Connections that are kept open wait for input too. Places inside servers and clients that do just that are left out, but not all
are known.
# What to do
Look at the service that is called; put a time limit on the call.
",
    check,
};

/// Threads at one place from which it is worth a finding.
const MANY: usize = 5;

/// Threads from which it is the trouble.
const CRITICAL: usize = 20;

/// Code in which connections wait for their next request or reply.
const KEEP_ALIVE: [&str; 14] = [
    "org.apache.coyote.",
    "org.apache.tomcat.",
    "org.apache.jasper.",
    "org.eclipse.jetty.",
    "org.mortbay.",
    "io.undertow.",
    "org.xnio.",
    "io.netty.",
    "io.grpc.",
    "com.intellij.rt.",
    "hudson.remoting.",
    "com.rabbitmq.client.",
    "sun.rmi.transport.",
    "org.apache.zookeeper.ClientCnxn",
];

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(java) = Java::of(case) else { return Vec::new() };
    let mut places: BTreeMap<&str, Vec<At<'_, 'data>>> = BTreeMap::new();
    for at in java.threads() {
        let top = java.methods(at.1).next().unwrap_or_default();
        // Selectors and acceptors wait for anybody, not for somebody.
        let waits = java.activity(at.1) == Activity::Io && crate::jvm::is_read(top);
        let Some(method) = java.own_method(at.1).filter(|_| waits) else { continue };
        if !KEEP_ALIVE.iter().any(|package| method.starts_with(package)) {
            places.entry(method).or_default().push(at);
        }
    }
    let mut found: Vec<_> = places.into_values().filter(|threads| threads.len() >= MANY).collect();
    found.sort_by_key(|threads| std::cmp::Reverse(threads.len()));
    found.iter().filter_map(|threads| judge(&java, threads)).collect()
}

fn judge<'data>(java: &Java<'_, 'data>, at: &[At<'_, 'data>]) -> Option<Finding<'data>> {
    let &first = at.first()?;
    let title = format!("{} wait in {}, in {}", threads(at.len()), io(java, first.1), java.at(first.1));
    let severity = if at.len() >= CRITICAL { Severity::Critical } else { Severity::Warning };
    let mut finding = finding(&RULE, severity, Confidence::Medium, title);
    finding.places.extend(java.place(first, Role::Waiter));
    for at in at.iter().take(2) {
        let detail = at.1.detail.as_ref();
        let used = detail.and_then(|detail| Some((detail.cpu?, detail.elapsed?)));
        let used =
            used.map(|(cpu, elapsed)| format!(", {:.1} s of CPU in {:.0} s", cpu.as_secs_f64(), elapsed.as_secs_f64()));
        finding.evidence.push(java.says(at.1, &format!("is {}{},", java.state(at.1), used.unwrap_or_default())));
    }
    Some(finding)
}

#[cfg(test)]
mod tests {
    use super::super::samples::{add, empty};
    use super::*;
    use crate::rules::native::samples::fired;

    fn reading(own: &'static str, top: &'static str) -> necropsy_model::Snapshot<'static> {
        let mut snapshot = empty();
        for _ in 0..MANY {
            add(&mut snapshot, "t", "RUNNABLE", Activity::Io, &[top, own]);
        }
        snapshot
    }

    #[test]
    fn fires() {
        assert!(fired(&RULE, &reading("shop.Tax.ask", "java.net.SocketInputStream.socketRead0")));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!fired(
            &RULE,
            &reading("org.apache.coyote.http11.Reader.read", "java.net.SocketInputStream.socketRead0")
        ));
        assert!(!fired(&RULE, &reading("shop.Server.loop", "sun.nio.ch.EPoll.wait")));
    }
}
