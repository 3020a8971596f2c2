//! A signal in C code.

use necropsy_model::go::{GoForm, GoSignal};
use necropsy_model::{Confidence, Evidence, Finding, Role, Severity};

use crate::go::{Go, fatal, finding, words};
use crate::{Case, Rule};

pub(crate) static RULE: Rule = Rule { id: "go-signal-in-c", doc: include_str!("signal_in_c.md"), check };

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::of(case) else { return Vec::new() };
    let in_c = fatal::in_c(&go);
    let outside = go.facts.form == GoForm::Signalled && go.snapshot.stop.is_some();
    let counts = |signal: &&GoSignal<'_>| (in_c || outside) && !signal.name.starts_with("SIGQUIT");
    let Some(signal) = go.facts.signal.as_ref().filter(counts) else { return Vec::new() };
    // The innermost Go frame that is not of the runtime is the stub that called C.
    let thread = go.snapshot.threads.first();
    let frames: Vec<_> = thread.into_iter().flat_map(|thread| go.snapshot.frames_of(thread)).collect();
    let at = crate::go::own(&frames);
    let called =
        at.and_then(|at| frames.get(at)).map(|frame| format!(", called by {}", words(frame))).unwrap_or_default();
    let (place, confidence) =
        if in_c { ("in C code", Confidence::High) } else { ("outside of Go's own code", Confidence::Medium) };
    let title = format!("{} {place}{called}", signal.name);
    let mut finding = finding(RULE.id, Severity::Critical, confidence, title);
    finding.places.extend(at.and_then(|at| go.snapshot.place(0, at, Role::Victim)));
    let pc = signal.pc.map(|pc| format!(" at pc {pc:#x}")).unwrap_or_default();
    finding.evidence.push(Evidence::new(format!("{}{pc}", signal.name), signal.source));
    finding.evidence.extend(go.facts.remarks.iter().map(|line| Evidence::new(line.text.clone(), line.source)));
    finding.next.push("the C frames are not in this dump: take a core with GOTRACEBACK=crash".to_owned());
    vec![finding]
}

#[cfg(test)]
mod tests {
    use necropsy_model::go::GoForm;

    use super::RULE;
    use crate::go::samples::Dump;

    const CALLS: [&str; 3] = ["runtime.cgocall", "main._Cfunc_resize", "main.main"];

    #[test]
    fn fires() {
        let dump = Dump::new(GoForm::Fatal).signal("SIGSEGV: segmentation violation", 0, true);
        let found = dump.add(1, "syscall", &CALLS).findings(&RULE);
        assert!(found[0].title.contains("in C code, called by main._Cfunc_resize"), "{}", found[0].title);
        let old = Dump::fatal("unexpected signal during runtime execution").signal("SIGSEGV", 0, false);
        assert!(old.add(1, "syscall", &CALLS).fires(&RULE), "as Go 1.19 says it");
    }

    #[test]
    fn keeps_quiet() {
        assert!(!Dump::new(GoForm::Signalled).signal("SIGQUIT: quit", 0, true).add(1, "syscall", &CALLS).fires(&RULE));
        let in_go = Dump::panic("nil").signal("SIGSEGV", 8, false);
        assert!(!in_go.add(1, "running", &["main.f"]).fires(&RULE));
    }
}
