//! Threads with one signature.

use crate::{FrameId, StackId, StateId};

/// All groups of a snapshot, in the order of the report.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    /// How alike members are.
    pub similarity: Similarity,
    /// What members have in common.
    pub by: GroupBy,
    /// Threads that a filter of the user left out.
    pub filtered_out: usize,
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

impl Similarity {
    /// The word in the JSON contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::SameLines => "same-lines",
            Self::SameFunctions => "same-functions",
        }
    }
}

/// What the members of a group have in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupBy {
    /// State, stack and creator.
    #[default]
    Stack,
    /// State.
    State,
    /// The innermost function that is not of the runtime.
    Function,
    /// The call that created them.
    Creator,
    /// Labels.
    Label,
}

impl GroupBy {
    /// The word in the JSON contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stack => "stack",
            Self::State => "state",
            Self::Function => "function",
            Self::Creator => "creator",
            Self::Label => "label",
        }
    }
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
    /// What members share, when they were not grouped by their stack: a state, a function, a creator, labels.
    pub title: Option<String>,
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
