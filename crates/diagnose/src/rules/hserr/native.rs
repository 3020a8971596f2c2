//! Native code of the program or of a library it uses.

use std::fmt::Write;

use necropsy_model::hs_err::{HsFrame, HsFrameKind, VmThreadKind};
use necropsy_model::{Confidence, Evidence, Finding, Role};

use crate::jvm::hs_err::{Ended, Hs};
use crate::jvm::libraries::Library;
use crate::{Case, Rule};

pub(crate) static SHUTDOWN: Rule = Rule {
    id: "jvm-crash-at-exit",
    doc: "\
# What it means
The process was ending already: destructors of native libraries ran while other threads still used them, or the other way round.
# Why it matters
The work was done; it is an error of the order in which things are taken down.
# How it can be wrong
A fault that was there before may only show at the end.
# What to do
Stop native threads and close what the library opened before the end of `main`.
",
    check: shutdown,
};

pub(crate) static JUMP: Rule = Rule {
    id: "jvm-call-through-bad-pointer",
    doc: "\
# What it means
Native code called or jumped to an address that holds no code: a function pointer that is NULL, was never set or was overwritten.
# Why it matters
Often a function that was not found in a library (a missing symbol, an extension the driver lacks), or a context that was not made
current.
# How it can be wrong
A damaged stack returns to such addresses too; then the frame shown as caller is not the one.
# What to do
Check the result of `dlsym` or its like in the calling function, and initialise the library before the call.
",
    check: jump,
};

pub(crate) static TRAP: Rule = Rule {
    id: "jvm-native-trap",
    doc: "\
# What it means
Native code stopped itself with an instruction that exists for that: a failed assertion, `unreachable`, `__builtin_trap`; or the
processor does not have an instruction that the library uses.
# Why it matters
The library found that it was called in a way it does not expect.
# How it can be wrong
A jump into data gives the same signal.
# What to do
See what the caller passed; when the library was built for a newer processor, use another build.
",
    check: trap,
};

pub(crate) static DIVISION: Rule = Rule {
    id: "jvm-native-division-by-zero",
    doc: "\
# What it means
Native code divided an integer by zero, or the smallest number by -1.
# Why it matters
Java checks this and throws; C does not.
# How it can be wrong
It can hardly be.
# What to do
Check the divisor in the Java method that calls, or in the native one.
",
    check: division,
};

pub(crate) static CRASH: Rule = Rule {
    id: "jvm-native-crash",
    doc: "\
# What it means
Native code outside of the virtual machine crashed: a library of the program, one that it uses, or one of the JDK or the system.
# Why it matters
The C library and the system are usually victims: the caller that handed them the value is to look at, and above it the Java
frame that passed it.
# How it can be wrong
The value may come from elsewhere: an object that was freed, or used on two threads at once. Native stacks of code without frame pointers
stop early.
# What to do
Look at what the caller passes; from there to the Java frame: which call returned the bad value? Is the native object still open, and is
it used by one thread only?
",
    check: crash,
};

/// A fault in native code of a thread that runs code of the program.
fn native<'a, 'data>(case: &Case<'a, 'data>) -> Option<Hs<'a, 'data>> {
    let hs = Hs::of(case).filter(Hs::is_fault)?;
    let kind = hs.thread().map(|thread| thread.who.kind).unwrap_or_default();
    let own = !matches!(kind, VmThreadKind::Compiler | VmThreadKind::Gc);
    (own && !hs.is_gc()).then_some(hs)
}

fn shutdown<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(hs) = native(case) else { return Vec::new() };
    let operation = hs.log.vm_operation.as_ref().filter(|operation| matches!(&*operation.name, "Exit" | "Halt"));
    let top = hs.top().filter(|top| top.kind == HsFrameKind::Native);
    let foreign = top.filter(|top| {
        matches!(hs.library(top), Some(Library::Other | Library::Gpu | Library::System | Library::Injected))
    });
    let (Some(operation), Some(top)) = (operation, foreign) else { return Vec::new() };
    let title =
        format!("crash at the end of the process: {} {} while the virtual machine exited", hs.words(top), hs.tried());
    let mut finding = hs.finding(&SHUTDOWN, Confidence::Medium, title);
    finding.places.extend(hs.place(0, Role::Victim));
    finding.evidence = hs.basics();
    finding.evidence.push(Evidence::new(format!("VM operation: {}", operation.name), operation.source));
    vec![finding]
}

fn jump<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(hs) = native(case).filter(|hs| hs.ended() == Ended::Segv && hs.is_execute()) else { return Vec::new() };
    let frames = hs.frames();
    // Up to JDK 16 the frame on top is the wild address itself; later the caller stands there.
    let wild = |frame: &HsFrame<'_>| {
        frame.kind == HsFrameKind::Native && frame.library.is_none() || frame.kind == HsFrameKind::Unknown
    };
    let caller = frames.iter().enumerate().find(|(_, frame)| !wild(frame));
    let of_vm = caller.is_some_and(|(_, frame)| matches!(frame.kind, HsFrameKind::Vm | HsFrameKind::Stub));
    if of_vm {
        return Vec::new();
    }
    let from = caller.map(|(_, frame)| format!(", from {}", hs.words(frame))).unwrap_or_default();
    let native = caller.is_some_and(|(_, frame)| frame.kind == HsFrameKind::Native);
    let known = caller.is_some_and(|(_, frame)| frame.kind.is_java() || hs.is_foreign(frame));
    let confidence = if known && hs.mapping().is_none() { Confidence::High } else { Confidence::Medium };
    let title = format!("call through a bad function pointer to {}{from}", hs.address_in_words());
    let mut finding = hs.finding(&JUMP, confidence, title);
    finding.places.extend(caller.and_then(|(at, _)| hs.place(at, Role::Victim)));
    finding.evidence = hs.basics();
    if let Some((at, frame)) = hs.java_from(0).filter(|_| native) {
        finding.places.extend(hs.place(at, Role::Related));
        finding.evidence.push(Evidence::new(format!("below the native method {}", hs.words(frame)), frame.source));
    }
    vec![finding]
}

/// The first native frame of a library, and the frames about it.
fn by_signal<'data>(case: &Case<'_, 'data>, ended: Ended, rule: &Rule, what: &str) -> Vec<Finding<'data>> {
    let Some(hs) = native(case).filter(|hs| hs.ended() == ended) else { return Vec::new() };
    let Some(top) = hs.top().filter(|top| top.kind == HsFrameKind::Native && top.library.is_some()) else {
        return Vec::new();
    };
    let from = hs.passer();
    let by = from.map(|(_, frame)| format!(", called by {}", hs.words(frame))).unwrap_or_default();
    let mut finding = hs.finding(rule, Confidence::High, format!("{what} in {}{by}", hs.words(top)));
    finding.places.extend(hs.place(0, Role::Victim));
    finding.places.extend(from.and_then(|(at, _)| hs.place(at, Role::Related)));
    finding.evidence = hs.basics();
    vec![finding]
}

fn trap<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let mut findings = by_signal(case, Ended::Ill, &TRAP, "an illegal instruction, often a deliberate trap,");
    let is_trap = case.snapshot.stop.as_ref().and_then(|stop| stop.fault.as_ref()).is_some_and(|fault| fault.is_trap);
    for finding in &mut findings {
        if !is_trap {
            finding.confidence = finding.confidence.min(Confidence::Medium);
        }
    }
    findings
}

fn division<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    const FPE_INTDIV: i64 = 1;
    let code = Hs::of(case).and_then(|hs| hs.info()).and_then(|info| info.code);
    if code.is_some_and(|code| code != FPE_INTDIV && code > 0 && code < 16) {
        return Vec::new();
    }
    by_signal(case, Ended::Fpe, &DIVISION, "an integer division by zero")
}

fn crash<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(hs) = native(case) else { return Vec::new() };
    let Some(top) = hs.top().filter(|top| top.kind == HsFrameKind::Native) else { return Vec::new() };
    let frames = hs.frames();
    // Down from the C library to whoever called it.
    let lower = |kind| matches!(kind, Some(Library::Base | Library::System));
    let blamed = frames
        .iter()
        .enumerate()
        .take_while(|(_, frame)| frame.kind == HsFrameKind::Native)
        .find(|(_, frame)| !lower(hs.library(frame)));
    let mut title = match blamed {
        Some((0, frame)) => format!("{} {}", hs.words(frame), hs.tried()),
        Some((_, frame)) => format!("{} handed {} a bad value: it {}", hs.words(frame), hs.words(top), hs.tried()),
        None => format!("{} {}", hs.words(top), hs.tried()),
    };
    if blamed.is_none_or(|(at, _)| at > 0) && hs.library(top) == Some(Library::Base) && blamed.is_none() {
        title.push_str(": the caller handed it a bad value, and the native stack does not name it");
    }
    let passed = hs.passer();
    if let Some((_, frame)) = passed {
        let _ = write!(title, "; called from {}", hs.words(frame));
    }
    let symbol = blamed.is_some_and(|(_, frame)| frame.function.is_some());
    let foreign = blamed.is_some_and(|(at, frame)| at == 0 && hs.is_foreign(frame));
    let confidence = match (foreign, symbol, hs.is_null()) {
        (true, true, true) => Confidence::High,
        (true, _, _) | (_, true, _) => Confidence::Medium,
        _ => Confidence::Low,
    };
    let mut finding = hs.finding(&CRASH, confidence, title);
    finding.places.extend(hs.place(0, Role::Victim));
    if let Some((at, frame)) = blamed.filter(|(at, _)| *at > 0) {
        finding.places.extend(hs.place(at, Role::Origin));
        finding.evidence.push(Evidence::new(format!("called by {}", hs.words(frame)), frame.source));
    }
    if let Some((at, frame)) = passed {
        finding
            .places
            .extend(hs.place(at, if blamed.is_some_and(|(at, _)| at == 0) { Role::Gate } else { Role::Related }));
        finding.evidence.push(Evidence::new(format!("Java passed the value in {}", hs.words(frame)), frame.source));
    }
    let basics = hs.basics();
    finding.evidence.splice(0..0, basics);
    operand(&hs, &mut finding);
    vec![finding]
}

/// The instruction with the register that decided the address, where it was decoded.
fn operand<'data>(hs: &Hs<'_, 'data>, finding: &mut Finding<'data>) {
    let Some(fault) = hs.snapshot.stop.as_ref().and_then(|stop| stop.fault.as_ref()) else { return };
    let Some(instruction) = &fault.instruction else { return };
    let base = fault.operand.as_ref().and_then(|operand| operand.base);
    let register = base.map(|(name, value)| format!(", {name} = {value:#x}")).unwrap_or_default();
    let source = hs.log.machine.instructions.as_ref().map_or(necropsy_model::Source::DUMP, |bytes| bytes.source);
    finding.evidence.push(Evidence::new(format!("the instruction is {instruction}{register}"), source));
}

#[cfg(test)]
mod tests {
    use necropsy_model::Source;
    use necropsy_model::hs_err::VmOperation;

    use super::super::samples::{SEGV, signal};
    use super::*;
    use crate::rules::native::samples::fired;

    const CALL: [&str; 3] = ["C librefund.so apply_refund", "j Shop.apply 0", "j Shop.process 7"];

    fn first(snapshot: &necropsy_model::Snapshot<'static>) -> Finding<'static> {
        let groups = necropsy_model::Groups::default();
        crash(&Case { snapshot, groups: &groups, noise: &crate::Noise::default() }).remove(0)
    }

    #[test]
    fn fires() {
        assert_eq!(first(&signal(SEGV, 8, &CALL, |_| {})).confidence, Confidence::High);
        let victim = first(&signal(SEGV, 0x7000, &["C libc.so.6 memcpy", "C libsort.so sort", "j Sort.run 0"], |_| {}));
        assert!(victim.title.starts_with("sort in libsort.so handed memcpy"), "{}", victim.title);
        let wild = signal(SEGV, 0x4141_4141, &["C", "j Shop.jump 0"], |log| log.header.pc = Some(0x4141_4141));
        assert!(fired(&JUMP, &wild));
        assert!(fired(&TRAP, &signal(("SIGILL", 4, 2), 0, &CALL, |_| {})));
        assert!(fired(&DIVISION, &signal(("SIGFPE", 8, 1), 0, &CALL, |_| {})));
        let exit = signal(SEGV, 8, &["C OPENGL32.dll", "V"], |log| {
            let (mode, requested_by) = (None, None);
            log.vm_operation = Some(VmOperation { name: "Exit".into(), mode, requested_by, source: Source::line(6) });
        });
        assert!(fired(&SHUTDOWN, &exit));
    }

    #[test]
    fn keeps_quiet() {
        let collector = signal(SEGV, 8, &["C libc.so.6 free", "V f"], |log| {
            log.thread.as_mut().unwrap().who.kind = VmThreadKind::Gc;
        });
        assert!(!fired(&CRASH, &collector));
        let own = signal(SEGV, 8, &CALL, |_| {});
        for rule in [&JUMP, &TRAP, &DIVISION, &SHUTDOWN] {
            assert!(!fired(rule, &own), "{}", rule.id);
        }
    }
}
