//! The signature of one dump: what it died of, in words that are the same in another process and another build.

use std::borrow::Cow;

use necropsy_model::{
    Frame, FrameKind, MessageKind, Occurrence, Place, Seen, SeenBasis, Signal, Signature, SignatureFrame, Snapshot,
    Stop, Symptom, Thread, Verdict, go,
};

use super::rules::{Class, FrameRules};
use crate::name::normalise;
use crate::time;

/// Frames that a signature has at most: further out, callers tell where it was called from, not what is wrong.
const DEPTH: usize = 8;

/// What a dump adds to the buckets. Its path and number are for the caller to fill in, and the time of the file where the dump has none.
pub fn occurrence(snapshot: &Snapshot<'_>, verdict: &Verdict<'_>, rules: &FrameRules) -> Occurrence {
    let process = &snapshot.process;
    let file = |path: &str| path.rsplit(['/', '\\']).next().unwrap_or_default().to_owned();
    let first_word = |text: &str| text.split_whitespace().next().map(file);
    let hs_err = snapshot.hs_err.as_deref();
    let main_class = || first_word(hs_err?.process.arguments.command.as_ref()?.value.as_ref());
    let program = process.exe.as_deref().map(file).or_else(main_class);
    let version = process.runtime_version.as_deref().map(str::to_owned);
    Occurrence {
        signature: signature(snapshot, verdict, rules),
        rule: verdict.findings.first().map(|finding| finding.rule),
        headline: verdict.headline.clone(),
        confidence: verdict.confidence,
        seen: process
            .taken_at
            .as_deref()
            .and_then(time::milliseconds)
            .map(|ms| Seen { seconds: ms.div_euclid(1000), basis: SeenBasis::Dump }),
        host: hs_err.and_then(|log| log.summary.host_name.as_deref()).map(|host| host.trim().to_owned()),
        build: process.build_id.as_ref().map(ToString::to_string).or(version),
        owner: None,
        program: program.or_else(|| first_word(process.command_line.as_deref()?)),
        ..Occurrence::default()
    }
}

/// What a dump died of.
pub fn signature(snapshot: &Snapshot<'_>, verdict: &Verdict<'_>, rules: &FrameRules) -> Signature {
    let hangs = matches!(verdict.symptom, Symptom::HangIdle | Symptom::HangBusy | Symptom::Unclear);
    let stop = first_stop(snapshot).filter(|stop| !hangs || died(stop, snapshot));
    let (kind, frames): (_, Vec<_>) = match stop {
        Some(stop) => (crash_kind(snapshot, stop, verdict.symptom), crash_frames(snapshot, stop, verdict)),
        None if !verdict.deadlocks.is_empty() => return deadlock(verdict),
        None => (hang_kind(verdict), hang_frames(snapshot, verdict)),
    };
    let mut signature = Signature { kind, ..Signature::default() };
    pick(snapshot, &frames, rules, &mut signature);
    if signature.frames.is_empty() {
        // A table of who can be skipped does not know them all: something is better than nothing.
        let plain = frames.iter().take(2).map(|frame| told(snapshot, frame));
        signature.frames = plain.filter(|frame| !frame.name.is_empty()).collect();
    }
    signature
}

/// The stop that counts: the one below a handler.
fn first_stop<'a, 'data>(snapshot: &'a Snapshot<'data>) -> Option<&'a Stop<'data>> {
    let mut stop = snapshot.stop.as_ref()?;
    while let Some(original) = &stop.original {
        stop = original;
    }
    Some(stop)
}

/// It died by itself, though what kind of failure that was is not clear: a signal of a fault, or last words.
fn died(stop: &Stop<'_>, snapshot: &Snapshot<'_>) -> bool {
    let faulted = stop.signal.is_some_and(|signal| signal.is_fault_signal() && signal.code.is_none_or(|code| code > 0));
    let asleep = snapshot.go.as_ref().and_then(|go| go.fatal.as_ref()).is_some_and(|line| line.text.contains("asleep"));
    faulted || !stop.messages.is_empty() && !asleep
}

fn crash_kind(snapshot: &Snapshot<'_>, stop: &Stop<'_>, symptom: Symptom) -> String {
    if symptom == Symptom::OutOfMemory {
        return "out of memory".to_owned();
    }
    if let Some(go) = &snapshot.go {
        if let Some(line) = &go.fatal {
            return format!("go fatal error: {}", without_numbers(&line.text));
        }
        if let Some(panic) = go.panics.last() {
            let error = panic.value.strip_prefix("runtime error: ").map(what_failed);
            return error.map_or_else(|| "go panic".to_owned(), |error| format!("go panic: {error}"));
        }
    }
    let messages = snapshot.stop.iter().flat_map(|stop| &stop.messages);
    let said = messages.map(|message| message.kind).find(|kind| *kind != MessageKind::Other);
    match (said, stop.signal.map(|signal| signal.number)) {
        (Some(MessageKind::Assert), Some(Signal::ABRT)) => "assertion failed".to_owned(),
        (Some(MessageKind::Heap), Some(Signal::ABRT)) => "heap damaged".to_owned(),
        (Some(MessageKind::StackSmash), Some(Signal::ABRT)) => "stack canary overwritten".to_owned(),
        (Some(MessageKind::Terminate), Some(Signal::ABRT)) => "uncaught C++ exception".to_owned(),
        (Some(MessageKind::RustPanic), _) => "rust panic".to_owned(),
        // Which of the two comes is chance: whether the page below the bad address is mapped.
        (_, Some(Signal::SEGV | Signal::BUS)) => "memory fault".to_owned(),
        (_, Some(Signal::ABRT)) => "abort".to_owned(),
        (_, Some(Signal::FPE)) => "arithmetic fault".to_owned(),
        (_, Some(Signal::ILL | Signal::TRAP)) => "illegal instruction or trap".to_owned(),
        (_, Some(_)) => stop.signal.map(|signal| signal.to_string()).unwrap_or_default(),
        (Some(MessageKind::Java), None) => "java error".to_owned(),
        (_, None) => symptom.name().to_owned(),
    }
}

/// `index out of range [5] with length 3` is one kind of error, whatever the numbers.
fn what_failed(error: &str) -> String {
    let line = error.lines().next().unwrap_or_default();
    let cut = line.find([':', '[', '(']).unwrap_or(line.len());
    without_numbers(line.get(..cut).unwrap_or(line).trim())
}

/// The text with `N` for each run of digits, also of an address.
fn without_numbers(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let mut out = String::with_capacity(line.len());
    let mut number = false;
    for character in line.chars() {
        if character.is_ascii_digit() {
            if !number {
                out.push('N');
            }
            number = true;
        } else if !(number && (character.is_ascii_hexdigit() || character == 'x')) {
            number = false;
            out.push(character);
        }
    }
    out
}

fn crash_frames<'a, 'data>(
    snapshot: &'a Snapshot<'data>,
    stop: &Stop<'_>,
    verdict: &Verdict<'_>,
) -> Vec<&'a Frame<'data>> {
    let thread = stop.thread.or(snapshot.stop.as_ref().and_then(|last| last.thread));
    if let Some(thread) = thread.and_then(|at| snapshot.threads.get(at)).filter(|thread| thread.stack.is_some()) {
        return snapshot.frames_of(thread).skip(stop.frame).collect();
    }
    let place = verdict.crash_site.as_ref().or_else(|| verdict.findings.first()?.places.first());
    place.map(|place| from_place(snapshot, place)).unwrap_or_default()
}

/// The stack that a place is on, from the place outwards.
fn from_place<'a, 'data>(snapshot: &'a Snapshot<'data>, place: &Place<'_>) -> Vec<&'a Frame<'data>> {
    let thread = place.thread.and_then(|id| snapshot.threads.iter().find(|thread| thread.id == id));
    let frames = |thread: &'a Thread<'data>| snapshot.frames_of(thread).skip(place.frame.unwrap_or_default()).collect();
    thread.map(frames).unwrap_or_default()
}

/// A hang is called by the rule that explains it best.
fn hang_kind(verdict: &Verdict<'_>) -> String {
    let told = verdict.findings.iter().find(|finding| finding.rule != "signal-sent");
    let symptom = match verdict.symptom {
        Symptom::HangIdle => "hang, idle",
        Symptom::HangBusy => "hang, busy",
        other => other.name(),
    };
    match told.map(|finding| finding.rule) {
        None | Some("not-a-crash") => symptom.to_owned(),
        Some(rule) => rule.to_owned(),
    }
}

fn hang_frames<'a, 'data>(snapshot: &'a Snapshot<'data>, verdict: &Verdict<'_>) -> Vec<&'a Frame<'data>> {
    let place = verdict.findings.iter().find_map(|finding| finding.places.first());
    place.map(|place| from_place(snapshot, place)).unwrap_or_default()
}

/// A circle has no first thread: the places where its threads wait, in the order of their names.
fn deadlock(verdict: &Verdict<'_>) -> Signature {
    let threads = verdict.deadlocks.iter().flat_map(|deadlock| &deadlock.threads);
    let mut frames: Vec<_> = threads
        .filter_map(|thread| thread.at.as_ref())
        .map(|place| SignatureFrame {
            name: place.function.as_deref().map(stable).unwrap_or_default().into_owned(),
            at: place.location.as_ref().and_then(|at| Some(format!("{}:{}", at.file_name(), at.line?))),
        })
        .collect();
    frames.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| a.at.cmp(&b.at)));
    frames.dedup();
    frames.truncate(DEPTH);
    Signature { kind: "deadlock".to_owned(), frames, prefix: 0 }
}

/// The frames that tell one bug from another.
fn pick(snapshot: &Snapshot<'_>, frames: &[&Frame<'_>], rules: &FrameRules, into: &mut Signature) {
    let mut own = 0;
    for frame in frames {
        if frame.kind == FrameKind::SignalTrampoline {
            continue;
        }
        let module = frame.module.and_then(|id| snapshot.module(id)).map(necropsy_model::Module::name);
        let function = frame.function.as_deref();
        let mut class = rules.class(function, module);
        if class == Class::Own && snapshot.go.is_some() && function.is_some_and(go::is_standard_library) {
            class = Class::Prefix;
        }
        match class {
            Class::Skip => continue,
            Class::Root => break,
            Class::Prefix if own == 0 => into.prefix += 1,
            Class::Prefix | Class::Own => own += 1,
        }
        let told = told(snapshot, frame);
        // A recursion is as deep as its input.
        if into.frames.iter().any(|known| known.name == told.name) {
            if own == 0 {
                into.prefix -= 1;
            } else {
                own -= 1;
            }
            continue;
        }
        into.frames.push(told);
        if own >= DEPTH {
            break;
        }
    }
}

fn told(snapshot: &Snapshot<'_>, frame: &Frame<'_>) -> SignatureFrame {
    let module = frame.module.and_then(|id| snapshot.module(id)).map(necropsy_model::Module::name);
    let name = match (frame.function.as_deref(), module, frame.svma) {
        (Some(function), _, _) => stable(function).into_owned(),
        (None, Some(module), Some(svma)) => format!("{module}+{:#x}", svma.0),
        (None, Some(module), None) => module.to_owned(),
        (None, None, _) => "?".to_owned(),
    };
    let at = frame.location.as_ref().and_then(|at| Some(format!("{}:{}", at.file_name(), at.line?)));
    SignatureFrame { name, at }
}

/// A name that does not depend on where it was found: debug information spells no parameters, a symbol table does; glibc has a
/// variant of its string functions for every processor.
fn stable(name: &str) -> Cow<'_, str> {
    const PROCESSORS: [&str; 7] = ["_avx", "_evex", "_sse", "_ssse", "_erms", "_generic", "_unaligned"];
    let name = without_parameters(name);
    if let Some(inner) = name.strip_prefix("__").map(|inner| inner.strip_prefix("GI_").unwrap_or(inner)) {
        let inner = inner.trim_start_matches('_');
        let of_libc = ["mem", "str", "wcs", "wmem"].iter().any(|start| inner.starts_with(start));
        let cut = PROCESSORS.iter().filter_map(|suffix| inner.find(suffix)).min().filter(|_| of_libc);
        if let Some(short) = cut.and_then(|cut| inner.get(..cut)) {
            return Cow::Borrowed(short);
        }
    }
    // javac numbers lambdas in the order of the source: `lambda$main$3`.
    let numbered = name.trim_end_matches(|c: char| c.is_ascii_digit());
    if let Some(lambda) =
        numbered.strip_suffix('$').filter(|stem| stem.contains("lambda$") && numbered.len() < name.len())
    {
        return Cow::Borrowed(lambda);
    }
    normalise(name)
}

/// `shop::Cart::add(Item const&, int) const` without its parameters; a Go method `main.(*T).Get` keeps its receiver.
fn without_parameters(name: &str) -> &str {
    let end = name.strip_suffix(" const").unwrap_or(name);
    let Some(inside) = end.strip_suffix(')') else { return name };
    let mut depth = 1_usize;
    for (at, byte) in inside.bytes().enumerate().rev() {
        match byte {
            b')' => depth += 1,
            b'(' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            let cut = name.get(..at).unwrap_or(name);
            return if cut.is_empty() || cut.ends_with("operator") { name } else { cut };
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_depend_on_where_they_were_found() {
        for (name, want) in [
            ("shop::Cart::add(Item const&, int) const", "shop::Cart::add"),
            ("operator new(unsigned long)", "operator new"),
            ("Call::operator()(int)", "Call::operator()"),
            ("apply(void (*)(int))", "apply"),
            ("main.(*T).Get", "main.(*T).Get"),
            ("(anonymous namespace)::f", "(anonymous namespace)::f"),
            ("__memmove_avx_unaligned_erms", "memmove"),
            ("__GI___strlen_sse2", "strlen"),
            ("__strange", "__strange"),
            ("parse.constprop.0", "parse"),
            ("Desk.lambda$main$12", "Desk.lambda$main"),
            ("Desk.price$1", "Desk.price$1"),
        ] {
            assert_eq!(stable(name), want);
        }
    }

    #[test]
    fn numbers_are_no_part_of_a_kind() {
        assert_eq!(what_failed("index out of range [5] with length 3"), "index out of range");
        assert_eq!(
            what_failed("invalid memory address or nil pointer dereference"),
            "invalid memory address or nil pointer dereference"
        );
        assert_eq!(
            without_numbers("program exceeds 12-thread limit at 0xc000f0"),
            "program exceeds N-thread limit at N"
        );
    }
}
