//! The address exists, but the instruction needs it to be a multiple of 16 (SSE), of its size (atomics), or of what the processor demands.

use super::{finding, wording};
use crate::Rule;
use crate::crash::{Crash, Kind};

pub(crate) static RULE: Rule = Rule {
    id: "misaligned-access",
    doc: include_str!("misaligned_access.md"),
    check: |case| {
        let Some(crash) = &Crash::of_kind(case, Kind::MisalignedAccess) else { return Vec::new() };
        vec![finding(
            &RULE,
            crash,
            wording::access(crash, "at an address that is not aligned as the instruction needs"),
        )]
    },
};

#[cfg(test)]
mod tests {
    use necropsy_model::{AddressState, Signal};

    use super::RULE;
    use crate::rules::native::samples::{fault, fired, stop};

    #[test]
    fn fires() {
        assert!(fired(
            &RULE,
            &fault(0x60_0004, |f| {
                f.misaligned = Some(16);
                f.state = Some(AddressState::Present);
            })
        ));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!fired(&RULE, &stop(Signal::ABRT, 0, |_| {})));
    }
}
