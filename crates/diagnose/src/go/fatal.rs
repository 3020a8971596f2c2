//! What the rules about fatal errors of the runtime share.

use necropsy_model::go::{GoForm, GoLine};
use necropsy_model::{Confidence, Evidence, Finding, FrameKind, Place, Role, Severity};

use super::{Go, finding, words};

/// Lines of the runtime around a fatal error that become evidence.
const REMARKS: usize = 3;

/// The words behind `fatal error: `.
pub(crate) fn line<'a, 'data>(go: &Go<'a, 'data>) -> Option<&'a GoLine<'data>> {
    go.facts.fatal.as_ref().filter(|_| go.facts.form == GoForm::Fatal)
}

/// The runtime got no memory.
pub(crate) fn is_memory(text: &str) -> bool {
    text.contains("out of memory") || text.contains("cannot allocate memory")
}

/// A map was used by several goroutines at once: `fatal` of Go's `internal/runtime/maps`.
pub(crate) fn is_map(text: &str) -> bool {
    text.starts_with("concurrent map")
}

/// `mstart` and `newm` of Go's `runtime/proc.go` found no room for another thread.
pub(crate) fn is_threads(text: &str) -> bool {
    text == "thread exhaustion" || text.starts_with("newosproc") || text.starts_with("runtime.newosproc")
}

/// The signal of a fatal error came while C code ran.
///
/// Since Go 1.20 the runtime says so. Go 1.19 said `unexpected signal during runtime execution`, with the goroutine in the
/// call into C on top.
pub(crate) fn in_c(go: &Go<'_, '_>) -> bool {
    let Some(signal) = &go.facts.signal else { return false };
    let unexpected = || line(go).is_some_and(|line| line.text.starts_with("unexpected signal"));
    signal.in_c || unexpected() && in_cgo_call(go)
}

/// The goroutine of the fatal error stands in a call into C: nothing of Go is above the runtime's `cgocall`.
fn in_cgo_call(go: &Go<'_, '_>) -> bool {
    let stopped = go.snapshot.stop.as_ref().and_then(|stop| stop.thread).unwrap_or(0);
    let mut frames = go.snapshot.threads.get(stopped).into_iter().flat_map(|thread| go.snapshot.frames_of(thread));
    frames
        .by_ref()
        .take_while(|frame| frame.kind == FrameKind::Runtime)
        .any(|frame| frame.function.as_deref() == Some("runtime.cgocall"))
}

/// Where it stopped, with words for it.
pub(crate) fn place<'data>(go: &Go<'_, 'data>) -> (Option<Place<'data>>, String) {
    let stop = go.snapshot.stop.as_ref();
    let place = stop.and_then(|stop| go.snapshot.place(stop.thread?, stop.frame, Role::Victim));
    let frame = stop.and_then(|stop| go.snapshot.frames_of(go.snapshot.threads.get(stop.thread?)?).nth(stop.frame));
    // Where nothing of the program is on the stack, the runtime's own machinery is no place to name.
    let frame =
        frame.filter(|frame| !frame.function.as_deref().is_some_and(|name| name.starts_with("runtime."))).map(words);
    (place, frame.map(|at| format!(" in {at}")).unwrap_or_default())
}

/// The finding of a fatal error: its words, what they mean, what the runtime said around them.
pub(crate) fn found<'data>(go: &Go<'_, 'data>, rule: &'static str, means: &str, next: &str) -> Option<Finding<'data>> {
    let fatal = line(go)?;
    let (place, at) = place(go);
    let mut finding = finding(rule, Severity::Critical, Confidence::High, format!("{}{at}", fatal.text));
    finding.places.extend(place);
    finding.evidence.push(Evidence::new(format!("{}: {means}", fatal.text), fatal.source));
    let remarks = go.facts.remarks.iter().take(REMARKS);
    finding.evidence.extend(remarks.map(|line| Evidence::new(line.text.clone(), line.source)));
    finding.next.push(next.to_owned());
    Some(finding)
}
