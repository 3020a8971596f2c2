//! Go's share of the verdict: symptom, headline, whether it was the right dump, where it crashed.

use necropsy_model::go::GoForm;
use necropsy_model::{
    Activity, Confidence, Finding, Group, Role, Severity, Suitability, SuitabilityStatus, Symptom, Verdict,
};

use super::Go;
use crate::advice::catalogue::{
    CORE, Entry, GO_COUNTS, GO_CRASH_NEXT, GO_HEAP, GO_PROFILE, GO_STACKS, KEPT_CORE, MEMORY_MAP, PERF,
};

/// Share of goroutines in one place from which a dump says that something piles up.
const PILE: f64 = 0.5;

/// Puts together what the rules found.
pub(crate) fn verdict<'data>(go: &Go<'_, 'data>, mut findings: Vec<Finding<'data>>) -> Verdict<'data> {
    findings.sort_by_key(|finding| (std::cmp::Reverse(finding.severity), std::cmp::Reverse(finding.confidence)));
    let symptom = symptom(go, &findings);
    let best = findings.first().filter(|finding| finding.severity > Severity::Note);
    let headline = match best {
        // That all are blocked is certain; which wait is the cause is what the next finding tells.
        Some(finding) if finding.rule == "go-all-asleep" => match findings.get(1).filter(|next| explains(next)) {
            Some(cause) => format!("all goroutines are blocked, said by the runtime; {}", cause.title),
            None => finding.title.clone(),
        },
        Some(finding) => finding.title.clone(),
        None => quiet(go, &findings),
    };
    let stop = go.snapshot.stop.as_ref();
    let crash_site = stop.and_then(|stop| go.snapshot.place(stop.thread?, stop.frame, Role::Victim));
    Verdict {
        symptom,
        headline,
        confidence: best.map_or(Confidence::Low, |finding| finding.confidence),
        suitability: suitability(go, symptom),
        crash_site: crash_site.clone(),
        origin: super::origin::of(go, &findings, crash_site.as_ref()),
        findings,
        ..Verdict::default()
    }
}

/// Findings that say why all goroutines are blocked.
fn explains(finding: &Finding<'_>) -> bool {
    finding.severity == Severity::Critical && finding.confidence >= Confidence::Medium
}

/// Findings that say that nothing moves.
fn hangs(finding: &Finding<'_>) -> bool {
    finding.severity > Severity::Note
        && !matches!(finding.rule, "go-spinning" | "go-gc-pressure" | "go-stopping-the-world" | "go-thread-exhaustion")
}

fn symptom(go: &Go<'_, '_>, findings: &[Finding<'_>]) -> Symptom {
    let has = |rule: &str| findings.iter().any(|finding| finding.rule == rule);
    match go.facts.form {
        GoForm::Fatal if has("go-out-of-memory") => Symptom::OutOfMemory,
        GoForm::Fatal if go.is_all_asleep() => Symptom::HangIdle,
        _ if has("go-signal-in-c") => Symptom::NativeCrash,
        GoForm::Panic if has("go-test-timeout") => Symptom::HangIdle,
        GoForm::Panic | GoForm::Fatal | GoForm::Recovered | GoForm::Races => Symptom::ManagedCrash,
        _ if go.snapshot.stop.is_some() => Symptom::NativeCrash,
        _ if findings.iter().any(hangs) => Symptom::HangIdle,
        _ if has("go-spinning") || has("go-gc-pressure") || has("go-stopping-the-world") => Symptom::HangBusy,
        _ if has("go-thread-exhaustion") => Symptom::HangIdle,
        _ => Symptom::Unclear,
    }
}

/// The headline when no rule fired: what most goroutines do.
fn quiet(go: &Go<'_, '_>, findings: &[Finding<'_>]) -> String {
    if let Some(note) = findings.first() {
        return note.title.clone();
    }
    match go.front().next() {
        Some(group) if pile(go, group) => {
            format!("{} in {} at {}{}", go.share(group.threads.len()), go.state(group), go.at(group), go.waited(group))
        }
        Some(_) if go.snapshot.threads.len() == 1 => "nothing stands out: the dump has 1 goroutine".to_owned(),
        Some(_) => format!("nothing stands out among {} goroutines", super::number(go.snapshot.threads.len())),
        None if go.snapshot.threads.is_empty() => "the words of a crash without its goroutines".to_owned(),
        None => "nothing is stuck: only idle background goroutines".to_owned(),
    }
}

fn pile(go: &Go<'_, '_>, group: &Group) -> bool {
    let total = go.snapshot.threads.len();
    total > 1 && group.threads.len() as f64 >= PILE * total as f64
}

fn suitability(go: &Go<'_, '_>, symptom: Symptom) -> Suitability {
    let (status, why, take_instead): (_, _, &[&Entry]) = match (symptom, go.facts.form) {
        (Symptom::NativeCrash, _) => (
            SuitabilityStatus::Wrong,
            "the fault is in C code, whose frames a Go dump does not hold",
            &[KEPT_CORE, GO_CRASH_NEXT],
        ),
        (_, GoForm::Counts | GoForm::Profile) => (
            SuitabilityStatus::Partial,
            "it counts goroutines by stack, but has no states, no waits and no arguments",
            &[GO_STACKS],
        ),
        (_, GoForm::Races) => (SuitabilityStatus::Right, "it names both sides of each race", &[]),
        (Symptom::OutOfMemory, _) => {
            (SuitabilityStatus::Partial, "it shows who asked last for memory, not who holds it", &[GO_HEAP, MEMORY_MAP])
        }
        (Symptom::HangBusy, _) => {
            (SuitabilityStatus::Partial, "one moment does not tell who uses the CPU", &[GO_PROFILE, PERF])
        }
        (_, _) if go.facts.cut.is_some() => {
            (SuitabilityStatus::Partial, "the dump was cut at 64 MiB", &[GO_COUNTS, CORE])
        }
        (Symptom::ManagedCrash, GoForm::Fatal) if go.snapshot.threads.len() <= 1 => {
            (SuitabilityStatus::Partial, "it shows only the goroutine that noticed", &[GO_CRASH_NEXT])
        }
        (Symptom::ManagedCrash, _) => {
            (SuitabilityStatus::Right, "it has the words of the panic and the stack that raised it", &[])
        }
        (Symptom::HangIdle, _) => (SuitabilityStatus::Right, "it shows what every goroutine waits for", &[]),
        (Symptom::Unclear, _) => {
            (SuitabilityStatus::Partial, "one moment does not tell what is slow from what is stuck", &[GO_STACKS])
        }
    };
    crate::suitability::told(go.snapshot, status, why, take_instead)
}

/// Whether goroutines want a CPU or hold one.
pub(crate) fn is_busy(activity: Activity) -> bool {
    matches!(activity, Activity::Running | Activity::Runnable)
}
