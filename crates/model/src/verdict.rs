//! Findings and the verdict: what `diagnose` concludes and `report` prints.

use crate::{Location, Lock, Source, Svma, Text, ThreadId, Trust, WaitKind};

/// What kind of failure the dump shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Symptom {
    /// Native code died of a signal.
    NativeCrash,
    /// A managed runtime died of an unhandled exception or panic.
    ManagedCrash,
    /// Memory ran out.
    OutOfMemory,
    /// It hangs and uses no CPU.
    HangIdle,
    /// It hangs and uses CPU.
    HangBusy,
    /// The dump does not tell.
    #[default]
    Unclear,
}

impl Symptom {
    /// The word in the JSON contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::NativeCrash => "native-crash",
            Self::ManagedCrash => "managed-crash",
            Self::OutOfMemory => "out-of-memory",
            Self::HangIdle => "hang-idle",
            Self::HangBusy => "hang-busy",
            Self::Unclear => "unclear",
        }
    }
}

/// How sure a claim is; derived from its evidence, never typed in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Confidence {
    /// One of several explanations.
    #[default]
    Low,
    /// The best explanation, not proved.
    Medium,
    /// Proved by the dump.
    High,
}

impl Confidence {
    /// The word in the JSON contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Probably part of the trouble.
    Warning,
    /// The trouble.
    Critical,
}

impl Severity {
    /// The word in the JSON contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// What a place is to a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Where it crashed.
    Victim,
    /// Where the bad value came into being.
    Origin,
    /// Where the bad value was let in unchecked.
    Gate,
    /// A frame that only passed the value on.
    HandedThrough,
    /// Where a thread waits.
    Waiter,
    /// Where a thread holds what others wait for.
    Holder,
    /// Anything else worth showing.
    Related,
}

impl Role {
    /// The word in the JSON contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::Victim => "victim",
            Self::Origin => "origin",
            Self::Gate => "gate",
            Self::HandedThrough => "handed-through",
            Self::Waiter => "waiter",
            Self::Holder => "holder",
            Self::Related => "related",
        }
    }
}

/// A place in the program that a finding points at.
#[derive(Clone, Debug, PartialEq)]
pub struct Place<'data> {
    /// Thread.
    pub thread: Option<ThreadId>,
    /// Index in its stack, 0 innermost; `None` when the place is no longer on a stack.
    pub frame: Option<usize>,
    /// Function.
    pub function: Option<Text<'data>>,
    /// Path of the module.
    pub module: Option<Text<'data>>,
    /// The instruction, in the module's terms, where the function has no name.
    pub svma: Option<Svma>,
    /// Source position.
    pub location: Option<Location<'data>>,
    /// The function was inlined.
    pub inlined: bool,
    /// How the frame was found.
    pub trust: Option<Trust>,
    /// What it is to the finding.
    pub role: Role,
}

/// A piece of evidence. There is none without a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence<'data> {
    /// One phrase.
    pub text: Text<'data>,
    /// Where in the dump.
    pub source: Source,
}

impl<'data> Evidence<'data> {
    /// Evidence with its source.
    pub fn new(text: impl Into<Text<'data>>, source: Source) -> Self {
        Self { text: text.into(), source }
    }
}

/// What a rule found.
#[derive(Clone, Debug)]
pub struct Finding<'data> {
    /// Id of the rule.
    pub rule: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// How sure it is.
    pub confidence: Confidence,
    /// One sentence without a full stop.
    pub title: String,
    /// Victim first.
    pub places: Vec<Place<'data>>,
    /// Evidence, strongest first.
    pub evidence: Vec<Evidence<'data>>,
    /// What to do next.
    pub next: Vec<String>,
}

/// Where a bad value came into being.
#[derive(Clone, Debug)]
pub struct Origin<'data> {
    /// The place of birth, or the gate when the birth is unknown.
    pub birth: Place<'data>,
    /// Kind of birth, or `unknown`.
    pub kind: String,
    /// The value.
    pub value: Option<String>,
    /// How sure.
    pub confidence: Confidence,
    /// Kind of evidence.
    pub grade: Grade,
    /// What the grade rests on, one phrase.
    pub why: String,
    /// What was not looked at, one phrase each.
    pub not_checked: Vec<String>,
    /// Where it was let in.
    pub gate: Option<Place<'data>>,
    /// Frames that only passed it on.
    pub handed_through: Vec<Place<'data>>,
    /// Other explanations, at most three.
    pub alternatives: Vec<Place<'data>>,
    /// How it was traced.
    pub trail: Vec<TrailStep<'data>>,
}

/// Kind of evidence behind an origin, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grade {
    /// The only definition that fits.
    A,
    /// A call's result, and nothing else fits.
    AMinus,
    /// Forensic evidence.
    B,
    /// A plausible writer.
    C,
    /// Nearest evidence only; blames nobody.
    D,
}

impl Grade {
    /// The word in the JSON contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::AMinus => "A-",
            Self::B => "B",
            Self::C => "C",
            Self::D => "D",
        }
    }
}

/// One step from the crash back to the origin.
#[derive(Clone, Debug)]
pub struct TrailStep<'data> {
    /// Where.
    pub place: Place<'data>,
    /// Kind of step.
    pub step: &'static str,
    /// One phrase.
    pub text: String,
    /// Where in the dump.
    pub source: Source,
}

/// A cycle of threads that wait for each other.
#[derive(Clone, Debug)]
pub struct Deadlock<'data> {
    /// Threads in the order of the cycle: each waits for a lock that the next one holds.
    pub threads: Vec<DeadlockThread<'data>>,
}

/// A thread of a cycle.
#[derive(Clone, Debug)]
pub struct DeadlockThread<'data> {
    /// Thread.
    pub id: ThreadId,
    /// Its name.
    pub name: Option<Text<'data>>,
    /// Where it waits.
    pub at: Option<Place<'data>>,
    /// What it holds.
    pub holds: Vec<Lock<'data>>,
    /// What it waits for; of a join, the end of the thread by that name.
    pub waits_for: Lock<'data>,
    /// What kind of wait.
    pub kind: WaitKind,
}

/// Whether this dump can answer the question.
#[derive(Clone, Debug, Default)]
pub struct Suitability {
    /// Right, partial or wrong.
    pub status: SuitabilityStatus,
    /// Why.
    pub why: String,
    /// What to take instead or in addition.
    pub take_instead: Vec<Command>,
}

/// Whether a dump is the right one for its symptom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SuitabilityStatus {
    /// It answers the question.
    Right,
    /// It answers a part of it.
    #[default]
    Partial,
    /// It can not answer it.
    Wrong,
}

impl SuitabilityStatus {
    /// The word in the JSON contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::Partial => "partial",
            Self::Wrong => "wrong",
        }
    }
}

/// A dump to take, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command {
    /// What it gives.
    pub what: String,
    /// The exact command.
    pub command: String,
    /// What it costs: how long the process stands still, how much disk it takes, what it needs. Empty when that is nothing.
    pub cost: String,
}

/// What the dump says, in one breath and in detail.
#[derive(Clone, Debug, Default)]
pub struct Verdict<'data> {
    /// What kind of failure.
    pub symptom: Symptom,
    /// What in the dump shows that kind of failure, strongest first.
    pub evidence: Vec<Evidence<'data>>,
    /// What the user said it was, against the evidence.
    pub claim: Option<crate::advice::Claim>,
    /// One sentence.
    pub headline: String,
    /// How sure the headline is.
    pub confidence: Confidence,
    /// Whether this was the right dump.
    pub suitability: Suitability,
    /// The victim.
    pub crash_site: Option<Place<'data>>,
    /// Where the bad value was born.
    pub origin: Option<Origin<'data>>,
    /// Findings in rank order.
    pub findings: Vec<Finding<'data>>,
    /// Proven cycles.
    pub deadlocks: Vec<Deadlock<'data>>,
}
