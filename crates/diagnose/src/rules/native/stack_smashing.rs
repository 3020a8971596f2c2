//! The value that the compiler puts between the local buffers and the return address was changed when the function returned.

use super::{finding, wording};
use crate::Rule;
use crate::crash::{Crash, Kind};

pub(crate) static RULE: Rule = Rule {
    id: "stack-smashing",
    doc: include_str!("stack_smashing.md"),
    check: |case| {
        let Some(crash) = &Crash::of_kind(case, Kind::StackSmashing) else { return Vec::new() };
        vec![finding(
            &RULE,
            crash,
            wording::plain(crash, "wrote past the end of a local buffer: its stack canary was overwritten"),
        )]
    },
};

#[cfg(test)]
mod tests {
    use necropsy_model::{MessageKind, Signal};

    use super::RULE;
    use crate::rules::native::samples::{fired, stop, words};

    #[test]
    fn fires() {
        assert!(fired(&RULE, &words(MessageKind::StackSmash, "*** stack smashing detected ***: terminated")));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!fired(&RULE, &stop(Signal::ABRT, 0, |_| {})));
    }
}
