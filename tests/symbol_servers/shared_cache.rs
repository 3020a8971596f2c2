//! The directory that elfutils and gdb use too, both ways, where these are installed.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::elsewhere::{Elsewhere, case, fetched, judgement, pair, wait};
use crate::symbol_server::{Play, SymbolServer};

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
