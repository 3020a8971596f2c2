//! Whether this was the right dump, and which to take instead. What there is to take is in [`crate::advice::catalogue`].

use necropsy_model::advice::Site;
use necropsy_model::{AddressState, Runtime, Snapshot, Suitability, SuitabilityStatus, Symptom, Writer};

use crate::Case;
use crate::advice::catalogue::{
    CORE, CORE_NEXT, Entry, GO_HEAP, GO_PROFILE, GO_STACKS, JAVA_HEAP, JAVA_HEAP_NEXT, JAVA_HISTOGRAM, JAVA_PROFILE,
    JAVA_THREADS, KEPT_CORE, MEMORY_CORE, MEMORY_MAP, NATIVE_STACKS, NODE_HEAP_NEXT, NODE_INSPECT, PERF,
    PYTHON_MEMORY_NEXT, PYTHON_PROFILE, PYTHON_STACKS, TOP, WITH_NAMES,
};
use crate::advice::commands;
use crate::advice::run::Target;
use crate::crash::Crash;
use crate::rules::native::truncated_core;
use crate::wait_graph::WaitGraph;

/// Judges the dump against the symptom.
pub(crate) fn of(case: &Case<'_, '_>, symptom: Symptom) -> Suitability {
    let core = !case.snapshot.memory.is_empty();
    let runtime = case.snapshot.process.runtime;
    let judged = |status, why, entries: &[&Entry]| told(case.snapshot, status, why, entries);
    let logged = case.snapshot.process.writer == Some(Writer::KernelLog);
    match symptom {
        Symptom::OutOfMemory if logged => judged(
            SuitabilityStatus::Partial,
            "it tells who was killed and how much memory processes held, not what holds it",
            memory(runtime),
        ),
        _ if logged => logged_crash(case),
        Symptom::NativeCrash | Symptom::ManagedCrash if core => crash(case),
        Symptom::NativeCrash | Symptom::ManagedCrash => {
            judged(SuitabilityStatus::Right, "it holds the stack of what failed", &[])
        }
        Symptom::HangIdle if core && !WaitGraph::of(case.snapshot).cycles.is_empty() => {
            judged(SuitabilityStatus::Right, "it proves the circle, which can not pass by itself", &[])
        }
        Symptom::HangIdle if core => judged(
            SuitabilityStatus::Partial,
            "it shows where every thread waited at one moment; two moments tell which of them are stuck",
            &[stacks(runtime), CORE],
        ),
        Symptom::HangBusy if core => judged(
            SuitabilityStatus::Partial,
            "it shows one moment of a process that was running; where its time goes takes a profile",
            &[profile(runtime), TOP],
        ),
        Symptom::OutOfMemory => judged(
            SuitabilityStatus::Partial,
            "it shows who asked for memory last, which is seldom who holds it",
            memory(runtime),
        ),
        Symptom::Unclear => judged(SuitabilityStatus::Partial, "it does not tell what failed", &[]),
        _ => judged(SuitabilityStatus::Partial, "it shows one moment", &[stacks(runtime)]),
    }
}

/// A judgement with what to take, as commands for this process.
pub(crate) fn told(snapshot: &Snapshot<'_>, status: SuitabilityStatus, why: &str, entries: &[&Entry]) -> Suitability {
    Suitability { status, why: why.to_owned(), take_instead: commands(&target(snapshot), entries) }
}

/// The threads of a process that lives.
pub(crate) fn stacks(runtime: Option<Runtime>) -> &'static Entry {
    match runtime {
        Some(Runtime::Jvm) => JAVA_THREADS,
        Some(Runtime::Go) => GO_STACKS,
        Some(Runtime::Python) => PYTHON_STACKS,
        _ => NATIVE_STACKS,
    }
}

/// Where its time goes.
fn profile(runtime: Option<Runtime>) -> &'static Entry {
    match runtime {
        Some(Runtime::Jvm) => JAVA_PROFILE,
        Some(Runtime::Go) => GO_PROFILE,
        Some(Runtime::Python) => PYTHON_PROFILE,
        _ => PERF,
    }
}

/// Who holds its memory.
fn memory(runtime: Option<Runtime>) -> &'static [&'static Entry] {
    match runtime {
        Some(Runtime::Jvm) => &[JAVA_HISTOGRAM, JAVA_HEAP, JAVA_HEAP_NEXT],
        Some(Runtime::Go) => &[GO_HEAP, MEMORY_MAP],
        Some(Runtime::Python) => &[MEMORY_MAP, PYTHON_MEMORY_NEXT],
        Some(Runtime::Node) => &[NODE_INSPECT, NODE_HEAP_NEXT],
        _ => &[MEMORY_MAP, MEMORY_CORE],
    }
}

/// The process as commands call it.
///
/// Number 1 is the first process of a container, for nobody triages the first one of a machine: from outside it has another
/// number, so that commands go through the pod.
pub(crate) fn target(snapshot: &Snapshot<'_>) -> Target {
    let site = if snapshot.process.pid == Some(1) { Site::Kubernetes } else { Site::Host };
    Target { site, pid: process_to_name(snapshot), ..Target::default() }
}

/// The process as a shell names it: by its number while it lives, else the one that took its place.
///
/// The kernel writes a core as the process dies, so that its number names nobody by the time the report is read. A name
/// from a dump goes into a command that people paste; only one that a shell takes as it stands is used.
fn process_to_name(snapshot: &Snapshot<'_>) -> String {
    let process = &snapshot.process;
    let asked_for = snapshot.stop.is_none() && process.writer.is_none_or(|writer| writer == Writer::Gcore);
    let name = process.exe.as_deref().and_then(|path| path.rsplit('/').next()).filter(|name| is_plain(name));
    match (process.pid.filter(|_| asked_for), name) {
        (Some(pid), _) => pid.to_string(),
        // Every virtual machine is called the same.
        (None, Some(name)) if name != "java" => format!("$(pidof {name})"),
        _ => "PID".to_owned(),
    }
}

fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_');
    name.bytes().next().is_some_and(plain) && name.bytes().all(|byte| plain(byte) || byte == b'-')
}

fn crash(case: &Case<'_, '_>) -> Suitability {
    let mut lacks = Vec::new();
    let mut take_instead: Vec<&Entry> = Vec::new();
    let (_, missing) = truncated_core::cut(case);
    let stack = Crash::of(case).and_then(|crash| crash.fault().and_then(|fault| fault.stack_state));
    if missing > 0 {
        let what = match stack {
            Some(AddressState::CutOff) => "the dump is cut short and the stack of the thread that crashed is missing",
            _ => "the dump is cut short",
        };
        lacks.push(what.to_owned());
        take_instead.push(CORE_NEXT);
    }
    let files: Vec<_> = crash_modules(case);
    if !files.is_empty() {
        lacks.push(format!("the files with the names are not here: {}", files.join(", ")));
        take_instead.push(WITH_NAMES);
    }
    if lacks.is_empty() {
        let why = "it holds the stack, the registers and the memory at the crash";
        return told(case.snapshot, SuitabilityStatus::Right, why, &take_instead);
    }
    let status = if missing > 0 { SuitabilityStatus::Partial } else { SuitabilityStatus::Right };
    told(case.snapshot, status, &lacks.join("; "), &take_instead)
}

/// A line of the kernel's log: one instruction, and nobody who called it.
fn logged_crash(case: &Case<'_, '_>) -> Suitability {
    let mut why = "the kernel logged which instruction failed; who called it, and with which values, only a core tells"
        .to_owned();
    let mut take_instead: Vec<&Entry> = vec![KEPT_CORE, CORE_NEXT];
    let files = crash_modules(case);
    if !files.is_empty() {
        why = format!("{why}; the files with the names are not here: {}", files.join(", "));
        take_instead.push(WITH_NAMES);
    }
    told(case.snapshot, SuitabilityStatus::Partial, &why, &take_instead)
}

/// Modules of the crashed stack without a file, at most three.
fn crash_modules(case: &Case<'_, '_>) -> Vec<String> {
    use necropsy_model::SymbolStatus;
    let Some(crash) = Crash::of(case) else { return Vec::new() };
    let mut names: Vec<String> = Vec::new();
    for module in crash.frames().filter_map(|(_, frame)| case.snapshot.module(frame.module?)) {
        let lacks = matches!(module.symbols.status, SymbolStatus::NotFound | SymbolStatus::WrongBuild);
        if lacks && names.len() < 3 && !names.iter().any(|known| known == module.name()) {
            names.push(module.name().to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_name_goes_into_a_command() {
        assert!(is_plain("payment-api.v2"));
        for hostile in ["", "-rf", "a b", "x;reboot", "$(id)", "`id`", "a\nb"] {
            assert!(!is_plain(hostile), "{hostile}");
        }
    }

    #[test]
    fn a_process_is_called_by_its_number_while_it_lives_and_through_the_pod_when_that_is_one() {
        let mut snapshot = Snapshot::default();
        snapshot.process.exe = Some("/srv/ledger".into());
        snapshot.process.pid = Some(42);
        assert_eq!(target(&snapshot).pid, "42");
        snapshot.process.writer = Some(Writer::Kernel);
        assert_eq!(target(&snapshot).pid, "$(pidof ledger)");
        snapshot.process.pid = Some(1);
        assert_eq!(target(&snapshot).site, Site::Kubernetes);
    }
}
