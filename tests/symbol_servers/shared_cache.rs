//! The directory that elfutils and gdb use too, both ways, where these are installed.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::elsewhere::{Elsewhere, case, fetched, files, judgement, pair, plays, wait};
use crate::symbol_server::{Play, SymbolServer};

/// Nobody listens there.
const DEAD: &str = "http://127.0.0.1:1";

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

/// What gdb says of an address of a stripped file, with the debug files of this cache and these servers; `None` where there
/// is no gdb that knows debuginfod.
fn gdb(file: &Path, address: &str, urls: &str, cache: &Path) -> Option<String> {
    let line = format!("info line *{address}");
    let mut command = Command::new("gdb");
    command.args(["-nx", "-batch", "-iex", "set debuginfod enabled on", "-ex", &line]).arg(file);
    command.env_remove("DEBUGINFOD_HEADERS_FILE").env("DEBUGINFOD_URLS", urls).env("DEBUGINFOD_CACHE_PATH", cache);
    let output = command.env("LC_ALL", "C").output().ok()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    (!said.contains("Undefined set debuginfod") && !said.contains("not supported")).then_some(said)
}

#[test]
fn gdb_and_necropsy_have_one_cache() {
    let staged = case("debuglink");
    let server = SymbolServer::start(plays(&files(&staged)), Play::Status(404));
    let here: Value = serde_json::from_str(&staged.run(&["--json"])).unwrap();
    let frame = &here["threads"][0]["frames"][0];
    let (address, wanted) = (frame["address"].as_str().unwrap(), format!("Line {} of \"", frame["line"]));
    // The stripped program, and nothing beside it.
    let bare = tempfile::tempdir().unwrap();
    let program = bare.path().join("refund");
    fs::copy(staged.folder().join("root/srv/ledger/refund"), &program).unwrap();
    let absent = bare.path().join("absent");
    let Some(without) = gdb(&program, address, DEAD, &absent) else {
        eprintln!("skipped: there is no gdb that asks symbol servers (apt-get install gdb)");
        return;
    };
    assert!(!without.contains(&wanted), "{without}");

    // What we fetched is gdb's, and nobody can be asked.
    let ours = Elsewhere::new(&staged);
    ours.json(&server.url(""), &[]);
    let said = gdb(&program, address, DEAD, &ours.cache()).unwrap();
    assert!(said.contains(&wanted), "{said}");

    // What gdb fetched is ours without a request.
    let theirs = Elsewhere::new(&staged);
    let asked = server.asked().len();
    let said = gdb(&program, address, &server.url(""), &theirs.cache()).unwrap();
    assert!(said.contains(&wanted) && server.asked().len() > asked, "{said}");
    let unasked = SymbolServer::start([], Play::Status(404));
    let path = program.to_str().unwrap();
    let report = theirs.json(&unasked.url(""), &["--exe", path]);
    assert_eq!(report["modules"][0]["symbols"]["status"], "full", "{report:#}");
    assert_eq!(judgement(report), judgement(here.clone()));
    assert_eq!(unasked.asked().len(), 0, "{:?}", unasked.paths());

    // Our note that nobody has it is gdb's.
    let noted = Elsewhere::new(&staged);
    let outcomes = fetched(&noted.json(&unasked.url(""), &["--exe", path]), "refund");
    assert!(outcomes.contains(&pair("debug file", "not-found")), "{outcomes:?}");
    let of_debug_file = || unasked.paths().iter().filter(|path| path.ends_with("/debuginfo")).count();
    assert_eq!(of_debug_file(), 1);
    gdb(&program, address, &unasked.url(""), &noted.cache()).unwrap();
    assert_eq!(of_debug_file(), 1, "gdb read our note");

    // And gdb's is ours.
    let noted = Elsewhere::new(&staged);
    gdb(&program, address, &unasked.url(""), &noted.cache()).unwrap();
    assert_eq!(of_debug_file(), 2, "gdb asked");
    let outcomes = fetched(&noted.json(&unasked.url(""), &["--exe", path]), "refund");
    assert!(outcomes.contains(&pair("debug file", "negative-entry")), "{outcomes:?}");
    assert_eq!(of_debug_file(), 2, "we did not");
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
    let unreachable = Debuginfod { child: Command::new("true").spawn().unwrap(), url: DEAD.to_owned() };
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
