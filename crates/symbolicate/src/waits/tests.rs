use necropsy_model::{Arch, Avma, Memory, Permissions, Region, Registers, Source, Thread};

use super::*;
use crate::image::Images;

const WORD: u64 = 0x10_0000;

/// A thread in `futex(WORD + offset, operation, value)`.
fn waiter(id: u64, offset: u64, operation: u64, value: u64) -> Thread<'static> {
    let mut thread = Thread::new(ThreadId(id), Source::DUMP);
    let mut registers = Registers::new(Arch::X86_64);
    for (register, value) in [(5, WORD + offset), (4, operation), (1, value), (10, 0)] {
        registers.set(register, value);
    }
    let detail = thread.detail_mut();
    (detail.registers, detail.syscall) = (Some(registers), Some(202));
    detail.thread_pointer = Some(0x7000_0000 + id);
    thread
}

/// What a thread that waits at `WORD + offset` waits for, with these words in memory from `WORD` on.
fn found(words: &[u32], offset: u64, value: u64, named: Option<WaitKind>) -> Option<Found> {
    found_of(Family::C, words, offset, value, named)
}

/// The same for a lock of this family.
fn found_of(family: Family, words: &[u32], offset: u64, value: u64, named: Option<WaitKind>) -> Option<Found> {
    let named = named.map(|kind| Waits { kind, family });
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let region = Region {
        start: Avma(WORD),
        end: Avma(WORD + 0x1000),
        permissions: Some(Permissions { read: true, write: true, execute: false }),
        bytes: &bytes,
        dumped: bytes.len() as u64,
        file: None,
    };
    let memory = Memory::new(vec![region]);
    let images = Images::default();
    let space = AddressSpace::new(&memory, &images);
    let threads = vec![waiter(100, offset, 128, value), waiter(101, 0, 128, 2)];
    let futex = futex::of(threads.first()?)?;
    let snapshot = Snapshot { threads, ..Snapshot::default() };
    explain(&space, &futex, named, &Owners::of(&snapshot))
}

fn owner(found: Option<Found>) -> Option<u64> {
    Some(found?.owner?.0)
}

#[test]
fn a_glibc_mutex_names_its_owner() {
    let held = [2, 0, 101, 1, 0];
    assert_eq!(owner(found(&held, 0, 2, None)), Some(101), "without any symbol");
    assert_eq!(owner(found(&held, 0, 2, Some(WaitKind::Lock))), Some(101));
    assert_eq!(owner(found(&[0x8000_0065, 0, 101, 1, 33], 0, 0, None)), Some(101), "priority-inheriting");
    assert_eq!(owner(found(&[2, 0, 101, 0, 0], 0, 2, None)), None, "a mutex that nobody uses");
    assert_eq!(owner(found(&[2, 0, 999, 1, 0], 0, 2, None)), None, "no thread of this process");
    assert_eq!(owner(found(&[0, 0, 101, 1, 0], 0, 2, None)), None, "just released");
    let unlocked = found(&[0, 0, 0, 0, 0], 0, 2, Some(WaitKind::Lock)).unwrap();
    assert_eq!((unlocked.lock, unlocked.owner), (Some(WORD), None));
}

#[test]
fn a_stream_names_its_owner_by_address() {
    assert_eq!(owner(found(&[2, 1, 0x7000_0000 + 101, 0], 0, 2, None)), Some(101));
}

#[test]
fn musl_keeps_the_owner_of_some_types_of_mutex_only() {
    let recursive = found(&[1, 0x8000_0065, 1], 4, 0x8000_0065, None).unwrap();
    assert_eq!((recursive.lock, recursive.owner), (Some(WORD), Some(ThreadId(101))));
    let normal = found(&[0, 0x8000_0010, 1], 4, 0x8000_0010, None).unwrap();
    assert_eq!((normal.lock, normal.owner), (Some(WORD), None));
}

#[test]
fn a_joiner_waits_for_the_thread_itself() {
    let joined = found(&[101], 0, 101, Some(WaitKind::Join)).unwrap();
    assert_eq!((joined.kind, joined.lock, joined.owner), (WaitKind::Join, None, Some(ThreadId(101))));
    assert_eq!(owner(found(&[0], 0, 101, Some(WaitKind::Join))), None, "it has ended meanwhile");
}

#[test]
fn a_writer_is_known_and_readers_are_not() {
    let mut words = [1, 0, 3, 1, 0, 0, 101, 0];
    assert_eq!(owner(found(&words, 8, 3, Some(WaitKind::ReadLock))), Some(101));
    assert_eq!(owner(found(&words, 12, 1, Some(WaitKind::WriteLock))), Some(101));
    words[6] = 0;
    assert_eq!(owner(found(&words, 8, 3, Some(WaitKind::WriteLock))), None);
}

#[test]
fn readers_are_counted() {
    let words = [3 << 3, 0, 2, 1, 0, 0, 0, 0];
    assert_eq!(found(&words, 8, 2, Some(WaitKind::WriteLock)).unwrap().held, Held::Readers(3));
    let mut std = [0x8000_0002, 7];
    let waits = |words: &[u32]| found_of(Family::Rust, words, 4, 7, Some(WaitKind::WriteLock)).unwrap();
    assert_eq!((waits(&std).lock, waits(&std).held), (Some(WORD), Held::Readers(2)));
    std[0] = 0xbfff_ffff;
    assert_eq!(waits(&std).held, Held::Alone);
}

#[test]
fn parking_lot_keeps_the_lock_beside_the_word_it_sleeps_at() {
    // The record begins with its key, the lock stands behind it.
    let mut words = [0; 14];
    (words[0], words[1]) = (WORD as u32 + 40, 0);
    let found = |words: &[u32], kind| found_of(Family::ParkingLot, words, 0x20, 0, Some(kind)).unwrap();
    words[10] = 3;
    assert_eq!(found(&words, WaitKind::Lock).lock, Some(WORD + 40));
    words[10] = 1;
    assert_eq!(found(&words, WaitKind::Lock).lock, None, "nobody waits for it: another layout");
    (words[0], words[10]) = (WORD as u32 + 41, 0x2a);
    let writer = found(&words, WaitKind::WriteLock);
    assert_eq!((writer.lock, writer.held), (Some(WORD + 40), Held::Readers(2)));
}

#[test]
fn nobody_holds_a_condition_variable() {
    let mut words = [0; 16];
    words[2] = 101;
    let waits = found(&words, 40, 0, Some(WaitKind::Condition)).unwrap();
    assert_eq!((waits.lock, waits.owner), (Some(WORD), None));
    assert_eq!(found(&words, 44, 0, Some(WaitKind::Condition)).unwrap().lock, Some(WORD));
}

#[test]
fn the_state_says_how_many_read() {
    let text = |kind, held| state(kind, false, held).text;
    assert_eq!(text(WaitKind::WriteLock, Held::Readers(1)), "waits for a write lock that 1 reader holds");
    assert_eq!(text(WaitKind::ReadLock, Held::Alone), "waits for a read lock");
}

#[test]
fn only_a_thread_in_a_waiting_futex_call_is_read() {
    assert!(futex::of(&waiter(1, 0, 0x189, 0)).is_some());
    assert!(futex::of(&waiter(1, 0, 1, 0)).is_none(), "FUTEX_WAKE");
    let mut other = waiter(1, 0, 128, 0);
    other.detail_mut().syscall = Some(0);
    assert!(futex::of(&other).is_none());
}
