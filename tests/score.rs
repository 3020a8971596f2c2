//! How often the symptom is right and every deadlock found, over all formats: our fixtures, and the dumps of `NECROPSY_CORPUS`.
//!
//! Floors: no fixture wrong; of the corpus at least 95 in 100 right and none wrong at high confidence; every deadlock that a
//! truth states is found with its threads, or told as a suspicion where the dump names no holder; none is claimed elsewhere.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a score is a table to read")]

#[allow(dead_code, reason = "only the dump of a case is looked for; nothing is staged")]
#[path = "support/stage.rs"]
mod stage;
#[path = "score/truths.rs"]
mod truths;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rayon::prelude::*;
use serde_json::Value;
use truths::{Case, Locks};

/// Share of the corpus whose symptom must be right.
const RIGHT: f64 = 0.95;

/// Rules that claim a deadlock without a cycle in `deadlocks`: what a text names no holder of.
const CLAIMS: [&str; 4] = ["go-lock-cycle", "go-self-deadlock", "go-recursive-read-lock", "java-class-init-cycle"];

/// Rules that name the waiting threads and leave open who holds what they want.
const SUSPICIONS: [&str; 6] = [
    "go-mutex-waiters",
    "go-stuck-producers",
    "go-all-asleep",
    "java-read-lock-blocks-writer",
    "java-read-lock-upgrade",
    "lock-convoy",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    Right,
    Unclear,
    Wrong,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Deadlock {
    /// None stated, none claimed.
    None,
    /// With its threads.
    Found,
    /// The threads that wait are named, the holder is not.
    Suspected,
    Missed,
    /// None stated.
    False,
}

/// What was said of one dump.
struct Said {
    group: &'static str,
    file: String,
    symptom: String,
    confidence: String,
    rule: String,
    mark: Mark,
    deadlock: Deadlock,
}

#[test]
fn symptoms_and_deadlocks_of_the_corpus() {
    let Some(corpus) = std::env::var_os("NECROPSY_CORPUS").map(PathBuf::from) else {
        eprintln!("NECROPSY_CORPUS is not set: the score of the corpus is left out");
        return;
    };
    let cases = truths::all(&corpus);
    let answers: Vec<_> = cases.par_iter().map(|case| judge(&corpus, case)).collect();
    let unread: Vec<_> = cases.iter().zip(&answers).filter(|(_, said)| said.is_empty()).map(|(case, _)| case).collect();
    let said: Vec<_> = answers.into_iter().flatten().collect();
    print(&said);
    let mut of_group: BTreeMap<&str, usize> = BTreeMap::new();
    for case in &unread {
        *of_group.entry(case.group).or_default() += 1;
    }
    println!("not read: {of_group:?}");
    assert!(said.len() > 900, "only {} dumps were read", said.len());
    let right = said.iter().filter(|said| said.mark == Mark::Right).count() as f64 / said.len() as f64;
    let sure: Vec<_> = said
        .iter()
        .filter(|said| said.mark == Mark::Wrong && said.confidence == "high")
        .map(|said| &said.file)
        .collect();
    let missed: Vec<_> = said.iter().filter(|said| said.deadlock == Deadlock::Missed).map(|said| &said.file).collect();
    let false_ones: Vec<_> =
        said.iter().filter(|said| said.deadlock == Deadlock::False).map(|said| &said.file).collect();
    assert!(sure.is_empty(), "wrong at high confidence: {sure:#?}");
    assert!(missed.is_empty(), "deadlocks that were not found: {missed:#?}");
    assert!(false_ones.is_empty(), "deadlocks that there are none: {false_ones:#?}");
    assert!(right >= RIGHT, "only {:.1} % of the symptoms are right", right * 100.0);
}

#[test]
fn symptoms_of_the_fixtures() {
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    let mut wrong = Vec::new();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let cases = truths::fixtures(&fixtures);
    assert!(cases.len() > 50, "only {} fixtures state what they are", cases.len());
    for (case, symptoms) in &cases {
        // The expected output is held to what the program says by another test.
        let text = fs::read_to_string(case.join("expected.json")).unwrap_or_default();
        let report = serde_json::Deserializer::from_str(&text).into_iter::<Value>().next();
        let report = report.and_then(Result::ok).unwrap_or_default();
        let symptom = report["verdict"]["symptom"].as_str().unwrap_or("none").to_owned();
        let right = symptoms.contains(&symptom.as_str());
        *counts.entry(if right { "right" } else { "wrong" }).or_default() += 1;
        if !right {
            wrong.push(format!("{}: {symptom}, not {symptoms:?}", case.display()));
        }
    }
    println!("fixtures: {counts:?}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Every dump of a file against its truth; none when it can not be read.
fn judge(corpus: &Path, case: &Case) -> Vec<Said> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_necropsy"));
    let output = command.arg("--json").arg(corpus.join(&case.file)).output().unwrap();
    let reports = String::from_utf8_lossy(&output.stdout).into_owned();
    let reports = reports.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    reports.map(|report| mark(case, &report)).collect()
}

fn mark(case: &Case, report: &Value) -> Said {
    let text = |pointer: &str| report.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let symptom = text("/verdict/symptom");
    let mark = match symptom.as_str() {
        symptom if case.symptoms.contains(&symptom) => Mark::Right,
        "unclear" => Mark::Unclear,
        _ => Mark::Wrong,
    };
    Said {
        group: case.group,
        file: case.file.clone(),
        confidence: text("/verdict/confidence"),
        rule: text("/findings/0/rule"),
        mark,
        deadlock: deadlock(&case.locks, report),
        symptom,
    }
}

fn deadlock(truth: &Locks, report: &Value) -> Deadlock {
    let called = |thread: &Value| match (thread["name"].as_str(), thread["id"].as_u64()) {
        (Some(name), _) => name.to_owned(),
        (None, id) => id.map(|id| id.to_string()).unwrap_or_default(),
    };
    let cycles = report["deadlocks"].as_array().into_iter().flatten();
    let cycles: BTreeSet<BTreeSet<String>> =
        cycles.map(|cycle| cycle["threads"].as_array().into_iter().flatten().map(called).collect()).collect();
    let rules = |wanted: &[&str], sure: bool| {
        let findings = report["findings"].as_array().into_iter().flatten();
        let mut fits = findings.filter(|it| !sure || it["confidence"] != "low");
        fits.any(|it| wanted.iter().any(|rule| it["rule"] == *rule))
    };
    match truth {
        Locks::None if !cycles.is_empty() || rules(&CLAIMS, true) => Deadlock::False,
        Locks::None | Locks::Untold => Deadlock::None,
        Locks::Cycles(wanted) if wanted == &cycles => Deadlock::Found,
        Locks::Cycles(wanted) if cycles.iter().any(|cycle| !wanted.contains(cycle)) => Deadlock::False,
        // Class initialisation names its threads in a finding where the dump shows no holder.
        Locks::Cycles(_) if rules(&CLAIMS, false) => Deadlock::Suspected,
        Locks::Text if rules(&CLAIMS, true) || !cycles.is_empty() => Deadlock::Found,
        Locks::Text if rules(&CLAIMS, false) || rules(&SUSPICIONS, false) => Deadlock::Suspected,
        Locks::Cycles(_) | Locks::Text => Deadlock::Missed,
    }
}

/// The table, and what is neither right nor without a deadlock.
fn print(said: &[Said]) {
    let groups: BTreeSet<_> = said.iter().map(|said| said.group).collect();
    println!(
        "\n{:<18} {:>6} {:>6} {:>8} {:>6} {:>11} | {:>6} {:>10} {:>7} {:>6}",
        "dumps", "", "right", "unclear", "wrong", "wrong, high", "found", "suspected", "missed", "false"
    );
    for group in groups.into_iter().map(Some).chain([None]) {
        let of = || said.iter().filter(move |said| group.is_none_or(|group| said.group == group));
        let marks = |mark| of().filter(|said| said.mark == mark).count();
        let locks = |deadlock| of().filter(|said| said.deadlock == deadlock).count();
        let sure = of().filter(|said| said.mark == Mark::Wrong && said.confidence == "high").count();
        println!(
            "{:<18} {:>6} {:>6} {:>8} {:>6} {:>11} | {:>6} {:>10} {:>7} {:>6}",
            group.unwrap_or("all"),
            of().count(),
            marks(Mark::Right),
            marks(Mark::Unclear),
            marks(Mark::Wrong),
            sure,
            locks(Deadlock::Found),
            locks(Deadlock::Suspected),
            locks(Deadlock::Missed),
            locks(Deadlock::False)
        );
    }
    let right = said.iter().filter(|said| said.mark == Mark::Right).count();
    println!("right: {:.1} %", right as f64 * 100.0 / said.len().max(1) as f64);
    for said in said.iter().filter(|said| said.mark != Mark::Right || said.deadlock > Deadlock::Found) {
        println!(
            "  {:?}, deadlock {:?}: {}: {} [{}] {}",
            said.mark, said.deadlock, said.file, said.symptom, said.confidence, said.rule
        );
    }
}
