//! Logs of what is no crash: a signal that was sent, a hang, memory of Java, what somebody asked for.

use necropsy_model::hs_err::ErrorKind;
use necropsy_model::{Confidence, Evidence, Finding, Role, Severity, Source};

use crate::jvm::hs_err::{Ended, Hs};
use crate::{Case, Rule};

pub(crate) static REPORT: Rule = Rule {
    id: "jvm-report-on-demand",
    doc: "\
# What it means
The text has the layout of a fatal error log, but no error: somebody asked for it (`jcmd PID VM.info`).
# Why it matters
Nothing crashed.
# How it can be wrong
If the part with the error was cut away.
# What to do
Read it as a description of the process; for a hang take a thread dump.
",
    check: report,
};

pub(crate) static SENT: Rule = Rule {
    id: "jvm-signal-sent",
    doc: "\
# What it means
Another process sent this signal (`si_code` SI_USER or SI_TKILL with its pid). The virtual machine did not crash.
# Why it matters
Frame and thread are noise: such a signal lands on whichever thread the kernel picks, often the first.
# How it can be wrong
The pid may have been used again since, and in a container it is that of the container's namespace.
# What to do
Look for the sender: a supervisor, a script with a time limit, a health check, an operator.
",
    check: sent,
};

pub(crate) static SAFEPOINT: Rule = Rule {
    id: "jvm-safepoint-timeout",
    doc: "\
# What it means
The virtual machine stopped itself because a thread did not reach a safepoint in time (`AbortVMOnSafepointTimeout`): it
sent SIGILL to that thread. It is a hang, not a crash; the thread of this log is the one that would not stop.
# Why it matters
All other threads waited for it.
# How it can be wrong
A thread that the operating system did not run for long looks the same.
# What to do
Look at the loop on top of the stack: a counted loop without a safepoint poll (`-XX:+UseCountedLoopSafepoints`, a `long` counter, a
loop over smaller parts).
",
    check: safepoint,
};

pub(crate) static JAVA_OOM: Rule = Rule {
    id: "jvm-java-out-of-memory",
    doc: "\
# What it means
A Java OutOfMemoryError, and `-XX:+CrashOnOutOfMemoryError` turned it into this log. Native code did not crash.
# Why it matters
The thread of the log is only the one that allocated last.
# How it can be wrong
It says which memory ran out, not who filled it.
# What to do
Take a heap dump (`-XX:+HeapDumpOnOutOfMemoryError`) and read who keeps the objects; of metaspace, look for class loaders that are
not let go.
",
    check: java_oom,
};

pub(crate) static ASKED: Rule = Rule {
    id: "jvm-abort-asked-for",
    doc: "\
# What it means
The process was told to die: by the flag `AbortVMOnException`, or by a call of `raise`, `kill` or `abort` in the program.
# Why it matters
There is no fault to look for at the frame on top.
# How it can be wrong
A library may raise the signal to report a fault of its own; then its messages on the console say more.
# What to do
Take the flag away, or read why the caller raises the signal.
",
    check: asked,
};

fn report<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(hs) = Hs::of(case).filter(|hs| hs.log.header.kind == ErrorKind::NoError) else { return Vec::new() };
    let title = "no crash: a report of a virtual machine that somebody asked for".to_owned();
    let mut finding = hs.finding(&REPORT, Confidence::High, title);
    finding.severity = Severity::Note;
    let source = hs.log.sections.first().map_or(Source::DUMP, |seen| seen.source);
    finding.evidence.push(Evidence::new("there is no line with an error and no thread that reported", source));
    vec![finding]
}

/// The signal was sent to itself by the process.
fn by_itself(hs: &Hs<'_, '_>) -> bool {
    let Some(info) = hs.info() else { return false };
    info.sender_is_self || info.sender_pid.is_some() && info.sender_pid == hs.log.header.pid
}

fn sent<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    const SI_TKILL: i64 = -6;
    let Some(hs) = Hs::of(case) else { return Vec::new() };
    let Some(info) = hs.info() else { return header_only(&hs) };
    let sender = info.sender_pid.filter(|_| matches!(info.code, Some(0 | SI_TKILL)) && !by_itself(&hs));
    let Some(pid) = sender else { return Vec::new() };
    let name = info.name.as_deref().unwrap_or("a signal");
    let user = info.sender_uid.map(|uid| format!(" (user {uid})")).unwrap_or_default();
    let title = format!("not a crash: process {pid}{user} sent {name}; thread and frame do not matter");
    let mut finding = hs.finding(&SENT, Confidence::High, title);
    finding.evidence = hs.basics();
    if hs.log.header.sent_by_kill {
        let source = hs.log.header.error.as_ref().map_or(Source::DUMP, |error| error.source);
        finding.evidence.push(Evidence::new("the header says: sent by kill", source));
    }
    vec![finding]
}

/// Without siginfo the header of JDK 11 and later still says it, though not who.
fn header_only<'data>(hs: &Hs<'_, 'data>) -> Vec<Finding<'data>> {
    let header = &hs.log.header;
    let Some(error) = header.error.as_ref().filter(|_| header.sent_by_kill && hs.ended() != Ended::Ill) else {
        return Vec::new();
    };
    let title = "not a crash: the signal was sent by kill; the log does not say by whom".to_owned();
    let mut finding = hs.finding(&SENT, Confidence::Medium, title);
    finding.evidence.push(Evidence::new(error.value.trim().to_owned(), error.source));
    vec![finding]
}

fn safepoint<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(hs) = Hs::of(case) else { return Vec::new() };
    let message =
        hs.log.header.messages.iter().find(|message| message.value.to_ascii_lowercase().contains("safepoint sync"));
    let flag = hs.argument("-XX:+AbortVMOnSafepointTimeout");
    let own = hs.ended() == Ended::Ill && by_itself(&hs);
    if !(own || message.is_some() && flag.is_some()) {
        return Vec::new();
    }
    let confidence = if own && flag.is_some() { Confidence::High } else { Confidence::Medium };
    let place = hs.top().map(|top| format!(" in {}", hs.words(top))).unwrap_or_default();
    let title = format!("not a crash but a hang: {} did not reach a safepoint in time{place}", hs.thread_in_words());
    let mut finding = hs.finding(&SAFEPOINT, confidence, title);
    finding.places.extend(hs.place(0, Role::Related));
    if let Some((flag, source)) = flag {
        finding.evidence.push(Evidence::new(flag.to_owned(), source));
    }
    finding.evidence.extend(hs.basics());
    finding.evidence.extend(message.map(|message| Evidence::new(message.value.clone(), message.source)));
    vec![finding]
}

fn java_oom<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(hs) = Hs::of(case) else { return Vec::new() };
    let Some(said) = &hs.log.header.java_oom else { return Vec::new() };
    let title = format!("out of memory: {}, turned into a crash by CrashOnOutOfMemoryError", said.value.trim());
    let mut finding = hs.finding(&JAVA_OOM, Confidence::High, title);
    finding.evidence.push(Evidence::new(said.value.trim().to_owned(), said.source));
    for line in hs.log.process.heap.lines.iter().take(2) {
        let Some((total, used)) = line.total.zip(line.used) else { continue };
        let (used, total) = (crate::jvm::hs_err::bytes(used), crate::jvm::hs_err::bytes(total));
        finding.evidence.push(Evidence::new(format!("{}: {used} of {total} in use", line.name), line.source));
    }
    if let Some((at, frame)) = hs.own_java() {
        finding.places.extend(hs.place(at, Role::Related));
        let text = format!("{} allocated last, in {}", hs.thread_in_words(), hs.words(frame));
        finding.evidence.push(Evidence::new(text, frame.source));
    }
    vec![finding]
}

fn asked<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    const RAISE: [&str; 7] =
        ["raise", "__pthread_kill", "pthread_kill", "__pthread_kill_implementation", "kill", "tgkill", "abort"];
    let Some(hs) = Hs::of(case) else { return Vec::new() };
    if let Some((flag, source)) = hs.argument("-XX:AbortVMOnException") {
        let saw = hs.log.header.messages.iter().find(|message| message.value.contains("Saw "));
        let Some(saw) = saw.filter(|_| hs.ended() == Ended::Internal) else { return Vec::new() };
        let title = format!("not a crash: AbortVMOnException asked the virtual machine to stop: {}", saw.value.trim());
        let mut finding = hs.finding(&ASKED, Confidence::High, title);
        finding.evidence.push(Evidence::new(flag.to_owned(), source));
        finding.evidence.push(Evidence::new(saw.value.trim().to_owned(), saw.source));
        if let Some((at, frame)) = hs.own_java() {
            finding.places.extend(hs.place(at, Role::Related));
            finding.evidence.push(Evidence::new(format!("it was thrown in {}", hs.words(frame)), frame.source));
        }
        return vec![finding];
    }
    let raises = hs
        .top()
        .and_then(|top| top.function.as_deref())
        .is_some_and(|function| RAISE.contains(&function.split(['+', '(', '@']).next().unwrap_or(function)));
    if !raises || hs.ended() == Ended::Internal {
        return Vec::new();
    }
    let who = hs.own_java().or_else(|| hs.caller());
    let by = who.map(|(_, frame)| format!(", called from {}", hs.words(frame))).unwrap_or_default();
    let title = format!("the process raised the signal itself{by}");
    let mut finding = hs.finding(&ASKED, Confidence::Medium, title);
    finding.places.extend(who.and_then(|(at, _)| hs.place(at, Role::Origin)));
    finding.evidence = hs.basics();
    vec![finding]
}

#[cfg(test)]
mod tests {
    use super::super::samples::{SEGV, log, signal};
    use super::*;
    use crate::rules::native::samples::fired;

    #[test]
    fn fires() {
        let sent = signal(("SIGSEGV", 11, 0), 0, &["C libc.so.6 wait"], |log| {
            log.siginfo.as_mut().unwrap().sender_pid = Some(7);
        });
        assert!(fired(&SENT, &sent));
        let hang = signal(("SIGILL", 4, -6), 0, &["J shop.Loop.run"], |log| {
            log.siginfo.as_mut().unwrap().sender_is_self = true;
        });
        assert!(fired(&SAFEPOINT, &hang));
        let oom = log(|log| {
            log.header.java_oom = Some(necropsy_model::hs_err::Said::new("Java heap space".into(), Source::line(3)));
        });
        assert!(fired(&JAVA_OOM, &oom));
        assert!(fired(&ASKED, &signal(("SIGSEGV", 11, 0), 0, &["C libc.so.6 raise", "j Main.main 3"], |_| {})));
        assert!(fired(&REPORT, &log(|log| log.header.kind = ErrorKind::NoError)));
    }

    #[test]
    fn keeps_quiet() {
        let crash = signal(SEGV, 8, &["C librefund.so apply_refund"], |_| {});
        for rule in [&SENT, &SAFEPOINT, &JAVA_OOM, &ASKED, &REPORT] {
            assert!(!fired(rule, &crash), "{}", rule.id);
        }
    }
}
