//! Where to look for files: the search order, in one place.

use std::path::{Path, PathBuf};

use necropsy_debuginfod::What;
use necropsy_model::{Arena, BuildId, Module};

use super::open::{self, Mapped};
use crate::Options;
use crate::resolve::SYSTEM;

/// Where distributions keep debug files.
const SYSTEM_DEBUG: &str = "/usr/lib/debug";

/// Looks for files on behalf of the modules of one dump.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Search<'a, 'data> {
    pub options: &'a Options,
    pub arena: &'data Arena,
}

/// Which step of the search proposed a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The user named it with `--exe`.
    Named,
    /// The path in the dump.
    Path,
    /// A file of that name where loaders and shells look, for a dump that tells no path.
    Name,
    /// A file of that name beside the executable or beside the dump. Only with the right build id or bytes.
    Beside,
    /// A build-id directory.
    BuildIdDirectory,
    /// It was fetched from a server, in this run or before.
    Fetched,
}

impl<'data> Search<'_, 'data> {
    /// Maps a file. One that lies below the sysroot does not leave it by a link or by `..`: names of debug files come from the
    /// files of the dump.
    pub fn map(&self, path: &Path) -> Option<Mapped<'data>> {
        match self.options.sysroot.as_deref() {
            Some(root) => open::map(&open::contained(path, root)?, self.arena),
            None => self.map_named(path),
        }
    }

    /// Maps a file that the user named.
    pub fn map_named(&self, path: &Path) -> Option<Mapped<'data>> {
        open::map(path, self.arena)
    }

    /// Paths that may be a module's own file, in the order of the search.
    pub fn candidates(&self, module: &Module<'_>) -> Vec<(Step, PathBuf)> {
        let mut found = Vec::new();
        if module.is_executable {
            found.extend(self.options.exe.clone().map(|path| (Step::Named, path)));
        }
        let path = Path::new(module.path.as_ref());
        if module.stated.is_some() && !module.path.contains('/') {
            let paths = SYSTEM.iter().map(|directory| Path::new(directory).join(path));
            let there = paths.filter_map(|path| open::locate(&path, self.options.sysroot.as_deref()));
            found.extend(there.filter(|path| path.is_file()).map(|path| (Step::Name, path)));
        }
        for path in self.spellings(path) {
            found.extend(open::locate(&path, self.options.sysroot.as_deref()).map(|path| (Step::Path, path)));
        }
        if let Some(name) = path.file_name().filter(|_| !module.path.starts_with('[')) {
            found.extend(self.beside().map(|directory| (Step::Beside, directory.join(name))));
        }
        if let Some(id) = &module.build_id {
            found.extend(self.by_build_id(id, "").map(|path| (Step::BuildIdDirectory, path)));
        }
        found
    }

    /// A path of the dump and, below a sysroot, its twin: a partial sysroot lacks the links of the merged `/usr`.
    fn spellings(&self, path: &Path) -> Vec<PathBuf> {
        let mut all = vec![path.to_owned()];
        if self.options.sysroot.is_some() {
            all.push(match path.strip_prefix("/usr") {
                Ok(rest) => Path::new("/").join(rest),
                Err(_) => Path::new("/usr").join(path.strip_prefix("/").unwrap_or(path)),
            });
        }
        all
    }

    /// What was fetched from a server, in this run or before. Nobody is asked.
    pub fn cached(&self, id: &BuildId, what: &What) -> Option<PathBuf> {
        self.options.client.as_ref()?.cached(id, what)
    }

    /// Directories where people keep a dump's files together.
    pub fn beside(&self) -> impl Iterator<Item = PathBuf> + '_ {
        let exe = self.options.exe.as_deref().and_then(Path::parent).map(here);
        exe.into_iter().chain(self.options.dump_dir.as_deref().map(here))
    }

    /// Directories of debug files: the user's, then the system's. With a sysroot the system is the one in the sysroot; what
    /// this machine has installed is no part of it, and a report must not depend on that.
    pub fn debug_dirs(&self) -> impl Iterator<Item = PathBuf> + '_ {
        let system = match self.options.sysroot.as_deref() {
            Some(root) => open::locate(Path::new(SYSTEM_DEBUG), Some(root)),
            None => Some(PathBuf::from(SYSTEM_DEBUG)),
        };
        self.options.debug_dirs.iter().cloned().chain(system)
    }

    /// `DIR/.build-id/ab/cdef…SUFFIX` in every directory of debug files.
    pub fn by_build_id(&self, id: &BuildId, suffix: &str) -> impl Iterator<Item = PathBuf> + '_ {
        let text = id.to_string();
        let (head, tail) = text.split_at(2.min(text.len()));
        let relative = Path::new(".build-id").join(head).join(format!("{tail}{suffix}"));
        self.debug_dirs().map(move |directory| directory.join(&relative))
    }
}

fn here(directory: &Path) -> PathBuf {
    if directory.as_os_str().is_empty() { PathBuf::from(".") } else { directory.to_owned() }
}
