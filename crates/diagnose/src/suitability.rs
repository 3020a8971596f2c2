//! Whether this was the right dump, and which to take instead.

use necropsy_model::{AddressState, Command, Suitability, SuitabilityStatus, Symptom, Writer};

use crate::Case;
use crate::crash::Crash;
use crate::rules::native::truncated_core;
use crate::wait_graph::WaitGraph;

/// Judges the dump against the symptom.
pub(crate) fn of(case: &Case<'_, '_>, symptom: Symptom) -> Suitability {
    let core = !case.snapshot.memory.is_empty();
    let pid = process_to_name(case);
    let verdict = |status, why: &str, take_instead| Suitability { status, why: why.to_owned(), take_instead };
    match symptom {
        Symptom::NativeCrash | Symptom::ManagedCrash if core => crash(case),
        Symptom::NativeCrash | Symptom::ManagedCrash => {
            verdict(SuitabilityStatus::Right, "it holds the stack of what failed", Vec::new())
        }
        Symptom::HangIdle if core && !WaitGraph::of(case.snapshot).cycles.is_empty() => {
            verdict(SuitabilityStatus::Right, "it proves the circle, which can not pass by itself", Vec::new())
        }
        Symptom::HangIdle if core => verdict(
            SuitabilityStatus::Partial,
            "it shows where every thread waited at one moment; two moments tell which of them are stuck",
            hang(&pid),
        ),
        Symptom::HangBusy if core => verdict(
            SuitabilityStatus::Partial,
            "it shows one moment of a process that was running; where its time goes takes a profile",
            busy(&pid),
        ),
        Symptom::OutOfMemory => verdict(
            SuitabilityStatus::Partial,
            "it shows who asked for memory last, which is seldom who holds it",
            memory(&pid),
        ),
        Symptom::Unclear => verdict(SuitabilityStatus::Partial, "it does not tell what failed", Vec::new()),
        _ => verdict(SuitabilityStatus::Partial, "it shows one moment", Vec::new()),
    }
}

/// The process as a shell names it: by its number while it lives, else the one that took its place.
///
/// The kernel writes a core as the process dies, so that its number names nobody by the time the report is read. A name
/// from a dump goes into a command that people paste; only one that a shell takes as it stands is used.
fn process_to_name(case: &Case<'_, '_>) -> String {
    let process = &case.snapshot.process;
    let lives = process.writer == Some(Writer::Gcore) && case.snapshot.stop.is_none();
    let name = process.exe.as_deref().and_then(|path| path.rsplit('/').next()).filter(|name| is_plain(name));
    match (process.pid.filter(|_| lives), name) {
        (Some(pid), _) => pid.to_string(),
        (None, Some(name)) => format!("$(pidof {name})"),
        (None, None) => "PID".to_owned(),
    }
}

fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_');
    name.bytes().next().is_some_and(plain) && name.bytes().all(|byte| plain(byte) || byte == b'-')
}

fn crash(case: &Case<'_, '_>) -> Suitability {
    let mut lacks = Vec::new();
    let mut take_instead = Vec::new();
    let (_, missing) = truncated_core::cut(case);
    let stack = Crash::of(case).and_then(|crash| crash.fault().and_then(|fault| fault.stack_state));
    if missing > 0 {
        let what = match stack {
            Some(AddressState::CutOff) => "the dump is cut short and the stack of the thread that crashed is missing",
            _ => "the dump is cut short",
        };
        lacks.push(what.to_owned());
        take_instead.push(command("whole cores", "ulimit -c unlimited; sysctl kernel.core_pattern"));
    }
    let files: Vec<_> = crash_modules(case);
    if !files.is_empty() {
        lacks.push(format!("the files with the names are not here: {}", files.join(", ")));
        take_instead.push(command("the same triage with names", "necropsy CORE --exe EXECUTABLE --debug-dir DIR"));
    }
    if lacks.is_empty() {
        let why = "it holds the stack, the registers and the memory at the crash".to_owned();
        return Suitability { status: SuitabilityStatus::Right, why, take_instead };
    }
    let cut_stack = missing > 0 && stack == Some(AddressState::CutOff);
    let status = if missing > 0 || cut_stack { SuitabilityStatus::Partial } else { SuitabilityStatus::Right };
    Suitability { status, why: lacks.join("; "), take_instead }
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

fn command(what: &str, command: impl Into<String>) -> Command {
    Command { what: what.to_owned(), command: command.into() }
}

fn hang(pid: &str) -> Vec<Command> {
    let stacks = format!(
        "gdb -p {pid} -batch -ex 'thread apply all bt'; sleep 10; gdb -p {pid} -batch -ex 'thread apply all bt'"
    );
    vec![
        command(
            "all stacks twice, ten seconds apart, before a restart; stops the process for a second each time",
            stacks,
        ),
        command(
            "a core without ending the process; it stands still while the core is written",
            format!("gcore -o hang {pid}"),
        ),
    ]
}

fn busy(pid: &str) -> Vec<Command> {
    vec![
        command(
            "where the time goes, over ten seconds; the process goes on",
            format!("perf record -g -p {pid} -- sleep 10; perf report"),
        ),
        command("which thread it is", format!("top -b -n 1 -H -p {pid}")),
    ]
}

fn memory(pid: &str) -> Vec<Command> {
    vec![
        command("what holds the memory, before the process ends", format!("gcore -o memory {pid}")),
        command("how it is mapped", format!("cat /proc/{pid}/smaps_rollup /proc/{pid}/status")),
    ]
}

#[cfg(test)]
mod tests {
    use super::is_plain;

    #[test]
    fn only_a_plain_name_goes_into_a_command() {
        assert!(is_plain("payment-api.v2"));
        for hostile in ["", "-rf", "a b", "x;reboot", "$(id)", "`id`", "a\nb"] {
            assert!(!is_plain(hostile), "{hostile}");
        }
    }
}
