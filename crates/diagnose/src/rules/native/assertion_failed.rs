//! An `assert` in the program did not hold, and the program ended itself.

use necropsy_model::MessageKind;

use super::{finding, wording};
use crate::Rule;
use crate::crash::{Crash, Kind};

pub(crate) static RULE: Rule = Rule {
    id: "assertion-failed",
    doc: include_str!("assertion_failed.md"),
    check: |case| {
        let Some(crash) = &Crash::of_kind(case, Kind::AssertionFailed) else { return Vec::new() };
        vec![finding(&RULE, crash, wording::said(crash, MessageKind::Assert, "failed an assertion"))]
    },
};

#[cfg(test)]
mod tests {
    use necropsy_model::{MessageKind, Signal};

    use super::RULE;
    use crate::rules::native::samples::{fired, stop, words};

    #[test]
    fn fires() {
        assert!(fired(&RULE, &words(MessageKind::Assert, "bank: bank.c:7: pay: Assertion `a != 0' failed.")));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!fired(&RULE, &stop(Signal::ABRT, 0, |_| {})));
    }
}
