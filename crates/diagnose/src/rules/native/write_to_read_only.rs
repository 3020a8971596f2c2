//! The instruction wrote to memory that is mapped for reading.

use super::{finding, wording};
use crate::Rule;
use crate::crash::{Crash, Kind};

pub(crate) static RULE: Rule = Rule {
    id: "write-to-read-only",
    doc: include_str!("write_to_read_only.md"),
    check: |case| {
        let Some(crash) = &Crash::of_kind(case, Kind::WriteToReadOnly) else { return Vec::new() };
        vec![finding(&RULE, crash, wording::access(crash, "in memory that may only be read"))]
    },
};

#[cfg(test)]
mod tests {
    use necropsy_model::{Access, AddressState, Permissions, Signal};

    use super::RULE;
    use crate::rules::native::samples::{fault, fired, stop};

    #[test]
    fn fires() {
        assert!(fired(
            &RULE,
            &fault(0x40_2000, |f| {
                f.access = Some(Access::Write);
                f.state = Some(AddressState::Present);
                f.permissions = Some(Permissions { read: true, ..Permissions::default() });
            })
        ));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!fired(&RULE, &stop(Signal::ABRT, 0, |_| {})));
    }
}
