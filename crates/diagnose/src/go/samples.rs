//! Literal Go dumps for the tests of rules.

use necropsy_model::go::{GoArgument, GoFacts, GoForm, GoLine, GoPanic, GoSample, GoSignal, GoWait};
use necropsy_model::{
    Activity, Finding, Frame, FrameKind, Group, Groups, Location, Snapshot, Source, Stack, State, Stop, Thread,
    ThreadFlags, ThreadId, WaitKind, WaitSpread,
};

use crate::{Case, Rule};

/// A dump that is made group by group.
pub(crate) struct Dump {
    pub snapshot: Snapshot<'static>,
    pub groups: Groups,
}

impl Dump {
    /// A dump without goroutines.
    pub(crate) fn new(form: GoForm) -> Self {
        let facts = GoFacts { form, ..GoFacts::default() };
        let snapshot = Snapshot { go: Some(Box::new(facts)), ..Snapshot::default() };
        Self { snapshot, groups: Groups::default() }
    }

    /// A process that the runtime found with all goroutines blocked.
    pub(crate) fn asleep() -> Self {
        Self::fatal("all goroutines are asleep - deadlock!")
    }

    /// A process that the runtime ended with these words.
    pub(crate) fn fatal(text: &'static str) -> Self {
        let mut dump = Self::new(GoForm::Fatal);
        dump.facts().fatal = Some(GoLine { text: text.into(), source: Source::line(1) });
        dump.snapshot.stop = Some(Stop { thread: Some(0), ..Stop::default() });
        dump
    }

    /// A process that a panic ended; its goroutine is the first to be added.
    pub(crate) fn panic(value: &'static str) -> Self {
        let mut dump = Self::new(GoForm::Panic);
        let panic = GoPanic { value: value.into(), recovered: false, repanicked: false, source: Source::line(1) };
        dump.facts().panics.push(panic);
        dump.snapshot.stop = Some(Stop { thread: Some(0), ..Stop::default() });
        dump
    }

    pub(crate) fn facts(&mut self) -> &mut GoFacts<'static> {
        self.snapshot.go.as_mut().unwrap()
    }

    /// The line of a signal.
    pub(crate) fn signal(mut self, name: &'static str, address: u64, in_c: bool) -> Self {
        let (name, source) = (name.into(), Source::line(2));
        self.facts().signal =
            Some(GoSignal { name, code: Some(1), address: Some(address), pc: Some(0x40_1000), in_c, source });
        self
    }

    /// So many goroutines in a state, with these calls, innermost first.
    pub(crate) fn add(mut self, count: u32, state: &'static str, calls: &[&'static str]) -> Self {
        let snapshot = &mut self.snapshot;
        let frames: Vec<_> = (1..)
            .zip(calls)
            .map(|(line, &call)| {
                let mut frame = Frame::printed(call, Some(Location::new("jobs.go", Some(line))));
                let package = call.split('.').next().unwrap_or_default();
                if matches!(package, "runtime" | "sync" | "internal/sync" | "time" | "panic" | "internal/poll") {
                    frame.kind = FrameKind::Runtime;
                }
                snapshot.add_frame(frame).unwrap()
            })
            .collect();
        let stack = snapshot.add_stack(Stack { frames, ..Stack::default() });
        let activity = activity(state);
        let state = snapshot.intern_state(State { text: state.into(), activity });
        let first = snapshot.threads.len() as u32;
        for number in first..first + count {
            let mut thread = Thread::new(ThreadId(u64::from(number) + 1), Source::line(u64::from(number) + 3));
            (thread.stack, thread.state) = (stack, state);
            snapshot.threads.push(thread);
        }
        let waits = snapshot.stacks.len();
        self.facts().stack_waits.resize(waits, None);
        self.groups.groups.push(Group {
            signature: String::new(),
            threads: (first..first + count).collect(),
            state,
            stack,
            created_by: None,
            waited: None,
            background: activity == Activity::Idle,
            title: None,
        });
        self
    }

    fn last(&mut self) -> &mut Group {
        self.groups.groups.last_mut().unwrap()
    }

    /// Who created the last group.
    pub(crate) fn created_by(mut self, name: &'static str) -> Self {
        let frame = self.snapshot.add_frame(Frame::printed(name, Some(Location::new("jobs.go", Some(40)))));
        self.last().created_by = frame;
        self
    }

    /// How long the last group has waited, in minutes.
    pub(crate) fn waited(mut self, min: u64, max: u64) -> Self {
        let group = self.last();
        let known = group.threads.len();
        group.waited = Some(WaitSpread { min_s: min * 60, median_s: (min + max) * 30, max_s: max * 60, known });
        self
    }

    /// What the last group waits for.
    pub(crate) fn waits_for(mut self, kind: WaitKind, address: u64) -> Self {
        let (stack, threads) = (self.last().stack.unwrap(), self.last().threads.clone());
        self.facts().stack_waits[stack.index()] = Some(kind);
        self.facts().waits.extend(threads.into_iter().map(|thread| GoWait { thread, address }));
        self
    }

    /// Arguments of the first goroutine of the last group: frame, place in the list, value.
    pub(crate) fn arguments(mut self, arguments: &[(u16, u16, u64)]) -> Self {
        let (stack, thread) = (self.last().stack, self.last().threads[0]);
        let arguments = arguments.iter();
        let arguments =
            arguments.map(|&(frame, position, value)| GoArgument { frame, position, value, stale: false }).collect();
        self.facts().samples.push(GoSample { thread, stack, arguments });
        self
    }

    /// The collector proved that the last group can not go on.
    pub(crate) fn leaked(mut self) -> Self {
        for at in self.last().threads.clone() {
            self.snapshot.threads[at as usize].flags = ThreadFlags::LEAKED;
        }
        self.facts().leak_profile = true;
        self
    }

    /// What a rule finds; each finding must be complete.
    pub(crate) fn findings(&self, rule: &Rule) -> Vec<Finding<'static>> {
        let findings =
            (rule.check)(&Case { snapshot: &self.snapshot, groups: &self.groups, noise: &crate::Noise::default() });
        for finding in &findings {
            assert_eq!(finding.rule, rule.id);
            assert!(
                !finding.title.is_empty() && !finding.evidence.is_empty() && !finding.next.is_empty(),
                "{finding:?}"
            );
        }
        findings
    }

    /// The rule fires.
    pub(crate) fn fires(&self, rule: &Rule) -> bool {
        !self.findings(rule).is_empty()
    }
}

/// What states mean; the reader's table is not to be had here.
fn activity(state: &str) -> Activity {
    match state {
        "IO wait" => Activity::Io,
        "sleep" => Activity::Sleep,
        "syscall" => Activity::Syscall,
        "running" => Activity::Running,
        "runnable" => Activity::Runnable,
        "force gc (idle)" | "finalizer wait" => Activity::Idle,
        "sync.Mutex.Lock" | "sync.RWMutex.Lock" | "sync.RWMutex.RLock" | "semacquire" => Activity::Lock,
        _ if state.ends_with("(nil chan)") || state == "select (no cases)" => Activity::Never,
        _ => Activity::Signal,
    }
}
