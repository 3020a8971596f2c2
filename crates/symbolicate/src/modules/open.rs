//! Opening files by paths that a dump states. A path of a dump is hostile: it may name a device, a pipe, or, below a
//! sysroot, a symbolic link that leads outside.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use necropsy_model::Arena;

/// Symbolic links that one path may go through, as in Linux (`MAXSYMLINKS`).
const MOST_LINKS: usize = 40;
/// File systems whose regular files are views of the running kernel, not files of the dumped process.
const VIRTUAL: [&str; 3] = ["/proc", "/sys", "/dev"];

/// A file that was opened and mapped.
#[derive(Clone, Debug)]
pub(crate) struct Mapped<'data> {
    /// Its path on this machine, without symbolic links.
    pub path: PathBuf,
    /// Its bytes.
    pub bytes: &'data [u8],
    /// The memory that they lie in.
    pub pages: Pages,
    /// When it was last written.
    pub modified: Option<SystemTime>,
}

/// The memory of a mapped file.
#[derive(Clone, Debug)]
pub(crate) struct Pages(Arc<memmap2::Mmap>);

impl AsRef<[u8]> for Pages {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Pages {
    /// Gives back the memory of the pages that were read so far; what is read again comes from the file again.
    ///
    /// The kernel maps sixteen pages at each first touch, and counts them all as memory of this process.
    #[allow(unsafe_code)]
    pub fn forget(&self) {
        // SAFETY: the map is private, read only and of a file: a page that is dropped is read from the file at the next
        // touch, with the bytes it had, or those that another process wrote since, for which the argument in `map` holds.
        #[cfg(unix)]
        let _ = unsafe { self.0.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
    }
}

/// Where a path of the dump is on this machine: below the sysroot if there is one, else as it stands.
///
/// Below a sysroot, symbolic links are followed component by component, and an absolute one or `..` starts again at
/// the sysroot: a link of the container may not name a file of this machine.
pub(crate) fn locate(path: &Path, sysroot: Option<&Path>) -> Option<PathBuf> {
    if !path.is_absolute() {
        return None;
    }
    match sysroot {
        Some(root) => below(root, path),
        None => Some(path.to_owned()),
    }
}

/// The same for a path of this machine that was put together from names that a file states: below the sysroot it stays there,
/// elsewhere it is as it stands.
pub(crate) fn contained(path: &Path, root: &Path) -> Option<PathBuf> {
    if let Ok(rest) = path.strip_prefix(root) {
        return below(root, rest);
    }
    let real = fs::canonicalize(root).ok()?;
    match path.strip_prefix(&real) {
        Ok(rest) => below(&real, rest),
        Err(_) => Some(path.to_owned()),
    }
}

fn below(root: &Path, path: &Path) -> Option<PathBuf> {
    let mut pending: VecDeque<OsString> = components(path).collect();
    let mut inside: Vec<OsString> = Vec::new();
    let mut links = 0;
    while let Some(component) = pending.pop_front() {
        if component == ".." {
            inside.pop();
            continue;
        }
        let here = inside.iter().fold(root.to_owned(), |path, component| path.join(component)).join(&component);
        if !fs::symlink_metadata(&here).ok()?.is_symlink() {
            inside.push(component);
            continue;
        }
        links += 1;
        if links > MOST_LINKS {
            return None;
        }
        let target = fs::read_link(&here).ok()?;
        if target.is_absolute() {
            inside.clear();
        }
        for component in components(&target).rev() {
            pending.push_front(component);
        }
    }
    Some(inside.into_iter().fold(root.to_owned(), |path, component| path.join(component)))
}

fn components(path: &Path) -> impl DoubleEndedIterator<Item = OsString> + '_ {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

/// Opens a regular file that is not empty; `None` for anything else.
fn open(path: &Path) -> Option<(PathBuf, File, fs::Metadata)> {
    let is_virtual = |path: &Path| VIRTUAL.iter().any(|root| path.starts_with(root));
    let stated_virtual = is_virtual(path);
    let path = fs::canonicalize(path).ok()?;
    if stated_virtual || is_virtual(&path) || !fs::metadata(&path).ok()?.is_file() {
        return None;
    }
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // Between the question and the opening, the file may have become a pipe, whose opening would wait for ever.
        options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    }
    let file = options.open(&path).ok()?;
    let metadata = file.metadata().ok().filter(|metadata| metadata.is_file() && metadata.len() > 0)?;
    Some((path, file, metadata))
}

/// Maps a regular file.
#[allow(unsafe_code)]
pub(crate) fn map<'data>(path: &Path, arena: &'data Arena) -> Option<Mapped<'data>> {
    let (path, file, metadata) = open(path)?;
    // SAFETY: the map is private and read only. Bytes that another process changes under it are read as they come, and
    // every parser here checks each value it uses. A file that is cut while it is mapped ends the program by SIGBUS, as
    // it ends every debugger; nothing is corrupted.
    let map = unsafe { memmap2::Mmap::map(&file) }.ok()?;
    // Debug information is read here and there. Reading ahead would fill the memory with pages that nobody asked for.
    #[cfg(unix)]
    let _ = map.advise(memmap2::Advice::Random);
    let pages = Pages(Arc::new(map));
    Some(Mapped { path, bytes: arena.keep(pages.clone()), pages, modified: metadata.modified().ok() })
}

/// Bytes as if they were a mapped file.
pub(crate) fn in_memory<'data>(bytes: &[u8], arena: &'data Arena) -> Option<Mapped<'data>> {
    let mut map = memmap2::MmapMut::map_anon(bytes.len().max(1)).ok()?;
    map.get_mut(..bytes.len())?.copy_from_slice(bytes);
    let pages = Pages(Arc::new(map.make_read_only().ok()?));
    Some(Mapped { path: PathBuf::from("/srv/file"), bytes: arena.keep(pages.clone()), pages, modified: None })
}

/// Reads a small regular file, or nothing when it is larger than `most` bytes.
pub(crate) fn read_small(path: &Path, most: u64) -> Option<(Vec<u8>, Option<SystemTime>)> {
    use std::io::Read;
    let (_, file, metadata) = open(path)?;
    if metadata.len() > most {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes).ok()?;
    Some((bytes, metadata.modified().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_the_dump_names_only_a_regular_file() {
        let arena = Arena::new();
        for path in ["/dev/zero", "/dev/null", "/proc/self/exe", "/", "/no/such/file"] {
            assert!(map(Path::new(path), &arena).is_none(), "{path}");
        }
        assert_eq!(locate(Path::new("relative"), None), None);
        assert_eq!(locate(Path::new("[vdso]"), Some(Path::new("/"))), None);
    }

    #[cfg(unix)]
    #[test]
    fn links_do_not_leave_the_sysroot() {
        use std::os::unix::fs::symlink;
        let root = tempfile::tempdir().expect("a directory");
        let root = root.path();
        fs::create_dir_all(root.join("usr/lib")).expect("directories");
        fs::write(root.join("usr/lib/a.so"), "x").expect("a file");
        symlink("usr/lib", root.join("lib")).expect("a link");
        symlink("/usr", root.join("absolute")).expect("a link");
        symlink("../../../../usr/lib/a.so", root.join("usr/up.so")).expect("a link");
        symlink("/etc/passwd", root.join("out")).expect("a link");
        symlink("loop", root.join("loop")).expect("a link");
        let found = Some(root.join("usr/lib/a.so"));
        for path in ["/usr/lib/a.so", "/lib/a.so", "/absolute/lib/a.so", "/usr/up.so", "/../usr/./lib/a.so"] {
            assert_eq!(locate(Path::new(path), Some(root)), found, "{path}");
        }
        assert_eq!(locate(Path::new("/out"), Some(root)), None);
        assert_eq!(locate(Path::new("/loop"), Some(root)), None);
        // The same for names that were joined to a place below it: of a debug link, of a supplementary file.
        assert_eq!(contained(&root.join("usr/lib/../../../../usr/lib/a.so"), root), found);
        assert_eq!(contained(&root.join("usr/up.so"), root), found);
        assert_eq!(contained(&root.join("out"), root), None);
        assert_eq!(contained(Path::new("/etc/passwd"), root), Some(PathBuf::from("/etc/passwd")));
    }
}
