//! What a bound cuts is said, once for each list: every list of every reader, filled beyond what it takes.

use std::fmt::Write as _;

use necropsy_model::Arena;

/// The warnings of all dumps in a text that say that something was left out.
fn left_out(text: &str) -> Vec<String> {
    let arena = Arena::new();
    let dumps = necropsy_read::read(text.as_bytes(), &arena, None).unwrap();
    let warnings = dumps.iter().flat_map(|dump| &dump.warnings).map(|warning| warning.text.to_string());
    let words = ["left out", "not read", "are read;", "not reported"];
    warnings.filter(|text| words.iter().any(|word| text.contains(word))).collect()
}

/// `count` lines, each with its number.
fn lines(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).fold(String::new(), |mut text, number| {
        let _ = writeln!(text, "{}", line(number));
        text
    })
}

const LOG: &str = "#
# A fatal error has been detected by the Java Runtime Environment:
#
#  SIGSEGV (0xb) at pc=0x00007f0000001010, pid=7, tid=8
#
# JRE version: OpenJDK Runtime Environment (17.0.1+1) (build 17.0.1+1)
# Java VM: OpenJDK 64-Bit Server VM (17.0.1+1, mixed mode, linux-amd64)
#
";

/// A log with a section of so many lines.
fn log(heading: &str, count: usize, line: impl Fn(usize) -> String) -> String {
    format!("{LOG}\n{heading}\n{}\nEND.\n", lines(count, line))
}

#[test]
fn lists_of_a_fatal_error_log() {
    type Line = fn(usize) -> String;
    let registers = "R1=0x01, R2=0x02, ";
    let cases: [(&str, usize, Line, &str); 19] = [
        ("Native frames: (J=compiled)", 8192, |at| format!("C  [libx.so+0x{at:x}]"), "8192 frames of one stack"),
        ("Java frames: (J=compiled)", 8192, |at| format!("j  A.f{at}()V+0"), "8192 frames of one stack"),
        (
            "Lock stack of current Java thread (top to bottom):",
            1024,
            |at| format!("LockStack[{at}]: 0x1"),
            "1024 entries of the lock stack",
        ),
        (
            "VM Mutex/Monitor currently owned by a thread: ([mutex/lock_event])",
            1024,
            |at| format!("[0x{at:016x}] Heap_lock - owner thread: 0x1"),
            "1024 mutexes",
        ),
        ("GC Precious Log:", 1024, |at| format!(" setting {at}"), "1024 settings of the heap"),
        ("JVMTI agents:", 1024, |at| format!("/x/{at}.so path:none"), "1024 agents"),
        ("Heap:", 256, |at| format!(" space{at} total 12K, used 3K [0x1, 0x2, 0x3)"), "256 spaces of the heap"),
        ("[Global flags]", 8192, |at| format!("     intx F{at} = 2 {{product}}"), "8192 flags"),
        ("Environment Variables:", 8192, |at| format!("V{at}=1"), "8192 environment variables"),
        (
            "Signal Handlers:",
            8192,
            |_| "SIGSEGV: crash_handler in libjvm.so, mask=1, flags=2".to_owned(),
            "8192 signal handlers",
        ),
        (
            "Native Memory Tracking:",
            8192,
            |at| format!("- Part{at} (reserved=1KB, committed=1KB)"),
            "8192 lines of native memory",
        ),
        ("/proc/meminfo:", 1024, |at| format!("Part{at}: 1 kB"), "1024 sizes of memory"),
        ("container (cgroup) information:", 1024, |at| format!("key{at}: 1"), "1024 lines about the container"),
        (
            "Compilation events (20 events):",
            10_000,
            |_| "Event: 0.1 Thread 0x1 text".to_owned(),
            "10000 events of one ring",
        ),
        ("", 64, |at| format!("Ring {at} events (1 events):"), "64 rings of events"),
        ("", 1024, |at| format!("/proc/sys/k{at}: 1"), "1024 settings of the kernel"),
        ("", 256, |at| format!("CodeHeap 'c{at}': size=1Kb used=1Kb"), "256 heaps of code"),
        (
            "",
            1024,
            |at| format!("[error occurred during error reporting (step {at}), id 0xb]"),
            "1024 marks of failed steps",
        ),
        (
            "Stack slot to memory mapping:",
            128,
            |at| format!("stack at sp + {at} slots: 0x1 is an unknown value"),
            "128 words of the stack with what they point to",
        ),
    ];
    for (heading, most, line, what) in cases {
        let said = format!("there are more than {what}; the others are left out");
        assert_eq!(left_out(&log(heading, most, line)), [""; 0], "{heading}: as many as fit");
        assert_eq!(left_out(&log(heading, most + 1, line)), [said], "{heading}");
    }
    let limits = lines(1, |_| format!("rlimit: {}", "CORE 0k, ".repeat(1025)));
    assert_eq!(left_out(&format!("{LOG}\n{limits}END.\n")).len(), 1);
    let arguments = format!("{LOG}\nVM Arguments:\njvm_args: {}\nEND.\n", "-Dx ".repeat(8193));
    assert_eq!(left_out(&arguments).len(), 1);
    let rows =
        log("Top of Stack: (sp=0x1000)", 4097, |at| format!("0x{:016x}:   0000000000000001 0000000000000002", at * 16));
    assert_eq!(left_out(&rows), ["there are more than 65536 bytes of a piece of memory; the others are left out"]);
    let header = format!("{LOG}{}\nEND.\n", "# and so on\n".repeat(200));
    assert_eq!(left_out(&header), ["there are more than 200 lines of the header; the others are left out"]);
    let many = format!("{LOG}\nRegisters:\n{}\nEND.\n", lines(129, |at| format!("Q{at}=0x0000000000000001")));
    assert_eq!(left_out(&many), ["there are more than 128 registers; the others are left out"]);
    let mapped = log("Register to memory mapping:", 129, |at| format!("Q{at}=0x0000000000000001 is an unknown value"));
    assert_eq!(left_out(&mapped).len(), 1, "{registers}");
}

#[test]
fn dumps_in_one_file() {
    let logs = left_out(&LOG.repeat(257));
    assert_eq!(logs.len(), 1, "{logs:?}");
    assert!(logs[0].contains("257 dumps") && logs[0].contains("first 256"), "{logs:?}");
    let one = "0SECTION       TITLE subcomponent dump routine\n1TISIGINFO     Dump Requested By User (00100000) Through com.ibm.jvm.Dump\n\
3XMTHREADINFO      \"a\" J9VMThread:0x01, java/lang/Thread:0x02, state:R, prio=5\n";
    let cores = left_out(&one.repeat(66));
    assert_eq!(cores.len(), 1, "{cores:?}");
    assert!(cores[0].contains("66 dumps") && cores[0].contains("first 64"), "{cores:?}");
    assert_eq!(left_out(&one.repeat(64)), [""; 0]);
}

#[test]
fn fields_of_a_report_of_apport() {
    let report =
        |count: usize| format!("ProblemType: Crash\nSignal: 11\n{}", lines(count - 2, |at| format!("Field{at}: x")));
    assert_eq!(left_out(&report(4096)), [""; 0]);
    assert_eq!(left_out(&report(4097)), ["there are more than 4096 fields; the others are left out"]);
}

#[test]
fn modules_of_a_table() {
    let table = |count| lines(count, |at| format!("{:x}000-{0:x}fff r-xp 00000000 fe:00 12 /lib/{at}.so", 2 * at + 16));
    let told = |count| necropsy_read::maps(table(count).as_bytes()).unwrap().warnings.len();
    assert_eq!((told(1 << 16), told((1 << 16) + 1)), (0, 1));
}

#[test]
fn tasks_and_ends_of_a_kernel_log() {
    let block = |count| {
        format!(
            "ledger invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0\n\
[  pid  ]   uid  tgid total_vm      rss rss_anon rss_file rss_shmem pgtables_bytes swapents oom_score_adj name\n{}\
Out of memory: Killed process 9 (w) total-vm:71048kB, anon-rss:61184kB, file-rss:256kB, shmem-rss:0kB, UID:0 pgtables:184kB oom_score_adj:0\n",
            lines(count, |at| format!("[ {at} ] 0 {at} 17762 100 90 10 0 188416 0 -50 worker"))
        )
    };
    assert_eq!(left_out(&block(65_536)), [""; 0]);
    let said = "there are more than 65536 tasks in the table of the kernel; the others are left out";
    assert_eq!(left_out(&block(65_537)), [said]);
    let kills =
        lines(10_001, |at| format!("Out of memory: Killed process {at} (w) total-vm:1kB, anon-rss:1kB, file-rss:1kB"));
    assert_eq!(left_out(&kills).len(), 1, "kills beyond the ends that are reported");
}

#[test]
fn arguments_and_lines_of_printed_stacks() {
    let stack = |count| {
        let arguments: Vec<_> = (0..count).map(|at| format!("a{at}=1")).collect();
        format!(
            "#0  0x0000000000001000 in f ({}) at a.c:1\n#1  0x0000000000002000 in main () at a.c:2\n",
            arguments.join(", ")
        )
    };
    assert_eq!(left_out(&stack(64)), [""; 0]);
    assert_eq!(left_out(&stack(65)), ["there are more than 64 arguments of one frame; the others are left out"]);
    let long = format!("{}#2  0x0000000000003000 in g (x=\"{}\") at a.c:3\n", stack(1), "y".repeat(64 << 10));
    assert_eq!(left_out(&long), ["1 line is longer than 65536 bytes: the frame on it is left out"]);
}

#[test]
fn ancestors_of_a_goroutine() {
    let dump = |count| {
        let ancestor = |at| {
            format!(
                "[originating from goroutine {at}]:\nmain.f(...)\n\t/a.go:1 +0x1\ncreated by main.main\n\t/a.go:2 +0x2"
            )
        };
        format!(
            "goroutine 900 [running]:\nmain.g()\n\t/a.go:3 +0x3\ncreated by main.f\n\t/a.go:4 +0x4\n{}\n",
            lines(count, ancestor)
        )
    };
    assert_eq!(left_out(&dump(32)), [""; 0]);
    assert_eq!(left_out(&dump(33)), ["there are more than 32 ancestors of one goroutine; the others are left out"]);
}
