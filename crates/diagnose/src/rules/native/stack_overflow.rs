//! The stack pointer left the thread's stack.

use super::{finding, wording};
use crate::Rule;
use crate::crash::{Crash, Kind};

pub(crate) static RULE: Rule = Rule {
    id: "stack-overflow",
    doc: include_str!("stack_overflow.md"),
    check: |case| {
        let Some(crash) = &Crash::of_kind(case, Kind::StackOverflow) else { return Vec::new() };
        vec![finding(&RULE, crash, wording::stack_overflow(crash))]
    },
};

#[cfg(test)]
mod tests {
    use necropsy_model::{AddressState, Avma, Signal};

    use super::RULE;
    use crate::rules::native::samples::{fault, fired, stop};

    #[test]
    fn fires() {
        assert!(fired(
            &RULE,
            &fault(0x7ffc_0000_0ff8, |f| {
                f.below_stack_pointer = Some(8);
                f.stack = Some((Avma(0x7ffc_0000_1000), Avma(0x7ffc_0080_0000)));
                f.state = Some(AddressState::NotMapped);
            })
        ));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!fired(&RULE, &stop(Signal::ABRT, 0, |_| {})));
    }
}
