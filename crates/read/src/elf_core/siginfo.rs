//! `NT_SIGINFO`: why the process stopped. `siginfo_t` of `include/uapi/asm-generic/siginfo.h`.

use necropsy_model::{Arch, Avma, Sender, Signal};

use super::bytes::Layout;

/// What a siginfo says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Siginfo {
    /// Signal and code.
    pub signal: Signal,
    /// `si_addr`, of a fault.
    pub address: Option<Avma>,
    /// `si_pid` and `si_uid`, of a signal that was sent.
    pub sender: Option<Sender>,
}

/// `SI_USER`, `SI_QUEUE`, `SI_MESGQ`, `SI_TKILL`: codes whose siginfo names a sender. `SI_TIMER`, -2, names a timer instead.
const SENT_BY_A_PROCESS: [i32; 4] = [0, -1, -3, -6];

/// Reads a siginfo; `None` when it is cut or empty.
///
/// The union behind the three ints begins at a word boundary. Its first fields are an address for a fault, and a pid and
/// a uid for a signal that was sent: read as an address, the pid of `kill` would look like a bad pointer.
pub(super) fn read(body: &[u8], arch: Arch, layout: Layout) -> Option<Siginfo> {
    // MIPS has si_code before si_errno.
    let code_at = if arch == Arch::Mips { 4 } else { 8 };
    let number = layout.i32(body, 0).filter(|&number| number != 0)?;
    let signal = Signal { number: generic_number(arch, number), code: layout.i32(body, code_at) };
    let union = if layout.wide { 16 } else { 12 };
    let code = signal.code?;
    let sender = SENT_BY_A_PROCESS.contains(&code).then(|| {
        let id = |at| layout.u32(body, at).map(u64::from);
        Some(Sender { pid: id(union)?, uid: id(union + 4)? })
    });
    let address = (code > 0 && signal.is_fault_signal()).then(|| layout.word(body, union).map(Avma));
    Some(Siginfo { signal, address: address.flatten(), sender: sender.flatten() })
}

/// The number a signal has on x86 and Arm.
///
/// MIPS and SPARC number some signals as their first Unix did (`arch/mips/include/uapi/asm/signal.h`,
/// `arch/sparc/include/uapi/asm/signal.h`): 10 is SIGBUS there, and SIGUSR1 here.
pub(super) fn generic_number(arch: Arch, number: i32) -> i32 {
    const MIPS: &[(i32, i32)] = &[(7, 64), (10, 7), (12, 31), (16, 10), (17, 12), (18, 17), (19, 30), (20, 28)];
    const SPARC: &[(i32, i32)] =
        &[(7, 64), (10, 7), (12, 31), (16, 23), (17, 19), (18, 20), (20, 17), (30, 10), (31, 12)];
    let table = match arch {
        Arch::Mips => MIPS,
        Arch::Sparc => SPARC,
        _ => return number,
    };
    table.iter().find(|(own, _)| *own == number).map_or(number, |&(_, generic)| generic)
}

#[cfg(test)]
mod tests {
    use necropsy_model::Endianness;

    use super::*;

    const WIDE: Layout = Layout { endian: Endianness::Little, wide: true };

    fn siginfo(number: i32, code: i32, union: u64) -> Vec<u8> {
        let mut body = vec![0; 128];
        body[..4].copy_from_slice(&number.to_le_bytes());
        body[8..12].copy_from_slice(&code.to_le_bytes());
        body[16..24].copy_from_slice(&union.to_le_bytes());
        body
    }

    #[test]
    fn a_fault_has_an_address() {
        let read = read(&siginfo(11, 1, 8), Arch::X86_64, WIDE).unwrap();
        assert_eq!((read.address, read.sender), (Some(Avma(8)), None));
    }

    #[test]
    fn a_signal_that_was_sent_has_a_sender_and_no_address() {
        let read = read(&siginfo(11, -6, (1000 << 32) | 0x6348), Arch::X86_64, WIDE).unwrap();
        assert_eq!((read.address, read.sender), (None, Some(Sender { pid: 0x6348, uid: 1000 })));
    }

    #[test]
    fn a_timer_is_no_sender() {
        let read = read(&siginfo(14, -2, 1), Arch::X86_64, WIDE).unwrap();
        assert_eq!((read.address, read.sender), (None, None));
    }

    #[test]
    fn an_empty_siginfo_says_nothing() {
        assert_eq!(read(&[0; 128], Arch::X86_64, WIDE), None);
        assert_eq!(read(&siginfo(11, 1, 8)[..6], Arch::X86_64, WIDE), None);
    }

    #[test]
    fn the_signals_of_sparc_are_renumbered() {
        assert_eq!(generic_number(Arch::Sparc, 10), Signal::BUS);
        assert_eq!(generic_number(Arch::X86_64, 10), 10);
    }
}
