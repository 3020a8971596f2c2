//! The signal did not come from a fault.

use necropsy_model::{Finding, Severity};

use super::{finding, wording};
use crate::Rule;
use crate::crash::{Crash, Kind};

pub(crate) static RULE: Rule = Rule {
    id: "signal-sent",
    doc: include_str!("signal_sent.md"),
    check: |case| {
        let Some(crash) = &Crash::of_kind(case, Kind::SignalSent) else { return Vec::new() };
        // Whoever sent it had a reason: what the threads were doing is the cause, where a rule knows it.
        vec![Finding { severity: Severity::Note, ..finding(&RULE, crash, wording::sent(crash)) }]
    },
};

#[cfg(test)]
mod tests {
    use necropsy_model::{MessageKind, Signal};

    use super::RULE;
    use crate::rules::native::samples::{fired, stop, words};

    #[test]
    fn fires() {
        assert!(fired(&RULE, &stop(Signal::ABRT, 0, |_| {})));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!fired(&RULE, &words(MessageKind::Other, "bye")));
    }
}
