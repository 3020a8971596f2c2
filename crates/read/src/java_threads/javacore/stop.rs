//! Why a javacore was written: the event of its title, and the signal of a crash.

use necropsy_model::{Arch, Avma, Message, MessageKind, Registers, Signal, Source, Stop};

use super::scan::RawDump;

/// Machines by the names of J9.
const MACHINES: [(&str, Arch); 9] = [
    ("amd64", Arch::X86_64),
    ("x86-64", Arch::X86_64),
    ("x86", Arch::X86),
    ("aarch64", Arch::Aarch64),
    ("arm", Arch::Arm),
    ("ppc64le", Arch::Ppc64),
    ("ppc64", Arch::Ppc64),
    ("s390x", Arch::S390x),
    ("riscv", Arch::Riscv64),
];

/// The machine.
pub(super) fn arch(dump: &RawDump<'_>) -> Option<Arch> {
    let name = String::from_utf8_lossy(dump.machine);
    MACHINES.iter().find(|(known, _)| name == *known).map(|(_, arch)| *arch)
}

/// The stop; none of a dump that was asked for, or that another event wrote while the process went on.
pub(super) fn stop<'d>(dump: &RawDump<'d>, thread: Option<usize>, source: Source) -> Option<Stop<'d>> {
    let code = |name: &[u8]| dump.codes.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
    let number = code(b"Signal_Number").and_then(|number| i32::try_from(number).ok());
    // Signal codes below zero are printed as unsigned words of 32 bits.
    let si_code = code(b"Signal_Code")
        .map(|code| i32::from_ne_bytes(u32::try_from(code & 0xffff_ffff).unwrap_or_default().to_ne_bytes()));
    let mut stop = Stop { thread, source: Some(source), ..Stop::default() };
    match dump.event {
        b"gpf" | b"traceassert" => {
            stop.signal = number.map(|number| Signal { number, code: si_code });
            stop.address = code(b"InaccessibleAddress").map(Avma);
            Some(stop)
        }
        b"abort" => {
            stop.signal = Some(Signal { number: Signal::ABRT, code: si_code });
            Some(stop)
        }
        b"systhrow" | b"throw" | b"uncaught" | b"catch" => {
            let (class, detail) = (dump.details.first()?, dump.details.get(1));
            let class = String::from_utf8_lossy(class).replace('/', ".");
            if dump.event == b"catch" {
                return None;
            }
            let text = match detail {
                Some(detail) if !detail.is_empty() => format!("{class}: {}", String::from_utf8_lossy(detail)),
                _ => class,
            };
            stop.messages.push(Message { text: text.into(), kind: MessageKind::Java, source });
            Some(stop)
        }
        _ => None,
    }
}

/// The registers of the crash, by the names of the machine.
pub(super) fn registers(dump: &RawDump<'_>, arch: Option<Arch>) -> Option<Registers> {
    let arch = arch.filter(|_| !dump.registers.is_empty())?;
    let mut registers = Registers::new(arch);
    let mut known = false;
    for (name, value) in &dump.registers {
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        if let Some(register) = arch.register(&name) {
            registers.set(register, *value);
            known = true;
        }
    }
    known.then_some(registers)
}
