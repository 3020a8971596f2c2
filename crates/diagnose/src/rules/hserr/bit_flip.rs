//! A value that differs in exactly one bit from one that would be right.

use necropsy_model::hs_err::{AddressRange, Register, VmThreadKind};
use necropsy_model::{Confidence, Evidence, Finding, Severity, Source};

use crate::jvm::hs_err::{Ended, Hs};
use crate::{Case, Rule};

pub(crate) static FLIP: Rule = Rule {
    id: "jvm-flipped-bit",
    doc: "\
# What it means
A register holds an address that can not exist, and flipping one bit of it gives an address inside memory of this process; or the
address at fault is NULL or all ones with one bit wrong. Software seldom makes such values, a failing memory cell does.
# Why it matters
If it is one, no change of the program helps: the machine damages data.
# How it can be wrong
Tables of collectors give such addresses in healthy code, so that threads of the collector are left out, and so are the edges of
mappings. A pointer with a tag in its upper bits looks the same, and so does a number that software took for a pointer: one log alone is
never sure.
# What to do
Test the memory (memtest for hours), take back overclocking, look for machine check events. Compare with other logs of this host:
crashes at many places in many programs confirm it.
",
    check: flip,
};

pub(crate) static CPU: Rule = Rule {
    id: "jvm-processor-known-unstable",
    doc: "\
# What it means
The processor is one of Intel's 13th or 14th generation for desktops, of which many became unstable.
# Why it matters
On such a machine a crash that repeats nowhere may not be the program's.
# How it can be wrong
Most of these processors are healthy; the log only tells the model.
# What to do
See that the firmware brings microcode 0x12B or later, and whether other programs crash on this machine too.
",
    check: cpu,
};

/// Bytes at the edges of a mapping in which a target counts for nothing.
const LOW_EDGE: u64 = 64;
const HIGH_EDGE: u64 = 4096;

/// Bits from which an address of x86-64 is not canonical when they differ.
const CANONICAL: u32 = 47;

/// Memory that the log lists: mappings, stacks, heap.
fn memory(hs: &Hs<'_, '_>) -> Vec<AddressRange> {
    let maps = hs.log.process.map.entries.iter().map(|entry| entry.range);
    let stacks = hs.log.threads.iter().filter_map(|thread| thread.stack);
    let heap = hs.log.process.heap.lines.iter().filter_map(|line| line.range);
    let own = hs.thread().and_then(|thread| thread.stack).map(|stack| stack.range);
    maps.chain(stacks).chain(heap).chain(own).collect()
}

fn is_canonical(value: u64) -> bool {
    let top = value >> CANONICAL;
    top == 0 || top == u64::MAX >> CANONICAL
}

/// Register, value, bit and right value.
fn flipped<'a>(hs: &Hs<'a, '_>) -> Option<(&'a str, u64, u32, u64, Source)> {
    let ranges = memory(hs);
    let inside = |value: u64| {
        let far = |range: &AddressRange| {
            value >= range.low.saturating_add(LOW_EDGE) && value < range.high.saturating_sub(HIGH_EDGE)
        };
        value > 0xffff && ranges.iter().any(far)
    };
    // The register through which the instruction went first: others may hold a copy, or a difference.
    let fault = hs.snapshot.stop.as_ref().and_then(|stop| stop.fault.as_ref());
    let base = fault.and_then(|fault| fault.operand.as_ref()?.base).map(|(name, _)| name);
    let registers = &hs.log.machine.registers;
    let used = |register: &&Register<'_>| base.is_some_and(|base| register.name == base);
    for register in registers.iter().filter(used).chain(registers.iter().filter(|register| !used(register))) {
        let general = register.name.starts_with('r') && register.name.len() <= 3;
        if !general || is_canonical(register.value) {
            continue;
        }
        for bit in CANONICAL..64 {
            let right = register.value ^ (1 << bit);
            if right >> CANONICAL == 0 && inside(right) {
                return Some((&register.name, register.value, bit, right, register.source));
            }
        }
    }
    None
}

fn flip<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    const LOWEST: u32 = 20;
    let Some(hs) = Hs::of(case).filter(|hs| hs.ended() == Ended::Segv && hs.is_fault()) else { return Vec::new() };
    let amd64 = hs.log.build.platform.as_deref().is_some_and(|platform| platform.ends_with("amd64"));
    if !amd64 {
        return Vec::new();
    }
    let sentinel = hs.info().and_then(|info| info.address).and_then(|address| {
        let bit = (LOWEST..63).find(|bit| address == 1 << bit || address == u64::MAX ^ (1 << bit))?;
        Some((address, bit))
    });
    let collector =
        hs.is_gc() || hs.thread().is_some_and(|thread| matches!(thread.who.kind, VmThreadKind::Gc | VmThreadKind::Vm));
    let (title, evidence) = if let Some((address, bit)) = sentinel {
        let right = if address == 1 << bit { "NULL" } else { "all ones" };
        let text = format!("the address at fault {address:#x} is {right} with bit {bit} wrong");
        let source = hs.info().and_then(|info| info.source).unwrap_or(Source::DUMP);
        (format!("flipped bit: {text}"), Evidence::new(text, source))
    } else if let Some((name, value, bit, right, source)) = flipped(&hs).filter(|_| !collector) {
        let text = format!("{name} = {value:#x} is {right:#x}, which is memory of this process, with bit {bit} wrong");
        (format!("flipped bit: {text}"), Evidence::new(text, source))
    } else {
        return Vec::new();
    };
    let mut finding =
        hs.finding(&FLIP, Confidence::Medium, format!("{title}; memory or processor of this machine may be at fault"));
    finding.evidence.push(evidence);
    finding.evidence.extend(hs.basics());
    vec![finding]
}

fn cpu<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(hs) = Hs::of(case).filter(Hs::is_fault) else { return Vec::new() };
    let cpu = &hs.log.system.cpu;
    let texts = [&cpu.model, &hs.log.summary.host, &cpu.text];
    let marks = [
        "13th Gen Intel(R) Core(TM) i",
        "14th Gen Intel(R) Core(TM) i",
        "i9-13900",
        "i7-13700",
        "i9-14900",
        "i7-14700",
    ];
    let named = texts.into_iter().flatten().find(|said| marks.iter().any(|mark| said.value.contains(mark)));
    let Some(said) = named.filter(|_| cpu.microcode.is_none_or(|code| code < 0x12b)) else { return Vec::new() };
    let title = "the processor is of a generation that is known to become unstable".to_owned();
    let mut finding = hs.finding(&CPU, Confidence::Low, title);
    finding.severity = Severity::Note;
    finding.evidence.push(Evidence::new(said.value.trim().to_owned(), said.source));
    vec![finding]
}

#[cfg(test)]
mod tests {
    use necropsy_model::hs_err::{HsErr, MapEntry, Said};

    use super::super::samples::{SEGV, signal};
    use super::*;
    use crate::rules::native::samples::fired;

    fn with(value: u64) -> impl FnOnce(&mut HsErr<'static>) {
        move |log| {
            log.build.platform = Some("linux-amd64".into());
            log.machine.registers.push(Register { name: "rbx".into(), value, source: Source::line(7) });
            log.process.map.entries.push(MapEntry {
                range: AddressRange { low: 0x7f00_0000_0000, high: 0x7f00_0010_0000 },
                end_is_bound: false,
                permissions: None,
                offset: 0,
                path: None,
                deleted: false,
                source: Source::line(9),
            });
        }
    }

    #[test]
    fn fires() {
        assert!(fired(&FLIP, &signal(("SIGSEGV", 11, 128), 0, &["V f"], with(0x0002_7f00_0000_2000))));
        let sentinel = signal(SEGV, 1 << 34, &["V f"], |log| log.build.platform = Some("windows-amd64".into()));
        assert!(fired(&FLIP, &sentinel));
        let named = signal(SEGV, 8, &["V f"], |log| {
            log.system.cpu.model = Some(Said::new("13th Gen Intel(R) Core(TM) i9-13900K".into(), Source::line(3)));
        });
        assert!(fired(&CPU, &named));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!fired(&FLIP, &signal(("SIGSEGV", 11, 128), 0, &["V f"], with(0x0006_0000_0000_0007))), "two bits");
        assert!(!fired(&FLIP, &signal(("SIGSEGV", 11, 128), 0, &["V f"], with(0x0002_7f00_0000_0010))), "an edge");
        let collector = signal(("SIGSEGV", 11, 128), 0, &["V f"], |log| {
            with(0x0002_7f00_0000_2000)(log);
            log.thread.as_mut().unwrap().who.kind = VmThreadKind::Gc;
        });
        assert!(!fired(&FLIP, &collector), "tables of a collector give such values");
        assert!(!fired(&CPU, &signal(SEGV, 8, &["V f"], |_| {})));
    }
}
