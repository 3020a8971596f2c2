//! All workers of a pool wait for results of tasks.

use necropsy_model::{Activity, Confidence, Evidence, Finding, Role, Severity, Source, Thread};

use super::{At, Java, by_pool, finding, threads};
use crate::{Case, Rule};

pub(crate) static RULE: Rule = Rule {
    id: "java-pool-waits-for-itself",
    doc: "\
# What it means
Every worker of a thread pool runs a task that waits for the result of another task, and no worker is left to run that one.
# Why it matters
It does not pass, and the virtual machine reports no deadlock: the waits are no locks.
# How it can be wrong
The dump does not say to which pool the awaited tasks were given. It is proved only when all of them are `FutureTask`s and
nothing else in the process runs or will run one; otherwise another pool, a timer or a callback may finish them.
# What to do
Do not wait inside a pool for a task of the same pool: give inner tasks a pool of their own, compose futures instead of waiting,
or let the waiting thread run the task. A bigger pool only makes it rarer.
",
    check,
};

/// Runs tasks in a worker of `java.util.concurrent.ThreadPoolExecutor`. Workers of a `ForkJoinPool` help or are replaced
/// while they wait.
const WORKER: &str = "java.util.concurrent.ThreadPoolExecutor.runWorker";

/// Methods in which a thread waits for a task to finish.
const AWAITS: [&str; 7] = [
    "java.util.concurrent.FutureTask.get",
    "java.util.concurrent.CompletableFuture.get",
    "java.util.concurrent.CompletableFuture.join",
    "java.util.concurrent.CountDownLatch.await",
    "java.util.concurrent.CyclicBarrier.await",
    "java.util.concurrent.AbstractExecutorService.invokeAll",
    "java.util.concurrent.ExecutorCompletionService.take",
];

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(java) = Java::of(case) else { return Vec::new() };
    let workers = java.threads().filter(|(_, thread)| java.passes(thread, WORKER));
    by_pool(workers).iter().filter_map(|(name, workers)| judge(&java, name, workers)).collect()
}

/// The method in which a worker waits.
fn awaits<'a>(java: &Java<'a, '_>, thread: &'a Thread<'_>) -> Option<&'static str> {
    if !matches!(java.activity(thread), Activity::Signal | Activity::Idle) {
        return None;
    }
    let called: Vec<_> = java.called_from_own(thread).collect();
    AWAITS.into_iter().find(|method| called.contains(method))
}

fn judge<'data>(java: &Java<'_, 'data>, name: &str, workers: &[At<'_, 'data>]) -> Option<Finding<'data>> {
    let methods: Vec<_> = workers.iter().map(|(_, thread)| awaits(java, thread)).collect::<Option<_>>()?;
    let (&first, method) = workers.first().zip(methods.first())?;
    let others = others(java, name);
    let timed = workers.iter().any(|(_, thread)| java.is_timed(thread));
    let futures = methods.iter().all(|method| method.contains("FutureTask"));
    let confidence = match (futures, others.is_none(), timed) {
        (true, true, false) if java.is_whole() => Confidence::High,
        (_, true, false) => Confidence::Medium,
        _ => Confidence::Low,
    };
    let who = match workers {
        [(_, only)] => format!("the only worker \"{}\"", only.name().unwrap_or("?")),
        all => format!("all {} workers of the pool \"{name}*\"", all.len()),
    };
    let verb = if workers.len() == 1 { "waits" } else { "wait" };
    let title =
        format!("{who} {verb} for the result of another task: no worker is left to run it, in {}", java.at(first.1));
    let severity = if confidence == Confidence::Low { Severity::Warning } else { Severity::Critical };
    let mut finding = finding(&RULE, severity, confidence, title);
    let short = method.rsplit('.').take(2).collect::<Vec<_>>();
    let short = short.iter().rev().copied().collect::<Vec<_>>().join(".");
    for (at, &worker) in workers.iter().enumerate().take(3) {
        finding.evidence.push(java.says(worker.1, &format!("runs a task and waits in {short}")));
        if at == 0 {
            finding.places.extend(java.place(worker, Role::Waiter));
        }
    }
    finding.evidence.push(match others {
        Some((thread, why)) => {
            Evidence::new(format!("{} {why}: it may finish them", crate::rules::called(thread)), thread.source)
        }
        None => Evidence::new(
            format!("no other of {} runs a task or has one to run", threads(java.snapshot.threads.len())),
            Source::DUMP,
        ),
    });
    Some(finding)
}

/// A thread outside the pool that may finish a task, and why.
fn others<'a, 'data>(java: &Java<'a, 'data>, pool: &str) -> Option<(&'a Thread<'data>, &'static str)> {
    java.threads().find_map(|(_, thread)| {
        if super::pool_of(thread.name().unwrap_or_default()) == pool {
            return None;
        }
        // A thread that waits for work will be given none that the full pool has already taken; but a timer will.
        let timer = java.passes(thread, "DelayedWorkQueue") || java.passes(thread, "java.util.TimerThread.mainLoop");
        let runs = java.passes(thread, "FutureTask.run") || java.passes(thread, "ForkJoinTask.doExec");
        let idle = java.activity(thread) == Activity::Idle;
        let worker = java.passes(thread, WORKER) && !idle;
        match () {
            () if timer => Some((thread, "waits for a timer")),
            () if runs || worker => Some((thread, "runs a task")),
            () => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::samples::{add, empty};
    use super::*;
    use crate::rules::native::samples::fired;

    const WAITS: [&str; 4] =
        ["jdk.internal.misc.Unsafe.park", "java.util.concurrent.FutureTask.get", "shop.Order.price", WORKER];

    fn pool() -> necropsy_model::Snapshot<'static> {
        let mut snapshot = empty();
        for name in ["orders-1", "orders-2"] {
            add(&mut snapshot, name, "WAITING (parking)", Activity::Signal, &WAITS);
        }
        snapshot
    }

    fn sure(snapshot: &necropsy_model::Snapshot<'static>) -> Confidence {
        let groups = necropsy_model::Groups::default();
        check(&Case { snapshot, groups: &groups, noise: &crate::Noise::default() })[0].confidence
    }

    #[test]
    fn fires() {
        let mut snapshot = pool();
        assert!(fired(&RULE, &snapshot));
        assert_eq!(sure(&snapshot), Confidence::High);
        add(
            &mut snapshot,
            "other-1",
            "RUNNABLE",
            Activity::Running,
            &["shop.Tax.of", "java.util.concurrent.FutureTask.run"],
        );
        assert_eq!(sure(&snapshot), Confidence::Low, "another thread runs a task");
    }

    #[test]
    fn keeps_quiet() {
        let mut snapshot = pool();
        let idle = ["jdk.internal.misc.Unsafe.park", "java.util.concurrent.ThreadPoolExecutor.getTask", WORKER];
        add(&mut snapshot, "orders-3", "WAITING (parking)", Activity::Idle, &idle);
        assert!(!fired(&RULE, &snapshot), "a worker is free");
    }
}
