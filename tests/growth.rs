//! Four times the input is four times the work, counted in instructions by valgrind and not by a clock: work that grows with the square
//! of what a file lists lets a small file keep the tool busy for hours. Every case here was quadratic once, or would be if a set became
//! a list again. Without valgrind the cases are skipped, with a word.

#![allow(clippy::print_stderr, reason = "a test that is skipped says so")]

use std::fmt::Write as _;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Entries of the small input; the large one has four times as many. Enough for the entries to outweigh the start of the program.
const SMALL: usize = 250;
/// Growth of the work that is allowed, in tenths. Quadratic work of entries as small as these is above seven times.
const MOST_TENTHS: u64 = 50;

fn each(count: usize, one: impl Fn(usize) -> String) -> String {
    (0..count).fold(String::new(), |mut text, at| {
        let _ = writeln!(text, "{}", one(at));
        text
    })
}

const JVM: &str = "2026-11-21 09:41:13\nFull thread dump OpenJDK 64-Bit Server VM (17.0.1+12 mixed mode):\n\n";
const JAVACORE: &str = "0SECTION       TITLE subcomponent dump routine\n1TISIGINFO     Dump Requested By User (00100000) Through com.ibm.jvm.Dump\n";

/// Threads of a javacore that each initialise a class another one waits for.
fn javacore_class_initialisation(count: usize) -> String {
    let thread = |at| {
        format!(
            "3XMTHREADINFO      \"t{at}\" J9VMThread:0x{0:016x}, java/lang/Thread:0x{0:016x}, state:CW, prio=5\n\
3XMTHREADBLOCK     Waiting on: java/lang/J9VMInternals$ClassInitializationLock@0x{1:016x} Owned by: <unowned> Initializing thread: \"t{0}\"\n\
4XESTACKTRACE                at a/B.f(B.java:7)",
            at + 1,
            at + 99_999
        )
    };
    JAVACORE.to_owned() + &each(count, thread)
}

/// Threads of a javacore that wait for a lock each, all held by the first.
fn javacore_one_holder(count: usize) -> String {
    let thread = |at| {
        format!(
            "3XMTHREADINFO      \"t{at}\" J9VMThread:0x{0:016x}, java/lang/Thread:0x{0:016x}, state:B, prio=5\n\
3XMTHREADBLOCK     Blocked on: a/L@0x{1:016x} Owned by: \"t0\" (J9VMThread:0x0000000000000001, java/lang/Thread:0x0000000000000001)\n\
4XESTACKTRACE                at a/B.f(B.java:7)",
            at + 1,
            at + 99_999
        )
    };
    let lock = |at: usize| {
        format!(
            "3LKMONOBJECT       a/L@0x{:016x}: Flat locked by \"t0\" (J9VMThread:0x0000000000000001), entry count 1",
            at + 99_999
        )
    };
    format!("{JAVACORE}{}{}0SECTION       Javadump End section\n", each(count, thread), each(count, lock))
}

fn java_thread(at: usize, state: &str, frames: &str) -> String {
    format!(
        "\"t{at}\" #{at} prio=5 os_prio=0 cpu=1.0ms elapsed=2.0s tid=0x{at:016x} nid=0x{at:x} {state} [0x00007f]\n\
   java.lang.Thread.State: BLOCKED (on object monitor)\n{frames}\n"
    )
}

/// Threads that each wait for a class that another one initialises.
fn class_initialisation(count: usize) -> String {
    let thread = |at: usize| {
        let next = (at + 1) % count;
        let frames =
            format!("\tat a.C{at}.<clinit>(C.java:7)\n\t- waiting on the Class initialization monitor for a.C{next}\n");
        java_thread(at, "in Object.wait()", &frames)
    };
    JVM.to_owned() + &each(count, thread)
}

/// One circle of all threads.
fn one_circle(count: usize) -> String {
    let thread = |at: usize| {
        let (own, next) = (at + 1, (at + 1) % count + 1);
        let frames =
            format!("\tat a.B.f(B.java:7)\n\t- waiting to lock <0x{next:x}> (a L)\n\t- locked <0x{own:x}> (a L)\n");
        java_thread(at, "waiting for monitor entry", &frames)
    };
    JVM.to_owned() + &each(count, thread)
}

/// `bt` and then `thread apply all bt`: stacks without a heading, and as many with one.
fn printed_twice(count: usize) -> String {
    let frames =
        |at: usize| format!("#0  0x{at:016x} in f{at} () at a.c:1\n#1  0x0000000000002000 in main () at a.c:2\n");
    let plain = each(count, |at| frames(at + 4096));
    plain + &each(count, |at| format!("Thread {} (Thread 0x{at:x} (LWP {at})):\n{}", at + 1, frames(at + 999_999)))
}

/// Tasks of the kernel's table.
fn tasks(count: usize) -> String {
    format!(
        "ledger invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0\n\
[  pid  ]   uid  tgid total_vm      rss rss_anon rss_file rss_shmem pgtables_bytes swapents oom_score_adj name\n{}\
Out of memory: Killed process 9 (w) total-vm:71048kB, anon-rss:61184kB, file-rss:256kB, shmem-rss:0kB, UID:0 pgtables:184kB oom_score_adj:0\n",
        each(4 * count, |at| format!("[ {at} ] 0 {at} 17762 100 90 10 0 188416 0 -50 worker"))
    )
}

/// Instructions of a triage.
fn instructions(text: &str) -> u64 {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]);
    let done = valgrind.arg(env!("CARGO_BIN_EXE_necropsy")).arg("--no-config").arg(file.path()).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    let count = said.lines().find_map(|line| line.split_once("refs:")).unwrap_or_else(|| panic!("{said}"));
    count.1.chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

type Case = (&'static str, fn(usize) -> String);

#[test]
fn four_times_the_input_is_four_times_the_work() {
    if Command::new("valgrind").arg("--version").output().is_err() {
        eprintln!("growth: skipped, valgrind is not installed");
        return;
    }

    let cases: [Case; 6] = [
        ("javacore, class initialisation", javacore_class_initialisation),
        ("javacore, one holder", javacore_one_holder),
        ("class initialisation", class_initialisation),
        ("one circle of all threads", one_circle),
        ("stacks that gdb printed twice", printed_twice),
        ("tasks in the table of the kernel", tasks),
    ];
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some((what, make)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (small, large) = (instructions(&make(SMALL)), instructions(&make(4 * SMALL)));
            assert!(large * 10 < small * MOST_TENTHS, "{what}: {small} instructions, {large} for four times the input");
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
}
