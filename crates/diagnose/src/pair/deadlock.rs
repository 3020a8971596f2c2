//! A circle of waiting threads, in both dumps or in one.

use necropsy_model::{Confidence, Deadlock, PairEvidence, PairFinding, Severity, ThreadId};

use super::words::{called, within};
use super::{PairCase, PairRule};

pub(super) static RULE: PairRule = PairRule {
    id: "same-deadlock",
    doc: "\
# What it means
The same threads wait for each other in a circle in both dumps: nobody came free in between.
# Why it matters
A circle in one dump may be a moment, when one of the waits has a time limit. One that is in two dumps stays until a restart.
# How it can be wrong
Threads that try with a limit, give up and try again can be seen in the same circle twice (a livelock): then their CPU time grows.
# What to do
Take the locks in one order everywhere; keep both dumps before the restart.
",
    check,
};

fn check<'data>(case: &PairCase<'_, 'data>) -> Vec<PairFinding<'data>> {
    let (was, is) = (&case.before.verdict.deadlocks, &case.after.verdict.deadlocks);
    let mut findings: Vec<_> = is
        .iter()
        .map(|deadlock| {
            let known = was.iter().any(|other| members(other) == members(deadlock));
            finding(case, deadlock, if known { Seen::InBoth } else { Seen::Later })
        })
        .collect();
    let ended = was.iter().filter(|deadlock| !is.iter().any(|other| members(other) == members(deadlock)));
    findings.extend(ended.map(|deadlock| finding(case, deadlock, Seen::Earlier)));
    findings
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    InBoth,
    Later,
    Earlier,
}

fn members(deadlock: &Deadlock<'_>) -> Vec<ThreadId> {
    let mut ids: Vec<_> = deadlock.threads.iter().map(|thread| thread.id).collect();
    ids.sort_unstable();
    ids
}

fn finding<'data>(case: &PairCase<'_, 'data>, deadlock: &Deadlock<'data>, seen: Seen) -> PairFinding<'data> {
    let snapshot = if seen == Seen::Earlier { case.before.snapshot } else { case.after.snapshot };
    let thread = |id| snapshot.threads.iter().find(|thread| thread.id == id);
    let names: Vec<_> = deadlock.threads.iter().filter_map(|it| Some(called(snapshot, thread(it.id)?))).collect();
    let who = match names.as_slice() {
        [one] => format!("{one} waits for itself"),
        [a, b] => format!("{a} and {b} wait for each other"),
        more => format!("{} threads wait in a circle: {}", more.len(), more.join(", ")),
    };
    let (severity, confidence, title) = match seen {
        Seen::InBoth => (
            Severity::Critical,
            Confidence::High,
            format!("the same deadlock in both dumps: {who}, and nobody came free{}", within(case.comparison.elapsed)),
        ),
        Seen::Later => (Severity::Critical, Confidence::High, format!("a deadlock since the first dump: {who}")),
        Seen::Earlier => (
            Severity::Note,
            Confidence::Medium,
            format!(
                "a deadlock of the first dump is gone: {who}; one of the waits had a limit, or a thread was interrupted"
            ),
        ),
    };
    let source = |snapshot: &necropsy_model::Snapshot<'_>, id| {
        snapshot.threads.iter().find(|thread| thread.id == id).map(|thread| thread.source)
    };
    let evidence = deadlock.threads.iter().map(|it| {
        let name = thread(it.id).map(|thread| called(snapshot, thread)).unwrap_or_default();
        let lock = it.waits_for.name.as_deref().unwrap_or("a lock");
        let at = it.at.as_ref().map(|place| format!(", in {}", super::words::at(place))).unwrap_or_default();
        PairEvidence {
            text: format!("{name} waits for {lock}{at}"),
            before: source(case.before.snapshot, it.id).filter(|_| seen != Seen::Later),
            after: source(case.after.snapshot, it.id).filter(|_| seen != Seen::Earlier),
        }
    });
    PairFinding {
        rule: RULE.id,
        severity,
        confidence,
        title,
        places: deadlock.threads.iter().filter_map(|it| it.at.clone()).collect(),
        evidence: evidence.collect(),
        threads: deadlock.threads.iter().map(|it| it.id).take(PairFinding::MOST_THREADS).collect(),
        next: if seen == Seen::Earlier {
            vec!["look for tryLock with a time limit in these places".to_owned()]
        } else {
            vec!["take these locks in the same order in every thread; only a restart frees this process".to_owned()]
        },
    }
}

#[cfg(test)]
mod tests {
    use necropsy_model::{Deadlock, DeadlockThread, Lock, ThreadId, WaitKind};

    use super::super::samples::{Sample, stuck};
    use super::RULE;

    fn circle(ids: &[u64]) -> Deadlock<'static> {
        let thread = |&id: &u64| DeadlockThread {
            id: ThreadId(id),
            name: None,
            at: None,
            holds: Vec::new(),
            waits_for: Lock { id: 7, name: Some("LEDGER".into()) },
            kind: WaitKind::Lock,
        };
        Deadlock { threads: ids.iter().map(thread).collect() }
    }

    fn title(was: &[&[u64]], is: &[&[u64]]) -> String {
        let mut sample: Sample = stuck(3);
        sample.verdicts.0.deadlocks = was.iter().map(|ids| circle(ids)).collect();
        sample.verdicts.1.deadlocks = is.iter().map(|ids| circle(ids)).collect();
        sample.found(&RULE).first().map(|finding| finding.title.clone()).unwrap_or_default()
    }

    #[test]
    fn fires() {
        assert!(title(&[&[1, 2]], &[&[2, 1]]).starts_with("the same deadlock in both"));
        assert!(title(&[], &[&[2, 1]]).starts_with("a deadlock since"));
        assert!(title(&[&[1, 2]], &[]).contains("is gone"));
    }

    #[test]
    fn keeps_quiet() {
        assert_eq!(title(&[], &[]), "");
    }
}
