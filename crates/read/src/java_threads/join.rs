//! Two listings of one process put together: what the virtual machine prints of platform threads (`Thread.print`: locks, CPU, kernel
//! ids) and what `Thread.dump_to_file` writes of all threads, virtual ones too. Both number threads alike: `#31` of one is
//! `"tid": "31"` of the other.
//!
//! An object is an address in the first and an identity hash in the second. They are known to be one where a thread that is in both
//! waits for it in both, or holds it in both and holds no other of its class.

use necropsy_model::jvm::Joined;
use necropsy_model::{
    FrameId, Lock, Snapshot, Source, Stack, StackId, Text, Thread, ThreadFlags, ThreadId, Wait, Warning,
};
use rustc_hash::{FxHashMap, FxHashSet};

use super::build;
use super::numbers::Numbers;

/// Puts `other`, a listing of all threads, into `first`, a dump of the same process. Nothing is changed and nothing returned when they
/// are of two processes: then the numbers of the processes or the names of threads differ.
pub fn join<'d>(first: &mut Snapshot<'d>, other: &Snapshot<'d>) -> Option<Joined> {
    let known: FxHashMap<ThreadId, usize> = first
        .threads
        .iter()
        .enumerate()
        .filter(|(_, thread)| is_java(thread))
        .map(|(at, thread)| (thread.id, at))
        .collect();
    if !is_same_process(first, other, &known) {
        return None;
    }
    let objects = objects(first, other, &known);
    let mut joined = Joined { format: other.format, objects: objects.len(), ..Joined::default() };
    let mut names = Names { numbers: Numbers::without(locks(first).map(|lock| lock.id)), known: objects };
    let mut tables = Tables::default();
    let is_added = |thread: &&Thread<'_>| !known.contains_key(&thread.id);
    let wanted: FxHashSet<u64> = other.threads.iter().filter(is_added).filter_map(|it| Some(wanted(it)?.id)).collect();
    for thread in &other.threads {
        let stack = thread.stack.and_then(|id| tables.stack(first, other, id));
        let Some(&at) = known.get(&thread.id) else {
            joined.threads += 1;
            joined.virtual_threads += usize::from(thread.flags.contains(ThreadFlags::VIRTUAL));
            let state =
                thread.state.and_then(|id| other.state(id)).cloned().and_then(|state| first.intern_state(state));
            first.threads.push(Thread { stack, state, ..added(thread, &mut names) });
            continue;
        };
        let (Some(into), Some(detail)) = (first.threads.get_mut(at), thread.detail.as_deref()) else { continue };
        if into.stack.is_none() && stack.is_some() {
            into.stack = stack;
            joined.stacks += 1;
        }
        let into = into.detail_mut();
        into.name = into.name.take().or_else(|| detail.name.clone());
        // What it holds stands in the dump with addresses; only for what an added thread waits for is the hash as good a name.
        let mut held: FxHashSet<u64> = into.holds.iter().map(|lock| lock.id).collect();
        for lock in detail.holds.iter().filter(|lock| wanted.contains(&lock.id)) {
            let lock = names.lock(lock);
            if held.insert(lock.id) {
                into.holds.push(lock);
            }
        }
    }
    build::owners(first);
    first.warnings.extend(other.warnings.iter().map(|warning| Warning::new(warning.text.clone(), Source::DUMP)));
    Some(joined)
}

/// A thread with a number of `java.lang.Thread`.
fn is_java(thread: &Thread<'_>) -> bool {
    !thread.flags.contains(ThreadFlags::SYSTEM)
}

/// The numbers of the processes do not differ, and neither do the names of most threads that have one number.
fn is_same_process(first: &Snapshot<'_>, other: &Snapshot<'_>, known: &FxHashMap<ThreadId, usize>) -> bool {
    if first.process.pid.zip(other.process.pid).is_some_and(|(one, two)| one != two) {
        return false;
    }
    let (mut same, mut different) = (0_usize, 0_usize);
    for thread in &other.threads {
        let twin = known.get(&thread.id).and_then(|&at| first.threads.get(at)).and_then(Thread::name);
        match twin.zip(thread.name()) {
            Some((one, two)) if one == two => same += 1,
            Some(_) => different += 1,
            None => {}
        }
    }
    same > different
}

fn locks<'s, 'd>(snapshot: &'s Snapshot<'d>) -> impl Iterator<Item = &'s Lock<'d>> {
    let details = snapshot.threads.iter().filter_map(|thread| thread.detail.as_ref());
    details.flat_map(|detail| detail.holds.iter().chain(detail.waits_on.as_ref().and_then(|wait| wait.lock.as_ref())))
}

fn wait<'t, 'd>(thread: &'t Thread<'d>) -> Option<&'t Wait<'d>> {
    thread.detail.as_ref()?.waits_on.as_ref()
}

fn wanted<'t, 'd>(thread: &'t Thread<'d>) -> Option<&'t Lock<'d>> {
    wait(thread)?.lock.as_ref()
}

/// Locks of the first dump by their numbers in the other, where threads that are in both prove it and none contradicts.
fn objects<'d>(
    first: &Snapshot<'d>,
    other: &Snapshot<'d>,
    known: &FxHashMap<ThreadId, usize>,
) -> FxHashMap<u64, Lock<'d>> {
    let mut pairs: Vec<(u64, &Lock<'d>)> = Vec::new();
    for thread in &other.threads {
        let Some(twin) = known.get(&thread.id).and_then(|&at| first.threads.get(at)) else { continue };
        if let (Some(here), Some(there)) = (wait(thread), wait(twin))
            && let (Some(hash), Some(address)) = (&here.lock, &there.lock)
            && hash.name == address.name
        {
            pairs.push((hash.id, address));
        }
        let (Some(here), Some(there)) = (&thread.detail, &twin.detail) else { continue };
        for held in &here.holds {
            let alike = |lock: &&Lock<'d>| lock.name == held.name;
            let mut twins = there.holds.iter().filter(alike);
            if let (1, Some(only), None) = (here.holds.iter().filter(alike).count(), twins.next(), twins.next()) {
                pairs.push((held.id, only));
            }
        }
    }
    let mut forth: FxHashMap<u64, Option<&Lock<'d>>> = FxHashMap::default();
    let mut back: FxHashMap<u64, Option<u64>> = FxHashMap::default();
    for &(hash, address) in &pairs {
        forth
            .entry(hash)
            .and_modify(|known| *known = known.filter(|known| known.id == address.id))
            .or_insert(Some(address));
        back.entry(address.id).and_modify(|known| *known = known.filter(|known| *known == hash)).or_insert(Some(hash));
    }
    let proved = |(hash, address): (u64, Option<&Lock<'d>>)| {
        let address = address.filter(|address| back.get(&address.id) == Some(&Some(hash)))?;
        Some((hash, address.clone()))
    };
    forth.into_iter().filter_map(proved).collect()
}

/// Numbers of locks in the joined dump.
struct Names<'d> {
    numbers: Numbers,
    known: FxHashMap<u64, Lock<'d>>,
}

impl<'d> Names<'d> {
    /// The lock by the number that it has in the joined dump: an address, or its hash where that is no address of another.
    fn lock(&mut self, lock: &Lock<'d>) -> Lock<'d> {
        if let Some(known) = self.known.get(&lock.id) {
            return known.clone();
        }
        let id = self.numbers.number(lock.id);
        let fresh = Lock { id, name: lock.name.clone() };
        self.known.insert(lock.id, fresh.clone());
        fresh
    }
}

/// A thread that only the other dump lists, without its stack and state. Its lines are those of another file.
fn added<'d>(thread: &Thread<'d>, names: &mut Names<'d>) -> Thread<'d> {
    let mut fresh = Thread::new(thread.id, Source::DUMP);
    fresh.flags = thread.flags;
    if let Some(detail) = &thread.detail {
        let name: Option<Text<'d>> = detail.name.clone();
        let waits_on = detail.waits_on.as_ref().map(|wait| Wait {
            lock: wait.lock.as_ref().map(|lock| names.lock(lock)),
            source: Source::DUMP,
            ..wait.clone()
        });
        let holds = detail.holds.iter().map(|lock| names.lock(lock)).collect();
        let carries = detail.carries;
        *fresh.detail_mut() = necropsy_model::ThreadDetail { name, holds, waits_on, carries, ..Default::default() };
    }
    fresh
}

/// Frames and stacks of the other dump in the tables of the first.
#[derive(Default)]
struct Tables {
    frames: FxHashMap<FrameId, Option<FrameId>>,
    stacks: FxHashMap<StackId, Option<StackId>>,
}

impl Tables {
    fn stack<'d>(&mut self, first: &mut Snapshot<'d>, other: &Snapshot<'d>, id: StackId) -> Option<StackId> {
        if let Some(&known) = self.stacks.get(&id) {
            return known;
        }
        let stack = other.stack(id)?;
        let frame =
            |id: &FrameId| *self.frames.entry(*id).or_insert_with(|| first.add_frame(other.frame(*id)?.clone()));
        let frames = stack.frames.iter().filter_map(frame).collect();
        let copy = first.add_stack(Stack { frames, ..stack.clone() });
        self.stacks.insert(id, copy);
        copy
    }
}

#[cfg(test)]
mod tests {
    use necropsy_model::Arena;

    use super::*;
    use crate::read;

    /// `dispatcher` holds a lock that only `-l` lists and wants a monitor that `van`, a virtual thread, holds; `van` wants the lock.
    const PRINT: &str = "7:\n2026-11-21 10:00:00\nFull thread dump OpenJDK 64-Bit Server VM (25.0.3+9-LTS mixed mode):\n\n\
        \"dispatcher\" #20 [31] prio=5 os_prio=0 cpu=1.00ms elapsed=2.00s tid=0x01 nid=31 waiting for monitor entry  [0x02]\n   \
        java.lang.Thread.State: BLOCKED (on object monitor)\n\tat Delivery.load(Delivery.java:9)\n\t- waiting to lock <0x00000000fe000010> (a java.lang.Object)\n\n   \
        Locked ownable synchronizers:\n\t- <0x00000000fe000020> (a java.util.concurrent.locks.ReentrantLock$NonfairSync)\n\n\
        \"planner\" #21 [32] prio=5 os_prio=0 cpu=1.00ms elapsed=2.00s tid=0x01 nid=32 waiting on condition  [0x02]\n   \
        java.lang.Thread.State: WAITING (parking)\n\tat jdk.internal.misc.Unsafe.park(java.base/Native Method)\n\t\
        - parking to wait for  <0x00000000fe000020> (a java.util.concurrent.locks.ReentrantLock$NonfairSync)\n\t\
        at java.util.concurrent.locks.ReentrantLock.lock(java.base/ReentrantLock.java:322)\n\n\
        \"VM Thread\" os_prio=0 cpu=1.00ms elapsed=2.00s tid=0x01 nid=22 runnable\n\nJNI global refs: 1, weak refs: 0\n";

    const ALL: &str = r#"{"threadDump": {"processId": "7", "time": "2026-11-21T10:00:01Z", "runtimeVersion": "25.0.3+9-LTS",
        "threadContainers": [{"container": "<root>", "threads": [
        {"tid": "20", "name": "dispatcher", "state": "BLOCKED", "blockedOn": "java.lang.Object@b", "stack": ["Delivery.load(Delivery.java:9)"]},
        {"tid": "21", "name": "planner", "state": "WAITING", "parkBlocker": {"object": "java.util.concurrent.locks.ReentrantLock$NonfairSync@c"},
         "stack": ["java.base/jdk.internal.misc.Unsafe.park(Native Method)", "java.base/java.util.concurrent.locks.ReentrantLock.lock(ReentrantLock.java:322)"]},
        {"tid": "22", "virtual": true, "name": "van", "state": "WAITING", "parkBlocker": {"object": "java.util.concurrent.locks.ReentrantLock$NonfairSync@c"},
         "stack": ["java.base/java.lang.VirtualThread.park(VirtualThread.java:1)", "java.base/java.util.concurrent.locks.ReentrantLock.lock(ReentrantLock.java:322)", "Delivery.drive(Delivery.java:12)"],
         "monitorsOwned": [{"depth": 2, "locks": ["java.lang.Object@b"]}]}
        ], "threadCount": "3"}]}}"#;

    #[test]
    fn each_gives_what_the_other_lacks() {
        let arena = Arena::new();
        let mut first = read(PRINT.as_bytes(), &arena, None).unwrap().remove(0);
        let other = read(ALL.as_bytes(), &arena, None).unwrap().remove(0);
        let joined = join(&mut first, &other).unwrap();
        assert_eq!((joined.threads, joined.virtual_threads, joined.objects), (1, 1, 2));
        assert_eq!(first.threads.len(), 4, "the thread of the virtual machine has the number of another one");
        let owner = |name: &str| {
            let thread = first.threads.iter().find(|thread| thread.name() == Some(name)).unwrap();
            wait(thread).and_then(|wait| wait.owner)
        };
        assert_eq!(owner("dispatcher"), Some(ThreadId(22)), "the monitor is the van's");
        assert_eq!(owner("van"), Some(ThreadId(20)), "the lock is the dispatcher's");
        let van = first.threads.last().unwrap();
        assert_eq!(first.frames_of(van).count(), 3);
        assert_eq!(van.detail.as_ref().unwrap().holds[0].id, 0xfe00_0010);
    }

    #[test]
    fn two_processes_are_left_apart() {
        let arena = Arena::new();
        let mut first = read(PRINT.as_bytes(), &arena, None).unwrap().remove(0);
        for (from, to) in [("\"7\"", "\"8\""), ("\"name\": \"", "\"name\": \"other-")] {
            let text = arena.keep_str(ALL.replace(from, to));
            let other = read(text.as_bytes(), &arena, None).unwrap().remove(0);
            assert!(join(&mut first, &other).is_none());
        }
        assert_eq!(first.threads.len(), 3);
    }

    #[test]
    fn objects_that_contradict_are_not_joined() {
        let arena = Arena::new();
        let mut first = read(PRINT.as_bytes(), &arena, None).unwrap().remove(0);
        // Both threads of the first dump wait for one object each; here they wait for the same one.
        let text = ALL.replace("java.lang.Object@b\", \"stack\"", "java.lang.Object@d\", \"stack\"");
        let other = read(arena.keep_str(text).as_bytes(), &arena, None).unwrap().remove(0);
        join(&mut first, &other).unwrap();
        let dispatcher = first.threads.iter().find(|thread| thread.name() == Some("dispatcher")).unwrap();
        assert_eq!(wait(dispatcher).unwrap().owner, None, "the van holds another object");
    }
}
