//! Where files are looked for: the search order, in one place.
//!
//! A later step, a symbol server, has its place at the end of [`Finder::module_files`] and [`Finder::debug_files`].

use std::path::{Path, PathBuf};

use necropsy_model::{Arena, BuildId};

use super::open;
use crate::Options;

/// The system's directory of debug files, as gdb and elfutils have it.
const DEBUG_DIR: &str = "/usr/lib/debug";

/// Looks for files.
#[derive(Clone)]
pub(crate) struct Finder<'data> {
    arena: &'data Arena,
    options: Options,
}

impl<'data> Finder<'data> {
    /// A finder for these options.
    pub fn new(arena: &'data Arena, options: &Options) -> Self {
        Self { arena, options: options.clone() }
    }

    /// Where late bytes are kept.
    pub fn arena(&self) -> &'data Arena {
        self.arena
    }

    /// The executable that the user named.
    pub fn exe(&self) -> Option<&Path> {
        self.options.exe.as_deref()
    }

    /// Maps a regular file.
    pub fn map(&self, path: &Path) -> Option<&'data [u8]> {
        open::map(path, self.arena)
    }

    /// A path of the process as a path of this machine: below the sysroot, when there is one.
    pub fn host_path(&self, path: &Path) -> Option<PathBuf> {
        match &self.options.sysroot {
            Some(root) => open::below(root, path),
            None => path.is_absolute().then(|| path.to_owned()),
        }
    }

    /// Where the file of a module may be, best first: the path it had, the folders of the dump and of the executable
    /// (people keep core, executable and libraries together), and the directories that are indexed by build id.
    pub fn module_files(&self, path: &Path, build_id: Option<&BuildId>) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = self.host_path(path).into_iter().collect();
        if let Some(name) = path.file_name() {
            let folders = [self.options.exe.as_deref().and_then(Path::parent), self.options.dump_dir.as_deref()];
            files.extend(folders.into_iter().flatten().map(|folder| folder.join(name)));
        }
        files.extend(build_id.into_iter().flat_map(|id| self.by_build_id(id, "")));
        files
    }

    /// Where the debug file of a build may be, by its build id.
    pub fn debug_files(&self, build_id: &BuildId) -> Vec<PathBuf> {
        self.by_build_id(build_id, ".debug")
    }

    /// Where a file named by a debug link may be: gdb's order.
    pub fn linked_files(&self, module: &Path, link: &str) -> Vec<PathBuf> {
        // A link is a plain file name; one with a path would lead anywhere.
        if link.contains('/') || link == ".." {
            return Vec::new();
        }
        let folder = module.parent().unwrap_or(Path::new("/"));
        let mut files = vec![folder.join(link), folder.join(".debug").join(link)];
        let inner = folder.strip_prefix("/").unwrap_or(folder);
        files.extend(self.debug_dirs().map(|dir| dir.join(inner).join(link)));
        files
    }

    /// Where the supplementary file (dwz) of a debug file may be.
    pub fn supplementary_files(&self, debug_file: &Path, link: &Path, build_id: &BuildId) -> Vec<PathBuf> {
        let folder = debug_file.parent().unwrap_or(Path::new("/"));
        let mut files = Vec::new();
        if link.is_absolute() {
            files.extend(self.host_path(link));
        } else {
            files.push(folder.join(link));
        }
        files.extend(self.by_build_id(build_id, ".debug"));
        files.extend(
            link.file_name().into_iter().flat_map(|name| self.debug_dirs().map(move |dir| dir.join(".dwz").join(name))),
        );
        files
    }

    fn by_build_id(&self, build_id: &BuildId, ending: &str) -> Vec<PathBuf> {
        let hex = build_id.to_string();
        let Some((first, rest)) = hex.split_at_checked(2) else { return Vec::new() };
        let name = format!("{rest}{ending}");
        self.debug_dirs().map(|dir| dir.join(".build-id").join(first).join(&name)).collect()
    }

    /// Directories of debug files: those the user named, then the system's.
    fn debug_dirs(&self) -> impl Iterator<Item = PathBuf> + '_ {
        self.options.debug_dirs.iter().cloned().chain(self.host_path(Path::new(DEBUG_DIR)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_path_then_neighbours_then_build_id() {
        let arena = Arena::new();
        let options =
            Options { exe: Some("/case/exe".into()), debug_dirs: vec!["/debug".into()], ..Options::default() };
        let finder = Finder::new(&arena, &options);
        let id = BuildId::new(&[0xab, 0xcd, 0xef]).unwrap();
        let found = finder.module_files(Path::new("/lib/libx.so"), Some(&id));
        let expected =
            ["/lib/libx.so", "/case/libx.so", "/debug/.build-id/ab/cdef", "/usr/lib/debug/.build-id/ab/cdef"];
        assert_eq!(found, expected.map(PathBuf::from));
    }

    #[test]
    fn a_debug_link_with_a_path_is_not_followed() {
        let arena = Arena::new();
        let finder = Finder::new(&arena, &Options::default());
        assert!(finder.linked_files(Path::new("/usr/bin/x"), "../../etc/shadow").is_empty());
        assert_eq!(finder.linked_files(Path::new("/usr/bin/x"), "x.debug").len(), 3);
    }
}
