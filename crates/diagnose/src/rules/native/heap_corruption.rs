//! The allocator checked its own records and found them overwritten.

use necropsy_model::MessageKind;

use super::{finding, wording};
use crate::Rule;
use crate::crash::{Crash, Kind};

pub(crate) static RULE: Rule = Rule {
    id: "heap-corruption",
    doc: include_str!("heap_corruption.md"),
    check: |case| {
        let Some(crash) = &Crash::of_kind(case, Kind::HeapCorruption) else { return Vec::new() };
        vec![finding(&RULE, crash, wording::said(crash, MessageKind::Heap, "found the heap damaged"))]
    },
};

#[cfg(test)]
mod tests {
    use necropsy_model::{MessageKind, Signal};

    use super::RULE;
    use crate::rules::native::samples::{fired, stop, words};

    #[test]
    fn fires() {
        assert!(fired(&RULE, &words(MessageKind::Heap, "malloc(): corrupted top size")));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!fired(&RULE, &stop(Signal::ABRT, 0, |_| {})));
    }
}
