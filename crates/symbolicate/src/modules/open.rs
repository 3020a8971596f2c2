//! Opening files that a dump or a debug file names: only regular files, mapped, never read whole.

use std::fs::{File, Metadata};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

use memmap2::Mmap;
use necropsy_model::Arena;

/// `O_NONBLOCK` of Linux on all unwound machines: opening a FIFO that slipped in after the check returns at once.
const NONBLOCK: i32 = 0o4000;
/// Symbolic links followed while one path is resolved; the kernel allows 40 as well.
const MAX_LINKS: usize = 40;

/// Maps a regular file. `None` for anything else: a directory, a device, a FIFO, an empty file, one that may not be read.
pub(crate) fn map<'data>(path: &Path, arena: &'data Arena) -> Option<&'data [u8]> {
    // Checked before it is opened, because opening a FIFO or a device can block or have an effect.
    regular(&std::fs::metadata(path).ok()?)?;
    let file = File::options().read(true).custom_flags(NONBLOCK).open(path).ok()?;
    let length = regular(&file.metadata().ok()?)?;
    Some(arena.keep(map_file(&file, length)?))
}

/// The length of a regular file that is not empty; files of `/proc` state a length of zero.
fn regular(metadata: &Metadata) -> Option<usize> {
    (metadata.is_file() && metadata.len() > 0).then(|| usize::try_from(metadata.len()).ok())?
}

#[allow(unsafe_code)]
fn map_file(file: &File, length: usize) -> Option<Mmap> {
    // SAFETY: the map is private and read only. If another process cuts the file meanwhile, a read behind its new end
    // raises SIGBUS, which ends this process; symbol files are replaced by renaming, not rewritten in place.
    unsafe { memmap2::MmapOptions::new().len(length).map(file) }.ok()
}

/// The place of `path` below `root`, following links as a process would that has `root` as its root directory.
///
/// A link that points outside is taken as relative to `root`, `..` never leaves it.
pub(crate) fn below(root: &Path, path: &Path) -> Option<PathBuf> {
    let mut links = 0;
    let mut todo: Vec<PathBuf> = parts(path).rev().collect();
    let mut inside = PathBuf::new();
    while let Some(part) = todo.pop() {
        if part.as_os_str() == ".." {
            inside.pop();
            continue;
        }
        let next = inside.join(&part);
        match std::fs::read_link(root.join(&next)) {
            Ok(target) => {
                links += 1;
                if links > MAX_LINKS {
                    return None;
                }
                if target.is_absolute() {
                    inside = PathBuf::new();
                }
                todo.extend(parts(&target).collect::<Vec<_>>().into_iter().rev());
            }
            Err(_) => inside = next,
        }
    }
    Some(root.join(inside))
}

/// The names of a path, with `..` kept and everything else that is no name dropped.
fn parts(path: &Path) -> impl DoubleEndedIterator<Item = PathBuf> + '_ {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(PathBuf::from(name)),
        Component::ParentDir => Some(PathBuf::from("..")),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("necropsy-open-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn links_do_not_leave_the_root() {
        let root = folder("root");
        std::fs::create_dir_all(root.join("usr/lib")).unwrap();
        std::os::unix::fs::symlink("/usr/lib", root.join("lib")).unwrap();
        std::os::unix::fs::symlink("../../../etc", root.join("usr/lib/escape")).unwrap();
        std::os::unix::fs::symlink("loop", root.join("loop")).unwrap();
        assert_eq!(below(&root, Path::new("/lib/libc.so.6")), Some(root.join("usr/lib/libc.so.6")));
        assert_eq!(below(&root, Path::new("/usr/lib/escape/shadow")), Some(root.join("etc/shadow")));
        assert_eq!(below(&root, Path::new("/../../etc/shadow")), Some(root.join("etc/shadow")));
        assert_eq!(below(&root, Path::new("/loop")), None);
        std::fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn only_regular_files_are_mapped() {
        let arena = Arena::new();
        let folder = folder("files");
        std::fs::write(folder.join("file"), b"text").unwrap();
        std::fs::write(folder.join("empty"), b"").unwrap();
        assert_eq!(map(&folder.join("file"), &arena), Some(&b"text"[..]));
        for other in
            [folder.join("empty"), folder.clone(), folder.join("absent"), "/dev/zero".into(), "/proc/self/maps".into()]
        {
            assert_eq!(map(&other, &arena), None, "{}", other.display());
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}
