//! The signal that a handler was dealing with: the frame that the kernel pushed is still on the stack.
//!
//! A handler that re-raises hides the signal and the address that count. The kernel's `rt_sigframe` keeps them
//! (`arch/x86/include/asm/sigframe.h`, `arch/arm64/kernel/signal.c`).

use necropsy_model::{Access, AddressState, Arch, Avma, FrameKind, Signal, Stop};

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
    let (arch, sp) = (trampoline.registers.arch(), trampoline.registers.sp()?);
    let info = siginfo_address(arch, sp)?;
    let told = siginfo(info, place.space);
    let pc = place.walk.frames.get(frame)?.registers.pc()?;
    let sent = told.is_some_and(|(signal, _)| signal.is_sent() == Some(true)) && behind_syscall(pc, place.space);
    let trapped = (arch == Arch::X86_64 && !sent).then(|| trap(sp, place.space)).flatten();
    let (signal, address) = reconcile(told, trapped)?;
    let source = place.space.memory.source(Avma(info));
    // A signal that was sent says nothing of the instruction.
    let fault = if signal.is_sent() == Some(true) { None } else { place.fault(frame, Some(signal), address) };
    Some(Stop { signal: Some(signal), thread, frame, address, fault, source: Some(source), ..Stop::default() })
}

/// A fault that a handler answered by raising its signal again and returning.
///
/// The raised signal stays blocked until the handler has returned, so that it arrives when the thread is back at the
/// faulting instruction: siginfo says "sent by itself", no handler is on the stack, and the instruction at the program
/// counter can only fault. That last is what is asked here.
pub(super) fn pending<'data>(
    place: &Place<'_, '_, 'data>,
    stop: &Stop<'data>,
    pid: Option<u64>,
) -> Option<Stop<'data>> {
    let signal = stop.signal.filter(|signal| matches!(signal.number, Signal::SEGV | Signal::BUS))?;
    let by_itself = signal.is_sent() == Some(true) && stop.sender.map(|sender| sender.pid) == pid;
    let signal = Signal { code: None, ..signal };
    let fault = place.fault(0, Some(signal), None).filter(|_| by_itself)?;
    let refused = fault.permissions.is_some_and(|rights| match fault.access {
        Some(Access::Write | Access::ReadWrite) => !rights.write,
        Some(Access::Read) => !rights.read,
        _ => false,
    });
    let fatal = matches!(fault.state, Some(AddressState::NotMapped | AddressState::NoAccess)) || fault.non_canonical;
    let (thread, address, source) = (stop.thread, fault.address, stop.source);
    let found = Stop { signal: Some(signal), thread, address, fault: Some(fault), source, ..Stop::default() };
    (fatal || refused).then_some(found)
}

/// The instruction before this one is `syscall`: the thread was in the kernel when the signal came, and what the saved context
/// says of a trap is of an earlier one. Seen in Go: `runtime.raise` in a handler, after a fault that was made a panic.
fn behind_syscall(pc: u64, space: &AddressSpace<'_, '_>) -> bool {
    pc.checked_sub(2).is_some_and(|before| space.read(Avma(before), 2) == Ok(&[0x0f, 0x05]))
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

/// What a signal frame says: the signal and, for a fault, its address.
type Told = (Signal, Option<Avma>);

/// The one to believe.
///
/// The kernel fills the siginfo only for handlers that asked for it with `SA_SIGINFO`; for the others its place holds what
/// the stack held before, seen as "signal 64" in a program that used plain `signal`. The trap number and the fault address
/// in the saved context are always written, so that a siginfo which contradicts them is not one.
fn reconcile(told: Option<Told>, trapped: Option<Told>) -> Option<Told> {
    match (told, trapped) {
        (Some((signal, address)), Some((trap, trapped_at))) => {
            let memory = |signal: Signal| matches!(signal.number, Signal::SEGV | Signal::BUS);
            let same = signal.number == trap.number || (memory(signal) && memory(trap));
            let agrees = same && (trapped_at.is_none() || address == trapped_at);
            Some(if agrees { (signal, address) } else { (trap, trapped_at) })
        }
        (told, trapped) => told.or(trapped),
    }
}

/// The exception that the processor took, from `trapno`, `err` and `cr2` of the saved context.
///
/// Numbers of the Intel SDM, volume 3, table 6-1; offsets of `struct sigcontext_64` (`arch/x86/include/uapi/asm/sigcontext.h`)
/// behind the 40 bytes that a ucontext begins with. Trap number 0 may also mean that there was no trap.
fn trap(ucontext: u64, space: &AddressSpace<'_, '_>) -> Option<Told> {
    const ERR: u64 = 40 + 19 * 8;
    const PROTECTION: u64 = 1;
    let word = |offset: u64| space.read_u64(Avma(ucontext.checked_add(offset)?)).ok();
    let (error, number, cr2) = (word(ERR)?, word(ERR + 8)?, word(ERR + 24)?);
    let (number, code, address) = match number {
        3 => (Signal::TRAP, 128, None),
        6 => (Signal::ILL, 2, None),
        13 => (Signal::SEGV, 128, None),
        14 => (Signal::SEGV, if error & PROTECTION == 0 { 1 } else { 2 }, Some(Avma(cr2))),
        17 => (Signal::BUS, 1, None),
        _ => return None,
    };
    Some((Signal { number, code: Some(code) }, address))
}

/// Signal, code and address of a `siginfo_t`; `None` when what stands there can not be one.
fn siginfo(at: u64, space: &AddressSpace<'_, '_>) -> Option<Told> {
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
    fn what_the_processor_said_decides() {
        let signal = |number, code| Signal { number, code: Some(code) };
        let null = Some(Avma(8));
        let trapped = Some((signal(Signal::SEGV, 1), null));
        assert_eq!(reconcile(Some((signal(64, 0), None)), trapped), trapped);
        assert_eq!(reconcile(Some((signal(Signal::BUS, 2), null)), trapped), Some((signal(Signal::BUS, 2), null)));
        assert_eq!(reconcile(Some((signal(Signal::SEGV, 1), Some(Avma(9)))), trapped), trapped);
        assert_eq!(reconcile(Some((signal(12, 0), None)), None), Some((signal(12, 0), None)));
        assert_eq!(reconcile(None, None), None);
    }

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
