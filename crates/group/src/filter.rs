//! Which threads a user wants to see.

use necropsy_model::{FrameId, Snapshot, StackId, StateId, Thread};
use regex::Regex;

/// Conditions that a thread must meet, all of them.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Its state matches.
    pub state: Option<Regex>,
    /// A function of its stack, or its creator, matches.
    pub function: Option<Regex>,
    /// It has waited at least so many seconds; a thread whose dump does not say is left out.
    pub min_wait_s: Option<u64>,
}

impl Filter {
    /// Whether it keeps everything.
    pub fn is_empty(&self) -> bool {
        self.state.is_none() && self.function.is_none() && self.min_wait_s.is_none()
    }

    /// Decides once for each state and stack, so that a million threads cost two look-ups each.
    pub(crate) fn prepare(&self, snapshot: &Snapshot<'_>) -> Prepared {
        let states = self
            .state
            .as_ref()
            .map(|wanted| snapshot.states.iter().map(|state| wanted.is_match(&state.text)).collect());
        let frames: Option<Vec<bool>> = self.function.as_ref().map(|wanted| {
            let matches = |function: &str| wanted.is_match(function);
            snapshot.frames.iter().map(|frame| frame.function.as_deref().is_some_and(matches)).collect()
        });
        let stacks = frames.as_ref().map(|frames| {
            let any = |stack: &necropsy_model::Stack| {
                stack.frames.iter().any(|id| frames.get(id.index()).copied().unwrap_or_default())
            };
            snapshot.stacks.iter().map(any).collect()
        });
        Prepared { states, frames, stacks, min_wait_s: self.min_wait_s }
    }
}

/// A filter with its answers per state, frame and stack.
pub(crate) struct Prepared {
    states: Option<Vec<bool>>,
    frames: Option<Vec<bool>>,
    stacks: Option<Vec<bool>>,
    min_wait_s: Option<u64>,
}

impl Prepared {
    pub(crate) fn keeps(&self, thread: &Thread<'_>) -> bool {
        let answer = |answers: &[bool], index: Option<usize>| index.and_then(|at| answers.get(at)).copied();
        let state = self
            .states
            .as_ref()
            .is_none_or(|states| answer(states, thread.state.map(StateId::index)).unwrap_or_default());
        let stack = self.stacks.as_ref().is_none_or(|stacks| {
            let creator = self.frames.as_ref().and_then(|frames| answer(frames, thread.created_by.map(FrameId::index)));
            answer(stacks, thread.stack.map(StackId::index)).unwrap_or_default() || creator.unwrap_or_default()
        });
        let wait = self.min_wait_s.is_none_or(|least| thread.waited().is_some_and(|waited| waited.as_secs() >= least));
        state && stack && wait
    }
}
