//! Nothing moved between two dumps.

use std::collections::BTreeMap;

use necropsy_model::{Activity, Confidence, Pair, PairFinding, Role, Severity, Snapshot, Thread, ThreadFlags};

use super::words::{at, count, noun, number, within};
use super::{PairCase, PairRule};

pub(super) static RULE: PairRule = PairRule {
    id: "nothing-moved",
    doc: "\
# What it means
Every thread of the program stands in the second dump where it stood in the first: same functions, same lines, same wait, and no
CPU used in between.
# Why it matters
A process that should work and does not move hangs: what its threads wait for tells why.
# How it can be wrong
A process that nobody asks for anything does not move either: threads that wait for work or for input are idle. Dumps that are
less than a second apart show too little. A thread may have gone and come back where no CPU times are printed.
# What to do
Look at what the largest group waits for and who should give it; if all wait for input, ask the other side.
",
    check,
};

/// Threads that moved, were awake, changed what they wait for, came or went, without these.
pub(super) fn moved_besides(case: &PairCase<'_, '_>, besides: &[&Pair]) -> usize {
    let excepted = |pair: &Pair| besides.iter().any(|other| other.after == pair.after);
    let came = own_of(&case.comparison.new, case.after.snapshot) + own_of(&case.comparison.gone, case.before.snapshot);
    came + case.program().filter(|pair| !pair.is_stuck() && !excepted(pair)).count()
}

/// Threads of the program among these; a process that makes threads is not at a standstill.
fn own_of(threads: &[u32], snapshot: &Snapshot<'_>) -> usize {
    let own = |thread: &&Thread<'_>| {
        !thread.flags.contains(ThreadFlags::SYSTEM) && snapshot.frames_of(thread).next().is_some()
    };
    threads.iter().filter_map(|&at| snapshot.threads.get(at as usize)).filter(own).count()
}

fn check<'data>(case: &PairCase<'_, 'data>) -> Vec<PairFinding<'data>> {
    let pairs: Vec<_> = case.program().collect();
    // Without CPU times, a thread that computes may be met at the same line twice.
    let busy = !super::busy_loop::threads(case).is_empty();
    if pairs.is_empty() || busy || moved_besides(case, &[]) > 0 {
        return Vec::new();
    }
    let snapshot = case.after.snapshot;
    let waits = |pair: &&&Pair| !matches!(case.activities(pair).1, Activity::Idle | Activity::Io | Activity::Sleep);
    let waiting = pairs.iter().filter(waits).count();
    let elapsed = case.comparison.elapsed;
    let total = count(pairs.len(), noun(snapshot));
    let title = if waiting == 0 {
        format!("nothing moved{}: {total}, all idle: they wait for work, input or time", within(elapsed))
    } else {
        format!(
            "nothing moved{}: {total} where they were, {} of them waiting for others",
            within(elapsed),
            number(waiting)
        )
    };
    let quiet = case.comparison.cpu.zip(elapsed).is_some_and(|(cpu, elapsed)| {
        !elapsed.basis.is_rough() && cpu.as_secs_f64() < elapsed.time.as_secs_f64() * 0.01
    });
    let long = elapsed.is_some_and(|elapsed| elapsed.time.as_secs() >= 1);
    let confidence = match (quiet, long) {
        (true, true) => Confidence::High,
        (_, true) => Confidence::Medium,
        _ => Confidence::Low,
    };
    let mut places: BTreeMap<String, (usize, &Pair)> = BTreeMap::new();
    for pair in pairs.iter().filter(|pair| waiting == 0 || waits(pair)) {
        let place = case.place(pair, Role::Waiter);
        places.entry(place.as_ref().map_or_else(|| "an unknown place".to_owned(), at)).or_insert((0, pair)).0 += 1;
    }
    let mut places: Vec<_> = places.into_iter().collect();
    places.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
    let state = |pair: &Pair| {
        let state = case.is(pair).and_then(|thread| snapshot.state(thread.state?));
        state.map(|state| format!(" ({})", state.text)).unwrap_or_default()
    };
    let told = |(place, (many, pair)): &(String, (usize, &Pair))| {
        let verb = if *many == 1 { "stands" } else { "stand" };
        case.evidence(pair, format!("{} {verb} in {place}{}", count(*many, noun(snapshot)), state(pair)))
    };
    vec![PairFinding {
        rule: RULE.id,
        severity: if waiting > 0 { Severity::Warning } else { Severity::Note },
        confidence,
        title,
        places: places.iter().take(3).filter_map(|(_, (_, pair))| case.place(pair, Role::Waiter)).collect(),
        evidence: places.iter().take(5).map(told).collect(),
        threads: case.threads(&pairs),
        next: if waiting > 0 {
            vec![
                "find who should wake the largest group: is that thread in the dump, and what does it wait for?"
                    .to_owned(),
            ]
        } else {
            vec!["ask the other side: does a request reach this process at all?".to_owned()]
        },
    }]
}

#[cfg(test)]
mod tests {
    use necropsy_model::{Confidence, Severity};

    use super::super::samples::{burning, stuck};
    use super::RULE;

    #[test]
    fn fires() {
        let found = stuck(3).found(&RULE);
        assert!(
            found[0].title.starts_with("nothing moved in 10.0 s: 3 threads where they were, 3 of them"),
            "{}",
            found[0].title
        );
        assert_eq!((found[0].severity, found[0].confidence), (Severity::Warning, Confidence::High));
        assert_eq!(found[0].evidence[0].text, "3 threads stand in acquire at shop.c:88 (WAITING)");
    }

    #[test]
    fn keeps_quiet() {
        assert!(burning(Some(9900), &[("parse", 22), ("run", 7)]).found(&RULE).is_empty());
    }
}
