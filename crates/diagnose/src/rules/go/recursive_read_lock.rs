//! A reader that wants the lock again, behind a writer that waits for it.

use necropsy_model::{Confidence, Evidence, Finding, FrameKind, Role, Severity, WaitKind};

use crate::go::locks::{self, Known, Lock};
use crate::go::{Go, finding};
use crate::{Case, Rule};

pub(crate) static RULE: Rule =
    Rule { id: "go-recursive-read-lock", doc: include_str!("recursive_read_lock.md"), check };

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::alive(case) else { return Vec::new() };
    let waiting: Vec<_> = locks::waiting(&go).iter().filter_map(|group| group.threads.first().copied()).collect();
    let readers = waiting.iter().filter(|&&thread| locks::kind(&go, thread) == Some(WaitKind::ReadLock));
    readers.filter_map(|&reader| of_reader(&go, reader, &waiting)).take(1).collect()
}

/// A writer that waits for readers, not for another writer: `RWMutex.Lock` of Go's `sync/rwmutex.go` takes the writers' mutex
/// first, and waits for the readers in its own call of the semaphore.
fn waits_for_readers(go: &Go<'_, '_>, thread: u32) -> bool {
    let names: Vec<_> = go
        .thread(thread)
        .into_iter()
        .flat_map(|thread| go.snapshot.frames_of(thread))
        .take_while(|frame| frame.kind == FrameKind::Runtime)
        .filter_map(|frame| frame.function.as_deref())
        .collect();
    names.contains(&"sync.(*RWMutex).Lock")
        && !names.iter().any(|name| name.ends_with("sync.(*Mutex).Lock") || name.ends_with("(*Mutex).lockSlow"))
}

/// A writer that waits for the readers of a lock.
pub(super) fn writer(go: &Go<'_, '_>, lock: &Lock) -> Option<u32> {
    lock.threads.iter().copied().find(|&thread| waits_for_readers(go, thread))
}

/// A reader whose own outer method has the lock, with the writer in between. Where the runtime's frames print no address of
/// the lock, the receivers tell that it is one.
fn of_reader<'data>(go: &Go<'_, 'data>, thread: u32, waiting: &[u32]) -> Option<Finding<'data>> {
    let address = locks::wanted(go, thread);
    let waiter = Known::at(go, thread)?;
    let outer = waiter.outer_method(address).filter(|outer| outer.same_receiver)?;
    let same_lock = |writer: u32| match (address, locks::wanted(go, writer)) {
        (Some(reads), Some(writes)) => reads == writes,
        _ => Known::at(go, writer)
            .is_some_and(|writer| writer.caller().and_then(|caller| writer.receiver(caller)) == Some(outer.object)),
    };
    let writer = waiting.iter().copied().find(|&writer| waits_for_readers(go, writer) && same_lock(writer))?;
    let (object, outer) = (outer.object, outer.frame);
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
        "goroutine {} wants {} for writing and waits for readers: a reader has it",
        writes.id,
        address.map_or_else(|| "the lock".to_owned(), |address| format!("the lock at {address:#x}"))
    );
    finding.evidence.push(Evidence::new(text, writes.source));
    let text = format!(
        "both are calls of one object, {object:#x}, which is the receiver of {} and of {} in one stack",
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
    fn receivers_tell_where_no_address_is_printed() {
        let mut dump = store(&["sync.runtime_SemacquireRWMutex", "sync.(*RWMutex).Lock", "main.(*Store).put"]);
        dump.facts().waits.clear();
        assert!(!dump.fires(&RULE), "any store");
        assert!(dump.arguments(&[(2, 0, 0xc000_0100)]).fires(&RULE), "this store");
    }

    #[test]
    fn keeps_quiet() {
        let behind_a_writer =
            store(&["sync.(*Mutex).lockSlow", "sync.(*Mutex).Lock", "sync.(*RWMutex).Lock", "main.put"]);
        assert!(!behind_a_writer.fires(&RULE), "a writer has it");
    }
}
