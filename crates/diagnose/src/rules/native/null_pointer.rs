//! The instruction used address 0.

use super::{finding, wording};
use crate::Rule;
use crate::crash::{Crash, Kind};

pub(crate) static RULE: Rule = Rule {
    id: "null-pointer",
    doc: include_str!("null_pointer.md"),
    check: |case| {
        let Some(crash) = &Crash::of_kind(case, Kind::NullPointer) else { return Vec::new() };
        vec![finding(&RULE, crash, wording::access(crash, "through a NULL pointer"))]
    },
};

#[cfg(test)]
mod tests {
    use necropsy_model::{Access, Signal};

    use super::RULE;
    use crate::rules::native::samples::{fault, fired, stop};

    #[test]
    fn fires() {
        assert!(fired(&RULE, &fault(0, |f| f.access = Some(Access::Read))));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!fired(&RULE, &stop(Signal::ABRT, 0, |_| {})));
    }
}
