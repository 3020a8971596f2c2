//! The program called the function at address 0 or just above.

use super::{finding, wording};
use crate::Rule;
use crate::crash::{Crash, Kind};

pub(crate) static RULE: Rule = Rule {
    id: "call-through-null",
    doc: include_str!("call_through_null.md"),
    check: |case| {
        let Some(crash) = &Crash::of_kind(case, Kind::CallThroughNull) else { return Vec::new() };
        vec![finding(&RULE, crash, wording::call(crash, "a function pointer that is NULL"))]
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
            &fault(0, |f| {
                f.access = Some(Access::Execute);
                f.is_branch = true;
            })
        ));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!fired(&RULE, &stop(Signal::ABRT, 0, |_| {})));
    }
}
