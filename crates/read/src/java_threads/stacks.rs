//! Stacks of a dump, each kept once: most threads of a pool stand at the same place.

use necropsy_model::{FrameId, Snapshot, Stack, StackId};
use rustc_hash::FxHashMap;

/// The stacks of a snapshot by their frames.
#[derive(Default)]
pub(super) struct Stacks {
    known: FxHashMap<Vec<FrameId>, StackId>,
}

impl Stacks {
    /// The stack with these frames, innermost first; none without frames.
    pub(super) fn intern(&mut self, snapshot: &mut Snapshot<'_>, frames: Vec<FrameId>) -> Option<StackId> {
        if frames.is_empty() {
            return None;
        }
        if let Some(&known) = self.known.get(&frames) {
            return Some(known);
        }
        let id = snapshot.add_stack(Stack { frames: frames.clone(), ..Stack::default() })?;
        self.known.insert(frames, id);
        Some(id)
    }
}
