//! `necropsy group` over the dumps of the fixtures, and over copies of them that differ in what must not matter.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

fn fixture(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(path)
}

/// Standard output, standard error, exit status.
fn group(arguments: &[&str], folder: &Path) -> (String, String, i32) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_necropsy"));
    let output = command.current_dir(folder).env_clear().arg("group").args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.code().unwrap_or(-1))
}

fn buckets(folder: &Path, arguments: &[&str]) -> Vec<Value> {
    let (out, _, _) = group(&[arguments, &["--json"]].concat(), folder);
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Three kinds of panics, the first in several forms: another goroutine, other lines, other addresses.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let crash = |goroutine: u32, line: u32, pc: &str| {
        format!(
            "panic: runtime error: invalid memory address or nil pointer dereference\n\
             [signal SIGSEGV: segmentation violation code=0x1 addr=0x8 pc={pc}]\n\n\
             goroutine {goroutine} [running]:\nmain.(*Cart).Total(0x0)\n\t/src/shop/cart.go:{line} +0x1d\n\
             main.checkout(...)\n\t/src/shop/main.go:30\nmain.main()\n\t/src/shop/main.go:12 +0x25\nexit status 2\n"
        )
    };
    fs::create_dir(folder.path().join("deep")).unwrap();
    put("a.txt", &crash(1, 20, "0x49a1b2"));
    put("b.txt", &crash(7, 20, "0x49a1c2"));
    put("deep/c.txt", &crash(9, 23, "0x58a1c2"));
    put("deep/notes.md", "nothing to see here\n");
    for (name, case) in [("map.txt", "map-writes"), ("nil.txt", "nil-dereference"), ("custom.txt", "panic-custom")] {
        fs::copy(fixture(&format!("goroutines/{case}/dump.txt")), folder.path().join(name)).unwrap();
    }
    folder
}

#[test]
fn one_bug_is_one_bucket_whatever_the_process_and_the_lines() {
    let folder = folder();
    let found = buckets(folder.path(), &["."]);
    let first = &found[0];
    assert_eq!((first["count"].as_u64(), first["signatures"].as_u64()), (Some(3), Some(1)), "{first}");
    assert_eq!(first["frames"][0]["name"], "main.(*Cart).Total");
    let lines: Vec<_> = first["variants"].as_array().unwrap().iter().map(|it| it["count"].as_u64().unwrap()).collect();
    assert_eq!(lines, [2, 1], "{first}");
    assert_eq!(first["first_seen"]["basis"], "file");
    assert_eq!(found.len(), 4, "{found:#?}");
    assert_eq!(found.iter().map(|bucket| bucket["count"].as_u64().unwrap()).sum::<u64>(), 6);
}

#[test]
fn text_brief_and_lists_say_the_same() {
    let folder = folder();
    let (text, said, status) = group(&["."], folder.path());
    assert_eq!(status, 0, "{said}");
    assert!(text.starts_with("necropsy group  ·  6 dumps in 4 buckets"), "{text}");
    assert!(said.contains("1 files in directories are no dumps"), "{said}");
    let (brief, _, _) = group(&["a.txt", "b.txt", "map.txt", "--brief"], folder.path());
    assert_eq!(brief.lines().count(), 2, "{brief}");
    assert!(brief.starts_with("2\t") && brief.contains("main.(*Cart).Total"), "{brief}");
}

#[test]
fn a_file_that_fails_costs_one_line() {
    let folder = folder();
    let (text, said, status) = group(&["a.txt", "deep/notes.md", "absent.txt", "b.txt"], folder.path());
    assert_eq!(status, 2);
    assert!(text.contains("2 dumps in 1 bucket, 2 files could not be read"), "{text}");
    assert!(said.contains("notes.md") && said.contains("absent.txt"), "{said}");
}

#[test]
fn rules_of_the_user_come_first() {
    let folder = folder();
    fs::write(folder.path().join("mine.txt"), "skip function main.(*Cart).Total # a getter\n").unwrap();
    let found = buckets(folder.path(), &["a.txt", "--frame-rules", "mine.txt"]);
    assert_eq!(found[0]["frames"][0]["name"], "main.checkout");
    fs::write(folder.path().join("bad.txt"), "\nhide function x # y\n").unwrap();
    let (_, said, status) = group(&["a.txt", "--frame-rules", "bad.txt"], folder.path());
    assert_eq!(status, 2);
    assert!(said.contains("line 2"), "{said}");
}

/// Every dump of the fixtures has a signature with a frame or, where it shows none, at least a kind.
#[test]
fn every_fixture_has_a_signature() {
    let found = buckets(&fixture("."), &["goroutines", "hs-err", "java-threads"]);
    let dumps: u64 = found.iter().map(|bucket| bucket["count"].as_u64().unwrap()).sum();
    assert!(dumps >= 40, "{dumps}");
    for bucket in &found {
        assert!(bucket["kind"].as_str().is_some_and(|kind| !kind.is_empty()), "{bucket}");
        assert_eq!(bucket["id"].as_str().map(str::len), Some(16), "{bucket}");
    }
}

/// A path is bytes: what is no UTF-8 is read like any other file. What can not be looked into is said, and counts.
#[test]
#[cfg(unix)]
fn names_that_are_no_utf_8_and_folders_that_are_too_deep() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let folder = folder();
    let odd = folder.path().join(OsStr::from_bytes(b"deep/\xff.txt"));
    fs::rename(folder.path().join("a.txt"), odd).unwrap();
    let (out, err, status) = group(&["deep", "--json"], folder.path());
    assert_eq!((out.lines().count(), status), (1, 0), "{err}");
    assert!(out.contains("\"count\":2"), "{out}");
    fs::create_dir_all(folder.path().join("deep").join("d/".repeat(66))).unwrap();
    let (out, err, status) = group(&["deep", "--json"], folder.path());
    assert_eq!((out.lines().count(), status), (1, 2), "{err}");
    assert!(err.contains("more than 64 folders deep, and not looked into"), "{err}");
}
