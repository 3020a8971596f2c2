//! Files that were fetched before.
//!
//! Two directories of one layout, `DIR/BUILD-ID/NAME`. The first is that of elfutils and gdb: `debuginfo` and `executable`
//! have these names in every version of elfutils since 0.178, so that each program finds what the others fetched. Names of
//! sections and sources changed between 0.188 and 0.190; ours lie in a directory of our own.
//!
//! The rules are those of `debuginfod_query_server` (elfutils, `debuginfod/debuginfod-client.c`): an empty file says that
//! nobody had it, for `cache_miss_s` seconds; a hit renews the access time, by which elfutils throws old files away; a file
//! appears by `rename`. Theirs also writes an empty file when a gateway answers 502; ours only when every server said 404.

use std::fs::{self, File, FileTimes, OpenOptions, Permissions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, SystemTime};

use necropsy_model::BuildId;
use tempfile::{NamedTempFile, TempDir};

use crate::record::Failure;
use crate::{What, check, lock};

/// How long an empty file counts, where `cache_miss_s` does not say.
const MISS: Duration = Duration::from_mins(10);
/// How long our own files are kept without being used: a week, as elfutils keeps its.
const UNUSED: Duration = Duration::from_hours(24 * 7);
/// How often our own directory is cleaned.
const CLEAN: Duration = Duration::from_hours(24);
/// Longest file name that is made of a section's or a source's name.
const LONGEST: usize = 100;

/// What a cache says.
pub(crate) enum Lookup {
    /// The file is there.
    Hit { path: PathBuf, bytes: u64 },
    /// Nobody had it so long ago.
    Absent { age: Duration },
    /// Nothing.
    None,
}

/// The directories, and the files that are being written.
pub(crate) struct Cache {
    shared: Option<PathBuf>,
    own: Option<PathBuf>,
    /// For this run, where the others can not be written.
    scratch: OnceLock<Option<TempDir>>,
    writing: Mutex<Vec<PathBuf>>,
}

impl Cache {
    pub fn new(shared: Option<PathBuf>, own: Option<PathBuf>) -> Self {
        Self { shared, own, scratch: OnceLock::new(), writing: Mutex::default() }
    }

    /// Looks for a file. What is of another build is not there, whoever put it there.
    pub fn find(&self, id: &BuildId, what: &What) -> Lookup {
        let scratch = self.scratch.get().and_then(Option::as_ref).map(TempDir::path);
        let mut found = Lookup::None;
        for directory in self.directory(what).into_iter().chain(scratch) {
            match look(directory, &place(directory, id, what), id, what) {
                Lookup::None => {}
                hit @ Lookup::Hit { .. } => return hit,
                absent @ Lookup::Absent { .. } => found = absent,
            }
        }
        found
    }

    /// The directory of a kind of file.
    fn directory(&self, what: &What) -> Option<&Path> {
        match what {
            What::DebugInfo | What::Executable => self.shared.as_deref(),
            What::Section(_) | What::Source(_) => self.own.as_deref(),
        }
    }

    /// A file to write to, beside the place where it will appear; in a directory of this run where that can not be written.
    pub fn create(&self, id: &BuildId, what: &What) -> Result<Writing, Failure> {
        if let Some(directory) = self.directory(what)
            && let Ok(file) = self.create_in(directory, id, what)
        {
            return Ok(file);
        }
        let scratch = self.scratch.get_or_init(|| TempDir::with_prefix("necropsy").ok()).as_ref();
        let scratch =
            scratch.ok_or_else(|| Failure::NotKept("there is no directory that can be written".to_owned()))?;
        self.create_in(scratch.path(), id, what).map_err(|error| Failure::NotKept(error.to_string()))
    }

    fn create_in(&self, directory: &Path, id: &BuildId, what: &What) -> io::Result<Writing> {
        let target = place(directory, id, what);
        let parent = target.parent().unwrap_or(directory);
        create_private(directory, parent)?;
        // The name that elfutils gives such a file; its cleaner passes over it.
        let prefix = format!("{}.", target.file_name().unwrap_or_default().to_string_lossy());
        let file = tempfile::Builder::new().prefix(&prefix).tempfile_in(parent)?;
        lock(&self.writing).push(file.path().to_owned());
        Ok(Writing { file, target })
    }

    /// Makes a complete file appear under its name.
    pub fn publish(&self, writing: Writing, modified: Option<SystemTime>) -> Result<PathBuf, Failure> {
        let Writing { file, target } = writing;
        lock(&self.writing).retain(|path| path != file.path());
        let keep = || -> io::Result<()> {
            if let Some(modified) = modified {
                file.as_file().set_times(FileTimes::new().set_modified(modified))?;
            }
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt;
                file.as_file().set_permissions(Permissions::from_mode(0o400))?;
            }
            Ok(())
        };
        keep().map_err(|error| Failure::NotKept(error.to_string()))?;
        file.persist(&target).map_err(|error| Failure::NotKept(error.error.to_string()))?;
        Ok(target)
    }

    /// Throws away what was written so far.
    pub fn discard(&self, writing: Writing) {
        lock(&self.writing).retain(|path| path != writing.file.path());
        let parent = writing.target.parent().map(Path::to_owned);
        drop(writing);
        // Only an empty directory goes; another process may use it.
        let _ = parent.map(fs::remove_dir);
    }

    /// Notes that nobody has it. A file that appeared in the meantime stays.
    pub fn note_absent(&self, id: &BuildId, what: &What) {
        let Some(directory) = self.directory(what) else { return };
        let path = place(directory, id, what);
        if let Some(parent) = path.parent()
            && create_private(directory, parent).is_ok()
        {
            if fs::metadata(&path).is_ok_and(|metadata| metadata.len() == 0) {
                let _ = fs::remove_file(&path);
            }
            let _ = OpenOptions::new().write(true).create_new(true).open(&path);
        }
    }

    /// Removes what is half written, and what was kept for this run only.
    pub fn remove_temporary(&self) {
        for path in lock(&self.writing).drain(..) {
            let _ = fs::remove_file(&path);
            let _ = path.parent().map(fs::remove_dir);
        }
        if let Some(Some(scratch)) = self.scratch.get() {
            let _ = fs::remove_dir_all(scratch.path());
        }
    }

    /// Removes what requests that nobody waits for any more have begun to write, and what of ours is old.
    pub fn sweep(&self) {
        self.remove_temporary();
        if let Some(own) = &self.own {
            clean(own);
        }
    }
}

/// A file that is being written.
pub(crate) struct Writing {
    pub file: NamedTempFile,
    target: PathBuf,
}

/// Makes the directory of a build id, for this user only, as elfutils does.
fn create_private(directory: &Path, parent: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    match builder.create(parent) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn place(directory: &Path, id: &BuildId, what: &What) -> PathBuf {
    directory.join(id.to_string()).join(match what {
        What::DebugInfo => "debuginfo".to_owned(),
        What::Executable => "executable".to_owned(),
        What::Section(name) => format!("section-{}", file_name(name)),
        What::Source(path) => format!("source-{}", file_name(path)),
    })
}

/// A file name of any text: a hash of all of it, and as much of its end as is readable.
fn file_name(text: &str) -> String {
    // FNV-1a: short, and the same in every version of this program.
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let plain: Vec<char> =
        text.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '#' }).collect();
    let end: String = plain.get(plain.len().saturating_sub(LONGEST)..).unwrap_or_default().iter().collect();
    format!("{hash:016x}-{end}")
}

fn look(directory: &Path, path: &Path, id: &BuildId, what: &What) -> Lookup {
    let Ok(file) = open(path) else { return Lookup::None };
    let Ok(metadata) = file.metadata() else { return Lookup::None };
    if !metadata.is_file() {
        return Lookup::None;
    }
    if metadata.len() > 0 {
        if check::file(&file, id, what).is_err() {
            return Lookup::None;
        }
        let _ = file.set_times(FileTimes::new().set_accessed(SystemTime::now()));
        return Lookup::Hit { path: path.to_owned(), bytes: metadata.len() };
    }
    let age = metadata.modified().ok().and_then(|modified| SystemTime::now().duration_since(modified).ok());
    match age.filter(|&age| age <= seconds_in(&directory.join("cache_miss_s")).unwrap_or(MISS)) {
        Some(age) => Lookup::Absent { age },
        None => Lookup::None,
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // `O_NONBLOCK`, so that a pipe of this name is never waited for.
        options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    }
    options.open(path)
}

/// A number of seconds in a file, as elfutils writes its limits.
fn seconds_in(path: &Path) -> Option<Duration> {
    let text = fs::read_to_string(path).ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

/// Throws away own files that nobody used for a week, once a day.
fn clean(own: &Path) {
    let stamp = own.join("cleaned");
    let age = |time: io::Result<SystemTime>| time.ok().and_then(|time| SystemTime::now().duration_since(time).ok());
    let fresh = fs::metadata(&stamp).is_ok_and(|stamp| age(stamp.modified()).is_none_or(|age| age < CLEAN));
    if fresh || !own.is_dir() || fs::write(&stamp, b"").is_err() {
        return;
    }
    let list = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten().collect::<Vec<_>>();
    for directory in list(own).iter().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        for entry in list(&directory.path()) {
            let used = entry.metadata().and_then(|metadata| metadata.accessed());
            if age(used).is_some_and(|age| age > UNUSED) {
                let _ = fs::remove_file(entry.path());
            }
        }
        let _ = fs::remove_dir(directory.path());
    }
}

#[cfg(test)]
mod tests;
