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
        let known = crash.last.messages.iter().any(|message| message.kind == MessageKind::Terminate);
        let what = match known {
            true => "ended with an exception that nobody caught",
            // No exception: [thread.thread.destr] and [thread.thread.assign] of the C++ standard.
            false if crash.passed(&["std::thread::~thread", "std::thread::operator="]) => {
                "destroyed a std::thread that was neither joined nor detached"
            }
            false => "ended in std::terminate",
        };
        vec![finding(&RULE, crash, wording::said(crash, MessageKind::Terminate, what))]
    },
};

#[cfg(test)]
mod tests {
    use necropsy_model::{Groups, MessageKind, Signal};

    use super::RULE;
    use crate::Case;
    use crate::rules::native::samples::{fired, stop, stopped, words};

    #[test]
    fn fires() {
        assert!(fired(
            &RULE,
            &words(MessageKind::Terminate, "terminate called after throwing an instance of 'std::runtime_error'")
        ));
    }

    #[test]
    fn a_thread_that_nobody_joined_is_told() {
        let frames = ["raise", "abort", "std::terminate()", "std::thread::~thread()", "serve"];
        let snapshot = stopped(Signal::ABRT, -6, &frames);
        let case = Case { snapshot: &snapshot, groups: &Groups::default(), noise: &crate::Noise::default() };
        let title = (RULE.check)(&case).remove(0).title;
        assert_eq!(title, "serve destroyed a std::thread that was neither joined nor detached");
    }

    #[test]
    fn keeps_quiet() {
        assert!(!fired(&RULE, &stop(Signal::ABRT, 0, |_| {})));
    }
}
