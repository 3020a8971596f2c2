//! The garbage collector or the compiler used the CPU between two dumps.

use necropsy_model::{Confidence, Pair, PairFinding, Severity};

use super::words::{number, time};
use super::{PairCase, PairRule};

pub(super) static RULE: PairRule = PairRule {
    id: "collector-busy",
    doc: "\
# What it means
Between the two dumps the threads of the garbage collector used more than half of the time, or more CPU than the program.
# Why it matters
The program computes little because the heap is full, or because it makes garbage faster than it can be collected. To look for a
loop in its code is in vain.
# How it can be wrong
A single large collection between dumps that are close together looks the same.
# What to do
Look at the heap: a class histogram, then a heap dump; the collector's log (`-Xlog:gc`) says how full it is after each collection.
",
    check,
};

/// Names that HotSpot gives to threads of its collectors (`gc/*/` and `gc/shared/workerThread.cpp`).
const COLLECTORS: [&str; 9] =
    ["GC Thread", "ParGC Thread", "G1 ", "VM Thread", "ZWorker", "ZDriver", "Shenandoah", "XWorker", "Gang worker"];

fn check<'data>(case: &PairCase<'_, 'data>) -> Vec<PairFinding<'data>> {
    let Some(elapsed) = case.comparison.elapsed.filter(|elapsed| !elapsed.basis.is_rough()) else { return Vec::new() };
    let collects = |pair: &&Pair| {
        let name = case.is(pair).filter(|_| case.after.snapshot.jvm.is_some()).and_then(|thread| thread.name());
        name.is_some_and(|name| COLLECTORS.iter().any(|start| name.starts_with(start)))
    };
    let mut pairs: Vec<_> = case.comparison.pairs.iter().filter(collects).filter(|pair| pair.cpu.is_some()).collect();
    pairs.sort_by_key(|pair| std::cmp::Reverse(pair.cpu));
    let used = crate::numbers::sum(pairs.iter().filter_map(|pair| pair.cpu));
    let program = case.comparison.cpu.unwrap_or_default().saturating_sub(used);
    let share = used.as_secs_f64() / elapsed.time.as_secs_f64().max(f64::MIN_POSITIVE);
    if share < 0.5 && (share < 0.2 || used <= program) {
        return Vec::new();
    }
    let title = format!(
        "the garbage collector used {} of CPU in {}, the program {}",
        time(used),
        time(elapsed.time),
        time(program)
    );
    let told = pairs.iter().take(3).filter_map(|pair| {
        let name = case.is(pair)?.name()?.to_owned();
        Some(case.evidence(pair, format!("\"{name}\" used {}", time(pair.cpu?))))
    });
    let mut evidence: Vec<_> = told.collect();
    if let Some(first) = evidence.first_mut().filter(|_| pairs.len() > 3) {
        first.text = format!("{}; {} threads collect", first.text, number(pairs.len()));
    }
    vec![PairFinding {
        rule: RULE.id,
        severity: Severity::Critical,
        confidence: if used > program { Confidence::High } else { Confidence::Medium },
        title,
        places: Vec::new(),
        evidence,
        threads: case.threads(&pairs),
        next: vec!["jcmd PID GC.class_histogram, then GC.heap_dump: what fills the heap".to_owned()],
    }]
}

#[cfg(test)]
mod tests {
    use super::super::samples::{burning, collecting};
    use super::RULE;

    #[test]
    fn fires() {
        assert!(
            collecting(8000).found(&RULE)[0].title.starts_with("the garbage collector used 8.0 s of CPU in 10.0 s")
        );
    }

    #[test]
    fn keeps_quiet() {
        assert!(collecting(300).found(&RULE).is_empty());
        assert!(burning(Some(9900), &[("parse", 22), ("run", 7)]).found(&RULE).is_empty());
    }
}
