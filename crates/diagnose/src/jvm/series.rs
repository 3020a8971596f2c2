//! Several fatal error logs in one call: one error or many, one host or many. A single log can not tell an error of the virtual
//! machine from memory that fails; several can.

use std::collections::{BTreeMap, BTreeSet};

use necropsy_model::{Confidence, Role, Snapshot, Verdict};

use super::hs_err::{Hs, short};
use super::libraries::{Library, kind};

/// What one log adds: owned, because logs are read one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogSite {
    /// Id of the rule that explains it.
    pub rule: &'static str,
    /// The innermost frame: library and offset, or method.
    pub site: String,
    /// The library of the program that is on top or called the code on top.
    pub library: Option<String>,
    /// Host, processor and memory as printed.
    pub host: Option<String>,
    /// The program: `java_command` without its arguments.
    pub program: Option<String>,
    /// The log shows a flipped bit.
    pub flipped: bool,
}

/// What several logs say together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesVerdict {
    /// One sentence.
    pub headline: String,
    /// How sure.
    pub confidence: Confidence,
    /// What it rests on, one phrase each.
    pub because: Vec<String>,
}

/// Rules whose logs are no crashes of code.
const NOT_CODE: [&str; 4] =
    ["jvm-signal-sent", "jvm-report-on-demand", "jvm-safepoint-timeout", "jvm-java-out-of-memory"];

/// Rules that name a cause in the program or its surroundings: where one of them explains every log, many places are no riddle.
const NAMED_CAUSES: [&str; 9] = [
    "jvm-unsafe-memory-access",
    "jvm-agent-crash",
    "jvm-graphics-driver",
    "jvm-bad-jni-handle",
    "jvm-mapped-file-cut",
    "jvm-jar-changed-while-open",
    "jvm-injected-library",
    "jvm-emulated-processor",
    "jvm-two-c-libraries",
];

impl LogSite {
    /// What a log adds; none when the snapshot is no fatal error log.
    pub fn of(snapshot: &Snapshot<'_>, verdict: &Verdict<'_>) -> Option<Self> {
        let hs = Hs { snapshot, log: snapshot.hs_err.as_deref()? };
        let first = verdict.findings.first()?;
        let foreign = |file: &str| kind(file) == Library::Other;
        let named =
            hs.frames().iter().take_while(|frame| !frame.kind.is_java()).filter_map(|frame| frame.library.as_deref());
        let site = hs.top().map(|top| match (&top.library, top.library_offset, &top.method) {
            (_, _, Some(method)) => format!("{}.{}", method.class, method.name),
            (Some(library), Some(offset), _) => format!("{library}+{offset:#x}"),
            _ => top.function.as_deref().map_or_else(|| top.text.to_string(), short),
        });
        let marked = first.places.iter().filter(|place| matches!(place.role, Role::Origin | Role::Victim));
        let module =
            marked.filter_map(|place| place.module.as_deref()).find(|module| foreign(module)).map(str::to_owned);
        let command = hs.log.process.arguments.command.as_ref().map(|said| &*said.value);
        Some(Self {
            rule: first.rule,
            site: site
                .or_else(|| hs.log.header.raised_at.as_ref().map(|(file, _)| file.to_string()))
                .unwrap_or_default(),
            library: module.or_else(|| named.into_iter().find(|file| foreign(file)).map(str::to_owned)),
            host: host(&hs),
            program: command.and_then(|text| text.split_whitespace().next()).map(str::to_owned),
            flipped: verdict.findings.iter().any(|finding| finding.rule == "jvm-flipped-bit"),
        })
    }

    /// The log says by itself what failed: its rule names a cause, or code of the program is on top.
    fn has_cause(&self) -> bool {
        !self.flipped && (NAMED_CAUSES.contains(&self.rule) || self.library.is_some() || self.refused_memory())
    }

    /// A limit of memory ended it.
    fn refused_memory(&self) -> bool {
        ["memory-refused", "out-of-memory", "heap-does-not-fit"].iter().any(|part| self.rule.contains(part))
    }
}

/// What tells one machine from another: processor, its number, memory.
fn host(hs: &Hs<'_, '_>) -> Option<String> {
    let cpu =
        hs.log.system.cpu.text.as_ref().map(|said| said.value.split(',').next().unwrap_or_default().trim().to_owned());
    let memory =
        hs.log.system.memory.as_ref().and_then(|memory| memory.physical).map(|bytes| (bytes >> 20).to_string());
    let model = hs.log.system.cpu.model.as_ref().map(|said| said.value.trim().to_owned());
    let parts: Vec<_> = [cpu, model, memory].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// The most frequent value, how often it is there, and how many values there are.
fn most<'a>(values: impl Iterator<Item = &'a str>) -> (Option<&'a str>, usize, usize) {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for value in values {
        *counts.entry(value).or_default() += 1;
    }
    let best = counts.iter().max_by_key(|(name, count)| (**count, std::cmp::Reverse(**name)));
    (best.map(|(name, _)| *name), best.map_or(0, |(_, count)| *count), counts.len())
}

/// What several logs say together; none when they say nothing that each does not say alone.
pub fn verdict(logs: &[LogSite]) -> Option<SeriesVerdict> {
    /// Logs from which many places mean something.
    const SEVERAL: usize = 3;
    let crashes: Vec<_> = logs.iter().filter(|log| !NOT_CODE.contains(&log.rule)).collect();
    let count = crashes.len();
    if count < 2 {
        return None;
    }
    let (rule, same_rule, _) = most(crashes.iter().map(|log| log.rule));
    let (site, same_site, sites) = most(crashes.iter().map(|log| log.site.as_str()).filter(|site| !site.is_empty()));
    let (library, same_library, _) = most(crashes.iter().filter_map(|log| log.library.as_deref()));
    let hosts: BTreeSet<_> = crashes.iter().filter_map(|log| log.host.as_deref()).collect();
    let programs: BTreeSet<_> = crashes.iter().filter_map(|log| log.program.as_deref()).collect();
    let flipped = crashes.iter().filter(|log| log.flipped).count();
    let one_host = hosts.len() == 1;
    let places = if sites == 1 { "1 place".to_owned() } else { format!("{sites} places") };
    let mut because = vec![format!("{count} logs, {places}")];
    if one_host {
        because.push("processor and memory are the same in all of them".to_owned());
    } else if hosts.len() > 1 {
        because.push(format!("{} different machines", hosts.len()));
    }
    let said =
        |headline: String, confidence, because: Vec<String>| Some(SeriesVerdict { headline, confidence, because });
    if crashes.iter().all(|log| log.refused_memory()) && same_rule == count {
        because.extend(rule.map(|rule| format!("the rule is {rule} in each")));
        let headline = format!("one cause: the same limit refused memory in all {count} logs");
        return said(headline, Confidence::High, because);
    }
    let explained = crashes.iter().filter(|log| log.has_cause()).count();
    let unexplained = count - explained;
    if flipped > 0 && one_host && sites > 1 {
        because.push(format!("a bit is flipped in {flipped}"));
        because.push(format!("{explained} name a cause of their own"));
        let flips: BTreeSet<_> = crashes.iter().filter(|log| log.flipped).map(|log| log.site.as_str()).collect();
        // One flip may be a pointer with a tag: only several, or crashes that nothing else explains, blame the machine.
        let confidence = if flips.len() > 1 || explained == 0 && count >= SEVERAL {
            Some(Confidence::High)
        } else if explained == 0 || unexplained >= SEVERAL && unexplained * 4 >= count * 3 {
            Some(Confidence::Medium)
        } else {
            None
        };
        if let Some(confidence) = confidence {
            return said(
                format!(
                    "the machine: {count} logs of one host crash at {sites} places, and a bit is flipped in {flipped}"
                ),
                confidence,
                because,
            );
        }
        let headline = format!(
            "no common cause: {explained} of {count} logs have causes of their own, and a flipped bit in {flipped} alone does not \
             blame the machine"
        );
        return said(headline, Confidence::Low, because);
    }
    if let Some(site) = site.filter(|_| same_site == count) {
        let machines = if hosts.len() > 1 { " on several machines" } else { "" };
        return said(
            format!("one error, not the machine: all {count} logs crash at {site}{machines}"),
            Confidence::High,
            because,
        );
    }
    if let Some(library) = library.filter(|_| same_library * 4 >= count * 3 && same_library >= 2) {
        because.push(format!("{library} is on top or called what is on top in {same_library} of them"));
        return said(
            format!("one library: {same_library} of {count} logs lead to {library}"),
            Confidence::Medium,
            because,
        );
    }
    if let Some(site) = site.filter(|_| same_site * 4 >= count * 3 && same_site >= SEVERAL) {
        return said(
            format!("mostly one error: {same_site} of {count} logs crash at {site}"),
            Confidence::Medium,
            because,
        );
    }
    if let Some(rule) = rule.filter(|rule| same_rule * 4 >= count * 3 && NAMED_CAUSES.contains(rule)) {
        because.push(format!("the rule is {rule} in {same_rule}"));
        let which = if same_rule == count { "all" } else { &format!("{same_rule} of") };
        let headline = format!("one kind of cause, not the machine: {rule} explains {which} {count} logs");
        return said(headline, Confidence::Medium, because);
    }
    if count >= SEVERAL && one_host && sites * 3 >= count * 2 && unexplained * 4 >= count * 3 {
        let many = if programs.len() > 1 { format!(" in {} programs", programs.len()) } else { String::new() };
        let confidence = if programs.len() > 1 && count > SEVERAL { Confidence::Medium } else { Confidence::Low };
        return said(
            format!(
                "not one place: {count} logs of one host crash at {sites} places{many}: the machine's memory, or somebody who \
                 damages the heap"
            ),
            confidence,
            because,
        );
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(site: &str, library: Option<&str>, host: &str) -> LogSite {
        LogSite {
            rule: "jvm-collector-crash",
            site: site.to_owned(),
            library: library.map(str::to_owned),
            host: Some(host.to_owned()),
            program: Some("Main".to_owned()),
            flipped: false,
        }
    }

    #[test]
    fn one_place_is_one_error() {
        let same = [log("libjvm.so+0x6b", None, "a"), log("libjvm.so+0x6b", None, "a")];
        let found = verdict(&same).unwrap();
        assert!(found.headline.starts_with("one error"), "{}", found.headline);
        assert_eq!(found.confidence, Confidence::High);
    }

    #[test]
    fn many_places_on_one_host_are_the_machine() {
        let mut logs: Vec<_> = (0..6).map(|at| log(&format!("libjvm.so+{at}"), None, "a")).collect();
        assert!(verdict(&logs).unwrap().headline.starts_with("not one place"));
        logs[0].flipped = true;
        let found = verdict(&logs).unwrap();
        assert!(found.headline.starts_with("the machine") && found.confidence == Confidence::High);
    }

    #[test]
    fn one_flipped_bit_among_crashes_with_causes_does_not_blame_the_machine() {
        let mut logs: Vec<_> = (0..9).map(|at| log(&format!("lib{at}.so+0x1"), Some("lib.so"), "a")).collect();
        for (at, log) in logs.iter_mut().enumerate() {
            log.library = Some(format!("lib{at}.so"));
        }
        logs[0].flipped = true;
        let found = verdict(&logs).unwrap();
        assert!(found.headline.starts_with("no common cause") && found.confidence == Confidence::Low);
        logs[1].flipped = true;
        let found = verdict(&logs).unwrap();
        assert!(found.headline.starts_with("the machine") && found.confidence == Confidence::High);
        // The same place twice is one error that looks like a flip.
        logs[1].site = "lib0.so+0x1".to_owned();
        assert!(verdict(&logs).unwrap().headline.starts_with("no common cause"));
        // Without the flip they have nothing in common.
        logs[0].flipped = false;
        logs[1].flipped = false;
        assert_eq!(verdict(&logs), None);
    }

    #[test]
    fn one_flipped_bit_with_a_single_other_crash_is_not_high() {
        let mut logs = [log("libjvm.so+1", None, "a"), log("libjvm.so+2", None, "a")];
        logs[0].flipped = true;
        assert_eq!(verdict(&logs).unwrap().confidence, Confidence::Medium);
    }

    #[test]
    fn many_places_with_one_named_cause_are_not_the_machine() {
        let mut logs: Vec<_> = (0..6).map(|at| log(&format!("Reader{at}.read"), None, "a")).collect();
        for log in &mut logs {
            log.rule = "jvm-unsafe-memory-access";
        }
        let found = verdict(&logs).unwrap();
        assert!(found.headline.starts_with("one kind of cause") && found.confidence == Confidence::Medium);
        logs[0].rule = "jvm-collector-crash";
        assert!(verdict(&logs).unwrap().headline.ends_with("explains 5 of 6 logs"));
        for log in &mut logs {
            log.rule = "jvm-collector-crash";
        }
        assert!(verdict(&logs).unwrap().headline.starts_with("not one place"));
    }

    #[test]
    fn one_library_behind_many_places() {
        let logs = [log("libc.so.6+0x1", Some("libsort.so"), "a"), log("libjvm.so+0x2", Some("libsort.so"), "a")];
        assert!(verdict(&logs).unwrap().headline.contains("libsort.so"));
    }

    #[test]
    fn a_single_log_or_sent_signals_say_nothing_together() {
        assert_eq!(verdict(&[log("a", None, "h")]), None);
        let mut sent = [log("a", None, "h"), log("b", None, "h")];
        for log in &mut sent {
            log.rule = "jvm-signal-sent";
        }
        assert_eq!(verdict(&sent), None);
    }
}
