//! A C++ exception left the program's outermost function, a `noexcept` function or a destructor, or there was nothing to rethrow.

use necropsy_model::MessageKind;

use super::{finding, wording};
use crate::Rule;
use crate::crash::{Crash, Kind};

pub(crate) static RULE: Rule = Rule {
    id: "uncaught-cpp-exception",
    doc: include_str!("uncaught_cpp_exception.md"),
    check: |case| {
        let Some(crash) = &Crash::of_kind(case, Kind::UncaughtCppException) else { return Vec::new() };
        vec![finding(
            &RULE,
            crash,
            wording::said(crash, MessageKind::Terminate, "ended in std::terminate: an exception that nobody caught"),
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
        assert!(fired(
            &RULE,
            &words(MessageKind::Terminate, "terminate called after throwing an instance of 'std::runtime_error'")
        ));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!fired(&RULE, &stop(Signal::ABRT, 0, |_| {})));
    }
}
