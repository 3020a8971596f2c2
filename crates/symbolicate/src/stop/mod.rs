//! The stop, explained: the faulting instruction, last words in memory, the signal below a handler. Facts only.

use necropsy_model::Snapshot;

use crate::space::AddressSpace;
use crate::unwind::Walk;

/// Completes the stop of a snapshot. Stacks are in place; walks and threads have the same order.
pub(crate) fn explain(snapshot: &mut Snapshot<'_>, walks: &[Walk], space: &AddressSpace<'_, '_>) {
    let _ = (snapshot, walks, space);
}
