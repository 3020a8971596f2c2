//! Agents, profilers, handlers of signals, threads that left without saying so.

use necropsy_model::hs_err::{HsFrame, HsFrameKind, VmThreadKind};
use necropsy_model::{Confidence, Evidence, Finding, Role, Source};

use crate::jvm::hs_err::{Hs, short};
use crate::jvm::libraries::Library;
use crate::{Case, Rule};

pub(crate) static PROFILER: Rule = Rule {
    id: "jvm-crash-in-signal-handler",
    doc: "\
# What it means
Native code of a library ran on a thread that was not in a call of native code at that moment: a handler of a signal, as
profilers use it, interrupted it and crashed; or the virtual machine crashed while a profiler asked it for a stack.
# Why it matters
The interrupted code and its thread are innocent.
# How it can be wrong
Native methods that are called without a change of state (critical natives, trivial downcalls) look the same.
# What to do
Update or switch off the profiler or whatever installs that handler.
",
    check: profiler,
};

pub(crate) static AGENT: Rule = Rule {
    id: "jvm-agent-crash",
    doc: "\
# What it means
A native agent of the tool interface (JVMTI) crashed while the virtual machine told it of an event.
# Why it matters
The program is innocent: it only happened to load a class, throw an exception or end a thread.
# How it can be wrong
An agent may get a bad value from elsewhere; it is still its own code that used it.
# What to do
Run without the agent (`-agentpath`, `-agentlib`), or update it.
",
    check: agent,
};

pub(crate) static DETACHED: Rule = Rule {
    id: "jvm-thread-not-detached",
    doc: "\
# What it means
The virtual machine asked the system about one of its threads, and that thread no longer exists: native code attached it and
ended it without `DetachCurrentThread`.
# Why it matters
The next look at all threads (a thread dump, a profiler) kills the process.
# How it can be wrong
Old releases of the JDK have a race here of their own.
# What to do
Find the native library that attaches threads and let it detach each one before it ends.
",
    check: detached,
};

/// Functions by which profilers walk the stack of an interrupted thread.
const WALKS: [&str; 6] = [
    "AsyncGetCallTrace",
    "vframeStreamForte",
    "pd_get_top_frame_for_profiling",
    "pd_get_top_frame_for_signal_handler",
    "forte_fill_call_trace_given_top",
    "JfrStackTrace::record_async",
];

fn profiler<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(hs) = Hs::of(case).filter(Hs::is_fault) else { return Vec::new() };
    let frames = hs.frames();
    let walk = frames.iter().take(12).find(|frame| {
        frame.function.as_deref().is_some_and(|function| WALKS.iter().any(|walk| function.contains(walk)))
    });
    if let Some(walk) = walk {
        let who = frames.iter().find(|frame| hs.is_foreign(frame));
        let by =
            who.and_then(|frame| frame.library.as_deref()).map(|library| format!(" for {library}")).unwrap_or_default();
        let title = format!(
            "a profiler asked the virtual machine for a stack at a bad moment: it crashed in {}{by}",
            hs.words(walk)
        );
        return told(&hs, &PROFILER, Confidence::Medium, title, walk.source);
    }
    let Some((at, handler)) = frames.iter().enumerate().take(6).find(|(_, frame)| hs.is_foreign(frame)) else {
        return Vec::new();
    };
    // Only the C library may stand above: what the handler called.
    if frames.iter().take(at).any(|frame| hs.library(frame) != Some(Library::Base)) {
        return Vec::new();
    }
    let thread = hs.thread();
    let in_java = thread.and_then(|thread| thread.who.state.as_deref()).is_some_and(|state| state == "_thread_in_Java");
    let of_vm = thread
        .is_some_and(|thread| matches!(thread.who.kind, VmThreadKind::Compiler | VmThreadKind::Gc | VmThreadKind::Vm));
    let mut below = frames.iter().skip(at).skip_while(|frame| hs.is_foreign(frame));
    let trampoline = below.next().is_some_and(|frame| hs.library(frame) == Some(Library::Base));
    let interrupted = below
        .next()
        .filter(|_| trampoline)
        .is_none_or(|frame| matches!(frame.kind, HsFrameKind::Vm | HsFrameKind::Stub) || frame.kind.is_java());
    if !trampoline || !interrupted || !(in_java || of_vm) {
        return Vec::new();
    }
    let library = handler.library.as_deref().unwrap_or("a library");
    let title = format!(
        "a handler of a signal in {library} crashed: it {} in {}, on an innocent thread",
        hs.tried(),
        hs.words(handler)
    );
    let mut findings = told(&hs, &PROFILER, Confidence::High, title, handler.source);
    for finding in &mut findings {
        let state = thread.and_then(|thread| thread.who.state.as_deref()).unwrap_or("of the virtual machine");
        let text = format!("{} was {state}, which no thread is in native code that it called", hs.thread_in_words());
        finding.evidence.push(Evidence::new(text, thread.and_then(|thread| thread.source).unwrap_or(Source::DUMP)));
        finding.places.extend(hs.place(at, Role::Victim));
    }
    findings
}

fn told<'data>(
    hs: &Hs<'_, 'data>,
    rule: &Rule,
    confidence: Confidence,
    title: String,
    source: Source,
) -> Vec<Finding<'data>> {
    let mut finding = hs.finding(rule, confidence, title);
    finding.evidence = hs.basics();
    let profilers = ["Profil", "Datadog", "datadog", "perf", "Sampler"];
    let other =
        hs.log.threads.iter().find(|thread| {
            thread.who.name.as_deref().is_some_and(|name| profilers.iter().any(|part| name.contains(part)))
        });
    if let Some(name) = other.and_then(|thread| thread.who.name.as_deref()) {
        finding.evidence.push(Evidence::new(format!("there is a thread called \"{name}\""), source));
    }
    vec![finding]
}

/// The library is an agent by the log's list of agents or by an argument.
fn is_agent(hs: &Hs<'_, '_>, library: &str) -> Option<Source> {
    let listed = hs.log.process.agents.iter().find(|line| line.value.contains(library)).map(|line| line.source);
    let stem = library.trim_start_matches("lib").split('.').next().unwrap_or(library);
    let argument = || {
        let path = hs.argument("-agentpath:").filter(|(text, _)| text.contains(library));
        let name =
            hs.argument("-agentlib:").filter(|(text, _)| text.trim_start_matches("-agentlib:").starts_with(stem));
        path.or(name).map(|(_, source)| source)
    };
    listed.or_else(argument)
}

fn agent<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(hs) = Hs::of(case).filter(Hs::is_fault) else { return Vec::new() };
    let frames = hs.frames();
    let native = |frame: &HsFrame<'_>| frame.kind == HsFrameKind::Native;
    // Frames down to the call from the virtual machine; none of them is Java's.
    let Some((at, frame)) =
        frames.iter().enumerate().take_while(|(_, frame)| native(frame)).find(|(_, frame)| hs.is_foreign(frame))
    else {
        return Vec::new();
    };
    let library = frame.library.as_deref().unwrap_or_default();
    let listed = is_agent(&hs, library);
    let caller = frames.iter().find(|frame| !native(frame));
    let event = caller.and_then(|frame| frame.function.as_deref()).is_some_and(|function| {
        function.contains("JvmtiExport::")
            || function.contains("JvmtiEventController")
            || function.contains("JvmtiAgent")
    });
    if listed.is_none() && !event {
        return Vec::new();
    }
    let direct = caller.is_some_and(|frame| frame.kind == HsFrameKind::Vm);
    let confidence = if direct && (event || listed.is_some()) { Confidence::High } else { Confidence::Medium };
    let during = caller
        .filter(|_| event)
        .and_then(|frame| frame.function.as_deref())
        .map(|function| format!(" during {}", short(function)));
    let title =
        format!("the agent {library} crashed{}: it {} in {}", during.unwrap_or_default(), hs.tried(), hs.words(frame));
    let mut finding = hs.finding(&AGENT, confidence, title);
    finding.places.extend(hs.place(at, Role::Victim));
    finding.evidence = hs.basics();
    if let Some(source) = listed {
        finding.evidence.push(Evidence::new(format!("{library} is loaded as an agent"), source));
    }
    if let Some(caller) = caller.filter(|_| event) {
        finding.evidence.push(Evidence::new(format!("called by {}", hs.words(caller)), caller.source));
    }
    vec![finding]
}

fn detached<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(hs) = Hs::of(case).filter(Hs::is_fault) else { return Vec::new() };
    let Some(top) = hs.top() else { return Vec::new() };
    let asks = top.function.as_deref().is_some_and(|function| function.starts_with("pthread_getcpuclockid"));
    if !asks {
        return Vec::new();
    }
    let title = "a native thread ended without detaching from the virtual machine, which then asked for its CPU time"
        .to_owned();
    let mut finding = hs.finding(&DETACHED, Confidence::Medium, title);
    finding.places.extend(hs.place(0, Role::Victim));
    finding.evidence = hs.basics();
    if let Some(operation) = &hs.log.vm_operation {
        finding.evidence.push(Evidence::new(format!("during the operation {}", operation.name), operation.source));
    }
    vec![finding]
}

#[cfg(test)]
mod tests {
    use necropsy_model::hs_err::{Argument, HsErr};

    use super::super::samples::{SEGV, signal};
    use super::*;
    use crate::rules::native::samples::fired;

    fn state(word: &'static str) -> impl FnOnce(&mut HsErr<'static>) {
        move |log| log.thread.as_mut().unwrap().who.state = Some(word.into())
    }

    #[test]
    fn fires() {
        let handler = ["C libprof.so onprof", "C libc.so.6", "v call_stub"];
        assert!(fired(&PROFILER, &signal(SEGV, 0x20, &handler, state("_thread_in_Java"))));
        assert!(fired(
            &PROFILER,
            &signal(SEGV, 0x20, &["V vframeStreamForte::forte_next()", "V AsyncGetCallTrace"], |_| {})
        ));
        let event = ["C libagent.so on_load", "V JvmtiExport::post_class_load(JavaThread*)"];
        assert!(fired(&AGENT, &signal(SEGV, 8, &event, |_| {})));
        let listed = signal(SEGV, 8, &["C libagent.so on_load", "V"], |log| {
            log.process
                .arguments
                .vm
                .push(Argument { text: "-agentpath:/opt/libagent.so".into(), source: Source::line(9) });
        });
        assert!(fired(&AGENT, &listed));
        assert!(fired(&DETACHED, &signal(SEGV, 0x2d0, &["C libpthread.so.0 pthread_getcpuclockid"], |_| {})));
    }

    #[test]
    fn keeps_quiet() {
        let call = signal(SEGV, 8, &["C librefund.so apply", "j Shop.apply 0"], state("_thread_in_native"));
        for rule in [&PROFILER, &AGENT, &DETACHED] {
            assert!(!fired(rule, &call), "{}", rule.id);
        }
    }
}
