//! `AArch64` instructions that can fault: loads, stores, atomics, branches and traps. Encodings: Arm ARM (DDI 0487), C4.1.
//!
//! Whatever else the processor runs can not raise a memory fault; it is shown as a bare word.

use necropsy_model::{Access, FaultOperand, Registers};

use super::decoded::{Decoded, Flow, MemoryOperand, Target};

const X: [&str; 32] = [
    "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17",
    "x18", "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28", "x29", "x30", "sp",
];

/// Decodes the instruction word at `pc` with the values its operands had.
pub(super) fn decode(pc: u64, word: u32, registers: &Registers) -> Decoded {
    let at = Word { code: word, pc, registers };
    let found = at.trap().or_else(|| at.branch()).or_else(|| at.memory());
    let mut decoded = found.unwrap_or_else(|| Decoded { text: format!(".inst {word:#010x}"), ..Decoded::default() });
    decoded.length = 4;
    decoded
}

struct Word<'a> {
    code: u32,
    pc: u64,
    registers: &'a Registers,
}

/// How an address is made: base, index with its shift, displacement.
struct Addressing {
    base: u32,
    index: Option<(u32, u32)>,
    displacement: i64,
    text: String,
}

impl Word<'_> {
    /// Bits `high` to `low`, both included.
    fn bits(&self, high: u32, low: u32) -> u32 {
        (self.code >> low) & (u32::MAX >> (31 - (high - low)))
    }

    fn signed(&self, high: u32, low: u32) -> i64 {
        let spare = 31 - (high - low);
        i64::from((self.bits(high, low) << spare).cast_signed() >> spare)
    }

    /// The name of a register where 31 is the stack pointer.
    fn name(number: u32) -> &'static str {
        X.get(number as usize).copied().unwrap_or("?")
    }

    fn value(&self, number: u32) -> Option<u64> {
        self.registers.by_name(Self::name(number))
    }

    fn trap(&self) -> Option<Decoded> {
        let name = match (self.code >> 16, self.code & 0xffe0_001f) {
            (0, _) => "udf",
            (_, 0xd420_0000) => "brk",
            (_, 0xd440_0000) => "hlt",
            _ => return None,
        };
        let number = if name == "udf" { self.bits(15, 0) } else { self.bits(20, 5) };
        Some(Decoded { text: format!("{name} #{number:#x}"), flow: Flow::Trap, ..Decoded::default() })
    }

    fn branch(&self) -> Option<Decoded> {
        let direct = |name: &str| {
            let to = self.pc.wrapping_add_signed(self.signed(25, 0) << 2);
            (format!("{name} {to:#x}"), Target::Fixed(to))
        };
        let (text, flow) = match self.bits(31, 26) {
            0b00_0101 => {
                let (text, target) = direct("b");
                (text, Flow::Jump(target))
            }
            0b10_0101 => {
                let (text, target) = direct("bl");
                (text, Flow::Call(target))
            }
            _ => return self.branch_to_register(),
        };
        Some(Decoded { text, flow, ..Decoded::default() })
    }

    /// `br`, `blr`, `ret` and their forms that check a pointer's signature.
    fn branch_to_register(&self) -> Option<Decoded> {
        let plain = self.bits(15, 10) == 0 && self.bits(4, 0) == 0;
        let signed = self.bits(15, 11) == 1;
        if self.bits(31, 25) != 0b110_1011 || self.bits(20, 16) != 31 || !(plain || signed) {
            return None;
        }
        // A return that checks names no register: it is always the link register.
        let operation = self.bits(22, 21);
        let number = if signed && operation == 2 { 30 } else { self.bits(9, 5) };
        let name = Self::name(number);
        let mark = if signed { "a" } else { "" };
        let target = Target::Register(name, self.value(number));
        let (text, flow) = match operation {
            0 => (format!("br{mark} {name}"), Flow::Jump(target)),
            1 => (format!("blr{mark} {name}"), Flow::Call(target)),
            2 if number == 30 => (format!("ret{mark}"), Flow::Return(target)),
            2 => (format!("ret {name}"), Flow::Return(target)),
            _ => return None,
        };
        Some(Decoded { text, flow, ..Decoded::default() })
    }

    fn memory(&self) -> Option<Decoded> {
        if self.code & 0xffff_ffe0 == 0xd50b_7420 {
            // dc zva zeroes a cache block, mostly 64 bytes: memset uses it.
            let base = self.bits(4, 0);
            let at = plain(base, 0, format!("[{}]", Self::name(base)));
            return Some(self.finish(format!("dc zva, {}", Self::name(base)), &at, 64, Access::Write, None));
        }
        match (self.bits(29, 27), self.bits(25, 24)) {
            (0b111, 0b01) => self.unsigned_offset(),
            (0b111, 0b00) => self.other_offset(),
            (0b101, 0b00 | 0b01) => self.pair(),
            (0b001, 0b00) if self.bits(26, 26) == 0 => Some(self.exclusive()),
            (0b001, 0b00 | 0b01) if self.bits(31, 31) == 0 && self.bits(26, 26) == 1 => Some(self.structure()),
            (0b011, 0b00) => self.literal(),
            _ => None,
        }
    }

    /// Name, register and size of a single load or store; `None` for a prefetch, which never faults.
    fn single(&self) -> Option<(String, u64, Access)> {
        let (size, opc, vector) = (self.bits(31, 30), self.bits(23, 22), self.bits(26, 26) == 1);
        let target = self.bits(4, 0);
        if vector {
            let scale = size | (opc & 2) << 1;
            let letter = ["b", "h", "s", "d", "q"].get(scale as usize)?;
            let (name, access) = if opc & 1 == 0 { ("str", Access::Write) } else { ("ldr", Access::Read) };
            return Some((format!("{name} {letter}{target}"), 1 << scale, access));
        }
        let narrow = ["b", "h", "w", ""].get(size as usize)?;
        let (name, wide, access) = match (opc, size) {
            (0, 2 | 3) => ("str".to_owned(), size == 3, Access::Write),
            (0, _) => (format!("str{narrow}"), false, Access::Write),
            (1, 2 | 3) => ("ldr".to_owned(), size == 3, Access::Read),
            (1, _) => (format!("ldr{narrow}"), false, Access::Read),
            (2, 3) | (3, 2 | 3) => return None,
            (_, _) => (format!("ldrs{narrow}"), opc == 2, Access::Read),
        };
        Some((format!("{name} {}", general(target, wide)), 1 << size, access))
    }

    fn unsigned_offset(&self) -> Option<Decoded> {
        let (text, size, access) = self.single()?;
        let base = self.bits(9, 5);
        let displacement = i64::from(self.bits(21, 10)) * size.cast_signed();
        let at = plain(base, displacement, with_offset(base, displacement));
        Some(self.finish(format!("{text}, {}", at.text), &at, size, access, None))
    }

    fn other_offset(&self) -> Option<Decoded> {
        let base = self.bits(9, 5);
        let name = Self::name(base);
        if self.bits(21, 21) == 1 {
            return match self.bits(11, 10) {
                0b00 => self.atomic(base),
                0b10 => self.register_offset(base),
                _ => {
                    let offset = (self.signed(22, 22) << 9 | i64::from(self.bits(20, 12))) << 3;
                    let at = plain(base, offset, with_offset(base, offset));
                    let text = format!("ldra {}, {}", general(self.bits(4, 0), true), at.text);
                    Some(self.finish(text, &at, 8, Access::Read, None))
                }
            };
        }
        let (text, size, access) = self.single()?;
        let offset = self.signed(20, 12);
        let (displacement, operand) = match self.bits(11, 10) {
            0b01 => (0, format!("[{name}], #{offset}")),
            0b11 => (offset, format!("[{name}, #{offset}]!")),
            _ => (offset, with_offset(base, offset)),
        };
        // The register of a post-indexed access is updated after the access; of one that faults, not at all.
        let at = plain(base, displacement, operand);
        Some(self.finish(format!("{text}, {}", at.text), &at, size, access, None))
    }

    fn register_offset(&self, base: u32) -> Option<Decoded> {
        let (text, size, access) = self.single()?;
        let (index, option) = (self.bits(20, 16), self.bits(15, 13));
        let shift = if self.bits(12, 12) == 1 { size.trailing_zeros() } else { 0 };
        let name = general(index, option & 1 == 1);
        let scaled = match (option, shift) {
            (0b011, 0) => String::new(),
            (0b011, _) => format!(", lsl #{shift}"),
            (0b010, _) => format!(", uxtw #{shift}"),
            (0b110, _) => format!(", sxtw #{shift}"),
            _ => format!(", sxtx #{shift}"),
        };
        let operand = format!("[{}, {name}{scaled}]", Self::name(base));
        let at = Addressing { base, index: Some((index, shift)), displacement: 0, text: operand };
        let narrow = option & 1 == 0;
        let mut decoded = self.finish(format!("{text}, {}", at.text), &at, size, access, None);
        if let Some((operand, base)) = decoded.memory.first_mut().zip(self.value(base)) {
            let raw = if index == 31 { Some(0) } else { self.value(index) };
            let extended = raw.map(|raw| match (narrow, option) {
                (true, 0b110) => i64::from(raw as u32 as i32).cast_unsigned(),
                (true, _) => raw & 0xffff_ffff,
                (false, _) => raw,
            });
            operand.address = extended.map(|index| base.wrapping_add(index << shift));
        }
        Some(decoded)
    }

    fn atomic(&self, base: u32) -> Option<Decoded> {
        let size = 1u64 << self.bits(31, 30);
        if self.bits(26, 26) == 1 {
            return None;
        }
        let acquire_load = self.bits(15, 15) == 1 && self.bits(14, 12) == 0b100;
        let operations = ["ldadd", "ldclr", "ldeor", "ldset", "ldsmax", "ldsmin", "ldumax", "ldumin"];
        let name = match (acquire_load, self.bits(15, 15)) {
            (true, _) => "ldapr",
            (false, 1) => "swp",
            (false, _) => operations.get(self.bits(14, 12) as usize)?,
        };
        let at = plain(base, 0, with_offset(base, 0));
        let (target, wide) = (self.bits(4, 0), size == 8);
        let source = if acquire_load { String::new() } else { format!("{}, ", general(self.bits(20, 16), wide)) };
        let text = format!("{name} {source}{}, {}", general(target, wide), at.text);
        let access = if acquire_load { Access::Read } else { Access::ReadWrite };
        Some(self.finish(text, &at, size, access, Some(size)))
    }

    fn pair(&self) -> Option<Decoded> {
        let (opc, vector, load) = (self.bits(31, 30), self.bits(26, 26) == 1, self.bits(22, 22) == 1);
        let each: u64 = match (vector, opc) {
            (true, 0..=2) => 4 << opc,
            (false, 0 | 1) => 4,
            (false, 2) => 8,
            _ => return None,
        };
        let base = self.bits(9, 5);
        let offset = self.signed(21, 15) * each.cast_signed();
        let name = Self::name(base);
        let (displacement, operand) = match self.bits(24, 23) {
            0b01 => (0, format!("[{name}], #{offset}")),
            0b11 => (offset, format!("[{name}, #{offset}]!")),
            _ => (offset, with_offset(base, offset)),
        };
        let letter = |number: u32| match (vector, each) {
            (true, 4) => format!("s{number}"),
            (true, 8) => format!("d{number}"),
            (true, _) => format!("q{number}"),
            (false, _) => general(number, each == 8 || opc == 1),
        };
        let mnemonic = if load { "ldp" } else { "stp" };
        let at = plain(base, displacement, operand);
        let text = format!("{mnemonic} {}, {}, {}", letter(self.bits(4, 0)), letter(self.bits(14, 10)), at.text);
        let access = if load { Access::Read } else { Access::Write };
        Some(self.finish(text, &at, each * 2, access, None))
    }

    /// Exclusive, ordered and compare-and-swap accesses; they all demand alignment.
    fn exclusive(&self) -> Decoded {
        let (size, base) = (1u64 << self.bits(31, 30), self.bits(9, 5));
        let at = plain(base, 0, with_offset(base, 0));
        let wide = size == 8;
        let target = general(self.bits(4, 0), wide);
        let status = general(self.bits(20, 16), false);
        let (load, ordered) = (self.bits(22, 22) == 1, self.bits(15, 15) == 1);
        let (name, access, bytes) = match (self.bits(23, 23), self.bits(21, 21)) {
            (0, 0) if load => (if ordered { "ldaxr" } else { "ldxr" }.to_owned(), Access::Read, size),
            (0, 0) => (format!("{} {status},", if ordered { "stlxr" } else { "stxr" }), Access::Write, size),
            (0, _) if load => ("ldxp".to_owned(), Access::Read, size * 2),
            (0, _) => (format!("stxp {status},"), Access::Write, size * 2),
            (_, 0) if load => ("ldar".to_owned(), Access::Read, size),
            (_, 0) => ("stlr".to_owned(), Access::Write, size),
            (_, _) => (format!("cas {},", general(self.bits(20, 16), wide)), Access::ReadWrite, size),
        };
        self.finish(format!("{name} {target}, {}", at.text), &at, bytes, access, Some(bytes))
    }

    /// `ld1` to `st4`: several vector registers at once.
    fn structure(&self) -> Decoded {
        let base = self.bits(9, 5);
        let load = self.bits(22, 22) == 1;
        let (name, access) = if load { ("ld", Access::Read) } else { ("st", Access::Write) };
        let at = plain(base, 0, with_offset(base, 0));
        self.finish(format!("{name}1 {{v{}}}, {}", self.bits(4, 0), at.text), &at, 0, access, None)
    }

    fn literal(&self) -> Option<Decoded> {
        let to = self.pc.wrapping_add_signed(self.signed(23, 5) << 2);
        let opc = self.bits(31, 30);
        if opc == 3 {
            return None;
        }
        let parts =
            FaultOperand { displacement: to.cast_signed(), text: format!("{to:#x}"), ..FaultOperand::default() };
        let (size, access) = (if opc == 1 { 8 } else { 4 }, Access::Read);
        let operand =
            MemoryOperand { parts, address: Some(to), size, access, alignment: None, lone: None, implicit: false };
        let text = format!("ldr {}, {to:#x}", general(self.bits(4, 0), opc == 1));
        Some(Decoded { text, memory: vec![operand], ..Decoded::default() })
    }

    fn finish(&self, text: String, at: &Addressing, size: u64, access: Access, alignment: Option<u64>) -> Decoded {
        let base = self.value(at.base);
        let parts = FaultOperand {
            base: base.map(|value| (Self::name(at.base), value)),
            index: at.index.and_then(|(index, shift)| Some((Self::name(index), self.value(index)?, 1 << shift))),
            displacement: at.displacement,
            text: at.text.clone(),
        };
        let address = base.map(|base| base.wrapping_add_signed(at.displacement));
        let operand = MemoryOperand { parts, address, size, access, alignment, lone: None, implicit: false };
        Decoded { text, memory: vec![operand], ..Decoded::default() }
    }
}

/// A base register and a displacement.
fn plain(base: u32, displacement: i64, text: String) -> Addressing {
    Addressing { base, index: None, displacement, text }
}

/// A general register as data, where 31 is the zero register.
fn general(number: u32, wide: bool) -> String {
    match (number, wide) {
        (31, true) => "xzr".to_owned(),
        (31, false) => "wzr".to_owned(),
        (_, true) => format!("x{number}"),
        (_, false) => format!("w{number}"),
    }
}

fn with_offset(base: u32, displacement: i64) -> String {
    let name = Word::name(base);
    if displacement == 0 { format!("[{name}]") } else { format!("[{name}, #{displacement}]") }
}

#[cfg(test)]
mod tests {
    use necropsy_model::Arch;

    use super::*;

    /// Text, access, address and size of a word, with x0 = 0x1000, x1 = 3 and sp = 0x8000. The words are `as`'s own.
    fn of(word: u32) -> (String, Option<(Access, u64, u64)>) {
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
        assert_eq!(of(0xf940_0402), ("ldr x2, [x0, #8]".into(), Some((Access::Read, 0x1008, 8))));
        assert_eq!(of(0xb900_0c1f), ("str wzr, [x0, #12]".into(), Some((Access::Write, 0x100c, 4))));
        assert_eq!(of(0x3940_0000), ("ldrb w0, [x0]".into(), Some((Access::Read, 0x1000, 1))));
        assert_eq!(of(0xf861_7802), ("ldr x2, [x0, x1, lsl #3]".into(), Some((Access::Read, 0x1018, 8))));
        assert_eq!(of(0xf85f_8002), ("ldr x2, [x0, #-8]".into(), Some((Access::Read, 0xff8, 8))));
        assert_eq!(of(0xa9bf_7bfd), ("stp x29, x30, [sp, #-16]!".into(), Some((Access::Write, 0x7ff0, 16))));
        assert_eq!(of(0x3dc0_0000), ("ldr q0, [x0]".into(), Some((Access::Read, 0x1000, 16))));
        assert_eq!(of(0x885f_7c02), ("ldxr w2, [x0]".into(), Some((Access::Read, 0x1000, 4))));
        assert_eq!(of(0xb861_0002), ("ldadd w1, w2, [x0]".into(), Some((Access::ReadWrite, 0x1000, 4))));
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
