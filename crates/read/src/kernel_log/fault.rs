//! Lines about a signal that an instruction raised: `show_signal_msg` of `arch/x86/mm/fault.c`, `show_signal` of
//! `arch/x86/kernel/traps.c`, `arm64_show_signal` of `arch/arm64/kernel/traps.c`.

use necropsy_model::{Arch, Signal};

use crate::tokens::kernel::{Mapping, mapping};

/// `SI_KERNEL`: the kernel raised the signal and knows no address.
const SI_KERNEL: i32 = 0x80;

/// The end of a thread as the kernel logs it.
pub(super) struct Fault<'t> {
    /// Name of the thread, at most 15 bytes (`TASK_COMM_LEN`).
    pub name: &'t str,
    /// Its number: `task_pid_nr`, that of the thread and not of the process.
    pub id: u64,
    /// What kind of line it is.
    pub arch: Arch,
    /// The signal that followed; its code only where the line leaves no choice.
    pub signal: Signal,
    /// What happened, in the kernel's words: `segfault`, `general protection fault`, `trap divide error`.
    pub what: &'t str,
    /// The address that was used.
    pub address: Option<u64>,
    /// Program counter; on aarch64 it stands in the lines that follow.
    pub pc: Option<u64>,
    /// Stack pointer.
    pub sp: Option<u64>,
    /// The error code of a page fault on x86, the exception syndrome (`ESR_EL1`) on aarch64.
    pub error: Option<u64>,
    /// The file behind the program counter.
    pub mapping: Option<Mapping<'t>>,
}

/// Reads a line without what stands before the kernel's words.
pub(super) fn parse(words: &str) -> Option<Fault<'_>> {
    let words = words.strip_prefix("traps: ").unwrap_or(words);
    let (name, id, rest) = task(words)?;
    if let Some(rest) = rest.strip_prefix(": segfault at ") {
        return segfault(name, id, rest);
    }
    if let Some(rest) = rest.strip_prefix(": unhandled ") {
        return arm(name, id, rest);
    }
    trap(name, id, rest.strip_prefix(' ')?)
}

/// `name[123]`; the name may hold blanks and brackets.
fn task(words: &str) -> Option<(&str, u64, &str)> {
    let marks = [": segfault at ", " general protection", " trap ", ": unhandled "];
    let at = marks.iter().filter_map(|mark| words.find(&format!("]{mark}"))).min()?;
    let (name, id) = words.get(..at)?.rsplit_once('[')?;
    Some((name, id.parse().ok()?, words.get(at + 1..)?)).filter(|_| !name.is_empty() && name.len() <= 15)
}

/// `8 ip 00005638cd8da17e sp 00007ffe846375e0 error 4 in passthru[117e,5638cd8da000+1000] likely on CPU 1 (…)`
fn segfault<'t>(name: &'t str, id: u64, rest: &'t str) -> Option<Fault<'t>> {
    let address = hex(rest)?;
    let nowhere = || rest.contains("(null)").then_some(0);
    let pc = number(rest, &[" ip ", " rip "]).or_else(nowhere)?;
    let (sp, error) = (number(rest, &[" sp ", " rsp "]), number(rest, &[" error "]));
    Some(Fault {
        name,
        id,
        arch: Arch::X86_64,
        signal: Signal { number: Signal::SEGV, code: code(address, error.unwrap_or(0)) },
        what: "segfault",
        address: Some(address),
        pc: Some(pc),
        sp,
        error,
        mapping: mapping(rest.as_bytes(), 0, pc),
    })
}

/// `trap divide error ip:55… sp:7f… error:0 in plain[132f,555f17bb2000+1000]`
fn trap<'t>(name: &'t str, id: u64, rest: &'t str) -> Option<Fault<'t>> {
    let pc = number(rest, &[" ip:", " rip:"])?;
    let what = rest.split(" ip:").next()?.split(" rip:").next()?;
    let (number_of, code) = match what {
        // `exc_general_protection`, `exc_stack_segment`, `exc_alignment_check` and their neighbours of traps.c.
        "trap divide error" => (Signal::FPE, Some(1)),
        "trap invalid opcode" => (Signal::ILL, Some(2)),
        "trap int3" => (Signal::TRAP, Some(SI_KERNEL)),
        "trap debug" => (Signal::TRAP, None),
        "trap overflow" | "trap bounds" | "trap invalid TSS" => (Signal::SEGV, Some(SI_KERNEL)),
        "trap coprocessor segment overrun" | "trap coprocessor error" | "trap simd exception" => (Signal::FPE, None),
        "trap segment not present" | "trap stack segment" => (Signal::BUS, Some(SI_KERNEL)),
        "trap alignment check" => (Signal::BUS, Some(1)),
        _ if what.starts_with("general protection") => (Signal::SEGV, Some(SI_KERNEL)),
        _ => return None,
    };
    Some(Fault {
        name,
        id,
        arch: Arch::X86_64,
        signal: Signal { number: number_of, code },
        what,
        address: None,
        pc: Some(pc),
        sp: number(rest, &[" sp:", " rsp:"]),
        error: number(rest, &[" error:"]),
        mapping: mapping(rest.as_bytes(), 0, pc),
    })
}

/// `exception: DABT (lower EL), ESR 0x0000000092000006, level 2 translation fault in app[aaaac7a10000+1000]`, and before Linux
/// 4.16 `level 2 translation fault (11) at 0x00000008, esr 0x92000006, in app[400000+1000]`.
fn arm<'t>(name: &'t str, id: u64, rest: &'t str) -> Option<Fault<'t>> {
    let error = number(rest, &["ESR 0x", "esr 0x"])?;
    let address = number(rest, &[" at 0x"]);
    let (number_of, code) = match (class(error), error & 0x3f) {
        (0x20 | 0x24, 0x21) | (0x22 | 0x26, _) => (Signal::BUS, Some(1)),
        (0x20 | 0x24, 0x10..=0x1f) => (Signal::BUS, None),
        // A permission fault is one of a page that is there.
        (0x20 | 0x24, 0x0c..=0x0f) => (Signal::SEGV, Some(2)),
        (0x20 | 0x24, _) => (Signal::SEGV, address.filter(|&address| address < FIRST_MAPPED).map(|_| 1)),
        (0x2c, _) => (Signal::FPE, None),
        (0x30..=0x35 | 0x38 | 0x3c, _) => (Signal::TRAP, None),
        _ => (Signal::ILL, None),
    };
    let what = rest.strip_prefix("exception: ").unwrap_or(rest);
    let what = what.split(", ").find(|part| part.contains("fault")).unwrap_or(what);
    // The program counter stands among the registers; the mapping is looked at again when it is known.
    let what = what.split(" in ").next()?.split(" (").next()?;
    Some(Fault {
        name,
        id,
        arch: Arch::Aarch64,
        signal: Signal { number: number_of, code },
        what,
        address,
        pc: None,
        sp: None,
        error: Some(error),
        mapping: None,
    })
}

/// Addresses below are never mapped (`vm.mmap_min_addr`).
pub(super) const FIRST_MAPPED: u64 = 0x1_0000;

/// The code of a page fault's signal, where the line leaves no choice: a page that is there forbids the access; none is ever
/// mapped at the lowest addresses. Elsewhere a missing page is one that was never mapped, or that the process may not touch.
fn code(address: u64, error: u64) -> Option<i32> {
    match (error & PRESENT != 0, address < FIRST_MAPPED) {
        (true, _) => Some(2),
        (false, true) => Some(1),
        (false, false) => None,
    }
}

/// Bits of the error code of a page fault: Intel SDM volume 3, 4.7; `arch/x86/include/asm/trap_pf.h`.
pub(super) const PRESENT: u64 = 1 << 0;
pub(super) const WRITE: u64 = 1 << 1;
pub(super) const USER: u64 = 1 << 2;
pub(super) const RESERVED: u64 = 1 << 3;
pub(super) const FETCH: u64 = 1 << 4;
pub(super) const KEY: u64 = 1 << 5;
pub(super) const SHADOW_STACK: u64 = 1 << 6;

/// The class of an exception, `EC` of `ESR_EL1`.
pub(super) fn class(syndrome: u64) -> u64 {
    syndrome >> 26 & 0x3f
}

/// The hexadecimal number behind the first of some marks.
pub(super) fn number(text: &str, marks: &[&str]) -> Option<u64> {
    marks.iter().find_map(|mark| hex(text.get(text.find(mark)? + mark.len()..)?))
}

/// The hexadecimal number at the beginning of a text.
pub(super) fn hex(text: &str) -> Option<u64> {
    let text = text.strip_prefix("0x").unwrap_or(text);
    let digits = text.bytes().take_while(u8::is_ascii_hexdigit).count();
    u64::from_str_radix(text.get(..digits)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Fault<'_> {
        parse(line).unwrap_or_else(|| panic!("{line}"))
    }

    #[test]
    fn every_form_of_the_page_fault() {
        let new = "rate map[11406]: segfault at 8 ip 000055a0e1002230 sp 00007ffc0e258fd8 error 4 in rate_map[1230,55a0e1002000+1000] likely on CPU 0 (core 0, socket 0)";
        let fault = parsed(new);
        assert_eq!(
            (fault.name, fault.id, fault.address, fault.pc),
            ("rate map", 11406, Some(8), Some(0x55a0_e100_2230))
        );
        assert_eq!((fault.sp, fault.error, fault.signal.code), (Some(0x7ffc_0e25_8fd8), Some(4), Some(1)));
        let mapping = fault.mapping.unwrap();
        assert_eq!((mapping.name, mapping.base, mapping.size), ("rate_map", 0x55a0_e100_2000, 0x1000));
        let old = parsed("a[1]: segfault at 7f00dead0000 rip 0000000000400540 rsp 00007fff error 7 in a[400000+1000]");
        assert_eq!((old.pc, old.signal.code, old.mapping.is_some()), (Some(0x40_0540), Some(2), true));
        // `%p` of a jump to NULL, before Linux 4.15.
        let nowhere = parsed("a[1]: segfault at 0 ip           (null) sp 00007fff error 14");
        assert_eq!((nowhere.pc, nowhere.sp), (Some(0), Some(0x7fff)));
    }

    #[test]
    fn traps_and_their_signals() {
        for (what, number, code) in [
            ("general protection fault", 11, Some(0x80)),
            ("general protection", 11, Some(0x80)),
            ("trap divide error", 8, Some(1)),
            ("trap invalid opcode", 4, Some(2)),
            ("trap int3", 5, Some(0x80)),
            ("trap stack segment", 7, Some(0x80)),
        ] {
            let line = format!(
                "traps: plain[7] {what} ip:555f17bb232f sp:7ffeb1454a78 error:0 in plain[132f,555f17bb2000+1000]"
            );
            let fault = parsed(&line);
            assert_eq!((fault.signal.number, fault.signal.code, fault.what), (number, code, what));
            assert_eq!(
                (fault.name, fault.id, fault.pc, fault.mapping.is_some()),
                ("plain", 7, Some(0x555f_17bb_232f), true)
            );
        }
        assert!(parse("traps: plain[7] trap of mice ip:1 sp:2 error:0").is_none());
    }

    #[test]
    fn aarch64_of_both_kinds() {
        let new = parsed(
            "app[9]: unhandled exception: DABT (lower EL), ESR 0x0000000092000046, level 2 translation fault in app[aaaac7a10000+1000]",
        );
        assert_eq!((new.signal, new.what), (Signal { number: 11, code: None }, "level 2 translation fault"));
        let old = parsed(
            "app[9]: unhandled level 2 translation fault (11) at 0x00000008, esr 0x92000006, in app[400000+1000]",
        );
        assert_eq!((old.address, old.signal.code, old.what), (Some(8), Some(1), "level 2 translation fault"));
        assert_eq!(
            parsed("app[9]: unhandled exception: BRK (AArch64), ESR 0x00000000f2000001, BRK handler in app[1+1]")
                .signal
                .number,
            5
        );
    }

    #[test]
    fn other_lines_are_none() {
        for line in [
            "",
            "a[b]: segfault at 1 ip 2",
            "[1]: segfault at 1 ip 2",
            "usb 1-1: trap ",
            "segfault at 0 ip 1",
            "a[1]: segfault at x",
        ] {
            assert!(parse(line).is_none(), "{line}");
        }
    }
}
