//! From the registers of a thread to raw frames, with all the registers that can be recovered in each.

mod calls;
mod cfi;
mod fallback;
mod fold;
mod follow;
mod frame;
mod machine;
mod signal;
mod tail_calls;
mod walk;

use necropsy_model::{
    Arch, Avma, CodeAddress, FrameKind, Gap, Registers, StackEnd, Svma, Thread, Trust, Vectors, Warning,
};

pub(crate) use calls::plt_slot;
pub(crate) use cfi::Tables;
pub(crate) use machine::Machine;
pub(crate) use walk::Limits;

use crate::space::AddressSpace;
use object::read::elf::FileHeader;

/// A frame before it has a name. Inlined functions are not yet frames of their own.
#[derive(Clone, Debug)]
pub(crate) struct RawFrame {
    /// Code address.
    pub address: CodeAddress,
    /// Registers in this frame: all for the innermost, those that callees preserve for the others.
    pub registers: Registers,
    /// Canonical frame address: the stack pointer before the call that made this frame.
    pub cfa: Option<u64>,
    /// How it was found.
    pub trust: Trust,
    /// Kind of frame.
    pub kind: FrameKind,
    /// Where the values of preserved registers were read from: DWARF number and address of the save slot.
    pub saved: Vec<(u16, u64)>,
    /// Vector registers, of a frame that was interrupted: none is preserved across calls in full.
    pub vectors: Vectors,
}

/// The raw stack of a thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Walk {
    /// Frames, innermost first.
    pub frames: Vec<RawFrame>,
    /// Frames of a recursion that are not listed.
    pub gap: Option<Gap>,
    /// Why it ends.
    pub end: StackEnd,
    /// What could not be unwound.
    pub warnings: Vec<Warning<'static>>,
}

/// Unwinds the stack of a thread.
pub(crate) fn walk(thread: &Thread<'_>, space: &AddressSpace<'_, '_>, limits: Limits) -> Walk {
    walk::walk(thread, space, limits)
}

/// The code that the unwind information describes as one with an address: a function, or a part of one.
pub(crate) fn function_range(space: &AddressSpace<'_, '_>, address: Avma) -> Option<(Avma, Avma)> {
    let (index, image) = space.images.at(address)?;
    let arch = if image
        .elf
        .as_ref()
        .is_some_and(|elf| elf.elf_header().e_machine(object::LittleEndian) == object::elf::EM_AARCH64)
    {
        Arch::Aarch64
    } else {
        Arch::X86_64
    };
    let tables = space.images.tables(index, Machine::of(arch)?)?;
    let row = tables.row(image, image.bias.to_svma(address), &mut cfi::Context::new()).ok()?;
    let (start, end) = row.range;
    Some((image.bias.to_avma(start), image.bias.to_avma(end)))
}

/// The slot that an entry of the procedure linkage table goes through, and the function behind it.
pub(crate) fn behind_plt(address: Avma, arch: Arch, space: &AddressSpace<'_, '_>) -> Option<(Avma, Avma)> {
    let (slot, function) = calls::through_plt(address.0, arch, space)?;
    Some((Avma(slot), Avma(function)))
}

/// One step of unwinding at an address of an image's file, by its tables alone; says whether there is a caller.
pub(crate) fn step(
    space: &AddressSpace<'_, '_>,
    index: usize,
    machine: &'static Machine,
    address: Svma,
    registers: &Registers,
) -> bool {
    let Some((image, tables)) = space.images.all().get(index).zip(space.images.tables(index, machine)) else {
        return false;
    };
    let Ok(row) = tables.row(image, address, &mut cfi::Context::new()) else { return false };
    frame::Callee { registers, saved: &[], space, bias: image.bias, machine }.apply(&row).is_ok()
}

#[cfg(test)]
pub(crate) mod tests;
