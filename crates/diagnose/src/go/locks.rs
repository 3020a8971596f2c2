//! Locks that goroutines wait for, told apart by address, and who may hold them.
//!
//! A text dump never names a holder. The runtime's own frames print the address of the lock that is wanted
//! (`lockSlow(0x…)` of Go's `internal/sync/mutex.go`); a goroutine that has this address among the arguments of a call of the
//! program, or that of the object around it, is a candidate, and the reason is told with it.

use std::collections::BTreeMap;

use necropsy_model::go::{GoArgument, GoSample, GoWait};
use necropsy_model::{Evidence, Frame, Group, Source, Thread, WaitKind};

use super::{Go, in_program, words};

/// Bytes from the start of an object in which a lock of its own is looked for.
const INSIDE: u64 = 0x200;

/// Below this a word is no address.
const LOWEST: u64 = 0x1000;

/// Candidates that are named for each lock.
const SHOWN: usize = 3;

/// A lock that goroutines wait for.
pub(crate) struct Lock {
    /// Where it is.
    pub address: u64,
    /// Who waits, ascending.
    pub threads: Vec<u32>,
    /// In which ways.
    pub kinds: Vec<WaitKind>,
}

/// A goroutine that may hold a lock.
#[derive(Clone, Copy)]
pub(crate) struct Candidate {
    /// Index of the thread.
    pub thread: u32,
    /// The frame whose argument tells.
    pub frame: usize,
    /// How good the reason is, best first.
    pub reason: Reason,
}

/// Why a goroutine may hold a lock, best first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    /// An argument is the address of the lock.
    Lock,
    /// A method whose receiver is the object around the lock.
    Receiver,
    /// An argument may be an object around the lock: it begins a little below.
    Near,
    /// A slot that may be stale held the address of the lock.
    Stale,
}

impl Reason {
    fn words(self) -> &'static str {
        match self {
            Self::Lock => "an argument of it is the lock",
            Self::Receiver => "it is a method of the object around the lock",
            Self::Near => "an argument of it begins right below the lock, as an object around it would",
            Self::Stale => "a slot of its arguments holds the lock, but may be stale",
        }
    }
}

fn is_lock(kind: WaitKind) -> bool {
    matches!(kind, WaitKind::Lock | WaitKind::ReadLock | WaitKind::WriteLock)
}

/// Groups that wait for a lock. Where a dump has no frames of the runtime, its state tells.
pub(crate) fn waiting<'a>(go: &Go<'a, '_>) -> Vec<&'a Group> {
    let said =
        |group: &Group| matches!(go.state(group), "sync.Mutex.Lock" | "sync.RWMutex.RLock" | "sync.RWMutex.Lock");
    go.front().filter(|group| go.wait_kind(group).is_some_and(is_lock) || said(group)).collect()
}

/// Locks by how many wait for them, most first.
pub(crate) fn locks(go: &Go<'_, '_>) -> Vec<Lock> {
    let mut locks: BTreeMap<u64, Lock> = BTreeMap::new();
    for &GoWait { thread, address } in &go.facts.waits {
        let Some(kind) = kind(go, thread) else { continue };
        let lock = locks.entry(address).or_insert(Lock { address, threads: Vec::new(), kinds: Vec::new() });
        lock.threads.push(thread);
        if !lock.kinds.contains(&kind) {
            lock.kinds.push(kind);
        }
    }
    let mut locks: Vec<_> = locks.into_values().collect();
    locks.sort_by_key(|lock| (std::cmp::Reverse(lock.threads.len()), lock.address));
    locks
}

/// The locks that goroutines wait for whose arguments are known, the first few of each stack, in the order of the dump.
pub(crate) fn sampled(go: &Go<'_, '_>) -> impl Iterator<Item = (u32, u64)> {
    go.facts.samples.iter().filter_map(|sample| Some((sample.thread, wanted(go, sample.thread)?)))
}

/// How a thread waits for a lock.
pub(crate) fn kind(go: &Go<'_, '_>, thread: u32) -> Option<WaitKind> {
    let stack = go.thread(thread)?.stack?;
    go.facts.stack_waits.get(stack.index()).copied().flatten().filter(|&kind| is_lock(kind))
}

/// The lock a thread waits for.
pub(crate) fn wanted(go: &Go<'_, '_>, thread: u32) -> Option<u64> {
    let at = go.facts.waits.binary_search_by_key(&thread, |wait| wait.thread).ok()?;
    kind(go, thread)?;
    go.facts.waits.get(at).map(|wait| wait.address)
}

/// A method that may hold a lock while a call of it wants the lock.
#[derive(Clone, Copy)]
pub(crate) struct Outer {
    /// The object around the lock.
    pub object: u64,
    /// The frame of the method.
    pub frame: usize,
    /// Between the two calls other code ran, which called back into the object. Methods that call each other directly were
    /// written together, and seldom lock twice.
    pub reentered: bool,
    /// The call that wants the lock has the same receiver; else it had one that is stale.
    pub same_receiver: bool,
}

/// A goroutine whose arguments are known.
pub(crate) struct Known<'a, 'data> {
    pub thread: &'a Thread<'data>,
    pub frames: Vec<&'a Frame<'data>>,
    sample: &'a GoSample,
}

impl<'a, 'data> Known<'a, 'data> {
    /// The goroutine of a sample.
    fn of(go: &Go<'a, 'data>, sample: &'a GoSample) -> Option<Self> {
        let thread = go.thread(sample.thread)?;
        Some(Self { thread, frames: go.snapshot.frames_of(thread).collect(), sample })
    }

    /// The goroutine with this index.
    pub(crate) fn at(go: &Go<'a, 'data>, thread: u32) -> Option<Self> {
        let at = go.facts.samples.binary_search_by_key(&thread, |sample| sample.thread).ok()?;
        Self::of(go, go.facts.samples.get(at)?)
    }

    /// Its call of the program that wants the lock.
    pub(crate) fn caller(&self) -> Option<usize> {
        self.frames.iter().position(|frame| in_program(frame))
    }

    pub(crate) fn name(&self, frame: usize) -> &str {
        self.frames.get(frame).and_then(|frame| frame.function.as_deref()).unwrap_or_default()
    }

    /// The first argument of a call, where it still holds.
    pub(crate) fn receiver(&self, frame: usize) -> Option<u64> {
        let first = |argument: &&GoArgument| usize::from(argument.frame) == frame && argument.position == 0;
        self.sample.arguments.iter().find(first).filter(|argument| !argument.stale).map(|argument| argument.value)
    }

    /// The type whose method a call is: `pkg.(*T)` of `pkg.(*T).f` and of its closures.
    pub(crate) fn type_of(&self, frame: usize) -> Option<&str> {
        let name = self.name(frame);
        let end = name.find(").")?;
        name.get(..=end)
    }

    /// A method further down than the call that wants a lock, whose object is around the lock.
    ///
    /// The receiver of the call itself may be stale by then (since Go 1.17 arguments come in registers): a method of the
    /// same type further down whose object is around the lock will do, as less.
    pub(crate) fn outer_method(&self, address: Option<u64>) -> Option<Outer> {
        let caller = self.caller()?;
        let owner = self.type_of(caller)?;
        let around = |object: u64| address.is_none_or(|address| is_around(object, address));
        let own = self.receiver(caller).filter(|&object| around(object));
        // Without the receiver of the call the address of the lock has to tell the object.
        if own.is_none() && (address.is_none() || self.receiver(caller).is_some()) {
            return None;
        }
        let same_object = |at: usize| match (self.receiver(at), own) {
            (Some(object), Some(own)) => object == own,
            (Some(object), None) => around(object),
            (None, _) => false,
        };
        // A function and its closures are one method, and so is a recursion.
        let other = |at: &usize| self.type_of(*at) == Some(owner) && self.method(*at) != self.method(caller);
        let frame = (caller + 1..self.frames.len()).find(|at| same_object(*at) && other(at))?;
        let between = self.frames.get(caller + 1..frame).unwrap_or_default();
        let left = |frame: &&Frame<'_>| !frame.function.as_deref().is_some_and(|name| name.starts_with(owner));
        Some(Outer {
            object: self.receiver(frame)?,
            frame,
            reentered: between.iter().any(left),
            same_receiver: own.is_some(),
        })
    }

    /// The name of a method without the closures in it.
    fn method(&self, frame: usize) -> &str {
        let name = self.name(frame);
        let from = self.type_of(frame).map_or(0, str::len) + 1;
        let end = name.get(from..).and_then(|rest| rest.find('.')).map_or(name.len(), |dot| from + dot);
        name.get(..end).unwrap_or(name)
    }

    /// How an argument of a call of the program leads to a lock.
    fn leads_to(&self, address: u64, wanted: Option<u64>) -> Option<(Reason, usize)> {
        let reasons = self.sample.arguments.iter().filter_map(|argument| {
            let frame = usize::from(argument.frame);
            if !self.frames.get(frame).is_some_and(|frame| in_program(frame)) {
                return None;
            }
            let method = argument.position == 0 && self.type_of(frame).is_some();
            let reason = match argument.value {
                value if value == address && argument.stale => Reason::Stale,
                _ if argument.stale => return None,
                value if value == address => Reason::Lock,
                value if method && is_around(value, address) => Reason::Receiver,
                // Objects are at least of a small size class; a wider look finds neighbours.
                // That it wants a lock next to this one is no reason.
                value if is_around(value, address) && address - value < 0x40 && wanted != Some(value) => Reason::Near,
                _ => return None,
            };
            Some((reason, frame))
        });
        reasons.min()
    }
}

/// An object that begins here can have a lock there.
fn is_around(object: u64, lock: u64) -> bool {
    object >= LOWEST && lock.checked_sub(object).is_some_and(|inside| inside < INSIDE)
}

/// Goroutines that may hold a lock, best reason first. Those that wait for it themselves are not among them.
pub(crate) fn candidates(go: &Go<'_, '_>, address: u64) -> Vec<Candidate> {
    let mut all: Vec<_> = go
        .facts
        .samples
        .iter()
        .filter_map(|sample| {
            let wanted = wanted(go, sample.thread);
            if wanted == Some(address) {
                return None;
            }
            let (reason, frame) = Known::of(go, sample)?.leads_to(address, wanted)?;
            Some(Candidate { thread: sample.thread, frame, reason })
        })
        .collect();
    all.sort_by_key(|candidate| (candidate.reason, candidate.thread));
    all
}

/// A candidate in words, with what the goroutine does.
pub(crate) fn describe<'data>(go: &Go<'_, 'data>, candidate: &Candidate) -> Option<Evidence<'data>> {
    let thread = go.thread(candidate.thread)?;
    let frame = go.snapshot.frames_of(thread).nth(candidate.frame)?;
    let state = thread.state.and_then(|id| go.snapshot.state(id)).map_or("", |state| state.text.as_ref());
    let text = format!(
        "candidate holder: goroutine {} ({state}), by its call of {}: {}",
        thread.id,
        words(frame),
        candidate.reason.words()
    );
    Some(Evidence::new(text, thread.source))
}

/// What there is to say about a lock: who waits, who may hold it.
pub(crate) fn evidence<'data>(go: &Go<'_, 'data>, lock: &Lock) -> Vec<Evidence<'data>> {
    let source = lock.threads.first().and_then(|&at| go.thread(at)).map_or(Source::DUMP, |thread| thread.source);
    let text = format!("{} for the lock at {:#x}", go.does(lock.threads.len(), "wait"), lock.address);
    let candidates = candidates(go, lock.address);
    let holders = candidates.iter().take(SHOWN).filter_map(|candidate| describe(go, candidate));
    std::iter::once(Evidence::new(text, source)).chain(holders).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_begins_below_its_lock() {
        assert!(is_around(0xc000_0000, 0xc000_0000) && is_around(0xc000_0000, 0xc000_0100));
        assert!(!is_around(0xc000_0008, 0xc000_0000) && !is_around(0, 0x80) && !is_around(0xc000_0000, 0xc000_0200));
    }
}
