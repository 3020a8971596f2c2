//! What the rules about panics share: the chain, the place, what a signal adds.

use necropsy_model::go::GoForm;
use necropsy_model::{Confidence, Evidence, Finding, Frame, FrameKind, Place, Role, Severity, Source};

use super::{Go, finding, words};

/// Below this address a fault is a field of a nil pointer: the first page is never mapped.
pub(crate) const NIL_PAGE: u64 = 0x1000;

/// A panic that is no alarm of `go test`.
pub(crate) fn is_panic(go: &Go<'_, '_>) -> bool {
    let alarm = || go.facts.panics.iter().any(|panic| panic.value.starts_with("test timed out after"));
    matches!(go.facts.form, GoForm::Panic | GoForm::Recovered) && go.facts.running_tests.is_empty() && !alarm()
}

/// The panic that began the chain is the use of a nil pointer.
pub(crate) fn is_nil(go: &Go<'_, '_>) -> bool {
    go.facts.panics.first().is_some_and(|first| first.value.contains("nil pointer dereference"))
}

/// Where a panic was raised.
pub(crate) struct Raised<'a, 'data> {
    frames: Vec<&'a Frame<'data>>,
    thread: Option<usize>,
    victim: Option<usize>,
}

impl<'a, 'data> Raised<'a, 'data> {
    pub(crate) fn of(go: &Go<'a, 'data>) -> Self {
        let stop = go.snapshot.stop.as_ref();
        let thread = stop.and_then(|stop| stop.thread).or((!go.snapshot.threads.is_empty()).then_some(0));
        let shown = thread.and_then(|at| go.snapshot.threads.get(at)).into_iter();
        let frames: Vec<_> = shown.flat_map(|thread| go.snapshot.frames_of(thread)).collect();
        let victim = stop.map_or_else(|| behind_panic(&frames), |stop| Some(stop.frame));
        Self { thread, victim: victim.filter(|&at| at < frames.len()), frames }
    }

    fn place(&self, go: &Go<'a, 'data>, at: Option<usize>, role: Role) -> Option<Place<'data>> {
        go.snapshot.place(self.thread?, at?, role)
    }

    /// `main.pop at main.go:51`.
    pub(crate) fn at(&self) -> Option<String> {
        self.frames.get(self.victim?).map(|frame| words(frame))
    }
}

/// The finding of a panic: its place, the panics of the chain.
pub(crate) fn found<'data>(
    go: &Go<'_, 'data>,
    rule: &'static str,
    raised: &Raised<'_, 'data>,
    title: String,
) -> Finding<'data> {
    let recovered = go.facts.form == GoForm::Recovered;
    let severity = if recovered { Severity::Warning } else { Severity::Critical };
    let confidence = if raised.victim.is_some() { Confidence::High } else { Confidence::Medium };
    let mut finding = finding(rule, severity, confidence, title);
    finding.places.extend(raised.place(go, raised.victim, Role::Victim));
    let panics = &go.facts.panics;
    let origin = behind_panic(&raised.frames).filter(|&at| Some(at) != raised.victim && at < raised.frames.len());
    if panics.len() > 1 {
        finding.places.extend(raised.place(go, origin, Role::Origin));
    }
    for (number, panic) in panics.iter().enumerate() {
        let role = match number {
            _ if panics.len() == 1 => "the panic",
            0 => "the first panic, the origin",
            _ if number + 1 == panics.len() => "the last panic, which ended it",
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
    if finding.evidence.is_empty() {
        finding.evidence.push(Evidence::new("the words of the panic", Source::DUMP));
    }
    finding
}

/// The frame that raised the first panic: behind the outermost call of `panic`.
fn behind_panic(frames: &[&Frame<'_>]) -> Option<usize> {
    let raised = |frame: &&Frame<'_>| {
        matches!(frame.function.as_deref(), Some("panic" | "runtime.gopanic" | "runtime.sigpanic"))
    };
    let at = frames.iter().rposition(raised)?;
    let rest = frames.get(at + 1..)?;
    let own = rest.iter().position(|frame| frame.kind != FrameKind::Runtime)?;
    Some(at + 1 + own)
}
