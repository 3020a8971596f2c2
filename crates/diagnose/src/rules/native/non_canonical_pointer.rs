//! The address used can not exist on this machine.

use super::{finding, wording};
use crate::Rule;
use crate::crash::{Crash, Kind};

pub(crate) static RULE: Rule = Rule {
    id: "non-canonical-pointer",
    doc: include_str!("non_canonical_pointer.md"),
    check: |case| {
        let Some(crash) = &Crash::of_kind(case, Kind::NonCanonicalPointer) else { return Vec::new() };
        vec![finding(&RULE, crash, wording::access(crash, "through a pointer that can not be an address"))]
    },
};

#[cfg(test)]
mod tests {
    use necropsy_model::{Access, Signal};

    use super::RULE;
    use crate::rules::native::samples::{fault, fired, stop};

    #[test]
    fn fires() {
        assert!(fired(
            &RULE,
            &fault(0x4141_4141_4141_4141, |f| {
                f.non_canonical = true;
                f.access = Some(Access::Read);
            })
        ));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!fired(&RULE, &stop(Signal::ABRT, 0, |_| {})));
    }
}
