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
        path.is_file() && (name.starts_with("core.") || name.starts_with("dump"))
    })
}

/// Word in `args` for the URL of the case's symbol server.
const SERVER: &str = "SERVER";

/// A folder with the dump as it is, `server/` where the case has one, and `root/`: the layers, then the case's own files, decompressed.
pub(crate) struct Staged {
    pub(crate) folder: TempDir,
    #[allow(dead_code, reason = "not every test that stages a case runs it")]
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
        let server = folder.path().join("server");
        if case.join("server").is_dir() {
            fs::create_dir(&server).unwrap();
            unpack(&case.join("server"), &server).unwrap();
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
        let url = format!("file://{}", server.canonicalize().unwrap_or_default().display());
        let further = further.split_whitespace().map(|word| if word == SERVER { url.clone() } else { word.to_owned() });
        let arguments = [name, "--sysroot".to_owned(), "root".to_owned()].into_iter().chain(further).collect();
        Self { folder, arguments }
    }

    /// Where the dump and `root/` are.
    #[allow(dead_code, reason = "not every test that stages a case looks into it")]
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What the program prints; what it says on standard error comes behind it, for it has no report then.
    #[allow(dead_code, reason = "not every test that stages a case runs it")]
    pub(crate) fn run(&self, further: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_necropsy"));
        command.current_dir(self.folder.path()).env_clear().args(&self.arguments).args(further);
        let cache = self.folder.path().join("cache");
        if self.folder.path().join("server").is_dir() {
            // Each run is the first one.
            let _ = fs::remove_dir_all(&cache);
            command.env("DEBUGINFOD_CACHE_PATH", &cache).env("XDG_CACHE_HOME", &cache);
        }
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        // The folder has another name in every run; the program names files in it by their whole path.
        let place = format!("{}/", self.folder.path().canonicalize().unwrap().display());
        untimed(&(text(&output.stdout) + &text(&output.stderr)).replace(&place, ""))
    }
}

/// A report without the times that fetching took.
pub(crate) fn untimed(report: &str) -> String {
    let json = regex::Regex::new(r#""milliseconds":\d+"#).unwrap();
    let text = regex::Regex::new(r" in \d+\.\d s\b").unwrap();
    text.replace_all(&json.replace_all(report, r#""milliseconds":0"#), " in 0.0 s").into_owned()
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
