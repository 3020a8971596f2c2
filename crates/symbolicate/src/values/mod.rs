//! Arguments and locals of raw frames, from DWARF locations, registers and memory.

use necropsy_model::Variable;

use crate::space::AddressSpace;
use crate::unwind::RawFrame;

/// How much to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Arguments only.
    Arguments,
    /// Arguments and locals.
    Locals,
}

/// The variables of the frame at `index` of a raw stack: one list per function at its address, innermost inlined first,
/// in the order of [`crate::names::Names`]. Callers of `frames[index]` serve entry values.
pub(crate) fn variables<'data>(
    frames: &[RawFrame],
    index: usize,
    space: &AddressSpace<'_, 'data>,
    depth: Depth,
) -> Vec<Vec<Variable<'data>>> {
    let _ = (frames, index, space, depth);
    Vec::new()
}
