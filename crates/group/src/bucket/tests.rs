use std::time::{Duration, Instant};

use necropsy_model::{
    Avma, CodeAddress, Frame, Location, Occurrence, Seen, SeenBasis, Signal, Signature, SignatureFrame, Snapshot,
    Source, Stack, Stop, Symptom, Thread, ThreadId, Verdict,
};

use super::{FrameRules, alike, buckets, id, signature};

fn crash(stack: &[(&str, u32)], number: i32) -> (Snapshot<'static>, Verdict<'static>) {
    let mut snapshot = Snapshot::default();
    let mut ids = Vec::new();
    for &(function, line) in stack {
        let mut frame = Frame::printed(function.to_owned(), Some(Location::new("/src/shop.c", Some(line))));
        frame.address = Some(CodeAddress::Instruction(Avma(u64::from(line) << 12)));
        ids.extend(snapshot.add_frame(frame));
    }
    let mut thread = Thread::new(ThreadId(7), Source::DUMP);
    thread.stack = snapshot.add_stack(Stack { frames: ids, ..Stack::default() });
    snapshot.threads.push(thread);
    let signal = Some(Signal { number, code: Some(1) });
    snapshot.stop = Some(Stop { signal, thread: Some(0), ..Stop::default() });
    (snapshot, Verdict { symptom: Symptom::NativeCrash, ..Verdict::default() })
}

fn of(stack: &[(&str, u32)]) -> Signature {
    let (snapshot, verdict) = crash(stack, Signal::SEGV);
    signature(&snapshot, &verdict, &FrameRules::default())
}

fn names(signature: &Signature) -> Vec<&str> {
    signature.frames.iter().map(|frame| frame.name.as_str()).collect()
}

#[test]
fn noise_is_skipped_and_what_was_done_is_kept() {
    let found = of(&[
        ("__memmove_avx_unaligned_erms", 1),
        ("parse(char const*)", 20),
        ("serve", 9),
        ("start_thread", 1),
        ("clone", 1),
    ]);
    assert_eq!((found.kind.as_str(), found.prefix), ("memory fault", 1));
    assert_eq!(names(&found), ["memmove", "parse", "serve"]);
}

#[test]
fn another_build_process_and_depth_of_recursion_are_the_same_bug() {
    let one = of(&[("visit", 20), ("visit", 25), ("visit", 25), ("load", 9), ("main", 3)]);
    let other = of(&[("visit.constprop.0", 21), ("visit", 26), ("load", 10), ("main", 4)]);
    assert_eq!(id(&one), id(&other));
    assert_ne!(id(&one), id(&of(&[("load", 9), ("main", 3)])));
    let (snapshot, verdict) = crash(&[("visit", 20), ("load", 9), ("main", 3)], Signal::BUS);
    assert_eq!(id(&signature(&snapshot, &verdict, &FrameRules::default())), id(&one), "SIGBUS and SIGSEGV");
}

#[test]
fn a_stack_of_nothing_but_noise_still_has_a_signature() {
    assert_eq!(names(&of(&[("raise", 1), ("abort", 2), ("_start", 3)])), ["raise", "abort"]);
    assert!(of(&[]).frames.is_empty());
}

fn seen(path: &str, frames: &[(&str, &str)], at: i64) -> Occurrence {
    let frame = |&(name, at): &(&str, &str)| SignatureFrame { name: name.to_owned(), at: Some(at.to_owned()) };
    let frames = frames.iter().map(frame).collect();
    Occurrence {
        path: path.to_owned(),
        signature: Signature { kind: "memory fault".to_owned(), frames, prefix: 0 },
        seen: Some(Seen { seconds: at, basis: SeenBasis::Dump }),
        ..Occurrence::default()
    }
}

#[test]
fn exact_first_then_similar() {
    let all = [
        seen("a", &[("find", "f.c:1"), ("serve", "s.c:1"), ("main", "m.c:1")], 50),
        seen("b", &[("find", "f.c:2"), ("serve", "s.c:1"), ("main", "m.c:1")], 10),
        seen("c", &[("find", "f.c:1"), ("retry", "r.c:1"), ("serve", "s.c:1"), ("main", "m.c:1")], 70),
        seen("d", &[("find", "f.c:1"), ("import", "i.c:1"), ("batch", "b.c:1")], 60),
        seen("e", &[("other", "o.c:1"), ("serve", "s.c:1"), ("main", "m.c:1")], 60),
    ];
    let found = buckets(&all);
    let told: Vec<_> = found.iter().map(|bucket| (bucket.members.as_slice(), bucket.alike, bucket.exact)).collect();
    assert!(told.contains(&([0, 1, 2].as_slice(), 2, 2)), "{told:?}");
    assert!(told.contains(&([3].as_slice(), 1, 1)) && told.contains(&([4].as_slice(), 1, 1)));
    let first = &found[0];
    assert_eq!((first.first.as_ref().unwrap().seconds, first.last.as_ref().unwrap().seconds), (10, 70));
    assert_eq!(first.title, "memory fault | find | serve");
    let lines: Vec<_> = first.variants.iter().map(|variant| (variant.at.as_str(), variant.count)).collect();
    assert_eq!(lines, [("find f.c:1", 1), ("find f.c:2", 1), ("retry r.c:1", 1)]);
}

#[test]
fn the_order_of_the_dumps_decides_nothing() {
    let mut all: Vec<_> = (0..40)
        .map(|at| {
            let caller = format!("caller{}", at % 5);
            seen(&format!("{at:02}"), &[("find", "f.c:1"), (&caller, "c.c:1"), ("main", "m.c:1")], at)
        })
        .collect();
    let told = |all: &[Occurrence]| {
        let paths = |bucket: &necropsy_model::Bucket| {
            let mut paths: Vec<_> = bucket.members.iter().map(|&at| all[at as usize].path.clone()).collect();
            paths.sort();
            (bucket.id.clone(), paths)
        };
        buckets(all).iter().map(paths).collect::<Vec<_>>()
    };
    let one = told(&all);
    all.reverse();
    assert_eq!(told(&all), one);
}

#[test]
fn alike_is_symmetric_and_bounded() {
    let (a, b) = (of(&[("a", 1), ("b", 1), ("c", 1)]), of(&[("a", 1), ("x", 1), ("b", 1)]));
    assert!((alike(&a, &b) - alike(&b, &a)).abs() < 1e-9);
    assert!((alike(&a, &a) - 1.0).abs() < 1e-9);
    assert!(alike(&a, &of(&[("q", 1)])) < 1e-9);
}

/// Ten thousand dumps whose stacks are all different, in one function: the worst case for comparing.
#[test]
fn many_different_callers_are_not_compared_with_each_other() {
    let all: Vec<_> = (0..10_000)
        .map(|at| seen("x", &[("find", "f.c:1"), (&format!("c{at}"), "c.c:1"), (&format!("d{at}"), "d.c:1")], at))
        .collect();
    let begun = Instant::now();
    let found = buckets(&all);
    assert_eq!(found.iter().map(|bucket| bucket.members.len()).sum::<usize>(), 10_000);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}
