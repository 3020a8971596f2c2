//! Where the bad value was born: judgement on the facts that were traced. The kinds of evidence are graded by how often they
//! were right on programs with a known truth; `docs/ORIGIN.md` has the figures.

mod flow;
mod site;

use necropsy_model::{Confidence, Grade, Origin};

use crate::crash::Crash;

/// One way to find an origin.
type Way = for<'a, 'data> fn(&Crash<'a, 'data>) -> Option<Origin<'data>>;

/// All ways. The best grade wins; of equal grades the first.
const WAYS: &[Way] = &[flow::origin, site::thrown, site::half_made, site::smashed, site::unchanged, site::nearest];

/// The origin of a crash, by the way with the best evidence.
pub(crate) fn of<'data>(crash: &Crash<'_, 'data>) -> Option<Origin<'data>> {
    let mut best: Option<Origin<'data>> = None;
    for found in WAYS.iter().filter_map(|way| way(crash)) {
        if best.as_ref().is_none_or(|best| found.grade < best.grade) {
            best = Some(found);
        }
    }
    best
}

/// How sure an origin of a grade is: high only where at least 95 of 100 were right.
fn confidence(grade: Grade) -> Confidence {
    match grade {
        Grade::A => Confidence::High,
        Grade::AMinus | Grade::B => Confidence::Medium,
        Grade::C | Grade::D => Confidence::Low,
    }
}
