//! Which inputs are two listings of one process: `Thread.print` says what threads hold, `Thread.dump_to_file` lists the virtual ones
//! too. Read together they say more than each alone.

use std::fs::File;
use std::io::Read;

/// One report: of an input, and of a second listing of the same process where there may be one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unit<'a> {
    pub path: &'a str,
    /// A listing to put into it; it is read on its own when it turns out to be of another process.
    pub also: Option<&'a str>,
}

/// The inputs in their order. The first listing of all threads goes with the first dump, the second with the second.
pub(crate) fn plan<'a>(files: &'a [String]) -> Vec<Unit<'a>> {
    let kinds: Vec<_> = if files.len() > 1 { files.iter().map(|path| kind(path)).collect() } else { Vec::new() };
    let of = |wanted: &'static str| {
        let all = files.iter().zip(&kinds).filter(move |(_, kind)| **kind == Some(wanted));
        all.map(|(path, _)| path.as_str())
    };
    let pairs: Vec<_> = of("java-threads").zip(of("java-dump-file")).collect();
    let unit =
        |path: &'a str| Unit { path, also: pairs.iter().find(|(first, _)| *first == path).map(|(_, also)| *also) };
    files.iter().map(String::as_str).filter(|path| !pairs.iter().any(|(_, also)| also == path)).map(unit).collect()
}

/// The format of a file that can be looked into without reading from a pipe or unpacking it.
fn kind(path: &str) -> Option<&'static str> {
    if path == "-" || !std::fs::metadata(path).is_ok_and(|found| found.is_file()) {
        return None;
    }
    let mut head = Vec::new();
    File::open(path).ok()?.take(necropsy_read::HEAD as u64).read_to_end(&mut head).ok()?;
    necropsy_read::kind(&head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_goes_with_a_listing() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let print =
            file("a.txt", "7:\n2026-11-21 10:00:00\nFull thread dump OpenJDK 64-Bit Server VM (25 mixed mode):\n");
        let all = file("b.json", "{\"threadDump\": {\"processId\": \"7\"}}");
        let other = file("c", "nothing");
        let unit = |path, also| Unit { path, also };
        let files = [all.clone(), other.clone(), print.clone(), "-".to_owned()];
        assert_eq!(plan(&files), [unit(&other, None), unit(&print, Some(&all)), unit("-", None)]);
        assert_eq!(plan(&files[..1]), [unit(&all, None)]);
        assert_eq!(plan(&files[..2]), [unit(&all, None), unit(&other, None)]);
    }
}
