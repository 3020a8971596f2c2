//! A panic that nobody recovered, or one that a server recovered and logged.

use necropsy_model::go::GoForm;
use necropsy_model::{Confidence, Evidence, Finding, Role, Severity, Source};

use crate::go::{Go, finding, words};
use crate::{Case, Rule};

pub(super) static RULE: Rule = Rule {
    id: "go-panic",
    doc: "\
# What it means
A goroutine panicked. In a chain the first panic is the origin, the last is what ended the process.
# Why it matters
The stack shows where the panic was raised. A panic that was raised again keeps the first frames; one that a deferred call
raised on its own hides the first behind it.
# How it can be wrong
The frame that dereferenced nil is the victim: the nil was made elsewhere, often by a call that had already returned.
# What to do
Read the frame named as the place, then who handed it the value.
",
    check,
};

/// Below this address a fault is a field of a nil pointer: the first page is never mapped.
const NIL_PAGE: u64 = 0x1000;

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::of(case) else { return Vec::new() };
    let facts = go.facts;
    if !matches!(facts.form, GoForm::Panic | GoForm::Recovered) || facts.running_tests.iter().len() > 0 {
        return Vec::new();
    }
    let (Some(first), Some(last)) = (facts.panics.first(), facts.panics.last()) else { return Vec::new() };
    let recovered = facts.form == GoForm::Recovered;
    let thread =
        go.snapshot.stop.as_ref().and_then(|stop| stop.thread).or((!go.snapshot.threads.is_empty()).then_some(0));
    let frames: Vec<_> = thread
        .and_then(|at| go.snapshot.threads.get(at))
        .map(|thread| go.snapshot.frames_of(thread).collect())
        .unwrap_or_default();
    let victim = match go.snapshot.stop.as_ref() {
        Some(stop) => Some(stop.frame),
        None => behind_panic(&frames),
    };
    let place = |at: Option<usize>, role| go.snapshot.place(thread?, at?, role);
    let at =
        victim.and_then(|at| frames.get(at)).map(|frame| format!(", raised in {}", words(frame))).unwrap_or_default();
    let value = last.value.lines().next().unwrap_or_default();
    let what = if recovered { "a panic was recovered and logged" } else { "panic" };
    let title = format!("{what}: {value}{at}");
    let severity = if recovered { Severity::Warning } else { Severity::Critical };
    let confidence = if victim.is_some() { Confidence::High } else { Confidence::Medium };
    let mut finding = finding(RULE.id, severity, confidence, title);
    finding.places.extend(place(victim, Role::Victim));
    let origin = behind_panic(&frames).filter(|&at| Some(at) != victim && at < frames.len());
    if facts.panics.len() > 1 {
        finding.places.extend(place(origin, Role::Origin));
    }
    for (number, panic) in facts.panics.iter().enumerate() {
        let role = match number {
            _ if facts.panics.len() == 1 => "the panic",
            0 => "the first panic, the origin",
            _ if number + 1 == facts.panics.len() => "the last panic, which ended it",
            _ => "then",
        };
        let again = if panic.repanicked {
            ", recovered and raised again"
        } else if panic.recovered {
            ", recovered"
        } else {
            ""
        };
        finding.evidence.push(Evidence::new(format!("{role}: {}{again}", panic.value), panic.source));
    }
    if let Some(signal) = &facts.signal
        && let Some(address) = signal.address
        && first.value.contains("nil pointer")
    {
        let text = match address {
            0 => "the address is 0: the first word of a nil pointer was used".to_owned(),
            1..NIL_PAGE => format!("the address is {address:#x}: the field {address} bytes into a nil pointer"),
            _ => format!(
                "the address is {address:#x}: too far from 0 for a plain nil, so look for a large offset or index"
            ),
        };
        finding.evidence.push(Evidence::new(text, signal.source));
        finding.next.push(
            "find who made the pointer nil: look at the calls before this line whose result was not checked".to_owned(),
        );
    }
    if finding.evidence.is_empty() {
        finding.evidence.push(Evidence::new("the words of the panic", Source::DUMP));
    }
    vec![finding]
}

/// The frame that raised the first panic: behind the outermost call of `panic`.
fn behind_panic(frames: &[&necropsy_model::Frame<'_>]) -> Option<usize> {
    let raised = |frame: &&necropsy_model::Frame<'_>| {
        matches!(frame.function.as_deref(), Some("panic" | "runtime.gopanic" | "runtime.sigpanic"))
    };
    let at = frames.iter().rposition(raised)?;
    let rest = frames.get(at + 1..)?;
    let own = rest.iter().position(|frame| frame.kind != necropsy_model::FrameKind::Runtime)?;
    Some(at + 1 + own)
}
