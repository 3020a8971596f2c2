//! Literal pairs of dumps for the tests of the rules.

use std::time::Duration;

use necropsy_model::{
    Activity, Comparison, Elapsed, ElapsedBasis, Frame, GroupChange, Identification, Location, Motion, Order, Pair,
    PairFinding, PairVerdict, SameProcess, Snapshot, Source, Stack, State, Thread, ThreadFlags, ThreadId, Verdict,
    Wait, WaitKind, go::GoFacts, jvm::JvmFacts,
};

use super::{PairCase, PairRule, Told, diagnose};

/// Two dumps, laid over each other by hand.
pub(super) struct Sample {
    pub dumps: (Snapshot<'static>, Snapshot<'static>),
    pub verdicts: (Verdict<'static>, Verdict<'static>),
    pub comparison: Comparison,
}

impl Sample {
    fn new(before: Snapshot<'static>, after: Snapshot<'static>, pairs: Vec<Pair>) -> Self {
        let cpu = pairs.iter().filter_map(|pair| pair.cpu).reduce(Duration::saturating_add);
        let comparison = Comparison {
            order: Order::AsGiven,
            elapsed: Some(Elapsed { time: Duration::from_secs(10), basis: ElapsedBasis::ThreadAges }),
            identity: Identification { same: SameProcess::Yes, because: Vec::new() },
            by_thread: true,
            pairs,
            cpu,
            ..Comparison::default()
        };
        Self { dumps: (before, after), verdicts: <_>::default(), comparison }
    }

    fn case(&self) -> PairCase<'_, 'static> {
        PairCase {
            before: Told { snapshot: &self.dumps.0, verdict: &self.verdicts.0 },
            after: Told { snapshot: &self.dumps.1, verdict: &self.verdicts.1 },
            comparison: &self.comparison,
        }
    }

    pub(super) fn found(&self, rule: &PairRule) -> Vec<PairFinding<'static>> {
        (rule.check)(&self.case())
    }

    pub(super) fn verdict(&self) -> PairVerdict<'static> {
        diagnose(&self.case())
    }

    pub(super) fn headline(&self) -> String {
        self.verdict().headline
    }
}

/// Adds a thread with this stack, innermost first.
fn add<'s>(
    snapshot: &'s mut Snapshot<'static>,
    id: u64,
    name: &str,
    activity: Activity,
    stack: &[(&'static str, u32)],
) -> &'s mut Thread<'static> {
    let mut thread = Thread::new(ThreadId(id), Source::line(id));
    let mut frames = Vec::new();
    for &(function, line) in stack {
        frames.extend(snapshot.add_frame(Frame::printed(function, Some(Location::new("shop.c", Some(line))))));
    }
    thread.stack = snapshot.add_stack(Stack { frames, ..Stack::default() });
    let text = if activity == Activity::Running { "RUNNABLE" } else { "WAITING" };
    thread.state = snapshot.intern_state(State { text: text.into(), activity });
    thread.detail_mut().name = Some(name.to_owned().into());
    snapshot.threads.push(thread);
    let last = snapshot.threads.len() - 1;
    &mut snapshot.threads[last]
}

fn still(at: u32, cpu_ms: u64) -> Pair {
    Pair {
        before: at,
        after: at,
        motion: Motion::Still,
        common: 2,
        state_changed: false,
        cpu: Some(Duration::from_millis(cpu_ms)),
        woke: false,
    }
}

const WAITS: &[(&str, u32)] = &[("acquire", 88), ("run", 7)];

fn waiting(count: u64) -> Snapshot<'static> {
    let mut snapshot = Snapshot { jvm: Some(Box::new(JvmFacts::default())), ..Snapshot::default() };
    for id in 1..=count {
        add(&mut snapshot, id, &format!("worker-{id}"), Activity::Signal, WAITS);
    }
    snapshot
}

/// So many threads that wait, and nobody moves.
pub(super) fn stuck(count: u32) -> Sample {
    let dump = waiting(u64::from(count));
    Sample::new(dump.clone(), dump, (0..count).map(|at| still(at, 0)).collect())
}

/// Two threads that wait, and one that computes: its CPU time, and its stack in the second dump.
pub(super) fn burning(cpu_ms: Option<u64>, stack: &[(&'static str, u32)]) -> Sample {
    let (mut before, mut after) = (waiting(2), waiting(2));
    add(&mut before, 3, "parser", Activity::Running, &[("skip", 4), ("parse", 20), ("run", 7)]);
    add(&mut after, 3, "parser", Activity::Running, stack);
    let cpu = cpu_ms.map(Duration::from_millis);
    let (motion, idle) = (Motion::Moved, Pair::AWAKE.as_millis() as u64 / 10);
    let parser = Pair { motion, cpu, ..still(2, 0) };
    let mut sample = Sample::new(before, after, vec![still(0, idle), still(1, idle), parser]);
    if cpu_ms.is_none() {
        sample.comparison.pairs.iter_mut().for_each(|pair| pair.cpu = None);
        sample.comparison.cpu = None;
        sample.comparison.pairs[2].motion = Motion::WithinFunctions;
    }
    sample
}

/// One group, with threads of these numbers before and after.
pub(super) fn growing(was: std::ops::Range<u64>, is: std::ops::Range<u64>) -> Sample {
    let dump = |ids: &std::ops::Range<u64>| {
        let mut snapshot = Snapshot::default();
        for id in ids.clone() {
            add(&mut snapshot, id, "worker", Activity::Signal, WAITS);
        }
        snapshot
    };
    let stayed = was.clone().filter(|id| is.contains(id)).count();
    let mut sample = Sample::new(dump(&was), dump(&is), Vec::new());
    sample.comparison.groups.push(GroupChange {
        signature: "0".repeat(16),
        before: was.count(),
        after: is.count(),
        stayed,
        example: 0,
        background: false,
    });
    sample
}

/// Two threads wait for a lock: held by the thread of this number before, and of this one after.
pub(super) fn queue(was: u64, is: u64) -> Sample {
    let dump = |owner| {
        let mut snapshot = waiting(4);
        for thread in &mut snapshot.threads[2..] {
            let owner = Some(ThreadId(owner));
            let source = Source::line(1);
            thread.detail_mut().waits_on =
                Some(Wait { kind: WaitKind::Lock, lock: None, owner, limited: false, source });
        }
        snapshot
    };
    Sample::new(dump(was), dump(is), (0..4).map(|at| still(at, 0)).collect())
}

/// A thread of the collector that used so much CPU.
pub(super) fn collecting(cpu_ms: u64) -> Sample {
    let dump = || {
        let mut snapshot = waiting(2);
        add(&mut snapshot, 3, "GC Thread#0", Activity::Unknown, &[]).flags = ThreadFlags::SYSTEM;
        snapshot
    };
    let collector = Pair { motion: Motion::NotTold, common: 0, ..still(2, cpu_ms) };
    Sample::new(dump(), dump(), vec![still(0, 0), still(1, 0), collector])
}

/// Goroutines, one of which prints the dump.
pub(super) fn printing() -> Sample {
    let mut snapshot = Snapshot { go: Some(Box::new(GoFacts::default())), ..Snapshot::default() };
    add(&mut snapshot, 1, "", Activity::Running, &[("runtime/pprof.writeGoroutineStacks", 1), ("main.main", 9)]);
    add(&mut snapshot, 2, "", Activity::Signal, WAITS);
    let pairs = (0..2).map(|at| Pair { cpu: None, ..still(at, 0) }).collect();
    Sample::new(snapshot.clone(), snapshot, pairs)
}
