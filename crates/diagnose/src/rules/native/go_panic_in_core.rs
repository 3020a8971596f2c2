//! A Go program panicked, or its runtime gave up, and `GOTRACEBACK=crash` made a core of it.

use necropsy_model::MessageKind;

use super::{finding, wording};
use crate::Rule;
use crate::crash::{Crash, Kind};

pub(crate) static RULE: Rule = Rule {
    id: "go-panic-in-core",
    doc: include_str!("go_panic_in_core.md"),
    check: |case| {
        let Some(crash) = &Crash::of_kind(case, Kind::GoPanic) else { return Vec::new() };
        let gave_up = crash.last.messages.iter().any(|message| message.kind == MessageKind::GoFatal);
        let title = if crash.made_a_panic() && crash.bad_value() == Some(0) {
            wording::went_on(crash, MessageKind::GoPanic, wording::access(crash, "through a nil pointer"))
        } else {
            let what = if gave_up { "ended with the Go runtime giving up" } else { "panicked in Go" };
            wording::said(crash, MessageKind::GoPanic, what)
        };
        vec![finding(&RULE, crash, title)]
    },
};

#[cfg(test)]
mod tests {
    use necropsy_model::{MessageKind, Signal};

    use super::RULE;
    use crate::rules::native::samples::{fired, stop, words};

    #[test]
    fn fires() {
        assert!(fired(
            &RULE,
            &words(MessageKind::GoPanic, "panic: runtime error: index out of range [5] with length 3")
        ));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!fired(&RULE, &stop(Signal::ABRT, 0, |_| {})));
    }
}
