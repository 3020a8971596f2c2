//! The signal that a handler was dealing with: the frame that the kernel pushed is still on the stack.
//!
//! A handler that re-raises hides the signal and the address that count. The kernel's `rt_sigframe` keeps them
//! (`arch/x86/include/asm/sigframe.h`, `arch/arm64/kernel/signal.c`).

use necropsy_model::{Arch, Avma, FrameKind, Signal, Stop};

use super::{Place, interrupted};
use crate::space::AddressSpace;

/// `sizeof(struct ucontext)` with what x86-64 keeps in front of the siginfo: `uc_flags`, `uc_link`, `uc_stack`,
/// `sigcontext` (256 bytes) and an 8-byte `sigset_t`.
const X86_64_UCONTEXT: u64 = 304;

/// A signal that was being handled in a stack, with the raw index of the frame it interrupted. The outermost one counts.
pub(super) fn find<'data>(place: &Place<'_, '_, 'data>, thread: Option<usize>) -> Option<Stop<'data>> {
    let frame = interrupted(place.walk).last()?;
    let trampoline =
        place.walk.frames.get(frame.checked_sub(1)?).filter(|frame| frame.kind == FrameKind::SignalTrampoline)?;
    let info = siginfo_address(trampoline.registers.arch(), trampoline.registers.sp()?)?;
    let (signal, address) = siginfo(info, place.space)?;
    let source = place.space.memory.source(Avma(info));
    let fault = place.fault(frame, Some(signal), address);
    Some(Stop { signal: Some(signal), thread, frame, address, fault, source: Some(source), ..Stop::default() })
}

/// Where the siginfo stands, seen from the stack pointer inside the trampoline.
fn siginfo_address(arch: Arch, sp: u64) -> Option<u64> {
    match arch {
        // The handler's return has popped the address of the trampoline; the ucontext follows.
        Arch::X86_64 => sp.checked_add(X86_64_UCONTEXT),
        // The frame begins with the siginfo.
        Arch::Aarch64 => Some(sp),
        _ => None,
    }
}

/// Signal, code and address of a `siginfo_t`; `None` when what stands there can not be one.
fn siginfo(at: u64, space: &AddressSpace<'_, '_>) -> Option<(Signal, Option<Avma>)> {
    let number = space.read_u32(Avma(at)).ok()?.cast_signed();
    let code = space.read_u32(Avma(at.checked_add(8)?)).ok()?.cast_signed();
    if !(1..=64).contains(&number) || !(-64..=0x80).contains(&code) {
        return None;
    }
    let faults = matches!(number, Signal::SEGV | Signal::BUS | Signal::FPE | Signal::ILL | Signal::TRAP) && code > 0;
    let address = space.read_u64(Avma(at.checked_add(16)?)).ok().filter(|_| faults).map(Avma);
    Some((Signal { number, code: Some(code) }, address))
}

#[cfg(test)]
mod tests {
    use necropsy_model::{Memory, Permissions, Region};

    use super::*;
    use crate::image::Images;

    #[test]
    fn a_siginfo_that_can_not_be_one_is_refused() {
        static BYTES: [u8; 48] = {
            let mut bytes = [0; 48];
            (bytes[0], bytes[8], bytes[16]) = (11, 1, 8);
            bytes
        };
        let permissions = Some(Permissions { read: true, write: true, execute: false });
        let (start, end) = (Avma(0x1000), Avma(0x2000));
        let memory = Memory::new(vec![Region { start, end, permissions, bytes: &BYTES, dumped: 48, file: None }]);
        let images = Images::default();
        let space = AddressSpace::new(&memory, &images);
        assert_eq!(siginfo(0x1000, &space), Some((Signal { number: 11, code: Some(1) }, Some(Avma(8)))));
        assert_eq!(siginfo(0x1010, &space), Some((Signal { number: 8, code: Some(0) }, None)));
        assert_eq!(siginfo(0x1018, &space), None);
        assert_eq!(siginfo(0x9000, &space), None);
    }
}
