//! Native memory was refused: which limit refused it. The list of possible reasons in the log is the same for every cause.

use necropsy_model::hs_err::{Limit, NativeOom, OomCall};
use necropsy_model::{Confidence, Evidence, Finding, Source};

use crate::jvm::hs_err::{Ended, Hs, bytes};
use crate::{Case, Rule};

/// The page that they share, as a literal.
macro_rules! page {
    () => {
        "\
# What it means
The operating system refused native memory, or a thread, that the virtual machine asked for. Java's heap did not run out.
# Why it matters
The thread that asked is only the one that came last. What has to change is the limit named here or what fills it.
# How it can be wrong
Numbers are those of the moment of the log, a little after the refusal; a container may have limits that the log does not show.
The advice printed in the log itself is the same for every cause and is not used.
"
    };
}

/// A page that begins like all of them.
macro_rules! rule {
    ($name:ident, $id:literal, $doc:literal, $check:ident) => {
        pub(crate) static $name: Rule =
            Rule { id: $id, doc: concat!(page!(), "# What to do\n", $doc, "\n"), check: $check };
    };
}

rule!(
    THREADS,
    "jvm-no-new-thread",
    "See `ulimit -u`, `pids.max` of the container and `threads-max`. On an old container runtime an old seccomp profile refuses `clone3`: update the runtime and libseccomp.",
    threads
);
rule!(
    RLIMIT,
    "jvm-memory-refused-by-ulimit",
    "Raise the limit (`ulimit -d`, `ulimit -v`, `LimitDATA=`/`LimitAS=` of the service), or use less: a smaller heap, fewer threads. More RAM does not help.",
    rlimit
);
rule!(
    MAPS,
    "jvm-too-many-mappings",
    "Raise `vm.max_map_count` (sysctl); see what maps so many files or buffers.",
    maps
);
rule!(
    WINDOWS,
    "jvm-memory-refused-by-commit-limit",
    "Enlarge the page file or let Windows manage it, or stop what commits so much; free RAM does not count here. A smaller -Xms/-Xmx helps this process alone.",
    windows
);
rule!(
    ADDRESS_SPACE,
    "jvm-address-space-exhausted",
    "Use a 64-bit virtual machine, or a smaller heap: native memory gets what the heap leaves of the address space.",
    address_space
);
rule!(
    AT_START,
    "jvm-heap-does-not-fit",
    "Lower -Xms (and -Xmx) below what the machine has; the process can not start otherwise.",
    at_start
);
rule!(
    CGROUP,
    "jvm-memory-refused-by-container",
    "Raise the container's limit or lower -Xmx: heap is not all that counts (metaspace, threads, code, direct buffers).",
    cgroup
);
rule!(
    HOST,
    "jvm-host-out-of-memory",
    "Fewer tenants or more memory; see who else uses it. The container's or the process's own limits did not refuse.",
    host
);
rule!(
    OTHER,
    "jvm-native-out-of-memory",
    "See limits of the process (`/proc/PID/limits`) and of the container (`memory.max`, `pids.max`), and overcommit (`vm.overcommit_memory`).",
    other
);

/// The log of a refusal.
fn refused<'a, 'data>(case: &Case<'a, 'data>) -> Option<(Hs<'a, 'data>, Option<&'a NativeOom<'data>>)> {
    let hs = Hs::of(case).filter(|hs| hs.ended() == Ended::Memory && hs.log.header.java_oom.is_none())?;
    Some((hs, hs.log.header.native_oom.as_ref()))
}

/// What was asked for, in words: `3.6 MB for committing reserved memory`.
fn request(oom: Option<&NativeOom<'_>>) -> String {
    let size = oom.and_then(|oom| oom.bytes).map_or_else(|| "memory".to_owned(), bytes);
    match oom.and_then(|oom| oom.purpose.as_deref()) {
        Some(purpose) => format!("{size} for {}", purpose.trim().trim_end_matches('.')),
        None => size,
    }
}

/// A finding with the refused request as its first evidence.
fn finding<'data>(
    hs: &Hs<'_, 'data>,
    oom: Option<&NativeOom<'_>>,
    rule: &Rule,
    confidence: Confidence,
    why: &str,
    evidence: Vec<Evidence<'data>>,
) -> Finding<'data> {
    let what = match oom.map(|oom| oom.call) {
        Some(OomCall::Thread) => "a new thread".to_owned(),
        _ => request(oom),
    };
    let mut finding = hs.finding(rule, confidence, format!("out of native memory: {why} refused {what}"));
    finding.evidence = evidence;
    if let Some(oom) = oom {
        let call = match oom.call {
            OomCall::Malloc => "malloc of ",
            OomCall::Mmap => "mmap of ",
            OomCall::Mprotect => "mprotect of ",
            OomCall::Thread | OomCall::Other => "",
        };
        finding.evidence.push(Evidence::new(format!("refused: {call}{what}"), oom.source));
    }
    finding
}

fn at(limit: Limit) -> Option<u64> {
    match limit {
        Limit::At(value) => Some(value),
        Limit::Unlimited => None,
    }
}

/// Memory of the machine that could still be had: `MemAvailable`, else free memory.
fn available(hs: &Hs<'_, '_>) -> Option<u64> {
    let free = hs.log.system.memory.as_ref().and_then(|memory| memory.physical_free);
    hs.log.system.meminfo("MemAvailable").or(free)
}

/// Memory of the machine is plenty for this request.
fn has_plenty(hs: &Hs<'_, '_>, oom: Option<&NativeOom<'_>>) -> bool {
    let size = oom.and_then(|oom| oom.bytes).unwrap_or(0);
    available(hs).is_some_and(|free| free > size.saturating_mul(4).max(256 << 20))
}

fn threads<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some((hs, oom)) = refused(case) else { return Vec::new() };
    let header = &hs.log.header;
    let file = header.raised_at.as_ref().map_or("", |(file, _)| file);
    let says =
        |text: &str| text.contains("native thread") || text.contains("GC thread") || text.contains("Cannot create");
    let said = header.messages.iter().chain(&header.error).find(|message| says(&message.value));
    let call = oom.is_some_and(|oom| oom.call == OomCall::Thread);
    let raised = ["workerManager", "gcTaskThread", "workgroup"].iter().any(|name| file.contains(name));
    if !call && !raised && said.is_none() {
        return Vec::new();
    }
    let mut evidence = Vec::new();
    let mut why = "the operating system".to_owned();
    let mut confidence = Confidence::Medium;
    let threads = hs.log.threads.len() as u64;
    let limit = hs.log.system.rlimit("NPROC").and_then(|limit| Some((at(limit.soft)?, limit.source)));
    if let Some((limit, source)) = limit.filter(|(limit, _)| threads.saturating_mul(2) >= *limit) {
        why = format!("the limit on processes and threads of the user (ulimit -u {limit})");
        confidence = Confidence::High;
        evidence.push(Evidence::new(format!("rlimit NPROC {limit}; this process has {threads} threads"), source));
    }
    let container = ["maximum_number_of_tasks", "pids_max", "maximum number of tasks"];
    if let Some(said) = container.iter().find_map(|key| hs.log.system.container(key)) {
        evidence.push(Evidence::new(format!("tasks allowed in the container: {}", said.value.trim()), said.source));
    }
    if has_plenty(&hs, oom) {
        let free = bytes(available(&hs).unwrap_or_default());
        let source = hs.log.system.memory.as_ref().map_or(Source::DUMP, |memory| memory.text.source);
        evidence.push(Evidence::new(format!("not memory: {free} are available"), source));
    } else {
        confidence = Confidence::Low;
    }
    evidence.extend(said.map(|said| Evidence::new(said.value.trim().to_owned(), said.source)));
    let mut finding = finding(&hs, oom, &THREADS, confidence, &why, evidence);
    finding.title =
        format!("thread refused: {why} did not let the virtual machine create a thread; memory was not the limit");
    if confidence == Confidence::Low {
        finding.title = format!("thread refused: {why} did not let the virtual machine create a thread");
    }
    vec![finding]
}

/// Sizes of mappings: private ones that may be written (what `RLIMIT_DATA` counts), and all.
fn mapped(hs: &Hs<'_, '_>) -> (u64, u64) {
    let mut sizes = (0_u64, 0_u64);
    for entry in &hs.log.process.map.entries {
        let size = entry.range.high.saturating_sub(entry.range.low);
        sizes.1 = sizes.1.saturating_add(size);
        let stack = entry.path.as_deref() == Some("[stack]");
        if entry.permissions.is_some_and(|permissions| permissions.write) && !stack {
            sizes.0 = sizes.0.saturating_add(size);
        }
    }
    sizes
}

fn rlimit<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some((hs, oom)) = refused(case) else { return Vec::new() };
    let size = oom.and_then(|oom| oom.bytes).unwrap_or(0);
    let (data, all) = mapped(&hs);
    for (name, used, flag) in [("DATA", data, "-d"), ("AS", all, "-v")] {
        let limit = hs.log.system.rlimit(name).and_then(|limit| Some((at(limit.soft)?, limit.source)));
        let Some((limit, source)) = limit else { continue };
        // The map is printed after some memory was given back.
        let close = used.saturating_add(size) >= limit / 4 * 3;
        if !close && !has_plenty(&hs, oom) {
            continue;
        }
        let confidence = if close && has_plenty(&hs, oom) { Confidence::High } else { Confidence::Medium };
        let mut evidence = vec![Evidence::new(format!("rlimit {name} is {}", bytes(limit)), source)];
        if used > 0 {
            let text = format!("{} are mapped that count for it", bytes(used));
            let source = hs.log.section(necropsy_model::hs_err::Section::DynamicLibraries).unwrap_or(Source::DUMP);
            evidence.push(Evidence::new(text, source));
        }
        if let Some(free) = available(&hs) {
            let source = hs.log.section(necropsy_model::hs_err::Section::MemInfo).unwrap_or(Source::DUMP);
            evidence.push(Evidence::new(format!("the machine has {} available", bytes(free)), source));
        }
        let why = format!("the limit of the process (ulimit {flag}, RLIMIT_{name} {}), not the machine,", bytes(limit));
        return vec![finding(&hs, oom, &RLIMIT, confidence, &why, evidence)];
    }
    Vec::new()
}

fn maps<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some((hs, oom)) = refused(case) else { return Vec::new() };
    let limit = hs
        .log
        .system
        .tunable("max_map_count")
        .and_then(|said| Some((said.value.trim().parse::<u64>().ok()?, said.source)));
    let (Some((limit, source)), Some(total)) = (limit, hs.log.process.map.total) else { return Vec::new() };
    if total < limit / 20 * 19
        || oom.is_some_and(|oom| oom.call == OomCall::Malloc && oom.bytes.is_some_and(|size| size < 64 << 10))
    {
        return Vec::new();
    }
    let evidence = vec![Evidence::new(format!("{total} mappings of {limit} allowed (vm.max_map_count)"), source)];
    vec![finding(&hs, oom, &MAPS, Confidence::High, "the limit on mappings (vm.max_map_count)", evidence)]
}

fn windows<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some((hs, oom)) = refused(case) else { return Vec::new() };
    let Some(memory) = &hs.log.system.memory else { return Vec::new() };
    let Some(free) = memory.commit_free else { return Vec::new() };
    let size = oom.and_then(|oom| oom.bytes).unwrap_or(0);
    // Others take and give back while the log is written.
    let short = free.value < size.saturating_mul(2).max(512 << 20);
    if !short {
        return Vec::new();
    }
    let mut evidence = vec![Evidence::new(format!("{} may still be committed", bytes(free.value)), free.source)];
    if let Some(limit) = memory.commit_limit {
        evidence.push(Evidence::new(format!("the commit limit is {}", bytes(limit.value)), limit.source));
        if memory.physical.is_some_and(|ram| limit.value <= ram.saturating_add(256 << 20)) {
            evidence.push(Evidence::new("it equals the RAM: there is no page file", limit.source));
        }
    }
    if let Some(ram) = memory.physical_free {
        evidence
            .push(Evidence::new(format!("{} of RAM are free, which does not matter", bytes(ram)), memory.text.source));
    }
    let confidence = if free.value < size.max(64 << 20) { Confidence::High } else { Confidence::Medium };
    vec![finding(&hs, oom, &WINDOWS, confidence, "the commit limit of Windows (RAM and page file)", evidence)]
}

fn address_space<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some((hs, oom)) = refused(case) else { return Vec::new() };
    let platform = hs.log.build.platform.as_deref().unwrap_or_default();
    let narrow = hs.log.build.bits == Some(32) || platform.ends_with("-x86") || platform.ends_with("-arm");
    if !narrow || !has_plenty(&hs, oom) {
        return Vec::new();
    }
    let source = hs.log.build.vm.as_ref().map_or(Source::DUMP, |vm| vm.source);
    let free = bytes(available(&hs).unwrap_or_default());
    let evidence =
        vec![Evidence::new(format!("a 32-bit virtual machine ({platform}), while {free} of memory are free"), source)];
    vec![finding(&hs, oom, &ADDRESS_SPACE, Confidence::Medium, "the address space of a 32-bit process", evidence)]
}

fn at_start<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some((hs, oom)) = refused(case) else { return Vec::new() };
    let Some((size, memory)) = oom.and_then(|oom| oom.bytes).zip(hs.log.system.memory.as_ref()) else {
        return Vec::new();
    };
    let ram = memory.physical.unwrap_or(u64::MAX).saturating_add(memory.swap.unwrap_or(0));
    let starting =
        hs.log.process.initialized == Some(false) || hs.log.summary.uptime_ms.is_some_and(|up| up.value < 2000);
    if size < ram / 10 * 8 || !starting {
        return Vec::new();
    }
    let text = format!("the machine has {} of RAM and swap in all", bytes(ram));
    let evidence = vec![Evidence::new(text, memory.text.source)];
    vec![finding(&hs, oom, &AT_START, Confidence::High, "the machine is too small for the heap at start: it", evidence)]
}

/// Limit and use of the container, in bytes, with the line of the limit.
fn container(hs: &Hs<'_, '_>) -> Option<(u64, u64, Source)> {
    let said = |keys: [&str; 2]| keys.into_iter().find_map(|key| hs.log.system.container(key));
    let limit = said(["memory_limit_in_bytes", "memory.max"])?;
    let usage = said(["memory_usage_in_bytes", "memory.current"])?;
    Some((number(&limit.value)?, number(&usage.value)?, limit.source))
}

/// `2097152 k`, `1.5 G`, `212066304`; none for `unlimited` and `-1`.
fn number(text: &str) -> Option<u64> {
    let mut words = text.split_whitespace();
    let value: u64 = words.next()?.trim_end_matches(['k', 'K']).parse().ok()?;
    let unit = if text.contains(['k', 'K']) { 1024 } else { 1 };
    value.checked_mul(unit)
}

fn cgroup<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some((hs, oom)) = refused(case) else { return Vec::new() };
    let Some((limit, usage, source)) = container(&hs) else { return Vec::new() };
    let size = oom.and_then(|oom| oom.bytes).unwrap_or(0);
    if usage.saturating_add(size) < limit / 10 * 9 {
        return Vec::new();
    }
    let text = format!("the container uses {} of its {}", bytes(usage), bytes(limit));
    vec![finding(
        &hs,
        oom,
        &CGROUP,
        Confidence::Medium,
        "the container's limit on memory",
        vec![Evidence::new(text, source)],
    )]
}

fn host<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some((hs, oom)) = refused(case) else { return Vec::new() };
    let Some(memory) = &hs.log.system.memory else { return Vec::new() };
    let Some(free) = available(&hs) else { return Vec::new() };
    let size = oom.and_then(|oom| oom.bytes).unwrap_or(0);
    let swap = memory.swap_free.unwrap_or(0);
    if free.saturating_add(swap) > size.saturating_mul(2).max(256 << 20) {
        return Vec::new();
    }
    let mut evidence =
        vec![Evidence::new(format!("{} available and {} of swap free", bytes(free), bytes(swap)), memory.text.source)];
    if let Some((limit, usage, source)) = container(&hs) {
        let text = format!("not the container: it uses {} of its {}", bytes(usage), bytes(limit));
        evidence.push(Evidence::new(text, source));
    }
    vec![finding(&hs, oom, &HOST, Confidence::Medium, "the machine, which has no memory left,", evidence)]
}

fn other<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some((hs, oom)) = refused(case) else { return Vec::new() };
    let mut evidence = Vec::new();
    if let Some(free) = available(&hs) {
        let source = hs.log.system.memory.as_ref().map_or(Source::DUMP, |memory| memory.text.source);
        evidence.push(Evidence::new(format!("{} of memory are available", bytes(free)), source));
    }
    if evidence.is_empty() && oom.is_none() {
        let said = hs.log.header.announcement.as_ref().or(hs.log.header.error.as_ref());
        evidence.extend(said.map(|said| Evidence::new(said.value.trim().to_owned(), said.source)));
    }
    let why = "the operating system, by a limit that the log does not name,";
    vec![finding(&hs, oom, &OTHER, Confidence::Low, why, evidence)]
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use necropsy_model::hs_err::{ErrorKind, HsErr, MemoryLine, Rlimit, Said};

    use super::super::samples::log;
    use super::*;
    use crate::rules::native::samples::fired;

    fn oom(change: impl FnOnce(&mut HsErr<'static>)) -> necropsy_model::Snapshot<'static> {
        log(|log| {
            log.header.kind = ErrorKind::NativeOom;
            log.header.native_oom = Some(NativeOom {
                call: OomCall::Mmap,
                bytes: Some(4 << 20),
                verb: "failed to map".into(),
                purpose: Some("committing reserved memory.".into()),
                source: Source::line(3),
            });
            log.system.memory = Some(MemoryLine {
                text: Said::new(Cow::Borrowed("Memory"), Source::line(9)),
                page: Some(4096),
                physical: Some(8 << 30),
                physical_free: Some(4 << 30),
                swap: Some(0),
                swap_free: Some(0),
                commit_limit: None,
                commit_free: None,
                working_set: None,
                commit_charge: None,
            });
            change(log);
        })
    }

    #[test]
    fn fires() {
        let limited = oom(|log| {
            let soft = Limit::At(200 << 20);
            log.system.rlimits.push(Rlimit { name: "DATA".into(), soft, hard: None, source: Source::line(8) });
        });
        assert!(fired(&RLIMIT, &limited));
        let commit =
            oom(|log| log.system.memory.as_mut().unwrap().commit_free = Some(Said::new(3 << 20, Source::line(9))));
        assert!(fired(&WINDOWS, &commit));
        assert!(fired(&HOST, &oom(|log| log.system.memory.as_mut().unwrap().physical_free = Some(3 << 20))));
        assert!(fired(&ADDRESS_SPACE, &oom(|log| log.build.bits = Some(32))));
        assert!(fired(&THREADS, &oom(|log| log.header.native_oom.as_mut().unwrap().call = OomCall::Thread)));
        let full = oom(|log| {
            log.process.map.total = Some(65_529);
            let count = Said::new(Cow::Borrowed("65530"), Source::line(7));
            log.system.tunables.push(("/proc/sys/vm/max_map_count".into(), count));
        });
        assert!(fired(&MAPS, &full));
        let small = oom(|log| {
            log.header.native_oom.as_mut().unwrap().bytes = Some(9 << 30);
            log.process.initialized = Some(false);
        });
        assert!(fired(&AT_START, &small));
        let container = oom(|log| {
            for (key, value) in [("memory_limit_in_bytes", "1048576 k"), ("memory_usage_in_bytes", "1040000 k")] {
                log.system.container.push((key.into(), Said::new(value.into(), Source::line(7))));
            }
        });
        assert!(fired(&CGROUP, &container));
        assert!(fired(&OTHER, &oom(|_| {})));
    }

    #[test]
    fn keeps_quiet() {
        let plenty = oom(|_| {});
        for rule in [&RLIMIT, &WINDOWS, &HOST, &ADDRESS_SPACE, &THREADS, &MAPS, &AT_START, &CGROUP] {
            assert!(!fired(rule, &plenty), "{}", rule.id);
        }
        assert!(!fired(&OTHER, &log(|_| {})));
    }
}
