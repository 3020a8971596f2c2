//! Lines of threads: `Current thread (0x…):`, `Java Threads:`, `Other Threads:`, `Stack:`.
//!
//! ```text
//! JavaThread "main"  daemon [_thread_in_native, id=15592, stack(0x…,0x…) (1024K)]
//! VMThread "VM Thread" [stack: 0x…,0x…] [id=23670]
//! GCTaskThread [stack: 0x…,0x…] [id=2480]
//! ```

use std::borrow::Cow;

use necropsy_model::Text;
use necropsy_model::hs_err::{
    AddressRange, CompileTask, CurrentThread, StackBounds, VmOperation, VmThread, VmThreadKind, VmThreadWords,
};

use super::words::{Line, after, decimal_after, hex_after, leading_decimal, leading_hex, range};

/// Reads what stands behind the address: the thread, and the bounds of its stack.
fn parts(text: &str) -> (VmThreadWords<'_>, Option<AddressRange>) {
    let text = text.trim();
    // A thread that is gone, and still in the list.
    let text = text.strip_prefix("(exited) ").unwrap_or(text).trim_start();
    let (kind_text, rest) = text.split_once([' ', '"']).unwrap_or((text, ""));
    let rest = text.get(kind_text.len()..).unwrap_or(rest).trim_start();
    // A name is printed raw and may hold quotes and brackets: the last quote ends it.
    let (name, tail) = match rest.strip_prefix('"').and_then(|name| name.rsplit_once('"')) {
        Some((name, tail)) => (Some(name), tail),
        None => (None, rest),
    };
    let state =
        after(tail, "[_thread_").map(|rest| rest.find([',', ']', ' ']).and_then(|end| rest.get(..end)).unwrap_or(rest));
    let state = state.and_then(|state| {
        let start = tail.find("[_thread_")? + 1;
        tail.get(start..start + "_thread_".len() + state.len())
    });
    let stack =
        after(tail, "stack(").map(|rest| (rest, ')')).or_else(|| after(tail, "[stack: ").map(|rest| (rest, ']')));
    let stack = stack.and_then(|(rest, end)| {
        let (low, high) = rest.split(end).next()?.split_once(',')?;
        let range = AddressRange { low: leading_hex(low.trim())?, high: leading_hex(high.trim())? };
        (range.low < range.high).then_some(range)
    });
    let words = VmThreadWords {
        kind: kind(kind_text, name.unwrap_or_default()),
        kind_text: kind_text.into(),
        name: name.map(Text::from),
        daemon: tail.trim_start().starts_with("daemon"),
        state: state.map(Text::from),
        os_id: decimal_after(tail, "id="),
    };
    (words, stack)
}

/// Which kind of thread the words name. Compilers are Java threads with a name of their own, and up to JDK 16 collectors
/// had thread classes of their own.
fn kind(text: &str, name: &str) -> VmThreadKind {
    let of_collector =
        ["GC Thread", "G1 ", "ParGC", "Gang worker", "XWorker", "ZWorker", "Shenandoah", "ZGC", "Concurrent Mark"];
    match text {
        "JavaThread" | "CompilerThread" if name.contains("CompilerThread") || text == "CompilerThread" => {
            VmThreadKind::Compiler
        }
        "JavaThread" => VmThreadKind::Java,
        "VMThread" => VmThreadKind::Vm,
        "GCTaskThread" | "ConcurrentGCThread" | "ConcurrentMarkSweepThread" | "ConcurrentG1RefineThread" => {
            VmThreadKind::Gc
        }
        "WorkerThread" | "GangWorker" if of_collector.iter().any(|word| name.contains(word)) => VmThreadKind::Gc,
        "" => VmThreadKind::Unknown,
        _ if of_collector.iter().any(|word| name.starts_with(word)) => VmThreadKind::Gc,
        _ => VmThreadKind::Internal,
    }
}

/// `Current thread (0x…):  JavaThread …` or `Current thread is native thread`.
pub(super) fn current(line: Line<'_>) -> CurrentThread<'_> {
    let text = line.text.trim();
    let source = Some(line.source);
    if text.contains("is native thread") {
        let kind_text = Cow::Borrowed("native thread");
        let who = VmThreadWords { kind: VmThreadKind::Native, kind_text, ..VmThreadWords::default() };
        return CurrentThread { text: text.into(), who, source, ..CurrentThread::default() };
    }
    let rest = after(text, "):").unwrap_or_default();
    let (who, stack) = parts(rest);
    CurrentThread {
        text: text.into(),
        address: hex_after(text, "("),
        who,
        stack: stack.map(|range| StackBounds { range, sp: None, free: None, source: line.source }),
        source,
        ..CurrentThread::default()
    }
}

/// `=>0x… JavaThread "main" …`; `None` when the line is none.
pub(super) fn listed(line: Line<'_>) -> Option<VmThread<'_>> {
    let text = line.text.trim_start();
    let (current, text) = match text.strip_prefix("=>") {
        Some(rest) => (true, rest.trim_start()),
        None => (false, text),
    };
    let (address, rest) = text.strip_prefix("0x")?.split_once(' ')?;
    let (who, stack) = parts(rest);
    let word = who.kind_text.as_ref();
    let plain = word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !plain || !word.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return None;
    }
    Some(VmThread { address: leading_hex(address)?, current, who, stack, thread: 0, source: line.source })
}

/// `Stack: [0x…,0x…],  sp=0x…,  free space=1016k`.
pub(super) fn stack(line: Line<'_>) -> Option<StackBounds> {
    let range = range(line.text)?;
    let free = decimal_after(line.text, "free space=").map(|kilobytes| kilobytes.saturating_mul(1024));
    Some(StackBounds { range, sp: hex_after(line.text, "sp="), free, source: line.source })
}

/// `VM_Operation (0x…): G1CollectForAllocation, mode: safepoint, requested by thread 0x…`.
pub(super) fn operation(line: Line<'_>) -> Option<VmOperation<'_>> {
    let rest = after(line.text, "): ").or_else(|| after(line.text, "):"))?.trim();
    let name = rest.split(',').next()?.trim();
    let mode = after(rest, "mode: ").map(|mode| mode.split(',').next().unwrap_or(mode).trim());
    Some(VmOperation {
        name: name.into(),
        mode: mode.map(Text::from),
        requested_by: hex_after(rest, "requested by thread "),
        source: line.source,
    })
}

/// `C2:  1234  5678 % !   4       pkg.Cls::m @ 12 (34 bytes)`: time, number, marks, tier, method.
pub(super) fn compile_task(line: Line<'_>) -> Option<CompileTask<'_>> {
    let text = line.text.trim();
    let (compiler, rest) = text
        .split_once(':')
        .filter(|(word, _)| (1..=6).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_alphanumeric()))?;
    let words: Vec<&str> = rest.split_whitespace().collect();
    let at = words.iter().position(|word| {
        word.contains("::") || (word.contains('.') && !word.starts_with(|c: char| c.is_ascii_digit()))
    });
    let before = at.and_then(|at| words.get(..at)).unwrap_or(&words);
    let mut numbers = before.iter().filter_map(|word| leading_decimal(word)).map(|number| u32::try_from(number).ok());
    let _milliseconds = numbers.next();
    Some(CompileTask {
        compiler: Some(compiler.into()),
        id: numbers.next().flatten(),
        osr: before.iter().any(|word| word.contains('%')),
        level: numbers.next().flatten().filter(|level| *level <= 4),
        method: at.and_then(|at| words.get(at)).map(|&word| word.into()),
        text: text.into(),
        source: line.source,
    })
}

#[cfg(test)]
mod tests {
    use necropsy_model::Source;

    use super::*;

    fn line(text: &str) -> Line<'_> {
        Line { text, source: Source::line(1) }
    }

    #[test]
    fn current_threads_of_every_age() {
        let thread = current(line(
            "Current thread (0x00007fba7c02aa30):  JavaThread \"main\"             [_thread_in_native, id=15592, stack(0x10,0x30) (1024K)]",
        ));
        assert_eq!(
            (thread.who.kind, thread.who.name.as_deref(), thread.who.os_id),
            (VmThreadKind::Java, Some("main"), Some(15592))
        );
        assert_eq!((thread.address, thread.who.state.as_deref()), (Some(0x7fba_7c02_aa30), Some("_thread_in_native")));
        assert_eq!(thread.stack.unwrap().range, AddressRange { low: 0x10, high: 0x30 });
        let thread = current(line("Current thread (0x00000000013ce800):  GCTaskThread [stack: 0x10,0x20] [id=2480]"));
        assert_eq!((thread.who.kind, thread.who.name, thread.who.os_id), (VmThreadKind::Gc, None, Some(2480)));
        assert_eq!(thread.stack.unwrap().range.high, 0x20);
        let thread = current(line(
            "Current thread (0x1):  JavaThread \"C2 CompilerThread0\" daemon [_thread_in_vm, id=1, stack(0x1,0x2)]",
        ));
        assert_eq!((thread.who.kind, thread.who.daemon), (VmThreadKind::Compiler, true));
        assert_eq!(current(line("Current thread is native thread")).who.kind, VmThreadKind::Native);
        assert_eq!(current(line("Current thread (")).who.kind, VmThreadKind::Unknown);
    }

    #[test]
    fn listed_threads() {
        let thread =
            listed(line("=>0x01 JavaThread \"a \"b\" [x]\" daemon [_thread_blocked, id=5, stack(0x10,0x20) (64K)]"))
                .unwrap();
        assert_eq!(
            (thread.current, thread.who.name.as_deref(), thread.who.os_id),
            (true, Some("a \"b\" [x]"), Some(5))
        );
        let thread = listed(line("=>0x01 (exited) GCTaskThread [stack: 0x10,0x20] [id=2480]")).unwrap();
        assert_eq!((thread.who.kind, thread.who.kind_text.as_ref()), (VmThreadKind::Gc, "GCTaskThread"));
        assert!(listed(line("Total: 10")).is_none());
        assert!(listed(line("0x00007fba7c02aa30, 0x00007fba7c0c3300")).is_none());
    }

    #[test]
    fn what_the_vm_did() {
        let operation =
            operation(line("VM_Operation (0x7): G1CollectForAllocation, mode: safepoint, requested by thread 0x10"))
                .unwrap();
        assert_eq!(
            (operation.name.as_ref(), operation.mode.as_deref(), operation.requested_by),
            ("G1CollectForAllocation", Some("safepoint"), Some(16))
        );
        let task = compile_task(line("C2:    760   43 % !   4       Crash::main @ 2180 (2731 bytes)")).unwrap();
        assert_eq!(
            (task.id, task.osr, task.level, task.method.as_deref()),
            (Some(43), true, Some(4), Some("Crash::main"))
        );
        let task = compile_task(line("C2:168216 16596       4       org.a.Parser::consumeRule (7748 bytes)")).unwrap();
        assert_eq!(
            (task.id, task.level, task.method.as_deref()),
            (Some(16596), Some(4), Some("org.a.Parser::consumeRule"))
        );
        assert_eq!(
            stack(line("Stack: [0x10,0x20],  sp=0x18,  free space=18014398509481921k")).unwrap().free,
            Some(18_014_398_509_481_921 * 1024)
        );
    }
}
