//! What the user says it was, against what the dump shows.

use necropsy_model::advice::{Claim, Complaint, Standing};
use necropsy_model::{Command, Confidence, Snapshot, SuitabilityStatus, Symptom, Verdict};

use super::catalogue::CATALOGUE;
use super::commands;

/// Commands that are worth a place in a report.
const SHOWN: usize = 3;

/// Holds a claim against a verdict.
pub fn claim(snapshot: &Snapshot<'_>, verdict: &Verdict<'_>, complaint: Complaint) -> Claim {
    let shown = verdict.symptom;
    let because = verdict.evidence.first().map(|it| format!(": {}", it.text)).unwrap_or_default();
    let (standing, why) = if complaint.is(shown) {
        (Standing::Confirmed, format!("the dump shows {}{because}", complaint.words()))
    } else if shown == Symptom::Unclear {
        (
            Standing::Open,
            format!("the dump does not show what failed, so it neither proves nor refutes {}", complaint.words()),
        )
    } else if complaint == Complaint::OutOfMemory && verdict.confidence < Confidence::High {
        (Standing::Open, format!("no mark of memory running out is in it; it shows {}{because}", words(shown)))
    } else {
        (Standing::Contradicted, format!("the dump shows {}, not {}{because}", words(shown), complaint.words()))
    };
    let serves = standing == Standing::Confirmed && verdict.suitability.status == SuitabilityStatus::Right;
    let take = match standing {
        // The verdict's own words about the dump say what to take.
        Standing::Confirmed => Vec::new(),
        _ if serves => Vec::new(),
        _ => serving(snapshot, complaint),
    };
    Claim { complaint, standing, confidence: verdict.confidence, why, take }
}

/// The dumps that serve a claim.
fn serving(snapshot: &Snapshot<'_>, complaint: Complaint) -> Vec<Command> {
    let suits = CATALOGUE.iter().filter(|entry| entry.suits(snapshot.process.runtime, complaint));
    let entries: Vec<_> = suits.filter(|entry| !entry.is_for_next_time()).take(SHOWN).copied().collect();
    commands(&crate::suitability::target(snapshot), &entries)
}

/// A symptom in words, as what a dump shows.
fn words(symptom: Symptom) -> &'static str {
    match symptom {
        Symptom::NativeCrash => "a crash in native code",
        Symptom::ManagedCrash => "a crash in managed code",
        Symptom::OutOfMemory => "memory running out",
        Symptom::HangIdle => "a hang that uses no CPU",
        Symptom::HangBusy => "a hang that uses CPU",
        Symptom::Unclear => "nothing certain",
    }
}

#[cfg(test)]
mod tests {
    use necropsy_model::{Evidence, Source};

    use super::*;

    fn shows(symptom: Symptom, confidence: Confidence) -> Verdict<'static> {
        let evidence = vec![Evidence::new("SIGSEGV (SEGV_MAPERR)", Source::DUMP)];
        Verdict { symptom, confidence, evidence, ..Verdict::default() }
    }

    #[test]
    fn a_claim_is_confirmed_contradicted_or_open() {
        let of = |symptom, confidence, complaint| claim(&Snapshot::default(), &shows(symptom, confidence), complaint);
        let crash = of(Symptom::NativeCrash, Confidence::High, Complaint::Crash);
        assert!(crash.standing == Standing::Confirmed && crash.take.is_empty());
        let memory = of(Symptom::NativeCrash, Confidence::High, Complaint::OutOfMemory);
        assert_eq!(memory.standing, Standing::Contradicted);
        assert_eq!(memory.why, "the dump shows a crash in native code, not memory running out: SIGSEGV (SEGV_MAPERR)");
        assert!(!memory.take.is_empty(), "it says what serves the claim");
        assert_eq!(of(Symptom::Unclear, Confidence::Low, Complaint::Hang).standing, Standing::Open);
        assert_eq!(of(Symptom::HangBusy, Confidence::Medium, Complaint::Hang).standing, Standing::Confirmed);
        assert_eq!(of(Symptom::HangBusy, Confidence::Medium, Complaint::HangIdle).standing, Standing::Contradicted);
    }
}
