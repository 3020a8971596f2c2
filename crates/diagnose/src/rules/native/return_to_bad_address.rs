//! The return address on the stack was no code when the function returned.

use super::{finding, wording};
use crate::Rule;
use crate::crash::{Crash, Kind};

pub(crate) static RULE: Rule = Rule {
    id: "return-to-bad-address",
    doc: include_str!("return_to_bad_address.md"),
    check: |case| {
        let Some(crash) = &Crash::of_kind(case, Kind::ReturnToBadAddress) else { return Vec::new() };
        vec![finding(
            &RULE,
            crash,
            wording::plain(crash, "returned to an address that is no code: its stack frame was overwritten"),
        )]
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
                f.access = Some(Access::Execute);
                f.is_return = true;
                f.non_canonical = true;
            })
        ));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!fired(&RULE, &stop(Signal::ABRT, 0, |_| {})));
    }
}
