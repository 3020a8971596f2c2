//! How often the verdict about a fatal error log is right: every log of the corpus whose manifest states its class, through the
//! real binary.
//!
//! `just score-hserr` prints the table. A verdict is right when its rule is one of those that the class allows, undecided when
//! it says that it can not tell, else wrong. What is never allowed is a wrong verdict of high confidence.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the table is the result")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rayon::prelude::*;
use serde_json::Value;

/// Share of the logs of known cause that must be judged rightly.
const GOAL: f64 = 0.9;

/// Rules that say that the log does not tell.
const UNDECIDED: [&str; 3] = ["jvm-cause-not-told", "jvm-crash-in-the-vm", "jvm-internal-error"];

/// Rules about native code of the program or of libraries.
const NATIVE: &[&str] =
    &["jvm-native-crash", "jvm-call-through-bad-pointer", "jvm-native-trap", "jvm-native-division-by-zero"];

/// Rules about refused memory.
const MEMORY: &[&str] = &[
    "jvm-memory-refused-by-ulimit",
    "jvm-too-many-mappings",
    "jvm-memory-refused-by-commit-limit",
    "jvm-address-space-exhausted",
    "jvm-heap-does-not-fit",
    "jvm-memory-refused-by-container",
    "jvm-host-out-of-memory",
    "jvm-native-out-of-memory",
];

/// The rules that are right for a class of the manifest.
fn rules(class: &str) -> &'static [&'static str] {
    match class {
        "native-oom" => MEMORY,
        "thread-create" => &["jvm-no-new-thread"],
        "native-jni" | "native-api-misuse" | "native-oslib" | "native-corrupt" | "native?" | "null-call"
        | "native-abort" | "jni-victim-libc" => NATIVE,
        "jni-victim-vm" | "jni-misuse" => &["jvm-bad-jni-handle"],
        "jni-victim-java" => &["jvm-bad-reference-in-java"],
        "gc" | "heap-corrupt" => &["jvm-collector-crash"],
        "gpu-driver" => &["jvm-graphics-driver"],
        "injected-dll" => &["jvm-injected-library"],
        "jit-compiler" => &["jvm-compiler-crash"],
        "jit-compiled-code" => &["jvm-compiled-code-crash"],
        "emulation" => &["jvm-emulated-processor", "jvm-sve-not-usable"],
        "bad-bootclass" => &["jvm-wrong-core-classes"],
        "mixed-jdk" => &["jvm-mixed-jdks"],
        "config" => &["jvm-compiler-library-missing", "jvm-wrong-core-classes"],
        "libc-mismatch" => &["jvm-two-c-libraries"],
        "noexec" => &["jvm-memory-not-executable"],
        "zip-mmap" => &["jvm-jar-changed-while-open"],
        "mapped-file" => &["jvm-mapped-file-cut"],
        "io-sigbus" => &["jvm-storage-unreadable", "jvm-perf-data-full"],
        "in-page-error" => &["jvm-page-not-readable"],
        "unsafe" | "unsafe-buffer" => &["jvm-unsafe-memory-access"],
        "profiler" => &["jvm-crash-in-signal-handler"],
        "agent" => &["jvm-agent-crash"],
        "jvmti-thread" => &["jvm-thread-not-detached"],
        "shutdown-race" => &["jvm-crash-at-exit"],
        "java-oom" => &["jvm-java-out-of-memory"],
        "killed" => &["jvm-signal-sent"],
        "hang" => &["jvm-safepoint-timeout"],
        "self-inflicted" => &["jvm-abort-asked-for", "jvm-report-on-demand"],
        "stack-overflow" => &["jvm-stack-overflow"],
        "jvm-bug" | "jvm-internal" => &["jvm-internal-error", "jvm-crash-in-the-vm"],
        _ => &[],
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Right,
    Wrong,
    Undecided,
}

struct Score {
    file: String,
    class: String,
    rule: String,
    confidence: String,
    mark: Mark,
    /// Which limit refused memory: whether the headline or the rule names the one that the manifest names, if it names one.
    limit: Option<bool>,
}

/// Words of the manifest about a limit, and what the report must then say: words of its headline, or its rule.
const LIMITS: [(&str, &str); 5] = [
    ("RLIMIT_DATA", "RLIMIT_DATA"),
    ("RLIMIT_AS", "RLIMIT_AS"),
    ("commit limit", "jvm-memory-refused-by-commit-limit"),
    ("32-bit JVM", "jvm-address-space-exhausted"),
    ("JVM can never start", "jvm-heap-does-not-fit"),
];

/// Whether the report names the limit that the manifest names.
fn limit(class: &str, truth: &str, headline: &str, rule: &str) -> Option<bool> {
    let named = LIMITS.iter().find(|(words, _)| class == "native-oom" && truth.contains(words));
    named.map(|(_, wanted)| headline.contains(wanted) || rule == *wanted)
}

/// File, class and words of each row of a section of the manifest.
fn rows(manifest: &str, section: &str) -> Vec<[String; 3]> {
    let from = manifest.find(&format!("\n## {section}/")).unwrap_or(manifest.len());
    let part = manifest.get(from + 1..).unwrap_or_default();
    let part = part.get(..part.find("\n## ").unwrap_or(part.len())).unwrap_or_default();
    let row = |line: &str| {
        let cells: Vec<_> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
        // The number of columns tells the table of logs from the others; the class is the last but one.
        let class = cells.get(cells.len().checked_sub(2)?)?;
        let words = cells.last()?;
        (cells.len() >= 6 && cells[0].contains('.')).then(|| [cells[0], *class, *words].map(str::to_owned))
    };
    part.lines().filter(|line| line.starts_with('|')).filter_map(row).collect()
}

fn score(folder: &Path, [file, class, truth]: &[String; 3]) -> Option<Score> {
    let path = folder.join(file);
    if !path.is_file() {
        return None;
    }
    let output = Command::new(env!("CARGO_BIN_EXE_necropsy")).arg("--json").arg(&path).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let report: Value = serde_json::from_str(text.lines().next().unwrap_or_default()).unwrap_or_default();
    let text = |pointer: &str| report.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (rule, confidence) = (text("/findings/0/rule"), text("/findings/0/confidence"));
    let findings = report.pointer("/findings").and_then(Value::as_array).into_iter().flatten();
    let cut = findings.filter_map(|finding| finding.get("rule")?.as_str()).any(|rule| rule == "jvm-log-not-whole");
    let limit = limit(class, truth, &text("/verdict/headline"), &rule);
    let mark = match class.as_str() {
        // Of a log that is cut it must be said, and nothing may be sure.
        "truncated" if cut && confidence != "high" => Mark::Right,
        "truncated" if confidence != "high" => Mark::Undecided,
        _ if rules(class).contains(&rule.as_str()) => Mark::Right,
        _ if rule.is_empty() || UNDECIDED.contains(&rule.as_str()) => Mark::Undecided,
        _ => Mark::Wrong,
    };
    Some(Score { file: file.clone(), class: class.clone(), rule, confidence, mark, limit })
}

#[test]
fn verdicts_on_fatal_error_logs() {
    let Some(corpus) = std::env::var_os("NECROPSY_CORPUS").map(PathBuf::from) else {
        eprintln!("NECROPSY_CORPUS is not set: fatal error logs left out");
        return;
    };
    let folder = corpus.join("hserr");
    let manifest = fs::read_to_string(folder.join("MANIFEST.md")).unwrap();
    let mut high = Vec::new();
    let mut shares = BTreeMap::new();
    for section in ["gen", "real"] {
        let rows = rows(&manifest, section);
        let scores: Vec<_> = rows.par_iter().filter_map(|row| score(&folder.join(section), row)).collect();
        assert!(!scores.is_empty(), "no log of {section} is at hand");
        print(section, &scores);
        let right = scores.iter().filter(|score| score.mark == Mark::Right).count();
        shares.insert(section, right as f64 / scores.len() as f64);
        let limits =
            scores.iter().filter(|score| section == "gen" && score.limit == Some(false) && score.confidence == "high");
        high.extend(limits.map(|score| format!("{}: another limit is named", score.file)));
        let sure = scores.into_iter().filter(|score| score.mark == Mark::Wrong && score.confidence == "high");
        high.extend(sure.map(|score| format!("{}: {} is {}", score.file, score.class, score.rule)));
    }
    assert!(high.is_empty(), "wrong at high confidence:\n{}", high.join("\n"));
    assert!(shares["gen"] >= GOAL, "of known cause only {:.0} % are right", shares["gen"] * 100.0);
}

/// The table of a section, and what is not right.
fn print(section: &str, scores: &[Score]) {
    println!("\n{section}: {} logs", scores.len());
    println!("  {:<10} {:>6} {:>6} {:>9}", "confidence", "right", "wrong", "undecided");
    for confidence in ["high", "medium", "low", ""] {
        let count = |mark| scores.iter().filter(|score| score.confidence == confidence && score.mark == mark).count();
        let counts = [count(Mark::Right), count(Mark::Wrong), count(Mark::Undecided)];
        if counts.iter().sum::<usize>() > 0 {
            let name = if confidence.is_empty() { "no verdict" } else { confidence };
            println!("  {name:<10} {:>6} {:>6} {:>9}", counts[0], counts[1], counts[2]);
        }
    }
    let right = scores.iter().filter(|score| score.mark == Mark::Right).count();
    println!("  right: {:.1} %", right as f64 * 100.0 / scores.len().max(1) as f64);
    let named = scores.iter().filter_map(|score| score.limit).filter(|named| *named).count();
    println!(
        "  which limit refused memory: named in {named} of {}",
        scores.iter().filter(|score| score.limit.is_some()).count()
    );
    for score in scores.iter().filter(|score| score.limit == Some(false)) {
        println!("  another limit: {}: {} {}", score.file, score.rule, score.confidence);
    }
    for score in scores.iter().filter(|score| score.mark != Mark::Right) {
        println!("  {:?}: {} ({}): {} {}", score.mark, score.file, score.class, score.rule, score.confidence);
    }
}
