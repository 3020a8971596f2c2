//! The reader of goroutine dumps and the rules about Go over the folder that `NECROPSY_CORPUS` names: `goroutines/real`, dumps
//! as people met them, and `goroutines/gen-samples`, one program in many forms by eight releases of Go.
//!
//! What is expected is counted here, by a regular expression over the text, and not by the reader. `just score-go` prints
//! the whole table; the test only fails where a promise is broken: a lost goroutine, a warning without a reason, a wrong
//! class of bug told with high confidence.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the table is what a developer asked for")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use rayon::prelude::*;
use regex::bytes::Regex;
use serde_json::Value;

fn corpus() -> Option<PathBuf> {
    let folder = std::env::var_os("NECROPSY_CORPUS").map(|folder| Path::new(&folder).join("goroutines"));
    let found = folder.filter(|folder| folder.is_dir());
    if found.is_none() {
        eprintln!("skipped: NECROPSY_CORPUS names no folder with goroutine dumps");
    }
    found
}

/// The header of a goroutine anywhere in a line: its number, `gp`, and what follows the colon.
static HEADER: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?m)(?:^|[^\w\\]|\\n)goroutine (\d+)((?: gp=0x[0-9a-f]+)?)[^\[\n\\]* \[(?:[^\]\n]|\]\w)*\](?: \{[^\n]*?\})?:(?:$|\r|\\n)")
        .unwrap()
});
static TOTAL: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?m)profile: total (\d+)").unwrap());

/// What a file holds.
#[derive(Default)]
struct Expected {
    goroutines: usize,
    /// Headers behind which no call stands.
    torn: usize,
}

/// Counts the goroutines of a text.
///
/// A goroutine that `GOTRACEBACK=crash` prints again for its machine thread counts once; each machine thread has a goroutine
/// 0 of its own. Both sides of a report of the race detector count.
fn expected(text: &[u8]) -> Expected {
    let mut seen = BTreeSet::new();
    let per_machine = text.windows(7).any(|window| window == b"\n-----\n");
    let (mut goroutines, mut torn) = (0, 0);
    for header in HEADER.captures_iter(text) {
        let id = (header[1].to_vec(), header[2].to_vec());
        let again = !seen.insert(id.clone());
        if per_machine && again && (id.0 != b"0" || !id.1.is_empty()) {
            continue;
        }
        goroutines += 1;
        let rest = &text[header.get(0).unwrap().end()..];
        let rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        let line = rest.split(|&byte| byte == b'\n').next().unwrap_or_default();
        torn += usize::from(line.trim_ascii().is_empty() || HEADER.is_match(line));
    }
    let counted =
        TOTAL.captures_iter(text).filter_map(|total| std::str::from_utf8(&total[1]).ok()?.parse::<usize>().ok());
    let races = text.windows(18).filter(|window| *window == b"WARNING: DATA RACE").count();
    Expected { goroutines: goroutines + counted.sum::<usize>() + 2 * races, torn }
}

/// What the program said of a file.
struct Said {
    dumps: usize,
    goroutines: usize,
    groups: usize,
    warnings: Vec<String>,
    /// Rules of the first dump, in rank order.
    rules: Vec<String>,
    confidence: String,
    symptom: String,
    headline: String,
}

fn ask(file: &Path) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_necropsy")).arg("--json").arg(file).output().unwrap();
    let reports: Vec<Value> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{}: {error}", file.display())))
        .collect();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let each = |key: &'static str| reports.iter().flat_map(move |report| report[key].as_array().into_iter().flatten());
    let first = reports.first().cloned().unwrap_or_default();
    Said {
        dumps: reports.len(),
        goroutines: each("groups").filter_map(|group| group["count"].as_u64()).sum::<u64>() as usize,
        groups: each("groups").count(),
        warnings: each("warnings").map(|warning| text(&warning["text"])).collect(),
        rules: first["findings"].as_array().into_iter().flatten().map(|finding| text(&finding["rule"])).collect(),
        confidence: text(&first["verdict"]["confidence"]),
        symptom: text(&first["verdict"]["symptom"]),
        headline: text(&first["verdict"]["headline"]),
    }
}

/// A row of the manifest: goroutines, distinct stacks, what is true.
struct Row {
    goroutines: usize,
    stacks: usize,
    truth: String,
}

fn manifest(corpus: &Path) -> BTreeMap<String, Row> {
    let text = fs::read_to_string(corpus.join("MANIFEST.md")).unwrap_or_default();
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, name, _, kind, goroutines, stacks, _, truth, ..] = cells.as_slice() else { return None };
        let row = Row {
            goroutines: goroutines.parse().ok()?,
            stacks: stacks.parse().ok()?,
            truth: format!("{truth} {kind}"),
        };
        Some(((*name).to_owned(), row))
    });
    rows.collect()
}

/// Files of which the manifest's throw-away script counted otherwise, and why the count here holds.
const OTHERWISE: [(&str, &str); 7] = [
    (
        "felixge-runtime-stack.txt",
        "two dumps in one file; a header behind words on its line counts too, and lines of creators tell groups apart",
    ),
    (
        "go2-goroutine-dump.txt",
        "sixteen profiles, most of one goroutine; the manifest has the first total and the number of profiles",
    ),
    ("terraform-crash-2.txt", "the header stands behind a log prefix"),
    ("gostackparse-waitsince.txt", "one function started from two lines is two groups"),
    ("gvisor-syz-0.txt", "the crash, then all stacks: two dumps, grouped each for itself"),
    ("gvisor-syz-2.txt", "the crash, then all stacks: two dumps, grouped each for itself"),
    ("gvisor-syz-4.txt", "the crash, then all stacks: two dumps, grouped each for itself"),
];

/// How the answer about a dump compares with its truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Judgement {
    Right,
    Unclear,
    Wrong,
    /// The manifest states no cause.
    Unjudged,
}

/// Rules that name a class of bug, by the words of the manifest; the first that match count.
const CLASSES: [(&str, &[&str]); 17] = [
    ("AB-BA", &["go-lock-cycle"]),
    ("RWR Deadlock", &["go-recursive-read-lock"]),
    ("Double Locking", &["go-self-deadlock", "go-recursive-read-lock"]),
    ("Condition Variable", &[]),
    ("Channel & WaitGroup", &["go-stuck-producers", "go-stuck-consumers", "go-waitgroup-stuck"]),
    ("Channel & Lock", &["go-stuck-producers", "go-stuck-consumers", "go-mutex-waiters"]),
    ("Communication Deadlock / Channel", &["go-stuck-producers", "go-stuck-consumers", "go-waits-forever"]),
    ("concurrent map", &["go-concurrent-map"]),
    ("out of memory", &["go-out-of-memory"]),
    ("nil pointer dereference", &["go-nil-dereference"]),
    ("nil dereference", &["go-nil-dereference"]),
    ("cgo/macOS crash", &["go-signal-in-c", "go-fatal-error"]),
    ("SIGSEGV: segmentation", &["go-signal-in-c"]),
    ("panic:", &["go-panic"]),
    ("NonBlocking", &["go-panic", "go-nil-dereference"]),
    ("fan-out per entity", &["go-fan-out"]),
    ("leak demo", &[]),
];

/// Rules that say what is the matter without saying which class of bug it is.
const OPEN: [&str; 4] = ["go-mutex-waiters", "go-spinning", "go-background-only", "go-waitgroup-stuck"];

fn judge(truth: &str, said: &Said) -> Judgement {
    let Some((_, rules)) = CLASSES.iter().find(|(words, _)| truth.contains(words)) else {
        return Judgement::Unjudged;
    };
    match said.rules.first() {
        Some(first) if rules.contains(&first.as_str()) => Judgement::Right,
        // The test's own alarm ended it: what is said of the panic is true, and is not the cause of the hang.
        Some(first) if truth.contains("hang/leak") && first == "go-panic" => Judgement::Unclear,
        Some(first) if !OPEN.contains(&first.as_str()) => Judgement::Wrong,
        _ => Judgement::Unclear,
    }
}

/// Real dumps: counts of the manifest, and the class of bug.
#[test]
fn real_dumps() {
    let Some(corpus) = corpus() else { return };
    let rows = manifest(&corpus);
    assert!(rows.len() > 40, "the manifest was not understood");
    let files: Vec<_> = rows.keys().cloned().collect();
    let said: Vec<_> = files.par_iter().map(|file| ask(&corpus.join("real").join(file))).collect();
    let mut failures = String::new();
    let mut score: BTreeMap<Judgement, usize> = BTreeMap::new();
    println!(
        "\n{:<40} {:>11} {:>9} {:>8} {:<9} {:<7} {:<24} headline",
        "real dump", "goroutines", "groups", "warnings", "class", "sure", "first rule"
    );
    for (file, said) in files.iter().zip(&said) {
        let row = &rows[file];
        let text = fs::read(corpus.join("real").join(file)).unwrap();
        let counted = expected(&text);
        let otherwise = OTHERWISE.iter().any(|(name, _)| name == file);
        let judgement = judge(&row.truth, said);
        *score.entry(judgement).or_default() += 1;
        println!(
            "{:<40} {:>5}/{:<5} {:>4}/{:<4} {:>8} {:<9} {:<7} {:<24} {}",
            file.trim_start_matches("gobench-"),
            said.goroutines,
            row.goroutines,
            said.groups,
            row.stacks,
            said.warnings.len(),
            format!("{judgement:?}").to_lowercase(),
            said.confidence,
            said.rules.first().map_or("-", String::as_str),
            said.headline
        );
        if said.goroutines < counted.goroutines || said.goroutines < row.goroutines {
            let _ = writeln!(failures, "{file}: {} of {} goroutines", said.goroutines, counted.goroutines);
        }
        if !otherwise && (said.goroutines != row.goroutines || said.groups != row.stacks) {
            let _ = writeln!(failures, "{file}: {} goroutines in {} groups", said.goroutines, said.groups);
        }
        if said.warnings.len() > counted.torn {
            let _ = writeln!(failures, "{file}: warnings without a reason: {:?}", said.warnings);
        }
        if judgement == Judgement::Wrong && said.confidence == "high" {
            let _ = writeln!(failures, "{file}: sure and wrong: {:?}, but {}", said.rules, row.truth);
        }
    }
    println!("{score:?}");
    assert!(failures.is_empty(), "\n{failures}");
}

/// What the first finding of a form must be, and that of the symptom.
const FORMS: [(&str, &str, &str); 65] = [
    ("abba-sigquit", "go-lock-cycle go-mutex-waiters", "hang-idle"),
    ("ancestors", "go-nil-dereference", "managed-crash"),
    ("busy", "go-spinning", "hang-busy"),
    ("cgoabort", "go-signal-in-c", "native-crash"),
    ("cgoquit", "", ""),
    ("cgosegv", "go-signal-in-c", "native-crash"),
    ("closeclosed", "go-panic", "managed-crash"),
    ("deadlock", "go-all-asleep", "hang-idle"),
    ("deadlock-abba", "go-all-asleep", "hang-idle"),
    ("deadlock-goexit", "go-all-asleep", "hang-idle"),
    ("debug0", "go-mutex-waiters", "hang-idle"),
    ("debug1", "go-mutex-waiters", "hang-idle"),
    ("debug2", "go-mutex-waiters", "hang-idle"),
    ("debugstack", "go-nil-dereference", "managed-crash"),
    ("divzero", "go-panic", "managed-crash"),
    ("fault", "go-fatal-error", "managed-crash"),
    ("httppanic", "go-nil-dereference", "managed-crash"),
    ("index", "go-panic", "managed-crash"),
    ("jsonlog", "go-mutex-waiters", "hang-idle"),
    ("labels", "go-nil-dereference", "managed-crash"),
    ("leak1", "go-proved-leak", "hang-idle"),
    ("leak2", "go-proved-leak", "hang-idle"),
    ("mapiter", "go-concurrent-map", "managed-crash"),
    ("mapreadwrite", "go-concurrent-map", "managed-crash"),
    ("mapwrites", "go-concurrent-map", "managed-crash"),
    ("maxthreads", "go-thread-exhaustion", "managed-crash"),
    ("nilderef", "go-nil-dereference", "managed-crash"),
    ("nilderef-goroutine", "go-nil-dereference", "managed-crash"),
    ("nilderef-goroutine-all", "go-nil-dereference", "managed-crash"),
    ("nilderef-goroutine-crash", "go-nil-dereference", "managed-crash"),
    ("nilderef-goroutine-none", "go-nil-dereference", "managed-crash"),
    ("nilderef-goroutine-system", "go-nil-dereference", "managed-crash"),
    ("nilderef-trimpath", "go-nil-dereference", "managed-crash"),
    ("nilmap", "go-panic", "managed-crash"),
    ("oom", "go-out-of-memory", "out-of-memory"),
    ("panic-custom", "go-panic", "managed-crash"),
    ("panic-customerr", "go-panic", "managed-crash"),
    ("panic-error", "go-panic", "managed-crash"),
    ("panic-int", "go-panic", "managed-crash"),
    ("panic-nested", "go-panic", "managed-crash"),
    ("panic-nil", "go-panic", "managed-crash"),
    ("panic-recovered-new", "go-nil-dereference", "managed-crash"),
    ("panic-repanic", "go-panic", "managed-crash"),
    ("panic-string", "go-panic", "managed-crash"),
    ("panic-typed", "go-panic", "managed-crash"),
    ("panic-wrapped", "go-panic", "managed-crash"),
    ("prefixed", "go-mutex-waiters", "hang-idle"),
    ("race", "go-data-race", "managed-crash"),
    ("sendclosed", "go-panic", "managed-crash"),
    ("sigquit", "go-mutex-waiters", "hang-idle"),
    ("sigquit-crash", "go-mutex-waiters", "hang-idle"),
    ("sigquit-labels", "go-mutex-waiters", "hang-idle"),
    ("sigquit-minutes", "go-stuck-producers", "hang-idle"),
    ("sigquit-system", "go-mutex-waiters", "hang-idle"),
    ("sigquit-trimpath", "go-mutex-waiters", "hang-idle"),
    ("stackoverflow", "go-stack-overflow", "managed-crash"),
    ("stackoverflow-goroutine", "go-stack-overflow", "managed-crash"),
    ("synctest-deadlock", "go-panic", "managed-crash"),
    ("synctest-timeout", "go-test-timeout go-panic", ""),
    ("testpanic", "go-nil-dereference", "managed-crash"),
    ("testtimeout", "go-test-timeout", "hang-idle"),
    ("typeassert", "go-panic", "managed-crash"),
    ("typeassert-nil", "go-panic", "managed-crash"),
    ("unlock", "go-fatal-error", "managed-crash"),
    ("wgneg", "go-panic", "managed-crash"),
];

/// Forms of the zoo, whose goroutines of the program are counted in `debug2`.
const ZOO: [&str; 4] = ["debug0", "debug1", "jsonlog", "prefixed"];

/// One program in all forms and by all releases: counts, warnings, what is said first.
#[test]
fn generated_dumps() {
    let Some(corpus) = corpus() else { return };
    let folder = corpus.join("gen-samples");
    let mut files: Vec<_> = fs::read_dir(&folder)
        .into_iter()
        .flatten()
        .flatten()
        .flat_map(|version| fs::read_dir(version.path()).into_iter().flatten().flatten())
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "txt"))
        .collect();
    files.sort();
    assert!(files.len() > 400, "{} dumps", files.len());
    let said: Vec<_> = files.par_iter().map(|file| ask(file)).collect();
    let mut failures = String::new();
    let mut zoo: BTreeMap<PathBuf, (usize, usize)> = BTreeMap::new();
    let mut totals = [0; 4];
    println!(
        "\n{:<42} {:>11} {:>7} {:>8} {:<13} {:<7} {:<22}",
        "generated dump", "goroutines", "groups", "warnings", "symptom", "sure", "first rule"
    );
    for (file, said) in files.iter().zip(&said) {
        if file.ends_with("debug2.txt") {
            zoo.insert(file.with_file_name(""), (said.goroutines, said.groups));
        }
    }
    for (file, said) in files.iter().zip(&said) {
        let form = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let name = file.strip_prefix(&folder).unwrap_or(file).display().to_string();
        let text = fs::read(file).unwrap();
        let mut counted = expected(&text);
        // Profiles have no headers, and JSON has them in one line: they show what debug=2 of the same release shows.
        if let Some((goroutines, groups)) = zoo.get(&file.with_file_name("")).filter(|_| ZOO.contains(&form.as_str())) {
            counted.goroutines = *goroutines;
            if said.groups != *groups {
                let _ = writeln!(failures, "{name}: {} groups, {groups} in debug2", said.groups);
            }
        }
        let first = said.rules.first().map_or("", String::as_str);
        println!(
            "{name:<42} {:>5}/{:<5} {:>7} {:>8} {:<13} {:<7} {first}",
            said.goroutines,
            counted.goroutines,
            said.groups,
            said.warnings.len(),
            said.symptom,
            said.confidence
        );
        totals[0] += 1;
        totals[1] += said.goroutines;
        totals[2] += counted.goroutines.saturating_sub(said.goroutines);
        totals[3] += said.warnings.len();
        if said.goroutines != counted.goroutines {
            let _ = writeln!(failures, "{name}: {} of {} goroutines", said.goroutines, counted.goroutines);
        }
        if !said.warnings.is_empty() {
            let _ = writeln!(failures, "{name}: {:?}", said.warnings);
        }
        // A release that does not know a profile, or a test package that does not know bubbles, wrote no dump.
        if said.dumps == 0 {
            let none = counted.goroutines == 0 && (form.starts_with("leak") || form.starts_with("synctest"));
            if !none {
                let _ = writeln!(failures, "{name}: no dump was found");
            }
            continue;
        }
        let Some((_, rules, symptom)) = FORMS.iter().find(|(known, ..)| *known == form) else {
            let _ = writeln!(failures, "{name}: a form without an expectation");
            continue;
        };
        let right =
            if rules.is_empty() { said.confidence != "high" } else { rules.split(' ').any(|rule| rule == first) };
        if !right || !symptom.is_empty() && said.symptom != *symptom {
            let _ = writeln!(failures, "{name}: {} {:?}, not {rules} {symptom}", said.symptom, said.rules);
        }
    }
    let [dumps, goroutines, lost, warnings] = totals;
    println!("{dumps} dumps, {goroutines} goroutines, {lost} headers lost, {warnings} warnings");
    assert!(failures.is_empty(), "\n{failures}");
}
