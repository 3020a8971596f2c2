//! The guide shows what the program prints: every `console` block of `docs/GUIDE.md` is run.
//!
//! A line `$ necropsy …` is a command; the lines below it must come in its output in this order. A line `…` stands for any
//! number of lines; without it, lines follow each other. What is asked of `https://symbols.example.com`, the files of the
//! fixture `symbol-server` answer.

#[path = "support/stage.rs"]
mod stage;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The server of the guide.
const SERVER: &str = "https://symbols.example.com";
/// What stands for lines left out.
const SKIP: &str = "…";

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The console blocks of a page: a command and what it shows of the output.
fn blocks(page: &str) -> Vec<(String, Vec<String>)> {
    let mut blocks: Vec<(String, Vec<String>)> = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        match (inside, line) {
            (false, "```console") => inside = true,
            (true, "```") => inside = false,
            (true, line) => match line.strip_prefix("$ necropsy ") {
                Some(arguments) => blocks.push((arguments.to_owned(), Vec::new())),
                None => blocks.last_mut().expect("a block begins with a command").1.push(line.to_owned()),
            },
            _ => {}
        }
    }
    blocks
}

/// The first line that is not where it should be.
fn missing<'a>(shown: &'a [String], printed: &[&str]) -> Option<&'a str> {
    let mut at = 0;
    let mut anywhere = false;
    for line in shown {
        if line == SKIP {
            anywhere = true;
            continue;
        }
        let rest = printed.get(at..).unwrap_or_default();
        let found = rest.iter().position(|printed| printed.trim_end() == line).filter(|&found| anywhere || found == 0);
        let Some(found) = found else { return Some(line) };
        at += found + 1;
        anywhere = false;
    }
    None
}

#[test]
fn the_guide_shows_what_is_printed() {
    let root = repository();
    let page = fs::read_to_string(root.join("docs/GUIDE.md")).expect("docs/GUIDE.md");
    let blocks = blocks(&page);
    assert!(blocks.len() >= 4, "only {} commands found in the guide", blocks.len());
    let staged = stage::Staged::new(&root.join("fixtures/elf-core/symbol-server"));
    let folder = staged.folder().canonicalize().expect("a folder");
    let served = format!("file://{}", folder.join("server").display());
    for (arguments, shown) in blocks {
        let (command, with_errors) = match arguments.strip_suffix(" 2>&1") {
            Some(command) => (command, true),
            None => (&*arguments, false),
        };
        let cache = folder.join("cache");
        let _ = fs::remove_dir_all(&cache);
        let output = Command::new(Path::new(env!("CARGO_BIN_EXE_necropsy")))
            .args(command.replace(SERVER, &served).split(' '))
            .current_dir(&root)
            .env_clear()
            .env("COLUMNS", "100")
            .env("DEBUGINFOD_CACHE_PATH", &cache)
            .env("XDG_CACHE_HOME", &cache)
            .output()
            .expect("necropsy runs");
        let errors = if with_errors { output.stderr } else { Vec::new() };
        let text = String::from_utf8([output.stdout, errors].concat()).expect("text");
        let text = stage::untimed(&text.replace(&served, SERVER));
        let printed: Vec<&str> = text.lines().collect();
        let absent = missing(&shown, &printed);
        assert_eq!(absent, None, "docs/GUIDE.md, `necropsy {arguments}` prints:\n{text}");
        assert!(output.status.success(), "{arguments}");
    }
}

/// The README's first command is `cargo run`, which asks for a name as soon as there is a second binary.
#[test]
fn cargo_run_runs_necropsy() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = std::process::Command::new(cargo);
    command
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let metadata: serde_json::Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
    let all = |list: &serde_json::Value| list.as_array().cloned().unwrap_or_default();
    let default = all(&metadata["workspace_default_members"]);
    let packages = all(&metadata["packages"]).into_iter().filter(|package| default.contains(&package["id"]));
    let targets = packages.flat_map(|package| all(&package["targets"]));
    let binaries: Vec<_> =
        targets.filter(|target| target["kind"][0] == "bin").map(|target| target["name"].clone()).collect();
    assert_eq!(binaries, ["necropsy"]);
}
