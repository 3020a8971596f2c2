//! The allocator was asked to free a block that it holds as free.

use necropsy_model::MessageKind;

use super::{finding, wording};
use crate::Rule;
use crate::crash::{Crash, Kind};

pub(crate) static RULE: Rule = Rule {
    id: "double-free",
    doc: include_str!("double_free.md"),
    check: |case| {
        let Some(crash) = &Crash::of_kind(case, Kind::DoubleFree) else { return Vec::new() };
        vec![finding(&RULE, crash, wording::said(crash, MessageKind::Heap, "freed memory that was free already"))]
    },
};

#[cfg(test)]
mod tests {
    use necropsy_model::{MessageKind, Signal};

    use super::RULE;
    use crate::rules::native::samples::{fired, stop, words};

    #[test]
    fn fires() {
        assert!(fired(&RULE, &words(MessageKind::Heap, "double free or corruption (!prev)")));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!fired(&RULE, &stop(Signal::ABRT, 0, |_| {})));
    }
}
