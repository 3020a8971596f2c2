//! The program ended itself with `abort` and left no message in memory that tells more.

use necropsy_model::MessageKind;

use super::{finding, wording};
use crate::Rule;
use crate::crash::{Crash, Kind};

pub(crate) static RULE: Rule = Rule {
    id: "abort-called",
    doc: include_str!("abort_called.md"),
    check: |case| {
        let Some(crash) = &Crash::of_kind(case, Kind::Abort) else { return Vec::new() };
        vec![finding(&RULE, crash, wording::said(crash, MessageKind::Other, "called abort"))]
    },
};

#[cfg(test)]
mod tests {
    use necropsy_model::Signal;

    use super::RULE;
    use crate::rules::native::samples::{fired, stop};

    #[test]
    fn fires() {
        assert!(fired(&RULE, &stop(Signal::ABRT, -6, |_| {})));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!fired(&RULE, &stop(Signal::ABRT, 0, |_| {})));
    }
}
