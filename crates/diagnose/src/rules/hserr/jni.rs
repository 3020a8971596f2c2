//! Where native code and Java hand each other references: the virtual machine or Java code is the victim.

use necropsy_model::hs_err::{HsFrameKind, ValueKind, VmThreadKind};
use necropsy_model::{Confidence, Evidence, Finding, Role};

use crate::jvm::hs_err::{Ended, Hs};
use crate::{Case, Rule};

pub(crate) static HANDLE: Rule = Rule {
    id: "jvm-bad-jni-handle",
    doc: "\
# What it means
The virtual machine crashed in a function of the native interface (JNI) that a native library had called: the library passed a
reference that is none: freed, of another thread, null, or a number.
# Why it matters
The virtual machine is the victim; the bug is in the caller.
# How it can be wrong
A heap that was damaged before makes a good reference look bad.
# What to do
Run with `-Xcheck:jni`, which checks references in every call; read the calling function for references kept across calls without
NewGlobalRef, used on another thread, or not checked for null.
",
    check: handle,
};

pub(crate) static RETURNED: Rule = Rule {
    id: "jvm-bad-reference-in-java",
    doc: "\
# What it means
Interpreted Java code crashed on a reference that is none. Java can not make such a value: native code returned or stored it, or the
heap was overwritten.
# Why it matters
The Java method is the victim.
# How it can be wrong
When the method is native, its own native code returned the value; otherwise the writer is not known.
# What to do
Read the native methods that this code calls: what they return must be a reference of this call, or null.
",
    check: returned,
};

/// Frames of the virtual machine between the fault and the library that called it.
const VM_FRAMES: usize = 6;

fn handle<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(hs) = Hs::of(case).filter(|hs| hs.ended() == Ended::Segv && hs.is_fault()) else { return Vec::new() };
    let java = hs.thread().is_some_and(|thread| matches!(thread.who.kind, VmThreadKind::Java | VmThreadKind::Unknown));
    let frames = hs.frames();
    let inside = frames.iter().take_while(|frame| matches!(frame.kind, HsFrameKind::Vm | HsFrameKind::Stub)).count();
    let Some(caller) =
        frames.get(inside).filter(|frame| java && (1..=VM_FRAMES).contains(&inside) && hs.is_foreign(frame))
    else {
        return Vec::new();
    };
    // A library that called in to run Java, or that is no native method at all, has passed no reference of Java's.
    let Some((at, method)) = hs.java_from(inside) else { return Vec::new() };
    let between = frames.get(inside..at).unwrap_or_default();
    let direct = between.iter().all(|frame| frame.kind == HsFrameKind::Native);
    if !direct {
        return Vec::new();
    }
    let jni =
        frames.iter().take(inside).filter_map(|frame| frame.function.as_deref()).find(|name| name.starts_with("jni_"));
    let value = hs.address();
    let register =
        value.and_then(|value| hs.log.machine.mapped.iter().find(|mapped| mapped.value == value && value != 0));
    let unknown = register.filter(|mapped| matches!(mapped.kind, ValueKind::Unknown | ValueKind::Other));
    let confidence =
        if inside <= 2 && (jni.is_some() || unknown.is_some()) { Confidence::High } else { Confidence::Medium };
    let to = jni.map(|name| format!(" to {}", crate::jvm::hs_err::short(name))).unwrap_or_default();
    let title = format!("{} passed a bad reference{to}: the virtual machine {}", hs.words(caller), hs.tried());
    let mut finding = hs.finding(&HANDLE, confidence, title);
    finding.places.extend(hs.place(0, Role::Victim));
    finding.places.extend(hs.place(inside, Role::Origin));
    finding.places.extend(hs.place(at, Role::Related));
    finding.evidence = hs.basics();
    finding.evidence.push(Evidence::new(format!("called from {}", hs.words(caller)), caller.source));
    if let Some(mapped) = unknown {
        let text = format!("{} = {:#x}: {}", mapped.name, mapped.value, mapped.text.trim());
        finding.evidence.push(Evidence::new(text, mapped.source));
    }
    finding.evidence.push(Evidence::new(format!("a native method of Java, {}", hs.words(method)), method.source));
    vec![finding]
}

fn returned<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(hs) = Hs::of(case).filter(|hs| hs.ended() == Ended::Segv && hs.is_fault()) else { return Vec::new() };
    // A call through a bad pointer has lost its native frames.
    if hs.is_execute() {
        return Vec::new();
    }
    let Some(top) = hs.top().filter(|top| top.kind == HsFrameKind::Interpreted) else { return Vec::new() };
    let native = top.bci == Some(0);
    let confidence = if native { Confidence::Medium } else { Confidence::Low };
    let why = if native {
        "its native code returned or was given a bad reference"
    } else {
        "it met a reference that is none"
    };
    let title = format!("interpreted {} {}: {why}", hs.words(top), hs.tried());
    let mut finding = hs.finding(&RETURNED, confidence, title);
    finding.places.extend(hs.place(0, Role::Victim));
    finding.evidence = hs.basics();
    vec![finding]
}

#[cfg(test)]
mod tests {
    use super::super::samples::{SEGV, signal};
    use super::*;
    use crate::rules::native::samples::fired;

    #[test]
    fn fires() {
        let stale = ["V jni_GetObjectClass", "C librefund.so Java_Shop_use", "j Shop.use 0", "j Shop.main 9"];
        assert!(fired(&HANDLE, &signal(SEGV, 0x1234_5678, &stale, |_| {})));
        assert!(fired(&RETURNED, &signal(SEGV, 0xffff_fffe, &["j Reader.read 0", "j Shop.main 9"], |_| {})));
    }

    #[test]
    fn keeps_quiet() {
        let call = ["V JavaCalls::call_helper", "V jni_invoke_static", "C libjli.so JavaMain"];
        assert!(!fired(&HANDLE, &signal(SEGV, 8, &call, |_| {})), "the launcher");
        let own = ["C librefund.so apply", "j Shop.apply 0"];
        assert!(!fired(&HANDLE, &signal(SEGV, 8, &own, |_| {})));
        assert!(!fired(&RETURNED, &signal(SEGV, 8, &own, |_| {})));
    }
}
