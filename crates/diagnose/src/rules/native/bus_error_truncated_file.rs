//! The address lies in a file mapping, but the file is shorter than the mapping.

use super::{finding, wording};
use crate::Rule;
use crate::crash::{Crash, Kind};

pub(crate) static RULE: Rule = Rule {
    id: "bus-error-truncated-file",
    doc: include_str!("bus_error_truncated_file.md"),
    check: |case| {
        let Some(crash) = &Crash::of_kind(case, Kind::TruncatedFile) else { return Vec::new() };
        vec![finding(&RULE, crash, wording::truncated_file(crash))]
    },
};

#[cfg(test)]
mod tests {
    use necropsy_model::{AddressState, Avma, Signal};

    use super::RULE;
    use crate::rules::native::samples::{fired, stop};

    #[test]
    fn fires() {
        assert!(fired(
            &RULE,
            &stop(Signal::BUS, 2, |f| {
                f.address = Some(Avma(0x7f00_0000_1388));
                f.file = Some("/data/ledger".into());
                f.state = Some(AddressState::NotDumped);
            })
        ));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!fired(&RULE, &stop(Signal::ABRT, 0, |_| {})));
    }
}
