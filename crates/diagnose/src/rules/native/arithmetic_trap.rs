//! The processor raised an arithmetic exception that is no integer division.

use super::{finding, wording};
use crate::Rule;
use crate::crash::{Crash, Kind};

pub(crate) static RULE: Rule = Rule {
    id: "arithmetic-trap",
    doc: include_str!("arithmetic_trap.md"),
    check: |case| {
        let Some(crash) = &Crash::of_kind(case, Kind::ArithmeticTrap) else { return Vec::new() };
        vec![finding(&RULE, crash, wording::plain(crash, "trapped in an arithmetic operation"))]
    },
};

#[cfg(test)]
mod tests {
    use necropsy_model::Signal;

    use super::RULE;
    use crate::rules::native::samples::{fired, stop};

    #[test]
    fn fires() {
        assert!(fired(&RULE, &stop(Signal::FPE, 4, |_| {})));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!fired(&RULE, &stop(Signal::ABRT, 0, |_| {})));
    }
}
