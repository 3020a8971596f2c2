//! What cores of other projects' tests are known to be: signal, kind, threads, the crashed stack, and what must be said of the
//! core itself.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::unwind::{Corpus, begins, frames};

/// A core and what is known of it.
#[derive(Clone, Copy)]
struct Truth {
    core: &'static str,
    /// Executable in the corpus; empty for none.
    exe: &'static str,
    /// Signal; empty for a core of a live process.
    signal: &'static str,
    /// Rule of the first finding.
    rule: &'static str,
    /// How many threads.
    threads: u64,
    /// The thread that stopped, innermost function first; as many as are certain.
    stack: &'static str,
    /// Part of a warning that must stand in the report.
    warning: &'static str,
}

const fn truth(
    core: &'static str,
    exe: &'static str,
    signal: &'static str,
    rule: &'static str,
    threads: u64,
    stack: &'static str,
) -> Truth {
    Truth { core, exe, signal, rule, threads, stack, warning: "" }
}

const fn warned(truth: Truth, warning: &'static str) -> Truth {
    Truth { warning, ..truth }
}

/// A core of a machine whose stacks are not unwound: read as far as it goes, and refused with the reason.
const fn refused(
    core: &'static str,
    signal: &'static str,
    rule: &'static str,
    threads: u64,
    why: &'static str,
) -> Truth {
    warned(truth(core, "", signal, rule, threads, ""), why)
}

const NO_HEADERS: &str = "the core holds no build id";
const GCORE: &str = "written by gcore";

const TRUTHS: &[Truth] = &[
    truth("lldb16/elf-core/altmain.core", "lldb16/elf-core/altmain.out", "SIGSEGV", "null-pointer", 1, "_start"),
    truth(
        "lldb16/elf-core/linux-x86_64.core",
        "lldb16/elf-core/linux-x86_64.out",
        "SIGSEGV",
        "null-pointer",
        1,
        "bar foo _start",
    ),
    truth(
        "lldb16/elf-core/linux-aarch64.core",
        "lldb16/elf-core/linux-aarch64.out",
        "SIGSEGV",
        "null-pointer",
        1,
        "bar foo _start",
    ),
    warned(
        truth(
            "lldb16/elf-core/linux-aarch64-pac.core",
            "lldb16/elf-core/linux-aarch64-pac.out",
            "SIGSEGV",
            "null-pointer",
            1,
            "bar foo _start",
        ),
        NO_HEADERS,
    ),
    // Small enough that the dump holds the whole file, symbols included.
    truth("lldb16/elf-core/linux-aarch64-neon.core", "", "SIGSEGV", "null-pointer", 1, "bar foo _start"),
    truth("lldb16/elf-core/linux-fpr_sse_x86_64.core", "", "SIGSEGV", "null-pointer", 1, "_start()"),
    refused("lldb16/elf-core/linux-i386.core", "SIGSEGV", "null-pointer", 1, "stacks of i386 are not unwound"),
    refused("lldb16/elf-core/linux-s390x.core", "SIGSEGV", "null-pointer", 1, "stacks of s390x are not unwound"),
    refused("lldb16/elf-core/linux-ppc64le.core", "SIGSEGV", "null-pointer", 1, "stacks of ppc64 are not unwound"),
    // `raise(SIGILL)` in one thread: no fault, and no hang either.
    warned(truth("lldb16/elf-core/thread_crash/linux-x86_64.core", "", "SIGILL", "signal-sent", 3, "?"), NO_HEADERS),
    warned(truth("lldb16/elf-core/gcore/linux-x86_64.core", "", "", "not-a-crash", 3, "?"), GCORE),
    warned(truth("pystack/segfault.core", "", "SIGSEGV", "wild-pointer", 1, "?"), NO_HEADERS),
    warned(truth("pystack/signal.core", "", "SIGBUS", "signal-sent", 1, "?"), NO_HEADERS),
    truth("drgn/crashme.core", "drgn/crashme", "SIGSEGV", "null-pointer-offset", 1, ""),
    truth("drgn/crashme_static.core", "drgn/crashme_static", "SIGSEGV", "null-pointer-offset", 1, "c b a crashme main"),
    truth(
        "drgn/crashme_static_pie.core",
        "drgn/crashme_static_pie",
        "SIGSEGV",
        "null-pointer-offset",
        1,
        "c b a crashme main",
    ),
    warned(truth("drgn/crashme_pie_no_headers.core", "", "SIGSEGV", "null-pointer-offset", 1, "?"), NO_HEADERS),
    truth(
        "satyr/programs/null_dereference.core.x86_64",
        "satyr/programs/null_dereference.bin.x86_64",
        "SIGSEGV",
        "null-pointer",
        1,
        "main",
    ),
    truth(
        "golang-debug/testdata/core",
        "golang-debug/testdata/tmp/test",
        "SIGABRT",
        "go-panic-in-core",
        5,
        "runtime.raise runtime.dieFromSignal runtime.crash runtime.dopanic_m runtime.dopanic.func1 runtime.systemstack runtime.systemstack_switch runtime.dopanic runtime.gopanic runtime.panicmem runtime.sigpanic main.main",
    ),
    refused("gdb/i386-biarch-core.core", "SIGSEGV", "unexplained-fault", 1, "stacks of i386 are not unwound"),
    refused("elfutils/backtrace.i386.core", "SIGABRT", "abort-called", 2, "stacks of i386 are not unwound"),
    refused("elfutils/backtrace.ppc.core", "SIGABRT", "abort-called", 2, "stacks of ppc are not unwound"),
    refused("elfutils/backtrace.s390.core", "SIGABRT", "abort-called", 2, "stacks of s390 are not unwound"),
    refused("elfutils/backtrace.s390x.core", "SIGABRT", "abort-called", 2, "stacks of s390x are not unwound"),
    refused("elfutils/backtrace.sparc.core", "SIGABRT", "abort-called", 2, "stacks of sparc are not unwound"),
    refused("elfutils/backtrace.x32.core", "SIGABRT", "abort-called", 2, "stacks of x32 are not unwound"),
    truth(
        "elfutils/testfiledwarfinlines.core",
        "elfutils/testfiledwarfinlines",
        "SIGFPE",
        "division-by-zero",
        1,
        "fubar foobar bar foo fu(int) main",
    ),
    truth(
        "elfutils/testfile-backtrace-demangle.core",
        "elfutils/testfile-backtrace-demangle",
        "SIGSEGV",
        "null-pointer",
        1,
        "cxxfunc(int) f main ?",
    ),
    truth("elfutils/testfile70.core", "elfutils/testfile70.exec", "SIGSEGV", "null-pointer", 1, "main"),
    warned(truth("elfutils/testfile_aarch64_core", "", "SIGSEGV", "wild-pointer", 1, "?"), NO_HEADERS),
    refused("elfutils/testfile-m68k-core", "SIGSEGV", "wild-pointer", 1, "stacks of m68k are not unwound"),
    refused("elfutils/testfile-riscv64-core", "SIGSEGV", "wild-pointer", 1, "stacks of riscv64 are not unwound"),
    warned(
        truth(
            "local/simple/core.trunc8",
            "local/simple/crash1_O0",
            "SIGSEGV",
            "null-pointer-offset",
            4,
            "apply_refund",
        ),
        "the core is cut: 636847 of 692224 bytes are missing (92 %)",
    ),
    warned(
        truth(
            "local/simple/core.trunc20",
            "local/simple/crash1_O0",
            "SIGSEGV",
            "null-pointer-offset",
            4,
            "apply_refund",
        ),
        "the core is cut: 553780 of 692224 bytes are missing (80 %)",
    ),
    warned(
        truth(
            "local/simple/core.trunc50",
            "local/simple/crash1_O0",
            "SIGSEGV",
            "null-pointer-offset",
            4,
            "apply_refund",
        ),
        "the dump is cut inside the stack of thread 20838: 100 % of it is missing",
    ),
    warned(
        truth(
            "local/simple/core.trunc95",
            "local/simple/crash1_O0",
            "SIGSEGV",
            "null-pointer-offset",
            4,
            "apply_refund",
        ),
        "the dump is cut inside the stack of thread 20837: 100 % of it is missing",
    ),
    // No memory at all, only the notes.
    warned(
        truth("local/simple/core.f0x00", "local/simple/crash1_O0", "SIGSEGV", "null-pointer-offset", 4, "apply_refund"),
        NO_HEADERS,
    ),
    warned(
        truth(
            "local/simple/core.f0x23",
            "local/simple/crash1_O0",
            "SIGSEGV",
            "null-pointer-offset",
            4,
            "apply_refund process_event main",
        ),
        NO_HEADERS,
    ),
    truth(
        "local/simple/core.f0x37",
        "local/simple/crash1_O0",
        "SIGSEGV",
        "null-pointer-offset",
        4,
        "apply_refund process_event main",
    ),
    truth(
        "local/simple/core.xnum",
        "local/simple/crash1_O0",
        "SIGSEGV",
        "null-pointer-offset",
        4,
        "apply_refund process_event main",
    ),
    warned(truth("local/simple/core.gcore", "local/simple/sleeper", "", "not-a-crash", 4, ""), GCORE),
    truth(
        "local/simple/del/core",
        "local/simple/crash1_O0",
        "SIGSEGV",
        "null-pointer-offset",
        4,
        "apply_refund process_event main",
    ),
];

fn differences(report: &Value, truth: &Truth) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut fact = |name: &str, holds: bool, said: String| {
        if !holds {
            wrong.push(format!("{}: {name} is {said}", truth.core));
        }
    };
    let text = |path: &str| report.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (signal, rule) = (text("/stop/signal"), text("/findings/0/rule"));
    fact("the signal", signal == truth.signal, signal.clone());
    fact("the rule", rule == truth.rule, rule.clone());
    // Goroutines on no thread are listed too, and marked.
    let listed = report["threads"].as_array().cloned().unwrap_or_default();
    let virtuals =
        listed.iter().filter(|thread| thread["flags"].as_array().is_some_and(|flags| !flags.is_empty())).count();
    let threads = report["thread_count"].as_u64().unwrap_or_default() - virtuals as u64;
    fact("the number of threads", threads == truth.threads, threads.to_string());
    let stack = frames(&report["threads"][0]);
    fact("the stack", begins(&stack, truth.stack), format!("{stack:?}"));
    let warnings = report["warnings"].as_array().cloned().unwrap_or_default();
    let warned =
        warnings.iter().any(|warning| warning["text"].as_str().is_some_and(|text| text.contains(truth.warning)));
    fact("the warning", truth.warning.is_empty() || warned, format!("{warnings:?}"));
    wrong
}

#[test]
fn cores_are_what_their_projects_say() {
    let Some(corpus) = Corpus::open() else { return };
    let mut wrong = Vec::new();
    let mut ran = 0;
    for truth in TRUTHS {
        let Some(report) = corpus.report(truth.core, truth.exe) else { continue };
        ran += 1;
        wrong.extend(differences(&report, truth));
    }
    eprintln!("{ran} of {} cores", TRUTHS.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(ran > 0, "the corpus is there, but none of its cores is");
}

/// The executable on disk was built again after the crash: nothing may be named from it.
#[test]
fn a_rebuilt_executable_names_nothing() {
    let Some(corpus) = Corpus::open() else { return };
    let Some(report) = corpus.report("local/simple/repl/core", "local/simple/repl/app") else { return };
    let threads = report["threads"].as_array().expect("threads");
    assert_eq!(threads.len(), 4);
    for frame in threads.iter().flat_map(|thread| thread["frames"].as_array().into_iter().flatten()) {
        let own = frame["module"].as_str().is_some_and(|module| module.ends_with("/app"));
        assert!(!own || frame["function"].is_null() && frame["line"].is_null(), "{frame}");
    }
    assert!(report["crash_site"]["function"].is_null(), "{}", report["crash_site"]);
}

#[test]
fn a_sender_is_named() {
    let Some(corpus) = Corpus::open() else { return };
    let Some(report) = corpus.report("pystack/signal.core", "") else { return };
    assert_eq!(report["stop"]["sender"]["pid"], 1);
    assert_eq!(report["stop"]["sender"]["uid"], 0);
}

/// The kernel kept 80 bytes of the command line; the stack has the rest.
#[test]
fn a_long_command_line_is_whole() {
    let Some(corpus) = Corpus::open() else { return };
    let Some(report) = corpus.report("pystack/core_with_big_name.core", "") else { return };
    let line = report["process"]["command_line"].as_str().unwrap_or_default();
    assert!(line.len() > 80 && line.ends_with("uvwxyz.out"), "{line}");
    assert_eq!(report["process"]["command_line_cut"], false);
}

/// Go 1.9 and 1.27: what the program panicked with, though nothing of what it printed is in the core.
#[test]
fn a_go_core_tells_its_panic() {
    let Some(corpus) = Corpus::open() else { return };
    let cases = [
        ("golang-debug/testdata/core", "golang-debug/testdata/tmp/test", "main.main"),
        ("local/go/core", "local/go/gocrash", "main.refund"),
    ];
    for (core, exe, victim) in cases {
        let Some(report) = corpus.report(core, exe) else { continue };
        let said = report["stop"]["messages"].as_array().into_iter().flatten().filter_map(|said| said["text"].as_str());
        let said: BTreeSet<_> = said.collect();
        let nil = "panic: runtime error: invalid memory address or nil pointer dereference";
        assert!(said.contains(nil), "{core}: {said:?}");
        assert_eq!(report["process"]["runtime"], "go", "{core}");
        assert_eq!(report["crash_site"]["function"], victim, "{core}");
        assert_eq!(report["findings"][0]["rule"], "go-panic-in-core", "{core}");
    }
}
