//! The share of Java thread dumps in the verdict: symptom, headline and whether it was the right dump.

pub(crate) mod hs_err;
pub(crate) mod hs_verdict;
pub(crate) mod libraries;
pub mod series;

use std::time::Duration;

use necropsy_model::{
    Activity, Confidence, Finding, FrameKind, Severity, Snapshot, Suitability, SuitabilityStatus, Symptom, Thread,
    ThreadFlags,
};

use crate::Case;
use crate::advice::catalogue::{Entry, JAVA_PROFILE, JAVA_THREADS, JAVACORES, TOP};

/// Share of its life that a thread must have computed to be called busy: less than one half, because busy threads share CPUs.
const BUSY_SHARE: f64 = 0.25;

/// Share of all that the program computed from which a thread is busy, if it also computed [`BUSY_AT_LEAST`] of its life.
const BUSY_OF_ALL: f64 = 0.2;

/// See [`BUSY_OF_ALL`].
const BUSY_AT_LEAST: f64 = 0.05;

/// CPU time below which a share says nothing: a thread that has just begun computes all the time.
const BUSY_LEAST: Duration = Duration::from_millis(500);

/// The dump is one of threads that was asked for, not a crash.
fn snapshot_of<'a, 'data>(case: &Case<'a, 'data>) -> Option<&'a Snapshot<'data>> {
    let snapshot = case.snapshot;
    (snapshot.jvm.is_some() && snapshot.stop.is_none()).then_some(snapshot)
}

/// Threads of the program that are RUNNABLE in Java code and computed for much of their life, or much of what the program
/// computed in all: on a machine with few CPUs nobody gets much.
pub(crate) fn busy<'a, 'data>(snapshot: &'a Snapshot<'data>) -> Vec<(usize, &'a Thread<'data>)> {
    let own = |thread: &Thread<'_>| !thread.flags.contains(ThreadFlags::SYSTEM);
    let cpu = |thread: &Thread<'_>| thread.detail.as_ref().and_then(|detail| detail.cpu).unwrap_or_default();
    let all = crate::numbers::sum(snapshot.threads.iter().filter(|thread| own(thread)).map(cpu));
    let computes = |thread: &Thread<'data>| {
        let used = cpu(thread);
        let elapsed = thread.detail.as_ref().and_then(|detail| detail.elapsed).unwrap_or_default().as_secs_f64();
        let share = used.as_secs_f64() / elapsed.max(f64::MIN_POSITIVE);
        let of_all = used.as_secs_f64() / all.as_secs_f64().max(f64::MIN_POSITIVE);
        used >= BUSY_LEAST && elapsed > 0.0 && (share >= BUSY_SHARE || of_all >= BUSY_OF_ALL && share >= BUSY_AT_LEAST)
    };
    // Whether a native method computes or waits is not told.
    let in_java =
        |thread: &Thread<'data>| snapshot.frames_of(thread).next().is_none_or(|top| top.kind != FrameKind::Native);
    let busy = |thread: &Thread<'data>| {
        own(thread) && snapshot.activity(thread) == Activity::Running && computes(thread) && in_java(thread)
    };
    snapshot.threads.iter().enumerate().filter(|(_, thread)| busy(thread)).collect()
}

/// What a thread whose innermost method is this one waits for.
pub(crate) fn io_of(method: &str) -> &'static str {
    let (class, name) = method.rsplit_once('.').unwrap_or_default();
    let file = ["File", "RandomAccess"].iter().any(|part| class.contains(part));
    match name {
        "accept" | "accept0" | "socketAccept" => "an accept",
        "epollWait" | "poll" | "poll0" | "kevent" | "wait" | "wait0" => "a poll",
        "lookupAllHostAddr" => "a host name lookup",
        "socketConnect" | "connect0" | "waitForConnect" => "a connect",
        "waitForProcessExit0" => "another process's end",
        _ if name.to_ascii_lowercase().contains("write") => {
            if file {
                "a file write"
            } else {
                "a socket write"
            }
        }
        _ if file => "a file read",
        _ if name.contains("ead") || name.starts_with("recv") || name.starts_with("receive") => "a socket read",
        _ => "input or output",
    }
}

/// The method waits for a peer's answer.
pub(crate) fn is_read(method: &str) -> bool {
    matches!(io_of(method), "a socket read" | "a connect" | "a host name lookup")
}

/// A hang when threads wait in a circle or a queue, a busy one when threads compute, else not told.
pub(crate) fn symptom(case: &Case<'_, '_>, findings: &[Finding<'_>]) -> Option<Symptom> {
    let snapshot = snapshot_of(case)?;
    let computes = crate::rules::java::busy::RULE.id;
    let waits = findings.iter().any(|finding| finding.severity > Severity::Note && finding.rule != computes);
    Some(if waits {
        Symptom::HangIdle
    } else if !busy(snapshot).is_empty() {
        Symptom::HangBusy
    } else {
        Symptom::Unclear
    })
}

/// The headline when no rule fired.
pub(crate) fn quiet(case: &Case<'_, '_>) -> Option<String> {
    let snapshot = snapshot_of(case)?;
    let total = snapshot.threads.len();
    let threads = if total == 1 { "1 thread".to_owned() } else { format!("{total} threads") };
    // What was not read may hold what was not found.
    let part = if snapshot.warnings.is_empty() { "" } else { "what could be read of " };
    Some(if tells_states(snapshot) {
        format!("nothing stands out among {part}{threads}: no deadlock, no queue for a lock")
    } else {
        format!(
            "nothing stands out among {part}{threads}, but the dump tells no locks and no states: a deadlock would not show"
        )
    })
}

/// The dump says what threads do. `Thread.dump_to_file` of JDK 21 to 24 has their frames alone.
fn tells_states(snapshot: &Snapshot<'_>) -> bool {
    let mut states = snapshot.threads.iter().filter_map(|thread| snapshot.state(thread.state?));
    states.any(|state| !(state.text.is_empty() || state.text.ends_with("(inferred)")))
}

/// Whether a thread dump answers the question.
pub(crate) fn suitability(case: &Case<'_, '_>, symptom: Symptom, findings: &[Finding<'_>]) -> Option<Suitability> {
    let snapshot = snapshot_of(case)?;
    // It has no recorder; the native thread ids of a javacore are those of top.
    let openj9 = snapshot.jvm.as_ref().is_some_and(|jvm| jvm.is_openj9);
    let twice: &[&Entry] = if openj9 { &[JAVACORES] } else { &[JAVA_THREADS] };
    let profile: &[&Entry] = if openj9 { &[JAVACORES, TOP] } else { &[JAVA_THREADS, JAVA_PROFILE, TOP] };
    let sure = |finding: &Finding<'_>| finding.severity == Severity::Critical && finding.confidence == Confidence::High;
    let deadlock = findings.iter().any(|finding| finding.rule == "deadlock") || findings.iter().any(sure);
    let (status, why, take_instead): (_, _, &[&Entry]) = match symptom {
        Symptom::HangIdle if deadlock => {
            (SuitabilityStatus::Right, "it proves the circle, which can not pass by itself", &[])
        }
        Symptom::HangIdle => (
            SuitabilityStatus::Partial,
            "it shows one moment; a second dump tells what is stuck from what is slow",
            twice,
        ),
        Symptom::HangBusy => (
            SuitabilityStatus::Partial,
            "it names the threads that compute, but one moment does not tell where their time goes",
            profile,
        ),
        _ if !tells_states(snapshot) => (
            SuitabilityStatus::Partial,
            "it lists every thread, the virtual ones too, but neither states nor locks: those are in a thread dump",
            twice,
        ),
        _ => (SuitabilityStatus::Partial, "one moment does not tell what is slow from what is stuck", twice),
    };
    Some(crate::suitability::told(snapshot, status, why, take_instead))
}

#[cfg(test)]
mod tests {
    use necropsy_model::{Groups, Source, State, ThreadId, jvm::JvmFacts};

    use super::*;

    fn of(cpu_ms: u64, activity: Activity) -> Symptom {
        let mut snapshot = Snapshot { jvm: Some(Box::new(JvmFacts::default())), ..Snapshot::default() };
        let mut thread = Thread::new(ThreadId(1), Source::line(1));
        thread.state = snapshot.intern_state(State { text: "RUNNABLE".into(), activity });
        thread.detail_mut().cpu = Some(Duration::from_millis(cpu_ms));
        thread.detail_mut().elapsed = Some(Duration::from_secs(4));
        snapshot.threads.push(thread);
        crate::diagnose(&snapshot, &Groups::default()).symptom
    }

    #[test]
    fn a_thread_that_computed_is_busy_and_one_that_reads_is_not() {
        assert_eq!(of(3000, Activity::Running), Symptom::HangBusy);
        assert_eq!(of(100, Activity::Running), Symptom::Unclear);
        assert_eq!(of(3000, Activity::Io), Symptom::Unclear);
    }
}
