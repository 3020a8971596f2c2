//! Threads and groups. Both lists are written as they are walked: a dump may hold a million threads.

use std::collections::BTreeMap;

use necropsy_model::{self as model, Snapshot, ThreadFlags};
use serde::{Serialize, Serializer};

use super::frame::{Frame, Gap, Stack};
use super::parts::{Hex, Shown, Source};
use super::verdict::Lock;

/// Marks of a thread by name.
const FLAGS: [(ThreadFlags, &str); 5] = [
    (ThreadFlags::LOCKED, "locked"),
    (ThreadFlags::LEAKED, "leaked"),
    (ThreadFlags::DAEMON, "daemon"),
    (ThreadFlags::VIRTUAL, "virtual"),
    (ThreadFlags::SYSTEM, "system"),
];

/// All threads.
pub(super) struct Threads<'a> {
    snapshot: &'a Snapshot<'a>,
    /// Signature of each thread's group, by index of the thread.
    signatures: Vec<Option<&'a str>>,
}

impl<'a> Threads<'a> {
    pub(super) fn new(snapshot: &'a Snapshot<'_>, groups: &'a model::Groups) -> Self {
        let mut signatures = vec![None; snapshot.threads.len()];
        for group in &groups.groups {
            for &index in &group.threads {
                if let Some(signature) = signatures.get_mut(index as usize) {
                    *signature = Some(group.signature.as_str());
                }
            }
        }
        Self { snapshot, signatures }
    }
}

impl Serialize for Threads<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let threads = self.snapshot.threads.iter().zip(&self.signatures);
        serializer.collect_seq(threads.map(|(thread, &group)| Thread::new(thread, group, self.snapshot)))
    }
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Thread<'a> {
    /// Id in the dump: kernel tid, goroutine id, Java thread number
    id: u64,
    /// Kernel thread id, where the id is another number
    os_id: Option<u64>,
    /// Name
    name: Option<&'a str>,
    /// State in the dump's own word
    state: Option<&'a str>,
    /// What it does: running, runnable, syscall, lock, signal, io, sleep, idle, never or unknown
    activity: &'static str,
    /// Seconds it has waited at least
    waited_s: Option<u64>,
    /// CPU time used, in milliseconds
    cpu_ms: Option<u64>,
    /// Time since it started, in milliseconds
    elapsed_ms: Option<u64>,
    /// Priority as printed
    priority: Option<i32>,
    /// Marks: locked, leaked, daemon, virtual, system
    flags: Vec<&'static str>,
    /// Labels by key
    labels: BTreeMap<&'a str, &'a str>,
    /// Signature of its group
    group: Option<&'a str>,
    /// Number of the system call it was in
    syscall: Option<u64>,
    /// Locks it holds
    holds: Vec<Lock<'a>>,
    waits_on: Option<Wait<'a>>,
    /// Function whose call created it
    created_by: Option<&'a str>,
    /// Thread that created it
    created_in: Option<u64>,
    /// The carrier, or the virtual thread it carries
    carries: Option<u64>,
    /// Its stack, innermost frame first
    frames: Vec<Frame<'a>>,
    gap: Option<Gap>,
    /// Why the stack ends early
    stack_broken: Option<&'a str>,
    /// Registers of the innermost frame by name
    registers: Option<BTreeMap<&'static str, Hex>>,
    /// Base of its thread-local storage
    tls_base: Option<Hex>,
    /// Where in the dump
    source: Source,
}

impl<'a> Thread<'a> {
    fn new(thread: &'a model::Thread<'_>, group: Option<&'a str>, snapshot: &'a Snapshot<'_>) -> Self {
        let detail = thread.detail.as_deref();
        let state = thread.state.and_then(|id| snapshot.state(id));
        let stack = Stack::new(thread.stack.and_then(|id| snapshot.stack(id)), snapshot);
        let labels = thread.labels.map(|id| snapshot.label_set(id)).unwrap_or_default();
        Self {
            id: thread.id.0,
            os_id: detail.and_then(|detail| detail.os_id),
            name: thread.name(),
            state: state.map(|state| &*state.text),
            activity: snapshot.activity(thread).name(),
            waited_s: thread.waited().map(|waited| waited.as_secs()),
            cpu_ms: detail.and_then(|detail| detail.cpu).map(milliseconds),
            elapsed_ms: detail.and_then(|detail| detail.elapsed).map(milliseconds),
            priority: detail.and_then(|detail| detail.priority),
            flags: FLAGS.iter().filter(|(flag, _)| thread.flags.contains(*flag)).map(|&(_, name)| name).collect(),
            labels: labels.iter().map(|(key, value)| (&**key, &**value)).collect(),
            group,
            syscall: detail.and_then(|detail| detail.syscall),
            holds: detail.map(|detail| detail.holds.iter().map(Lock::new).collect()).unwrap_or_default(),
            waits_on: detail.and_then(|detail| detail.waits_on.as_ref()).map(Wait::new),
            created_by: thread.created_by.and_then(|id| snapshot.frame(id)?.function.as_deref()),
            created_in: detail.and_then(|detail| detail.created_in).map(|id| id.0),
            carries: detail.and_then(|detail| detail.carries).map(|id| id.0),
            frames: stack.frames,
            gap: stack.gap,
            stack_broken: stack.end,
            registers: thread
                .registers()
                .map(|registers| registers.iter().map(|(name, value)| (name, Hex(value))).collect()),
            tls_base: detail.and_then(|detail| detail.thread_pointer).map(Hex),
            source: Shown(thread.source),
        }
    }
}

fn milliseconds(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What a thread waits for
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Wait<'a> {
    /// Kind of wait: lock, read-lock, write-lock, condition, semaphore, barrier, join, receive, send, select, class-init, park, io or sleep
    kind: &'static str,
    lock: Option<Lock<'a>>,
    /// Thread that holds the lock, where the dump proves it
    owner: Option<u64>,
    /// Where in the dump
    source: Source,
}

impl<'a> Wait<'a> {
    fn new(wait: &'a model::Wait<'_>) -> Self {
        Self {
            kind: wait.kind.name(),
            lock: wait.lock.as_ref().map(Lock::new),
            owner: wait.owner.map(|id| id.0),
            source: Shown(wait.source),
        }
    }
}

/// All groups.
pub(super) struct Groups<'a> {
    snapshot: &'a Snapshot<'a>,
    groups: &'a model::Groups,
}

impl<'a> Groups<'a> {
    pub(super) fn new(snapshot: &'a Snapshot<'_>, groups: &'a model::Groups) -> Self {
        Self { snapshot, groups }
    }
}

impl Serialize for Groups<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.groups.groups.iter().map(|group| Group::new(group, self.snapshot)))
    }
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Group<'a> {
    /// Stable over address layouts, process ids and thread counts: 16 hex digits
    signature: &'a str,
    /// What members share, when they were not grouped by their stack
    title: Option<&'a str>,
    /// Members
    count: usize,
    /// Share of all threads, 0 to 1, to four decimals
    share: f64,
    /// State they share, in the dump's own word
    state: Option<&'a str>,
    /// What they do
    activity: &'static str,
    waited: Option<WaitSpread>,
    /// Healthy background: idle workers, runtime helpers
    background: bool,
    /// Ids of the members, in the order of the dump
    threads: Vec<u64>,
    /// Function whose call created them, when all share one
    created_by: Option<&'a str>,
    creator: Option<Frame<'a>>,
    /// Stack of the first member, innermost frame first
    frames: Vec<Frame<'a>>,
    gap: Option<Gap>,
    /// Why that stack ends early
    stack_broken: Option<&'a str>,
}

/// Waiting times of the members that have one, in seconds
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct WaitSpread {
    /// Shortest
    min_s: u64,
    /// Middle
    median_s: u64,
    /// Longest
    max_s: u64,
    /// Members with a waiting time
    known: usize,
}

impl<'a> Group<'a> {
    fn new(group: &'a model::Group, snapshot: &'a Snapshot<'_>) -> Self {
        let members = group.threads.iter().filter_map(|&index| snapshot.threads.get(index as usize));
        let state = group.state.and_then(|id| snapshot.state(id));
        let stack = Stack::new(group.stack.and_then(|id| snapshot.stack(id)), snapshot);
        let creator = group.created_by.and_then(|id| snapshot.frame(id));
        Self {
            signature: &group.signature,
            title: group.title.as_deref(),
            count: group.threads.len(),
            share: share(group.threads.len(), snapshot.threads.len()),
            state: state.map(|state| &*state.text),
            activity: state.map(|state| state.activity).unwrap_or_default().name(),
            waited: group.waited.map(|it| WaitSpread {
                min_s: it.min_s,
                median_s: it.median_s,
                max_s: it.max_s,
                known: it.known,
            }),
            background: group.background,
            threads: members.map(|thread| thread.id.0).collect(),
            created_by: creator.and_then(|frame| frame.function.as_deref()),
            creator: creator.map(|frame| Frame::new(frame, snapshot)),
            frames: stack.frames,
            gap: stack.gap,
            stack_broken: stack.end,
        }
    }
}

/// A share to four decimals, so that it reads the same everywhere.
fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { (part as f64 / whole as f64 * 10_000.0).round() / 10_000.0 }
}
