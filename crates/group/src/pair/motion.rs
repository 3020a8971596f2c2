//! How a thread changed between two dumps.

use std::time::Duration;

use necropsy_model::{Frame, Motion, Pair, Snapshot, Stack, StackId, Thread};
use rustc_hash::FxHashMap;

/// Compares threads; each pair of stacks once, because ten thousand threads stand on a few.
pub(super) struct Motions<'s, 'old, 'new> {
    old: &'s Snapshot<'old>,
    new: &'s Snapshot<'new>,
    known: FxHashMap<(StackId, StackId), (Motion, u32)>,
}

impl<'s, 'old, 'new> Motions<'s, 'old, 'new> {
    pub(super) fn new(old: &'s Snapshot<'old>, new: &'s Snapshot<'new>) -> Self {
        Self { old, new, known: FxHashMap::default() }
    }

    pub(super) fn pair(&mut self, at: u32, to: u32) -> Option<Pair> {
        let (before, after) = (self.old.threads.get(at as usize)?, self.new.threads.get(to as usize)?);
        let (motion, common) = self.stacks(before, after);
        let state = |snapshot: &Snapshot<'_>, thread: &Thread<'_>| {
            thread.state.and_then(|id| snapshot.state(id)).map(|state| (state.text.to_string(), state.activity))
        };
        let (was, is) = (state(self.old, before), state(self.new, after));
        let state_changed = was.is_some() && is.is_some() && was != is || other_lock(before, after);
        let cpu = cpu(self.old, before).zip(cpu(self.new, after)).and_then(|(was, is)| is.checked_sub(was));
        // A waiting time that shrank, or is no longer there, began anew.
        let woke = before.waited().is_some_and(|was| after.waited().is_none_or(|is| is < was));
        Some(Pair { before: at, after: to, motion, common, state_changed, cpu, woke })
    }

    fn stacks(&mut self, before: &Thread<'_>, after: &Thread<'_>) -> (Motion, u32) {
        let Some(key) = before.stack.zip(after.stack) else { return (Motion::NotTold, 0) };
        if let Some(&known) = self.known.get(&key) {
            return known;
        }
        let found = match (self.old.stack(key.0), self.new.stack(key.1)) {
            (Some(was), Some(is)) if !was.frames.is_empty() && !is.frames.is_empty() => self.motion(was, is),
            _ => (Motion::NotTold, 0),
        };
        self.known.insert(key, found);
        found
    }

    fn motion(&self, was: &Stack, is: &Stack) -> (Motion, u32) {
        let frames = |at: usize| {
            let from_outside = |stack: &Stack| stack.frames.len().checked_sub(at + 1);
            let was = self.old.frame(*was.frames.get(from_outside(was)?)?)?;
            Some((was, self.new.frame(*is.frames.get(from_outside(is)?)?)?))
        };
        let shorter = was.frames.len().min(is.frames.len());
        let same = (0..shorter).take_while(|&at| frames(at).is_some_and(|(was, is)| same_line(was, is))).count();
        let length = was.frames.len() == is.frames.len();
        if length && same == shorter {
            return (Motion::Still, same as u32);
        }
        let functions =
            (same..shorter).take_while(|&at| frames(at).is_some_and(|(was, is)| same_function(was, is))).count();
        let motion = if length && same + functions == shorter { Motion::WithinFunctions } else { Motion::Moved };
        (motion, (same + functions.min(1)) as u32)
    }
}

/// CPU time of a thread. The kernel writes for the first thread of a core the sum over all.
fn cpu(snapshot: &Snapshot<'_>, thread: &Thread<'_>) -> Option<Duration> {
    let of = |thread: &Thread<'_>| thread.detail.as_ref().and_then(|detail| detail.cpu);
    let own = of(thread)?;
    let sums_up = !snapshot.memory.is_empty() && snapshot.process.pid == Some(thread.id.0);
    if !sums_up {
        return Some(own);
    }
    let others = snapshot.threads.iter().filter(|other| other.id != thread.id).filter_map(of).sum();
    Some(own.saturating_sub(others))
}

/// It waits for another lock than before, where both dumps name one that the collector does not move: names decide, an address
/// only together with the name.
fn other_lock(before: &Thread<'_>, after: &Thread<'_>) -> bool {
    let wait = |thread: &Thread<'_>| {
        let wait = thread.detail.as_ref()?.waits_on.clone()?;
        Some((wait.kind, wait.lock.and_then(|lock| lock.name).map(std::borrow::Cow::into_owned)))
    };
    match (wait(before), wait(after)) {
        (Some((kind, name)), Some((other, new))) => kind != other || name.is_some() && new.is_some() && name != new,
        _ => false,
    }
}

/// It waited in the later dump less long than the dumps are apart. The Go runtime prints whole minutes, and only once a garbage
/// collection has seen the wait, so that a time that is missing says nothing.
pub(super) fn woke(old: &Snapshot<'_>, new: &Snapshot<'_>, pair: &Pair, apart: Duration) -> bool {
    const MINUTE: Duration = Duration::from_mins(1);
    let at = |snapshot: &Snapshot<'_>, index: u32| snapshot.threads.get(index as usize).and_then(Thread::waited);
    at(old, pair.before).is_some() && at(new, pair.after).is_some_and(|waited| waited.saturating_add(MINUTE) < apart)
}

fn same_function(was: &Frame<'_>, is: &Frame<'_>) -> bool {
    match (&was.function, &is.function) {
        (Some(was), Some(is)) => was == is,
        (None, None) => was.svma.is_some() && was.svma == is.svma || was.pc().is_some() && was.pc() == is.pc(),
        _ => false,
    }
}

fn same_line(was: &Frame<'_>, is: &Frame<'_>) -> bool {
    let line = |frame: &Frame<'_>| frame.location.as_ref().and_then(|location| location.line);
    let here = match (line(was), line(is)) {
        (Some(was), Some(is)) => was == is,
        (None, None) => was.svma == is.svma,
        _ => false,
    };
    here && same_function(was, is)
}
