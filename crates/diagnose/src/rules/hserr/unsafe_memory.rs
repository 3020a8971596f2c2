//! Java code that reads and writes memory by address: `Unsafe`, memory segments, direct buffers.

use necropsy_model::hs_err::{HsFrame, HsFrameKind};
use necropsy_model::{Confidence, Evidence, Finding, Role};

use crate::jvm::hs_err::{Ended, Hs};
use crate::{Case, Rule};

pub(crate) static RULE: Rule = Rule {
    id: "jvm-unsafe-memory-access",
    doc: "\
# What it means
Java code used an address that is not valid: through `Unsafe`, a memory segment without bounds, or a buffer whose memory was
freed. The virtual machine's copying routine on top of the stack is the victim.
# Why it matters
It is no error of the virtual machine; the Java frame that passed the address is where to look.
# How it can be wrong
The address may have been computed elsewhere and only be used here. Where compiled code crashed without a call of Unsafe in sight, it was
told by an address that no field access makes; a wrongly compiled method could do so too.
# What to do
Check bounds and lifetime in that class: is the memory still allocated, is the offset within it? `-Xint` tells a compiler's error apart.
",
    check,
};

/// Classes that access memory by address.
const CLASSES: [&str; 4] =
    ["sun.misc.Unsafe", "jdk.internal.misc.Unsafe", "jdk.internal.misc.ScopedMemoryAccess", "jdk.internal.foreign."];

/// Frames from the top in which such a call must stand.
const NEAR: usize = 8;

fn is_unsafe(frame: &HsFrame<'_>) -> bool {
    let method = frame.method.as_ref().map(|method| &*method.class);
    method.is_some_and(|class| CLASSES.iter().any(|start| class.starts_with(start)))
        || frame.kind == HsFrameKind::Vm && frame.function.as_deref().is_some_and(|name| name.starts_with("Unsafe_"))
}

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(hs) = Hs::of(case).filter(|hs| matches!(hs.ended(), Ended::Segv | Ended::Bus) && hs.is_fault()) else {
        return Vec::new();
    };
    let frames = hs.frames();
    // Only the virtual machine, its stubs, the C library's copying and Java may stand above.
    let clean = frames.iter().take_while(|frame| !hs.is_foreign(frame)).take(NEAR);
    let Some((at, call)) = clean.enumerate().find(|(_, frame)| is_unsafe(frame)) else { return by_value(&hs) };
    let user = frames.iter().enumerate().skip(at).find(|(_, frame)| frame.kind.is_java() && !is_unsafe(frame));
    let own = hs.own_java().filter(|own| own.0 > at).or(user);
    let origin = own.map_or_else(|| "Java code".to_owned(), |(_, frame)| hs.words(frame));
    // `Unsafe` in the middle of a stack is also how locks and fields of the JDK itself are changed.
    let access = call.function.as_deref().or(call.method.as_ref().map(|method| &*method.name)).unwrap_or_default();
    let sync = ["park", "compareAnd", "allocateInstance", "ensureClass", "defineClass", "throwException"];
    if sync.iter().any(|name| access.contains(name)) {
        return Vec::new();
    }
    let confidence = if at <= 2 && hs.address().is_some() { Confidence::High } else { Confidence::Medium };
    let title = format!("{origin} passed a bad address to {}: it {}", hs.words(call), hs.tried());
    let mut finding = hs.finding(&RULE, confidence, title);
    finding.places.extend(hs.place(0, Role::Victim));
    finding.places.extend(own.and_then(|(at, _)| hs.place(at, Role::Origin)));
    finding.evidence = hs.basics();
    finding.evidence.push(Evidence::new(format!("it is in {}", hs.words(call)), call.source));
    if let Some((_, frame)) = own {
        finding.evidence.push(Evidence::new(format!("called from {}", hs.words(frame)), frame.source));
    }
    vec![finding]
}

/// Compiled code that used an address which stood in a register as it is: fields and elements stand behind an object's header, so
/// that only `Unsafe` and its like use an address without an offset.
fn by_value<'data>(hs: &Hs<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(top) = hs.top().filter(|top| top.kind == HsFrameKind::Compiled) else { return Vec::new() };
    let Some(address) = hs.address().filter(|&address| !hs.is_null() && !hs.is_heap(address) && !hs.is_execute())
    else {
        return Vec::new();
    };
    let general = |name: &str| !matches!(name, "rip" | "eip" | "pc" | "cr2" | "eflags" | "rsp" | "esp" | "sp");
    let mut registers = hs.log.machine.registers.iter();
    let Some(register) = registers.find(|register| register.value == address && general(&register.name)) else {
        return Vec::new();
    };
    let stack = hs.thread().and_then(|thread| thread.stack);
    if stack.is_some_and(|stack| address >= stack.range.low.saturating_sub(1 << 20) && address < stack.range.high) {
        return Vec::new();
    }
    let title = format!(
        "compiled {} {}, an address that Java code computed itself (Unsafe or a buffer)",
        hs.words(top),
        hs.tried()
    );
    let mut finding = hs.finding(&RULE, Confidence::Medium, title);
    finding.places.extend(hs.place(0, Role::Origin));
    let text = format!("{} = {address:#x} is the address as it is: no field of an object has offset 0", register.name);
    finding.evidence.push(Evidence::new(text, register.source));
    finding.evidence.extend(hs.basics());
    vec![finding]
}

#[cfg(test)]
mod tests {
    use necropsy_model::Source;
    use necropsy_model::hs_err::Register;

    use super::super::samples::{SEGV, signal};
    use super::*;
    use crate::rules::native::samples::fired;

    #[test]
    fn fires() {
        let put = ["V Unsafe_PutLong", "j sun.misc.Unsafe.putAddress 0", "j Shop.main 7"];
        assert!(fired(&RULE, &signal(SEGV, 0, &put, |_| {})));
        let copy = [
            "v jlong_disjoint_arraycopy",
            "V Unsafe_CopyMemory0",
            "j jdk.internal.misc.Unsafe.copyMemory0 0",
            "j Shop.main 7",
        ];
        assert!(fired(&RULE, &signal(SEGV, 0x5a5a_5000, &copy, |_| {})));
        let hot = signal(SEGV, 0x7f00_0000_1000, &["J Shop.spin", "j Shop.main 7"], |log| {
            log.machine.registers.push(Register {
                name: "r10".into(),
                value: 0x7f00_0000_1000,
                source: Source::line(5),
            });
        });
        assert!(fired(&RULE, &hot));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!fired(&RULE, &signal(SEGV, 8, &["C librefund.so f", "j sun.misc.Unsafe.getLong 0"], |_| {})));
        assert!(!fired(&RULE, &signal(SEGV, 0x7f00_0000_1010, &["J Shop.spin", "j Shop.main 7"], |_| {})));
    }
}
