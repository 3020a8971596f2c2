//! Installations that can not work: wrong C library, wrong core classes, parts of two JDKs, memory that may not be executed,
//! signal handlers that were replaced.

use necropsy_model::hs_err::HsFrameKind;
use necropsy_model::{Confidence, Evidence, Finding, Role, Severity, Source};

use crate::jvm::hs_err::{Ended, Hs};
use crate::{Case, Rule};

pub(crate) static BOOT: Rule = Rule {
    id: "jvm-wrong-core-classes",
    doc: "\
# What it means
The virtual machine does not know its own core classes: another library's `java.lang` classes (android.jar, an rt.jar of another release)
stand before the JDK's.
# Why it matters
It can not start; it is no error of the virtual machine.
# How it can be wrong
A damaged JDK looks the same.
# What to do
Take such jars off the boot class path (`-Xbootclasspath`, the extensions folder, the project's libraries).
",
    check: boot,
};

pub(crate) static MIXED: Rule = Rule {
    id: "jvm-mixed-jdks",
    doc: "\
# What it means
Parts of two releases of the JDK run in one process: classes of JDK 8 (rt.jar) on the boot class path of a later one.
# Why it matters
Nothing that happens then says anything about the program.
# How it can be wrong
A jar that is only called rt.jar.
# What to do
Use one JDK; look at `-Xbootclasspath/a`, `JAVA_TOOL_OPTIONS` and copied files.
",
    check: mixed,
};

pub(crate) static COMPILER_LIBRARY: Rule = Rule {
    id: "jvm-compiler-library-missing",
    doc: "\
# What it means
The compiler of GraalVM could not be loaded; the message of the log says why.
# Why it matters
The virtual machine stops at the first method it wants to compile.
# How it can be wrong
It can not: the virtual machine says so.
# What to do
Repair the installation, or run without it (`-XX:-UseJVMCICompiler`, `-XX:-EnableJVMCI`).
",
    check: compiler_library,
};

pub(crate) static LIBC: Rule = Rule {
    id: "jvm-two-c-libraries",
    doc: "\
# What it means
A native library built for glibc runs on musl (Alpine), or both C libraries are in one process.
# Why it matters
Symbols that musl does not have are never resolved, and calls of them jump to nowhere.
# How it can be wrong
A compatibility layer makes many such libraries work; then the fault may have another cause.
# What to do
Use an image with glibc, or a build of the library for musl.
",
    check: libc,
};

pub(crate) static NOEXEC: Rule = Rule {
    id: "jvm-memory-not-executable",
    doc: "\
# What it means
Code was made at run time in memory that may not be executed, or could not be made for that reason.
# Why it matters
The system forbids it: /tmp is mounted noexec, SELinux, a hardened kernel.
# How it can be wrong
A wild jump into data looks the same.
# What to do
Give JNA and others a folder that allows it (`-Djna.tmpdir`, `java.io.tmpdir`), or change the mount or the policy.
",
    check: noexec,
};

pub(crate) static HANDLER: Rule = Rule {
    id: "jvm-signal-handler-replaced",
    doc: "\
# What it means
The handler of SIGSEGV is not the virtual machine's: a library installed its own.
# Why it matters
HotSpot finds null pointers in compiled code and stops threads by faults that it handles; with another handler they end the process.
# How it can be wrong
Handlers that pass on what is not theirs do no harm.
# What to do
Preload libjsig (`LD_PRELOAD=libjsig.so`), which chains the handlers, or stop the library from installing one.
",
    check: handler,
};

fn boot<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    const FILES: [&str; 4] = ["javaClasses.cpp", "classFileParser.cpp", "systemDictionary.cpp", "vmSymbols.cpp"];
    let Some(hs) = Hs::of(case).filter(|hs| hs.ended() == Ended::Internal) else { return Vec::new() };
    let header = &hs.log.header;
    let said = header.messages.iter().find(|message| {
        message.value.contains("Invalid layout of")
            || message.value.contains("malformed class data")
            || message.value.contains("preloaded class")
    });
    let raised = header.raised_at.as_ref().is_some_and(|(file, _)| FILES.contains(&&**file));
    let starting =
        hs.log.process.initialized == Some(false) || hs.log.summary.uptime_ms.is_some_and(|up| up.value < 3000);
    if said.is_none() && !(raised && starting) {
        return Vec::new();
    }
    let confidence = if said.is_some() || raised && hs.log.process.initialized == Some(false) {
        Confidence::High
    } else {
        Confidence::Medium
    };
    let title =
        "the core classes are not those of this JDK: another library stands before them on the class path".to_owned();
    let mut finding = hs.finding(&BOOT, confidence, title);
    for said in said.into_iter().chain(&header.error).chain(header.messages.iter().take(2)) {
        let evidence = Evidence::new(said.value.trim().to_owned(), said.source);
        if !finding.evidence.contains(&evidence) {
            finding.evidence.push(evidence);
        }
    }
    if let Some(said) = hs.log.process.vm_state.as_ref().filter(|_| hs.log.process.initialized == Some(false)) {
        finding.evidence.push(Evidence::new(said.value.trim().to_owned(), said.source));
    }
    if let Some((text, source)) = hs.argument("-Xbootclasspath") {
        finding.evidence.push(Evidence::new(text.to_owned(), source));
    }
    vec![finding]
}

fn mixed<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(hs) = Hs::of(case).filter(|hs| hs.log.build.feature.is_some_and(|feature| feature >= 9)) else {
        return Vec::new();
    };
    let Some((text, source)) = hs.argument("-Xbootclasspath").filter(|(text, _)| text.contains("rt.jar")) else {
        return Vec::new();
    };
    let title = "parts of two JDKs in one process: the rt.jar of an older release is on the boot class path".to_owned();
    let mut finding = hs.finding(&MIXED, Confidence::Medium, title);
    finding.evidence.push(Evidence::new(text.to_owned(), source));
    finding.evidence.extend(hs.basics());
    vec![finding]
}

fn compiler_library<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(hs) = Hs::of(case).filter(|hs| hs.ended() == Ended::Internal) else { return Vec::new() };
    let header = &hs.log.header;
    let raised = header.raised_at.as_ref().is_some_and(|(file, _)| file.starts_with("jvmci"));
    let said = header
        .messages
        .iter()
        .find(|message| message.value.contains("jvmcicompiler") || message.value.contains("Unable to load JVMCI"));
    let Some(said) = said.or(header.messages.first()).filter(|_| raised) else { return Vec::new() };
    let title = format!("the compiler of GraalVM could not be loaded: {}", said.value.trim());
    let mut finding = hs.finding(&COMPILER_LIBRARY, Confidence::High, title);
    finding.evidence.push(Evidence::new(said.value.trim().to_owned(), said.source));
    vec![finding]
}

fn libc<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(hs) = Hs::of(case).filter(Hs::is_fault) else { return Vec::new() };
    let entries = &hs.log.process.map.entries;
    let find = |wanted: &[&str]| {
        entries.iter().find(|entry| {
            let name = entry.path.as_deref().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
            wanted.iter().any(|start| name.starts_with(start))
        })
    };
    let musl = find(&["ld-musl", "libc.musl"]);
    let glibc = find(&["libc.so.6", "libc-2.", "ld-linux", "libpthread.so.0", "libpthread-2."]);
    let text = [&hs.log.system.libc, &hs.log.system.os];
    let says_musl =
        text.into_iter().flatten().find(|said| said.value.contains("musl") || said.value.contains("Alpine"));
    let jumps = hs.is_execute() && hs.mapping().is_none();
    let native = hs.frames().iter().take(3).any(|frame| frame.kind == HsFrameKind::Native);
    let on_musl = musl.is_some() || says_musl.is_some();
    if !on_musl || !native || glibc.is_none() && !jumps {
        return Vec::new();
    }
    let title = "a library built for another C library: glibc's code runs on musl".to_owned();
    let mut finding = hs.finding(&LIBC, Confidence::Medium, title);
    for entry in musl.into_iter().chain(glibc) {
        finding.evidence.push(Evidence::new(entry.path.as_deref().unwrap_or_default().to_owned(), entry.source));
    }
    finding.evidence.extend(says_musl.map(|said| Evidence::new(said.value.trim().to_owned(), said.source)));
    if jumps {
        let source = hs.info().and_then(|info| info.source).unwrap_or(Source::DUMP);
        finding.evidence.push(Evidence::new(format!("a jump to {}, which is no code", hs.address_in_words()), source));
    }
    finding.evidence.extend(hs.basics());
    finding.places.extend(hs.place(0, Role::Victim));
    vec![finding]
}

fn noexec<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    const SEGV_ACCERR: i64 = 2;
    let Some(hs) = Hs::of(case).filter(|hs| hs.ended() == Ended::Segv && hs.is_fault()) else { return Vec::new() };
    let closure = hs.frames().iter().take(3).find(|frame| {
        frame
            .function
            .as_deref()
            .is_some_and(|function| function.starts_with("ffi_prep_closure") || function.starts_with("ffi_closure"))
    });
    let forbidden = hs.is_execute() && hs.info().is_some_and(|info| info.code == Some(SEGV_ACCERR));
    let entry = hs
        .mapping()
        .filter(|entry| forbidden && entry.permissions.is_some_and(|rights| rights.read && !rights.execute));
    let made = entry.filter(|entry| {
        entry.path.as_deref().is_none_or(|path| path.contains("/tmp") || path.contains("ffi") || path.contains("memfd"))
    });
    if (closure.is_none() || !hs.is_null()) && made.is_none() {
        return Vec::new();
    }
    let title = "memory for code made at run time may not be executed here".to_owned();
    let mut finding = hs.finding(&NOEXEC, Confidence::Medium, title);
    if let Some(entry) = made {
        let rights = entry.permissions.map(|rights| rights.to_string()).unwrap_or_default();
        let path = entry.path.as_deref().unwrap_or("memory without a file");
        finding.evidence.push(Evidence::new(format!("{path} is mapped {rights}"), entry.source));
    }
    finding.evidence.extend(hs.basics());
    finding.places.extend(hs.place(0, Role::Victim));
    vec![finding]
}

fn handler<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(hs) = Hs::of(case).filter(|hs| matches!(hs.ended(), Ended::Segv | Ended::Bus)) else { return Vec::new() };
    let line = hs.log.process.handlers.iter().find(|line| line.signal == "SIGSEGV");
    let foreign = line.filter(|line| {
        let library = line.library.as_deref().unwrap_or_default();
        let other = !library.is_empty() && !library.starts_with("libjvm") && !library.starts_with("libjsig");
        other || line.modified
    });
    let Some(line) = foreign else { return Vec::new() };
    let title = format!(
        "SIGSEGV is handled by {}, not by the virtual machine",
        line.library.as_deref().unwrap_or("somebody else")
    );
    let mut finding = hs.finding(&HANDLER, Confidence::Medium, title);
    finding.severity = Severity::Warning;
    finding.evidence.push(Evidence::new(format!("SIGSEGV: {}", line.handler.trim()), line.source));
    vec![finding]
}

#[cfg(test)]
mod tests {
    use necropsy_model::Permissions;
    use necropsy_model::hs_err::{AddressRange, Argument, ErrorKind, HandlerLine, MapEntry, Said};

    use super::super::samples::{SEGV, log, signal};
    use super::*;
    use crate::rules::native::samples::fired;

    fn entry(path: &'static str, low: u64) -> MapEntry<'static> {
        MapEntry {
            range: AddressRange { low, high: low + 0x1000 },
            end_is_bound: false,
            permissions: Some(Permissions { read: true, write: true, execute: false }),
            offset: 0,
            path: Some(path.into()),
            deleted: false,
            source: Source::line(9),
        }
    }

    #[test]
    fn fires() {
        let boot = log(|log| {
            log.header.kind = ErrorKind::InternalError;
            log.header
                .messages
                .push(Said::new("Invalid layout of preloaded class: java.lang.String".into(), Source::line(5)));
        });
        assert!(fired(&BOOT, &boot));
        let mixed = signal(SEGV, 0x18, &["V f"], |log| {
            log.build.feature = Some(9);
            log.process
                .arguments
                .vm
                .push(Argument { text: "-Xbootclasspath/a:/x/rt.jar".into(), source: Source::line(9) });
        });
        assert!(fired(&MIXED, &mixed));
        let graal = log(|log| {
            log.header.kind = ErrorKind::InternalError;
            log.header.raised_at = Some(("jvmci.cpp".into(), Some(90)));
            log.header.messages.push(Said::new("fatal error: Unable to load JVMCI".into(), Source::line(5)));
        });
        assert!(fired(&COMPILER_LIBRARY, &graal));
        let musl = signal(SEGV, 0x3b36, &["C"], |log| {
            log.header.pc = Some(0x3b36);
            log.process.map.entries.push(entry("/lib/ld-musl-x86_64.so.1", 0x7f00_0000));
        });
        assert!(fired(&LIBC, &musl));
        let noexec = signal(("SIGSEGV", 11, 2), 0x7f00_0010, &["C"], |log| {
            log.header.pc = Some(0x7f00_0010);
            log.process.map.entries.push(entry("/tmp/ffiAbc", 0x7f00_0000));
        });
        assert!(fired(&NOEXEC, &noexec));
        let replaced = signal(SEGV, 8, &["J a.B.c"], |log| {
            let (signal, handler, library) = ("SIGSEGV".into(), "[libx.so+0x1]".into(), Some("libx.so".into()));
            log.process.handlers.push(HandlerLine {
                signal,
                handler,
                library,
                modified: false,
                source: Source::line(9),
            });
        });
        assert!(fired(&HANDLER, &replaced));
    }

    #[test]
    fn keeps_quiet() {
        let crash = signal(SEGV, 8, &["C librefund.so apply"], |log| log.build.feature = Some(17));
        for rule in [&BOOT, &MIXED, &COMPILER_LIBRARY, &LIBC, &NOEXEC, &HANDLER] {
            assert!(!fired(rule, &crash), "{}", rule.id);
        }
    }
}
