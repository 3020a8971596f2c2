//! Two dumps of one process, thread by thread: what is the same in both and what is not. Facts only.

use std::time::Duration;

use crate::{Confidence, Place, Severity, Source, Suitability, Symptom, ThreadId};

/// Two dumps laid over each other. Indexes `before` and `after` are those of [`crate::Snapshot::threads`].
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    /// Which dump is the earlier one, and how that is known.
    pub order: Order,
    /// Time between the dumps.
    pub elapsed: Option<Elapsed>,
    /// Whether both are of one process.
    pub identity: Identification,
    /// Threads can be told one from the other; profiles that only count them compare by groups.
    pub by_thread: bool,
    /// Threads that are in both, in the order of the later dump.
    pub pairs: Vec<Pair>,
    /// Threads of the earlier dump only.
    pub gone: Vec<u32>,
    /// Threads of the later dump only.
    pub new: Vec<u32>,
    /// Groups of both dumps by signature, the largest change first.
    pub groups: Vec<GroupChange>,
    /// CPU time that all matched threads used between the dumps, where both say it.
    pub cpu: Option<Duration>,
}

/// Which dump is the earlier one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Nothing in them tells; they are taken in the order they were given.
    #[default]
    NotTold,
    /// They were given in the order of their times.
    AsGiven,
    /// They were given the other way round, and were turned.
    Turned,
}

impl Order {
    /// The word in the JSON contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotTold => "not-told",
            Self::AsGiven => "as-given",
            Self::Turned => "turned",
        }
    }
}

/// The time between two dumps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed {
    /// How long.
    pub time: Duration,
    /// Where it is known from.
    pub basis: ElapsedBasis,
}

/// Where the time between two dumps is known from, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElapsedBasis {
    /// The ages of threads that are in both.
    ThreadAges,
    /// The times that the dumps print.
    TimesTaken,
    /// The waiting times of threads that waited all through, which are printed in whole minutes.
    WaitingTimes,
}

impl ElapsedBasis {
    /// The word in the JSON contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::ThreadAges => "thread-ages",
            Self::TimesTaken => "times-taken",
            Self::WaitingTimes => "waiting-times",
        }
    }

    /// The time may be a minute off.
    pub fn is_rough(self) -> bool {
        self == Self::WaitingTimes
    }
}

/// Whether two dumps are of one process.
#[derive(Clone, Debug, Default)]
pub struct Identification {
    /// The answer.
    pub same: SameProcess,
    /// What it rests on, one phrase each.
    pub because: Vec<String>,
}

/// Whether two dumps are of one process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum SameProcess {
    /// They contradict each other.
    No,
    /// Nothing speaks for or against it.
    #[default]
    NotTold,
    /// What can be compared agrees.
    Likely,
    /// Proved: process id, and no contradiction; or the ages of all threads.
    Yes,
}

impl SameProcess {
    /// The word in the JSON contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::NotTold => "not-told",
            Self::Likely => "likely",
            Self::Yes => "yes",
        }
    }
}

/// One thread in both dumps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Index in the earlier dump.
    pub before: u32,
    /// Index in the later dump.
    pub after: u32,
    /// How its stack changed.
    pub motion: Motion,
    /// Outermost frames, in the later dump, that are the same in both: same function, same line; of the frame behind
    /// them only the function may be.
    pub common: u32,
    /// State, or the lock it waits for, changed.
    pub state_changed: bool,
    /// CPU time it used between the dumps.
    pub cpu: Option<Duration>,
    /// It waited less long in the later dump than the dumps are apart, so that it was awake in between.
    pub woke: bool,
}

impl Pair {
    /// CPU time from which a thread that stands where it stood was awake in between: timers and spurious wakes cost less.
    pub const AWAKE: Duration = Duration::from_millis(10);

    /// Same stack, same state, and nothing that says it was awake in between.
    pub fn is_stuck(&self) -> bool {
        self.motion == Motion::Still
            && !self.state_changed
            && !self.woke
            && self.cpu.is_none_or(|cpu| cpu < Self::AWAKE)
    }
}

/// How a stack changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Motion {
    /// Same functions at the same lines (or addresses).
    Still,
    /// Same functions, another line of at least one.
    WithinFunctions,
    /// Other functions.
    Moved,
    /// A stack is missing in one of the dumps.
    NotTold,
}

impl Motion {
    /// The word in the JSON contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::Still => "same-stack",
            Self::WithinFunctions => "same-functions",
            Self::Moved => "moved",
            Self::NotTold => "not-told",
        }
    }
}

/// Threads with one signature, before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupChange {
    /// The signature, as [`crate::Group::signature`].
    pub signature: String,
    /// Threads in the earlier dump.
    pub before: usize,
    /// Threads in the later dump.
    pub after: usize,
    /// Threads of the earlier dump that are still in it; meaningless where threads can not be told apart.
    pub stayed: usize,
    /// A thread that is in it: index in the later dump, in the earlier one when there is none.
    pub example: u32,
    /// Healthy background: idle workers, helpers of the runtime.
    pub background: bool,
}

impl GroupChange {
    /// Threads more, or fewer.
    pub fn change(&self) -> i64 {
        i64::try_from(self.after).unwrap_or(i64::MAX).saturating_sub(i64::try_from(self.before).unwrap_or(i64::MAX))
    }
}

/// What two dumps say together.
#[derive(Clone, Debug, Default)]
pub struct PairVerdict<'data> {
    /// What kind of failure.
    pub symptom: Symptom,
    /// One sentence.
    pub headline: String,
    /// How sure it is.
    pub confidence: Confidence,
    /// Whether these were the right dumps.
    pub suitability: Suitability,
    /// Findings in rank order.
    pub findings: Vec<PairFinding<'data>>,
}

/// What a rule found in two dumps.
#[derive(Clone, Debug)]
pub struct PairFinding<'data> {
    /// Id of the rule.
    pub rule: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// How sure it is.
    pub confidence: Confidence,
    /// One sentence without a full stop.
    pub title: String,
    /// Places in the later dump, the most telling first.
    pub places: Vec<Place<'data>>,
    /// Evidence, strongest first.
    pub evidence: Vec<PairEvidence>,
    /// Threads it is about, by their ids, at most [`PairFinding::MOST_THREADS`].
    pub threads: Vec<ThreadId>,
    /// What to do next.
    pub next: Vec<String>,
}

impl PairFinding<'_> {
    /// Threads that a finding names; a group of a hundred thousand is told by its count.
    pub const MOST_THREADS: usize = 20;
}

/// A piece of evidence from one dump or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairEvidence {
    /// One phrase.
    pub text: String,
    /// Where in the earlier dump.
    pub before: Option<Source>,
    /// Where in the later dump.
    pub after: Option<Source>,
}
