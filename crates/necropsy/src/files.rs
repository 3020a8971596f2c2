//! Which files to read: those that were named, and those in the directories that were named.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::input::Error;

/// Directories below one that was named. Deeper than any store of dumps; it ends a loop that mounts could make.
const DEPTH: usize = 64;

/// An input to triage.
#[derive(Debug)]
pub(crate) struct Job {
    /// Where it is; `-` is standard input.
    pub path: PathBuf,
    /// Its number among the inputs, from 1.
    pub number: usize,
    /// The directory on the command line that it was found in.
    pub found_in: Option<PathBuf>,
    /// Why it can not even be opened.
    refused: Option<Error>,
}

impl Job {
    /// The path, or why there is nothing to read there.
    pub(crate) fn path(&self) -> Result<&Path, Error> {
        match &self.refused {
            None => Ok(&self.path),
            Some(Error::Io(error)) => Err(Error::Io(io::Error::new(error.kind(), error.to_string()))),
            Some(_) => Err(Error::NoFiles),
        }
    }
}

/// The inputs that paths stand for, in their order; those in a directory sorted by name. A directory is walked without
/// following links, and only regular files in it are read: a link may lead out of it or around in it, and a pipe has no end.
pub(crate) fn expand(named: &[PathBuf]) -> Vec<Job> {
    let mut jobs = Vec::new();
    for path in named {
        // `-` is standard input, also where a directory has that name: `./-` is the directory.
        let is_folder = path.as_os_str() != "-" && fs::metadata(path).is_ok_and(|metadata| metadata.is_dir());
        if is_folder {
            let before = jobs.len();
            walk(path, path, 0, &mut jobs);
            if jobs.len() == before {
                push(&mut jobs, path, None, Some(Error::NoFiles));
            }
        } else {
            push(&mut jobs, path, None, None);
        }
    }
    jobs
}

fn push(jobs: &mut Vec<Job>, path: &Path, found_in: Option<&Path>, refused: Option<Error>) {
    let number = jobs.len() + 1;
    jobs.push(Job { path: path.to_owned(), number, found_in: found_in.map(Path::to_owned), refused });
}

fn walk(folder: &Path, named: &Path, depth: usize, jobs: &mut Vec<Job>) {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut entries = match entries {
        Ok(entries) => entries,
        Err(error) => return push(jobs, folder, Some(named), Some(error.into())),
    };
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && depth < DEPTH => walk(&entry.path(), named, depth + 1, jobs),
            Ok(kind) if kind.is_dir() => {
                let why =
                    io::Error::other(format!("it lies more than {DEPTH} directories deep, and is not looked into"));
                push(jobs, &entry.path(), Some(named), Some(why.into()));
            }
            Ok(kind) if kind.is_file() => push(jobs, &entry.path(), Some(named), None),
            Ok(_) => {}
            Err(error) => push(jobs, &entry.path(), Some(named), Some(error.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_walked_in_order_and_without_links() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("cores/b")).unwrap();
        fs::create_dir(at("empty")).unwrap();
        for file in ["cores/c", "cores/a", "cores/b/d", "cores/-"] {
            fs::write(at(file), "x").unwrap();
        }
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(at("cores"), at("cores/b/loop")).unwrap();
            std::os::unix::fs::symlink(at("cores/a"), at("cores/link")).unwrap();
            let _socket = std::os::unix::net::UnixListener::bind(at("cores/socket")).unwrap();
        }
        let jobs = expand(&[at("cores"), PathBuf::from("-"), at("empty"), at("gone")]);
        let found: Vec<_> = jobs.iter().map(|job| job.path.strip_prefix(folder.path()).unwrap_or(&job.path)).collect();
        let want = ["cores/-", "cores/a", "cores/b/d", "cores/c", "-", "empty", "gone"];
        assert_eq!(found, want.map(Path::new));
        assert!(jobs.iter().map(|job| job.number).eq(1..=7));
        assert_eq!(jobs[0].found_in, Some(at("cores")));
        assert!(jobs[4].found_in.is_none() && jobs[4].path().is_ok());
        assert!(matches!(jobs[5].path(), Err(Error::NoFiles)));
    }

    #[test]
    fn what_lies_too_deep_is_an_error_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("d/".repeat(DEPTH));
        fs::create_dir_all(deep.join("e")).unwrap();
        fs::write(deep.join("core"), "x").unwrap();
        let jobs = expand(&[folder.path().to_owned()]);
        assert_eq!(jobs.len(), 2);
        assert_eq!(jobs[0].path().unwrap(), deep.join("core"));
        assert!(jobs[1].path().unwrap_err().to_string().contains("more than 64 directories deep"));
    }
}
