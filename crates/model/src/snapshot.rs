//! One dump of one process at one moment.

use crate::{
    Activity, Frame, FrameId, LabelsId, Memory, Module, ModuleId, Place, Process, Role, StackId, State, StateId, Stop,
    Text, Thread, Warning, go::GoFacts, hs_err::HsErr, jvm::JvmFacts, oom::OomKill,
};

/// One dump of one process at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot<'data> {
    /// Name of the reader. For `input.kind` of the report only: no later stage may branch on it.
    pub format: &'static str,
    /// The process.
    pub process: Process<'data>,
    /// Why the dump was taken; `None` when it was asked for.
    pub stop: Option<Stop<'data>>,
    /// Frame table. Stacks refer to it.
    pub frames: Vec<Frame<'data>>,
    /// Stack table. Threads refer to it.
    pub stacks: Vec<Stack>,
    /// State table. Threads refer to it.
    pub states: Vec<State<'data>>,
    /// Label table: each set is sorted pairs of key and value.
    pub labels: Vec<Vec<(Text<'data>, Text<'data>)>>,
    /// Threads in the order of the dump.
    pub threads: Vec<Thread<'data>>,
    /// Files mapped as code.
    pub modules: Vec<Module<'data>>,
    /// Memory; empty for text dumps.
    pub memory: Memory<'data>,
    /// What only a Go runtime says.
    pub go: Option<Box<GoFacts<'data>>>,
    /// What only a Java virtual machine says.
    pub jvm: Option<Box<JvmFacts<'data>>>,
    /// What only a fatal error log of HotSpot says.
    pub hs_err: Option<Box<HsErr<'data>>>,
    /// What only the kernel says when it kills a process for its memory.
    pub oom: Option<Box<OomKill<'data>>>,
    /// What could not be read.
    pub warnings: Vec<Warning<'data>>,
}

/// A stack, innermost frame first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Stack {
    /// Frames, innermost first.
    pub frames: Vec<FrameId>,
    /// Frames that are not listed: a folded recursion, or those a runtime left out.
    pub gap: Option<Gap>,
    /// Why it ends where it ends.
    pub end: StackEnd,
}

/// Frames that a stack does not list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gap {
    /// They stood behind this many listed frames.
    pub after: usize,
    /// How many there were.
    pub omitted: u64,
    /// Frames of one turn of the recursion, when that is what they are: they repeat the `period` frames before the gap.
    pub period: Option<usize>,
}

/// Why a stack ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum StackEnd {
    /// At the function that starts threads.
    #[default]
    Complete,
    /// Earlier, for this reason.
    Broken(String),
}

impl<'data> Snapshot<'data> {
    /// A frame of the table.
    pub fn frame(&self, id: FrameId) -> Option<&Frame<'data>> {
        self.frames.get(id.index())
    }

    /// A stack of the table.
    pub fn stack(&self, id: StackId) -> Option<&Stack> {
        self.stacks.get(id.index())
    }

    /// A state of the table.
    pub fn state(&self, id: StateId) -> Option<&State<'data>> {
        self.states.get(id.index())
    }

    /// A module of the table.
    pub fn module(&self, id: ModuleId) -> Option<&Module<'data>> {
        self.modules.get(id.index())
    }

    /// A label set of the table.
    pub fn label_set(&self, id: LabelsId) -> &[(Text<'data>, Text<'data>)] {
        self.labels.get(id.index()).map(Vec::as_slice).unwrap_or_default()
    }

    /// The frames of a thread, innermost first.
    pub fn frames_of(&self, thread: &Thread<'data>) -> impl DoubleEndedIterator<Item = &Frame<'data>> {
        let ids = thread.stack.and_then(|id| self.stack(id)).map(|stack| stack.frames.as_slice()).unwrap_or_default();
        ids.iter().filter_map(|&id| self.frame(id))
    }

    /// What a thread does.
    pub fn activity(&self, thread: &Thread<'data>) -> Activity {
        thread.state.and_then(|id| self.state(id)).map(|state| state.activity).unwrap_or_default()
    }

    /// The thread that stopped the process.
    pub fn stopped_thread(&self) -> Option<&Thread<'data>> {
        self.threads.get(self.stop.as_ref()?.thread?)
    }

    /// A place for a report: the frame `frame` (0 is innermost) of the thread at index `thread`.
    pub fn place(&self, thread: usize, frame: usize, role: Role) -> Option<Place<'data>> {
        let thread = self.threads.get(thread)?;
        let found = self.frames_of(thread).nth(frame)?;
        let module = found.module.and_then(|id| self.module(id));
        Some(Place {
            thread: Some(thread.id),
            frame: Some(frame),
            function: found.function.clone(),
            module: module.map(|module| module.path.clone()),
            svma: found.svma.filter(|_| found.function.is_none()),
            location: found.location.clone(),
            inlined: found.inlined,
            trust: Some(found.trust),
            role,
        })
    }

    /// Puts a frame in the table. `None` only past four thousand million frames.
    pub fn add_frame(&mut self, frame: Frame<'data>) -> Option<FrameId> {
        let id = FrameId::new(self.frames.len())?;
        self.frames.push(frame);
        Some(id)
    }

    /// Puts a stack in the table. `None` only past four thousand million stacks.
    pub fn add_stack(&mut self, stack: Stack) -> Option<StackId> {
        let id = StackId::new(self.stacks.len())?;
        self.stacks.push(stack);
        Some(id)
    }

    /// The id of a state, new or known. For dumps with few states; a reader of many threads interns on its own.
    pub fn intern_state(&mut self, state: State<'data>) -> Option<StateId> {
        let index = self.states.iter().position(|known| *known == state).unwrap_or_else(|| {
            self.states.push(state);
            self.states.len() - 1
        });
        StateId::new(index)
    }
}
