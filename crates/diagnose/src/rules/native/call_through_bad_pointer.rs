//! The program called or jumped to an address where nothing is mapped.

use super::{finding, wording};
use crate::Rule;
use crate::crash::{Crash, Kind};

pub(crate) static RULE: Rule = Rule {
    id: "call-through-bad-pointer",
    doc: include_str!("call_through_bad_pointer.md"),
    check: |case| {
        let Some(crash) = &Crash::of_kind(case, Kind::CallThroughBadPointer) else { return Vec::new() };
        vec![finding(&RULE, crash, wording::call(crash, "an address that is not mapped"))]
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
                f.access = Some(Access::Execute);
                f.state = Some(AddressState::NotMapped);
            })
        ));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!fired(&RULE, &stop(Signal::ABRT, 0, |_| {})));
    }
}
