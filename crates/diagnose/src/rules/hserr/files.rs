//! SIGBUS and its like: a page of a mapped file that could not be had.

use necropsy_model::hs_err::MapEntry;
use necropsy_model::{Confidence, Evidence, Finding, Role};

use crate::jvm::hs_err::{Ended, Hs};
use crate::jvm::libraries::Library;
use crate::{Case, Rule};

pub(crate) static IN_PAGE: Rule = Rule {
    id: "jvm-page-not-readable",
    doc: "\
# What it means
Windows could not read the page of a mapped file (`EXCEPTION_IN_PAGE_ERROR`).
# Why it matters
The disk or the network drive behind the file failed; the code on top of the stack is innocent.
# How it can be wrong
The log seldom names the file.
# What to do
Look at the drive that holds the program, the JDK and its temporary files.
",
    check: in_page,
};

pub(crate) static ZIP: Rule = Rule {
    id: "jvm-jar-changed-while-open",
    doc: "\
# What it means
Up to JDK 8 open jar and zip files are mapped to memory, and such a file was overwritten or cut while it was open.
# Why it matters
The next look into the file kills the process (SIGBUS).
# How it can be wrong
A failing disk gives the same signal.
# What to do
Do not replace jars under a running process: write a new file and rename it, then restart. JDK 9 and later read instead of mapping;
`-Dsun.zip.disableMemoryMapping=true` does so on JDK 8.
",
    check: zip,
};

pub(crate) static PERF: Rule = Rule {
    id: "jvm-perf-data-full",
    doc: "\
# What it means
The page that could not be had belongs to `hsperfdata`, the file with the counters of the virtual machine in /tmp.
# Why it matters
/tmp is full, or two containers share it and have processes with the same pid.
# How it can be wrong
A failing disk gives the same signal.
# What to do
Make room in /tmp, do not share it between containers, or use `-XX:-UsePerfData`.
",
    check: perf,
};

pub(crate) static STORAGE: Rule = Rule {
    id: "jvm-storage-unreadable",
    doc: "\
# What it means
Pages of the program's own files (libraries, the archive of class data) could not be read.
# Why it matters
The storage below is full, failing or gone: an image layer, a network file system, a disk.
# How it can be wrong
A file that was replaced by an update while it was mapped gives the same signal.
# What to do
Look at the kernel's log and the storage; start again from healthy storage.
",
    check: storage,
};

pub(crate) static MAPPED: Rule = Rule {
    id: "jvm-mapped-file-cut",
    doc: "\
# What it means
A mapped file was read or written beyond its end (SIGBUS, BUS_ADRERR): it was cut or replaced after it had been mapped.
# Why it matters
The thread that reads is the victim; whoever cut the file is the cause.
# How it can be wrong
On macOS SIGBUS also stands for other faults, and a failing disk gives the same signal.
# What to do
Find who writes that file: write a new one and rename it instead of cutting it.
",
    check: mapped,
};

/// The file under the address used.
fn file<'a, 'data>(hs: &Hs<'a, 'data>) -> Option<(&'a MapEntry<'data>, &'a str)> {
    let entry = hs.mapping().filter(|entry| !entry.end_is_bound)?;
    let path = entry.path.as_deref()?;
    (!path.starts_with('[')).then_some((entry, path))
}

/// The address in words with its file.
fn place<'data>(hs: &Hs<'_, 'data>) -> Option<Evidence<'data>> {
    let (entry, path) = file(hs)?;
    let deleted = if entry.deleted { ", which is deleted" } else { "" };
    Some(Evidence::new(format!("{} lies in the mapping of {path}{deleted}", hs.address_in_words()), entry.source))
}

/// A bus error of the given log.
fn bus<'a, 'data>(case: &Case<'a, 'data>) -> Option<Hs<'a, 'data>> {
    Hs::of(case).filter(|hs| hs.ended() == Ended::Bus && hs.is_fault())
}

fn told<'data>(hs: &Hs<'_, 'data>, rule: &Rule, confidence: Confidence, title: String) -> Vec<Finding<'data>> {
    let mut finding = hs.finding(rule, confidence, title);
    finding.evidence.extend(place(hs));
    finding.evidence.extend(hs.basics());
    finding.places.extend(hs.place(0, Role::Victim));
    if let Some((at, frame)) = hs.own_java() {
        finding.places.extend(hs.place(at, Role::Related));
        finding.evidence.push(Evidence::new(format!("called from {}", hs.words(frame)), frame.source));
    }
    vec![finding]
}

fn in_page<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(hs) = Hs::of(case).filter(|hs| hs.ended() == Ended::InPage) else { return Vec::new() };
    told(&hs, &IN_PAGE, Confidence::High, "storage: Windows could not read a page of a mapped file".to_owned())
}

fn zip<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    const ENDS: [&str; 4] = [".jar", ".zip", ".war", ".jmod"];
    let Some(hs) = bus(case) else { return Vec::new() };
    let in_zip = |library: &str| library.starts_with("libzip") || library.eq_ignore_ascii_case("zip.dll");
    let library = hs.frames().iter().take(3).any(|frame| frame.library.as_deref().is_some_and(in_zip));
    let name = file(&hs).map(|(_, path)| path).filter(|path| ENDS.iter().any(|end| path.ends_with(end)));
    if !library && name.is_none() {
        return Vec::new();
    }
    let old = hs.log.build.feature.is_none_or(|feature| feature <= 8);
    let confidence = if library && old { Confidence::High } else { Confidence::Medium };
    let what = name.map_or_else(|| "an open jar or zip file".to_owned(), |path| format!("{path}, which was open,"));
    told(&hs, &ZIP, confidence, format!("{what} was changed on disk, and reading its mapping ended the process"))
}

fn perf<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(hs) = bus(case) else { return Vec::new() };
    let Some((_, path)) = file(&hs).filter(|(_, path)| path.contains("hsperfdata_")) else { return Vec::new() };
    let title = format!("no room for {path}, the counters of the virtual machine");
    told(&hs, &PERF, Confidence::High, title)
}

/// The path is a file of programs: code, or the JDK's own data.
fn is_program(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.contains(".so")
        || [".jsa", ".dylib"].iter().any(|end| name.ends_with(end))
        || matches!(name, "modules" | "java")
}

fn storage<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    /// Steps of the reporter that may die of the same bad mapping when they look at registers.
    const ONE_CAUSE: usize = 5;
    const SIGBUS: u64 = 7;
    let Some(hs) = bus(case) else { return Vec::new() };
    let program = file(&hs).filter(|(_, path)| is_program(path));
    let archive = hs.log.process.cds.filter(|cds| hs.address().is_some_and(|address| cds.value.contains(address)));
    let steps = hs.failed_steps(SIGBUS);
    let mut messages = hs.log.header.messages.iter();
    let said = messages.find(|message| {
        message.value.contains("Mapped file inaccessible") || message.value.contains("disk or network")
    });
    let lower = hs.top().is_some_and(|top| matches!(hs.library(top), Some(Library::Base | Library::Vm)));
    let again = steps >= ONE_CAUSE || steps > 1 && lower && file(&hs).is_none();
    if program.is_none() && archive.is_none() && said.is_none() && !again {
        return Vec::new();
    }
    let what = program.map_or("the program's own files", |(_, path)| path);
    let confidence = if program.is_some() || archive.is_some() { Confidence::High } else { Confidence::Medium };
    let mut findings = told(&hs, &STORAGE, confidence, format!("storage: pages of {what} could not be read"));
    for finding in &mut findings {
        if let Some(said) = said {
            finding.evidence.push(Evidence::new(said.value.trim().to_owned(), said.source));
        }
        if let Some(first) = hs.log.damage.first().filter(|_| steps > 1) {
            finding
                .evidence
                .push(Evidence::new(format!("{steps} steps of the report died of the same signal"), first.source));
        }
    }
    findings
}

fn mapped<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    const BUS_ADRERR: i64 = 2;
    let Some(hs) = bus(case).filter(|hs| hs.info().is_some_and(|info| info.code == Some(BUS_ADRERR))) else {
        return Vec::new();
    };
    let file = file(&hs);
    let mac = hs.log.build.platform.as_deref().is_some_and(|platform| platform.starts_with("bsd"));
    let what = file.map_or("a mapped file that the log does not name", |(_, path)| path);
    let confidence = match (file.is_some(), mac) {
        (true, _) => Confidence::High,
        (false, false) => Confidence::Medium,
        (false, true) => Confidence::Low,
    };
    told(
        &hs,
        &MAPPED,
        confidence,
        format!("{what} was cut or replaced while it was mapped, and a thread used a page that is gone"),
    )
}

#[cfg(test)]
mod tests {
    use necropsy_model::Source;
    use necropsy_model::hs_err::{AddressRange, HsErr};

    use super::super::samples::{SEGV, signal};
    use super::*;
    use crate::rules::native::samples::fired;

    const BUS: (&str, u64, i64) = ("SIGBUS", 7, 2);

    fn with(path: &'static str) -> impl FnOnce(&mut HsErr<'static>) {
        move |log| {
            log.process.map.entries.push(MapEntry {
                range: AddressRange { low: 0x1000, high: 0x3000 },
                end_is_bound: false,
                permissions: None,
                offset: 0,
                path: Some(path.into()),
                deleted: true,
                source: Source::line(9),
            });
        }
    }

    #[test]
    fn fires() {
        assert!(fired(&MAPPED, &signal(BUS, 0x2000, &["C librefund.so read"], with("/tmp/map.bin"))));
        assert!(fired(&ZIP, &signal(BUS, 0x2000, &["C libzip.so newEntry"], with("/srv/plugin.jar"))));
        assert!(fired(&PERF, &signal(BUS, 0x2000, &["V f"], with("/tmp/hsperfdata_root/1"))));
        assert!(fired(&STORAGE, &signal(BUS, 0x2000, &["C libc.so.6 f"], with("/lib/libc.so.6"))));
        assert!(fired(&IN_PAGE, &signal(("EXCEPTION_IN_PAGE_ERROR", 6, 0), 0x2000, &["V f"], |_| {})));
    }

    #[test]
    fn keeps_quiet() {
        let other = signal(BUS, 0x2000, &["C librefund.so read"], with("/tmp/map.bin"));
        for rule in [&ZIP, &PERF, &STORAGE, &IN_PAGE] {
            assert!(!fired(rule, &other), "{}", rule.id);
        }
        assert!(!fired(&MAPPED, &signal(SEGV, 0x2000, &["C librefund.so read"], with("/tmp/map.bin"))));
    }
}
