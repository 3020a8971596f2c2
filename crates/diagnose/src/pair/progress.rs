//! How much moved, in numbers.

use necropsy_model::{Confidence, PairEvidence, PairFinding, SameProcess, Severity};

use super::words::{count, noun, number, time, within};
use super::{PairCase, PairRule};

pub(super) static RULE: PairRule = PairRule {
    id: "progress",
    doc: "\
# What it means
How many threads are in both dumps, how many of them moved, and how many came and went.
# Why it matters
A process whose threads move is slow or busy, one whose threads do not move hangs.
# How it can be wrong
A thread that did its work and came back to where it was looks as if it had not moved, where the dumps tell neither its CPU time nor how
long it waits.
# What to do
Look at those that did not move though they should have.
",
    check,
};

fn check<'data>(case: &PairCase<'_, 'data>) -> Vec<PairFinding<'data>> {
    let comparison = case.comparison;
    let noun = noun(case.after.snapshot);
    let (was, is) = (case.before.snapshot.threads.len(), case.after.snapshot.threads.len());
    let title = if comparison.by_thread {
        let total = case.program().count();
        let moved = case.program().filter(|pair| !pair.is_stuck()).count();
        format!(
            "{} of {} moved{}, {} stand where they stood; {} new, {} gone",
            number(moved),
            count(total, noun),
            within(comparison.elapsed),
            number(total - moved),
            number(comparison.new.len()),
            number(comparison.gone.len())
        )
    } else {
        format!(
            "{} before, {} after; these dumps count {noun}s and do not tell one from another",
            number(was),
            number(is)
        )
    };
    let mut evidence = Vec::new();
    if let Some(cpu) = comparison.cpu {
        evidence.push(PairEvidence {
            text: format!("all threads that are in both used {} of CPU{}", time(cpu), within(comparison.elapsed)),
            before: None,
            after: None,
        });
    }
    let sure = comparison.identity.same >= SameProcess::Likely && comparison.elapsed.is_some();
    vec![PairFinding {
        rule: RULE.id,
        severity: Severity::Note,
        confidence: if sure { Confidence::High } else { Confidence::Medium },
        title,
        places: Vec::new(),
        evidence,
        threads: Vec::new(),
        next: Vec::new(),
    }]
}

#[cfg(test)]
mod tests {
    use super::super::samples::{burning, stuck};
    use super::RULE;

    /// It says how much moved, also when that is nothing.
    #[test]
    fn counts() {
        let found = burning(Some(9900), &[("peek", 2), ("parse", 22), ("run", 7)]).found(&RULE);
        assert_eq!(found[0].title, "1 of 3 threads moved in 10.0 s, 2 stand where they stood; 0 new, 0 gone");
        assert!(stuck(3).found(&RULE)[0].title.starts_with("0 of 3 threads moved"));
    }
}
