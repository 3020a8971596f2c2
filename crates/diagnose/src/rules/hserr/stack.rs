//! The stack ran out.

use necropsy_model::{Confidence, Evidence, Finding, Role};

use crate::jvm::hs_err::{Ended, Hs};
use crate::{Case, Rule};

pub(crate) static RULE: Rule = Rule {
    id: "jvm-stack-overflow",
    doc: "\
# What it means
The thread used up its stack: the stack pointer is outside of it, or the address at fault lies just below its end.
# Why it matters
The virtual machine turns most overflows of Java code into a StackOverflowError; here it could not, because native code, compiled
code or the machine itself needed more than the reserve.
# How it can be wrong
A stack pointer that was overwritten or switched (coroutines, fibers) lies outside too.
# What to do
Look for recursion on the stack; give the thread a larger stack (`-Xss`, `ThreadStackSize`, the size given to the thread's constructor).
",
    check,
};

/// How far below the stack's end an overflow may touch: the guard zones of the virtual machine and of the system, and the
/// pages that are touched ahead of a call.
const BELOW: u64 = 256 << 10;

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(hs) =
        Hs::of(case).filter(|hs| matches!(hs.ended(), Ended::Segv | Ended::Bus | Ended::Stack) && hs.is_fault())
    else {
        return Vec::new();
    };
    let Some(stack) = hs.thread().and_then(|thread| thread.stack) else { return Vec::new() };
    let size = stack.range.high.saturating_sub(stack.range.low);
    let near = |address: u64| {
        address < stack.range.low.saturating_add(16 << 10) && address >= stack.range.low.saturating_sub(BELOW)
    };
    let touches = hs.address().is_some_and(near);
    let outside =
        stack.sp.is_some_and(|sp| !stack.range.contains(sp)) || stack.free.is_some_and(|free| free > size.max(1));
    let below = stack.sp.is_some_and(|sp| sp < stack.range.low && near(sp));
    let said = hs.ended() == Ended::Stack;
    // A register that was taken for the end of a block may lie there by chance: two signs, or one that can not be chance.
    let sp_low =
        stack.sp.is_some_and(|sp| near(sp) || sp < stack.range.low.saturating_add(64 << 10) && sp >= stack.range.low);
    let sure = said || touches && (sp_low || outside);
    // A frame that is larger than the guard zones jumps over them.
    let wandered = outside && stack.sp.zip(hs.address()).is_some_and(|(sp, address)| address.abs_diff(sp) < 1 << 20);
    if !sure && !below && !wandered {
        return Vec::new();
    }
    let repeats = repeated(&hs);
    let how = repeats.as_ref().map(|(words, count)| format!(": {words} is on it {count} times")).unwrap_or_default();
    let confidence = if sure && (sp_low || said) { Confidence::High } else { Confidence::Medium };
    let title = format!("stack overflow of {}{how}", hs.thread_in_words());
    let mut finding = hs.finding(&RULE, confidence, title);
    finding.places.extend(hs.place(0, Role::Victim));
    let sp = stack.sp.map(|sp| format!(", stack pointer {sp:#x}")).unwrap_or_default();
    let text =
        format!("stack {:#x} to {:#x}{sp}, fault at {}", stack.range.low, stack.range.high, hs.address_in_words());
    finding.evidence.push(Evidence::new(text, stack.source));
    finding.evidence.extend(hs.basics());
    vec![finding]
}

/// The frame that is on the stack most often.
fn repeated(hs: &Hs<'_, '_>) -> Option<(String, usize)> {
    const OFTEN: usize = 5;
    let mut counts = std::collections::BTreeMap::new();
    for frame in hs.frames() {
        *counts.entry(hs.words(frame)).or_insert(0_usize) += 1;
    }
    counts.into_iter().filter(|(_, count)| *count >= OFTEN).max_by_key(|(_, count)| *count)
}

#[cfg(test)]
mod tests {
    use necropsy_model::Source;
    use necropsy_model::hs_err::{AddressRange, HsErr, StackBounds};

    use super::super::samples::{SEGV, signal};
    use super::*;
    use crate::rules::native::samples::fired;

    fn with(sp: u64) -> impl FnOnce(&mut HsErr<'static>) {
        move |log| {
            let range = AddressRange { low: 0x10_0000, high: 0x20_0000 };
            log.thread.as_mut().unwrap().stack =
                Some(StackBounds { range, sp: Some(sp), free: None, source: Source::line(4) });
        }
    }

    #[test]
    fn fires() {
        assert!(fired(&RULE, &signal(SEGV, 0x0f_fff8, &["C librefund.so walk"], with(0x10_0010))));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!fired(&RULE, &signal(SEGV, 8, &["C librefund.so walk"], with(0x1f_0010))));
        assert!(!fired(&RULE, &signal(SEGV, 0x0f_fff8, &["C librefund.so walk"], with(0x1f_0010))), "one sign");
    }
}
