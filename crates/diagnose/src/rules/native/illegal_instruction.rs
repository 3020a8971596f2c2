//! The processor refused the instruction.

use super::{finding, wording};
use crate::Rule;
use crate::crash::{Crash, Kind};

pub(crate) static RULE: Rule = Rule {
    id: "illegal-instruction",
    doc: include_str!("illegal_instruction.md"),
    check: |case| {
        let Some(crash) = &Crash::of_kind(case, Kind::IllegalInstruction) else { return Vec::new() };
        vec![finding(&RULE, crash, wording::plain(crash, "ran an instruction that this processor does not have"))]
    },
};

#[cfg(test)]
mod tests {
    use necropsy_model::Signal;

    use super::RULE;
    use crate::rules::native::samples::{fired, stop};

    #[test]
    fn fires() {
        assert!(fired(&RULE, &stop(Signal::ILL, 2, |_| {})));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!fired(&RULE, &stop(Signal::ABRT, 0, |_| {})));
    }
}
