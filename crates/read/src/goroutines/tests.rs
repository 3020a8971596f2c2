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
    let [ancestor] = snapshot.go.as_ref().unwrap().ancestors.as_slice() else { panic!() };
    assert_eq!((ancestor.thread, ancestor.goroutine.0), (1, 7));
    let stack = snapshot.stack(ancestor.stack.unwrap()).unwrap();
    let frame = snapshot.frame(stack.frames[0]).unwrap();
    assert_eq!((frame.function.as_deref(), frame.inlined), (Some("main.g"), false));
    assert_eq!(snapshot.frame(ancestor.created_by.unwrap()).unwrap().function.as_deref(), Some("main.main"));
}

#[test]
fn what_machine_threads_print_of_themselves() {
    let registers =
        "rax    0xca\nrbx    0x0\nrcx    0x1\nrdx    0x6\nrdi    0x7\nrsi    0x8\nrbp    0x9\nrip    0x10\n";
    let snapshot = one(&format!(
        "fatal error: stack overflow\n\nruntime stack:\nruntime.throw({{0x1, 0x2}})\n\t/go/panic.go:1 +0x1 fp=0x1 sp=0x2 pc=0x3\n\n{THREE}\n{registers}\n-----\n\ngoroutine 5 [running]:\nmain.x()\n\t/a.go:1 +0x1\n\n{registers}"
    ));
    let go = snapshot.go.as_ref().unwrap();
    let stack = snapshot.stack(go.runtime_stack.unwrap().0).unwrap();
    assert_eq!(snapshot.frame(stack.frames[0]).unwrap().function.as_deref(), Some("runtime.throw"));
    let ran: Vec<_> = go.registers.iter().map(|block| block.goroutine.unwrap().0).collect();
    assert_eq!((ran, go.registers[0].values.len()), (vec![1, 5], 8));
    assert_eq!(go.stack_waits.len(), snapshot.stacks.len());
}

/// A record that came before is skipped as a whole: with all that differs in its header, and the address it waits for.
#[test]
fn records_that_came_before() {
    let record = |id: u32, head: &str, lock: &str| {
        format!(
            "goroutine {id} [{head}]:\nsync.(*Mutex).lockSlow({lock})\n\t/go/mutex.go:1 +0x1\nmain.f(0x{id:x})\n\t/a.go:1 +0x1\n\n"
        )
    };
    let same = record(1, "sync.Mutex.Lock", "0xc000010000").replace("main.f(0x1)", "main.f(0x0)");
    let text = [
        same.clone(),
        same.replace("goroutine 1 [sync.Mutex.Lock]", "goroutine 2 [sync.Mutex.Lock, 3 minutes]"),
        record(3, "sync.Mutex.Lock", "0xc000010000"),
        "a line of a log\n".to_owned(),
        same.replace("goroutine 1 ", "goroutine 4 "),
        // The same text without its empty line: the next header ends it.
        same.replace("goroutine 1 ", "goroutine 5 ").trim_end().to_owned() + "\n",
        same.replace("goroutine 1 ", "goroutine 6 "),
    ]
    .concat();
    let snapshot = one(&text);
    let lines: Vec<_> = snapshot.threads.iter().map(|thread| thread.source).collect();
    assert_eq!(lines, [1, 7, 13, 20, 26, 31].map(Source::line));
    assert_eq!((snapshot.stacks.len(), snapshot.threads[1].waited_s), (1, 180));
    let waits = &snapshot.go.as_ref().unwrap().waits;
    assert!(waits.len() == 6 && waits.iter().all(|wait| wait.address == 0xc0_0001_0000), "{waits:?}");
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
