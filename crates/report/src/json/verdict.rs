//! Verdict, findings, places, origin and deadlocks.

use necropsy_model as model;
use serde::Serialize;

use super::parts::{Hex, Shown, Source};

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Verdict<'a> {
    /// Kind of failure: native-crash, managed-crash, out-of-memory, hang-idle, hang-busy or unclear
    symptom: &'static str,
    /// One sentence
    headline: &'a str,
    /// How sure the headline is: high, medium or low
    confidence: &'static str,
    /// What in the dump shows the symptom, strongest first
    evidence: Vec<Evidence<'a>>,
    /// What the user said it was (--symptom), against the evidence
    claim: Option<Claim<'a>>,
    suitability: Suitability<'a>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Claim<'a> {
    /// What the user said: crash, oom, hang, hang-idle or hang-busy
    symptom: &'static str,
    /// How it stands: confirmed, contradicted or open
    standing: &'static str,
    /// How sure that is: high, medium or low
    confidence: &'static str,
    /// Why
    why: &'a str,
    /// The dumps that serve the claim, where this one does not
    take: Vec<Command<'a>>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Suitability<'a> {
    /// Whether this was the right dump for the symptom: right, partial or wrong
    status: &'static str,
    /// Why
    why: &'a str,
    /// What to take instead or in addition
    take_instead: Vec<Command<'a>>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Command<'a> {
    /// What it gives
    what: &'a str,
    /// The exact command
    command: &'a str,
    /// What it costs: pause, disk, what it needs; empty when that is nothing
    cost: &'a str,
}

impl<'a> Command<'a> {
    pub(super) fn all(commands: &'a [model::Command]) -> Vec<Self> {
        commands.iter().map(|it| Self { what: &it.what, command: &it.command, cost: &it.cost }).collect()
    }
}

impl<'a> Verdict<'a> {
    pub(super) fn new(verdict: &'a model::Verdict<'_>) -> Self {
        let evidence = verdict.evidence.iter().map(|it| Evidence { text: &it.text, source: Shown(it.source) });
        let claim = verdict.claim.as_ref().map(|claim| Claim {
            symptom: claim.complaint.name(),
            standing: claim.standing.name(),
            confidence: claim.confidence.name(),
            why: &claim.why,
            take: Command::all(&claim.take),
        });
        Self {
            symptom: verdict.symptom.name(),
            headline: &verdict.headline,
            confidence: verdict.confidence.name(),
            evidence: evidence.collect(),
            claim,
            suitability: Suitability::new(&verdict.suitability),
        }
    }
}

impl<'a> Suitability<'a> {
    pub(super) fn new(suitability: &'a model::Suitability) -> Self {
        Self {
            status: suitability.status.name(),
            why: &suitability.why,
            take_instead: Command::all(&suitability.take_instead),
        }
    }
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Place<'a> {
    /// Thread
    thread: Option<u64>,
    /// Number of the frame in its stack, 0 innermost; null when the place is no longer on a stack
    frame: Option<usize>,
    /// Function
    function: Option<&'a str>,
    /// Path of the module
    module: Option<&'a str>,
    /// Address in the module's file; there only where the function has no name
    #[serde(skip_serializing_if = "Option::is_none")]
    module_offset: Option<Hex>,
    /// Source file
    file: Option<&'a str>,
    /// Line, from 1
    line: Option<u32>,
    /// Text of that line, where the source file is at hand
    line_text: Option<&'a str>,
    /// The function was inlined
    inlined: bool,
    /// How the frame was found
    trust: Option<&'static str>,
    /// What it is to the finding: victim, origin, gate, handed-through, waiter, holder or related
    role: &'static str,
}

impl<'a> Place<'a> {
    pub(super) fn new(place: &'a model::Place<'_>) -> Self {
        let location = place.location.as_ref();
        Self {
            thread: place.thread.map(|id| id.0),
            frame: place.frame,
            function: place.function.as_deref(),
            module: place.module.as_deref(),
            module_offset: place.svma.map(|svma| Hex(svma.0)),
            file: location.map(|location| &*location.file),
            line: location.and_then(|location| location.line),
            line_text: location.and_then(|location| location.text.as_deref()),
            inlined: place.inlined,
            trust: place.trust.map(model::Trust::name),
            role: place.role.name(),
        }
    }
}

/// Where the bad value was born; the gate's place when the birth is unknown
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Origin<'a> {
    #[serde(flatten)]
    birth: Place<'a>,
    /// Kind of birth, or unknown
    kind: &'a str,
    /// The bad value
    value: Option<&'a str>,
    /// How sure: high, medium or low
    confidence: &'static str,
    /// Kind of evidence, best first: A, A-, B, C or D
    grade: &'static str,
    /// What the grade rests on
    why: &'a str,
    /// What was not looked at
    not_checked: &'a [String],
    /// Where the value was let in unchecked
    gate: Option<Place<'a>>,
    /// Frames that only passed the value on
    handed_through: Vec<Place<'a>>,
    /// Other explanations, at most three
    alternatives: Vec<Place<'a>>,
    /// How the value was traced, from the crash back
    trail: Vec<TrailStep<'a>>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct TrailStep<'a> {
    place: Place<'a>,
    /// Kind of step
    step: &'static str,
    /// One phrase
    text: &'a str,
    /// Where in the dump
    source: Source,
}

impl<'a> Origin<'a> {
    pub(super) fn new(origin: &'a model::Origin<'_>) -> Self {
        let trail = origin.trail.iter().map(|step| TrailStep {
            place: Place::new(&step.place),
            step: step.step,
            text: &step.text,
            source: Shown(step.source),
        });
        Self {
            birth: Place::new(&origin.birth),
            kind: &origin.kind,
            value: origin.value.as_deref(),
            confidence: origin.confidence.name(),
            grade: origin.grade.name(),
            why: &origin.why,
            not_checked: &origin.not_checked,
            gate: origin.gate.as_ref().map(Place::new),
            handed_through: origin.handed_through.iter().map(Place::new).collect(),
            alternatives: origin.alternatives.iter().map(Place::new).collect(),
            trail: trail.collect(),
        }
    }
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Finding<'a> {
    /// Id of the rule
    rule: &'static str,
    /// How much it matters: critical, warning or note
    severity: &'static str,
    /// How sure it is: high, medium or low
    confidence: &'static str,
    /// One sentence
    title: &'a str,
    /// Victim first
    places: Vec<Place<'a>>,
    /// Strongest first
    evidence: Vec<Evidence<'a>>,
    /// What to do next
    next: &'a [String],
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Evidence<'a> {
    /// One phrase
    text: &'a str,
    /// Where in the dump
    source: Source,
}

impl<'a> Finding<'a> {
    pub(super) fn new(finding: &'a model::Finding<'_>) -> Self {
        let evidence = finding.evidence.iter();
        Self {
            rule: finding.rule,
            severity: finding.severity.name(),
            confidence: finding.confidence.name(),
            title: &finding.title,
            places: finding.places.iter().map(Place::new).collect(),
            evidence: evidence.map(|it| Evidence { text: &it.text, source: Shown(it.source) }).collect(),
            next: &finding.next,
        }
    }
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Deadlock<'a> {
    /// In the order of the cycle: each waits for a lock that the next one holds
    threads: Vec<DeadlockThread<'a>>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct DeadlockThread<'a> {
    /// Thread
    id: u64,
    /// Its name
    name: Option<&'a str>,
    /// Where it waits
    at: Option<Place<'a>>,
    /// What it holds
    holds: Vec<Lock<'a>>,
    waits_for: Lock<'a>,
}

impl<'a> Deadlock<'a> {
    pub(super) fn new(deadlock: &'a model::Deadlock<'_>) -> Self {
        let threads = deadlock.threads.iter().map(|thread| DeadlockThread {
            id: thread.id.0,
            name: thread.name.as_deref(),
            at: thread.at.as_ref().map(Place::new),
            holds: thread.holds.iter().map(Lock::new).collect(),
            waits_for: Lock::new(&thread.waits_for),
        });
        Self { threads: threads.collect() }
    }
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Lock<'a> {
    /// Address or identity number; equal ones in one dump are one lock
    id: Hex,
    /// Class, type or variable name
    name: Option<&'a str>,
}

impl<'a> Lock<'a> {
    pub(super) fn new(lock: &'a model::Lock<'_>) -> Self {
        Self { id: Hex(lock.id), name: lock.name.as_deref() }
    }
}
