//! Two dumps for machines: `docs/json-diff.md` is the contract.

use necropsy_model::{self as model, Motion, Snapshot};
use serde::Serialize;

use super::parts::{Input, Process, Source};
use super::verdict::{Place, Suitability};
use crate::PairReport;

/// Name and version of the contract.
pub(super) const SCHEMA: &str = "necropsy-diff/1";

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Document<'a> {
    /// Name and version of this contract
    schema: &'static str,
    /// The earlier dump
    before: Side<'a>,
    /// The later dump
    after: Side<'a>,
    /// Which dump is the earlier one: as-given, turned or not-told
    order: &'static str,
    /// Time between the dumps
    elapsed: Option<Elapsed>,
    /// Whether both are of one process
    same_process: SameProcess<'a>,
    /// Threads can be told one from the other; profiles only count them
    by_thread: bool,
    /// What they say together
    verdict: Verdict<'a>,
    /// Who owns the place that the verdict names, by the configuration file
    owner: Option<&'a str>,
    /// What the rules found, in rank order
    findings: Vec<Finding<'a>>,
    /// Threads in numbers
    counts: Counts,
    /// CPU time of all threads that are in both, in milliseconds
    cpu_ms: Option<u64>,
    /// Threads that are in both: those that moved, with --threads all
    threads: Vec<Thread<'a>>,
    /// Numbers of the threads that are only in the later dump
    new: Vec<u64>,
    /// Numbers of the threads that are only in the earlier dump
    gone: Vec<u64>,
    /// Groups of both dumps, the largest change first
    groups: Vec<Group<'a>>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Side<'a> {
    /// As in the report of one dump
    input: Input<'a>,
    /// As in the report of one dump
    process: Process<'a>,
    /// Threads in the dump
    thread_count: usize,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Elapsed {
    /// Time between the dumps, in milliseconds
    ms: u64,
    /// Where it is known from: thread-ages, times-taken or waiting-times (to a minute)
    basis: &'static str,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct SameProcess<'a> {
    /// Whether both are of one process: yes, likely, not-told or no
    answer: &'static str,
    /// What that rests on
    because: &'a [String],
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Verdict<'a> {
    /// Kind of failure: hang-idle, hang-busy, out-of-memory or unclear
    symptom: &'static str,
    /// One sentence
    headline: &'a str,
    /// How sure the headline is: high, medium or low
    confidence: &'static str,
    /// As in the report of one dump
    suitability: Suitability<'a>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Finding<'a> {
    /// Rule that found it
    rule: &'static str,
    /// How much it matters: critical, warning or note
    severity: &'static str,
    /// How sure it is: high, medium or low
    confidence: &'static str,
    /// One sentence
    title: &'a str,
    /// Where, in the later dump; as in the report of one dump
    places: Vec<Place<'a>>,
    /// What it rests on
    evidence: Vec<Evidence<'a>>,
    /// Numbers of the threads it is about, at most 20
    threads: Vec<u64>,
    /// What to do next
    next: &'a [String],
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Evidence<'a> {
    /// One phrase
    text: &'a str,
    /// Where in the earlier dump
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    before: Option<Source>,
    /// Where in the later dump
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    after: Option<Source>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Counts {
    /// Threads that are in both dumps
    both: usize,
    /// Of these, threads that stand where they stood and were not awake
    still: usize,
    /// Threads that are only in the later dump
    new: usize,
    /// Threads that are only in the earlier dump
    gone: usize,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Thread<'a> {
    /// Number of the thread
    id: u64,
    /// Its name
    name: Option<&'a str>,
    /// How its stack changed: same-stack, same-functions, moved or not-told
    motion: &'static str,
    /// Same stack, same state, and nothing says that it was awake in between
    still: bool,
    /// Its state, or what it waits for, changed
    state_changed: bool,
    /// Its waiting time began anew
    woke: bool,
    /// CPU time it used between the dumps, in milliseconds
    cpu_ms: Option<u64>,
    /// Outermost frames that are the same in both
    common_frames: u32,
    /// Its state in the earlier dump
    state_before: Option<&'a str>,
    /// Its state in the later dump
    state_after: Option<&'a str>,
    /// Functions of its stack in the earlier dump, innermost first; the same as in the later one when the motion is same-stack
    stack_before: Vec<String>,
    /// Functions of its stack in the later dump
    stack_after: Vec<String>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Group<'a> {
    /// Signature, as in the report of one dump
    signature: &'a str,
    /// Threads in the earlier dump
    before: usize,
    /// Threads in the later dump
    after: usize,
    /// Threads of the earlier dump that are still in it; null where threads can not be told apart
    stayed: Option<usize>,
    /// Idle workers or helpers of the runtime
    background: bool,
    /// State its members share
    state: Option<&'a str>,
    /// Functions of its stack, innermost first, with their lines
    stack: Vec<String>,
}

fn ms(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn state<'a>(snapshot: &'a Snapshot<'_>, thread: &model::Thread<'_>) -> Option<&'a str> {
    thread.state.and_then(|id| snapshot.state(id)).map(|state| &*state.text)
}

/// `parse shop.c:20`, innermost first.
fn stack(snapshot: &Snapshot<'_>, thread: &model::Thread<'_>) -> Vec<String> {
    let told = |frame: &model::Frame<'_>| {
        let module = || frame.module.and_then(|id| snapshot.module(id)).map(|module| module.name().to_owned());
        let name = frame.function.as_deref().map(str::to_owned).or_else(module).unwrap_or_else(|| "?".to_owned());
        match &frame.location {
            Some(model::Location { line: Some(line), .. }) => {
                format!("{name} {}:{line}", frame.location.as_ref().map_or("", |at| at.file_name()))
            }
            _ => name,
        }
    };
    snapshot.frames_of(thread).map(told).collect()
}

impl<'a> Document<'a> {
    pub(super) fn new(report: &PairReport<'a, '_>, all: bool) -> Self {
        let PairReport { before, after, comparison, verdict, owner } = *report;
        let side = |(input, snapshot): (&'a crate::Input, &'a Snapshot<'_>)| Side {
            input: Input::new(input, snapshot),
            process: Process::new(&snapshot.process),
            thread_count: snapshot.threads.len(),
        };
        let ids = |snapshot: &Snapshot<'_>, threads: &[u32]| {
            threads.iter().filter_map(|&at| snapshot.threads.get(at as usize)).map(|thread| thread.id.0).collect()
        };
        Self {
            schema: SCHEMA,
            before: side(before),
            after: side(after),
            order: comparison.order.name(),
            elapsed: comparison.elapsed.map(|elapsed| Elapsed { ms: ms(elapsed.time), basis: elapsed.basis.name() }),
            same_process: SameProcess {
                answer: comparison.identity.same.name(),
                because: &comparison.identity.because,
            },
            by_thread: comparison.by_thread,
            verdict: Verdict {
                symptom: verdict.symptom.name(),
                headline: &verdict.headline,
                confidence: verdict.confidence.name(),
                suitability: Suitability::new(&verdict.suitability),
            },
            owner,
            findings: verdict.findings.iter().map(Finding::new).collect(),
            counts: Counts {
                both: comparison.pairs.len(),
                still: comparison.pairs.iter().filter(|pair| pair.is_stuck()).count(),
                new: comparison.new.len(),
                gone: comparison.gone.len(),
            },
            cpu_ms: comparison.cpu.map(ms),
            threads: comparison
                .pairs
                .iter()
                .filter(|pair| all || !pair.is_stuck())
                .filter_map(|pair| Thread::new(pair, before.1, after.1))
                .collect(),
            new: ids(after.1, &comparison.new),
            gone: ids(before.1, &comparison.gone),
            groups: comparison
                .groups
                .iter()
                .filter(|change| all || change.change() != 0)
                .map(|change| Group::new(change, report))
                .collect(),
        }
    }
}

impl<'a> Finding<'a> {
    fn new(finding: &'a model::PairFinding<'_>) -> Self {
        let evidence = |it: &'a model::PairEvidence| Evidence {
            text: &it.text,
            before: it.before.map(super::parts::Shown),
            after: it.after.map(super::parts::Shown),
        };
        Self {
            rule: finding.rule,
            severity: finding.severity.name(),
            confidence: finding.confidence.name(),
            title: &finding.title,
            places: finding.places.iter().map(Place::new).collect(),
            evidence: finding.evidence.iter().map(evidence).collect(),
            threads: finding.threads.iter().map(|id| id.0).collect(),
            next: &finding.next,
        }
    }
}

impl<'a> Thread<'a> {
    fn new(pair: &model::Pair, before: &'a Snapshot<'_>, after: &'a Snapshot<'_>) -> Option<Self> {
        let was = before.threads.get(pair.before as usize)?;
        let is = after.threads.get(pair.after as usize)?;
        let moved = pair.motion != Motion::Still;
        Some(Self {
            id: is.id.0,
            name: is.name(),
            motion: pair.motion.name(),
            still: pair.is_stuck(),
            state_changed: pair.state_changed,
            woke: pair.woke,
            cpu_ms: pair.cpu.map(ms),
            common_frames: pair.common,
            state_before: state(before, was),
            state_after: state(after, is),
            stack_before: if moved { stack(before, was) } else { Vec::new() },
            stack_after: stack(after, is),
        })
    }
}

impl<'a> Group<'a> {
    fn new(change: &'a model::GroupChange, report: &PairReport<'a, '_>) -> Self {
        let snapshot = crate::text::example_of(change, report);
        let thread = snapshot.threads.get(change.example as usize);
        Self {
            signature: &change.signature,
            before: change.before,
            after: change.after,
            stayed: report.comparison.by_thread.then_some(change.stayed),
            background: change.background,
            state: thread.and_then(|thread| state(snapshot, thread)),
            stack: thread.map(|thread| stack(snapshot, thread)).unwrap_or_default(),
        }
    }
}
