//! The reader of Java thread dumps over real ones: the folder that `NECROPSY_CORPUS` names holds `jstack/`, whose manifest
//! says how many threads and which deadlocks each file has.

#![allow(clippy::print_stdout, reason = "a test says how much it compared, and why it compared nothing")]

use std::path::{Path, PathBuf};

use necropsy_model::{Arena, ThreadFlags};

/// Files of other virtual machines, whose format this reader does not know.
const OTHER_FORMATS: [&str; 2] = ["jrockit-1.4.txt", "samurai-bea-jrockit-1.4.2.txt"];

fn corpus() -> Option<PathBuf> {
    let folder = std::env::var_os("NECROPSY_CORPUS").map(|folder| Path::new(&folder).join("jstack"));
    let found = folder.filter(|folder| folder.is_dir());
    if found.is_none() {
        println!("skipped: NECROPSY_CORPUS names no folder with Java thread dumps");
    }
    found
}

/// Dumps, threads without mounted virtual ones, and circles the VM reported, in all dumps of a file.
fn counts(path: &Path) -> Option<(usize, usize, usize)> {
    let (data, arena) = (std::fs::read(path).unwrap(), Arena::new());
    let dumps = necropsy_read::read(&data, &arena, None).ok()?;
    let threads = dumps.iter().flat_map(|dump| &dump.threads);
    let threads = threads.filter(|thread| !thread.flags.contains(ThreadFlags::VIRTUAL)).count();
    let cycles = dumps.iter().filter_map(|dump| dump.jvm.as_ref()).map(|jvm| jvm.reported_deadlocks.len()).sum();
    Some((dumps.len(), threads, cycles))
}

#[test]
fn files_of_the_field_agree_with_the_manifest() {
    let Some(folder) = corpus() else { return };
    let manifest = std::fs::read_to_string(folder.join("MANIFEST.md")).unwrap();
    let (mut agreed, mut wrong) = (0, Vec::new());
    for row in manifest.lines() {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let [_, file, _, _, _, dumps, threads, _, reported, ..] = cells[..] else { continue };
        let (Ok(dumps), Ok(threads)) = (dumps.parse::<usize>(), threads.parse::<usize>()) else { continue };
        if OTHER_FORMATS.contains(&file) {
            continue;
        }
        let cycles = reported.split(';').filter(|cycle| cycle.contains("<->")).count();
        let found = counts(&folder.join("real").join(file));
        if found == Some((dumps, threads, cycles)) {
            agreed += 1;
        } else {
            wrong.push(format!("{file}: the manifest has {:?}, the reader {found:?}", (dumps, threads, cycles)));
        }
    }
    println!("{agreed} files agree with the manifest");
    assert!(wrong.is_empty() && agreed > 30, "{agreed} agree, but not\n{}", wrong.join("\n"));
}

#[test]
fn wrapped_dumps_hold_the_same_two_deadlocks() {
    let Some(folder) = corpus() else { return };
    let folder = folder.join("gen-samples/embedded");
    let mut wrong = Vec::new();
    for file in [
        "cri-prefix.txt",
        "journald-prefix.txt",
        "stern-prefix.txt",
        "docker-json-file.log",
        "powershell-utf16le-bom-crlf.txt",
        "utf16le-nobom.txt",
        "tabs-to-8-spaces.txt",
        "html-escaped.txt",
        "markdown-quoted.txt",
    ] {
        let found = counts(&folder.join(file));
        if !matches!(found, Some((2, threads, 2)) if threads % 2 == 0 && threads > 40) {
            wrong.push(format!("{file}: {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The listings that `jhsdb jstack` made of three processes, with JDK 17 and 25: the deadlocks of the manifest, and all Java threads.
#[test]
fn listings_from_outside_have_the_same_threads_and_deadlocks() {
    let Some(folder) = corpus() else { return };
    let mut wrong = Vec::new();
    for jdk in ["jdk17", "jdk25"] {
        for (case, cycles) in [("lock-deadlock", 1), ("monitor-deadlock", 1), ("zoo", 0)] {
            let file = |form: &str| folder.join(format!("gen-samples/{jdk}/{case}.{form}.txt"));
            let (plain, locks) = (counts(&file("jhsdb")), counts(&file("jhsdb-locks")));
            let same =
                plain.is_some() && plain == locks && plain.is_some_and(|found| (found.0, found.2) == (1, cycles));
            // The mixed mode lists native threads too.
            let mixed = counts(&file("jhsdb-mixed"));
            let more = mixed.zip(plain).is_some_and(|(mixed, plain)| mixed.2 == cycles && mixed.1 > plain.1);
            if !same || !more {
                wrong.push(format!("{jdk} {case}: {plain:?} {locks:?} {mixed:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
