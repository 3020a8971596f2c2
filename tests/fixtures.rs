//! Every fixture through the real binary: against its expected output where there is one, and against its written truth.
//!
//! A case is a folder `fixtures/<format>/<case>/` with a dump in it: `core.zst`, or a file called `dump…`. Beside it may lie
//! `args` (further arguments), `also…` (further dumps for the same call, named in `args`), `root/` and `layers` (the file system that the process saw), `truth.json`, and the expected
//! outputs `expected.txt` and `expected.json`, which `NECROPSY_BLESS=1` writes. The run is the same on every machine: it
//! happens in a folder of its own, with a sysroot even where the case brings none, and with an empty environment.

#![allow(clippy::print_stderr, reason = "the harness tells the developer which gaps have closed")]

#[path = "support/goroutine_truth.rs"]
mod goroutine_truth;
#[path = "support/stage.rs"]
mod stage;
#[path = "support/truth.rs"]
mod truth;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde_json::Value;
use stage::Staged;

/// Name of the environment variable that rewrites expected outputs.
const BLESS: &str = "NECROPSY_BLESS";

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// All cases, in order of their paths.
fn cases() -> Vec<PathBuf> {
    let folders = |path: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
        entries.filter(|path| path.is_dir() && !path.ends_with("..")).collect()
    };
    let all = folders(&repository().join("fixtures")).into_iter().flat_map(|format| folders(&format));
    let mut cases: Vec<_> = all.filter(|case| stage::dump_of(case).is_some()).collect();
    cases.sort();
    cases
}

/// `elf-core/refund-c-o2`.
fn name(case: &Path) -> String {
    let parts: Vec<_> = case.components().rev().take(2).map(|part| part.as_os_str().to_string_lossy()).collect();
    parts.into_iter().rev().collect::<Vec<_>>().join("/")
}

#[test]
fn expected_outputs() {
    let failures: Vec<_> = cases().par_iter().flat_map_iter(|case| compare(case)).collect();
    assert!(
        failures.is_empty(),
        "{}\n{BLESS}=1 rewrites the expected outputs, if the new ones are right",
        failures.concat()
    );
}

/// What differs in a case.
fn compare(case: &Path) -> Vec<String> {
    let bless = std::env::var_os(BLESS).is_some();
    let expected = ["expected.txt", "expected.json"].map(|file| case.join(file));
    if !bless && !expected.iter().any(|file| file.exists()) {
        return Vec::new();
    }
    let staged = Staged::new(case);
    let pretty = |line: &str| match serde_json::from_str::<Value>(line) {
        Ok(value) => serde_json::to_string_pretty(&value).unwrap_or_default() + "\n",
        Err(error) => format!("not JSON: {error}\n"),
    };
    let json: String = staged.run(&["--json"]).lines().map(pretty).collect();
    let mut failures = Vec::new();
    for (file, actual) in expected.iter().zip([staged.run(&[]), json]) {
        if bless {
            fs::write(file, &actual).unwrap();
            continue;
        }
        let wanted = fs::read_to_string(file).unwrap_or_default();
        if wanted != actual {
            let file = file.file_name().unwrap_or_default().to_string_lossy();
            failures.push(format!("\n{}: {file} differs\n{}", name(case), difference(&wanted, &actual)));
        }
    }
    failures
}

/// The rows that differ, between the rows that both texts begin and end with.
fn difference(wanted: &str, actual: &str) -> String {
    const SHOWN: usize = 20;
    let (wanted, actual): (Vec<_>, Vec<_>) = (wanted.lines().collect(), actual.lines().collect());
    let same = wanted.iter().zip(&actual).take_while(|(was, is)| was == is).count();
    let rest = wanted.len().min(actual.len()) - same;
    let end = wanted.iter().rev().zip(actual.iter().rev()).take(rest).take_while(|(was, is)| was == is).count();
    let mut out = format!("  from line {}:\n", same + 1);
    for (sign, rows) in [("-", &wanted[same..wanted.len() - end]), ("+", &actual[same..actual.len() - end])] {
        for row in rows.iter().take(SHOWN) {
            let _ = writeln!(out, "  {sign} {row}");
        }
        if rows.len() > SHOWN {
            let _ = writeln!(out, "  {sign} … {} more lines", rows.len() - SHOWN);
        }
    }
    out
}

/// `tests/gaps.txt` lists the facts, one `case fact` a line, that the program can not tell yet.
#[test]
fn written_truths() {
    let path = repository().join("tests/gaps.txt");
    let gaps = fs::read_to_string(&path).unwrap_or_default();
    let gaps: BTreeSet<_> = gaps.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    let check = |case: &PathBuf| -> Vec<(String, String)> {
        let Ok(truth) = fs::read_to_string(case.join("truth.json")) else { return Vec::new() };
        let truth: Value = serde_json::from_str(&truth).unwrap_or_else(|error| panic!("{}: {error}", name(case)));
        let output = Staged::new(case).run(&["--json"]);
        let report = serde_json::from_str(output.lines().next().unwrap_or_default()).unwrap_or(Value::Null);
        let of_runtime = goroutine_truth::is_of_runtime(&truth);
        let wrong =
            if of_runtime { goroutine_truth::compare(&truth, &report) } else { truth::compare(&truth, &report) }
                .into_iter();
        wrong.map(|(fact, why)| (format!("{} {fact}", name(case)), why)).collect()
    };
    let wrong: Vec<_> = cases().par_iter().flat_map_iter(check).collect();
    let closed: Vec<_> = gaps.iter().copied().filter(|gap| !wrong.iter().any(|(fact, _)| fact == gap)).collect();
    if std::env::var_os(BLESS).is_some() {
        // Blessing closes gaps and opens none.
        let text = fs::read_to_string(&path).unwrap_or_default();
        let kept = text.lines().filter(|line| !closed.contains(line));
        fs::write(&path, kept.fold(String::new(), |text, line| text + line + "\n")).unwrap();
    } else if !closed.is_empty() {
        eprintln!("these hold now; {BLESS}=1 takes their lines out of tests/gaps.txt: {closed:#?}");
    }
    let open = wrong.iter().filter(|(fact, _)| !gaps.contains(fact.as_str()));
    let report = open.fold(String::new(), |report, (fact, why)| report + "\n" + fact + ": " + why);
    assert!(report.is_empty(), "the report contradicts truth.json:{report}");
}

#[test]
fn differences_show_only_what_differs() {
    assert_eq!(difference("a\nb\nc\n", "a\nx\nc\n"), "  from line 2:\n  - b\n  + x\n");
    assert_eq!(difference("a\na\n", "a\n"), "  from line 2:\n  - a\n");
}
