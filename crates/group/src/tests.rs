use necropsy_model::{
    Activity, Frame, LabelsId, Location, Snapshot, Source, Stack, State, Text, Thread, ThreadFlags, ThreadId,
};

use super::*;

/// A thread as `state`, `functions` with a line each, creator.
fn add(snapshot: &mut Snapshot<'static>, state: &'static str, frames: &[(&'static str, u32)], creator: &'static str) {
    let frame = |&(function, line): &(&'static str, u32)| {
        Frame::printed(function, Some(Location::new(Text::Borrowed("main.go"), Some(line))))
    };
    let frames = frames.iter().filter_map(|f| snapshot.add_frame(frame(f))).collect();
    let mut thread = Thread::new(ThreadId(snapshot.threads.len() as u64 + 1), Source::line(1));
    thread.stack = snapshot.add_stack(Stack { frames, ..Stack::default() });
    thread.state = snapshot.intern_state(State { text: state.into(), activity: Activity::Signal });
    thread.created_by = snapshot.add_frame(frame(&(creator, 9)));
    snapshot.threads.push(thread);
}

fn counts(groups: &Groups) -> Vec<usize> {
    groups.groups.iter().map(|group| group.threads.len()).collect()
}

#[test]
fn the_scale_of_similarity() {
    let mut snapshot = Snapshot::default();
    add(&mut snapshot, "select", &[("main.work.func1", 10), ("main.main", 30)], "main.start");
    add(&mut snapshot, "select", &[("main.work.func1", 10), ("main.main", 30)], "main.start");
    add(&mut snapshot, "select", &[("main.work.func2", 20), ("main.main", 30)], "main.start");
    add(&mut snapshot, "sleep", &[("main.work.func2", 20), ("main.main", 30)], "main.start");
    add(&mut snapshot, "select", &[("main.work.func1", 10), ("main.main", 30)], "main.other");
    assert_eq!(counts(&group(&snapshot, Similarity::SameLines)), [2, 1, 1, 1]);
    let alike = group(&snapshot, Similarity::SameFunctions);
    assert_eq!(counts(&alike), [3, 1, 1]);
    assert_eq!(alike.groups[0].threads, [0, 1, 2]);
}

#[test]
fn a_signature_ignores_lines_and_wrappers() {
    let mut one = Snapshot::default();
    add(&mut one, "select", &[("main.work", 10), ("main.run.gowrap1", 11)], "main.start");
    let mut other = Snapshot::default();
    add(&mut other, "chan send", &[("main.first", 1)], "main.start");
    add(&mut other, "select", &[("main.work", 17)], "main.start");
    let signature = |snapshot: &Snapshot<'_>, at: usize| {
        let groups = group(snapshot, Similarity::SameLines).groups;
        groups.iter().find(|group| group.threads == [at as u32]).map(|group| group.signature.clone())
    };
    assert_eq!(signature(&one, 0), signature(&other, 1));
    assert_ne!(signature(&one, 0), signature(&other, 0));
}

#[test]
fn background_comes_last_and_waits_are_spread() {
    let mut snapshot = Snapshot::default();
    for wait in [60, 180, 120, u32::MAX] {
        add(&mut snapshot, "select", &[("main.idle", 1)], "main.start");
        snapshot.threads.last_mut().unwrap().flags = ThreadFlags::SYSTEM;
        snapshot.threads.last_mut().unwrap().waited_s = wait;
    }
    add(&mut snapshot, "select", &[("main.work", 1)], "main.start");
    let groups = group(&snapshot, Similarity::default()).groups;
    assert!(!groups[0].background && groups[1].background);
    assert_eq!(groups[0].waited, None);
    let spread = groups[1].waited.unwrap();
    assert_eq!((spread.min_s, spread.median_s, spread.max_s, spread.known), (60, 120, 180, 3));
}

#[test]
fn other_ways_to_group_and_filters() {
    let mut snapshot = Snapshot::default();
    add(&mut snapshot, "select", &[("main.a", 1)], "main.start");
    add(&mut snapshot, "select", &[("main.b", 1)], "main.start");
    add(&mut snapshot, "sleep", &[("main.b", 1)], "main.other");
    let by = |by| counts(&group_with(&snapshot, &Options { by, ..Options::default() }));
    assert_eq!(by(GroupBy::State), [2, 1]);
    assert_eq!(by(GroupBy::Function), [2, 1]);
    assert_eq!(by(GroupBy::Creator), [2, 1]);
    let filter = Filter { function: regex::Regex::new("main[.]b").ok(), ..Filter::default() };
    let groups = group_with(&snapshot, &Options { filter, ..Options::default() });
    assert_eq!((counts(&groups), groups.filtered_out), (vec![1, 1], 1));
    let filter = Filter { min_wait_s: Some(1), ..Filter::default() };
    assert_eq!(counts(&group_with(&snapshot, &Options { filter, ..Options::default() })), []);
    let filter = Filter { state: regex::Regex::new("^sleep$").ok(), ..Filter::default() };
    let groups = group_with(&snapshot, &Options { filter, by: GroupBy::State, ..Options::default() });
    assert_eq!((counts(&groups), groups.groups[0].title.as_deref()), (vec![1], Some("sleep")));
    // A creator is a function of its threads too.
    let filter = Filter { function: regex::Regex::new("main[.]other").ok(), ..Filter::default() };
    assert_eq!(counts(&group_with(&snapshot, &Options { filter, ..Options::default() })), [1]);
    snapshot.threads[0].waited_s = 120;
    snapshot.threads[1].waited_s = 59;
    let filter = Filter { min_wait_s: Some(60), ..Filter::default() };
    let groups = group_with(&snapshot, &Options { filter, ..Options::default() });
    assert_eq!((groups.groups[0].threads.as_slice(), groups.filtered_out), (&[0][..], 2));
}

#[test]
fn labels_are_a_way_to_group() {
    let labels = vec![vec![("path".into(), "/a".into()), ("tenant".into(), "x".into())]];
    let mut snapshot = Snapshot { labels, ..Snapshot::default() };
    for labelled in [true, false, true] {
        add(&mut snapshot, "select", &[("main.a", 1)], "main.start");
        snapshot.threads.last_mut().unwrap().labels = LabelsId::new(0).filter(|_| labelled);
    }
    let groups = group_with(&snapshot, &Options { by: GroupBy::Label, ..Options::default() });
    let titles: Vec<_> = groups.groups.iter().map(|group| group.title.as_deref()).collect();
    assert_eq!((counts(&groups), titles), (vec![2, 1], vec![Some("path=/a, tenant=x"), Some("")]));
}

/// What is shared is told of all members, not of the first: another state or creator among them takes it back.
#[test]
fn other_ways_to_group_tell_only_what_all_share() {
    let mut snapshot = Snapshot::default();
    add(&mut snapshot, "select", &[("main.a", 1)], "main.start");
    add(&mut snapshot, "sleep", &[("main.a", 1)], "main.start");
    let groups = group_with(&snapshot, &Options { by: GroupBy::Function, ..Options::default() }).groups;
    assert!(groups.len() == 1 && groups[0].state.is_none() && groups[0].created_by.is_some());
}

#[test]
fn the_order_does_not_depend_on_the_number_of_tasks() {
    let mut snapshot = Snapshot::default();
    add(&mut snapshot, "select", &[("main.a", 1)], "main.start");
    add(&mut snapshot, "sleep", &[("main.b", 1)], "main.start");
    let pair = snapshot.threads.clone();
    snapshot.threads = (0..CHUNK * 3).map(|at| pair[at % 2].clone()).collect();
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| format!("{:?}", group(&snapshot, Similarity::default()).groups))
    };
    assert_eq!(run(1), run(4));
}
