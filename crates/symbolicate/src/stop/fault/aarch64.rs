//! `AArch64` instructions that can fault: loads, stores, atomics, branches and traps, with the values that their operands had.
//!
//! Whatever else the processor runs can not raise a memory fault; it is shown as a bare word.

use necropsy_model::{Access as Direction, FaultOperand, Registers};

use super::decoded::{Decoded, Flow, MemoryOperand, Target};
use crate::a64::{Access, Branch, THIRTY_ONE, To, What, Word};

const X: [&str; 32] = [
    "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17",
    "x18", "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28", "x29", "x30", "sp",
];

/// Decodes the instruction word at `pc` with the values its operands had.
pub(super) fn decode(pc: u64, word: u32, registers: &Registers) -> Decoded {
    let it = Word(word);
    let found = it.trap().map(|name| trap(name, it));
    let found = found.or_else(|| Some(branch(it.branch(pc)?, registers)));
    let found = found.or_else(|| Some(memory(&it.access(pc)?, registers)));
    let mut decoded = found.unwrap_or_else(|| Decoded { text: format!(".inst {word:#010x}"), ..Decoded::default() });
    decoded.length = 4;
    decoded
}

/// The name of a register where 31 is the stack pointer.
fn name(number: u8) -> &'static str {
    X.get(usize::from(number)).copied().unwrap_or("?")
}

fn trap(name: &str, it: Word) -> Decoded {
    let number = if name == "udf" { it.bits(15, 0) } else { it.bits(20, 5) };
    Decoded { text: format!("{name} #{number:#x}"), flow: Flow::Trap, ..Decoded::default() }
}

fn branch(branch: Branch, registers: &Registers) -> Decoded {
    let (target, shown) = match branch.to {
        To::Address(to) => (Target::Fixed(to), format!("{to:#x}")),
        To::Register(number) => {
            (Target::Register(name(number), registers.by_name(name(number))), name(number).to_owned())
        }
    };
    let mark = if branch.checked { "a" } else { "" };
    let (text, flow) = match (branch.to, branch.link, branch.ret) {
        (To::Address(_), true, _) => (format!("bl {shown}"), Flow::Call(target)),
        (To::Address(_), ..) => (format!("b {shown}"), Flow::Jump(target)),
        (To::Register(30), _, true) => (format!("ret{mark}"), Flow::Return(target)),
        (_, _, true) => (format!("ret {shown}"), Flow::Return(target)),
        (_, true, _) => (format!("blr{mark} {shown}"), Flow::Call(target)),
        _ => (format!("br{mark} {shown}"), Flow::Jump(target)),
    };
    Decoded { text, flow, ..Decoded::default() }
}

fn memory(access: &Access, registers: &Registers) -> Decoded {
    let value = |number: u8| registers.by_name(name(number));
    let base = access.base.map(|number| (name(number), value(number)));
    let index = access.index.map(|index| {
        let raw = if index.register == THIRTY_ONE { Some(0) } else { value(index.register) };
        (index, raw)
    });
    let added = match index {
        None => Some(0),
        Some((index, raw)) => raw.map(|raw| index.extended(raw) << index.shift),
    };
    let start = if let Some((_, base)) = base { base } else { Some(0) };
    let address =
        start.zip(added).map(|(base, added)| base.wrapping_add(added).wrapping_add_signed(access.displacement));
    let operand = operand(access);
    let parts = FaultOperand {
        base: base.and_then(|(name, value)| Some((name, value?))),
        index: index.and_then(|(index, raw)| Some((name(index.register), raw?, 1 << index.shift))),
        displacement: access.displacement,
        text: operand.clone(),
    };
    let count = access.registers.iter().flatten().count() as u64;
    let size = match (access.what, access.structure) {
        (_, Some(_)) => 0,
        (What::ZeroBlock, _) => u64::from(access.size),
        _ => u64::from(access.size) * count,
    };
    let (direction, aligned) = match access.what {
        What::Load { .. } => (Direction::Read, false),
        What::Store | What::ZeroBlock => (Direction::Write, false),
        What::OrderedLoad | What::ExclusiveLoad => (Direction::Read, true),
        What::OrderedStore | What::ExclusiveStore => (Direction::Write, true),
        What::Atomic(_) | What::Swap | What::CompareSwap => (Direction::ReadWrite, true),
    };
    let alignment = aligned.then_some(size);
    let text = format!("{}, {operand}", mnemonic(access));
    let operand = MemoryOperand { parts, address, size, access: direction, alignment, lone: None, implicit: false };
    Decoded { text, memory: vec![operand], ..Decoded::default() }
}

/// The instruction without its operand in memory.
fn mnemonic(access: &Access) -> String {
    const OPERATIONS: [&str; 8] = ["ldadd", "ldclr", "ldeor", "ldset", "ldsmax", "ldsmin", "ldumax", "ldumin"];
    let wide = access.size == 8 || matches!(access.what, What::Load { wide: true, .. });
    let shown: Vec<String> = access
        .registers
        .iter()
        .flatten()
        .map(|&number| match (access.vector, access.size) {
            (true, 1) => format!("b{number}"),
            (true, 2) => format!("h{number}"),
            (true, 4) => format!("s{number}"),
            (true, 8) => format!("d{number}"),
            (true, _) => format!("q{number}"),
            (false, _) => general(number, wide),
        })
        .collect();
    let pair = shown.len() > 1;
    let all = shown.join(", ");
    let operand = |wide| general(access.operand.unwrap_or(THIRTY_ONE), wide);
    let narrow = match (access.vector, access.size) {
        (false, 1) => "b",
        (false, 2) => "h",
        _ => "",
    };
    let load = matches!(access.what, What::Load { .. });
    match access.what {
        What::Load { .. } | What::Store if access.structure.is_some() => {
            let number = access.registers[0].unwrap_or_default();
            format!("{}1 {{v{number}}}", if load { "ld" } else { "st" })
        }
        What::Load { .. } if access.checked => format!("ldra {all}"),
        What::Load { signed: true, .. } if pair => format!("ldpsw {all}"),
        What::Load { .. } if pair => format!("ldp {all}"),
        What::Store if pair => format!("stp {all}"),
        What::Load { signed: true, .. } => {
            format!("ldrs{} {all}", if access.size == 4 { "w" } else { narrow })
        }
        What::Load { .. } => format!("ldr{narrow} {all}"),
        What::Store => format!("str{narrow} {all}"),
        What::OrderedLoad => format!("{} {all}", if access.acquires { "ldar" } else { "ldapr" }),
        What::OrderedStore => format!("stlr {all}"),
        What::ExclusiveLoad if pair => format!("ldxp {all}"),
        What::ExclusiveLoad => format!("{} {all}", if access.acquires { "ldaxr" } else { "ldxr" }),
        What::ExclusiveStore if pair => format!("stxp {}, {all}", operand(false)),
        What::ExclusiveStore => {
            format!("{} {}, {all}", if access.acquires { "stlxr" } else { "stxr" }, operand(false))
        }
        What::Atomic(operation) => {
            let name = OPERATIONS.get(usize::from(operation)).copied().unwrap_or("?");
            format!("{name} {}, {all}", operand(wide))
        }
        What::Swap => format!("swp {}, {all}", operand(wide)),
        What::CompareSwap => format!("cas {}, {all}", operand(wide)),
        What::ZeroBlock => "dc zva".to_owned(),
    }
}

/// The operand in memory as an assembler writes it.
fn operand(access: &Access) -> String {
    let Some(base) = access.base.map(name) else { return format!("{:#x}", access.displacement) };
    if access.what == What::ZeroBlock {
        return base.to_owned();
    }
    if let Some(index) = access.index {
        let shift = index.shift;
        let extended = match (index.option, shift) {
            (3, 0) => String::new(),
            (3, _) => format!(", lsl #{shift}"),
            (2, 0) => ", uxtw".to_owned(),
            (2, _) => format!(", uxtw #{shift}"),
            (6, 0) => ", sxtw".to_owned(),
            (6, _) => format!(", sxtw #{shift}"),
            _ => format!(", sxtx #{shift}"),
        };
        return format!("[{base}, {}{extended}]", general(index.register, index.option & 1 == 1));
    }
    match access.update {
        Some(update) if update.before => format!("[{base}, #{}]!", access.displacement),
        Some(update) => format!("[{base}], #{}", update.by),
        None if access.displacement == 0 => format!("[{base}]"),
        None => format!("[{base}, #{}]", access.displacement),
    }
}

/// A general register as data, where 31 is the zero register.
fn general(number: u8, wide: bool) -> String {
    match (number, wide) {
        (THIRTY_ONE, true) => "xzr".to_owned(),
        (THIRTY_ONE, false) => "wzr".to_owned(),
        (_, true) => format!("x{number}"),
        (_, false) => format!("w{number}"),
    }
}

#[cfg(test)]
mod tests {
    use necropsy_model::Arch;

    use super::*;

    /// Text, access, address and size of a word, with x0 = 0x1000, x1 = 3 and sp = 0x8000. The words are `as`'s own.
    fn of(word: u32) -> (String, Option<(Direction, u64, u64)>) {
        let mut registers = Registers::new(Arch::Aarch64);
        for (register, value) in [(0, 0x1000), (1, 3), (31, 0x8000), (30, 0x2000)] {
            registers.set(register, value);
        }
        let decoded = decode(0x40_0000, word, &registers);
        let operand = decoded.memory.first();
        (decoded.text, operand.and_then(|operand| Some((operand.access, operand.address?, operand.size))))
    }

    #[test]
    fn loads_and_stores() {
        assert_eq!(of(0xf940_0402), ("ldr x2, [x0, #8]".into(), Some((Direction::Read, 0x1008, 8))));
        assert_eq!(of(0xb900_0c1f), ("str wzr, [x0, #12]".into(), Some((Direction::Write, 0x100c, 4))));
        assert_eq!(of(0x3940_0000), ("ldrb w0, [x0]".into(), Some((Direction::Read, 0x1000, 1))));
        assert_eq!(of(0xf861_7802), ("ldr x2, [x0, x1, lsl #3]".into(), Some((Direction::Read, 0x1018, 8))));
        assert_eq!(of(0xf85f_8002), ("ldr x2, [x0, #-8]".into(), Some((Direction::Read, 0xff8, 8))));
        assert_eq!(of(0xa9bf_7bfd), ("stp x29, x30, [sp, #-16]!".into(), Some((Direction::Write, 0x7ff0, 16))));
        assert_eq!(of(0x3dc0_0000), ("ldr q0, [x0]".into(), Some((Direction::Read, 0x1000, 16))));
        assert_eq!(of(0x885f_7c02), ("ldxr w2, [x0]".into(), Some((Direction::Read, 0x1000, 4))));
        assert_eq!(of(0xf861_d802), ("ldr x2, [x0, w1, sxtw #3]".into(), Some((Direction::Read, 0x1018, 8))));
        assert_eq!(of(0xb861_0002), ("ldadd w1, w2, [x0]".into(), Some((Direction::ReadWrite, 0x1000, 4))));
    }

    #[test]
    fn branches_and_traps() {
        let registers = Registers::new(Arch::Aarch64);
        assert_eq!(decode(0x1000, 0x9400_0002, &registers).flow, Flow::Call(Target::Fixed(0x1008)));
        assert_eq!(decode(0, 0xd63f_0060, &registers).flow, Flow::Call(Target::Register("x3", None)));
        assert_eq!(decode(0, 0xd65f_03c0, &registers).text, "ret");
        assert_eq!(decode(0, 0xd420_7d00, &registers).text, "brk #0x3e8");
        assert_eq!(decode(0, 0, &registers).flow, Flow::Trap);
        assert_eq!(decode(0, 0xd503_201f, &registers).text, ".inst 0xd503201f");
    }

    #[test]
    fn no_word_upsets_it() {
        let registers = Registers::new(Arch::Aarch64);
        let mut word = 1u32;
        for _ in 0..200_000 {
            word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            assert!(!decode(u64::from(word), word, &registers).text.is_empty());
        }
    }
}
