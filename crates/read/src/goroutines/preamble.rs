//! The words around the goroutines: panics, fatal errors, signals. `printpanics`, `fatalthrow` and `sighandler` of Go's
//! `runtime/panic.go` and `runtime/signal_unix.go`.

use memchr::memmem;
use necropsy_model::go::{GoFacts, GoForm, GoLine, GoPanic, GoSignal};
use necropsy_model::{Avma, Message, MessageKind, Signal, Snapshot, Source, Stop, Text};

use super::frame::hex;
use super::header::number;
use crate::text::{LineMap, lines};

/// Lines of a panic's value that are kept.
const VALUE_LINES: usize = 32;

/// Remarks of the runtime that are kept.
const REMARKS: usize = 16;

/// Reads the text before the goroutines, and between and behind them.
pub(super) fn read<'d>(text: &'d [u8], first_line: u64, before: bool, map: &LineMap, facts: &mut GoFacts<'d>) {
    let mut open = false;
    let mut tests = false;
    for (number, line) in lines(text) {
        let source = map.source(first_line + number);
        let line = line.trim_ascii_end();
        if let Some(value) = line.strip_prefix(b"panic: ") {
            if !before {
                continue;
            }
            // Words of an earlier panic in the same log: this one is nearer.
            facts.panics.clear();
            facts.panics.push(panic(value, source));
            (open, tests) = (true, false);
        } else if let Some(value) = line.strip_prefix(b"\tpanic: ").or_else(|| nested_with_spaces(line, open)) {
            facts.panics.push(panic(value, source));
            (open, tests) = (true, false);
        } else if let Some(value) = fatal(line) {
            facts.fatal = Some(GoLine { text: lossy(value), source });
            open = false;
        } else if line.starts_with(b"[signal ") || is_banner(line) {
            if before || facts.signal.is_none() && !facts.panics.is_empty() {
                facts.signal = Some(signal(line, source));
            }
            open = false;
        } else if let Some(rest) = line.strip_prefix(b"PC=") {
            if let Some(signal) = facts.signal.as_mut().filter(|signal| signal.pc.is_none()) {
                signal.pc = hex(rest).map(|(pc, _)| pc);
                signal.code = field(line, b"sigcode=").and_then(header_number);
                signal.address = field(line, b"addr=").and_then(|text| hex(text)).map(|(address, _)| address);
            }
        } else if line.starts_with(b"signal arrived during ") {
            if let Some(signal) = &mut facts.signal {
                signal.in_c = true;
            }
            remark(line, source, facts);
        } else if line.starts_with(b"runtime: ") || line.starts_with(b"unexpected fault address ") {
            remark(line, source, facts);
            open = false;
        } else if let Some(value) = recovered(line) {
            if before && facts.panics.is_empty() {
                let mut panic = panic(value, source);
                panic.recovered = true;
                facts.panics.push(panic);
                facts.form = GoForm::Recovered;
            }
        } else if line.is_empty() {
            open = false;
        } else if open {
            tests |= line == b"\trunning tests:";
            if tests && let Some(test) = line.strip_prefix(b"\t\t") {
                facts.running_tests.push(running_test(test));
            } else if let Some(last) = facts.panics.last_mut()
                && last.value.lines().count() < VALUE_LINES
            {
                continue_value(last, line);
            }
        }
    }
}

/// What the facts come to: the form of the dump and why the process stopped.
pub(super) fn conclude(facts: &mut GoFacts<'_>) {
    facts.form = match () {
        () if facts.fatal.is_some() => GoForm::Fatal,
        () if facts.form == GoForm::Recovered => GoForm::Recovered,
        () if !facts.panics.is_empty() => GoForm::Panic,
        () if facts.signal.is_some() => GoForm::Signalled,
        () => GoForm::Stacks,
    };
}

/// Why the process stopped, in the terms of the model. A dump that was asked for has no stop.
pub(super) fn stop<'d>(snapshot: &Snapshot<'d>, facts: &GoFacts<'d>) -> Option<Stop<'d>> {
    if matches!(facts.form, GoForm::Recovered) {
        return None;
    }
    let signal = facts.signal.as_ref();
    let asked = signal.is_some_and(|signal| signal.name.starts_with("SIGQUIT"));
    if facts.panics.is_empty() && facts.fatal.is_none() && (signal.is_none() || asked) {
        return None;
    }
    let running = |name: &str| matches!(name, "running" | "syscall");
    let status = |thread: &necropsy_model::Thread<'_>| {
        thread.state.and_then(|id| snapshot.state(id)).is_some_and(|state| running(&state.text))
    };
    // The runtime prints the goroutine that died first.
    let thread = snapshot.threads.first().filter(|thread| status(thread)).map(|_| 0);
    let mut messages: Vec<Message<'d>> = facts
        .panics
        .iter()
        .map(|panic| Message { text: panic.value.clone(), kind: MessageKind::GoPanic, source: panic.source })
        .collect();
    messages.extend(facts.fatal.iter().map(|line| Message {
        text: line.text.clone(),
        kind: MessageKind::GoFatal,
        source: line.source,
    }));
    let number = signal.and_then(|signal| Signal::number_of(signal.name.split([':', ' ']).next().unwrap_or_default()));
    Some(Stop {
        signal: number.map(|number| Signal {
            number,
            code: signal.and_then(|signal| signal.code).and_then(|code| i32::try_from(code).ok()),
        }),
        thread,
        frame: thread.map_or(0, |at| crash_frame(snapshot, facts, at)),
        address: signal.and_then(|signal| signal.address).map(Avma),
        messages,
        source: signal.map(|signal| signal.source).or_else(|| facts.panics.first().map(|panic| panic.source)),
        ..Stop::default()
    })
}

/// The frame that panicked: behind the runtime's own frames. After a panic that was raised again it is the first one.
pub(super) fn crash_frame(snapshot: &Snapshot<'_>, facts: &GoFacts<'_>, thread: usize) -> usize {
    let Some(thread) = snapshot.threads.get(thread) else { return 0 };
    let names: Vec<_> = snapshot.frames_of(thread).map(|frame| frame.function.as_deref().unwrap_or_default()).collect();
    let raised = |name: &str| matches!(name, "panic" | "runtime.gopanic" | "runtime.sigpanic");
    let again = facts.panics.iter().any(|panic| panic.recovered || panic.repanicked);
    let behind = if again { names.iter().rposition(|name| raised(name)).map_or(0, |at| at + 1) } else { 0 };
    let own = names.iter().skip(behind).position(|name| !super::frame::is_runtime(name));
    own.map_or(behind.min(names.len().saturating_sub(1)), |at| behind + at)
}

fn panic(value: &[u8], source: Source) -> GoPanic<'_> {
    let (value, repanicked) = match value.strip_suffix(b" [recovered, repanicked]") {
        Some(value) => (value, true),
        None => (value, false),
    };
    let (value, recovered) = match value.strip_suffix(b" [recovered]") {
        Some(value) => (value, true),
        None => (value, repanicked),
    };
    GoPanic { value: lossy(value), recovered, repanicked, source }
}

/// Adds a line to a value: Go indents them by a tab from 1.23 on.
fn continue_value(panic: &mut GoPanic<'_>, line: &[u8]) {
    let line = line.strip_prefix(b"\t").unwrap_or(line);
    let line = match line.strip_suffix(b" [recovered]") {
        Some(line) => {
            panic.recovered = true;
            line
        }
        None => line,
    };
    let value = panic.value.to_mut();
    value.push('\n');
    value.push_str(&String::from_utf8_lossy(line));
}

/// A nested panic whose tab became spaces.
fn nested_with_spaces(line: &[u8], open: bool) -> Option<&[u8]> {
    let bare = line.trim_ascii_start();
    (open && bare.len() < line.len()).then(|| bare.strip_prefix(b"panic: ")).flatten()
}

fn fatal(line: &[u8]) -> Option<&[u8]> {
    line.strip_prefix(b"fatal error: ").or_else(|| line.strip_prefix(b"\tfatal error: "))
}

/// `SIGSEGV: segmentation violation` and nothing else on the line.
fn is_banner(line: &[u8]) -> bool {
    let name = line.iter().take_while(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()).count();
    line.starts_with(b"SIG")
        && name > 4
        && line.get(name..name + 2) == Some(b": ")
        && line.get(name + 2..).is_some_and(|rest| rest.len() < 40)
}

/// `[signal SIGSEGV: segmentation violation code=0x1 addr=0x8 pc=0x690fa0]`, or a banner.
fn signal(line: &[u8], source: Source) -> GoSignal<'_> {
    let line = line.strip_prefix(b"[signal ").unwrap_or(line);
    let end = memmem::find(line, b" code=").unwrap_or(line.len());
    let value = |key| field(line, key).and_then(hex).map(|(value, _)| value);
    GoSignal {
        name: lossy(line.get(..end).unwrap_or_default()),
        code: value(b"code="),
        address: value(b"addr="),
        pc: value(b" pc="),
        in_c: false,
        source,
    }
}

fn field<'a>(line: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    memmem::find(line, key).and_then(|at| line.get(at + key.len()..))
}

fn header_number(text: &[u8]) -> Option<u64> {
    number(text).map(|(value, _)| value)
}

/// The value of a panic that was recovered and logged: `net/http`'s words, and `recovered: ` of many handlers.
fn recovered(line: &[u8]) -> Option<&[u8]> {
    if let Some(at) = memmem::find(line, b"http: panic serving ") {
        let rest = line.get(at + b"http: panic serving ".len()..)?;
        return memmem::find(rest, b": ").and_then(|at| rest.get(at + 2..));
    }
    [&b"panic recovered: "[..], b"recovered from panic: ", b"recovered: ", b"Recovered from panic: "]
        .iter()
        .find_map(|words| field(line, words))
}

fn running_test(line: &[u8]) -> (Text<'_>, Option<u32>) {
    let text = lossy(line);
    let (name, time) = match text.rfind(" (") {
        Some(at) => (text[..at].to_owned(), text.get(at + 2..).map(|rest| rest.trim_end_matches(')').to_owned())),
        None => (text.to_string(), None),
    };
    (name.into(), time.and_then(|time| seconds(&time)))
}

/// `1m30s` as seconds.
fn seconds(time: &str) -> Option<u32> {
    let mut total = 0_f64;
    let mut rest = time;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let value: f64 = rest.get(..digits)?.parse().ok()?;
        let unit_end = rest.get(digits..)?.find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |at| digits + at);
        total += value
            * match rest.get(digits..unit_end)? {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 0.001,
                _ => return None,
            };
        rest = rest.get(unit_end..)?;
    }
    Some(total as u32)
}

fn remark<'d>(line: &'d [u8], source: Source, facts: &mut GoFacts<'d>) {
    if facts.remarks.len() < REMARKS {
        facts.remarks.push(GoLine { text: lossy(line), source });
    }
}

fn lossy(bytes: &[u8]) -> Text<'_> {
    String::from_utf8_lossy(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(text: &'static str) -> GoFacts<'static> {
        let mut facts = GoFacts::default();
        read(text.as_bytes(), 0, true, &LineMap::identity(), &mut facts);
        facts
    }

    fn values(facts: &GoFacts<'_>) -> Vec<(String, bool, bool)> {
        facts.panics.iter().map(|panic| (panic.value.to_string(), panic.recovered, panic.repanicked)).collect()
    }

    #[test]
    fn chains_of_panics() {
        let nested = facts("panic: first\n\tpanic: second, in defer\n\n");
        assert_eq!(values(&nested), [("first".into(), false, false), ("second, in defer".into(), false, false)]);
        let again = facts("panic: first [recovered, repanicked]\n");
        assert_eq!(values(&again), [("first".into(), true, true)]);
        let wrapped = facts(
            "panic: x [recovered]\n\tpanic: wrapped: x\n[signal SIGSEGV: segmentation violation code=0x1 addr=0x8 pc=0x69]\n",
        );
        assert_eq!(values(&wrapped).len(), 2);
        let signal = wrapped.signal.unwrap();
        assert_eq!((signal.code, signal.address, signal.pc), (Some(1), Some(8), Some(0x69)));
    }

    #[test]
    fn values_of_several_lines_old_and_new() {
        for text in ["panic: multi\nline\nvalue\n\n", "panic: multi\n\tline\n\tvalue\n\n"] {
            assert_eq!(values(&facts(text)), [("multi\nline\nvalue".into(), false, false)]);
        }
    }

    #[test]
    fn the_tests_that_ran() {
        let facts =
            facts("panic: test timed out after 2s\n\trunning tests:\n\t\tTestSlow (2s)\n\t\tTestX/a b (1m2s)\n");
        assert_eq!(facts.running_tests, [("TestSlow".into(), Some(2)), ("TestX/a b".into(), Some(62))]);
    }

    #[test]
    fn a_signal_in_c() {
        let facts = facts(
            "SIGSEGV: segmentation violation\nPC=0x702d32 m=0 sigcode=1 addr=0x0\nsignal arrived during cgo execution\n",
        );
        let signal = facts.signal.unwrap();
        assert_eq!((signal.in_c, signal.pc, signal.code, signal.address), (true, Some(0x70_2d32), Some(1), Some(0)));
    }

    #[test]
    fn a_recovered_panic_of_a_server() {
        let facts = facts("2026/11/21 02:01:48 http: panic serving 127.0.0.1:58694: boom: x\n");
        assert_eq!((values(&facts), facts.form), (vec![("boom: x".into(), true, false)], GoForm::Recovered));
    }
}
