//! A signal handler crashed while it dealt with a crash.

use necropsy_model::{Evidence, Finding, Role, Severity, Source};

use super::advice;
use crate::Rule;
use crate::crash::Crash;

pub(crate) static RULE: Rule = Rule {
    id: "crash-in-signal-handler",
    doc: include_str!("crash_in_signal_handler.md"),
    check: |case| {
        let Some(crash) = Crash::of(case).filter(|crash| crash.last.original.is_some()) else { return Vec::new() };
        let faulted = |stop: &necropsy_model::Stop<'_>| {
            stop.signal.is_some_and(|signal| signal.is_fault_signal() && signal.code.is_some_and(|code| code > 0))
        };
        if !faulted(crash.last) || !faulted(crash.stop) {
            return Vec::new();
        }
        let second = Crash { stop: crash.last, ..crash };
        let place = crash.snapshot.place(crash.thread, crash.last.frame, Role::Related);
        let name = place.as_ref().and_then(|place| place.function.as_deref()).unwrap_or("the signal handler");
        let first = crash.stop.signal.map(|signal| signal.to_string()).unwrap_or_default();
        let title = format!("{name} crashed in a signal handler that was dealing with {first}");
        let mut evidence = second.evidence();
        evidence.push(Evidence::new(
            format!("the siginfo of the first signal, {first}, is below the handler on the stack"),
            crash.stop.source.unwrap_or(Source::DUMP),
        ));
        let (severity, confidence) = (Severity::Warning, second.confidence());
        let (places, next) = (place.into_iter().collect(), vec![advice(RULE.doc)]);
        vec![Finding { rule: RULE.id, severity, confidence, title, places, evidence, next }]
    },
};

#[cfg(test)]
mod tests {
    use necropsy_model::Signal;

    use super::RULE;
    use crate::rules::native::samples::{fault, fired, stop};

    #[test]
    fn fires() {
        let mut snapshot = fault(8, |_| {});
        let first = fault(0, |_| {}).stop.map(Box::new);
        if let Some(last) = &mut snapshot.stop {
            last.original = first;
        }
        assert!(fired(&RULE, &snapshot));
    }

    #[test]
    fn keeps_quiet_when_the_handler_re_raised() {
        let mut snapshot = stop(Signal::SEGV, -6, |_| {});
        let first = fault(0, |_| {}).stop.map(Box::new);
        if let Some(last) = &mut snapshot.stop {
            last.original = first;
        }
        assert!(!fired(&RULE, &snapshot));
    }
}
