//! A64 instruction words: the fields that several readers of code need. Encodings: Arm ARM (DDI 0487), C4.1.
//!
//! Words are fixed in width and in groups; a reader takes the group that it asks for, and knows nothing of the others.

/// An instruction word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word(pub u32);

/// The register that is the stack pointer as a base and zero as data.
pub(crate) const THIRTY_ONE: u8 = 31;

impl Word {
    /// Bits `high` to `low`, both included.
    pub fn bits(self, high: u32, low: u32) -> u32 {
        (self.0 >> low) & (u32::MAX >> (31 - (high - low)))
    }

    /// The same as a signed number.
    pub fn signed(self, high: u32, low: u32) -> i64 {
        let spare = 31 - (high - low);
        i64::from((self.bits(high, low) << spare).cast_signed() >> spare)
    }

    /// One bit.
    pub fn bit(self, at: u32) -> bool {
        self.0 >> at & 1 == 1
    }

    /// The bits under a mask are these.
    pub fn is(self, mask: u32, value: u32) -> bool {
        self.0 & mask == value
    }

    /// A register number of five bits from this one on.
    pub fn register(self, low: u32) -> u8 {
        (self.0 >> low & 31) as u8
    }

    /// The trap that a word is: `udf`, `brk`, `hlt`.
    pub fn trap(self) -> Option<&'static str> {
        match (self.0 >> 16, self.0 & 0xffe0_001f) {
            (0, _) => Some("udf"),
            (_, 0xd420_0000) => Some("brk"),
            (_, 0xd440_0000) => Some("hlt"),
            _ => None,
        }
    }

    /// Where an unconditional branch or a call goes, from an address.
    pub fn branch(self, at: u64) -> Option<Branch> {
        let link = match self.bits(31, 26) {
            0b00_0101 => false,
            0b10_0101 => true,
            _ => return self.branch_to_register(),
        };
        Some(Branch {
            link,
            ret: false,
            checked: false,
            to: To::Address(at.wrapping_add_signed(self.signed(25, 0) << 2)),
        })
    }

    /// `br`, `blr`, `ret` and their forms that check a pointer's signature.
    fn branch_to_register(self) -> Option<Branch> {
        let plain = self.bits(15, 10) == 0 && self.bits(4, 0) == 0;
        let checked = self.bits(15, 11) == 1;
        if self.bits(31, 25) != 0b110_1011 || self.bits(20, 16) != 31 || !(plain || checked) {
            return None;
        }
        // A return that checks names no register: it is always the link register.
        let operation = self.bits(22, 21);
        let register = if checked && operation == 2 { 30 } else { self.register(5) };
        (operation < 3).then_some(Branch {
            link: operation == 1,
            ret: operation == 2,
            checked,
            to: To::Register(register),
        })
    }

    /// What a load or store does; `None` for what is neither, and for a prefetch, which never faults.
    pub fn access(self, at: u64) -> Option<Access> {
        if self.is(0xffff_ffe0, 0xd50b_7420) {
            // dc zva zeroes a cache block, mostly 64 bytes: memset uses it.
            let access = Access::new(What::ZeroBlock, 64, self.register(0));
            return Some(access);
        }
        match (self.bits(29, 27), self.bits(25, 24)) {
            (0b111, 0b01) => {
                let access = self.single()?;
                let displacement = i64::from(self.bits(21, 10)) * i64::from(access.size);
                Some(Access { displacement, ..access })
            }
            (0b111, 0b00) => self.other_offset(),
            (0b101, 0b00 | 0b01) => self.pair(),
            (0b001, 0b00) if !self.bit(26) => Some(self.exclusive()),
            (0b001, 0b00 | 0b01) if !self.bit(31) && self.bit(26) => Some(self.structure()),
            (0b011, 0b00) => self.literal(at),
            // ldapur, stlur: ordered, with an offset.
            (0b011, 0b01) if !self.bit(26) && !self.bit(21) && self.bits(11, 10) == 0 => {
                let access = self.single()?;
                let what = match access.what {
                    What::Store => What::OrderedStore,
                    What::Load { signed: false, .. } => What::OrderedLoad,
                    other => other,
                };
                Some(Access { what, displacement: self.signed(20, 12), ..access })
            }
            _ => None,
        }
    }

    /// Direction, register and size of a single load or store.
    fn single(self) -> Option<Access> {
        let (size, opc, vector) = (self.bits(31, 30), self.bits(23, 22), self.bit(26));
        let base = self.register(5);
        let access = if vector {
            let scale = size | (opc & 2) << 1;
            let what = if opc & 1 == 0 { What::Store } else { What::Load { signed: false, wide: false } };
            (scale <= 4).then(|| Access::new(what, 1 << scale, base))?
        } else {
            let what = match (opc, size) {
                (0, _) => What::Store,
                (1, _) => What::Load { signed: false, wide: size == 3 },
                (2, 3) | (3, 2 | 3) => return None,
                _ => What::Load { signed: true, wide: opc == 2 },
            };
            Access::new(what, 1 << size, base)
        };
        Some(Access { vector, registers: [Some(self.register(0)), None], ..access })
    }

    fn other_offset(self) -> Option<Access> {
        let base = self.register(5);
        if self.bit(21) {
            return match self.bits(11, 10) {
                0b00 => self.atomic(base),
                0b10 => {
                    let access = self.single()?;
                    let shift = if self.bit(12) { access.size.trailing_zeros() as u8 } else { 0 };
                    let option = self.bits(15, 13) as u8;
                    let index = Index { register: self.register(16), option, shift };
                    (option & 2 == 2).then_some(Access { index: Some(index), ..access })
                }
                // ldraa, ldrab: a load through a pointer whose signature is checked.
                _ => {
                    let displacement = (self.signed(22, 22) << 9 | i64::from(self.bits(20, 12))) << 3;
                    let update = self.bit(11).then_some(Update { by: displacement, before: true });
                    let what = What::Load { signed: false, wide: true };
                    let registers = [Some(self.register(0)), None];
                    Some(Access { displacement, update, checked: true, registers, ..Access::new(what, 8, base) })
                }
            };
        }
        let access = self.single()?;
        let by = self.signed(20, 12);
        let (displacement, update) = match self.bits(11, 10) {
            // The register of a post-indexed access is updated after the access; of one that faults, not at all.
            0b01 => (0, Some(Update { by, before: false })),
            0b11 => (by, Some(Update { by, before: true })),
            _ => (by, None),
        };
        Some(Access { displacement, update, ..access })
    }

    fn atomic(self, base: u8) -> Option<Access> {
        if self.bit(26) {
            return None;
        }
        let acquire_load = self.bit(15) && self.bits(14, 12) == 0b100;
        let what = match (acquire_load, self.bit(15)) {
            (true, _) => What::OrderedLoad,
            (false, true) => What::Swap,
            (false, false) => What::Atomic(self.bits(14, 12) as u8),
        };
        let size = 1 << self.bits(31, 30);
        let registers = [Some(self.register(0)), None];
        let operand = (!acquire_load).then(|| self.register(16));
        Some(Access { registers, operand, ..Access::new(what, size, base) })
    }

    fn pair(self) -> Option<Access> {
        let (opc, vector, load) = (self.bits(31, 30), self.bit(26), self.bit(22));
        let size: u8 = match (vector, opc) {
            (true, 0..=2) => 4 << opc,
            (false, 0 | 1) => 4,
            (false, 2) => 8,
            _ => return None,
        };
        let signed = !vector && opc == 1;
        let what = if load { What::Load { signed, wide: size == 8 || signed } } else { What::Store };
        let by = self.signed(21, 15) * i64::from(size);
        let (displacement, update) = match self.bits(24, 23) {
            0b01 => (0, Some(Update { by, before: false })),
            0b11 => (by, Some(Update { by, before: true })),
            _ => (by, None),
        };
        let registers = [Some(self.register(0)), Some(self.register(10))];
        Some(Access { registers, vector, displacement, update, ..Access::new(what, size, self.register(5)) })
    }

    /// Exclusive, ordered and compare-and-swap accesses; they all demand alignment.
    fn exclusive(self) -> Access {
        let (load, pair) = (self.bit(22), self.bit(21));
        let second = Some(self.register(10));
        let status = Some(self.register(16));
        let (what, operand, second) = match (self.bit(23), pair) {
            (false, _) if load => (What::ExclusiveLoad, None, second.filter(|_| pair)),
            (false, _) => (What::ExclusiveStore, status, second.filter(|_| pair)),
            (true, false) if load => (What::OrderedLoad, None, None),
            (true, false) => (What::OrderedStore, None, None),
            (true, true) => (What::CompareSwap, status, None),
        };
        let registers = [Some(self.register(0)), second];
        let access = Access::new(what, 1 << self.bits(31, 30), self.register(5));
        Access { registers, operand, acquires: self.bit(15), ..access }
    }

    /// `ld1` to `st4`: several vector registers at once.
    fn structure(self) -> Access {
        let what = if self.bit(22) { What::Load { signed: false, wide: false } } else { What::Store };
        // One to four whole registers, one after the other; every other form mixes elements.
        let count = match (self.bit(24), self.bits(15, 12)) {
            (false, 0b0111) => 1,
            (false, 0b1010) => 2,
            (false, 0b0110) => 3,
            (false, 0b0010) => 4,
            _ => 0,
        };
        let size = if self.bit(30) { 16 } else { 8 };
        let base = self.register(5);
        let update = (self.bit(23) && self.bits(20, 16) == 31 && count > 0)
            .then(|| Update { by: i64::from(size) * i64::from(count), before: false });
        let registers = [Some(self.register(0)), None];
        let lost = self.bit(23) && update.is_none();
        Access { vector: true, update, registers, structure: Some(count), lost, ..Access::new(what, size, base) }
    }

    fn literal(self, at: u64) -> Option<Access> {
        let to = at.wrapping_add_signed(self.signed(23, 5) << 2);
        let (opc, vector) = (self.bits(31, 30), self.bit(26));
        let size: u8 = match (vector, opc) {
            (true, 0..=2) => 4 << opc,
            (false, 0 | 2) => 4,
            (false, 1) => 8,
            _ => return None,
        };
        let signed = !vector && opc == 2;
        let what = What::Load { signed, wide: signed || size == 8 };
        let registers = [Some(self.register(0)), None];
        let access = Access { vector, registers, displacement: to.cast_signed(), ..Access::new(what, size, 0) };
        Some(Access { base: None, ..access })
    }

    /// The constant of a logical instruction (Arm ARM, `DecodeBitMasks`).
    pub fn bit_mask(self) -> Option<u64> {
        let (wide, n, rotation, ones) = (self.bit(31), self.bits(22, 22), self.bits(21, 16), self.bits(15, 10));
        if n == 1 && !wide {
            return None;
        }
        let length = 31_u32.checked_sub((n << 6 | (!ones & 0x3f)).leading_zeros())?;
        let levels = (1_u32 << length) - 1;
        let size = 1_u32 << length;
        let (ones, rotation) = (ones & levels, rotation & levels);
        if length < 1 || ones == levels {
            return None;
        }
        let whole = u64::MAX >> (64 - size);
        let run = u64::MAX >> (63 - ones);
        let element = if rotation == 0 { run } else { (run >> rotation | run << (size - rotation)) & whole };
        let mut mask = 0;
        for at in (0..64).step_by(size as usize) {
            mask |= element << at;
        }
        Some(if wide { mask } else { mask & 0xffff_ffff })
    }
}

/// A branch that is always taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Branch {
    /// It leaves the address behind it in the link register.
    pub link: bool,
    /// It is a return.
    pub ret: bool,
    /// It checks the signature of the pointer.
    pub checked: bool,
    pub to: To,
}

/// Where a branch goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum To {
    Address(u64),
    Register(u8),
}

/// What is done to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// To registers; sign-extended, to 64 bits.
    Load {
        signed: bool,
        wide: bool,
    },
    /// From registers.
    Store,
    OrderedLoad,
    OrderedStore,
    ExclusiveLoad,
    /// The operand register says whether it was done.
    ExclusiveStore,
    /// Adds, clears bits, flips bits, sets bits, or takes the larger or smaller of two, in the order of the encoding.
    Atomic(u8),
    Swap,
    CompareSwap,
    ZeroBlock,
}

/// A register that is added to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Index {
    pub register: u8,
    /// How it is extended: 2 `uxtw`, 3 `lsl`, 6 `sxtw`, 7 `sxtx`.
    pub option: u8,
    pub shift: u8,
}

impl Index {
    /// Its value as it is added, from that of the whole register.
    pub fn extended(self, value: u64) -> u64 {
        match self.option {
            2 => value & 0xffff_ffff,
            6 => i64::from(value as u32 as i32).cast_unsigned(),
            _ => value,
        }
    }
}

/// A base register that is changed on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Update {
    pub by: i64,
    /// Before the access, so that its address is the new one.
    pub before: bool,
}

/// A load or store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    pub what: What,
    /// Bytes of each register.
    pub size: u8,
    /// Registers that are loaded or stored.
    pub registers: [Option<u8>; 2],
    /// They are vector registers.
    pub vector: bool,
    /// Base register; none where the displacement is the address itself.
    pub base: Option<u8>,
    pub index: Option<Index>,
    pub displacement: i64,
    pub update: Option<Update>,
    /// Another register: of an exclusive store its status, of an atomic one what it combines with.
    pub operand: Option<u8>,
    /// An exclusive access orders those behind it.
    pub acquires: bool,
    /// The pointer's signature is checked.
    pub checked: bool,
    /// Several vector registers: how many whole ones one after the other, 0 for a form that mixes elements.
    pub structure: Option<u8>,
    /// The base is changed in a way that is not told.
    pub lost: bool,
}

impl Access {
    fn new(what: What, size: u8, base: u8) -> Self {
        Self {
            what,
            size,
            registers: [None; 2],
            vector: false,
            base: Some(base),
            index: None,
            displacement: 0,
            update: None,
            operand: None,
            acquires: false,
            checked: false,
            structure: None,
            lost: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_of_logical_instructions() {
        // and x0, x0, #0xff; and w0, w0, #0xfffffff0; orr x0, xzr, #0x5555555555555555; and x0, x0, #0xfffffffffffff000
        assert_eq!(Word(0x9240_1c00).bit_mask(), Some(0xff));
        assert_eq!(Word(0x121c_6c00).bit_mask(), Some(0xffff_fff0));
        assert_eq!(Word(0xb200_f3e0).bit_mask(), Some(0x5555_5555_5555_5555));
        assert_eq!(Word(0x9274_cc00).bit_mask(), Some(0xffff_ffff_ffff_f000));
    }

    #[test]
    fn no_word_upsets_it() {
        let mut word = 1_u32;
        for _ in 0..500_000 {
            word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let it = Word(word);
            let _ = (it.access(u64::from(word)), it.branch(u64::MAX - 3), it.bit_mask(), it.trap());
        }
    }
}
