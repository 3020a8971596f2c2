//! A signal in C code.

use necropsy_model::go::{GoForm, GoSignal};
use necropsy_model::{Confidence, Evidence, Finding, Severity};

use crate::go::{Go, finding, words};
use crate::{Case, Rule};

pub(super) static RULE: Rule = Rule {
    id: "go-signal-in-c",
    doc: "\
# What it means
A fault or an abort came while C code ran, called through cgo.
# Why it matters
A Go dump has no frames of C: it shows the call into C and nothing behind it.
# How it can be wrong
A signal that another process sent may arrive during C code too.
# What to do
Take a core (`GOTRACEBACK=crash`, `ulimit -c unlimited`) and give it to necropsy.
",
    check,
};

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::of(case) else { return Vec::new() };
    let outside = go.facts.form == GoForm::Signalled && go.snapshot.stop.is_some();
    let counts = |signal: &&GoSignal<'_>| (signal.in_c || outside) && !signal.name.starts_with("SIGQUIT");
    let Some(signal) = go.facts.signal.as_ref().filter(counts) else {
        return Vec::new();
    };
    // The innermost Go frame that is not of the runtime is the stub that called C.
    let thread = go.snapshot.threads.first();
    let frames: Vec<_> = thread.into_iter().flat_map(|thread| go.snapshot.frames_of(thread)).collect();
    let at = crate::go::own(&frames);
    let called =
        at.and_then(|at| frames.get(at)).map(|frame| format!(", called by {}", words(frame))).unwrap_or_default();
    let (place, confidence) =
        if signal.in_c { ("in C code", Confidence::High) } else { ("outside of Go's own code", Confidence::Medium) };
    let title = format!("{} {place}{called}", signal.name);
    let mut finding = finding(RULE.id, Severity::Critical, confidence, title);
    finding.places.extend(at.and_then(|at| go.snapshot.place(0, at, necropsy_model::Role::Victim)));
    let pc = signal.pc.map(|pc| format!(" at pc {pc:#x}")).unwrap_or_default();
    finding.evidence.push(Evidence::new(format!("{}{pc}", signal.name), signal.source));
    finding.evidence.extend(go.facts.remarks.iter().map(|line| Evidence::new(line.text.clone(), line.source)));
    finding.next.push("the C frames are not in this dump: take a core with GOTRACEBACK=crash".to_owned());
    vec![finding]
}
