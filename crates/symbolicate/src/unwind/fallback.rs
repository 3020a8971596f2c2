//! Frames without call frame information: by the link register, the code itself, the chain of frame pointers, and a scan of the stack.

use necropsy_model::{Avma, Registers, Trust};

use super::calls::{self, Before};
use super::follow;
use super::frame::Caller;
use super::walk::{Cursor, Walker};

/// Largest plausible frame. Larger ones exist, but then so do stale pointers that far up.
const LARGEST_FRAME: u64 = 16 << 20;

/// Largest plausible function, in bytes of code.
const LARGEST_FUNCTION: u64 = 64 << 10;
/// Words of the stack that a scan looks at, from the frame on: 16 KiB. Beyond that a hit says nothing of this frame.
pub(super) const SCANNED_WORDS: usize = 2_048;

/// A way to find the caller of a frame that no rules describe.
pub(super) type Way = fn(&Walker<'_, '_>, &Cursor) -> Option<Caller>;

/// The ways, best first, with the trust that each deserves.
pub(super) const WAYS: &[(Way, Trust)] = &[
    (by_link_register, Trust::FramePointer),
    (follow::caller_at_return, Trust::FramePointer),
    (by_frame_pointer, Trust::FramePointer),
];

/// The next word on the stack that stands behind a call. It may be left over from a call that has long returned.
///
/// Where the code of the frame is not at hand, a call of which the target is known to lie in that file is looked for first: a
/// call through a register proves nothing, and the loader leaves one of `__libc_csu_init` on many a stack.
pub(super) fn scan(walker: &Walker<'_, '_>, cursor: &Cursor) -> Option<Caller> {
    let proved = has_no_code(walker, cursor).then(|| scan_for(walker, cursor, called_into_its_file)).flatten();
    proved.or_else(|| scan_for(walker, cursor, may_have_called))
}

/// Whether the call that ends at an address may be the one that led to a frame.
type Test = fn(&Walker<'_, '_>, &Cursor, u64) -> bool;

fn scan_for(walker: &Walker<'_, '_>, cursor: &Cursor, test: Test) -> Option<Caller> {
    let (machine, space) = (walker.machine, walker.space);
    let first = cursor.floor.checked_next_multiple_of(8)?;
    for slot in (first..u64::MAX).step_by(8).take(SCANNED_WORDS) {
        walker.words_left.set(walker.words_left.get().checked_sub(1)?);
        let address = machine.strip(space.read_u64(Avma(slot)).ok()?, space);
        let called =
            space.is_code(Avma(address)) && calls::before(address, cursor.registers.arch(), space) == Before::Call;
        if !called || !test(walker, cursor, address) {
            continue;
        }
        let end = slot.checked_add(8)?;
        let mut registers = Registers::new(cursor.registers.arch());
        registers.set(machine.pc, address);
        if machine.lr.is_none() {
            registers.set(machine.sp, end);
        }
        // A frame pointer further up may still be the one of the frame found here; its rules are checked like all others.
        if let Some(fp) = cursor.registers.get(machine.fp).filter(|&fp| fp >= end && fp - end <= LARGEST_FRAME) {
            registers.set(machine.fp, fp);
        }
        return Some(Caller { registers, cfa: Some(end), saved: vec![(machine.pc, slot)] });
    }
    None
}

/// The call before a return address went into the file of this frame.
fn called_into_its_file(walker: &Walker<'_, '_>, cursor: &Cursor, return_address: u64) -> bool {
    let target = calls::fixed_target(return_address, cursor.registers.arch(), walker.space);
    target.is_some_and(|target| same_file(walker, target, cursor.address.lookup().0))
}

/// The call before a return address may have entered the function of this frame: it is indirect, or its target lies
/// shortly before the frame's address. This drops most leftovers of earlier calls.
fn may_have_called(walker: &Walker<'_, '_>, cursor: &Cursor, return_address: u64) -> bool {
    let callee = cursor.address.lookup().0;
    match calls::target(return_address, cursor.registers.arch(), walker.space) {
        Some(target) if has_no_code(walker, cursor) => same_file(walker, target, callee),
        Some(target) => callee.checked_sub(target).is_some_and(|distance| distance <= LARGEST_FUNCTION),
        None => true,
    }
}

/// The code of a frame is not at hand: no file, and the dump holds the first page of it at most.
fn has_no_code(walker: &Walker<'_, '_>, cursor: &Cursor) -> bool {
    walker.space.read(cursor.address.lookup(), 1).is_err()
}

/// Both addresses lie in mappings of one file. Where that file is not at hand, its frames can not be told apart: the word
/// found may be the return address of the outermost of several.
fn same_file(walker: &Walker<'_, '_>, one: u64, other: u64) -> bool {
    let file = |address| walker.space.memory.region(Avma(address)).and_then(|region| region.file.as_ref());
    file(one).zip(file(other)).is_some_and(|(one, other)| one.path == other.path)
}

/// A leaf function leaves the return address in the link register. Only an interrupted frame can be one.
fn by_link_register(walker: &Walker<'_, '_>, cursor: &Cursor) -> Option<Caller> {
    let machine = walker.machine;
    let lr = machine.lr.filter(|_| cursor.interrupted())?;
    let address = machine.strip(cursor.registers.get(lr)?, walker.space);
    // A frame record at the frame pointer with the same return address: the function has set up its frame, and the
    // chain is the better way.
    let fp = cursor.registers.get(machine.fp)?;
    let recorded = walker.space.read_u64(Avma(fp.checked_add(8)?)).ok();
    if recorded.map(|recorded| machine.strip(recorded, walker.space)) == Some(address) {
        return None;
    }
    if calls::before(address, cursor.registers.arch(), walker.space) != Before::Call {
        return None;
    }
    let mut registers = machine.across_call(&cursor.registers);
    registers.set(machine.pc, address);
    Some(Caller { registers, cfa: None, saved: cursor.saved.clone() })
}

/// The frame record at the frame pointer: the caller's frame pointer and the return address.
fn by_frame_pointer(walker: &Walker<'_, '_>, cursor: &Cursor) -> Option<Caller> {
    let (machine, space) = (walker.machine, walker.space);
    let fp = cursor.registers.get(machine.fp)?;
    if !fp.is_multiple_of(8) || fp < cursor.floor || fp - cursor.floor > LARGEST_FRAME {
        return None;
    }
    let slot = fp.checked_add(8)?;
    let address = machine.strip(space.read_u64(Avma(slot)).ok()?, space);
    let next = space.read_u64(Avma(fp)).ok()?;
    // Where the code is not at hand, only the chain itself can prove a record: it must go on upwards.
    let called = match calls::before(address, cursor.registers.arch(), space) {
        Before::Call => true,
        Before::Unknown => next == 0 || next > fp,
        Before::Other => false,
    };
    let outermost = address == 0 && next == 0;
    if !(outermost || called && space.is_code(Avma(address))) {
        return None;
    }
    let mut registers = machine.across_call(&cursor.registers);
    registers.set(machine.fp, next);
    registers.set(machine.pc, address);
    let end = fp.checked_add(16)?;
    let saved = vec![(machine.fp, fp), (machine.pc, slot)];
    if machine.lr.is_none() {
        registers.set(machine.sp, end);
    }
    Some(Caller { registers, cfa: Some(end), saved })
}
