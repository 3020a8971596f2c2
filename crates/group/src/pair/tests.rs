use std::time::Duration;

use necropsy_model::{
    Activity, Comparison, Frame, Location, Motion, Order, SameProcess, Similarity, Snapshot, Source, Stack, State,
    Thread, ThreadId,
};

use super::{Side, compare, order};
use crate::group;

/// A thread: number, name, stack innermost first as function and line, CPU and age in milliseconds.
type Row<'a> = (u64, &'a str, &'a [(&'a str, u32)], u64, u64);

fn dump(rows: &[Row<'_>]) -> Snapshot<'static> {
    let mut snapshot = Snapshot::default();
    for (id, name, stack, cpu, age) in rows {
        let mut thread = Thread::new(ThreadId(*id), Source::line(*id));
        let frame = |&(function, line): &(&str, u32)| {
            Frame::printed(function.to_owned(), Some(Location::new("shop.java", Some(line))))
        };
        let frames = stack.iter().map(frame).collect::<Vec<_>>();
        let frames = frames.into_iter().filter_map(|frame| snapshot.add_frame(frame)).collect();
        thread.stack = snapshot.add_stack(Stack { frames, ..Stack::default() });
        thread.state = snapshot.intern_state(State { text: "RUNNABLE".into(), activity: Activity::Running });
        let detail = thread.detail_mut();
        detail.name = Some((*name).to_owned().into());
        detail.cpu = Some(Duration::from_millis(*cpu));
        detail.elapsed = Some(Duration::from_millis(*age));
        snapshot.threads.push(thread);
    }
    snapshot
}

fn compared(old: &Snapshot<'_>, new: &Snapshot<'_>) -> Comparison {
    let (was, is) = (group(old, Similarity::SameLines), group(new, Similarity::SameLines));
    compare(Side { snapshot: old, groups: &was }, Side { snapshot: new, groups: &is }, order(old, new))
}

const MAIN: (&str, u32) = ("main", 10);

fn first() -> Snapshot<'static> {
    dump(&[
        (1, "main", &[("sleep", 1), MAIN], 10, 5000),
        (2, "parser", &[("skip", 4), ("parse", 20), ("run", 7)], 4000, 4900),
        (3, "gone", &[("read", 1), ("run", 7)], 0, 4800),
        (4, "reader", &[("read", 1), ("serve", 9), ("run", 7)], 3, 4700),
    ])
}

fn second() -> Snapshot<'static> {
    dump(&[
        (1, "main", &[("sleep", 1), MAIN], 10, 15_000),
        (2, "parser", &[("peek", 2), ("parse", 22), ("run", 7)], 13_900, 14_900),
        (4, "reader", &[("read", 1), ("serve", 12), ("run", 7)], 3, 14_700),
        (9, "new", &[("read", 1), ("run", 7)], 0, 100),
    ])
}

#[test]
fn threads_are_matched_and_their_motion_told() {
    let found = compared(&first(), &second());
    assert_eq!((found.order, found.identity.same), (Order::AsGiven, SameProcess::Yes));
    assert_eq!(found.elapsed.unwrap().time, Duration::from_secs(10));
    assert_eq!((found.gone.as_slice(), found.new.as_slice()), ([2].as_slice(), [3].as_slice()));
    let told: Vec<_> = found.pairs.iter().map(|pair| (pair.motion, pair.common)).collect();
    // Of the parser, `run` is the same and `parse` stands at another line; the reader only went on within `serve`.
    assert_eq!(told, [(Motion::Still, 2), (Motion::Moved, 2), (Motion::WithinFunctions, 2)]);
    let cpu: Vec<_> = found.pairs.iter().map(|pair| pair.cpu.unwrap().as_millis()).collect();
    assert_eq!(cpu, [0, 9900, 0]);
    assert_eq!(found.cpu, Some(Duration::from_millis(9900)));
    assert!(found.pairs[0].is_stuck() && !found.pairs[1].is_stuck());
}

#[test]
fn the_dumps_are_put_in_their_order() {
    assert_eq!(order(&second(), &first()), Order::Turned);
    let mut untold = first();
    untold.threads.iter_mut().for_each(|thread| thread.detail = None);
    assert_eq!(order(&untold, &untold.clone()), Order::NotTold);
    let (mut a, mut b) = (untold.clone(), untold);
    a.process.taken_at = Some("2026-11-21 01:42:57".into());
    b.process.taken_at = Some("2026-11-21 01:42:47".into());
    assert_eq!(order(&a, &b), Order::Turned);
}

#[test]
fn other_processes_are_told() {
    let mut other = second();
    other.process.pid = Some(7);
    let mut one = first();
    one.process.pid = Some(8);
    let found = compared(&one, &other);
    assert_eq!(found.identity.same, SameProcess::No);
    assert!(found.pairs.is_empty() && found.identity.because[0].contains("8 and 7"));

    // The same program started again: its threads are as old as they were then, but the clock went on.
    let (mut early, mut late) = (first(), first());
    early.process.taken_at = Some("2026-11-21 01:42:57".into());
    late.process.taken_at = Some("2026-11-21 03:42:57".into());
    assert_eq!(compared(&early, &late).identity.same, SameProcess::No);

    // The same program started elsewhere: numbers and names are the same, moments of birth are not.
    let mut elsewhere = second();
    for (thread, age) in elsewhere.threads.iter_mut().zip([90_000, 5, 50_000]) {
        thread.detail_mut().elapsed = Some(Duration::from_millis(age));
    }
    assert_eq!(compared(&first(), &elsewhere).identity.same, SameProcess::No);
}

#[test]
fn a_thread_of_another_name_under_a_kernel_number_is_another_thread() {
    let old = |os_id| {
        let mut dump = dump(&[(7, "a", &[MAIN], 0, 10), (8, "x", &[MAIN], 0, 10)]);
        dump.threads[0].detail_mut().os_id = Some(os_id);
        dump
    };
    let new = |os_id| {
        let mut dump = dump(&[(7, "b", &[MAIN], 0, 20), (8, "x", &[MAIN], 0, 20)]);
        dump.threads[0].detail_mut().os_id = Some(os_id);
        dump
    };
    assert_eq!(compared(&old(7), &new(7)).pairs.len(), 1, "only the kernel's number");
    assert_eq!(compared(&old(70), &new(70)).pairs.len(), 2, "a pool renames its threads");
    assert_eq!(compared(&old(70), &new(71)).pairs.len(), 1, "another thread of the kernel");
}

#[test]
fn what_stands_twice_under_one_number_is_nobody() {
    let old = dump(&[(0, "g0", &[MAIN], 0, 10), (0, "g0", &[MAIN], 0, 10), (5, "x", &[MAIN], 0, 10)]);
    let found = compared(&old, &old.clone());
    assert_eq!((found.pairs.len(), found.gone.len(), found.new.len()), (1, 0, 0));
}

#[test]
fn groups_that_grow_are_told_with_those_that_stayed() {
    let waiting = |ids: std::ops::Range<u64>| {
        let rows: Vec<Row<'_>> =
            ids.map(|id| (id, "worker", [("acquire", 88), ("run", 7)].as_slice(), 0, 10)).collect();
        dump(&rows)
    };
    let found = compared(&waiting(1..11), &waiting(3..41));
    let change = &found.groups[0];
    assert_eq!((change.before, change.after, change.stayed, change.change()), (10, 38, 8, 28));
}

#[test]
fn a_wait_that_began_anew_was_awake() {
    let wait = |seconds| {
        let mut dump = dump(&[(5, "x", &[MAIN], 0, 10)]);
        dump.threads[0].waited_s = seconds;
        dump.threads[0].detail_mut().elapsed = None;
        dump
    };
    assert!(compared(&wait(300), &wait(60)).pairs[0].woke);
    assert!(compared(&wait(300), &wait(u32::MAX)).pairs[0].woke);
    let on = compared(&wait(300), &wait(600));
    assert!(!on.pairs[0].woke);
    assert_eq!(on.elapsed.unwrap().time, Duration::from_mins(5));
}
