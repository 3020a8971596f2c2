//! `necropsy diff` over every pair of dumps in `fixtures/diff/<case>/`: `a.*`, and `b.*` where the first does not hold both.
//!
//! Beside them may lie `layers` and `root/` (the file system that the process saw), `truth.json`, and the expected outputs
//! `expected.txt` and `expected.json`, which `NECROPSY_BLESS=1` writes.

#[path = "support/stage.rs"]
#[allow(dead_code, reason = "only its way to unpack a tree is needed here")]
mod stage;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const BLESS: &str = "NECROPSY_BLESS";

fn cases() -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/diff");
    let mut cases: Vec<_> = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path()).collect();
    cases.retain(|case| !dumps(case).is_empty());
    cases.sort();
    cases
}

/// `a.*`, `b.*`.
fn dumps(case: &Path) -> Vec<String> {
    let entries = fs::read_dir(case).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<_> = names.filter(|name| name.starts_with("a.") || name.starts_with("b.")).collect();
    names.sort();
    names
}

/// What the program says of a case; the files are where nothing else is.
fn run(case: &Path, turned: bool, further: &[&str]) -> (String, i32) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    fs::create_dir(&root).unwrap();
    let layers = fs::read_to_string(case.join("layers")).unwrap_or_default();
    let own = case.join("root");
    for tree in layers.split_whitespace().map(|layer| case.join("..").join(layer)).chain(own.is_dir().then_some(own)) {
        stage::unpack(&tree, &root).unwrap();
    }
    let mut names = dumps(case);
    for name in &names {
        fs::copy(case.join(name), folder.path().join(name)).unwrap();
    }
    if turned {
        names.reverse();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_necropsy"));
    command.current_dir(folder.path()).env_clear().arg("diff").args(&names).args(["--sysroot", "root"]).args(further);
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let place = format!("{}/", folder.path().canonicalize().unwrap().display());
    let said = (text(&output.stdout) + &text(&output.stderr)).replace(&place, "");
    (said, output.status.code().unwrap_or(-1))
}

fn json(case: &Path, turned: bool) -> Value {
    let (text, _) = run(case, turned, &["--json"]);
    serde_json::from_str(text.lines().next().unwrap_or_default()).unwrap_or(Value::Null)
}

#[test]
fn expected_outputs() {
    let bless = std::env::var_os(BLESS).is_some();
    let mut failures = String::new();
    assert!(cases().len() >= 7, "the fixtures are there");
    for case in cases() {
        let pretty = serde_json::to_string_pretty(&json(&case, false)).unwrap() + "\n";
        for (file, actual) in [("expected.txt", run(&case, false, &[]).0), ("expected.json", pretty)] {
            let path = case.join(file);
            if bless {
                fs::write(&path, &actual).unwrap();
            } else if fs::read_to_string(&path).unwrap_or_default() != actual {
                failures = failures + &path.display().to_string() + ": the program says\n" + &actual + "\n";
            }
        }
    }
    assert!(failures.is_empty(), "{failures}{BLESS}=1 rewrites the expected outputs, if the new ones are right");
}

/// `truth.json` was written before the outputs: what must be said, and what must not.
#[test]
fn written_truths() {
    for case in cases() {
        let truth =
            fs::read_to_string(case.join("truth.json")).unwrap_or_else(|_| panic!("{}: no truth", case.display()));
        let truth: Value = serde_json::from_str(&truth).unwrap();
        let report = json(&case, false);
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        let rules: Vec<_> =
            report["findings"].as_array().unwrap().iter().map(|it| it["rule"].as_str().unwrap()).collect();
        let text = |value: &'_ Value| value.as_str().unwrap_or_default().to_owned();
        for (key, at) in [
            ("symptom", &report["verdict"]["symptom"]),
            ("confidence", &report["verdict"]["confidence"]),
            ("suitability", &report["verdict"]["suitability"]["status"]),
            ("same_process", &report["same_process"]["answer"]),
            ("order", &report["order"]),
        ] {
            if truth.get(key).is_some() {
                assert_eq!(truth[key], *at, "{name}: {key}");
            }
        }
        if let Some(first) = truth["rule"].as_str() {
            assert_eq!(rules.first().copied(), Some(first), "{name}: rules {rules:?}");
        }
        for absent in truth["absent"].as_array().into_iter().flatten() {
            assert!(!rules.contains(&absent.as_str().unwrap()), "{name}: {absent} in {rules:?}");
        }
        for words in truth["headline"].as_array().into_iter().flatten() {
            let headline = text(&report["verdict"]["headline"]);
            assert!(headline.contains(words.as_str().unwrap()), "{name}: {words} in {headline:?}");
        }
    }
}

/// The dumps say which is the earlier one, so that the order in which they are given does not matter.
#[test]
fn the_order_of_the_files_does_not_matter_where_the_dumps_tell_it() {
    for case in cases() {
        let report = json(&case, false);
        if report["order"] != "as-given" || dumps(&case).len() < 2 {
            continue;
        }
        let turned = json(&case, true);
        assert_eq!(turned["order"], "turned", "{}", case.display());
        assert_eq!(turned["verdict"], report["verdict"], "{}", case.display());
    }
}

#[test]
fn a_dump_alone_or_of_another_process_is_refused() {
    let of = |name: &str| cases().into_iter().find(|case| case.ends_with(name)).unwrap();
    let (said, status) = run(&of("java-other-process-17"), false, &["--brief"]);
    assert_eq!(status, 2, "{said}");
    assert!(said.contains("not two dumps of one process"), "{said}");
    let alone = of("java-busy-17").join("a.txt");
    let output = Command::new(env!("CARGO_BIN_EXE_necropsy")).arg("diff").arg(&alone).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("holds one dump"));
}
