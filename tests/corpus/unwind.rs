//! Stacks of real cores: the functions that must be on them, innermost first.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Core, executable, and for some of its threads the functions from the innermost on. `?` stands for a frame without a name;
/// a mark in brackets says how the frame was found, where that is the point.
const STACKS: &[(&str, &str, &[&str])] = &[
    (
        "local/simple/core.O0",
        "local/simple/crash1_O0",
        &[
            "apply_refund process_event main __libc_start_call_main __libc_start_main_impl _start",
            "__libc_pause idle start_thread clone3",
        ],
    ),
    (
        "local/simple/core.O2",
        "local/simple/crash1_O2",
        &["apply_refund process_event[tail-call] main __libc_start_call_main"],
    ),
    (
        "local/simple/core.static",
        "local/simple/c_static",
        &["apply_refund process_event main", "__libc_pause idle start_thread"],
    ),
    (
        "local/simple/core.spie",
        "local/simple/c_spie",
        &["apply_refund process_event main", "__libc_pause idle start_thread"],
    ),
    ("local/simple/core.musl", "local/simple/c_musl", &["apply_refund process_event main"]),
    (
        "local/simple/core.muslstatic",
        "local/simple/c_muslstatic",
        &["apply_refund process_event main", "__syscall_cp_c pause[frame-pointer] idle[frame-pointer] start"],
    ),
    (
        "local/simple/core.nofp",
        "local/simple/c_nofp",
        &["apply_refund main[frame-pointer] __libc_start_call_main[frame-pointer] __libc_start_main_impl _start"],
    ),
    ("local/simple/core.stripped", "local/simple/c_stripped", &["? ? ? __libc_start_call_main"]),
    ("local/simple/core.a64", "local/simple/c_a64", &["apply_refund process_event main __libc_start_call_main"]),
    ("local/simple/core.a64pac", "local/simple/c_a64pac", &["apply_refund process_event main __libc_start_call_main"]),
    ("local/simple/core.f0x23", "local/simple/crash1_O0", &["apply_refund process_event main"]),
    ("local/simple/core.trunc50", "local/simple/crash1_O0", &["apply_refund", "__libc_pause idle start_thread clone3"]),
    ("local/simple/core.xnum", "local/simple/crash1_O0", &["apply_refund process_event main"]),
    ("local/zoo/reraise.O0.core", "local/zoo/zoo_O0", &["use_node null_param main"]),
    ("local/zoo/crashinhandler.O0.core", "local/zoo/zoo_O0", &["handler_deref __restore_rt use_node null_param main"]),
    ("local/zoo/crashinhandler.O2.core", "local/zoo/zoo_O2", &["handler_deref __restore_rt use_node null_param main"]),
    ("local/zoo/callnull.O2.core", "local/zoo/zoo_O2", &["? call_null main"]),
    ("local/zoo/stackoverflow.O0.core", "local/zoo/zoo_O0", &["recurse recurse recurse main __libc_start_call_main"]),
    (
        "local/zoo/smash.ssp.core",
        "local/zoo/zoo_ssp",
        &[
            "__pthread_kill_implementation __pthread_kill_internal[tail-call] __GI___pthread_kill[tail-call] __GI_raise __GI_abort __libc_message __GI___fortify_fail __stack_chk_fail smash",
        ],
    ),
    ("local/zoo/thread.O2.core", "local/zoo/zoo_O2", &["use_node null_param thr start_thread"]),
    (
        "elfutils/backtrace.x86_64.core",
        "elfutils/backtrace.x86_64.exec",
        &["raise sigusr2 stdarg backtracegen start start_thread __clone", "pthread_join main __libc_start_main _start"],
    ),
    (
        "elfutils/backtrace.x86_64.fp.core",
        "elfutils/backtrace.x86_64.fp.exec",
        &["raise sigusr2 stdarg backtracegen start start_thread __clone", "pthread_join main __libc_start_main _start"],
    ),
    (
        "elfutils/backtrace.aarch64.core",
        "elfutils/backtrace.aarch64.exec",
        &["raise sigusr2 stdarg backtracegen start start_thread __clone", "pthread_join main __libc_start_main _start"],
    ),
    (
        "elfutils/backtrace.aarch64.fp.core",
        "elfutils/backtrace.aarch64.fp.exec",
        &["raise sigusr2 stdarg backtracegen start start_thread __clone", "pthread_join main __libc_start_main _start"],
    ),
    ("lldb16/elf-core/linux-x86_64.core", "lldb16/elf-core/linux-x86_64.out", &["bar foo _start"]),
    ("lldb16/elf-core/linux-aarch64.core", "lldb16/elf-core/linux-aarch64.out", &["bar foo _start"]),
    ("lldb16/elf-core/linux-aarch64-pac.core", "lldb16/elf-core/linux-aarch64-pac.out", &["bar foo _start"]),
    ("drgn/crashme_static.core", "drgn/crashme_static", &["c b a crashme main libc_start_main_stage2 _start"]),
    ("drgn/crashme_static_pie.core", "drgn/crashme_static_pie", &["c b a crashme main libc_start_main_stage2 _start"]),
];

/// The folder of real dumps, and a place for those that are unpacked.
pub(crate) struct Corpus {
    cores: PathBuf,
    unpacked: tempfile::TempDir,
}

/// What necropsy says of a core.
struct Case {
    /// Function (`?` without a name) and trust of every frame, by thread in the order of the dump.
    stacks: Vec<Vec<(String, String)>>,
}

impl Corpus {
    /// `None`, with a message, where there is no corpus.
    pub(crate) fn open() -> Option<Self> {
        let cores = std::env::var_os("NECROPSY_CORPUS").map(|corpus| Path::new(&corpus).join("cores"));
        let Some(cores) = cores.filter(|cores| cores.is_dir()) else {
            eprintln!("skipped: NECROPSY_CORPUS names no folder of dumps");
            return None;
        };
        Some(Self { cores, unpacked: tempfile::tempdir().ok()? })
    }

    /// A file of the corpus, unpacked when it lies there as `.zst`.
    fn file(&self, name: &str) -> Option<PathBuf> {
        let plain = self.cores.join(name);
        if plain.is_file() {
            return Some(plain);
        }
        let packed = File::open(self.cores.join(format!("{name}.zst"))).ok()?;
        let path = self.unpacked.path().join(name);
        if !path.is_file() {
            fs::create_dir_all(path.parent()?).ok()?;
            zstd::stream::copy_decode(packed, File::create(&path).ok()?).ok()?;
        }
        Some(path)
    }

    /// Runs necropsy over a core; `None` when the corpus lacks one of the files.
    fn run(&self, core: &str, exe: &str) -> Option<Case> {
        let report = self.report(core, exe)?;
        Some(Case { stacks: report["threads"].as_array()?.iter().map(frames).collect() })
    }

    /// The report on a core in JSON, read with an executable of the corpus where one is named.
    pub(crate) fn report(&self, core: &str, exe: &str) -> Option<Value> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_necropsy"));
        command.arg(self.file(core)?).arg("--json");
        if !exe.is_empty() {
            command.arg("--exe").arg(self.file(exe)?);
        }
        let output = command.output().expect("the binary runs");
        Some(serde_json::from_slice(&output.stdout).expect("one JSON object"))
    }
}

/// Function (`?` without a name) and trust of every frame of a thread.
pub(crate) fn frames(thread: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let frames = thread["frames"].as_array().into_iter().flatten();
    frames.map(|frame| (text(&frame["function"]), text(&frame["trust"]))).collect()
}

/// Names of one function each: debug information has the first, symbol tables both.
const ALIASES: [[&str; 2]; 2] = [["__libc_start_main_impl", "__libc_start_main"], ["__libc_pause", "pause"]];

/// The functions stand at the top of a stack, innermost first.
pub(crate) fn begins(stack: &[(String, String)], expected: &str) -> bool {
    let agrees = |(wanted, (function, trust)): (&str, &(String, String))| {
        let plain = wanted.strip_suffix(&format!("[{trust}]")).unwrap_or(wanted);
        plain == function || ALIASES.iter().any(|names| names.contains(&plain) && names.contains(&function.as_str()))
    };
    let wanted: Vec<_> = expected.split_whitespace().collect();
    wanted.len() <= stack.len() && wanted.into_iter().zip(stack).all(agrees)
}

/// Debug file of the C library that most of these cores ran with (Debian's libc6-dbg), which names its inner functions.
const LIBC: &str = "/usr/lib/debug/.build-id/93/ac61ec5a8eb1396f9fbd350e3169a558528a40.debug";

#[test]
fn stacks_of_the_corpus_hold_the_functions_of_their_truths() {
    let Some(corpus) = Corpus::open() else { return };
    if !std::path::Path::new(LIBC).exists() {
        eprintln!("skipped: the names expected here need {LIBC}");
        return;
    }
    let mut wrong = Vec::new();
    let mut ran = 0;
    for &(core, exe, expected) in STACKS {
        let Some(Case { stacks, .. }) = corpus.run(core, exe) else { continue };
        ran += 1;
        for (expected, frames) in expected.iter().zip(&stacks) {
            if !begins(frames, expected) {
                wrong.push(format!("{core}\n  expected {expected}\n  found    {frames:?}"));
            }
        }
    }
    eprintln!("stacks of {ran} of {} cores compared", STACKS.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(ran > 0, "the corpus is there, but none of its cores is");
}

/// A recursion of fifteen thousand frames is listed as one turn, and the rest of it is counted.
#[test]
fn a_stack_overflow_of_the_corpus_is_folded() {
    let Some(corpus) = Corpus::open() else { return };
    let Some(case) = corpus.run("local/zoo/stackoverflow.O0.core", "local/zoo/zoo_O0") else { return };
    assert!(case.stacks.first().is_some_and(|stack| stack.len() < 20), "{:?}", case.stacks.first());
}
