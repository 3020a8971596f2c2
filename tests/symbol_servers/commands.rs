//! The commands beside triage ask the same servers, within the same budget.

use std::fs;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::elsewhere::{Elsewhere, case, files, plays};
use crate::symbol_server::{Play, SymbolServer};

impl Elsewhere {
    /// A subcommand in the folder of the core.
    fn run(&self, urls: &str, arguments: &[&str], input: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_necropsy"));
        command.current_dir(self.folder.path()).env_clear().args(arguments);
        command.env("DEBUGINFOD_URLS", urls).env("DEBUGINFOD_CACHE_PATH", self.cache());
        command.env("XDG_CACHE_HOME", self.folder.path().join("own")).env("DEBUGINFOD_TIMEOUT", "1");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    fn text(&self, urls: &str, arguments: &[&str], input: &str) -> String {
        let output = self.run(urls, arguments, input);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

/// Program counters of the stopped thread with the functions of the report, where frames are real.
fn frames(report: &Value) -> Vec<(String, String)> {
    let frames = report["threads"][0]["frames"].as_array().unwrap().iter();
    let real = frames.filter(|frame| frame["inlined"] == false && frame["trust"] != "tail-call");
    let pairs =
        real.filter_map(|frame| Some((frame["address"].as_str()?.to_owned(), frame["function"].as_str()?.to_owned())));
    pairs.collect()
}

#[test]
fn addresses_of_a_core_without_any_of_its_files() {
    let staged = case("debuglink");
    let server = SymbolServer::start(plays(&files(&staged)), Play::Status(404));
    let here: Value = serde_json::from_str(&staged.run(&["--json"])).unwrap();
    let known = frames(&here);
    assert!(known.len() > 2, "{here:#}");
    let input: String = known.iter().fold(String::new(), |text, (pc, _)| text + "at " + pc + "\n");
    let elsewhere = Elsewhere::new(&staged);
    let arguments = ["symbolicate", "--core", "core.zst", "--sysroot", "root"];
    let there = elsewhere.text(&server.url(""), &arguments, &input);
    for ((pc, function), line) in known.iter().zip(there.lines()) {
        assert!(line.starts_with(&format!("at {pc} {{")) && line.contains(function.as_str()), "{line}: {function}");
    }
    let asked = server.asked().len();
    assert_eq!(elsewhere.text("", &arguments, &input), there, "from the cache");
    assert_eq!(server.asked().len(), asked);
    let without = elsewhere.text(&server.url(""), &[&arguments[..], &["--debuginfod", "off"]].concat(), &input);
    assert_eq!(without, input);
}

#[test]
fn a_build_id_in_a_text_is_enough() {
    let staged = case("debuglink");
    let files = files(&staged);
    let here: Value = serde_json::from_str(&staged.run(&["--json"])).unwrap();
    let module = &here["modules"][0];
    let (id, bias) = (module["build_id"].as_str().unwrap(), hex(&module["bias"]));
    let (pc, function) = frames(&here).remove(0);
    let input = format!("{id}:{:#x}\n", hex(&Value::String(pc)) - bias);
    for (arguments, wanted, fetched) in [
        (&["symbolicate"][..], " at ", &["debuginfo", "executable"][..]),
        (&["symbolicate", "--names-only"], "}", &["executable", "section/.strtab", "section/.symtab"]),
        (&["symbolicate", "--debuginfod", "names"], "}", &["executable", "section/.strtab", "section/.symtab"]),
    ] {
        let server = SymbolServer::start(plays(&files), Play::Status(404));
        let there = Elsewhere::new(&staged).text(&server.url(""), arguments, &input);
        let end = format!(" {{{function}{wanted}");
        assert!(there.contains(&end), "{arguments:?}: {there}");
        let mut paths = server.paths();
        paths.sort();
        let wanted: Vec<_> = fetched.iter().map(|name| format!("/buildid/{id}/{name}")).collect();
        assert_eq!(paths, wanted, "{arguments:?}");
    }
    // Only the debug file is there: it states the addresses too.
    let mut plays = plays(&files);
    plays.retain(|path, _| path.ends_with("/debuginfo"));
    let server = SymbolServer::start(plays, Play::Status(404));
    let there = Elsewhere::new(&staged).text(&server.url(""), &["symbolicate"], &input);
    assert!(there.contains(&format!(" {{{function} at ")), "{there}");
}

fn hex(value: &Value) -> u64 {
    let text = value.as_str().unwrap_or_else(|| panic!("{value}"));
    u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
}

#[test]
fn what_the_table_of_symbolicate_says() {
    let staged = case("debuglink");
    let here: Value = serde_json::from_str(&staged.run(&["--json"])).unwrap();
    let id = here["modules"][0]["build_id"].as_str().unwrap();
    let input = format!("{id}:0x1139\n");
    let said = |urls: &str, elsewhere: &Elsewhere| {
        let output = elsewhere.run(urls, &["symbolicate"], &input);
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let elsewhere = Elsewhere::new(&staged);
    let absent = SymbolServer::start([], Play::Status(404));
    let table = said(&absent.url(""), &elsewhere);
    assert!(table.contains("executable: the server does not have it"), "{table}");
    let table = said(&absent.url(""), &elsewhere);
    assert!(table.contains("--symbol-refresh asks again"), "{table}");
    let silent = SymbolServer::start([], Play::Silence);
    let table = said(&silent.url(""), &Elsewhere::new(&staged));
    assert!(table.contains("accepted and did not answer within 1 s"), "{table}");
    assert_eq!(silent.connections(), 1);
    let good = SymbolServer::start(plays(&files(&staged)), Play::Status(404));
    let table = said(&good.url(""), &Elsewhere::new(&staged));
    assert!(table.contains(&format!("from {}", good.url(""))), "{table}");
}

#[test]
fn many_dumps_share_one_client() {
    let staged = case("debuglink");
    let local = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_necropsy"));
        let output = command.current_dir(staged.folder()).env_clear().args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let elsewhere = Elsewhere::new(&staged);
    for copy in ["a.zst", "b.zst", "c.zst"] {
        for folder in [staged.folder(), elsewhere.folder.path()] {
            fs::copy(folder.join("core.zst"), folder.join(copy)).unwrap();
        }
    }
    let group = ["group", "--json", "--sysroot", "root", "a.zst", "b.zst", "c.zst"];
    let diff = ["diff", "--json", "--sysroot", "root", "a.zst", "b.zst"];
    let server = SymbolServer::start(plays(&files(&staged)), Play::Status(404));
    assert_eq!(elsewhere.text(&server.url(""), &group, ""), local(&group));
    let asked = server.asked().len();
    assert_eq!(elsewhere.text(&server.url(""), &diff, ""), local(&diff));
    assert_eq!(server.asked().len(), asked, "the cache has it all");

    let silent = SymbolServer::start([], Play::Silence);
    for arguments in [&group[..], &diff[..]] {
        let before = silent.connections();
        let output = Elsewhere::new(&staged);
        for copy in ["a.zst", "b.zst", "c.zst"] {
            fs::copy(output.folder.path().join("core.zst"), output.folder.path().join(copy)).unwrap();
        }
        let output = output.run(&silent.url(""), arguments, "");
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said.matches("accepted and did not answer").count(), 1, "{said}");
        assert_eq!(silent.connections() - before, 1, "one wait for all dumps");
    }
    let refused = elsewhere.run("", &[&group[..], &["--debuginfod", "full"]].concat(), "");
    assert_eq!(refused.status.code(), Some(2), "nobody to ask");
}
