//! Rust code panicked and the process was built to abort, or panicked where it may not unwind.

use necropsy_model::MessageKind;

use super::{finding, wording};
use crate::Rule;
use crate::crash::{Crash, Kind};

pub(crate) static RULE: Rule = Rule {
    id: "rust-panic",
    doc: include_str!("rust_panic.md"),
    check: |case| {
        let Some(crash) = &Crash::of_kind(case, Kind::RustPanic) else { return Vec::new() };
        vec![finding(&RULE, crash, wording::said(crash, MessageKind::RustPanic, "panicked"))]
    },
};

#[cfg(test)]
mod tests {
    use necropsy_model::{MessageKind, Signal};

    use super::RULE;
    use crate::rules::native::samples::{fired, stop, words};

    #[test]
    fn fires() {
        assert!(fired(&RULE, &words(MessageKind::RustPanic, "thread 'main' panicked at src/main.rs:3:5:\nboom")));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!fired(&RULE, &stop(Signal::ABRT, 0, |_| {})));
    }
}
