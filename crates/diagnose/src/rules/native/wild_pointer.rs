//! The address could exist, but nothing is mapped there, and its value shows no known pattern.

use super::{finding, wording};
use crate::Rule;
use crate::crash::{Crash, Kind};

pub(crate) static RULE: Rule = Rule {
    id: "wild-pointer",
    doc: include_str!("wild_pointer.md"),
    check: |case| {
        let Some(crash) = &Crash::of_kind(case, Kind::WildPointer) else { return Vec::new() };
        vec![finding(&RULE, crash, wording::access(crash, "through a pointer to memory that is not mapped"))]
    },
};

#[cfg(test)]
mod tests {
    use necropsy_model::{Access, AddressState, Signal};

    use super::RULE;
    use crate::rules::native::samples::{fault, fired, stop};

    #[test]
    fn fires() {
        assert!(fired(
            &RULE,
            &fault(0x7000_0000, |f| {
                f.access = Some(Access::Read);
                f.state = Some(AddressState::NotMapped);
            })
        ));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!fired(&RULE, &stop(Signal::ABRT, 0, |_| {})));
    }
}
