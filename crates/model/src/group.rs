//! Threads with one signature.

use crate::{FrameId, StackId, StateId};

/// All groups of a snapshot, in the order of the report.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    /// How alike members are.
    pub similarity: Similarity,
    /// Groups, biggest first; idle background last.
    pub groups: Vec<Group>,
}

/// How alike the stacks of one group are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Similarity {
    /// Same frames with the same addresses.
    Exact,
    /// Same functions at the same lines.
    #[default]
    SameLines,
    /// Same functions.
    SameFunctions,
}

/// Threads with one signature.
#[derive(Clone, Debug)]
pub struct Group {
    /// Stable over address layouts, process ids and thread counts: 16 hex digits.
    pub signature: String,
    /// Indexes in [`crate::Snapshot::threads`], ascending.
    pub threads: Vec<u32>,
    /// State they share.
    pub state: Option<StateId>,
    /// Stack of the first member.
    pub stack: Option<StackId>,
    /// Call that created them, when all share one.
    pub created_by: Option<FrameId>,
    /// Time they have waited.
    pub waited: Option<WaitSpread>,
    /// Healthy background: idle workers, runtime helpers.
    pub background: bool,
}

/// Waiting times of a group, in seconds; of those members that have one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitSpread {
    /// Shortest.
    pub min_s: u64,
    /// Middle.
    pub median_s: u64,
    /// Longest.
    pub max_s: u64,
    /// Members with a waiting time.
    pub known: usize,
}
