//! What a fatal error log says, in one breath: the first rule that fires, in the order of the registry.

use necropsy_model::{
    Confidence, Finding, Grade, Origin, Role, Severity, Suitability, SuitabilityStatus, Symptom, Verdict,
};

use super::hs_err::{Ended, Hs};
use crate::advice::catalogue::{
    Entry, JAVA_CRASH_NEXT, JAVA_HEAP, JAVA_HEAP_NEXT, JAVA_NATIVE_MEMORY_NEXT, JAVA_RECORD_NEXT, JAVA_THREADS,
    MEMORY_MAP,
};

/// Rules about fatal error logs.
const PREFIX: &str = "jvm-";

/// Puts together what the rules found, given in the order of the registry.
pub(crate) fn verdict<'data>(hs: &Hs<'_, 'data>, findings: Vec<Finding<'data>>) -> Verdict<'data> {
    let own = findings.into_iter().filter(|finding| finding.rule.starts_with(PREFIX));
    let (explain, mut beside): (Vec<_>, Vec<_>) = own.partition(|finding| finding.severity == Severity::Critical);
    // Later explanations are weaker readings of the same facts.
    let mut findings: Vec<_> = explain.into_iter().take(1).collect();
    beside.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings.extend(beside);
    let symptom = symptom(hs, &findings);
    let first = findings.first();
    let headline = first.map_or_else(|| "a fatal error log without an error".to_owned(), |first| first.title.clone());
    let confidence = first.map(|first| first.confidence).unwrap_or_default();
    let place = |role| first.and_then(|first| first.places.iter().find(|place| place.role == role).cloned());
    let crash_site = place(Role::Victim).filter(|_| hs.is_fault());
    let origin = first.and_then(origin);
    let suitability = suitability(hs, symptom, first);
    Verdict { symptom, headline, confidence, suitability, crash_site, origin, findings, ..Verdict::default() }
}

fn symptom(hs: &Hs<'_, '_>, findings: &[Finding<'_>]) -> Symptom {
    match findings.first().map(|finding| finding.rule) {
        Some("jvm-signal-sent" | "jvm-report-on-demand") | None => Symptom::Unclear,
        Some("jvm-safepoint-timeout") => Symptom::HangBusy,
        Some("jvm-java-out-of-memory") => Symptom::OutOfMemory,
        _ if hs.ended() == Ended::Memory => Symptom::OutOfMemory,
        _ => Symptom::NativeCrash,
    }
}

/// The caller that a rule holds responsible, or the Java frame through which the value came in.
fn origin<'data>(finding: &Finding<'data>) -> Option<Origin<'data>> {
    let of = |role| finding.places.iter().find(|place| place.role == role).cloned();
    let (caller, gate) = (of(Role::Origin), of(Role::Gate));
    let birth = caller.clone().or_else(|| gate.clone())?;
    let known = caller.is_some();
    let why = if known {
        "it called the code that crashed, which only used what it was given"
    } else {
        "the Java frame that passed the value; where it came from is not in the log"
    };
    Some(Origin {
        birth,
        kind: if known { "caller".to_owned() } else { "unknown".to_owned() },
        value: None,
        confidence: if known { finding.confidence.min(Confidence::Medium) } else { Confidence::Low },
        grade: if known { Grade::B } else { Grade::C },
        why: why.to_owned(),
        not_checked: vec!["the class files, whose bytecode says which call returned the value".to_owned()],
        gate,
        handed_through: Vec::new(),
        alternatives: Vec::new(),
        trail: Vec::new(),
    })
}

/// Whether a log answers the question, and what would.
fn suitability(hs: &Hs<'_, '_>, symptom: Symptom, first: Option<&Finding<'_>>) -> Suitability {
    let told = |status, why, entries: &[&Entry]| crate::suitability::told(hs.snapshot, status, why, entries);
    match (symptom, first.map(|first| first.rule)) {
        (_, Some("jvm-signal-sent" | "jvm-abort-asked-for")) => {
            told(SuitabilityStatus::Right, "it names what ended the process", &[])
        }
        (_, Some("jvm-report-on-demand")) => {
            told(SuitabilityStatus::Wrong, "nothing crashed: it describes a process that lives", &[JAVA_THREADS])
        }
        (Symptom::HangBusy, _) => told(
            SuitabilityStatus::Partial,
            "it names the thread that would not stop, but not how often it stands there",
            &[JAVA_RECORD_NEXT],
        ),
        (Symptom::OutOfMemory, Some("jvm-java-out-of-memory")) => told(
            SuitabilityStatus::Partial,
            "it says which memory ran out, not who keeps it",
            &[JAVA_HEAP_NEXT, JAVA_HEAP],
        ),
        (Symptom::OutOfMemory, _) => told(
            SuitabilityStatus::Partial,
            "it says who refused, not who used the memory",
            &[JAVA_NATIVE_MEMORY_NEXT, MEMORY_MAP],
        ),
        _ => told(
            SuitabilityStatus::Partial,
            "it has the stack and the registers of one thread; arguments and memory are in a core",
            &[JAVA_CRASH_NEXT],
        ),
    }
}

#[cfg(test)]
mod tests {
    use necropsy_model::Groups;

    use super::*;
    use crate::rules::hserr::samples::{SEGV, signal};

    #[test]
    fn the_first_explanation_is_the_verdict() {
        let frames = ["C librefund.so apply_refund", "j Shop.apply 0", "j Shop.process 7"];
        let snapshot = signal(SEGV, 8, &frames, |_| {});
        let verdict = crate::diagnose(&snapshot, &Groups::default());
        assert_eq!(verdict.findings.len(), 1, "weaker readings are left out");
        assert_eq!(verdict.findings[0].rule, "jvm-native-crash");
        assert_eq!(verdict.symptom, Symptom::NativeCrash);
        assert!(verdict.origin.is_some() && verdict.crash_site.is_some());
        let sent = signal(("SIGSEGV", 11, 0), 0, &frames, |log| log.siginfo.as_mut().unwrap().sender_pid = Some(7));
        let verdict = crate::diagnose(&sent, &Groups::default());
        assert_eq!((verdict.findings[0].rule, verdict.symptom), ("jvm-signal-sent", Symptom::Unclear));
        assert!(verdict.crash_site.is_none());
    }
}
