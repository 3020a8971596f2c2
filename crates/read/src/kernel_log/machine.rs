//! What follows the line of a fault: registers of aarch64, bytes of code of x86.

use necropsy_model::{Arch, Registers};

/// Bytes of code around a program counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Code {
    /// How many stand before the program counter.
    pub before: usize,
    /// All bytes.
    pub bytes: Vec<u8>,
}

/// Most bytes of a line; `OPCODE_BUFSIZE` of `arch/x86/kernel/dumpstack.c` is 64.
const MOST_BYTES: usize = 256;

/// `Code: 48 89 df <48> 8b 04 25`: the byte in angle brackets is the one at the program counter (`show_opcodes`).
pub(super) fn code(words: &str) -> Option<Code> {
    let mut bytes = Vec::new();
    let mut before = None;
    for token in words.strip_prefix("Code: ")?.split_whitespace() {
        let marked = token.strip_prefix('<').and_then(|token| token.strip_suffix('>'));
        let token = marked.unwrap_or(token);
        // A line that is cut, or goes on with other words, is good up to there.
        let Some(byte) = u8::from_str_radix(token, 16).ok().filter(|_| token.len() == 2) else { break };
        if marked.is_some() {
            before = before.or(Some(bytes.len()));
        }
        if bytes.len() < MOST_BYTES {
            bytes.push(byte);
        }
    }
    let before = before.filter(|&before| before < bytes.len())?;
    Some(Code { before, bytes })
}

/// Adds the registers of a line of `__show_regs` (`arch/arm64/kernel/process.c`): `pc : 0000…`, `x29: 0… x28: 0… x27: 0…`.
/// `false` when there is none in it.
pub(super) fn registers(words: &str, registers: &mut Registers) -> bool {
    let mut any = false;
    let mut rest = words;
    while let Some((head, tail)) = rest.split_once(':') {
        let name = head.trim_end().rsplit(' ').next().unwrap_or_default();
        let value = tail.trim_start().trim_start_matches("[<");
        let digits = value.bytes().take_while(u8::is_ascii_hexdigit).count();
        let number = value.get(..digits).filter(|digits| digits.len() == 16);
        if let (Some(register), Some(value)) = (by_name(name), number.and_then(|n| u64::from_str_radix(n, 16).ok())) {
            registers.set(register, value);
            any = true;
        }
        rest = tail;
    }
    any
}

fn by_name(name: &str) -> Option<u16> {
    Arch::Aarch64.register(if name == "lr" { "x30" } else { name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_around_the_program_counter() {
        let found = code("Code: 48 89 df <48> 8b 04").unwrap();
        assert_eq!((found.before, found.bytes.len()), (3, 6));
        assert_eq!(code("Code: 48 <89> df and so on").unwrap().bytes.len(), 3);
        for none in ["Code: 48 89", "Code: Unable to access opcode bytes at 0x0.", "Code: <", "Code: <4>", "code: <48>"]
        {
            assert_eq!(code(none), None, "{none}");
        }
    }

    #[test]
    fn registers_of_aarch64() {
        let mut found = Registers::new(Arch::Aarch64);
        assert!(registers("pc : 0000aaaac7a10754", &mut found));
        assert!(registers("x29: 0000ffffe0a0b0c0 x28: 0000000000000000 x27: 0000000000000007", &mut found));
        assert!(registers("pc : [<0000000000400544>] lr : [<0000000000400560>] pstate: 60000000", &mut found));
        assert!(!registers("pstate: 60001000 (nZCv daif -PAN -UAO)", &mut found));
        assert!(!registers("CPU: 0 PID: 12 Comm: app Not tainted", &mut found));
        let of = |name| found.by_name(name);
        assert_eq!(
            (found.pc(), of("x29"), of("x27"), of("x30"), of("x1")),
            (Some(0x40_0544), Some(0xffff_e0a0_b0c0), Some(7), Some(0x40_0560), None)
        );
    }
}
