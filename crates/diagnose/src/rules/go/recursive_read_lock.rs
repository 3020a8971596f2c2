//! A reader that wants the lock again, behind a writer that waits for it.

use necropsy_model::{Confidence, Evidence, Finding, FrameKind, Role, Severity, WaitKind};

use crate::go::locks::{self, Known, Lock};
use crate::go::{Go, finding};
use crate::{Case, Rule};

pub(crate) static RULE: Rule =
    Rule { id: "go-recursive-read-lock", doc: include_str!("recursive_read_lock.md"), check };

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::alive(case) else { return Vec::new() };
    locks::locks(&go).iter().filter_map(|lock| of_lock(&go, lock)).collect()
}

/// A writer that waits for readers, not for another writer: `RWMutex.Lock` of Go's `sync/rwmutex.go` takes the writers' mutex
/// first, and waits for the readers in its own call of the semaphore.
pub(super) fn writer(go: &Go<'_, '_>, lock: &Lock) -> Option<u32> {
    let waits_for_readers = |thread: &u32| {
        let names: Vec<_> = go
            .thread(*thread)
            .into_iter()
            .flat_map(|thread| go.snapshot.frames_of(thread))
            .take_while(|frame| frame.kind == FrameKind::Runtime)
            .filter_map(|frame| frame.function.as_deref())
            .collect();
        names.contains(&"sync.(*RWMutex).Lock")
            && !names.iter().any(|name| name.ends_with("sync.(*Mutex).Lock") || name.ends_with("(*Mutex).lockSlow"))
    };
    lock.threads.iter().copied().find(waits_for_readers)
}

fn of_lock<'data>(go: &Go<'_, 'data>, lock: &Lock) -> Option<Finding<'data>> {
    let writer = writer(go, lock)?;
    let reads = |thread: &&u32| locks::kind(go, **thread) == Some(WaitKind::ReadLock);
    let (&thread, waiter, object, outer) = lock.threads.iter().filter(reads).find_map(|thread| {
        let waiter = Known::at(go, *thread)?;
        let (object, outer) = waiter.outer_method(lock.address)?;
        Some((thread, waiter, object, outer))
    })?;
    let caller = waiter.caller()?;
    let title = format!(
        "goroutine {} wants a lock for reading in {} that its own method {} has, it seems; a writer waits in between",
        waiter.thread.id,
        waiter.frames.get(caller).map(|frame| crate::go::words(frame))?,
        waiter.name(outer)
    );
    let confidence = if go.is_all_asleep() { Confidence::High } else { Confidence::Medium };
    let mut finding = finding(RULE.id, Severity::Critical, confidence, title);
    finding.places.extend(go.snapshot.place(thread as usize, caller, Role::Waiter));
    finding.places.extend(go.snapshot.place(thread as usize, outer, Role::Holder));
    let writes = go.thread(writer)?;
    let frames: Vec<_> = go.snapshot.frames_of(writes).collect();
    let own = crate::go::own(&frames)?;
    finding.places.extend(go.snapshot.place(writer as usize, own, Role::Waiter));
    let text = format!(
        "goroutine {} wants the lock at {:#x} for writing and waits for readers: a reader has it",
        writes.id, lock.address
    );
    finding.evidence.push(Evidence::new(text, writes.source));
    let text = format!(
        "it lies in the object {object:#x}, which is the receiver of {} and of {}",
        waiter.name(caller),
        waiter.name(outer)
    );
    finding.evidence.push(Evidence::new(text, waiter.thread.source));
    finding.next.push("do not take a read lock twice in one chain of calls".to_owned());
    Some(finding)
}

#[cfg(test)]
mod tests {
    use necropsy_model::WaitKind;
    use necropsy_model::go::GoForm;

    use super::RULE;
    use crate::go::samples::Dump;

    fn store(writer: &[&'static str]) -> Dump {
        let reader = ["sync.(*RWMutex).RLock", "main.(*Store).get", "main.(*Store).list", "main.main"];
        let dump = Dump::new(GoForm::Stacks).add(1, "sync.RWMutex.RLock", &reader);
        let dump =
            dump.waits_for(WaitKind::ReadLock, 0xc000_0110).arguments(&[(1, 0, 0xc000_0100), (2, 0, 0xc000_0100)]);
        dump.add(1, "sync.RWMutex.Lock", writer).waits_for(WaitKind::WriteLock, 0xc000_0110)
    }

    #[test]
    fn fires() {
        let dump = store(&["sync.runtime_SemacquireRWMutex", "sync.(*RWMutex).Lock", "main.(*Store).put"]);
        assert!(dump.fires(&RULE));
        assert!(!dump.fires(&super::super::self_deadlock::RULE), "one rule is enough");
    }

    #[test]
    fn keeps_quiet() {
        let behind_a_writer =
            store(&["sync.(*Mutex).lockSlow", "sync.(*Mutex).Lock", "sync.(*RWMutex).Lock", "main.put"]);
        assert!(!behind_a_writer.fires(&RULE), "a writer has it");
        assert!(behind_a_writer.fires(&super::super::self_deadlock::RULE));
    }
}
