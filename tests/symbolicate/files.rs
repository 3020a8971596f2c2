//! The search order, one kind of file at a time, and what the table says where one is missing.

use std::fs;
use std::path::{Path, PathBuf};

use object::{Object, ObjectSection};
use serde_json::Value;
use tempfile::TempDir;

use crate::{fixture, run};

/// Where the crash of the programs made of `refund-c` is, in their truths.
const CRASH: &str = "apply_refund";

/// Files of a case below a directory of their own, decompressed names as they are.
fn root_of(case: &str) -> TempDir {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap().flatten() {
            let target = to.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                copy(&entry.path(), &target);
            } else {
                fs::copy(entry.path(), target).unwrap();
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    copy(&fixture(case).join("root"), folder.path());
    folder
}

/// The program counter of the crash and its function, by the expected report of a case.
fn crash(case: &str) -> String {
    let report = fs::read_to_string(fixture(case).join("expected.json")).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    let frames = report["threads"][0]["frames"].as_array().unwrap().clone();
    let frame = frames.iter().find(|frame| frame["address"].is_string() && frame["inlined"] == false).unwrap();
    frame["address"].as_str().unwrap().to_owned()
}

/// The frames of an address, and the table.
fn ask(program: &Path, address: &str, further: &[&str]) -> (Vec<Value>, String) {
    let program = program.to_str().unwrap();
    let given = [&["--module", program][..], further].concat();
    let json = run(&[&["--json", "-q"][..], &given].concat(), format!("{address}\n").as_bytes());
    let record: Value = serde_json::from_slice(&json.stdout).unwrap_or_else(|_| panic!("{json:?}"));
    let table = run(&given, format!("{address}\n").as_bytes());
    (record["frames"].as_array().unwrap().clone(), String::from_utf8(table.stderr).unwrap())
}

fn section(bytes: &[u8], name: &str) -> std::ops::Range<usize> {
    let elf = object::File::parse(bytes).unwrap();
    let (offset, size) = elf.section_by_name(name).unwrap().file_range().unwrap();
    usize::try_from(offset).unwrap()..usize::try_from(offset + size).unwrap()
}

/// Takes the name out of the note, so that it is no build id any more.
fn without_build_id(path: &Path) -> Vec<u8> {
    let mut bytes = fs::read(path).unwrap();
    let note = section(&bytes, ".note.gnu.build-id");
    bytes[note][12..15].copy_from_slice(b"GNX");
    bytes
}

#[test]
fn a_link_with_a_checksum_where_there_is_no_build_id() {
    let root = root_of("debuglink");
    let folder = root.path().join("srv/ledger");
    let (program, debug) = (folder.join("refund"), folder.join(".debug/refund.debug"));
    let separate = without_build_id(&debug);
    let mut own = without_build_id(&program);
    let link = section(&own, ".gnu_debuglink");
    own[link.end - 4..link.end].copy_from_slice(&crc32fast::hash(&separate).to_le_bytes());
    fs::write(&program, own).unwrap();
    fs::write(&debug, &separate).unwrap();
    let address = crash("debuglink");
    let (frames, table) = ask(&program, &address, &[]);
    assert_eq!((&frames[0]["function"], &frames[0]["line"]), (&CRASH.into(), &12.into()), "{table}");
    // gdb's other two places.
    let beside = folder.join("refund.debug");
    fs::rename(&debug, &beside).unwrap();
    assert_eq!(ask(&program, &address, &[]).0, frames);
    let mirror = root.path().join("debug");
    let below = program.canonicalize().unwrap();
    let below = mirror.join(below.parent().unwrap().strip_prefix("/").unwrap());
    fs::create_dir_all(&below).unwrap();
    fs::rename(&beside, below.join("refund.debug")).unwrap();
    let directory = ["--debug-dir", mirror.to_str().unwrap()];
    assert_eq!(ask(&program.canonicalize().unwrap(), &address, &directory).0, frames);
    // Another checksum: a file of another build, which is not used, and said.
    let mut other = separate.clone();
    other.push(0);
    fs::write(below.join("refund.debug"), other).unwrap();
    let (frames, table) = ask(&program.canonicalize().unwrap(), &address, &directory);
    assert!(frames.is_empty() || frames[0]["line"].is_null(), "{frames:?}");
    assert!(table.contains("refund.debug is of another build and was not used"), "{table}");
}

#[test]
fn the_common_file_of_dwz_and_its_absence() {
    let root = root_of("dwz");
    let program = root.path().join("srv/ledger/refund");
    let address = crash("dwz");
    let sysroot = ["--sysroot", root.path().to_str().unwrap()];
    let (frames, table) = ask(&program, &address, &sysroot);
    assert_eq!((&frames[0]["function"], &frames[0]["symbol"]), (&CRASH.into(), &"dwarf".into()), "{table}");
    assert!(!table.contains("incomplete"), "{table}");
    fs::remove_file(root.path().join("usr/lib/debug/.dwz/ledger.dwz")).unwrap();
    let (frames, table) = ask(&program, &address, &sysroot);
    assert_eq!(frames[0]["line"], 12, "lines are there: {frames:?}");
    assert!(table.contains("ledger.dwz") && table.contains("incomplete"), "{table}");
}

#[test]
fn split_debug_information_and_its_absence() {
    for (case, files) in [("split-dwarf", "srv/ledger/src"), ("split-dwarf-package", "srv/ledger/refund.dwp")] {
        let root = root_of(case);
        let program = root.path().join("srv/ledger/refund");
        let address = crash(case);
        let sysroot = ["--sysroot", root.path().to_str().unwrap()];
        let (frames, table) = ask(&program, &address, &sysroot);
        assert_eq!((&frames[0]["function"], &frames[0]["symbol"]), (&CRASH.into(), &"dwarf".into()), "{case}: {table}");
        let files = root.path().join(files);
        if files.is_dir() {
            fs::remove_dir_all(&files).unwrap();
        } else {
            fs::remove_file(&files).unwrap();
        }
        let (frames, table) = ask(&program, &address, &sysroot);
        assert_eq!(
            (&frames[0]["function"], &frames[0]["symbol"]),
            (&CRASH.into(), &"symtab".into()),
            "{case}: {table}"
        );
        assert!(table.contains("split debug information was not found: "), "{case}: {table}");
        assert!(table.contains(".dwo"), "{case}: {table}");
    }
}

#[test]
fn the_small_table_of_fedora() {
    let program = fixture("minidebuginfo/root/srv/ledger/refund");
    let (frames, table) = ask(&program, &crash("minidebuginfo"), &[]);
    assert_eq!(frames[0]["symbol"], "minidebuginfo", "{table}");
    assert!(table.contains("names only"), "{table}");
}

#[test]
fn a_directory_of_breakpad() {
    // The stripped library; `dump_syms` of Breakpad would have written this.
    let library = "symbol-server/server/buildid/e60600ec81778772cbb9b51ee6b7e32b2d2d70c7/executable";
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("libledger.so");
    fs::copy(fixture(library), &program).unwrap();
    let id = "EC0006E677817287CBB9B51EE6B7E32B0";
    let place = folder.path().join("symbols/libledger.so").join(id);
    fs::create_dir_all(&place).unwrap();
    let text = format!(
        "MODULE Linux x86_64 {id} libledger.so\nFILE 0 /srv/ledger/src/libledger.c\nFUNC 1140 4a 0 ledger_convert\n\
         1140 9 19 0\n1149 41 21 0\n"
    );
    fs::write(place.join("libledger.so.sym"), text).unwrap();
    let symbols: PathBuf = folder.path().join("symbols");
    let (frames, table) = ask(&program, "0x1149", &["--debug-dir", symbols.to_str().unwrap()]);
    let frame = &frames[0];
    assert_eq!((&frame["symbol"], &frame["line"]), (&"breakpad".into(), &21.into()), "{table}");
    assert_eq!(frame["function"], "ledger_convert");
}
