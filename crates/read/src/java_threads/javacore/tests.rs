//! No `OpenJ9` could be had where these were written: the inputs are by hand, from the printf calls of `OpenJ9`'s `javadump.cpp`. One real
//! javacore (IBM Java 8) is in the corpus and is read by `tests/corpus.rs`.

use necropsy_model::{Activity, Signal, SourceKind, ThreadFlags, ThreadId, WaitKind};

use super::*;

const HEAD: &str = "0SECTION       TITLE subcomponent dump routine\nNULL           ===\n1TICHARSET     UTF-8\n";
const USER: &str =
    "1TISIGINFO     Dump Event \"user\" (00004000) received\n1TIDATETIME    Date: 2026/11/21 at 09:41:13:699\n";
const ENV: &str = "2XHOSLEVEL     OS Level         : Linux 6.1.0\n3XHCPUARCH       Architecture   : amd64\n\
    1CIJAVAVERSION JRE 21.0.5 Linux amd64-64 (build 21.0.5+11)\n1CIPROCESSID   Process ID: 17 (0x11)\n1CICMDLINE     java -jar till.jar\n";
const LOCKS: &str = "0SECTION       LOCKS subcomponent dump routine\n\
    2LKMONINUSE      sys_mon_t:0x00007F5E24013F10 infl_mon_t: 0x00007F5E24013F88:\n\
    3LKMONOBJECT       shop/Drawer@0x00000000E0000010: owner \"till \"2\"\" (J9VMThread:0x0000000000000200), entry count 1\n\
    3LKWAITERQ            Waiting to enter:\n\
    3LKWAITER                \"till-1\" (J9VMThread:0x0000000000000100)\n\
    1LKDEADLOCK    Deadlock detected !!!\n\
    2LKDEADLOCKTHR  Thread \"till-1\" (0x0000000000000100)\n\
    3LKDEADLOCKWTR    is waiting for:\n\
    4LKDEADLOCKOBJ      shop/Drawer@0x00000000E0000010\n\
    2LKDEADLOCKTHR  Thread \"till \"2\"\" (0x0000000000000200)\n\
    2LKDEADLOCKTHR  Thread \"till-1\" (0x0000000000000100)\n";
const THREADS: &str = "0SECTION       THREADS subcomponent dump routine\n1XMTHDINFO     Thread Details\n\
    3XMTHREADINFO      \"till-1\" J9VMThread:0x0000000000000100, omrthread_t:0x01, java/lang/Thread:0x00000000E00000A0, state:B, prio=5\n\
    3XMJAVALTHREAD            (java/lang/Thread getId:0x1C, isDaemon:true)\n\
    3XMTHREADINFO1            (native thread ID:0x3F8, native priority:0x5, native policy:UNKNOWN, vmstate:B, vm thread flags:0x00000201)\n\
    3XMCPUTIME               CPU usage total: 1.500000000 secs, user: 1.0 secs, system: 0.5 secs, current category=\"Application\"\n\
    3XMTHREADBLOCK     Blocked on: shop/Drawer@0x00000000E0000010 Owned by: \"till \"2\"\" (J9VMThread:0x0000000000000200, java/lang/Thread:0x00000000E00000B0)\n\
    3XMTHREADINFO3           Java callstack:\n\
    4XESTACKTRACE                at shop/Till.open(Till.java:7(Compiled Code))\n\
    4XESTACKTRACE                at shop/Till.sell(Till.java:12)\n\
    5XESTACKTRACE                   (entered lock: shop/Till@0x00000000E0000020, entry count: 1)\n\
    3XMTHREADINFO3           Native callstack:\n\
    4XENATIVESTACK               __futex_wait+0x10 (0x00007F0000000010 [libc.so.6+0x10])\n\
    3XMTHREADINFO      \"till \"2\"\" J9VMThread:0x0000000000000200, omrthread_t:0x02, java/lang/Thread:0x00000000E00000B0, state:P, prio=5\n\
    3XMJAVALTHREAD            (java/lang/Thread getId:0x1D, isDaemon:false)\n\
    3XMTHREADBLOCK     Parked on: java/util/concurrent/locks/ReentrantLock$NonfairSync@0x00000000E0000030 Owned by: \"till-1\" (J9VMThread:0x0000000000000100, java/lang/Thread:0x00000000E00000A0)\n\
    4XESTACKTRACE                at java/util/concurrent/locks/LockSupport.park(LockSupport.java:222)\n\
    4XESTACKTRACE                at shop/Stock$$Lambda$7/0x00000000E0B0.run(Bytecode PC:5)\n\
    3XMTHREADINFO      Anonymous native thread\n\
    3XMTHREADINFO1            (native thread ID:0xD2, native priority: 0x0, native policy:UNKNOWN)\n\
    3XMTHREADINFO3           Native callstack:\n\
    4XENATIVESTACK               (0x00002AE37D322962 [libj9prt29.so+0x4f962])\n\
    1XMVTHDINFO    Unmounted Threads\n\
    3XMVTHDINFO        \"order-9\" J9VMContinuation:0x0000000000000900, java/lang/Thread:0x00000000E00000C0\n\
    3XMVTHDINFO1             Type: Virtual\n\
    4XESTACKTRACE                at shop/Order.wait(Order.java:3)\n";
const END: &str = "0SECTION       Javadump End section\n";

fn read<'a>(text: &'a str, arena: &'a Arena) -> Snapshot<'a> {
    assert_eq!(Javacore.probe(text.as_bytes()), Probe::Yes);
    Javacore.read(text.as_bytes(), arena).unwrap().remove(0)
}

#[test]
fn threads_locks_and_their_owners() {
    let arena = Arena::new();
    let text = [HEAD, USER, ENV, LOCKS, THREADS, END].concat();
    let dump = read(&text, &arena);
    assert!(dump.stop.is_none() && dump.warnings.is_empty(), "{:?}", dump.warnings);
    assert_eq!((dump.process.pid, dump.process.os.as_deref()), (Some(17), Some("linux")));
    let [first, second, native, order] = &dump.threads[..] else { panic!("{:?}", dump.threads) };
    let detail = first.detail.as_deref().unwrap();
    assert_eq!((first.id, detail.os_id, first.flags), (ThreadId(0x1C), Some(0x3F8), ThreadFlags::DAEMON));
    assert_eq!(detail.cpu, Some(std::time::Duration::from_millis(1500)));
    let wait = detail.waits_on.as_ref().unwrap();
    assert_eq!((wait.kind, wait.owner), (WaitKind::Lock, Some(ThreadId(0x1D))));
    assert!(matches!(wait.source.kind(), SourceKind::Line(_)));
    let held: Vec<_> = detail.holds.iter().map(|lock| lock.id).collect();
    assert_eq!(held, [0xE000_0020, 0xE000_0030], "the monitor of the frame, and the lock that the other waits for");
    let names: Vec<_> = dump.frames_of(first).filter_map(|frame| frame.function.as_deref()).collect();
    assert_eq!(names, ["shop.Till.open", "shop.Till.sell"], "no native frames above Java ones that did not crash");
    let other = second.detail.as_deref().unwrap();
    assert_eq!(second.name(), Some("till \"2\""));
    assert_eq!(
        (other.waits_on.as_ref().unwrap().kind, other.waits_on.as_ref().unwrap().owner),
        (WaitKind::Lock, Some(ThreadId(0x1C)))
    );
    assert_eq!(other.holds[0].id, 0xE000_0010);
    let hidden = dump.frames_of(second).nth(1).unwrap();
    assert_eq!(
        (hidden.function.as_deref(), hidden.location.is_none()),
        (Some("shop.Stock$$Lambda$7/0x00000000E0B0.run"), true)
    );
    assert!(native.flags.contains(ThreadFlags::SYSTEM) && dump.frames_of(native).count() == 1);
    assert!(order.flags.contains(ThreadFlags::VIRTUAL));
    assert_eq!(dump.activity(first), Activity::Lock);
    assert_eq!(dump.jvm.as_ref().unwrap().reported_deadlocks, [["till-1", "till \"2\""]]);
}

#[test]
fn a_crash_has_its_signal_and_the_frames_from_the_program_counter() {
    let arena = Arena::new();
    let crash = "1TISIGINFO     Dump Event \"gpf\" (00002000) received\n\
        1XHEXCPCODE    J9Generic_Signal_Number: 00000018\n1XHEXCPCODE    Signal_Number: 0000000B\n1XHEXCPCODE    Signal_Code: 00000001\n\
        1XHEXCPCODE    InaccessibleAddress: 0000000000000008\n1XHEXCPMODULE  Module: /srv/till/libtill.so\n\
        1XHREGISTERS   Registers:\n2XHREGISTER      RIP: 00007F0000000020\n2XHREGISTER      RAX: 0000000000000000\n";
    let current = "1XMCURTHDINFO  Current thread\n\
        3XMTHREADINFO      \"main\" J9VMThread:0x0000000000000300, omrthread_t:0x03, java/lang/Thread:0x00000000E00000D0, state:R, prio=5\n\
        3XMJAVALTHREAD            (java/lang/Thread getId:0x1, isDaemon:false)\n\
        4XESTACKTRACE                at shop/Till.balance(Native Method)\n\
        4XENATIVESTACK               (0x00007F0000000001 [libj9prt29.so+0x1])\n\
        4XENATIVESTACK               read_balance+0x4 (0x00007F0000000020 [libtill.so+0x20])\n\
        4XENATIVESTACK               (0x00007F0000000030 [libj9vm29.so+0x30])\n";
    let again = current.replace("1XMCURTHDINFO  Current thread\n", "1XMTHDINFO     Thread Details\n");
    let text = [HEAD, crash, ENV, current, &again, END].concat();
    let dump = read(&text, &arena);
    assert_eq!(dump.threads.len(), 1, "the current thread is listed twice");
    let stop = dump.stop.as_ref().unwrap();
    assert_eq!(stop.signal, Some(Signal { number: Signal::SEGV, code: Some(1) }));
    assert_eq!((stop.address.map(|address| address.0), stop.thread), (Some(8), Some(0)));
    let names: Vec<_> = dump.frames_of(&dump.threads[0]).filter_map(|frame| frame.function.as_deref()).collect();
    assert_eq!(names, ["read_balance", "shop.Till.balance"]);
    assert_eq!(dump.threads[0].registers().unwrap().by_name("rax"), Some(0));
}

#[test]
fn memory_that_ran_out_is_no_signal() {
    let arena = Arena::new();
    let event = "1TISIGINFO     Dump Event \"systhrow\" (00040000) Detail \"java/lang/OutOfMemoryError\" \"Java heap space\" received\n";
    let text = [HEAD, event, ENV, THREADS, END].concat();
    let dump = read(&text, &arena);
    let stop = dump.stop.as_ref().unwrap();
    assert_eq!(stop.messages[0].text, "java.lang.OutOfMemoryError: Java heap space");
    assert!(stop.signal.is_none());
}

#[test]
fn cut_or_torn_it_is_read_as_far_as_it_goes() {
    let text = [HEAD, USER, ENV, LOCKS, THREADS].concat();
    for end in 0..text.len() {
        let arena = Arena::new();
        let _ = Javacore.read(text.get(..end).unwrap_or_default().as_bytes(), &arena);
    }
    let arena = Arena::new();
    assert!(read(&text, &arena).warnings[0].text.contains("no end"));
    let windows = text.replace('\n', "\r\n");
    assert_eq!(read(&windows, &arena).threads.len(), 4);
    let wide: Vec<u8> = [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    assert_eq!(Javacore.probe(&wide), Probe::Yes);
    assert_eq!(Javacore.read(&wide, &arena).unwrap()[0].threads.len(), 4);
}
