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

use necropsy_model::{CodeAddress, FrameKind, Gap, Registers, StackEnd, Thread, Trust, Warning};

pub(crate) use cfi::Tables;
pub(crate) use machine::Machine;
pub(crate) use walk::Limits;

use crate::space::AddressSpace;

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

#[cfg(test)]
mod tests;
