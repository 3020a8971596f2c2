//! The program counter is in memory that is mapped but not executable.

use super::{finding, wording};
use crate::Rule;
use crate::crash::{Crash, Kind};

pub(crate) static RULE: Rule = Rule {
    id: "execute-of-data",
    doc: include_str!("execute_of_data.md"),
    check: |case| {
        let Some(crash) = &Crash::of_kind(case, Kind::ExecuteOfData) else { return Vec::new() };
        vec![finding(&RULE, crash, wording::call(crash, "memory that holds data, not code"))]
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
            &fault(0x60_0000, |f| {
                f.access = Some(Access::Execute);
                f.state = Some(AddressState::Present);
            })
        ));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!fired(&RULE, &stop(Signal::ABRT, 0, |_| {})));
    }
}
