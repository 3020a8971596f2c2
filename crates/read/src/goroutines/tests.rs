use necropsy_model::Source;
use necropsy_model::go::GoForm;

use super::*;

fn read(text: &str) -> (Vec<Snapshot<'static>>, &'static Arena) {
    let arena: &'static Arena = Box::leak(Box::new(Arena::new()));
    let data = arena.keep_str(text.to_owned()).as_bytes();
    (Goroutines.read(data, arena).unwrap_or_default(), arena)
}

fn one(text: &str) -> Snapshot<'static> {
    let (mut all, _) = read(text);
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn names(snapshot: &Snapshot<'static>, thread: usize) -> Vec<String> {
    snapshot.frames_of(&snapshot.threads[thread]).map(|frame| frame.function.clone().unwrap().into_owned()).collect()
}

const THREE: &str = "goroutine 1 [running]:
main.main()
\t/src/main.go:10 +0x1

goroutine 5 [chan receive, 7 minutes]:
main.work(0xc000012340, 0x1?)
\t/src/main.go:20 +0x2
created by main.main in goroutine 1
\t/src/main.go:9 +0x3

goroutine 6 [chan receive]:
main.work(0xc000099999, 0x0?)
\t/src/main.go:20 +0x2
created by main.main in goroutine 1
\t/src/main.go:9 +0x3
";

#[test]
fn equal_stacks_are_one_whatever_their_arguments() {
    let snapshot = one(THREE);
    assert_eq!((snapshot.threads.len(), snapshot.stacks.len()), (3, 2));
    assert_eq!(names(&snapshot, 1), ["main.work"]);
    assert_eq!(snapshot.threads[1].waited_s, 420);
    assert_eq!(snapshot.threads[1].source, Source::line(5));
    assert_eq!(snapshot.threads[2].waited(), None);
    let creator = snapshot.frame(snapshot.threads[1].created_by.unwrap()).unwrap();
    assert_eq!(creator.function.as_deref(), Some("main.main"));
    assert!(snapshot.warnings.is_empty(), "{:?}", snapshot.warnings);
}

#[test]
fn parts_of_the_text_give_what_the_whole_gives() {
    let text = THREE.as_bytes();
    let cut = memmem::find(text, b"goroutine 6").unwrap();
    let arena = Arena::new();
    let whole = dumps(Parts::scan(text, LineMap::identity()), &arena);
    let parts = Parts::of(text, LineMap::identity(), vec![0..cut, cut..text.len()]);
    let built = parts.build(&[0], &arena);
    assert_eq!(format!("{:?}", built[0].snapshot.threads), format!("{:?}", whole[0].threads));
    assert_eq!(built[0].snapshot.frames, whole[0].frames);
}

#[test]
fn a_crash_with_its_words() {
    let snapshot = one("panic: runtime error: invalid memory address or nil pointer dereference
[signal SIGSEGV: segmentation violation code=0x1 addr=0x8 pc=0x690fa0]

goroutine 1 [running]:
main.applyRefund(0x41fb49?, 0x2?)
\t/src/main.go:38
main.main()
\t/src/main.go:200 +0xaeb
exit status 2
");
    let stop = snapshot.stop.as_ref().unwrap();
    assert_eq!((stop.thread, stop.frame), (Some(0), 0));
    assert_eq!(stop.signal.unwrap().number, 11);
    assert_eq!(stop.messages.len(), 1);
    assert_eq!(snapshot.go.as_ref().unwrap().form, GoForm::Panic);
    assert!(snapshot.warnings.is_empty());
}

#[test]
fn machine_threads_print_their_goroutine_again() {
    let again = THREE.replace("goroutine 1 [", "goroutine 6 [");
    let snapshot = one(&format!(
        "SIGQUIT: quit\nPC=0x1 m=0 sigcode=0\n\n{THREE}\n-----\n\nSIGQUIT: quit\nPC=0x2 m=1 sigcode=0\n\n{again}"
    ));
    assert_eq!(snapshot.threads.len(), 3);
    assert_eq!(snapshot.go.unwrap().repeated, 3);
    assert!(snapshot.stop.is_none());
}

#[test]
fn several_dumps_in_one_file() {
    let (all, _) = read(&format!("{THREE}\n{}", THREE.replace("goroutine 1 [", "taken again\n\ngoroutine 1 [")));
    assert_eq!(all.iter().map(|snapshot| snapshot.threads.len()).collect::<Vec<_>>(), [3, 3]);
    assert_eq!(all[1].threads[0].source, Source::line(19));
}

#[test]
fn what_is_left_out_of_a_deep_stack() {
    let snapshot = one("goroutine 1 [running]:
main.f(0x1)
\t/a.go:1 +0x1
...209517 frames elided...
main.main()
\t/a.go:2 +0x1
");
    let gap = snapshot.stacks[0].gap.unwrap();
    assert_eq!((gap.after, gap.omitted), (1, 209_517));
    assert_eq!(names(&snapshot, 0), ["main.f", "main.main"]);
}

#[test]
fn stacks_that_could_not_be_read_and_ancestors() {
    let snapshot = one("goroutine 7 [running]:
\tgoroutine running on other thread; stack unavailable
created by main.main in goroutine 1
\t/a.go:1 +0x1

goroutine 8 [running]:
main.f()
\t/a.go:2 +0x1
created by main.g in goroutine 7
\t/a.go:3 +0x1
[originating from goroutine 7]:
main.g(...)
\t/a.go:3 +0x1
created by main.main
\t/a.go:4 +0x1
");
    assert_eq!(snapshot.threads.len(), 2);
    assert_eq!(names(&snapshot, 1), ["main.f"]);
    assert!(snapshot.warnings.is_empty(), "{:?}", snapshot.warnings);
}

#[test]
fn a_torn_goroutine_costs_one_warning() {
    let text = &THREE[..THREE.len() - 20];
    let snapshot = one(text);
    assert_eq!((snapshot.threads.len(), snapshot.warnings.len()), (3, 1));
    let snapshot = one(&format!("goroutine 9 [select]:\n{THREE}"));
    assert_eq!((snapshot.threads.len(), snapshot.warnings.len()), (4, 1));
}

#[test]
fn every_cut_of_a_dump_is_read() {
    for end in 0..THREE.len() {
        read(&THREE[..end]);
    }
}
