//! The program ended itself with `abort` and left no message in memory that tells more.

use necropsy_model::MessageKind;

use super::{finding, wording};
use crate::Rule;
use crate::crash::{Crash, Kind};

pub(crate) static RULE: Rule = Rule {
    id: "abort-called",
    doc: include_str!("abort_called.md"),
    check: |case| {
        let Some(crash) = &Crash::of_kind(case, Kind::Abort) else { return Vec::new() };
        let fortified = crash.last.messages.iter().any(|message| message.text.contains("buffer overflow detected"));
        let what = if fortified {
            "wrote more into a buffer than fits, found by a check of the C library"
        } else {
            "called abort"
        };
        vec![finding(&RULE, crash, wording::said(crash, MessageKind::Other, what))]
    },
};

#[cfg(test)]
mod tests {
    use necropsy_model::{MessageKind, Signal};

    use super::RULE;
    use crate::rules::native::samples::{fired, stop, words};

    #[test]
    fn fires() {
        assert!(fired(&RULE, &stop(Signal::ABRT, -6, |_| {})));
    }

    #[test]
    fn a_check_of_the_c_library_is_named() {
        let snapshot = words(MessageKind::Other, "*** buffer overflow detected ***: terminated");
        let groups = necropsy_model::Groups::default();
        let case = crate::Case { snapshot: &snapshot, groups: &groups, noise: &crate::Noise::default() };
        let title = (RULE.check)(&case).remove(0).title;
        assert!(
            title.contains("wrote more into a buffer than fits, found by a check of the C library: ***"),
            "{title}"
        );
    }

    #[test]
    fn keeps_quiet() {
        assert!(!fired(&RULE, &stop(Signal::ABRT, 0, |_| {})));
    }
}
