//! Function, file, line and arguments of every frame of the crash thread: as gdb says, where gdb is installed.
//!
//! The fixtures are opened in gdb and in necropsy, each with the same sysroot. Where the two differ and necropsy is right,
//! or as right, the difference stands in [`KNOWN`] with its reason; one that no longer shows is an error too.

#![allow(clippy::print_stderr, reason = "a test says what it ran and what it left out")]

#[path = "support/gdb_value.rs"]
mod gdb_value;
#[path = "support/mi.rs"]
mod mi;
#[path = "support/stage.rs"]
mod stage;

use std::path::{Path, PathBuf};
use std::process::Command;

use rayon::prelude::*;
use serde_json::Value;
use stage::Staged;

/// Frames of a stack that are compared; the recursion of `stack-overflow` has tens of thousands.
const FRAMES: usize = 16;

/// What gdb calls the frame between a handler and the code that was interrupted.
const SIGNAL_HANDLER: &str = "<signal handler called>";

/// Fewest arguments that must have been compared by value: the test does not pass because a format changed.
const LEAST_COMPARED: usize = 100;

/// Why arguments of Go functions further out differ.
const CLOBBERED: &str = "a Go function hands no register back as it got it; gdb shows what the callee left there";

/// Differences where necropsy is right, or as right as gdb: case (`*` for any), what, and why.
const KNOWN: &[(&str, &str, &str)] = &[
    ("cpp-uncaught", "ledger::parse_amount file", INLINED_LINE),
    ("cpp-uncaught", "ledger::parse_amount line", INLINED_LINE),
    ("refund-aarch64-pac", "process_batch events", SIGNED),
    ("refund-aarch64-pac", "process_batch count", SIGNED),
    ("refund-aarch64-pac", " function", SIGNED),
    ("go-index-range", " function", "gdb 13 does not read Go's own table of functions"),
    ("go-stripped", " function", "gdb 13 does not read Go's own table of functions"),
    ("*", "runtime.sigtrampgo sig", CLOBBERED),
    ("*", "runtime.sigtrampgo info", CLOBBERED),
    ("*", "runtime.sigtrampgo ctx", CLOBBERED),
    ("go-mutex-cycle", "runtime.futexsleep addr", CLOBBERED),
    ("go-mutex-cycle", "runtime.futexsleep val", CLOBBERED),
    ("go-mutex-cycle", "runtime.futexsleep ns", CLOBBERED),
    (
        "go-nil-lookup",
        " function",
        "gdb looks one byte before what it takes for a return address; runtime.sigpanic has none",
    ),
    ("*", "std::thread::lifecycle::JoinInner< function", GENERIC),
    ("*", "std::thread::join_handle::JoinHandle< function", GENERIC),
    ("*", "core::ops::function::FnOnce::call_once<fn function", GENERIC),
    ("*", "std::sys::backtrace::__rust_begin_short_backtrace<fn function", GENERIC),
    ("*", "std::rt::lang_start::{closure}< function", GENERIC),
    ("*", "std::rt::lang_start< function", GENERIC),
    ("rust-panic", "rates::Rates::rate code", "gdb takes the lost length of the text for 0 and prints an empty one"),
    ("*", "poll function", "two names of one address"),
    ("stack-smash-unprotected", "__do_global_dtors_aux missing", SMASHED),
    ("stack-smash-unprotected", "__libc_start_main function", SMASHED),
    ("stack-smash-unprotected", "_start missing", SMASHED),
    ("rust-panic", "core::option::Option<&f64>::expect<&f64> function", GENERIC),
    (
        "vector-registers",
        "expose amount@entry",
        "gdb takes the xmm0 of frame 0 for that of main, which no callee preserves (System V psABI AMD64, figure 3.4)",
    ),
    ("vector-registers", "expose amount", "and the same for its value now"),
];

const INLINED_LINE: &str = "gdb gives the line of an allocator inlined before the throw to the function around it";
const SIGNED: &str = "gdb 13 has no pointer mask from a core of qemu-user, takes a signed return address for one, and loses \
    the stack there";
const SMASHED: &str = "the return addresses are overwritten: what gdb lists there was never called";
const GENERIC: &str = "gdb writes the parameters out, the symbol's own name does not hold them";

/// Cases that gdb is not asked about, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("i386", "32-bit stacks are refused, with that reason"),
    ("refund-rust-o0", "gdb 13 stops with an internal error (gdbtypes.h, field index)"),
    ("split-dwarf-missing", "gdb 13 reads no symbols at all where split debug information is missing"),
    (
        "symbol-server",
        "gdb 13 fetches the libraries and does not use them; tests/symbol_servers.rs compares with the files at hand",
    ),
    ("replaced-binary", "gdb names frames from an executable of another build; necropsy does not"),
];

#[test]
fn every_frame_is_as_gdb_says() {
    if debugger("gdb").is_none() {
        eprintln!("gdb is not installed: nothing compared");
        return;
    }
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/elf-core");
    let mut cases: Vec<_> = std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path()).collect();
    cases.retain(|case| case.join("truth.json").exists() && LEFT_OUT.iter().all(|(name, _)| !case.ends_with(name)));
    cases.sort();
    let results: Vec<_> = cases.par_iter().map(|case| compare(case)).collect();
    let compared: usize = results.iter().map(|result| result.compared).sum();
    eprintln!("{compared} arguments compared in {} cases", results.len());
    let mut wrong = Vec::new();
    for (case, result) in cases.iter().zip(&results) {
        let name = case.file_name().unwrap_or_default().to_string_lossy();
        let known: Vec<_> = KNOWN.iter().filter(|(case, ..)| ["*", &name].contains(case)).collect();
        wrong.extend(result.differences.iter().filter_map(|(what, text)| {
            let argued = known.iter().any(|(_, place, _)| what == place);
            (!argued).then(|| format!("{name}: {what}: {text}"))
        }));
        let here = known.iter().filter(|(case, ..)| *case != "*");
        let gone = here.filter(|(_, place, _)| result.differences.iter().all(|(what, _)| what != place));
        wrong.extend(gone.filter(|_| result.ran).map(|(_, place, _)| format!("{name}: {place}: no longer differs")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared >= LEAST_COMPARED, "only {compared} arguments compared");
}

/// What became of one case.
#[derive(Default)]
struct Compared {
    ran: bool,
    /// Arguments whose values were compared.
    compared: usize,
    /// Which thing differs (`process_event amount`), and how.
    differences: Vec<(String, String)>,
}

/// The debugger, where it is installed.
fn debugger(name: &str) -> Option<Command> {
    Command::new(name).arg("--version").output().ok().filter(|output| output.status.success())?;
    Some(Command::new(name))
}

fn compare(case: &Path) -> Compared {
    let mut result = Compared::default();
    let truth = std::fs::read_to_string(case.join("truth.json")).unwrap();
    let truth: Value = serde_json::from_str(&truth).unwrap();
    let foreign = truth["arch"] != "x86-64";
    let Some(gdb) = debugger(if foreign { "gdb-multiarch" } else { "gdb" }) else { return result };
    let staged = Staged::new(case);
    let report: Value = serde_json::from_str(&staged.run(&["--json", "--locals"])).unwrap_or_default();
    let Some((stack, arguments)) = ask(gdb, &staged, truth["exe"].as_str().unwrap_or_default()) else {
        result.differences.push(("stack".to_owned(), "gdb shows none".to_owned()));
        return result;
    };
    result.ran = true;
    let thread = &report["stop"]["thread"];
    let threads = report["threads"].as_array().map(Vec::as_slice).unwrap_or_default();
    let ours = threads.iter().find(|one| one["id"] == *thread).or(threads.first());
    // Behind frames that a folded recursion leaves out, the two lists do not stand side by side.
    let listed = ours.and_then(|thread| thread["gap"]["after"].as_u64()).and_then(|after| usize::try_from(after).ok());
    let ours = ours.and_then(|thread| thread["frames"].as_array()).map(Vec::as_slice).unwrap_or_default();
    let stack = stack.get(..listed.unwrap_or(FRAMES)).unwrap_or(&stack);
    let mut level = 0;
    for (at, theirs) in stack.iter().enumerate() {
        let name = |value: Option<&Value>, key| {
            let name = value.and_then(|frame| frame[key].as_str()).unwrap_or_default();
            plain(if name == "??" { "" } else { name })
        };
        let gdb = name(Some(theirs), "func");
        // A frame rebuilt from jumps: gdb needs call-site records for it, which libraries without debug information lack.
        let rebuilt =
            |frame: &Value| frame["trust"] == "tail-call" && (gdb.is_empty() || name(Some(frame), "function") != gdb);
        while ours.get(level).is_some_and(rebuilt) {
            level += 1;
        }
        let mut own = name(ours.get(level), "function");
        if gdb != own && gdb != SIGNAL_HANDLER {
            // One has a frame more: it is named, and the rest of the stack is still compared.
            if name(ours.get(level + 1), "function") == gdb {
                result.differences.push((format!("{own} more"), format!("only necropsy has #{level}")));
                level += 1;
                own.clone_from(&gdb);
            } else if name(stack.get(at + 1), "func") == own {
                result.differences.push((format!("{gdb} missing"), format!("only gdb has #{at}")));
                continue;
            }
        }
        let none = Value::Null;
        let frame = ours.get(level).unwrap_or(&none);
        level += 1;
        if gdb == SIGNAL_HANDLER {
            continue;
        }
        let mut differs = |what: &str, theirs: &str, ours: &str| {
            let place = format!("{gdb} {what}");
            result.differences.push((place, format!("gdb says {theirs}, necropsy {ours}")));
        };
        if gdb != own {
            differs("function", &gdb, &own);
            continue;
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        // Without debug information gdb knows the function only.
        let Some(line) = theirs["line"].as_str() else { continue };
        let base = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        let (file, own) = (base(&text(&theirs["file"])), base(&text(&frame["file"])));
        if file != own {
            differs("file", &file, &own);
        }
        if frame["line"].as_u64() != line.parse().ok() {
            differs("line", line, &frame["line"].to_string());
        }
        let ending = Path::new(&own).extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_owned();
        let theirs = arguments.get(at).and_then(|one| one["args"].as_array()).map(Vec::as_slice).unwrap_or_default();
        let own = frame["args"].as_array().map(Vec::as_slice).unwrap_or_default();
        for argument in theirs {
            let (name, value) = (text(&argument["name"]), text(&argument["value"]));
            let found = own.iter().find(|one| one["name"] == name.as_str());
            // gdb repeats a value that is the same as on entry; necropsy shows the one on entry where the other is lost.
            let now = name.strip_suffix("@entry").and_then(|now| own.iter().find(|one| one["name"] == now));
            if found.is_none() && now.is_some_and(|now| !now["value"].is_null()) {
                continue;
            }
            let Some(found) = found else {
                differs(&name, &value, "does not list it");
                continue;
            };
            // Structures of C++ and Rust are shown as their libraries mean them, gdb without its scripts shows members.
            if !matches!(ending.as_str(), "c" | "h") && value.contains('{') {
                continue;
            }
            let value = if ending == "rs" { gdb_value::without_type(&value).to_owned() } else { value };
            result.compared += 1;
            match (found["value"].as_str(), found["absent"].as_str()) {
                (Some(shown), _) if gdb_value::equal(&value, shown) => {}
                (None, Some(_)) if gdb_value::is_lost(&value) => {}
                (shown, absent) => differs(&name, &value, shown.or(absent).unwrap_or_default()),
            }
        }
    }
    result
}

/// The innermost frames and their arguments, innermost first.
fn ask(mut gdb: Command, staged: &Staged, exe: &str) -> Option<(Vec<Value>, Vec<Value>)> {
    let root = staged.folder().join("root");
    let core = staged.folder().join("core");
    Command::new("zstd")
        .args(["-q", "-d", "-f"])
        .arg(staged.folder().join("core.zst"))
        .arg("-o")
        .arg(&core)
        .status()
        .ok()?;
    let set = |what: &str| ["-iex".to_owned(), format!("set {what}")];
    gdb.args(["-q", "-nx", "-batch"]);
    gdb.args(set("debuginfod enabled off"));
    gdb.args(set(&format!("sysroot {}", root.display())));
    // gdb does not look for split debug information (`.dwo`) in its sysroot, but among debug files.
    let (debug, split) = (root.join("usr/lib/debug"), root.join("srv/ledger/src"));
    gdb.args(set(&format!("debug-file-directory {}:{}", debug.display(), split.display())));
    gdb.args(set("print null-stop on")).args(set("print repeats unlimited")).args(set("print elements 200"));
    gdb.arg(root.join(exe.trim_start_matches('/'))).arg(&core);
    let last = FRAMES - 1;
    for command in [format!("-stack-list-frames 0 {last}"), format!("-stack-list-arguments 1 0 {last}")] {
        gdb.args(["-ex".to_owned(), format!("interpreter-exec mi2 \"{command}\"")]);
    }
    let output = gdb.env("LC_ALL", "C.UTF-8").output().ok()?;
    let output = String::from_utf8_lossy(&output.stdout);
    let list = |key: &str| mi::record(&output, key)?[key].as_array().cloned();
    Some((list("stack")?, list("stack-args")?))
}

/// A function without its parameters; closures and crates as both write them.
fn plain(function: &str) -> String {
    let name = function.replace("(anonymous namespace)", "{anonymous}");
    let name = name.split('(').next().unwrap_or_default();
    let name = regex::Regex::new(r"\[[0-9a-f]{16}\]").unwrap().replace_all(name, "").into_owned();
    regex::Regex::new(r"\{+closure(#\d+)?\}+").unwrap().replace_all(&name, "{closure}").into_owned()
}
