//! Real dumps with known truths, where the folder `NECROPSY_CORPUS` names is at hand; without it every test says so.

#![allow(clippy::print_stderr, reason = "a test says what it ran and what it left out")]

#[path = "corpus/casr.rs"]
mod casr;
#[path = "corpus/facts.rs"]
mod facts;
#[path = "corpus/unwind.rs"]
mod unwind;
#[path = "corpus/zoo.rs"]
mod zoo;

use std::path::PathBuf;
use std::process::Command;

use rayon::prelude::*;
use serde_json::Value;

/// A core and what must be said of it.
struct Core {
    /// Path in the corpus.
    core: String,
    /// Executable in the corpus.
    exe: Option<String>,
    /// Rule of the first finding.
    rule: &'static str,
    /// Function of the crash site; empty for none.
    victim: &'static str,
}

/// Runs over cores; fails with a line for each that is judged wrongly.
fn judge(cores: &[Core]) {
    let Some(corpus) = std::env::var_os("NECROPSY_CORPUS").map(PathBuf::from) else {
        eprintln!("NECROPSY_CORPUS is not set: {} cores left out", cores.len());
        return;
    };
    let wrong: Vec<String> = cores.par_iter().filter_map(|core| misjudged(&corpus, core)).collect();
    eprintln!("{} cores", cores.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn misjudged(corpus: &std::path::Path, core: &Core) -> Option<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_necropsy"));
    command.arg("--json").arg(corpus.join(&core.core));
    if let Some(exe) = &core.exe {
        command.arg("--exe").arg(corpus.join(exe));
    }
    let output = command.output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let rule = report.pointer("/findings/0/rule").and_then(Value::as_str).unwrap_or_default();
    let victim = report.pointer("/crash_site/function").and_then(Value::as_str).unwrap_or_default();
    let right = rule == core.rule && (victim == core.victim || core.victim == "*");
    let said = String::from_utf8_lossy(&output.stderr);
    (!right).then(|| format!("{}: {rule} in {victim:?}, not {} in {:?} {said}", core.core, core.rule, core.victim))
}
