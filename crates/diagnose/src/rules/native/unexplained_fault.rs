//! A fault of which the dump says no more than the signal.

use super::finding;
use crate::Rule;
use crate::crash::{Crash, Kind};

pub(crate) static RULE: Rule = Rule {
    id: "unexplained-fault",
    doc: include_str!("unexplained_fault.md"),
    check: |case| {
        let Some(crash) = &Crash::of_kind(case, Kind::UnexplainedFault) else { return Vec::new() };
        let place = crash.victim().and_then(|place| place.function).map(|name| format!(" in {name}"));
        let signal = crash.stop.signal.map(|signal| signal.to_string()).unwrap_or_default();
        let title =
            format!("{signal}{}; the dump says neither the address nor the instruction", place.unwrap_or_default());
        vec![finding(&RULE, crash, title.into())]
    },
};

#[cfg(test)]
mod tests {
    use necropsy_model::{Avma, Signal, Stop};

    use super::RULE;
    use crate::rules::native::samples::{fired, stop};

    #[test]
    fn fires() {
        let mut snapshot = stop(Signal::SEGV, 1, |_| {});
        snapshot.stop = Some(Stop {
            signal: Some(Signal { number: Signal::SEGV, code: None }),
            thread: Some(0),
            ..Stop::default()
        });
        assert!(fired(&RULE, &snapshot));
    }

    #[test]
    fn keeps_quiet() {
        let mut snapshot = stop(Signal::SEGV, 1, |_| {});
        let signal = Some(Signal { number: Signal::SEGV, code: None });
        snapshot.stop = Some(Stop { signal, address: Some(Avma(0)), thread: Some(0), ..Stop::default() });
        assert!(!fired(&RULE, &snapshot));
    }
}
