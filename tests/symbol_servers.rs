//! A core on a machine that never saw the program: everything comes from a symbol server, and the report is the same as with
//! the files at hand.

#![allow(clippy::print_stderr, reason = "a test that is skipped says so")]

#[path = "support/stage.rs"]
mod stage;
#[path = "support/symbol_server.rs"]
mod symbol_server;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use object::{Object, ObjectSection};
use serde_json::Value;
use stage::Staged;
use symbol_server::{Play, SymbolServer};
use tempfile::TempDir;

fn case(name: &str) -> Staged {
    Staged::new(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/elf-core").join(name))
}

/// Every file of a case below `root/` that has a build id, by its id.
fn files(staged: &Staged) -> Vec<(String, Vec<u8>)> {
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

fn has(bytes: &[u8], section: &str) -> bool {
    object::File::parse(bytes).is_ok_and(|elf| {
        elf.section_by_name(section).is_some_and(|section| section.data().is_ok_and(|data| !data.is_empty()))
    })
}

/// What a debuginfod serves that has indexed these files.
fn plays(files: &[(String, Vec<u8>)]) -> BTreeMap<String, Play> {
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
struct Elsewhere {
    folder: TempDir,
}

impl Elsewhere {
    fn new(staged: &Staged) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("root")).unwrap();
        fs::copy(staged.folder().join("core.zst"), folder.path().join("core.zst")).unwrap();
        Self { folder }
    }

    fn command(&self, urls: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_necropsy"));
        command.current_dir(self.folder.path()).env_clear().args(["core.zst", "--sysroot", "root"]);
        command.env("DEBUGINFOD_URLS", urls).env("DEBUGINFOD_CACHE_PATH", self.cache());
        command.env("XDG_CACHE_HOME", self.folder.path().join("own"));
        command
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("shared")
    }

    fn json(&self, urls: &str, further: &[&str]) -> Value {
        report(&self.command(urls).arg("--json").args(further).output().unwrap())
    }
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// A report without what tells how its files were found.
fn judgement(mut report: Value) -> Value {
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
fn fetched(report: &Value, module: &str) -> Vec<(String, String)> {
    let modules = report["modules"].as_array().unwrap();
    let module = modules.iter().find(|candidate| candidate["path"].as_str().unwrap().ends_with(module)).unwrap();
    let fetched = module["symbols"]["fetched"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    fetched.iter().map(|fetched| (text(&fetched["what"]), text(&fetched["outcome"]))).collect()
}

fn pair(what: &str, outcome: &str) -> (String, String) {
    (what.to_owned(), outcome.to_owned())
}

#[test]
fn the_report_is_the_same_as_with_the_files_at_hand() {
    // Stripped with the debug file apart; several libraries; names in a file that `dwz` made.
    for (name, files_of) in [("debuglink", "refund"), ("refund-c-o2", "refund"), ("crash-thread", ""), ("dwz", "")] {
        let staged = case(name);
        let server = SymbolServer::start(plays(&files(&staged)), Play::Status(404));
        let here: Value = serde_json::from_str(&staged.run(&["--json"])).unwrap();
        let there = Elsewhere::new(&staged).json(&server.url(""), &[]);
        if !files_of.is_empty() {
            assert!(fetched(&there, files_of).contains(&pair("executable", "fetched")), "{name}: {there:#}");
        }
        assert_eq!(judgement(here), judgement(there), "{name}");
    }
}

#[test]
fn a_second_run_asks_nobody() {
    let staged = case("debuglink");
    let server = SymbolServer::start(plays(&files(&staged)), Play::Status(404));
    let elsewhere = Elsewhere::new(&staged);
    let first = elsewhere.json(&server.url(""), &[]);
    assert_eq!(fetched(&first, "refund"), [pair("debug file", "fetched"), pair("executable", "fetched")]);
    let asked = server.asked().len();
    let second = elsewhere.json(&server.url(""), &[]);
    let offline = elsewhere.json(&server.url(""), &["--offline"]);
    let unnamed = elsewhere.json("", &[]);
    assert_eq!(server.asked().len(), asked);
    for later in [second, offline, unnamed] {
        assert_eq!(judgement(first.clone()), judgement(later));
    }
    let without = elsewhere.json("", &["--debuginfod", "off"]);
    assert_eq!(without["modules"][0]["symbols"]["status"], "not-found");
}

#[test]
fn names_alone_come_as_two_sections() {
    let staged = case("debuglink");
    let files = files(&staged);
    let server = SymbolServer::start(plays(&files), Play::Status(404));
    let there = Elsewhere::new(&staged).json(&server.url(""), &["--debuginfod", "names"]);
    let outcomes = [pair("executable", "fetched"), pair(".strtab", "fetched"), pair(".symtab", "fetched")];
    assert_eq!(fetched(&there, "refund"), outcomes);
    assert!(!server.paths().iter().any(|path| path.ends_with("debuginfo")), "{:?}", server.paths());
    let module = &there["modules"][0]["symbols"];
    assert_eq!(module["status"], "names");
    let here: Value = serde_json::from_str(&staged.run(&["--json"])).unwrap();
    let functions = |report: &Value| -> Vec<String> {
        let frames = report["threads"][0]["frames"].as_array().unwrap();
        let real = frames.iter().filter(|frame| frame["inlined"] == false && frame["trust"] != "tail-call");
        real.filter_map(|frame| frame["function"].as_str()).map(str::to_owned).collect()
    };
    assert!(!functions(&there).is_empty());
    assert!(functions(&there).iter().all(|name| functions(&here).contains(name)), "{there:#}");
}

#[test]
fn a_server_that_never_answers_costs_one_request_and_not_the_verdict() {
    let staged = case("refund-c-o2");
    let server = SymbolServer::start([], Play::Silence);
    let elsewhere = Elsewhere::new(&staged);
    let mut command = elsewhere.command(&server.url(""));
    let there = report(&command.env("DEBUGINFOD_TIMEOUT", "1").arg("--json").output().unwrap());
    assert_eq!(server.connections(), 1);
    assert!(there["verdict"]["headline"].is_string());
    assert!(fetched(&there, "refund").contains(&pair("executable", "failed")), "{there:#}");
}

#[test]
fn ctrl_c_ends_the_fetching_and_the_report_still_comes() {
    let staged = case("refund-c-o2");
    let server = SymbolServer::start([], Play::Silence);
    let elsewhere = Elsewhere::new(&staged);
    let mut command = elsewhere.command(&server.url(""));
    let child = command.arg("--json").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait(|| server.connections() > 0);
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let there = report(&child.wait_with_output().unwrap());
    assert!(fetched(&there, "refund").contains(&pair("executable", "interrupted")), "{there:#}");
    assert!(there["verdict"]["headline"].is_string());
}

fn wait(done: impl Fn() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < Duration::from_mins(1), "it never happened");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn the_wrong_file_is_told_and_not_used() {
    let staged = case("debuglink");
    let mut plays = plays(&files(&staged));
    let other = files(&case("refund-c-o2"));
    let wrong = other.iter().find(|(_, bytes)| has(bytes, ".debug_info")).unwrap();
    for play in plays.values_mut() {
        *play = Play::Serve(wrong.1.clone());
    }
    let server = SymbolServer::start(plays, Play::Status(404));
    let there = Elsewhere::new(&staged).json(&server.url(""), &[]);
    assert_eq!(there["modules"][0]["symbols"]["status"], "not-found");
    let why = there["modules"][0]["symbols"]["fetched"][0]["why"].as_str().unwrap();
    assert!(why.contains("another build") && why.contains(&wrong.0), "{why}");
}

#[test]
fn source_lines_come_from_the_server_when_asked() {
    let staged = case("refund-c-o2");
    let mut plays = plays(&files(&staged));
    let here: Value = serde_json::from_str(&staged.run(&["--json"])).unwrap();
    let id = here["modules"][0]["build_id"].as_str().unwrap();
    for place in ["crash_site", "origin"].map(|name| &here[name]) {
        assert!(place["line_text"].is_null(), "no source at hand");
        let line = place["line"].as_u64().unwrap();
        let text = (1..=line).fold(String::new(), |text, number| text + &format!("line {number};\n"));
        let file = place["file"].as_str().unwrap();
        plays.insert(format!("/buildid/{id}/source{file}"), Play::Serve(text.into_bytes()));
    }
    let server = SymbolServer::start(plays, Play::Status(404));
    let elsewhere = Elsewhere::new(&staged);
    let without = elsewhere.json(&server.url(""), &[]);
    assert!(without["crash_site"]["line_text"].is_null(), "nobody asked for it");
    let with = elsewhere.json(&server.url(""), &["--source"]);
    for place in ["crash_site", "origin"] {
        assert_eq!(with[place]["line_text"], format!("line {};", here[place]["line"]), "{place}");
    }
}

/// A `debuginfod` of elfutils over a directory; it ends with the test.
struct Debuginfod {
    child: Child,
    url: String,
}

impl Debuginfod {
    /// `None` where there is none.
    fn start(directory: &Path, scratch: &Path) -> Option<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?.port();
        let mut command = Command::new("debuginfod");
        command.env_remove("DEBUGINFOD_URLS").env("HOME", scratch).current_dir(scratch);
        command.args(["-p", &port.to_string(), "-d", ":memory:", "-F", "-t0", "-g0", "-c1"]).arg(directory);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
        Some(Self { child, url: format!("http://127.0.0.1:{port}") })
    }

    fn find(&self, cache: &Path, arguments: &[&str]) -> Output {
        let mut command = Command::new("debuginfod-find");
        command.env_clear().env("DEBUGINFOD_URLS", &self.url).env("DEBUGINFOD_CACHE_PATH", cache);
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).args(arguments).output().unwrap()
    }
}

impl Drop for Debuginfod {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_server_and_the_cache_of_elfutils() {
    let staged = case("debuglink");
    let elsewhere = Elsewhere::new(&staged);
    let root = staged.folder().join("root");
    let found = Debuginfod::start(&root, elsewhere.folder.path());
    let Some(server) = found.filter(|_| Command::new("debuginfod-find").arg("--version").output().is_ok()) else {
        eprintln!("skipped: debuginfod and debuginfod-find are not installed (apt-get install debuginfod)");
        return;
    };
    let here: Value = serde_json::from_str(&staged.run(&["--json"])).unwrap();
    let id = &*here["modules"][0]["build_id"].as_str().unwrap().to_owned();
    let scratch = elsewhere.folder.path().join("scratch");
    wait(|| {
        // A question too early is answered with 404, which is kept for ten minutes.
        let _ = fs::remove_dir_all(&scratch);
        server.find(&scratch, &["debuginfo", id]).status.success()
    });

    // Their server, our client: the same report.
    let there = elsewhere.json(&server.url, &[]);
    assert_eq!(fetched(&there, "refund"), [pair("debug file", "fetched"), pair("executable", "fetched")]);
    assert_eq!(judgement(here.clone()), judgement(there));

    // Names from its sections.
    let names = Elsewhere::new(&staged).json(&server.url, &["--debuginfod", "names"]);
    assert_eq!(names["modules"][0]["symbols"]["status"], "names", "{names:#}");

    // What we fetched is theirs: the server is gone, and they find it.
    let url = server.url.clone();
    let unreachable = Debuginfod { child: Command::new("true").spawn().unwrap(), url: "http://127.0.0.1:1".to_owned() };
    let hit = unreachable.find(&elsewhere.cache(), &["debuginfo", id]);
    assert!(hit.status.success(), "{hit:?}");

    // What they fetched is ours.
    let other = Elsewhere::new(&staged);
    for kind in ["debuginfo", "executable"] {
        assert!(server.find(&other.cache(), &[kind, id]).status.success());
    }
    drop(server);
    let from_cache = other.json("", &[]);
    assert_eq!(judgement(here), judgement(from_cache));

    // Their note that nobody has it is heard, and ours by them: neither asks a server again.
    let third = Elsewhere::new(&staged);
    let folder = third.cache().join(id);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("executable"), b"").unwrap();
    let noted = third.json(&url, &[]);
    assert!(fetched(&noted, "refund").contains(&pair("executable", "negative-entry")), "{noted:#}");
    let silent = SymbolServer::start([], Play::Status(404));
    let fourth = Elsewhere::new(&staged);
    assert!(fetched(&fourth.json(&silent.url(""), &[]), "refund").contains(&pair("executable", "not-found")));
    let asked = silent.asked().len();
    let theirs = Debuginfod { child: Command::new("true").spawn().unwrap(), url: silent.url("") };
    assert!(!theirs.find(&fourth.cache(), &["executable", id]).status.success());
    assert_eq!(silent.asked().len(), asked, "debuginfod-find read our note");
}
