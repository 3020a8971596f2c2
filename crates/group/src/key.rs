//! What makes two threads members of one group.

use necropsy_model::{
    Activity, Frame, FrameId, FrameKind, Group, GroupBy, LabelsId, Similarity, Snapshot, Stack, StackId, StateId,
    Thread, ThreadFlags,
};

use crate::hash::Fnv;
use crate::name::normalise;

/// What a thread brings to its key, by ids. Equal triples are in one group; different ones may be too.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Triple {
    state: Option<StateId>,
    stack: Option<StackId>,
    creator: Option<FrameId>,
    labels: Option<LabelsId>,
}

impl Triple {
    /// The ids that count for this way of grouping.
    pub(crate) fn of(thread: &Thread<'_>, by: GroupBy) -> Self {
        let none = Self { state: None, stack: None, creator: None, labels: None };
        match by {
            GroupBy::Stack => {
                Self { state: thread.state, stack: thread.stack, creator: thread.created_by, labels: None }
            }
            GroupBy::State => Self { state: thread.state, ..none },
            GroupBy::Function => Self { stack: thread.stack, ..none },
            GroupBy::Creator => Self { creator: thread.created_by, ..none },
            GroupBy::Label => Self { labels: thread.labels, ..none },
        }
    }

    /// A small number that its stack has for itself.
    pub(crate) fn stack(self) -> usize {
        self.stack.map_or(0, |id| id.index() + 1)
    }
}

/// Keys of triples, with each frame hashed once.
pub(crate) struct Keys<'s, 'data> {
    snapshot: &'s Snapshot<'data>,
    similarity: Similarity,
    by: GroupBy,
    frames: Vec<Option<FrameHash>>,
    stacks: Vec<Option<u64>>,
}

#[derive(Clone, Copy)]
struct FrameHash {
    key: u64,
    signature: u64,
}

impl<'s, 'data> Keys<'s, 'data> {
    pub(crate) fn new(snapshot: &'s Snapshot<'data>, similarity: Similarity, by: GroupBy) -> Self {
        let frames = vec![None; snapshot.frames.len()];
        let stacks = vec![None; snapshot.stacks.len()];
        Self { snapshot, similarity, by, frames, stacks }
    }

    /// The key of a triple: equal keys are one group.
    pub(crate) fn key(&mut self, triple: Triple) -> u64 {
        let mut hash = Fnv::new();
        if self.by != GroupBy::Stack {
            hash.text(&self.title(triple).unwrap_or_default());
            return hash.value();
        }
        if let Some(state) = triple.state.and_then(|id| self.snapshot.state(id)) {
            hash.text(&state.text);
            hash.number(u64::from(state.activity == Activity::Idle));
        }
        if let Some(stack) = triple.stack {
            hash.number(self.stack_key(stack));
        }
        hash.number(triple.creator.map_or(0, |id| self.frame(id).key));
        hash.value()
    }

    /// A group with its signature and first members.
    pub(crate) fn group(&mut self, triple: Triple, threads: Vec<u32>) -> Group {
        Group {
            signature: format!("{:016x}", self.signature(triple)),
            threads,
            state: triple.state,
            stack: triple.stack,
            created_by: triple.creator,
            waited: None,
            background: false,
            title: (self.by != GroupBy::Stack).then(|| self.title(triple).unwrap_or_default()),
        }
    }

    /// Hash of state, normalised functions and creator: no line, no address, no counter in a name.
    fn signature(&mut self, triple: Triple) -> u64 {
        let mut hash = Fnv::new();
        if self.by != GroupBy::Stack {
            hash.text(&self.title(triple).unwrap_or_default());
            return hash.value();
        }
        hash.text(triple.state.and_then(|id| self.snapshot.state(id)).map(|state| &*state.text).unwrap_or_default());
        let stack = triple.stack.and_then(|id| self.snapshot.stack(id));
        let mut last = None;
        for (&id, frame) in stack.iter().flat_map(|stack| &stack.frames).map(|id| (id, self.snapshot.frame(*id))) {
            let signature = self.frame(id).signature;
            // A compiler's wrapper comes and goes with its release, and so does the depth of a recursion.
            let wrapper = frame.and_then(|frame| frame.function.as_deref()).is_some_and(crate::name::is_wrapper);
            if !wrapper && last != Some(signature) {
                hash.number(signature);
                last = Some(signature);
            }
        }
        hash.number(triple.creator.map_or(0, |id| self.frame(id).signature));
        hash.value()
    }

    fn stack_key(&mut self, id: StackId) -> u64 {
        if let Some(key) = self.stacks.get(id.index()).copied().flatten() {
            return key;
        }
        let mut hash = Fnv::new();
        for &frame in self.snapshot.stack(id).map(|stack| stack.frames.as_slice()).unwrap_or_default() {
            hash.number(self.frame(frame).key);
        }
        if let Some(slot) = self.stacks.get_mut(id.index()) {
            *slot = Some(hash.value());
        }
        hash.value()
    }

    fn frame(&mut self, id: FrameId) -> FrameHash {
        if let Some(hash) = self.frames.get(id.index()).copied().flatten() {
            return hash;
        }
        let hash = match self.snapshot.frame(id) {
            Some(frame) => FrameHash { key: self.frame_key(frame), signature: self.frame_signature(frame) },
            None => FrameHash { key: 0, signature: 0 },
        };
        if let Some(slot) = self.frames.get_mut(id.index()) {
            *slot = Some(hash);
        }
        hash
    }

    fn frame_key(&self, frame: &Frame<'_>) -> u64 {
        let mut hash = Fnv::new();
        if self.similarity == Similarity::SameFunctions {
            return self.frame_signature(frame);
        }
        hash.number(self.frame_signature(frame));
        // The names as they are: two closures on one line are two functions.
        hash.text(frame.function.as_deref().unwrap_or_default());
        match &frame.location {
            Some(location) => {
                hash.text(&location.file);
                hash.number(location.line.map_or(0, u64::from));
            }
            None => hash.number(frame.svma.map_or(0, |svma| svma.0)),
        }
        if self.similarity == Similarity::Exact {
            let address = frame.svma.map(|svma| svma.0).or_else(|| frame.pc().map(|pc| pc.0));
            hash.number(address.unwrap_or_default());
        }
        hash.value()
    }

    fn frame_signature(&self, frame: &Frame<'_>) -> u64 {
        let mut hash = Fnv::new();
        match (&frame.function, frame.module.and_then(|id| self.snapshot.module(id))) {
            (Some(function), _) => hash.text(&normalise(function)),
            // Without a name, the file is what stays the same from run to run.
            (None, Some(module)) => hash.text(module.path.rsplit('/').next().unwrap_or_default()),
            (None, None) => hash.text("?"),
        }
        hash.value()
    }

    /// What members share when they are not grouped by stack.
    fn title(&self, triple: Triple) -> Option<String> {
        let function = |frame: &Frame<'_>| frame.function.as_deref().unwrap_or("?").to_owned();
        match self.by {
            GroupBy::Stack => None,
            GroupBy::State => self.snapshot.state(triple.state?).map(|state| state.text.to_string()),
            GroupBy::Function => {
                let stack = self.snapshot.stack(triple.stack?)?;
                own_frame(self.snapshot, stack).map(function)
            }
            GroupBy::Creator => self.snapshot.frame(triple.creator?).map(function),
            GroupBy::Label => {
                let set = self.snapshot.label_set(triple.labels?);
                let pairs: Vec<_> = set.iter().map(|(key, value)| format!("{key}={value}")).collect();
                Some(pairs.join(", "))
            }
        }
    }
}

/// The innermost frame that is not of the runtime; the innermost one when all are.
fn own_frame<'s, 'data>(snapshot: &'s Snapshot<'data>, stack: &Stack) -> Option<&'s Frame<'data>> {
    let frames = || stack.frames.iter().filter_map(|&id| snapshot.frame(id));
    frames().find(|frame| frame.kind != FrameKind::Runtime).or_else(|| frames().next())
}

/// Healthy background: a helper of the runtime, or a thread that waits for work.
pub(crate) fn is_background(snapshot: &Snapshot<'_>, thread: &Thread<'_>) -> bool {
    thread.flags.contains(ThreadFlags::SYSTEM) || snapshot.activity(thread) == Activity::Idle
}
