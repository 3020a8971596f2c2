//! The address of what a goroutine waits for, from the arguments of the runtime's own calls.
//!
//! The first argument of `lockSlow` is the mutex in every version tested (1.19 to 1.27). Others are stale at times (`?`),
//! so that each table line is a place to try.

use necropsy_model::WaitKind;

use super::frame::{Call, words};

/// Frames from the innermost in which an address can stand.
pub(super) const FRAMES: usize = 16;

/// A call whose first argument leads to the address: name, kind, and what to subtract.
struct Place {
    name: &'static [u8],
    kind: WaitKind,
    /// Offset of the semaphore in its owner: `sync.RWMutex` is `{w Mutex; writerSem, readerSem uint32; …}`.
    offset: u64,
}

const fn place(name: &'static str, kind: WaitKind, offset: u64) -> Place {
    Place { name: name.as_bytes(), kind, offset }
}

/// Outer calls first decide the kind: a write lock waits in `Mutex.lockSlow` too.
const PLACES: [Place; 17] = [
    place("sync.(*RWMutex).RLock", WaitKind::ReadLock, 0),
    place("sync.(*RWMutex).Lock", WaitKind::WriteLock, 0),
    place("sync.runtime_SemacquireRWMutexR", WaitKind::ReadLock, 12),
    place("sync.runtime_SemacquireRWMutex", WaitKind::WriteLock, 8),
    place("sync.(*WaitGroup).Wait", WaitKind::Barrier, 0),
    place("sync.(*Cond).Wait", WaitKind::Condition, 0),
    place("sync.(*Once).doSlow", WaitKind::Lock, 0),
    place("sync.(*Mutex).Lock", WaitKind::Lock, 0),
    place("sync.(*Mutex).lockSlow", WaitKind::Lock, 0),
    place("internal/sync.(*Mutex).Lock", WaitKind::Lock, 0),
    place("internal/sync.(*Mutex).lockSlow", WaitKind::Lock, 0),
    place("runtime.chanrecv", WaitKind::Receive, 0),
    place("runtime.chanrecv1", WaitKind::Receive, 0),
    place("runtime.chanrecv2", WaitKind::Receive, 0),
    place("runtime.chansend", WaitKind::Send, 0),
    place("runtime.chansend1", WaitKind::Send, 0),
    place("runtime.selectgo", WaitKind::Select, 0),
];

/// Where the semaphore of a lock lies in it, by the call above which the semaphore is waited for. Until Go 1.19 mutexes and
/// reader-writer locks called the same function, which the compiler did not inline: its argument was reliable. Since then
/// `semacquire1` of Go's `runtime/sema.go` has a reliable one, in dumps that show the runtime's frames.
const SEMAPHORES: [(&[u8], WaitKind, u64); 6] = [
    (b"sync.runtime_SemacquireRWMutexR", WaitKind::ReadLock, 12),
    (b"sync.runtime_SemacquireRWMutex", WaitKind::WriteLock, 8),
    (b"sync.(*RWMutex).RLock", WaitKind::ReadLock, 12),
    (b"sync.(*RWMutex).Lock", WaitKind::WriteLock, 8),
    (b"sync.(*Mutex).lockSlow", WaitKind::Lock, 4),
    (b"sync.(*Mutex).Lock", WaitKind::Lock, 4),
];

/// Functions that wait for the semaphore of a lock, whatever lock it is.
const WAITS: [&[u8]; 3] = [b"runtime.semacquire1", b"sync.runtime_SemacquireMutex", b"sync.runtime_Semacquire"];

/// Where the address of a stack may stand: frames with the offset to subtract.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    /// What the stack waits for.
    pub kind: Option<WaitKind>,
    places: Vec<(usize, u64)>,
}

/// The plan for a stack by the names of its innermost calls.
pub(super) fn plan<'a>(calls: impl Iterator<Item = Call<'a>>) -> Plan {
    let mut plan = Plan::default();
    let mut calls = calls.take(FRAMES).enumerate().peekable();
    while let Some((frame, call)) = calls.next() {
        if WAITS.contains(&call.name) {
            let caller = calls.peek().map(|(_, caller)| caller.name);
            if let Some((_, kind, offset)) = SEMAPHORES.iter().find(|(name, ..)| Some(*name) == caller) {
                plan.kind = Some(*kind);
                plan.places.push((frame, *offset));
            }
            continue;
        }
        // A `select` waits for several channels: its argument is the table of cases on the stack.
        let Some(place) = PLACES.iter().find(|place| place.name == call.name) else {
            if plan.kind.is_some() && !super::frame::is_runtime(&String::from_utf8_lossy(call.name)) {
                break;
            }
            continue;
        };
        let outer = matches!(place.kind, WaitKind::ReadLock | WaitKind::WriteLock);
        if plan.kind.is_none() || outer && plan.kind == Some(WaitKind::Lock) {
            plan.kind = Some(place.kind);
        }
        let once = place.name == b"sync.(*Once).doSlow";
        if place.kind != WaitKind::Select && !once && call.arguments != Some(b"...") {
            plan.places.push((frame, place.offset));
        }
    }
    plan
}

impl Plan {
    /// The address, from the calls of one goroutine; stale arguments do not count.
    pub(super) fn address<'a>(&self, call: impl Fn(usize) -> Option<Call<'a>>) -> Option<u64> {
        self.places.iter().find_map(|&(frame, offset)| {
            let (position, value, stale) = words(call(frame)?.arguments?).next()?;
            let address = value.checked_sub(offset)?;
            // Small numbers are no addresses: they are counters that a stub left in the slot.
            (position == 0 && !stale && address >= 0x1000).then_some(address)
        })
    }

    /// Whether there is a place to look at.
    pub(super) fn has_places(&self) -> bool {
        !self.places.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::goroutines::frame::call;

    fn address(lines: &[&'static str]) -> (Option<WaitKind>, Option<u64>) {
        let plan = plan(lines.iter().map(|line| call(line.as_bytes())));
        (plan.kind, plan.address(|frame| lines.get(frame).map(|line| call(line.as_bytes()))))
    }

    #[test]
    fn the_mutex_of_each_version() {
        let new = [
            "internal/sync.runtime_SemacquireMutex(0x0?, 0x0?, 0x0?)",
            "internal/sync.(*Mutex).lockSlow(0x309915bec1e0)",
            "internal/sync.(*Mutex).Lock(...)",
            "sync.(*Mutex).Lock(...)",
            "main.handle(0x1)",
        ];
        assert_eq!(address(&new), (Some(WaitKind::Lock), Some(0x3099_15be_c1e0)));
        let old = ["sync.runtime_Semacquire(0xc42000e0ac)", "sync.(*Mutex).Lock(0xc42000e0a8)", "main.f()"];
        assert_eq!(address(&old), (Some(WaitKind::Lock), Some(0xc4_2000_e0a8)));
    }

    #[test]
    fn readers_and_writers_name_one_address() {
        let reader = ["sync.runtime_SemacquireRWMutexR(0xc00001000c, 0x0, 0x0)", "sync.(*RWMutex).RLock(...)"];
        assert_eq!(address(&reader), (Some(WaitKind::ReadLock), Some(0xc0_0001_0000)));
        let writer = ["sync.(*Mutex).lockSlow(0xc000010000)", "sync.(*RWMutex).Lock(0x0?)", "main.f()"];
        assert_eq!(address(&writer), (Some(WaitKind::WriteLock), Some(0xc0_0001_0000)));
    }

    #[test]
    fn one_function_waited_for_every_lock_until_1_19() {
        let reader = ["sync.runtime_SemacquireMutex(0xc00001000c, 0xc00007ad00, 0x0)", "sync.(*RWMutex).RLock(...)"];
        assert_eq!(address(&reader), (Some(WaitKind::ReadLock), Some(0xc0_0001_0000)));
        let writer = ["sync.runtime_SemacquireMutex(0xc000010008, 0x0, 0x0)", "sync.(*RWMutex).Lock(...)", "main.f()"];
        assert_eq!(address(&writer), (Some(WaitKind::WriteLock), Some(0xc0_0001_0000)));
        let behind_a_writer = [
            "sync.runtime_SemacquireMutex(0xc000010004, 0x0, 0x1)",
            "sync.(*Mutex).lockSlow(0xc000010000)",
            "sync.(*Mutex).Lock(...)",
            "sync.(*RWMutex).Lock(0xc000010000)",
        ];
        assert_eq!(address(&behind_a_writer), (Some(WaitKind::WriteLock), Some(0xc0_0001_0000)));
    }

    #[test]
    fn the_frames_of_the_runtime_name_the_semaphore() {
        let reader = [
            "runtime.gopark(0xa6d540?, 0x8000000000000?, 0x0?)",
            "runtime.semacquire1(0x15c80d897dc, 0x0, 0x3, 0x0, 0x17)",
            "sync.runtime_SemacquireRWMutexR(0xda20cefa993?, 0x0?, 0x0?)",
            "sync.(*RWMutex).RLock(...)",
        ];
        assert_eq!(address(&reader), (Some(WaitKind::ReadLock), Some(0x15c_80d8_97d0)));
    }

    #[test]
    fn stale_words_and_user_code_do_not_count() {
        assert_eq!(address(&["sync.(*Cond).Wait(0x38?)", "main.f()"]), (Some(WaitKind::Condition), None));
        assert_eq!(address(&["main.f(0xc000010000)"]), (None, None));
    }
}
