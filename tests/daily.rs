//! What daily use expects of the real binary: exit statuses, many files and directories, configuration, hostile names.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const PANIC: &str = "panic: shop closed\n\ngoroutine 1 [running]:\nmain.run(...)\n\t/srv/alice/main.go:7\nmain.main()\n\t/srv/alice/main.go:3 +0x1d\nexit status 2\n";
const NIL: &str = "panic: runtime error: invalid memory address or nil pointer dereference\n[signal SIGSEGV: segmentation violation code=0x1 addr=0x8 pc=0x45d1f0]\n\ngoroutine 1 [running]:\nmain.pop(0x0)\n\t/srv/alice/main.go:51 +0x10\nmain.main()\n\t/srv/alice/main.go:3 +0x1d\nexit status 2\n";

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn necropsy(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_necropsy"));
    command.current_dir(folder).env_clear().stdin(Stdio::null());
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    necropsy(folder).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn status(folder: &Path, arguments: &[&str]) -> i32 {
    run(folder, arguments).status.code().unwrap()
}

fn folder_with(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    folder
}

#[test]
fn the_exit_status_says_what_was_found() {
    let folder = folder_with(&[("panic.txt", PANIC), ("nil.txt", NIL), ("notes.md", "no dump\n")]);
    let status = |arguments: &[&str]| status(folder.path(), arguments);
    assert_eq!(status(&["panic.txt"]), 0);
    assert_eq!(status(&["panic.txt", "--fail-on", "crash"]), 1);
    assert_eq!(status(&["panic.txt", "--fail-on", "deadlock,oom"]), 0);
    assert_eq!(status(&["panic.txt", "--fail-on", "deadlock", "--fail-on", "managed-crash"]), 1);
    assert_eq!(status(&["nil.txt", "--fail-on", "go-nil-dereference"]), 1);
    assert_eq!(status(&["panic.txt", "--fail-on", "go-nil-dereference"]), 0);
    assert_eq!(status(&["panic.txt", "--fail-on", "critical", "--json"]), 1);
    // An input that failed weighs more than what was found in the others.
    assert_eq!(status(&["panic.txt", "gone.txt", "--fail-on", "crash"]), 2);
    assert_eq!(status(&["gone.txt"]), 2);
    assert_eq!(status(&["notes.md"]), 2);
    assert_eq!(status(&["panic.txt", "--fail-on", "apocalypse"]), 2);
    assert_eq!(status(&["--help"]), 0);
}

#[test]
fn every_kind_of_trouble_is_found_in_the_lab() {
    let lab = repository().join("fixtures");
    for (condition, dump) in [
        ("crash", "goroutines/nil-dereference"),
        ("deadlock", "goroutines/all-asleep"),
        ("deadlock", "java-threads/monitor-deadlock"),
        ("hang", "java-threads/monitor-deadlock"),
        ("leak", "goroutines/leak"),
        ("oom", "goroutines/out-of-memory"),
        ("race", "goroutines/data-race"),
    ] {
        let files = fs::read_dir(lab.join(dump)).unwrap().flatten().map(|entry| entry.path());
        let mut files = files.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("dump"));
        let file = files.next().unwrap();
        let name = file.to_str().unwrap();
        assert_eq!(status(&lab, &[name, "--brief", "--fail-on", condition]), 1, "{condition}: {dump}");
        let other = if condition == "oom" { "leak" } else { "oom" };
        assert_eq!(status(&lab, &[name, "--brief", "--fail-on", other]), 0, "{other}: {dump}");
    }
}

#[test]
fn many_files_come_in_order_and_one_that_fails_stops_nothing() {
    let names: Vec<String> = (0..40).map(|number| format!("dumps/{number:02}.txt")).collect();
    let mut files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), PANIC)).collect();
    files.push(("dumps/20.txt", "\u{1f}\u{8b}\u{8}damaged"));
    files.push(("dumps/README", "no dump"));
    files.push(("dumps/deep/z.txt", NIL));
    let folder = folder_with(&files);
    fs::write(folder.path().join("dumps/20.txt"), b"\x1f\x8b\x08\0damaged").unwrap();
    let output = run(folder.path(), &["--brief", "dumps"]);
    let lines: Vec<_> = text(&output.stdout).lines().map(|line| line.split(':').next().unwrap().to_owned()).collect();
    let mut want: Vec<_> = names.iter().filter(|name| !name.contains("20")).cloned().collect();
    want.push("dumps/deep/z.txt".to_owned());
    assert_eq!(lines, want);
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(said.contains("dumps/20.txt: the gzip stream can not be decompressed"), "{said}");
    assert!(said.contains("dumps: 1 file is no dump, and passed over"), "{said}");
    assert_eq!(said.lines().count(), 2, "{said}");
    // The same inputs in any order give the reports in that order, one JSON object a line.
    let output = run(folder.path(), &["--json", "dumps/deep/z.txt", "dumps/03.txt", "dumps/02.txt", "gone"]);
    let paths: Vec<_> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["input"]["path"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(paths, ["dumps/deep/z.txt", "dumps/03.txt", "dumps/02.txt"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_directory_without_dumps_is_an_error_of_its_own() {
    let folder = folder_with(&[("docs/a.md", "text"), ("docs/b.md", "")]);
    fs::create_dir(folder.path().join("empty")).unwrap();
    let output = run(folder.path(), &["docs"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        text(&output.stderr),
        "necropsy: docs: there is no dump in this directory; 2 files are something else\n"
    );
    let output = run(folder.path(), &["empty"]);
    assert_eq!(text(&output.stderr), "necropsy: empty: there is no file in this directory\n");
}

#[test]
fn standard_input_is_one_of_many() {
    let folder = folder_with(&[("a.txt", NIL)]);
    let child =
        necropsy(folder.path()).args(["--brief", "a.txt", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = child.unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), PANIC.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let starts: Vec<_> = text(&output.stdout).lines().map(|line| line[..2].to_owned()).collect();
    assert_eq!(starts, ["a.", "-:"]);
    assert_eq!(output.status.code(), Some(0));
}

#[cfg(unix)]
#[test]
fn who_stops_reading_has_seen_enough() {
    let folder = folder_with(&[("a.txt", PANIC), ("b.txt", NIL)]);
    for arguments in [&["a.txt"][..], &["--json", "a.txt", "b.txt"], &["--brief", "."]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let status = necropsy(folder.path()).args(arguments).stdout(writer).status().unwrap();
        assert_eq!(status.code(), Some(0), "{arguments:?}");
    }
    // A disk that is full is no reader.
    if Path::new("/dev/full").exists() {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        assert_eq!(necropsy(folder.path()).arg("a.txt").stdout(full).status().unwrap().code(), Some(2));
    }
}

#[test]
fn flags_win_over_environment_over_file() {
    let config = "redact = true\n[owners]\n'main.*' = 'shop team'\n";
    let folder = folder_with(&[("a.txt", PANIC), ("config.toml", config), ("xdg/necropsy/config.toml", config)]);
    let shown = |arguments: &[&str], variables: &[(&str, &str)]| {
        let output =
            necropsy(folder.path()).arg("a.txt").args(arguments).envs(variables.iter().copied()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let report = text(&output.stdout);
        (!report.contains("/srv/alice"), report.contains("owner: shop team"))
    };
    let xdg = folder.path().join("xdg");
    let xdg = ("XDG_CONFIG_HOME", xdg.to_str().unwrap());
    assert!(!shown(&["--json"], &[]).0);
    assert!(shown(&["--json", "--redact"], &[]).0);
    assert!(shown(&["--json", "--config", "config.toml"], &[]).0);
    assert!(shown(&["--json"], &[("NECROPSY_CONFIG", "config.toml")]).0);
    assert!(shown(&["--json"], &[xdg]).0);
    assert!(!shown(&["--json", "--no-config"], &[xdg]).0);
    assert!(!shown(&["--json"], &[xdg, ("NECROPSY_REDACT", "0")]).0);
    assert!(shown(&["--json", "--redact"], &[("NECROPSY_REDACT", "0")]).0);
    assert!(!shown(&["--json", "--no-redact"], &[xdg, ("NECROPSY_REDACT", "1")]).0);
    assert!(shown(&[], &[xdg]).1);
    assert!(!shown(&[], &[]).1);
}

#[test]
fn the_configuration_holds_for_diff_and_group_too() {
    let config =
        "redact = true\nin-app = ['main.*']\nnoise = ['function main.helper*']\n[owners]\n'main.*' = 'shop team'\n";
    let folder = folder_with(&[("a.txt", PANIC), ("b.txt", PANIC), ("c.toml", config)]);
    let group = run(folder.path(), &["group", "a.txt", "b.txt", "--json", "--config", "c.toml"]);
    let bucket: Value = serde_json::from_slice(&group.stdout).unwrap();
    assert_eq!((&bucket["count"], &bucket["owners"][0]["value"]), (&2.into(), &"shop team".into()));
    assert_eq!(bucket["dumps"][1]["path"], "<file-2>");
    let diff = run(folder.path(), &["diff", "a.txt", "b.txt", "--json", "--config", "c.toml"]);
    let pair: Value = serde_json::from_slice(&diff.stdout).unwrap();
    assert_eq!(pair["before"]["input"]["path"], "<file-1>");
    let plain = run(folder.path(), &["diff", "a.txt", "b.txt", "--json", "--no-config"]);
    let pair: Value = serde_json::from_slice(&plain.stdout).unwrap();
    assert_eq!((&pair["before"]["input"]["path"], &pair["owner"]), (&"a.txt".into(), &Value::Null));
    for command in ["diff", "group", "symbolicate"] {
        let output = run(folder.path(), &[command, "a.txt", "--config", "gone.toml"]);
        assert_eq!(output.status.code(), Some(2), "{command}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("gone.toml"), "{command}");
    }
}

#[test]
fn what_is_wrong_in_the_configuration_is_told_with_its_line() {
    let folder = folder_with(&[
        ("a.txt", PANIC),
        ("c.toml", "redact = true\n\ncolour = 'red'\n"),
        ("d.toml", "debug-dirs = ['x']\n"),
    ]);
    let said = |config: &str| {
        let output = run(folder.path(), &["a.txt", "--config", config]);
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stdout.is_empty());
        text(&output.stderr)
    };
    assert!(said("c.toml").starts_with("necropsy: c.toml: line 3: unknown field `colour`"), "{}", said("c.toml"));
    assert!(said("d.toml").contains("x: there is no such directory"), "{}", said("d.toml"));
    assert!(
        said("gone.toml").starts_with("necropsy: gone.toml: the configuration could not be read"),
        "{}",
        said("gone.toml")
    );
}

/// A character that steers a terminal, or reorders or hides text.
fn is_hostile(character: char) -> bool {
    (character.is_control() && character != '\n')
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(unix)]
#[test]
fn a_hostile_file_name_reaches_no_terminal() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let folder = tempfile::tempdir().unwrap();
    let hostile = OsStr::from_bytes(b"x\x1b[2J\x1b]0;t\x07\xe2\x80\xae\xff\ny");
    fs::write(folder.path().join(hostile), PANIC).unwrap();
    let damaged = OsStr::from_bytes(b"damaged\x1b[31m\xc2\x9b\xff");
    fs::write(folder.path().join(damaged), b"\x28\xb5\x2f\xfddamaged").unwrap();
    for arguments in [&["."][..], &["--brief", "."], &["--json", "."], &["--folded", "."]] {
        let output = run(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(2));
        for stream in [&output.stdout, &output.stderr] {
            let shown = text(stream);
            assert!(!shown.contains(is_hostile), "{arguments:?}: {shown:?}");
        }
        assert!(text(&output.stderr).contains("damaged\\x1b[31m"), "{}", text(&output.stderr));
    }
    // Named on the command line: the very bytes are opened. An option of that name is refused in harmless words.
    let output = necropsy(folder.path()).arg(hostile).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let flag = OsStr::from_bytes(b"--x\x1b[2J\xe2\x80\xae");
    let output = necropsy(folder.path()).arg(flag).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains(is_hostile), "{said:?}");
}

#[test]
fn completions_and_manual_know_every_option() {
    let folder = folder_with(&[]);
    let help = text(&run(folder.path(), &["--help"]).stdout);
    for heading in ["Input:", "Files of the process:", "Output:", "Threads and groups:", "Configuration:", "Examples:"]
    {
        assert!(help.contains(&format!("\n{heading}\n")), "{heading}\n{help}");
    }
    let options: Vec<&str> = help
        .lines()
        .filter_map(|line| line.trim_start().split([' ', '=']).find(|word| word.starts_with("--")))
        .collect();
    assert!(options.len() > 20, "{options:?}");
    let short = text(&run(folder.path(), &["-h"]).stdout);
    assert!(short.lines().count() < help.lines().count() && short.contains("--fail-on"));
    let man = text(&run(folder.path(), &["man"]).stdout);
    for shell in ["bash", "zsh", "fish"] {
        let output = run(folder.path(), &["completions", shell]);
        assert_eq!(output.status.code(), Some(0));
        let completions = text(&output.stdout);
        assert!(completions.contains("explain") && completions.contains("fail-on"), "{shell}");
        for option in ["--redact", "--fail-on", "--sysroot", "--no-config"] {
            assert!(completions.contains(option.trim_start_matches('-')), "{shell}: {option}");
        }
    }
    for option in ["redact", "fail", "sysroot", "config"] {
        assert!(man.contains(option), "{option}");
    }
    assert!(man.starts_with(".ie") || man.contains(".TH"), "{man}");
    assert_eq!(run(folder.path(), &["man", "--dir", "."]).status.code(), Some(0));
    for page in ["necropsy.1", "necropsy-explain.1", "necropsy-completions.1", "necropsy-man.1"] {
        assert!(fs::read_to_string(folder.path().join(page)).unwrap().contains(".TH"), "{page}");
    }
}

/// A list of noise or of rules that has no end was named by mistake.
#[test]
#[cfg(unix)]
fn lists_without_an_end_are_refused() {
    let folder = folder_with(&[("a.txt", PANIC)]);
    for arguments in [&["--noise", "/dev/zero", "a.txt"][..], &["group", "--frame-rules", "/dev/zero", "a.txt"]] {
        let output = run(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains("larger than 1 MiB"), "{}", text(&output.stderr));
    }
}
