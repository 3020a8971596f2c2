//! The pointer's value is a mark that an allocator leaves in freed memory, or the object it points at lies in a freed chunk.

use super::{finding, wording};
use crate::Rule;
use crate::crash::{Crash, Kind};

pub(crate) static RULE: Rule = Rule {
    id: "use-after-free",
    doc: include_str!("use_after_free.md"),
    check: |case| {
        let Some(crash) = &Crash::of_kind(case, Kind::UseAfterFree) else { return Vec::new() };
        vec![finding(&RULE, crash, wording::access(crash, "in memory that was freed"))]
    },
};

#[cfg(test)]
mod tests {
    use necropsy_model::Signal;

    use super::RULE;
    use crate::rules::native::samples::{fact, fault, fired, stop};

    #[test]
    fn fires() {
        assert!(fired(
            &RULE,
            &fault(0x1243_4ab5_6c3e_d342, |f| {
                f.non_canonical = true;
                f.value_facts.push(fact("tcache-key"));
            })
        ));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!fired(&RULE, &stop(Signal::ABRT, 0, |_| {})));
    }
}
