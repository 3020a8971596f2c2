//! A core on a machine that never saw the program: everything comes from a symbol server, and the report is the same as with
//! the files at hand.

#![allow(clippy::print_stderr, reason = "a test that is skipped says so")]

#[path = "symbol_servers/commands.rs"]
mod commands;
#[path = "symbol_servers/elsewhere.rs"]
mod elsewhere;
#[path = "symbol_servers/processes.rs"]
mod processes;
#[path = "symbol_servers/shared_cache.rs"]
mod shared_cache;
#[path = "support/stage.rs"]
mod stage;
#[path = "support/symbol_server.rs"]
mod symbol_server;
#[path = "symbol_servers/tls.rs"]
mod tls;

use std::process::{Command, Stdio};

use elsewhere::{Elsewhere, case, fetched, files, has, judgement, pair, plays, report, wait};
use serde_json::Value;
use symbol_server::{Play, SymbolServer};

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
fn the_fixture_says_what_the_files_at_hand_say() {
    // Both were made of the same sources with the same flags: the build ids are equal, and one has its files at hand.
    let (there, here) = (case("symbol-server"), case("dynamic-musl"));
    let report: Value = serde_json::from_str(&there.run(&["--json"])).unwrap();
    for module in ["report", "libledger.so"] {
        assert_eq!(fetched(&report, module), [pair("debug file", "fetched"), pair("executable", "fetched")]);
    }
    let core = there.folder().join("core.zst");
    std::fs::copy(core, here.folder().join("core.zst")).unwrap();
    let local: Value = serde_json::from_str(&here.run(&["--json"])).unwrap();
    assert!(judgement(report) == judgement(local));
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
fn a_wait_is_told_where_somebody_watches() {
    // A terminal, or the variable of debuginfod-find(1); a log of a service holds no progress.
    let staged = case("refund-c-o2");
    let server = SymbolServer::start([], Play::Silence);
    for (value, told) in [("1", true), ("", false)] {
        let elsewhere = Elsewhere::new(&staged);
        let mut command = elsewhere.command(&server.url(""));
        let output = command.env("DEBUGINFOD_TIMEOUT", "2").env("DEBUGINFOD_PROGRESS", value).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said.contains("Ctrl-C goes on without"), told, "{said}");
    }
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
