//! Several processes at once on one cache.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::elsewhere::{Elsewhere, case, files, judgement, plays, report, wait};
use crate::symbol_server::{Play, SymbolServer};

/// How many run at once.
const AT_ONCE: usize = 8;

/// Every file below a directory, sorted.
fn all(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().unwrap().is_dir() { found.extend(all(&entry.path())) } else { found.push(entry.path()) }
    }
    found.sort();
    found
}

#[test]
fn eight_at_once_on_one_cache() {
    let staged = case("debuglink");
    let plays = plays(&files(&staged));
    let server = SymbolServer::start(plays.clone(), Play::Status(404));
    let elsewhere = Elsewhere::new(&staged);
    let start = |_| {
        let mut command = elsewhere.command(&server.url(""));
        command.arg("--json").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let children: Vec<_> = (0..AT_ONCE).map(start).collect();
    let outputs: Vec<_> = children.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    let here = judgement(serde_json::from_str(&staged.run(&["--json"])).unwrap());
    for output in &outputs {
        assert!(judgement(report(output)) == here, "{}", report(output)["modules"]);
        assert!(output.stderr.is_empty(), "{output:?}");
    }
    // Each asks at most once for a file; what another one published meanwhile is not asked for.
    let paths = server.paths();
    let mut different = paths.clone();
    different.dedup();
    for path in &different {
        let times = paths.iter().filter(|other| *other == path).count();
        assert!((1..=AT_ONCE).contains(&times), "{path}: {times}");
    }
    // Whole files under their names, and nothing else.
    let kept = all(&elsewhere.cache());
    assert!(!kept.is_empty());
    for file in kept {
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(["debuginfo", "executable"].contains(&name), "{}", file.display());
        let id = file.parent().unwrap().file_name().unwrap().to_str().unwrap();
        let bytes = fs::read(&file).unwrap();
        match plays.get(&format!("/buildid/{id}/{name}")) {
            Some(Play::Serve(served)) => assert!(bytes == *served, "{} is torn", file.display()),
            _ => assert!(bytes.is_empty(), "a note that nobody has it: {}", file.display()),
        }
    }
    // A ninth asks nobody.
    let asked = server.asked().len();
    assert!(judgement(elsewhere.json(&server.url(""), &[])) == here);
    assert_eq!(server.asked().len(), asked);
}

#[test]
fn who_is_killed_while_fetching_leaves_nothing_that_is_used() {
    let staged = case("debuglink");
    let plays = plays(&files(&staged));
    let stalling = plays.clone().into_iter().map(|(path, play)| match play {
        Play::Serve(bytes) if path.ends_with("/executable") => (path, Play::Stall(bytes, 100)),
        play => (path, play),
    });
    let server = SymbolServer::start(stalling, Play::Status(404));
    let elsewhere = Elsewhere::new(&staged);
    let mut command = elsewhere.command(&server.url(""));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait(|| !all(&elsewhere.cache()).is_empty());
    let killed = Command::new("kill").args(["-KILL", &child.id().to_string()]).status().unwrap();
    assert!(killed.success() && !child.wait().unwrap().success());
    assert!(!all(&elsewhere.cache()).is_empty(), "half a file is there");

    let here = judgement(serde_json::from_str(&staged.run(&["--json"])).unwrap());
    let good = SymbolServer::start(plays, Play::Status(404));
    let there = elsewhere.json(&good.url(""), &[]);
    assert!(judgement(there) == here);
}

/// A run that is fetching, of which half a file has come, with a cache or without one that can be written.
fn fetching(elsewhere: &Elsewhere, server: &SymbolServer, cached: bool) -> (Child, PathBuf) {
    let temporary = elsewhere.folder.path().join("tmp");
    fs::create_dir_all(&temporary).unwrap();
    let mut command = elsewhere.command(&server.url(""));
    command.env("TMPDIR", &temporary);
    if !cached {
        // A file stands where the directory would be.
        fs::write(elsewhere.folder.path().join("file"), "").unwrap();
        command.env("DEBUGINFOD_CACHE_PATH", elsewhere.folder.path().join("file"));
        command.env("XDG_CACHE_HOME", elsewhere.folder.path().join("file"));
    }
    let child = command.arg("--json").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let place = if cached { elsewhere.cache() } else { temporary };
    wait(|| !all(&place).is_empty());
    (child, place)
}

#[test]
fn who_is_told_to_end_leaves_no_temporary_file() {
    let staged = case("debuglink");
    let stalling = plays(&files(&staged)).into_iter().map(|(path, play)| match play {
        Play::Serve(bytes) => (path, Play::Stall(bytes, 100)),
        play => (path, play),
    });
    let server = SymbolServer::start(stalling, Play::Silence);
    for (signal, number) in [("-INT", 2), ("-TERM", 15)] {
        for cached in [true, false] {
            let elsewhere = Elsewhere::new(&staged);
            let (mut child, place) = fetching(&elsewhere, &server, cached);
            for file in all(&place) {
                let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
                assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700), "{}", file.display());
            }
            // The first ends the fetching, and the report comes.
            let send = |child: &Child| Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
            assert!(send(&child).success());
            let output = child.wait_with_output().unwrap();
            assert!(report(&output)["verdict"]["headline"].is_string());
            assert_eq!(all(&place), Vec::<PathBuf>::new(), "{signal}, with a cache: {cached}");

            // One that ends the program: the second, for which the first must not have been enough.
            let elsewhere = Elsewhere::new(&staged);
            (child, _) = fetching(&elsewhere, &server, cached);
            let ended = (0..1000).find_map(|_| {
                send(&child);
                child.try_wait().unwrap()
            });
            let ended = ended.unwrap_or_else(|| child.wait().unwrap());
            assert!(ended.signal() == Some(number) || ended.success(), "{ended}");
            assert_eq!(all(&elsewhere.cache()), Vec::<PathBuf>::new(), "{signal} twice, with a cache: {cached}");
            assert_eq!(all(&elsewhere.folder.path().join("tmp")), Vec::<PathBuf>::new(), "{signal} twice");
        }
    }
}
