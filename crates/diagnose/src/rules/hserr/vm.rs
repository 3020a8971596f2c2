//! The virtual machine itself, its compilers and collectors.

use necropsy_model::hs_err::HsFrameKind;
use necropsy_model::{Confidence, Evidence, Finding, Role, Source};

use crate::jvm::hs_err::{Ended, Hs};
use crate::{Case, Rule};

pub(crate) static COMPILER: Rule = Rule {
    id: "jvm-compiler-crash",
    doc: "\
# What it means
A compiler thread crashed while it compiled a method.
# Why it matters
The program is innocent: the method only has a shape that the compiler does not get right.
# How it can be wrong
A single log can not tell an error of the compiler from damaged memory: if it repeats with the same method, it is the compiler.
# What to do
Update the JDK; until then leave the method out: `-XX:CompileCommand=exclude,CLASS::METHOD`. A replay file (`replay_pid*.log`) repeats it.
",
    check: compiler,
};

pub(crate) static COMPILED: Rule = Rule {
    id: "jvm-compiled-code-crash",
    doc: "\
# What it means
Compiled Java code crashed, or found by itself that it is wrong.
# Why it matters
Java code can not do so by itself: it was compiled wrongly, got a bad reference, or memory was damaged.
# How it can be wrong
Code that uses Unsafe or freed buffers without a call in sight looks the same.
# What to do
See whether it repeats with `-Xint` or with the method left out (`-XX:CompileCommand=exclude,CLASS::METHOD`); update the JDK.
",
    check: compiled,
};

pub(crate) static GC: Rule = Rule {
    id: "jvm-collector-crash",
    doc: "\
# What it means
A thread of the garbage collector met a value in the heap that is no object. The collector is the victim: somebody damaged the heap
before.
# Why it matters
The writer is not on this stack: native code, Unsafe, wrongly compiled code, an error of the virtual machine, or failing memory.
# How it can be wrong
One log can not tell these apart.
# What to do
Compare several logs: the same place every time is one bug, many places on one host are the machine. Leave out native libraries and
Unsafe, try another collector, `-XX:+VerifyBeforeGC`, and update the JDK.
",
    check: collector,
};

pub(crate) static INTERNAL: Rule = Rule {
    id: "jvm-internal-error",
    doc: "\
# What it means
The virtual machine found that something it relies on does not hold, and stopped.
# Why it matters
It is an error of the virtual machine, or its data was damaged.
# How it can be wrong
The check is where it was noticed, not where it went wrong.
# What to do
Search the bug database for file, line and message; update the JDK first.
",
    check: internal,
};

pub(crate) static VM: Rule = Rule {
    id: "jvm-crash-in-the-vm",
    doc: "\
# What it means
The virtual machine's own code crashed on a thread of the program, and no native library called it.
# Why it matters
It is an error of the virtual machine, or its data or the heap was damaged before.
# How it can be wrong
One log can not tell these apart.
# What to do
Update the JDK; search the bug database for the function; leave out diagnostic flags, agents and native libraries.
",
    check: vm,
};

pub(crate) static UNKNOWN: Rule = Rule {
    id: "jvm-cause-not-told",
    doc: "\
# What it means
The log does not hold enough to say what crashed.
# Why it matters
A guess would mislead.
# How it can be wrong
It can not.
# What to do
Look for the whole log, the console output before it, and a core (see the line about it in the header).
",
    check: unknown,
};

/// What is being compiled, in words.
fn task(hs: &Hs<'_, '_>) -> Option<(String, Source)> {
    let task = hs.log.compile_task.as_ref()?;
    let compiler = task.compiler.as_deref().map(|name| format!("{name} ")).unwrap_or_default();
    let what = task.method.as_deref().unwrap_or_else(|| task.text.trim());
    Some((format!("{compiler}compiling {what}"), task.source))
}

fn compiler<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(hs) = Hs::of(case).filter(|hs| hs.is_compiler() && (hs.is_fault() || hs.ended() == Ended::Internal))
    else {
        return Vec::new();
    };
    if hs.top().is_some_and(|top| hs.is_foreign(top)) {
        return Vec::new();
    }
    let task = task(&hs);
    let what = task.as_ref().map_or("a method that the log does not name", |(text, _)| text);
    let how = if hs.ended() == Ended::Internal {
        hs.log.header.messages.first().map(|said| said.value.trim().to_owned()).unwrap_or_default()
    } else {
        format!("it {}", hs.tried())
    };
    let title = format!("the compiler crashed {what}: {how}");
    let mut finding = hs.finding(&COMPILER, Confidence::Medium, title.replace("crashed C", "crashed, C"));
    finding.places.extend(hs.place(0, Role::Victim));
    finding.evidence = hs.basics();
    finding.evidence.extend(task.map(|(text, source)| Evidence::new(text, source)));
    vec![finding]
}

fn compiled<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(hs) = Hs::of(case) else { return Vec::new() };
    let header = &hs.log.header;
    let found = header.raised_at.as_ref().is_some_and(|(file, _)| file.starts_with("macroAssembler"))
        || hs
            .top()
            .and_then(|top| top.function.as_deref())
            .is_some_and(|function| function.starts_with("MacroAssembler::debug"));
    let top = hs.top().filter(|top| matches!(top.kind, HsFrameKind::Compiled | HsFrameKind::AheadOfTime));
    let title = match (top, found, hs.is_fault()) {
        (_, true, _) if hs.ended() == Ended::Internal => {
            let said = header.messages.first().map_or("", |said| said.value.trim());
            format!("compiled code found itself wrong: {said}")
        }
        (Some(top), _, true) => format!("compiled {} {}", hs.words(top), hs.tried()),
        _ => return Vec::new(),
    };
    let confidence = if found { Confidence::Medium } else { Confidence::Low };
    let mut finding = hs.finding(&COMPILED, confidence, title);
    finding.places.extend(hs.place(0, Role::Victim));
    finding.evidence = hs.basics();
    for said in header.messages.iter().take(2) {
        finding.evidence.push(Evidence::new(said.value.trim().to_owned(), said.source));
    }
    vec![finding]
}

/// A value made of one byte, as somebody's data would be: `0x41414141`; of a letter three of them are enough, because a
/// compressed class pointer of such bytes has its base added.
fn pattern(value: u64) -> Option<u8> {
    let byte = (value & 0xff) as u8;
    let repeated = |count: u32| {
        let mask = (1_u64 << (8 * count)) - 1;
        value & mask == (u64::from(byte) * 0x0101_0101) & mask
    };
    let letter = byte.is_ascii_alphanumeric() && repeated(3);
    let data = (0x20..0xf0).contains(&byte) && byte.count_ones() > 1 && repeated(4);
    (letter || data).then_some(byte)
}

fn collector<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(hs) = Hs::of(case).filter(|hs| hs.is_gc() && (hs.is_fault() || hs.ended() == Ended::Internal)) else {
        return Vec::new();
    };
    let registers = &hs.log.machine.registers;
    let written = registers.iter().find_map(|register| Some((register, pattern(register.value)?)));
    let data = written.map(|(_, byte)| {
        let letter = if byte.is_ascii_graphic() { format!(" ('{}')", char::from(byte)) } else { String::new() };
        format!("; it was overwritten with bytes {byte:#x}{letter}")
    });
    let how = match hs.ended() {
        Ended::Internal => hs.log.header.messages.first().map(|said| said.value.trim().to_owned()).unwrap_or_default(),
        _ => format!("it {}", hs.tried()),
    };
    let title = format!("the garbage collector met a damaged heap: {how}{}", data.unwrap_or_default());
    let mut finding = hs.finding(&GC, Confidence::Medium, title);
    finding.places.extend(hs.place(0, Role::Victim));
    finding.evidence = hs.basics();
    if let Some((register, byte)) = written {
        let text =
            format!("{} = {:#x}: data of bytes {byte:#x} where an object should be", register.name, register.value);
        finding.evidence.push(Evidence::new(text, register.source));
    }
    if let Some(operation) = &hs.log.vm_operation {
        finding.evidence.push(Evidence::new(format!("VM operation: {}", operation.name), operation.source));
    }
    vec![finding]
}

fn internal<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(hs) = Hs::of(case).filter(|hs| hs.ended() == Ended::Internal) else { return Vec::new() };
    let header = &hs.log.header;
    let said = header.messages.first().map(|said| said.value.trim().to_owned());
    let place = header.raised_at.as_ref().map(|(file, line)| match line {
        Some(line) => format!("{file}:{line}"),
        None => file.to_string(),
    });
    let what = said.or(place.clone()).unwrap_or_else(|| "it does not say of what".to_owned());
    let mut finding = hs.finding(&INTERNAL, Confidence::Low, format!("internal error of the virtual machine: {what}"));
    finding.evidence = hs.basics();
    for said in header.messages.iter().take(2) {
        finding.evidence.push(Evidence::new(said.value.trim().to_owned(), said.source));
    }
    finding.evidence.extend(place.map(|place| {
        Evidence::new(format!("raised at {place}"), header.error.as_ref().map_or(Source::DUMP, |error| error.source))
    }));
    vec![finding]
}

fn vm<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(hs) = Hs::of(case).filter(Hs::is_fault) else { return Vec::new() };
    let Some(top) = hs.top().filter(|top| matches!(top.kind, HsFrameKind::Vm | HsFrameKind::Stub)) else {
        return Vec::new();
    };
    let title = format!("the virtual machine crashed in {}: it {}", hs.words(top), hs.tried());
    let mut finding = hs.finding(&VM, Confidence::Low, title);
    finding.places.extend(hs.place(0, Role::Victim));
    finding.evidence = hs.basics();
    vec![finding]
}

fn unknown<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(hs) = Hs::of(case).filter(|hs| !matches!(hs.log.header.kind, necropsy_model::hs_err::ErrorKind::NoError))
    else {
        return Vec::new();
    };
    let said = hs.log.header.error.as_ref().map(|error| error.value.trim().to_owned());
    let what = said.unwrap_or_else(|| "a crash".to_owned());
    let mut finding = hs.finding(&UNKNOWN, Confidence::Low, format!("{what}: the log does not hold enough to say why"));
    finding.evidence = hs.basics();
    if finding.evidence.is_empty() {
        finding.evidence.push(Evidence::new("there is neither a signal nor a frame in it", Source::DUMP));
    }
    vec![finding]
}

#[cfg(test)]
mod tests {
    use necropsy_model::hs_err::{CompileTask, ErrorKind, VmThreadKind};

    use super::super::samples::{SEGV, log, signal};
    use super::*;
    use crate::rules::native::samples::fired;

    #[test]
    fn fires() {
        let compiles = signal(SEGV, 0x18, &["V PhaseIterGVN::optimize()"], |log| {
            log.compile_task = Some(CompileTask {
                compiler: Some("C2".into()),
                id: Some(7),
                osr: false,
                level: Some(4),
                method: Some("shop.Cart::total".into()),
                text: "C2: 7".into(),
                source: Source::line(5),
            });
        });
        assert!(fired(&COMPILER, &compiles));
        let collects = signal(SEGV, 0x4141_4149, &["V G1FullGCMarker::mark()"], |log| {
            log.thread.as_mut().unwrap().who.kind = VmThreadKind::Gc;
        });
        assert!(fired(&GC, &collects));
        assert!(fired(&COMPILED, &signal(SEGV, 0x10, &["J shop.Cart.total"], |_| {})));
        assert!(fired(&VM, &signal(SEGV, 0x10, &["V f"], |_| {})));
        assert!(fired(
            &INTERNAL,
            &log(|log| {
                log.header.kind = ErrorKind::InternalError;
                log.header.raised_at = Some(("concurrentHashTable.inline.hpp".into(), Some(7)));
                log.header.error =
                    Some(necropsy_model::hs_err::Said::new("Internal Error (x)".into(), Source::line(3)));
            })
        ));
        assert!(fired(&UNKNOWN, &log(|_| {})));
    }

    #[test]
    fn keeps_quiet() {
        let native = signal(SEGV, 8, &["C librefund.so apply"], |_| {});
        for rule in [&COMPILER, &GC, &COMPILED, &VM, &INTERNAL] {
            assert!(!fired(rule, &native), "{}", rule.id);
        }
        assert_eq!(
            [pattern(0x4141_4141), pattern(0), pattern(0xffff_ffff), pattern(0x7f12_3456)],
            [Some(0x41), None, None, None]
        );
    }
}
