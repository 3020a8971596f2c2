//! Processors that are not what the virtual machine takes them for.

use necropsy_model::{Confidence, Evidence, Finding, Source};

use crate::jvm::hs_err::{Ended, Hs};
use crate::{Case, Rule};

pub(crate) static EMULATED: Rule = Rule {
    id: "jvm-emulated-processor",
    doc: "\
# What it means
The x86 virtual machine ran under a translator of instructions (qemu-user, Rosetta), as containers of another architecture do.
# Why it matters
Translators do not keep what HotSpot relies on: the order of memory, page protection, the context of signals. Such crashes are
random and say nothing about the program.
# How it can be wrong
The signs are of the machine, not of this crash: a program under a translator can have faults of its own.
# What to do
Run the image of the machine's own architecture (`--platform linux/arm64`).
",
    check: emulated,
};

pub(crate) static SVE: Rule = Rule {
    id: "jvm-sve-not-usable",
    doc: "\
# What it means
An illegal instruction at start on aarch64, where the processor claims vector extensions (SVE) that the hypervisor does not
let it use. JDK-8345296 describes it for Apple's M4.
# Why it matters
The virtual machine can not start at all.
# How it can be wrong
Another illegal instruction at start would look the same.
# What to do
`-XX:UseSVE=0`, or a JDK with the fix.
",
    check: sve,
};

/// Signs of a translator, with the line each stands on.
fn signs(hs: &Hs<'_, '_>) -> Vec<(u8, String, Source)> {
    let mut signs = Vec::new();
    let platform = hs.log.build.platform.as_deref().unwrap_or_default();
    let x86 = platform.ends_with("amd64") || platform.ends_with("x86");
    if let Some(trap) = hs.log.machine.trap.filter(|trap| x86 && trap.value >= u64::from(u32::MAX)) {
        signs.push((2, format!("TRAPNO {:#x} is no exception of a processor", trap.value), trap.source));
    }
    let low = |address: u64| (0x40_0000_0000..0x42_0000_0000).contains(&address);
    let vm =
        hs.log.process.map.entries.iter().find(|entry| {
            entry.path.as_deref().is_some_and(|path| path.ends_with("libjvm.so")) && low(entry.range.low)
        });
    if let Some(vm) = vm.filter(|_| platform == "linux-amd64") {
        let text = format!("libjvm.so is at {:#x}, where qemu-user puts libraries and Linux does not", vm.range.low);
        signs.push((2, text, vm.source));
    }
    let stack = hs.thread().and_then(|thread| thread.stack);
    if let Some(stack) = stack.filter(|stack| platform == "linux-amd64" && low(stack.range.low)) {
        signs.push((1, format!("the stack is at {:#x}, where qemu-user puts it", stack.range.low), stack.source));
    }
    let cpu = &hs.log.system.cpu;
    let text = [&cpu.model, &cpu.text, &hs.log.summary.host];
    for mark in ["VirtualApple", "QEMU Virtual", "QEMU TCG"] {
        if let Some(said) = text.into_iter().flatten().find(|said| said.value.contains(mark)) {
            // QEMU is also the name of processors of machines that translate nothing.
            let weight = if mark == "QEMU Virtual" { 1 } else { 2 };
            signs.push((weight, format!("the processor calls itself {mark}"), said.source));
        }
    }
    if (cpu.family, cpu.model_number) == (Some(15), Some(107)) {
        let source = cpu.text.as_ref().map_or(Source::DUMP, |text| text.source);
        signs.push((1, "family 15 model 107 is the processor that qemu pretends to be".to_owned(), source));
    }
    if let Some(said) = hs.log.header.messages.iter().find(|message| message.value.contains("PageArmed == 0")) {
        signs.push((1, "PageArmed fails under translators, which lose page protection".to_owned(), said.source));
    }
    signs
}

fn emulated<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(hs) = Hs::of(case) else { return Vec::new() };
    let signs = signs(&hs);
    let weight: u8 = signs.iter().map(|(weight, ..)| weight).sum();
    if weight < 2 {
        return Vec::new();
    }
    let confidence = if weight >= 3 { Confidence::High } else { Confidence::Medium };
    let title =
        "the virtual machine ran on a translated (emulated) processor, which breaks what it relies on".to_owned();
    let mut finding = hs.finding(&EMULATED, confidence, title);
    finding.evidence.extend(signs.into_iter().map(|(_, text, source)| Evidence::new(text, source)));
    finding.evidence.extend(hs.basics());
    vec![finding]
}

fn sve<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(hs) = Hs::of(case).filter(|hs| hs.ended() == Ended::Ill && hs.is_fault()) else { return Vec::new() };
    let aarch64 = hs.log.build.platform.as_deref().is_some_and(|platform| platform.ends_with("aarch64"));
    let cpu = hs.log.system.cpu.text.as_ref();
    let claims = cpu.filter(|cpu| cpu.value.to_ascii_lowercase().contains("sve"));
    let early = hs.log.summary.uptime_ms.is_some_and(|uptime| uptime.value < 2000);
    let starts = hs.frames().iter().take(4).any(|frame| {
        frame
            .method
            .as_ref()
            .is_some_and(|method| method.class == "java.lang.System" && method.name == "registerNatives")
    });
    let Some(cpu) = claims.filter(|_| aarch64 && (starts || early)) else { return Vec::new() };
    let confidence = if starts { Confidence::High } else { Confidence::Medium };
    let title = "illegal instruction at start: the processor claims SVE, which is not usable here".to_owned();
    let mut finding = hs.finding(&SVE, confidence, title);
    finding.evidence.push(Evidence::new(cpu.value.trim().to_owned(), cpu.source));
    finding.evidence.extend(hs.basics());
    vec![finding]
}

#[cfg(test)]
mod tests {
    use necropsy_model::hs_err::Said;

    use super::super::samples::{SEGV, signal};
    use super::*;
    use crate::rules::native::samples::fired;

    #[test]
    fn fires() {
        let log = signal(SEGV, 0, &["J a.B.c"], |log| {
            log.build.platform = Some("linux-amd64".into());
            log.machine.trap = Some(Said::new(u64::MAX, Source::line(9)));
        });
        assert!(fired(&EMULATED, &log));
        let log = signal(("SIGILL", 4, 1), 0, &["j java.lang.System.registerNatives 0"], |log| {
            log.build.platform = Some("linux-aarch64".into());
            log.system.cpu.text = Some(Said::new("0x61:0x0:0x000:0, fp, asimd, sve".into(), Source::line(9)));
        });
        assert!(fired(&SVE, &log));
    }

    #[test]
    fn keeps_quiet() {
        let log = signal(SEGV, 0, &["J a.B.c"], |log| {
            log.build.platform = Some("linux-amd64".into());
            log.machine.trap = Some(Said::new(14, Source::line(9)));
        });
        assert!(!fired(&EMULATED, &log));
        assert!(!fired(&SVE, &log));
    }
}
