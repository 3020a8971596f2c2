use super::*;
use necropsy_model::{Activity, ThreadFlags, WaitKind};

const DUMP: &str = r#"4711:
2026-11-21 01:42:57
Full thread dump OpenJDK 64-Bit Server VM (25.0.3+9-LTS mixed mode, sharing):

Threads class SMR info:
_java_thread_list=0x00007f, length=2, elements={
0x00007f, 0x00007e
}

"left" #21 [31] prio=5 os_prio=0 cpu=1.00ms elapsed=2.00s tid=0x00007f nid=31 waiting for monitor entry  [0x00007f]
   java.lang.Thread.State: BLOCKED (on object monitor)
	at shop.Cart.move(Cart.java:9)
	- waiting to lock <0x0020> (a shop.Cart)
	- locked <0x0010> (a shop.Cart)
	- eliminated <owner is scalar replaced> (a shop.Box)	at shop.Main.run(Main.java:3)

2026-11-21 01:42:58 INFO a foreign line

"right "x" #7 [a]" #22 daemon prio=5 os_prio=0 cpu=1,00ms elapsed=2,00s tid=0x00007f nid=32 waiting on condition  [0x00007f]
   java.lang.Thread.State: WAITING (parking)
	at jdk.internal.misc.Unsafe.park(java.base@25.0.3/Native Method)
	- parking to wait for  <0x0010> (a java.util.concurrent.locks.ReentrantLock$FairSync)
	at shop.Main.run(Main.java:4)

   Locked ownable synchronizers:
	- None

"waiter" #23 prio=5 os_prio=0 cpu=1.00ms elapsed=2.00s tid=0x00007f nid=33 in Object.wait()  [0x00007f]
   java.lang.Thread.State: WAITING (on object monitor)
	at java.lang.Object.wait0(java.base@25.0.3/Native Method)
	- waiting on <0x0030> (a shop.Box)
	at shop.Box.take(Box.java:5)
	- locked <0x0030> (a shop.Box)

"VM Thread" os_prio=0 cpu=0.11ms elapsed=3.00s tid=0x00007f nid=30 runnable

JNI global refs: 12, weak refs: 0


Found one Java-level deadlock:
=============================
"left":
  waiting to lock monitor 0x00007f (object 0x0020, a shop.Cart),
  which is held by "right "x" #7 [a]"

"right "x" #7 [a]":
  waiting for ownable synchronizer 0x0010, (a java.util.concurrent.locks.ReentrantLock$FairSync),
  which is held by "left"

Java stack information for the threads listed above:
===================================================
"left":
	at shop.Cart.move(Cart.java:9)
	- waiting to lock <0x0020> (a shop.Cart)

Found 1 deadlock.

Heap
 garbage-first heap   total reserved 262144K, committed 262144K, used 6589K [0x00000000f0000000, 0x0000000100000000)
"#;

fn with(data: &[u8], check: impl FnOnce(&[Snapshot<'_>])) {
    let arena = Arena::new();
    check(&crate::read(data, &arena, None).unwrap());
}

#[test]
fn a_dump_of_jdk_25() {
    with(DUMP.as_bytes(), |dumps| {
        let [dump] = dumps else { panic!("{}", dumps.len()) };
        assert_eq!((dump.process.pid, dump.process.taken_at.as_deref()), (Some(4711), Some("2026-11-21 01:42:57")));
        let ids: Vec<_> = dump.threads.iter().map(|thread| thread.id.0).collect();
        assert_eq!(ids, [21, 22, 23, 30]);
        let [left, right, waiter, vm] = &dump.threads[..] else { panic!() };
        assert_eq!(right.name(), Some("right \"x\" #7 [a]"));
        assert!(right.flags.contains(ThreadFlags::DAEMON) && vm.flags.contains(ThreadFlags::SYSTEM));
        assert_eq!(dump.frames_of(left).count(), 2, "the frame behind the eliminated lock");
        let wait = |thread: &necropsy_model::Thread<'_>| {
            let wait = thread.detail.as_ref()?.waits_on.as_ref()?;
            Some((wait.kind, wait.owner.map(|owner| owner.0)))
        };
        assert_eq!(wait(left), Some((WaitKind::Lock, Some(22))), "its owner is known from the VM's section");
        assert_eq!(wait(right), Some((WaitKind::Lock, Some(21))));
        assert_eq!(wait(waiter), Some((WaitKind::Condition, None)));
        assert!(waiter.detail.as_ref().unwrap().holds.is_empty(), "Object.wait gives the monitor back");
        assert_eq!(dump.activity(left), Activity::Lock);
        assert_eq!(dump.jvm.as_ref().unwrap().reported_deadlocks, [["left", "right \"x\" #7 [a]"]]);
        assert!(dump.warnings.is_empty(), "{:?}", dump.warnings);
    });
}

#[test]
fn wrapped_dumps_are_the_same() {
    let wide: Vec<u8> = DUMP.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let marked = [&[0xff, 0xfe], wide.as_slice()].concat();
    let prefixed = DUMP.lines().fold(String::new(), |text, line| text + "web-1 | " + line + "\n");
    let twice = format!("{DUMP}\n{DUMP}");
    let windows = DUMP.replace('\n', "\r\n");
    for (data, dumps) in
        [(&wide[..], 1), (&marked, 1), (prefixed.as_bytes(), 1), (windows.as_bytes(), 1), (twice.as_bytes(), 2)]
    {
        with(data, |read| {
            assert_eq!(read.len(), dumps);
            for dump in read {
                assert_eq!((dump.threads.len(), dump.jvm.as_ref().unwrap().reported_deadlocks.len()), (4, 1));
                assert_eq!(dump.frames_of(&dump.threads[0]).count(), 2);
            }
        });
    }
}

#[test]
fn every_cut_is_read() {
    let arena = Arena::new();
    for end in 0..DUMP.len() {
        let data = arena.keep_str(DUMP[..end].to_owned()).as_bytes();
        if let Ok(dumps) = JavaThreads.read(data, &arena) {
            assert!(dumps.len() <= 1 && dumps.iter().all(|dump| dump.threads.len() <= 4));
        }
    }
}

#[test]
fn a_name_over_two_lines_and_a_part_of_a_dump() {
    let part = "\"two\nlines\" #9 prio=5 os_prio=0 tid=0x0 nid=0x9 runnable [0x0]\n   java.lang.Thread.State: RUNNABLE\n\
                \tat java.net.SocketInputStream.socketRead0(Native Method)\n";
    with(part.as_bytes(), |dumps| {
        let thread = &dumps[0].threads[0];
        assert_eq!((thread.name(), dumps[0].activity(thread)), (Some("two\nlines"), Activity::Io));
        assert!(dumps[0].warnings[0].text.contains("no end"));
    });
}

#[test]
fn classes_that_initialise_each_other() {
    let thread = |name: &str, number: u32, own: &str, other: &str| {
        format!(
            "\"{name}\" #{number} prio=5 tid=0x0 nid=0x{number} in Object.wait()  [0x0]\n   java.lang.Thread.State: RUNNABLE\n\
             \tat {own}.<clinit>({own}.java:1)\n\t- waiting on the Class initialization monitor for {other}\n\n"
        )
    };
    let part = thread("a", 1, "A", "B") + &thread("b", 2, "B", "A");
    with(part.as_bytes(), |dumps| {
        let owner = |at: usize| dumps[0].threads[at].detail.as_ref()?.waits_on.as_ref()?.owner.map(|owner| owner.0);
        assert_eq!((owner(0), owner(1)), (Some(2), Some(1)));
    });
}

/// A thread in a monitor that wants another one, as `jhsdb jstack` prints it; `first` and `last` are what it says of the monitors.
fn from_outside(first: &str, last: &str) -> String {
    let thread = |name: &str, number: u64, held: &str, wanted: &str| {
        format!(
            "\"{name}\" #{number} prio=5 tid=0x01 nid={number} waiting for monitor entry [0x02]\n   \
             java.lang.Thread.State: BLOCKED (on object monitor)\n   JavaThread state: _thread_blocked\n \
             - Ledger.transfer(Ledger$Account, Ledger$Account) @bci=27, line=54 (Interpreted frame)\n\
             \t- {first} <{held}> (a Ledger$Account)\n\t- {last} <{wanted}> (a Ledger$Account)\n \
             - Ledger.main(java.lang.String[]) @bci=0, line=3 (Interpreted frame)\n\n"
        )
    };
    format!(
        "Attaching to process ID 7, please wait...\nDebugger attached successfully.\nServer compiler detected.\nJVM version is 25.0.3\n\
         Deadlock Detection:\n\nFound one Java-level deadlock:\n=====\n\n\"a\":\n  waiting to lock Monitor@0x01 (Object@0x20, a Ledger$Account),\n  \
         which is held by \"b\"\n\"b\":\n  waiting to lock Monitor@0x02 (Object@0x10, a Ledger$Account),\n  which is held by \"a\"\n\n\
         Found a total of 1 deadlock.\n\n{}{}",
        thread("a", 12, "0x10", "0x20"),
        thread("b", 13, "0x20", "0x10")
    )
}

#[test]
fn the_agent_is_not_believed_which_of_two_monitors_it_waits_for() {
    for (first, last) in [("locked", "locked"), ("waiting to lock", "locked"), ("locked", "waiting to lock")] {
        let text = from_outside(first, last);
        let arena = Arena::new();
        let dumps = JavaThreads.read(text.as_bytes(), &arena).unwrap();
        let [dump] = &dumps[..] else { panic!("{} dumps", dumps.len()) };
        assert_eq!((dump.threads.len(), dump.process.pid, dump.warnings.len()), (2, Some(7), 0));
        for (thread, held, wanted, owner) in [(0, 0x10, 0x20, 13), (1, 0x20, 0x10, 12)] {
            let detail = dump.threads[thread].detail.as_ref().unwrap();
            let wait = detail.waits_on.as_ref().unwrap();
            assert_eq!(wait.lock.as_ref().unwrap().id, wanted, "{first}, {last}");
            assert_eq!(wait.owner, Some(necropsy_model::ThreadId(owner)));
            assert_eq!(detail.holds.iter().map(|lock| lock.id).collect::<Vec<_>>(), [held]);
        }
        let names: Vec<_> = dump.frames_of(&dump.threads[0]).filter_map(|frame| frame.function.as_deref()).collect();
        assert_eq!(names, ["Ledger.transfer", "Ledger.main"]);
    }
}
