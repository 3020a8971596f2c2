//! The instruction traps by design.

use super::{finding, wording};
use crate::Rule;
use crate::crash::{Crash, Kind};

pub(crate) static RULE: Rule = Rule {
    id: "compiler-trap",
    doc: include_str!("compiler_trap.md"),
    check: |case| {
        let Some(crash) = &Crash::of_kind(case, Kind::CompilerTrap) else { return Vec::new() };
        vec![finding(&RULE, crash, wording::plain(crash, "reached a trap that was put there on purpose"))]
    },
};

#[cfg(test)]
mod tests {
    use necropsy_model::Signal;

    use super::RULE;
    use crate::rules::native::samples::{fired, stop};

    #[test]
    fn fires() {
        assert!(fired(&RULE, &stop(Signal::ILL, 2, |f| f.is_trap = true)));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!fired(&RULE, &stop(Signal::ABRT, 0, |_| {})));
    }
}
