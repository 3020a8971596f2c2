//! Which inputs are two listings of one process: `Thread.print` says what threads hold, `Thread.dump_to_file` lists the virtual ones
//! too. Read together they say more than each alone.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::files::Job;

/// One report: of an input, and of a second listing of the same process where there may be one.
#[derive(Debug)]
pub(crate) struct Unit {
    pub job: Job,
    /// A listing to put into it; it is read on its own when it turns out to be of another process.
    pub also: Option<Job>,
}

/// The inputs in their order. The first listing of all threads goes with the first dump, the second with the second.
pub(crate) fn plan(jobs: Vec<Job>) -> Vec<Unit> {
    let kinds: Vec<_> = if jobs.len() > 1 { jobs.iter().map(|job| kind(&job.path)).collect() } else { Vec::new() };
    let of = |wanted: &'static str| {
        let all = kinds.iter().enumerate().filter(move |(_, kind)| **kind == Some(wanted));
        all.map(|(index, _)| index)
    };
    let pairs: Vec<_> = of("java-threads").zip(of("java-dump-file")).collect();
    let mut jobs: Vec<_> = jobs.into_iter().map(Some).collect();
    let mut take = |index: usize| jobs.get_mut(index).and_then(Option::take);
    let mut listings: Vec<_> = pairs.iter().map(|&(first, also)| (first, take(also))).collect();
    let mut units = Vec::new();
    for (index, job) in jobs.into_iter().enumerate() {
        let Some(job) = job else { continue };
        let also = listings.iter_mut().find(|(first, _)| *first == index).and_then(|(_, also)| also.take());
        units.push(Unit { job, also });
    }
    units
}

/// The format of a file that can be looked into without reading from a pipe or unpacking it.
fn kind(path: &Path) -> Option<&'static str> {
    if path.as_os_str() == "-" || !std::fs::metadata(path).is_ok_and(|found| found.is_file()) {
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
        let planned = |names: &[&String]| -> Vec<(String, Option<String>)> {
            let names: Vec<_> = names.iter().map(std::path::PathBuf::from).collect();
            let shown = |job: Job| job.path.to_string_lossy().into_owned();
            let units = plan(crate::files::expand(&names));
            units.into_iter().map(|unit| (shown(unit.job), unit.also.map(shown))).collect()
        };
        let alone = |name: &String| (name.clone(), None);
        let (input, pair) = ("-".to_owned(), (print.clone(), Some(all.clone())));
        assert_eq!(planned(&[&all, &other, &print, &input]), [alone(&other), pair, alone(&input)]);
        assert_eq!(planned(&[&all]), [alone(&all)]);
        assert_eq!(planned(&[&all, &other]), [alone(&all), alone(&other)]);
    }
}
