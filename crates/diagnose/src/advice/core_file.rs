//! Whether the kernel would write a core of a process, where, and what would be in it: core(5), `fs/coredump.c`.

use necropsy_model::advice::{CoreSettings, Fact, Observed};

/// Bits of `coredump_filter` that the kernel sets by default: private and shared anonymous memory, ELF headers, private huge
/// pages.
const DEFAULT_FILTER: u64 = 0x33;

/// What lacks of a core without a bit of the filter; the bits that a triage needs.
const FILTER_BITS: [(u64, &str); 4] = [
    (0, "stacks and heap"),
    (1, "shared memory"),
    (4, "the first page of each file, with its build id"),
    (5, "heap on huge pages"),
];

/// What the settings say of a core, first whether there would be one.
pub(super) fn facts(process: &Observed) -> Vec<Fact> {
    let settings = &process.core;
    let mut facts = Vec::new();
    let (written, source) = verdict(settings, process.pid);
    facts.push(Fact::new(written, source));
    if let Some(filter) = settings.filter.filter(|filter| filter & DEFAULT_FILTER != DEFAULT_FILTER) {
        let lacks: Vec<_> =
            FILTER_BITS.iter().filter(|(bit, _)| filter >> bit & 1 == 0).map(|(_, what)| *what).collect();
        let text = format!(
            "a core would lack {}: `echo {DEFAULT_FILTER:#x} > /proc/{}/coredump_filter` puts them in",
            lacks.join(", "),
            process.pid
        );
        facts.push(Fact::new(text, format!("coredump_filter is {filter:#x}")));
    }
    if let Some((needed, free)) = process.anonymous.zip(settings.free) {
        let directory = settings.directory.as_deref().unwrap_or(".");
        let room = if needed > free { "too little room for a core" } else { "room for a core" };
        facts.push(Fact::new(
            format!("{room}: it would take about {}, and {} are free in {directory}", size(needed), size(free)),
            "RssAnon and VmSwap of status, statvfs",
        ));
    }
    facts
}

/// Whether a core would be written, and by what that is known.
fn verdict(settings: &CoreSettings, pid: u64) -> (String, String) {
    let limit = |bytes: u64| if bytes == u64::MAX { "unlimited".to_owned() } else { size(bytes) };
    let pattern = settings.pattern.as_deref().map(str::trim);
    if settings.dumpable == Some(false) {
        let why = "its files in /proc belong to root: it changed its user or called prctl(PR_SET_DUMPABLE)";
        return ("no core would be written: the process is not dumpable".to_owned(), why.to_owned());
    }
    match (pattern, settings.soft_limit) {
        (Some(""), _) => {
            ("no core would be written: the pattern is empty".to_owned(), "kernel.core_pattern".to_owned())
        }
        (Some(pipe), soft) if pipe.starts_with('|') => {
            let program = pipe.trim_start_matches('|').split_whitespace().next().unwrap_or_default();
            let mut text = format!("a core would be handed to {program}, whatever the limit");
            // systemd-coredump keeps to the limit by itself (coredump.c of systemd, "not saving").
            if program.ends_with("systemd-coredump") && soft == Some(0) {
                text = format!("a core would be handed to {program}, which drops it: the limit is 0. {}", raise(pid));
            } else if program.ends_with("systemd-coredump") {
                text.push_str(": coredumpctl lists it");
            } else if program.ends_with("apport") {
                text.push_str(": see /var/crash and /var/lib/apport/coredump");
            }
            (text, format!("kernel.core_pattern is {pipe}"))
        }
        (_, Some(0)) => (format!("no core would be written: the limit is 0. {}", raise(pid)), "ulimit -c".to_owned()),
        (Some(pattern), soft) => {
            let place = if pattern.starts_with('/') {
                "as the process sees that path, in its container if it has one"
            } else {
                "in the working directory of the process, in its container if it has one"
            };
            let cut = match soft {
                Some(u64::MAX) => String::new(),
                Some(bytes) => format!(", cut at {}", limit(bytes)),
                None => ", if its limit allows one".to_owned(),
            };
            (format!("a core would be written as {pattern}, {place}{cut}"), "kernel.core_pattern, ulimit -c".to_owned())
        }
        (None, soft) => {
            let soft = soft.map_or_else(|| "not known".to_owned(), limit);
            (format!("whether a core would be written is not known: its limit is {soft}"), "limits".to_owned())
        }
    }
}

/// How to raise the limit of a living process.
fn raise(pid: u64) -> String {
    format!("`prlimit --pid {pid} --core=unlimited` raises it")
}

/// Bytes in words, as `df -h` has them.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let unit = UNITS.get(unit).copied().unwrap_or_default();
    if value < 10.0 && unit != "B" { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(change: impl FnOnce(&mut CoreSettings)) -> String {
        let mut process = Observed { pid: 42, anonymous: Some(3 << 30), ..Observed::default() };
        let (pattern, soft_limit) = (Some("core".to_owned()), Some(u64::MAX));
        process.core = CoreSettings { pattern, soft_limit, filter: Some(0x33), ..CoreSettings::default() };
        change(&mut process.core);
        facts(&process).into_iter().map(|fact| fact.text).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn whether_a_core_would_be_written() {
        assert!(said(|_| {}).starts_with("a core would be written as core, in the working directory"));
        assert!(said(|core| core.soft_limit = Some(1 << 20)).contains("cut at 1.0 MiB"));
        let none = said(|core| core.soft_limit = Some(0));
        assert!(none.starts_with("no core") && none.contains("prlimit --pid 42 --core=unlimited"), "{none}");
        assert!(said(|core| core.dumpable = Some(false)).contains("not dumpable"));
        assert!(said(|core| core.pattern = Some(String::new())).contains("the pattern is empty"));
    }

    #[test]
    fn a_pipe_does_not_care_for_the_limit_but_systemd_does() {
        let pipe = |to: &str, limit| {
            let to = format!("|{to} %P\n");
            said(|core| (core.pattern, core.soft_limit) = (Some(to), Some(limit)))
        };
        assert!(pipe("/usr/share/apport/apport", 0).contains("whatever the limit: see /var/crash"));
        assert!(pipe("/usr/lib/systemd/systemd-coredump", 0).contains("which drops it"));
        assert!(pipe("/usr/lib/systemd/systemd-coredump", u64::MAX).contains("coredumpctl lists it"));
    }

    #[test]
    fn what_would_be_missing_and_the_room() {
        assert!(said(|core| core.filter = Some(0x22)).contains("lack stacks and heap, the first page of each file"));
        assert!(
            said(|core| core.free = Some(1 << 30)).contains("too little room for a core: it would take about 3.0 GiB")
        );
    }
}
