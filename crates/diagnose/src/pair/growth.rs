//! Groups of threads that grow.

use necropsy_model::{Confidence, GroupChange, PairEvidence, PairFinding, Role, Severity, Thread};

use super::words::{at, count, noun, number, within};
use super::{PairCase, PairRule};
use crate::wait_graph;

pub(super) static RULE: PairRule = PairRule {
    id: "growing-group",
    doc: "\
# What it means
More threads stand in one place in the second dump than in the first, and those of the first are still there: they are added and do not
leave. That is how a leak of goroutines or threads looks, and how a pool or a queue fills up behind something that is stuck.
# Why it matters
Each costs memory, and what it holds: connections, locks, requests. It ends with an out-of-memory kill or a limit of threads.
# How it can be wrong
Load that rises between the dumps makes a group grow that is healthy. Then those of the first dump have left by the second: the
evidence says how many stayed.
# What to do
Ask what the last one to leave would have waited for: who receives from that channel, who gives that connection back. Look at
what made these threads.
",
    check,
};

/// Threads that a group must have gained.
const LEAST: i64 = 10;

fn check<'data>(case: &PairCase<'_, 'data>) -> Vec<PairFinding<'data>> {
    let grows = |change: &&GroupChange| {
        let before = i64::try_from(change.before).unwrap_or(i64::MAX);
        change.change() >= LEAST && change.change().saturating_mul(10) >= before
    };
    case.comparison.groups.iter().filter(grows).take(5).map(|change| finding(case, change)).collect()
}

fn finding<'data>(case: &PairCase<'_, 'data>, change: &GroupChange) -> PairFinding<'data> {
    let snapshot = case.after.snapshot;
    let thread = snapshot.threads.get(change.example as usize);
    let own = thread.map_or(0, |thread| wait_graph::own_frame(snapshot, thread));
    let place = snapshot.place(change.example as usize, own, Role::Waiter);
    let creator = thread.and_then(|thread| snapshot.frame(thread.created_by?)?.function.as_deref());
    let made = creator.map(|function| format!(", created by {function}")).unwrap_or_default();
    let state = thread.and_then(|thread| snapshot.state(thread.state?)).map(|state| format!(" ({})", state.text));
    let more = usize::try_from(change.change()).unwrap_or_default();
    let title = format!(
        "{} more{}: now {} stand in {}{}{made}",
        count(more, noun(snapshot)),
        within(case.comparison.elapsed),
        number(change.after),
        place.as_ref().map_or_else(|| "one place".to_owned(), at),
        state.unwrap_or_default()
    );
    let mut evidence = vec![PairEvidence {
        text: format!("{} before, {} after", number(change.before), number(change.after)),
        before: None,
        after: thread.map(|thread| thread.source),
    }];
    let stays = change.stayed * 10 >= change.before * 9 && change.before > 0;
    if case.comparison.by_thread && change.before > 0 {
        let left = change.before.saturating_sub(change.stayed);
        let text = if left == 0 {
            format!("all {} of the first dump are still there", number(change.before))
        } else {
            format!("{} of the {} of the first dump are still there", number(change.stayed), number(change.before))
        };
        evidence.push(PairEvidence { text, before: None, after: None });
    }
    // Those that leave are throughput, not a leak.
    let leaves = case.comparison.by_thread && change.before > 0 && change.stayed * 2 < change.before;
    let confidence = match (case.comparison.by_thread && stays, leaves || change.background) {
        (true, false) => Confidence::High,
        (false, false) => Confidence::Medium,
        (_, true) => Confidence::Low,
    };
    let severity = match () {
        () if leaves || change.background => Severity::Note,
        () if more >= 100 && stays => Severity::Critical,
        () => Severity::Warning,
    };
    let members =
        snapshot.threads.iter().filter(|other: &&Thread<'_>| thread.is_some_and(|it| it.stack == other.stack));
    PairFinding {
        rule: RULE.id,
        severity,
        confidence,
        title,
        places: place.into_iter().collect(),
        evidence,
        threads: members.map(|thread| thread.id).take(PairFinding::MOST_THREADS).collect(),
        next: vec!["find what these wait for, and who should have given it; then look at what made them".to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use necropsy_model::{Confidence, Severity};

    use super::super::samples::growing;
    use super::RULE;

    #[test]
    fn fires() {
        let found = growing(1..101, 1..1305).found(&RULE);
        assert!(
            found[0].title.starts_with("1,204 threads more in 10.0 s: now 1,304 stand in acquire at shop.c:88"),
            "{}",
            found[0].title
        );
        assert_eq!((found[0].severity, found[0].confidence), (Severity::Critical, Confidence::High));
        let through = growing(1..101, 1001..1305).found(&RULE);
        assert_eq!(through.first().map(|finding| finding.severity), Some(Severity::Note), "none of them stayed");
    }

    #[test]
    fn keeps_quiet() {
        assert!(growing(1..101, 1..106).found(&RULE).is_empty());
        assert!(growing(1..101, 1..50).found(&RULE).is_empty());
    }
}
