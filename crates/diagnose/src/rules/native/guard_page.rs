//! The address is mapped, but without any right.

use super::{finding, wording};
use crate::Rule;
use crate::crash::{Crash, Kind};

pub(crate) static RULE: Rule = Rule {
    id: "guard-page",
    doc: include_str!("guard_page.md"),
    check: |case| {
        let Some(crash) = &Crash::of_kind(case, Kind::NoAccessPage) else { return Vec::new() };
        vec![finding(&RULE, crash, wording::access(crash, "in a page without any access rights"))]
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
            &fault(0x7f00_0000_1000, |f| {
                f.access = Some(Access::Write);
                f.state = Some(AddressState::NoAccess);
            })
        ));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!fired(&RULE, &stop(Signal::ABRT, 0, |_| {})));
    }
}
