//! The program on a machine that never saw it, and the server that has its files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use object::{Object, ObjectSection};
use serde_json::Value;
use tempfile::TempDir;

use crate::stage::Staged;
use crate::symbol_server::Play;

pub fn case(name: &str) -> Staged {
    Staged::new(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/elf-core").join(name))
}

/// Every file of a case below `root/` that has a build id, by its id.
pub fn files(staged: &Staged) -> Vec<(String, Vec<u8>)> {
    fn walk(directory: &Path, found: &mut Vec<(String, Vec<u8>)>) {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                walk(&entry.path(), found);
            } else if kind.is_file() {
                let bytes = fs::read(entry.path()).unwrap();
                let id = object::File::parse(&*bytes).ok().and_then(|elf| Some(elf.build_id().ok()??.to_vec()));
                let id = id.and_then(|id| necropsy_model::BuildId::new(&id));
                found.extend(id.map(|id| (id.to_string(), bytes)));
            }
        }
    }
    let mut found = Vec::new();
    walk(&staged.folder().join("root"), &mut found);
    found
}

pub fn has(bytes: &[u8], section: &str) -> bool {
    object::File::parse(bytes).is_ok_and(|elf| {
        elf.section_by_name(section).is_some_and(|section| section.data().is_ok_and(|data| !data.is_empty()))
    })
}

/// What a debuginfod serves that has indexed these files.
pub fn plays(files: &[(String, Vec<u8>)]) -> BTreeMap<String, Play> {
    let mut plays = BTreeMap::new();
    for (id, bytes) in files {
        let mut serve = |name: &str, bytes: &[u8]| {
            plays.insert(format!("/buildid/{id}/{name}"), Play::Serve(bytes.to_vec()));
        };
        if has(bytes, ".debug_info") {
            serve("debuginfo", bytes);
        }
        if has(bytes, ".text") {
            serve("executable", bytes);
        }
        for section in [".symtab", ".strtab"].into_iter().filter(|section| has(bytes, section)) {
            let elf = object::File::parse(&**bytes).unwrap();
            serve(&format!("section/{section}"), elf.section_by_name(section).unwrap().data().unwrap());
        }
    }
    plays
}

/// The program on another host: the core, an empty sysroot, and caches of its own.
pub struct Elsewhere {
    pub folder: TempDir,
}

impl Elsewhere {
    pub fn new(staged: &Staged) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("root")).unwrap();
        fs::copy(staged.folder().join("core.zst"), folder.path().join("core.zst")).unwrap();
        Self { folder }
    }

    pub fn command(&self, urls: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_necropsy"));
        command.current_dir(self.folder.path()).env_clear().args(["core.zst", "--sysroot", "root"]);
        command.env("DEBUGINFOD_URLS", urls).env("DEBUGINFOD_CACHE_PATH", self.cache());
        command.env("XDG_CACHE_HOME", self.folder.path().join("own"));
        command
    }

    pub fn cache(&self) -> PathBuf {
        self.folder.path().join("shared")
    }

    pub fn json(&self, urls: &str, further: &[&str]) -> Value {
        report(&self.command(urls).arg("--json").args(further).output().unwrap())
    }
}

pub fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// A report without what tells how its files were found.
pub fn judgement(mut report: Value) -> Value {
    for module in report["modules"].as_array_mut().unwrap() {
        // Modules without a frame are not asked for, so that nobody knows what their files say of themselves.
        let module = module.as_object_mut().unwrap();
        for name in ["symbols", "identity", "bias"] {
            module.remove(name);
        }
    }
    report
}

/// What was asked for a module: file and outcome.
pub fn fetched(report: &Value, module: &str) -> Vec<(String, String)> {
    let modules = report["modules"].as_array().unwrap();
    let module = modules.iter().find(|candidate| candidate["path"].as_str().unwrap().ends_with(module)).unwrap();
    let fetched = module["symbols"]["fetched"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    fetched.iter().map(|fetched| (text(&fetched["what"]), text(&fetched["outcome"]))).collect()
}

pub fn pair(what: &str, outcome: &str) -> (String, String) {
    (what.to_owned(), outcome.to_owned())
}

pub fn wait(done: impl Fn() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < Duration::from_mins(1), "it never happened");
        thread::sleep(Duration::from_millis(10));
    }
}
