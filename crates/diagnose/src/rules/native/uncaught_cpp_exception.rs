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
        // A thread that is destroyed while it runs ends here too, without any exception.
        let known = crash.last.messages.iter().any(|message| message.kind == MessageKind::Terminate);
        let what = if known { "ended with an exception that nobody caught" } else { "ended in std::terminate" };
        vec![finding(&RULE, crash, wording::said(crash, MessageKind::Terminate, what))]
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
