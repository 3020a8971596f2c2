//! What the manifests and the fixtures state: symptom and deadlocks of every dump, by file.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::stage;

/// A dump and what is true of it.
pub(crate) struct Case {
    /// Row of the table.
    pub group: &'static str,
    /// Path in the corpus.
    pub file: String,
    /// Symptoms that are right.
    pub symptoms: Vec<&'static str>,
    /// Deadlocks.
    pub locks: Locks,
}

/// Deadlocks of a dump.
pub(crate) enum Locks {
    /// There is none.
    None,
    /// There is one, which this form of dump does not show: no locks, or no such threads in it.
    Untold,
    /// These, by the names or numbers of their threads.
    Cycles(BTreeSet<BTreeSet<String>>),
    /// One, in a text that names waits and no holders.
    Text,
}

const CRASH: &[&str] = &["native-crash"];
const MANAGED: &[&str] = &["managed-crash"];
const MEMORY: &[&str] = &["out-of-memory"];
const IDLE: &[&str] = &["hang-idle"];
const BUSY: &[&str] = &["hang-busy"];
/// A process that lives: whether anything is wrong with it is not stated.
const ALIVE: &[&str] = &["hang-idle", "hang-busy", "unclear"];
/// A signal was sent to it, why is not stated.
const SENT: &[&str] = &["hang-idle", "hang-busy", "unclear"];

/// Largest file that is read: one of the cores has 400 MB.
const LARGEST: u64 = 60 << 20;

/// All dumps of the corpus.
pub(crate) fn all(corpus: &Path) -> Vec<Case> {
    let mut cases = cores(corpus);
    cases.extend(goroutines(corpus));
    cases.extend(java(corpus));
    cases.extend(fatal_logs(corpus));
    cases
}

/// Files below a folder, as paths from the corpus.
fn files(corpus: &Path, folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![corpus.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if entry.metadata().is_ok_and(|it| it.len() <= LARGEST) {
                let inside = path.strip_prefix(corpus).unwrap_or(&path);
                found.push(inside.to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}

fn cycles<'a>(cycles: impl IntoIterator<Item = &'a [&'a str]>) -> Locks {
    Locks::Cycles(cycles.into_iter().map(|cycle| cycle.iter().map(|&name| name.to_owned()).collect()).collect())
}

/// Cores that are no crash of their own, by the beginning of their path.
const NO_CRASH: [(&str, &[&str]); 9] = [
    ("cores/local/zoo/deadlock", IDLE),
    ("cores/local/zoo/spin", BUSY),
    // Its barriers spin: two threads wait for a third one by asking again and again.
    ("cores/lldb16/elf-core/gcore/", &["hang-idle", "hang-busy"]),
    ("cores/local/simple/core.gcore", IDLE),
    ("cores/drgn/multithreaded", SENT),
    ("cores/pystack/signal", SENT),
    ("cores/local/bigrust/", SENT),
    ("cores/elfutils/testcore-noncontig", SENT),
    ("cores/golang-debug/", MANAGED),
];

fn cores(corpus: &Path) -> Vec<Case> {
    let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let text = [".c", ".cc", ".cpp", ".py", ".sh", ".exp", ".tsv", ".txt", ".h", ".mk", ".yaml", ".zip"];
    let is_core = |path: &String| {
        let name = name(path);
        name.contains("core") && !text.iter().any(|ending| name.trim_end_matches(".zst").ends_with(ending))
    };
    let python = files(corpus, "python").into_iter().filter(|path| name(path).starts_with("core"));
    let all = files(corpus, "cores").into_iter().filter(is_core).chain(python);
    let case = |file: String| {
        let known = NO_CRASH.iter().find(|(start, _)| file.starts_with(start)).map(|(_, symptoms)| *symptoms);
        let symptoms = match known {
            Some(symptoms) => symptoms,
            None if file == "cores/local/go/core.zst" => MANAGED,
            None => CRASH,
        };
        let locks = match file.as_str() {
            "cores/local/zoo/deadlock.O0.core.zst" => cycles([["25461", "25462"].as_slice()]),
            "cores/local/zoo/deadlock.O2.core.zst" => cycles([["25586", "25587"].as_slice()]),
            _ => Locks::None,
        };
        Case { group: "cores", file, symptoms: symptoms.to_vec(), locks }
    };
    all.map(case).collect()
}

/// Cells of the rows of a table.
fn rows(manifest: &str) -> impl Iterator<Item = Vec<&str>> {
    manifest.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| file")).map(cells)
}

fn cells(line: &str) -> Vec<&str> {
    line.trim().trim_matches('|').split(" | ").map(str::trim).collect()
}

/// Modes of the Go programs, by the beginning of the name; what is not named panics.
const GO: [(&str, &[&str]); 14] = [
    ("deadlock", IDLE),
    ("abba", IDLE),
    ("leak", IDLE),
    ("testtimeout", IDLE),
    // Before Go 1.27 the bubble itself panics.
    ("synctest-timeout", &["hang-idle", "managed-crash"]),
    ("synctest-deadlock", &["hang-idle", "managed-crash"]),
    ("busy", BUSY),
    ("oom", MEMORY),
    ("cgosegv", CRASH),
    ("cgoabort", CRASH),
    ("cgoquit", ALIVE),
    ("debug", ALIVE),
    ("sigquit", ALIVE),
    ("prefixed", ALIVE),
];

fn goroutines(corpus: &Path) -> Vec<Case> {
    let mut cases = Vec::new();
    let manifest = fs::read_to_string(corpus.join("goroutines/MANIFEST.md")).unwrap_or_default();
    for cells in rows(&manifest).filter(|cells| cells.len() > 6) {
        let (kind, truth) = (cells[2], cells[6..].join(" | "));
        let stated = truth.starts_with("hang/leak y") || truth.starts_with("DEADLOCK y");
        let symptoms = match kind {
            _ if truth.contains("out of memory") => MEMORY,
            kind if kind.contains("SIGSEGV thread") => CRASH,
            kind if kind.contains("panic") || kind.contains("fatal error") => MANAGED,
            _ if truth.contains("nil dereference") => MANAGED,
            // What the watchdog of a sandbox said is in none of the goroutines.
            _ if truth.starts_with("title:") => &["managed-crash", "hang-idle", "hang-busy", "unclear"],
            _ if stated => IDLE,
            _ => ALIVE,
        };
        let locks = if truth.starts_with("DEADLOCK y") { Locks::Text } else { Locks::None };
        let file = format!("goroutines/real/{}", cells[0]);
        cases.push(Case { group: "goroutines, real", file, symptoms: symptoms.to_vec(), locks });
    }
    for file in files(corpus, "goroutines/gen-samples").into_iter().filter(|file| is_text(file)) {
        let name = file.rsplit('/').next().unwrap_or_default().to_owned();
        let known = GO.iter().find(|(start, _)| name.starts_with(start)).map(|(_, symptoms)| *symptoms);
        let symptoms = match name.as_str() {
            "debugstack.txt" => MANAGED,
            "jsonlog.txt" => ALIVE,
            _ => known.unwrap_or(MANAGED),
        };
        // Of the zoo's locks one is locked twice by one goroutine.
        let zoo = symptoms == ALIVE || name.starts_with("leak");
        let locks = match name.as_str() {
            name if name.starts_with("abba") || name == "deadlock-abba.txt" || name == "deadlock.txt" => Locks::Text,
            _ if zoo => Locks::Untold,
            _ => Locks::None,
        };
        cases.push(Case { group: "goroutines, made", file, symptoms: symptoms.to_vec(), locks });
    }
    for file in ["goroutine.pb.gz", "goroutine.txt", "goroutine1.txt"] {
        let file = format!("other/gopprof/{file}");
        cases.push(Case { group: "goroutines, made", file, symptoms: IDLE.to_vec(), locks: Locks::None });
    }
    cases
}

fn is_text(file: &str) -> bool {
    std::path::Path::new(file).extension().is_some_and(|extension| extension == "txt")
}

/// A mode of the Java programs: its symptoms, and its cycles by the names of their threads.
type Mode = (&'static str, &'static [&'static str], &'static [&'static [&'static str]]);

/// Modes of the Java programs.
const JAVA: [Mode; 14] = [
    ("monitor-deadlock", IDLE, &[&["transfer-1", "transfer-2"]]),
    ("three-cycle", IDLE, &[&["stage-0", "stage-1", "stage-2"], &["pair-left", "pair-right"]]),
    ("lock-deadlock", IDLE, &[&["locker-1", "locker-2"]]),
    ("mixed-deadlock", IDLE, &[&["mixed-1", "mixed-2"]]),
    ("class-init", IDLE, &[&["init-a", "init-b"]]),
    ("virtual-deadlock", IDLE, &[&["vt-left", "vt-right"], &["vm-left", "vm-right"]]),
    ("rw-upgrade", IDLE, &[]),
    ("pool-starvation", IDLE, &[]),
    ("connection-pool", IDLE, &[]),
    ("convoy", IDLE, &[]),
    ("finalizer-stuck", IDLE, &[]),
    ("virtual-pinned", IDLE, &[]),
    ("busy", BUSY, &[]),
    ("eliminated", BUSY, &[]),
];

/// Forms of dumps that do not list this mode's locks or threads at all.
fn untold(mode: &str, file: &str) -> bool {
    let is_virtual = mode.starts_with("virtual");
    match file {
        // Only the files of JDK 25 name the owners, and only of monitors.
        _ if file.contains("jdk21") && file.contains(".dumpfile") => true,
        _ if file.contains(".dumpfile") => matches!(mode, "lock-deadlock" | "mixed-deadlock" | "class-init"),
        // All other forms list no virtual thread.
        _ => is_virtual,
    }
}

fn java(corpus: &Path) -> Vec<Case> {
    let mut cases = Vec::new();
    let manifest = fs::read_to_string(corpus.join("jstack/MANIFEST.md")).unwrap_or_default();
    for cells in rows(&manifest).filter(|cells| cells.len() > 9) {
        let truth = cells[9..].join(" | ");
        let names = |cell: &str| -> BTreeSet<BTreeSet<String>> {
            let cycles = cell.split(';').filter(|cycle| cycle.contains("<->"));
            cycles.map(|cycle| cycle.split(" <-> ").map(|name| name.trim().to_owned()).collect()).collect()
        };
        let stated: BTreeSet<_> = names(cells[7]).into_iter().chain(names(cells[8])).collect();
        let text = truth.starts_with("DEADLOCK by");
        let symptoms = match truth.as_str() {
            _ if text || !stated.is_empty() || truth.starts_with("DEADLOCK") => IDLE,
            truth if truth.starts_with("busy") => BUSY,
            truth if ["convoy", "contention:", "hang, no cycle"].iter().any(|it| truth.starts_with(it)) => IDLE,
            _ => ALIVE,
        };
        let locks = match (text, stated.is_empty()) {
            (true, _) => Locks::Text,
            (false, false) => Locks::Cycles(stated),
            (false, true) => Locks::None,
        };
        cases.push(Case {
            group: "java, real",
            file: format!("jstack/real/{}", cells[0]),
            symptoms: symptoms.to_vec(),
            locks,
        });
    }
    for file in files(corpus, "jstack/gen-samples") {
        let name = file.rsplit('/').next().unwrap_or_default().to_owned();
        let mode = name.split('.').next().unwrap_or_default();
        let embedded = file.contains("/embedded/");
        // The pollers and schedulers are single threads of a dump.
        if name.contains(".vthread_") || name == "VERSION" || name == "err" {
            continue;
        }
        let several = ["interleaved", "threadinfo", "getall"].iter().any(|start| name.starts_with(start));
        let known = JAVA.iter().find(|(known, ..)| *known == mode);
        let (symptoms, locks) = match known {
            _ if embedded && name.starts_with("getall") => (ALIVE, Locks::Untold),
            _ if several => (IDLE, cycles([["left", "right"].as_slice(), ["jl", "jr"].as_slice()])),
            _ if embedded => (IDLE, cycles([["transfer-1", "transfer-2"].as_slice()])),
            Some(&("virtual-deadlock", ..)) if file.contains("jdk25") && name.contains(".dumpfile") => {
                (IDLE, cycles([["vm-left", "vm-right"].as_slice()]))
            }
            // JDK 25 does not pin.
            Some(&("virtual-pinned", ..)) | None => (ALIVE, Locks::None),
            Some(&(mode, symptoms, stated)) if !stated.is_empty() && !untold(mode, &file) => {
                (symptoms, cycles(stated.iter().copied()))
            }
            // Nothing of it is in this form: nothing can be said.
            Some(&(mode, ..)) if untold(mode, &file) => (ALIVE, Locks::None),
            Some(&(_, symptoms, _)) => (symptoms, Locks::None),
        };
        cases.push(Case { group: "java, made", file, symptoms: symptoms.to_vec(), locks });
    }
    cases
}

fn fatal_logs(corpus: &Path) -> Vec<Case> {
    let manifest = fs::read_to_string(corpus.join("hserr/MANIFEST.md")).unwrap_or_default();
    let mut cases = Vec::new();
    for (section, group) in [("real", "fatal logs, real"), ("gen", "fatal logs, made")] {
        let from = manifest.find(&format!("\n## {section}/")).unwrap_or(manifest.len());
        let part = manifest.get(from + 1..).unwrap_or_default();
        let part = part.get(..part.find("\n## ").unwrap_or(part.len())).unwrap_or_default();
        for cells in rows(part).filter(|cells| cells.len() >= 6) {
            let symptoms: &[&str] = match cells[cells.len() - 2] {
                "native-oom" | "java-oom" | "thread-create" => MEMORY,
                "killed" => SENT,
                "hang" => BUSY,
                "truncated" => &["native-crash", "out-of-memory", "unclear"],
                _ => CRASH,
            };
            let file = format!("hserr/{section}/{}", cells[0]);
            if corpus.join(&file).is_file() {
                cases.push(Case { group, file, symptoms: symptoms.to_vec(), locks: Locks::None });
            }
        }
    }
    cases
}

/// Kinds of the lab's truths that are no crash in native code.
const KINDS: [(&str, &[&str]); 19] = [
    ("go-locks-in-core", IDLE),
    ("go-panic-in-core", MANAGED),
    ("lock-convoy", IDLE),
    ("lock-in-signal-handler", IDLE),
    ("lock-owner-gone", IDLE),
    ("jvm-java-out-of-memory", MEMORY),
    ("jvm-memory-refused-by-ulimit", MEMORY),
    ("jvm-signal-sent", SENT),
    ("java-pool-waits-for-itself", IDLE),
    ("java-read-lock-blocks-writer", IDLE),
    ("same-call", IDLE),
    ("same-downstream-call", IDLE),
    ("deadlock", IDLE),
    ("hang", ALIVE),
    ("sent-signal", SENT),
    ("busy", BUSY),
    ("oom-killed", MEMORY),
    ("out-of-memory", MEMORY),
    ("pool-starved", IDLE),
];

/// Our fixtures that state what they are, with the symptoms that are right.
pub(crate) fn fixtures(folder: &Path) -> Vec<(PathBuf, Vec<&'static str>)> {
    let folders = |path: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
        entries.filter(|path| path.is_dir()).collect()
    };
    let all = folders(folder).into_iter().flat_map(|format| folders(&format));
    let mut cases = Vec::new();
    for case in all.filter(|case| stage::dump_of(case).is_some()) {
        let Ok(text) = fs::read_to_string(case.join("truth.json")) else { continue };
        let truth: Value = serde_json::from_str(&text).unwrap_or_default();
        if let Some(symptom) = truth["symptom"].as_str() {
            let all = [CRASH, MANAGED, MEMORY, IDLE, BUSY, &["unclear"]].concat();
            cases.push((case, all.into_iter().filter(|it| *it == symptom).collect()));
            continue;
        }
        let Some(kind) = truth["kind"].as_str() else { continue };
        let symptoms = KINDS.iter().find(|(name, _)| *name == kind).map_or(CRASH, |(_, symptoms)| *symptoms);
        let busy = truth["busy"].as_u64().is_some_and(|count| count > 0);
        let symptoms = if busy {
            BUSY
        } else if kind == "hang" {
            IDLE
        } else {
            symptoms
        };
        cases.push((case, symptoms.to_vec()));
    }
    cases.sort();
    cases
}
