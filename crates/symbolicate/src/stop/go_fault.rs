//! A fault that Go's runtime made a panic. Its signal handler returned long ago and left a note in the goroutine: the signal, its
//! code, the address and where it struck.

use necropsy_model::{Arch, Avma, CodeAddress, FrameKind, Signal, Stop, Thread};

use super::Place;
use crate::goroutine::{self, Goroutine};
use crate::space::AddressSpace;
use crate::unwind::{RawFrame, Walk};

/// Where the note is looked for: behind `g.sched`, before the end of the largest `g` (Go 1.27: 456 bytes).
const NOTE: std::ops::Range<u64> = 96..512;
/// The note, seen from its last word, `sigpc` (`runtime/runtime2.go`; so since Go 1.0): `sig`, a slice, `sigcode0`, `sigcode1`.
const SIG: u64 = 48;
const SIGCODE0: u64 = 16;
const SIGCODE1: u64 = 8;

/// The fault behind a panic, with the raw index of the frame that it struck.
pub(super) fn find<'data>(place: &Place<'_, '_, 'data>, thread: Option<usize>) -> Option<Stop<'data>> {
    let frames = &place.walk.frames;
    // `runtime.sigpanic` looks called by the instruction itself.
    let struck = |pair: &[RawFrame]| {
        let [callee, frame] = pair else { return false };
        let interrupted = matches!(frame.address, CodeAddress::Instruction(_)) && frame.kind == FrameKind::Normal;
        interrupted && matches!(callee.address, CodeAddress::Return(_))
    };
    let frame = frames.windows(2).position(struck)? + 1;
    let (pc, sp) = (frames.get(frame)?.registers.pc()?, frames.get(frame)?.registers.sp()?);
    let innermost = &frames.first()?.registers;
    let goroutines = goroutine::of_thread(innermost, place.thread_pointer, place.space);
    let (signal, address, source) =
        goroutines.iter().filter(|one| one.owns(sp)).find_map(|one| note(one, pc, place))?;
    let fault = place.fault(frame, Some(signal), address);
    Some(Stop {
        signal: Some(signal),
        thread,
        frame,
        address,
        fault,
        source: Some(place.space.memory.source(source)),
        ..Stop::default()
    })
}

/// Adds registers that the walk could not know: the one that the address of a fault gives away, since it is the only one in the operand (the
/// others went with the signal frame), and those that a failed check of bounds wrote down.
pub(super) fn recall(walk: &mut Walk, thread: &Thread<'_>, space: &AddressSpace<'_, '_>) {
    let thread_pointer = thread.detail.as_ref().and_then(|detail| detail.thread_pointer);
    let known = of_fault(&Place { walk, thread_pointer, space }).or_else(|| of_bounds(walk, space));
    let Some((frame, registers)) = known else { return };
    let Some(frame) = walk.frames.get_mut(frame) else { return };
    for (number, value) in registers {
        if frame.registers.get(number).is_none() {
            frame.registers.set(number, value);
        }
    }
}

/// A raw frame, and values of its registers.
type Known = (usize, Vec<(u16, u64)>);

fn of_fault(place: &Place<'_, '_, '_>) -> Option<Known> {
    let stop = find(place, None)?;
    let (name, value) = stop.fault?.operand?.base?;
    let register = place.walk.frames.get(stop.frame)?.registers.arch().register(name)?;
    Some((stop.frame, vec![(register, value)]))
}

/// `runtime.panicBounds` saves the registers that an index can be in at its stack pointer (`runtime/asm_amd64.s`, `asm_arm64.s`; since
/// Go 1.26, which passes no index to it).
fn of_bounds(walk: &Walk, space: &AddressSpace<'_, '_>) -> Option<Known> {
    /// In the order in which the processor numbers them, by DWARF number; the stack pointer and the goroutine are left out.
    const X86_64: [Option<u16>; 16] = [
        Some(0),
        Some(2),
        Some(1),
        Some(3),
        None,
        Some(6),
        Some(4),
        Some(5),
        Some(8),
        Some(9),
        Some(10),
        Some(11),
        Some(12),
        Some(13),
        None,
        Some(15),
    ];
    let frame = walk.frames.iter().take(MOST_FRAMES).position(|frame| is_bounds(frame, space))?;
    let callee = &walk.frames.get(frame)?.registers;
    let (offset, order) = match callee.arch() {
        Arch::X86_64 => (16, X86_64),
        Arch::Aarch64 => (24, std::array::from_fn(|number| u16::try_from(number).ok())),
        _ => return None,
    };
    let area = callee.sp()?.checked_add(offset)?;
    let registers = (0..).zip(order).filter_map(|(slot, register): (u64, _)| {
        let value = space.read_u64(Avma(area.checked_add(8 * slot)?)).ok()?;
        Some((register?, value))
    });
    Some((frame + 1, registers.collect()))
}

/// Frames of the runtime above a failed check: the end of the program, and the signal that it sends itself.
const MOST_FRAMES: usize = 64;

fn is_bounds(frame: &RawFrame, space: &AddressSpace<'_, '_>) -> bool {
    let Some((_, image)) = space.images.at(frame.address.lookup()) else { return false };
    let svma = image.bias.to_svma(frame.address.lookup());
    let named = image.go_table().map(|table| table.look_up(svma)).unwrap_or_default();
    named.last().is_some_and(|function| function.name.as_deref() == Some("runtime.panicBounds"))
}

/// What the note of a goroutine says of the fault at an instruction: signal, address, and where the note is.
fn note(goroutine: &Goroutine, pc: u64, place: &Place<'_, '_, '_>) -> Option<(Signal, Option<Avma>, Avma)> {
    let word = |address: u64| place.space.read_u64(Avma(address)).ok();
    let slots = NOTE.step_by(8).filter_map(|offset| goroutine.address.checked_add(offset));
    let last = slots.filter(|&slot| word(slot) == Some(pc)).find(|slot| {
        // `sched.pc` and its like may be the same.
        word(slot - SIG).is_some_and(|sig| signal_of(sig).is_some())
    })?;
    let number = signal_of(word(last - SIG)?)?;
    let code = u32::try_from(word(last - SIGCODE0)?).ok()?.cast_signed();
    let address = word(last - SIGCODE1).filter(|_| matches!(number, Signal::SEGV | Signal::BUS)).map(Avma);
    Some((Signal { number, code: Some(code) }, address, Avma(last - SIG)))
}

/// The signals that `runtime.sigpanic` makes panics of (`runtime/signal_unix.go`), from a field of 32 bits.
fn signal_of(word: u64) -> Option<i32> {
    let number = i32::try_from(word & u64::from(u32::MAX)).ok()?;
    matches!(number, Signal::SEGV | Signal::BUS | Signal::FPE).then_some(number)
}

#[cfg(test)]
mod tests {
    use necropsy_model::{Arch, Memory, Permissions, Region, Registers, Trust, Vectors};

    use super::*;
    use crate::goroutine::samples::{THREAD, USER, USER_STACK, words};
    use crate::image::Images;

    const STRUCK: u64 = 0x40_1000;

    fn frame(address: CodeAddress, sp: u64) -> RawFrame {
        let mut registers = Registers::new(Arch::X86_64);
        registers.set(16, address.address().0);
        registers.set(7, sp);
        let (saved, vectors) = (Vec::new(), Vectors::default());
        RawFrame { address, registers, cfa: None, trust: Trust::Cfi, kind: FrameKind::Normal, saved, vectors }
    }

    /// The note of a fault at [`STRUCK`] with these words for `sig`, `sigcode0` and `sigcode1`.
    fn told(sig: u64, code: u64, address: u64) -> Option<(Signal, Option<Avma>, usize)> {
        let last = USER + 0x120;
        let note = [(last - SIG, sig), (last - SIGCODE0, code), (last - SIGCODE1, address), (last, STRUCK)];
        let mut bytes = vec![0_u8; 0x1000];
        for (address, word) in words(0, 0, 0).into_iter().chain(note) {
            let at = usize::try_from(address - 0x1000).unwrap();
            bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
        }
        let permissions = Some(Permissions { read: true, write: true, execute: false });
        let bytes: &'static [u8] = bytes.leak();
        let (start, end) = (Avma(0x1000), Avma(0x2000));
        let memory = Memory::new(vec![Region { start, end, permissions, bytes, dumped: 0x1000, file: None }]);
        let images = Images::default();
        let space = AddressSpace::new(&memory, &images);
        let frames = vec![
            frame(CodeAddress::Instruction(Avma(0x50_0000)), 0x7800),
            frame(CodeAddress::Return(Avma(0x50_1000)), USER_STACK.0 + 0x100),
            frame(CodeAddress::Instruction(Avma(STRUCK)), USER_STACK.0 + 0x200),
            frame(CodeAddress::Return(Avma(0x40_2000)), USER_STACK.0 + 0x300),
        ];
        let walk = Walk { frames, ..Walk::default() };
        let stop = find(&Place { walk: &walk, thread_pointer: Some(THREAD), space: &space }, Some(0))?;
        Some((stop.signal?, stop.address, stop.frame))
    }

    #[test]
    fn the_goroutine_remembers_what_struck_it() {
        let segv = Signal { number: Signal::SEGV, code: Some(1) };
        assert_eq!(told(11, 1, 8), Some((segv, Some(Avma(8)), 2)));
        // The field has 32 bits; what stands behind it is padding.
        assert_eq!(told(0x77_0000_000b, 1, 8), Some((segv, Some(Avma(8)), 2)));
        let division = Signal { number: Signal::FPE, code: Some(1) };
        assert_eq!(told(8, 1, STRUCK), Some((division, None, 2)), "the address of a division is that of the code");
    }

    #[test]
    fn without_a_signal_there_is_no_note() {
        assert_eq!(told(0, 0, 0), None);
        assert_eq!(told(6, 1, 8), None, "SIGABRT makes no panic");
    }
}
