//! What the threads of a native process wait for, and which of them holds it.
//!
//! ```text
//! futex       registers of a thread in the futex system call -> the word it waits at
//! by_name     function names of its stack -> what kind of lock that is
//! glibc       the layouts of glibc's locks -> the owner's thread id; musl for musl's
//! go          locks that goroutines wait for
//! rust        locks of Rust's std and of parking_lot -> their address, and how they are held
//! guards      variables of other threads -> holders of locks that do not name them
//! lock_name   the address of a lock -> its variable
//! printed     the same from a stack that a debugger printed: names and arguments are all there is
//! ```
//!
//! A lock is found without symbols: the futex word is an argument of the system call, and a mutex keeps its owner's thread
//! id beside it. The names of functions only tell kinds of locks apart.

mod by_name;
mod futex;
mod glibc;
mod go;
mod guards;
mod lock_name;
mod musl;
pub(crate) mod printed;
mod rust;

use std::collections::{BTreeMap, BTreeSet};

use necropsy_model::{Activity, Full, Lock, Snapshot, Source, State, ThreadId, Wait, WaitKind};

use crate::space::AddressSpace;
use crate::unwind::Walk;
use by_name::{Family, Waits};
use futex::Futex;

/// Innermost frames among which the function that waits is looked for: the system call lies under six of them at most
/// (`std::thread::join` of libstdc++, the pthread function, its clock variant, the common wait, the futex stub), or under eight
/// of `parking_lot` that is not optimised.
const LOOKED_AT: usize = 10;

/// Threads of the process by what names them in a lock.
struct Owners {
    /// Index of each thread by its id.
    by_id: BTreeMap<u64, usize>,
    by_thread_pointer: BTreeMap<u64, u64>,
}

impl Owners {
    fn of(snapshot: &Snapshot<'_>) -> Self {
        let mut by_id = BTreeMap::new();
        for (index, thread) in snapshot.threads.iter().enumerate() {
            by_id.entry(thread.id.0).or_insert(index);
        }
        let pointers = snapshot.threads.iter().filter_map(|thread| {
            let pointer = thread.detail.as_ref()?.thread_pointer?;
            Some((pointer, thread.id.0))
        });
        Self { by_id, by_thread_pointer: pointers.collect() }
    }

    /// A thread of the dump that a word of a lock names.
    fn thread(&self, id: u32) -> Option<ThreadId> {
        self.by_id.contains_key(&u64::from(id)).then_some(ThreadId(u64::from(id)))
    }

    /// A thread of the dump by the address of its control block.
    fn by_pointer(&self, pointer: u64) -> Option<ThreadId> {
        self.by_thread_pointer.get(&pointer).copied().map(ThreadId)
    }
}

/// What one thread waits for, by address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Found {
    kind: WaitKind,
    /// Address of the lock; `None` when what is waited for is a thread.
    lock: Option<u64>,
    /// Its holder, or the thread that is waited for. Not always a thread of the dump: one may have ended with a lock held.
    owner: Option<ThreadId>,
    /// How it is held.
    held: Held,
}

/// How a lock is held, as far as its state tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    NotTold,
    /// By one thread, for writing.
    Alone,
    /// For reading, by so many.
    Readers(u32),
}

/// Completes the threads of a snapshot: state, what each waits for, what each holds. Stacks are in place.
pub(crate) fn find<'data>(snapshot: &mut Snapshot<'data>, walks: &[Walk], space: &AddressSpace<'_, 'data>) {
    let owners = Owners::of(snapshot);
    let mut waits = Vec::new();
    for (index, thread) in snapshot.threads.iter().enumerate() {
        let Some(futex) = futex::of(thread) else { continue };
        let mut frames = snapshot.frames_of(thread).take(LOOKED_AT);
        let named = frames.find_map(|frame| by_name::waits(frame.function.as_deref()?));
        if let Some(found) = explain(space, &futex, named, &owners) {
            waits.push((index, futex.limited, found));
        }
    }
    let mut full = Full::default();
    let by_guard = guards::holders(&waits, walks, space, &mut full);
    let of_go = go::find(snapshot, walks, space, &mut full);
    for (index, locks) in go::candidates(&of_go, snapshot, walks, space, &mut full) {
        if let Some(thread) = snapshot.threads.get_mut(index) {
            thread.detail_mut().may_hold = locks;
        }
    }
    waits.extend(of_go.into_iter().map(|(index, found)| (index, false, found)));
    let locks: BTreeSet<u64> = waits.iter().filter_map(|(_, _, found)| found.lock).collect();
    let seekers = waits.iter().filter_map(|&(index, _, found)| Some((found.lock?, walks.get(index)?)));
    let names = lock_name::of(&locks, seekers, space, &mut full);
    snapshot.warnings.extend(full.warnings(Source::DUMP));
    let mut held = BTreeSet::new();
    for (index, limited, mut found) in waits {
        let guard = found.lock.and_then(|lock| by_guard.get(&lock)).and_then(|&holder| snapshot.threads.get(holder));
        found.owner = found.owner.or(guard.map(|thread| thread.id));
        let lock = found.lock.map(|id| Lock { id, name: names.get(&id).cloned() });
        let state = snapshot.intern_state(state(found.kind, limited, found.held));
        let Some(thread) = snapshot.threads.get_mut(index) else { continue };
        thread.state = state.or(thread.state);
        let source = found.lock.map_or(thread.source, |lock| space.memory.source(necropsy_model::Avma(lock)));
        thread.detail_mut().waits_on =
            Some(Wait { kind: found.kind, lock: lock.clone(), owner: found.owner, limited, source });
        let (Some(lock), Some(owner)) = (lock, found.owner) else { continue };
        let holder = owners.by_id.get(&owner.0).and_then(|&holder| snapshot.threads.get_mut(holder));
        if let Some(holder) = holder {
            let detail = holder.detail_mut();
            if held.insert((owner, lock.id)) {
                detail.by_guard.extend(by_guard.get(&lock.id).map(|_| lock.id));
                detail.holds.push(lock);
            }
        }
    }
}

/// From the futex word, what the stack says it belongs to, and the memory around it.
fn explain(space: &AddressSpace<'_, '_>, futex: &Futex, named: Option<Waits>, owners: &Owners) -> Option<Found> {
    let bare = |kind, lock| Found { kind, lock, owner: None, held: Held::NotTold };
    match named {
        // The word belongs to the thread: only its record says what it waits for.
        Some(Waits { kind, family: Family::ParkingLot }) => {
            return Some(rust::parking_lot(space, futex, kind).unwrap_or(bare(kind, None)));
        }
        Some(Waits { kind: kind @ (WaitKind::ReadLock | WaitKind::WriteLock), family: Family::Rust }) => {
            return Some(rust::std_rwlock(space, futex, kind));
        }
        _ => {}
    }
    let by_memory = glibc::stream(space, futex, owners)
        .or_else(|| glibc::mutex(space, futex, owners))
        .or_else(|| musl::mutex(space, futex, owners));
    match named.map(|named| named.kind) {
        Some(WaitKind::Lock) => {
            let lone = bare(WaitKind::Lock, Some(futex.address));
            Some(by_memory.or_else(|| glibc::mutex_by_name(space, futex)).unwrap_or(lone))
        }
        Some(WaitKind::Join) => Some(glibc::join(space, futex, owners).unwrap_or(bare(WaitKind::Join, None))),
        Some(kind @ (WaitKind::ReadLock | WaitKind::WriteLock)) => Some(glibc::rwlock(space, futex, kind, owners)),
        Some(WaitKind::Condition) => Some(glibc::condition(futex)),
        Some(kind) => Some(bare(kind, Some(futex.address))),
        None => by_memory.or_else(|| glibc::join(space, futex, owners)),
    }
}

/// The state in words, for people and for grouping.
fn state(kind: WaitKind, limited: bool, held: Held) -> State<'static> {
    let (text, activity) = match kind {
        WaitKind::Lock => ("waits for a mutex", Activity::Lock),
        WaitKind::ReadLock => ("waits for a read lock", Activity::Lock),
        WaitKind::WriteLock => ("waits for a write lock", Activity::Lock),
        WaitKind::Condition => ("waits on a condition variable", Activity::Signal),
        WaitKind::Semaphore => ("waits for a semaphore", Activity::Signal),
        WaitKind::Barrier => ("waits at a barrier", Activity::Signal),
        WaitKind::Join => ("waits for a thread to end", Activity::Signal),
        WaitKind::ClassInit => ("waits for an initialisation that another thread began", Activity::Lock),
        _ => ("parked", Activity::Signal),
    };
    let mut text = text.to_owned();
    if let (WaitKind::ReadLock | WaitKind::WriteLock, Held::Readers(readers)) = (kind, held) {
        let noun = if readers == 1 { "reader holds" } else { "readers hold" };
        text = format!("{text} that {readers} {noun}");
    }
    if limited {
        text.push_str(", with a time limit");
    }
    State { text: text.into(), activity }
}

#[cfg(test)]
mod tests;
