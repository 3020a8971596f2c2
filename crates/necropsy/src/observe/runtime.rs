//! The runtime of a process, from the files it has mapped and the marks in its executable.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

use necropsy_model::Runtime;

/// How the build information of a Go program begins (`debug/buildinfo` of Go).
const GO: &[u8] = b"\xff Go buildinf:";

/// Where the sources of Rust's standard library lay when it was built; they stand in its panic messages.
const RUST: &[u8] = b"/rustc/";

/// Most bytes of an executable that are searched.
const SEARCHED: u64 = 512 << 20;

/// The runtime, and what shows it.
pub(super) fn of(files: &BTreeSet<String>, exe: Option<&str>, open: &Path) -> Option<(Runtime, String)> {
    let named = |part: &str| files.iter().find(|path| file_name(path).starts_with(part)).cloned();
    let program = exe.map(file_name).unwrap_or_default();
    if let Some(library) = named("libjvm.so").or_else(|| named("libj9vm")) {
        return Some((Runtime::Jvm, library));
    }
    if program == "node" || program == "nodejs" || named("libnode.so").is_some() {
        return Some((Runtime::Node, "its name".to_owned()));
    }
    if let Some(library) = named("libpython") {
        return Some((Runtime::Python, library));
    }
    if program.starts_with("python") {
        return Some((Runtime::Python, "its name".to_owned()));
    }
    by_marks(open).or_else(|| {
        let cut = std::fs::metadata(open).is_ok_and(|metadata| metadata.len() > SEARCHED);
        let within = if cut { format!(" in the first {} MiB of it", SEARCHED >> 20) } else { String::new() };
        (!files.is_empty()).then(|| (Runtime::Native, format!("no mark of another runtime{within}")))
    })
}

/// What the bytes of the executable say. It is opened through `/proc`, so that it is the file that runs.
fn by_marks(path: &Path) -> Option<(Runtime, String)> {
    let file = File::open(path).ok()?;
    let length = file.metadata().ok().filter(std::fs::Metadata::is_file)?.len().min(SEARCHED);
    let mut reader = std::io::Read::take(file, length);
    let longest = GO.len().max(RUST.len());
    let mut chunk = vec![0; 1 << 20];
    // The end of one piece stands before the next one, so that a mark across both is seen.
    let (mut kept, mut rust) = (0, false);
    loop {
        let room = chunk.get_mut(kept..)?;
        let read = std::io::Read::read(&mut reader, room).ok()?;
        let filled = kept + read;
        let bytes = chunk.get(..filled)?;
        if memchr::memmem::find(bytes, GO).is_some() {
            return Some((Runtime::Go, "Go's build information in it".to_owned()));
        }
        rust = rust || memchr::memmem::find(bytes, RUST).is_some();
        if read == 0 {
            return rust.then(|| (Runtime::Rust, "paths of Rust's standard library in it".to_owned()));
        }
        let from = filled.saturating_sub(longest);
        chunk.copy_within(from..filled, 0);
        kept = filled - from;
    }
}

/// The directory of the JDK whose virtual machine is mapped: `lib/server/libjvm.so`, before JDK 9 in `jre/lib/amd64/server`.
pub(super) fn java_home(files: &BTreeSet<String>) -> Option<String> {
    let library = files.iter().find(|path| file_name(path) == "libjvm.so")?;
    let (home, _) = library.split_once("/lib/server/").or_else(|| library.split_once("/jre/lib/"))?;
    Some(home.to_owned())
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn runtime(files: &[&str], exe: &str) -> Option<Runtime> {
        let files = files.iter().map(|&file| file.to_owned()).collect();
        of(&files, Some(exe), Path::new("/nowhere")).map(|(runtime, _)| runtime)
    }

    #[test]
    fn files_tell_the_runtime() {
        assert_eq!(runtime(&["/usr/lib/jvm/17/lib/server/libjvm.so"], "/srv/app"), Some(Runtime::Jvm));
        assert_eq!(runtime(&["/usr/lib/libpython3.11.so.1.0"], "/usr/sbin/uwsgi"), Some(Runtime::Python));
        assert_eq!(runtime(&["/usr/bin/python3.11"], "/usr/bin/python3.11"), Some(Runtime::Python));
        assert_eq!(runtime(&["/usr/bin/node"], "/usr/bin/node"), Some(Runtime::Node));
        assert_eq!(runtime(&["/srv/ledger"], "/srv/ledger"), Some(Runtime::Native));
        assert_eq!(runtime(&[], "/srv/ledger"), None, "nothing was readable");
        let files = BTreeSet::from(["/opt/jdk8/jre/lib/amd64/server/libjvm.so".to_owned()]);
        assert_eq!(java_home(&files).as_deref(), Some("/opt/jdk8"));
    }

    #[test]
    fn marks_are_found_across_the_pieces_in_which_a_file_is_read() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&vec![b'x'; (1 << 20) - 5]).unwrap();
        file.write_all(GO).unwrap();
        assert_eq!(by_marks(file.path()).map(|(runtime, _)| runtime), Some(Runtime::Go));
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"/rustc/abc/library/std").unwrap();
        assert_eq!(by_marks(file.path()).map(|(runtime, _)| runtime), Some(Runtime::Rust));
    }
}
