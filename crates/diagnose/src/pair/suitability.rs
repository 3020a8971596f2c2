//! Whether two dumps were the right ones, and how to take better ones.

use necropsy_model::{PairFinding, SameProcess, Severity, Suitability, SuitabilityStatus, Writer};

use super::PairCase;
use crate::advice::catalogue::{CORES, Entry, TOP_TWICE};
use crate::suitability::{stacks, told};

/// Less than this apart, two dumps are one moment.
const TOO_CLOSE_S: f64 = 0.5;

/// Two dumps that are not of one process.
pub(super) fn refused(case: &PairCase<'_, '_>, why: &str) -> Suitability {
    told(case.after.snapshot, SuitabilityStatus::Wrong, why, &[again(case)])
}

pub(super) fn of(case: &PairCase<'_, '_>, findings: &[PairFinding<'_>]) -> Suitability {
    let comparison = case.comparison;
    let partial = |why: &str, take| told(case.after.snapshot, SuitabilityStatus::Partial, why, &[take]);
    let proved =
        findings.first().is_some_and(|finding| finding.rule == "same-deadlock" && finding.severity > Severity::Note);
    if proved {
        return Suitability {
            status: SuitabilityStatus::Right,
            why: "the circle is in both dumps".to_owned(),
            take_instead: Vec::new(),
        };
    }
    match comparison.elapsed {
        Some(elapsed) if elapsed.time.as_secs_f64() < TOO_CLOSE_S => {
            return partial("they are less than half a second apart: too close to tell slow from stuck", again(case));
        }
        _ => {}
    }
    if comparison.identity.same == SameProcess::NotTold {
        return partial("nothing in them tells whether they are of one process", again(case));
    }
    if !comparison.by_thread {
        return partial("they count threads by their stacks, so that growth is seen and motion is not", again(case));
    }
    if case.after.snapshot.process.writer == Some(Writer::Gcore)
        || case.before.snapshot.process.writer == Some(Writer::Gcore)
    {
        return partial(
            "gcore writes no CPU times: who was on a CPU at both moments is all that can be told",
            TOP_TWICE,
        );
    }
    if comparison.elapsed.is_none() {
        return partial("they do not say when they were taken, so that shares of time can not be told", again(case));
    }
    Suitability {
        status: SuitabilityStatus::Right,
        why: "two dumps of one process, far enough apart to tell what moves".to_owned(),
        take_instead: Vec::new(),
    }
}

/// Two dumps of the kind that was compared, ten seconds apart.
fn again(case: &PairCase<'_, '_>) -> &'static Entry {
    let snapshot = case.after.snapshot;
    if snapshot.memory.is_empty() { stacks(snapshot.process.runtime) } else { CORES }
}

#[cfg(test)]
mod tests {
    use necropsy_model::{Identification, SameProcess, SuitabilityStatus};

    use super::super::samples::stuck;

    #[test]
    fn what_is_missing_is_told() {
        assert_eq!(stuck(3).verdict().suitability.status, SuitabilityStatus::Right);
        let mut other = stuck(3);
        let because = vec!["different processes: 1 and 2".to_owned()];
        other.comparison.identity = Identification { same: SameProcess::No, because };
        let verdict = other.verdict();
        assert_eq!(verdict.suitability.status, SuitabilityStatus::Wrong);
        assert!(
            verdict.findings.is_empty() && verdict.headline.contains("different processes: 1 and 2"),
            "{}",
            verdict.headline
        );
    }
}
