//! ELF files: executables, libraries, debug files.

#![allow(clippy::unnecessary_wraps, reason = "all targets have one signature")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use necropsy_symbolicate::doors;

use super::dump;
use crate::seeds;

pub(super) fn seeds() -> Vec<Vec<u8>> {
    seeds::elf_files()
}

pub(super) fn names(input: &[u8]) -> Result<(), String> {
    doors::names(input);
    Ok(())
}

/// A stack of addresses in itself and in code.
pub(super) fn values(input: &[u8]) -> Result<(), String> {
    let words = (0..512_u64).map(|number| match number % 4 {
        0 => doors::STACK + number * 8,
        1 => 0x0040_1000 + number * 3,
        2 => number,
        _ => 0x6f6c_6c65_6800_0000 | number,
    });
    let stack: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
    doors::values(input, &stack);
    Ok(())
}

/// A case of cores whose files are small: its core, its folder, the executable below it.
struct Case {
    core: Vec<u8>,
    root: PathBuf,
    exe: PathBuf,
    whole: Vec<u8>,
    _folder: tempfile::TempDir,
}

fn case() -> &'static Case {
    static CASE: OnceLock<Case> = OnceLock::new();
    CASE.get_or_init(|| {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/elf-core/deep-args");
        let fail = |what: &str| -> ! { panic!("{}: {what}", fixture.display()) };
        let folder = tempfile::tempdir().unwrap_or_else(|error| fail(&error.to_string()));
        let root = folder.path().to_owned();
        unpack(&fixture.join("root"), &root);
        let exe = root.join("srv/ledger/types");
        let whole = fs::read(&exe).unwrap_or_else(|error| fail(&error.to_string()));
        let packed = fs::read(fixture.join("core.zst")).unwrap_or_else(|error| fail(&error.to_string()));
        let core = zstd::decode_all(packed.as_slice()).ok().and_then(|core| seeds::slim(&core));
        let core = core.unwrap_or_else(|| fail("no core"));
        Case { core, root, exe, whole, _folder: folder }
    })
}

pub(super) fn executables() -> Vec<Vec<u8>> {
    vec![case().whole.clone()]
}

/// A core whose executable is the input.
pub(super) fn below_a_core(input: &[u8]) -> Result<(), String> {
    let case = case();
    fs::write(&case.exe, input).map_err(|error| format!("the input could not be written: {error}"))?;
    dump::triage(&case.core, Some("elf-core"), Some(&case.root), false)
}

/// Copies a tree; `.zst` files are decompressed and lose the ending. Links are left out.
pub(super) fn unpack(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).into_iter().flatten().flatten() {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            let _ = fs::create_dir_all(&target);
            unpack(&path, &target);
        } else if kind.is_file() && path.extension().is_some_and(|ending| ending == "zst") {
            let bytes = fs::read(&path).ok().and_then(|bytes| zstd::decode_all(bytes.as_slice()).ok());
            let _ = bytes.map(|bytes| fs::write(target.with_extension(""), bytes));
        } else if kind.is_file() {
            let _ = fs::copy(&path, &target);
        }
    }
}
