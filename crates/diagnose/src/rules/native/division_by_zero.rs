//! An integer was divided by zero, or the quotient does not fit.

use super::{finding, wording};
use crate::Rule;
use crate::crash::{Crash, Kind};

pub(crate) static RULE: Rule = Rule {
    id: "division-by-zero",
    doc: include_str!("division_by_zero.md"),
    check: |case| {
        let Some(crash) = &Crash::of_kind(case, Kind::DivisionByZero) else { return Vec::new() };
        vec![finding(&RULE, crash, wording::division(crash))]
    },
};

#[cfg(test)]
mod tests {
    use necropsy_model::Signal;

    use super::RULE;
    use crate::rules::native::samples::{fired, stop};

    #[test]
    fn fires() {
        assert!(fired(&RULE, &stop(Signal::FPE, 1, |f| f.divisor = Some(0))));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!fired(&RULE, &stop(Signal::ABRT, 0, |_| {})));
    }
}
