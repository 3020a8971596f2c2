//! A case unpacked into a folder of its own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// The dump of a case.
pub(crate) fn dump_of(case: &Path) -> Option<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(case).ok()?.flatten().map(|entry| entry.path()).collect();
    files.sort();
    files.into_iter().find(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        path.is_file() && (name == "core.zst" || name.starts_with("dump"))
    })
}

/// A folder with the dump as it is, and `root/`: the layers, then the case's own files, decompressed.
pub(crate) struct Staged {
    pub(crate) folder: TempDir,
    arguments: Vec<String>,
}

impl Staged {
    pub(crate) fn new(case: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        fs::create_dir(&root).unwrap();
        let layers = fs::read_to_string(case.join("layers")).unwrap_or_default();
        for layer in layers.split_whitespace() {
            unpack(&case.with_file_name(layer), &root).unwrap();
        }
        if case.join("root").is_dir() {
            unpack(&case.join("root"), &root).unwrap();
        }
        let dump = dump_of(case).unwrap();
        let name = dump.file_name().unwrap_or_default().to_string_lossy().into_owned();
        fs::copy(&dump, folder.path().join(&name)).unwrap();
        for also in fs::read_dir(case).unwrap().flatten().map(|entry| entry.path()) {
            let name = also.file_name().unwrap_or_default();
            if name.to_string_lossy().starts_with("also") {
                fs::copy(&also, folder.path().join(name)).unwrap();
            }
        }
        let further = fs::read_to_string(case.join("args")).unwrap_or_default();
        let further = further.split_whitespace().map(str::to_owned);
        let arguments = [name, "--sysroot".to_owned(), "root".to_owned()].into_iter().chain(further).collect();
        Self { folder, arguments }
    }

    /// Where the dump and `root/` are.
    #[allow(dead_code, reason = "not every test that stages a case looks into it")]
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What the program prints; what it says on standard error comes behind it, for it has no report then.
    pub(crate) fn run(&self, further: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_necropsy"));
        command.current_dir(self.folder.path()).env_clear().args(&self.arguments).args(further);
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        // The folder has another name in every run; the program names files in it by their whole path.
        let place = format!("{}/", self.folder.path().canonicalize().unwrap().display());
        (text(&output.stdout) + &text(&output.stderr)).replace(&place, "")
    }
}

/// Copies a tree; `.zst` files are decompressed and lose the ending, links stay links.
pub(crate) fn unpack(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&path)?, &target)?;
        } else if kind.is_dir() {
            fs::create_dir_all(&target)?;
            unpack(&path, &target)?;
        } else if path.extension().is_some_and(|ending| ending == "zst") {
            let bytes = zstd::decode_all(fs::File::open(&path)?)?;
            fs::write(target.with_extension(""), bytes)?;
        } else {
            fs::copy(&path, &target)?;
        }
    }
    Ok(())
}
