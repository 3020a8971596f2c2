//! Addresses that several instructions make together, on machines whose instructions are too short for one: the page in a
//! register, and the rest in the instruction that uses it. Folded, they read as on machines that have the address in one place.

use super::machine::Machine;
use super::op::{Arith, Extend, Flags, Flow, Insn, Mem, Op, Part, Reg, Src, mask};

/// Registers that are followed: the integer ones, and those between the parts of an instruction.
const REGISTERS: usize = 34;

/// What is known of the registers at one point, on every way there.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Known {
    values: [u64; REGISTERS],
    /// Those that are known, and of them those that are addresses, by bit.
    known: u64,
    addresses: u64,
}

fn slot(reg: Reg) -> Option<usize> {
    match reg {
        0..=31 => Some(usize::from(reg)),
        96 | 97 => Some(usize::from(reg - 64)),
        _ => None,
    }
}

impl Known {
    /// Nothing is known.
    pub const NOTHING: Self = Self { values: [0; REGISTERS], known: 0, addresses: 0 };

    /// A register's value, and whether it is an address.
    fn get(&self, reg: Reg) -> Option<(u64, bool)> {
        let at = slot(reg)?;
        (self.known >> at & 1 == 1).then(|| (self.values.get(at).copied().unwrap_or(0), self.addresses >> at & 1 == 1))
    }

    fn address(&self, reg: Reg) -> Option<u64> {
        self.get(reg).filter(|&(_, address)| address).map(|(value, _)| value)
    }

    fn put(&mut self, reg: Reg, value: Option<(u64, bool)>) {
        let Some(at) = slot(reg) else { return };
        let bit = 1_u64 << at;
        self.known &= !bit;
        self.addresses &= !bit;
        let Some((value, address)) = value else { return };
        if let Some(slot) = self.values.get_mut(at) {
            *slot = value;
            self.known |= bit;
            self.addresses |= if address { bit } else { 0 };
        }
    }

    /// What holds here and there; whether that is less than before.
    fn meet(&mut self, other: &Self) -> bool {
        let before = (self.known, self.addresses);
        self.known &= other.known;
        for (at, (one, other)) in self.values.iter().zip(&other.values).enumerate() {
            if one != other {
                self.known &= !(1 << at);
            }
        }
        self.addresses &= other.addresses & self.known;
        before != (self.known, self.addresses)
    }

    fn source(&self, source: Src) -> Option<(u64, bool)> {
        match source {
            Src::Const(value) => Some((value, false)),
            Src::Reg(Part { reg, offset: 0, size }) => {
                let (value, address) = self.get(reg)?;
                Some((mask(value, size), address && size == 8))
            }
            Src::Address(mem) => {
                let mem = self.place(mem);
                (mem.base.is_none() && mem.index.is_none()).then(|| (mem.displacement.cast_unsigned(), true))
            }
            Src::Reg(_) | Src::Mem(_) | Src::Other => None,
        }
    }

    /// Over one instruction.
    pub fn step(&mut self, insn: &Insn, machine: &Machine) {
        let before = self.clone();
        for op in &insn.ops {
            match *op {
                Op::Set { to, from, extend } if to.offset == 0 && to.size == 8 => {
                    let narrow = matches!(from, Src::Reg(part) if part.size < 8) && extend == Extend::Sign;
                    self.put(to.reg, before.source(from).filter(|_| !narrow));
                }
                // movk
                Op::Set { to, from: Src::Const(value), .. } if to.size == 2 => {
                    let shift = u32::from(to.offset) * 8;
                    let old = before.get(to.reg).map(|(old, _)| old);
                    self.put(to.reg, old.map(|old| (old & !(0xffff << shift) | value << shift, false)));
                }
                Op::Compute { to, kind, left, right, size } => {
                    let value =
                        before.source(left).zip(before.source(right)).and_then(|((left, one), (right, other))| {
                            let address = (one || other) && matches!(kind, Arith::Add | Arith::Sub);
                            Some((kind.apply(left, right, size)?, address))
                        });
                    self.put(to.reg, value);
                }
                Op::Set { to, .. } | Op::MaySet { to, .. } => self.put(to.reg, None),
                Op::Write(reg) => self.put(reg, None),
                Op::Store { .. } | Op::Update { .. } | Op::Fill { .. } => {}
            }
        }
        if matches!(insn.flow, Flow::Call(_)) {
            for reg in (0..32).filter(|&reg| (machine.is_scratch)(reg)) {
                self.put(reg, None);
            }
        }
    }

    /// An operand whose base is a known address.
    fn place(&self, mem: Mem) -> Mem {
        match mem.base.and_then(|base| self.address(base)) {
            Some(base) => Mem { base: None, displacement: mem.displacement.wrapping_add_unsigned(base), ..mem },
            None => mem,
        }
    }

    fn folded_source(&self, source: Src) -> Src {
        match source {
            Src::Mem(mem) => Src::Mem(self.place(mem)),
            Src::Address(mem) => Src::Address(self.place(mem)),
            other => other,
        }
    }

    /// A number that was put into a register only to be an operand.
    fn number(&self, source: Src, size: u8) -> Src {
        let Src::Reg(part) = source else { return source };
        match self.get(part.reg) {
            Some((value, false)) if part.offset == 0 => Src::Const(mask(value, size.min(part.size))),
            _ => source,
        }
    }

    /// Puts what is known into an instruction.
    pub fn fold(&self, insn: &mut Insn) {
        for op in &mut insn.ops {
            *op = match *op {
                Op::Set { to, from: Src::Const(value), extend } if to.size == 2 => match self.get(to.reg) {
                    Some((old, _)) => {
                        let shift = u32::from(to.offset) * 8;
                        let from = Src::Const(old & !(0xffff << shift) | value << shift);
                        Op::Set { to: Part { offset: 0, size: 8, ..to }, from, extend }
                    }
                    None => *op,
                },
                Op::Set { to, from, extend } => Op::Set { to, from: self.folded_source(from), extend },
                Op::Compute {
                    to,
                    kind: kind @ (Arith::Add | Arith::Sub),
                    left: Src::Reg(left),
                    right: Src::Const(by),
                    size: 8,
                } if self.address(left.reg).is_some() => {
                    let by = if kind == Arith::Add { by } else { by.wrapping_neg() };
                    let place = Mem { base: Some(left.reg), ..Mem::at(by.cast_signed(), 8) };
                    Op::Set { to, from: Src::Address(self.place(place)), extend: Extend::Zero }
                }
                Op::Compute { to, kind, left, right, size } => {
                    let right = self.number(right, size);
                    let left = match (kind, right) {
                        (_, Src::Const(_)) => left,
                        (Arith::Add | Arith::Mul, _) => self.number(left, size),
                        _ => left,
                    };
                    // A constant stands on the right.
                    match (left, right) {
                        (Src::Const(_), Src::Reg(_)) if matches!(kind, Arith::Add | Arith::Mul) => {
                            Op::Compute { to, kind, left: right, right: left, size }
                        }
                        _ => Op::Compute { to, kind, left, right, size },
                    }
                }
                Op::Store { to, from } => Op::Store { to: self.place(to), from },
                Op::Update { to, kind, right } => Op::Update { to: self.place(to), kind, right },
                Op::Fill { to, from } => Op::Fill { to: self.place(to), from },
                other => other,
            };
        }
        for flags in [&mut insn.flags, &mut insn.tests] {
            *flags = match *flags {
                Flags::Compare { left, right, size } => Flags::Compare { left, right: self.number(right, size), size },
                Flags::Test { left, right, size } if left != right => {
                    Flags::Test { left, right: self.number(right, size), size }
                }
                other => other,
            };
        }
    }
}

/// Folds the instructions of a function: what every way to one gives its registers.
pub(super) fn fold(insns: &mut [Insn], entries: &[usize], after: &[Vec<usize>], machine: &Machine) {
    let mut known: Vec<Option<Box<Known>>> = vec![None; insns.len()];
    let mut open: Vec<usize> = entries.to_vec();
    for &entry in entries {
        if let Some(known) = known.get_mut(entry) {
            *known = Some(Box::new(Known::NOTHING));
        }
    }
    while let Some(at) = open.pop() {
        let (Some(Some(here)), Some(insn)) = (known.get(at), insns.get(at)) else { continue };
        let mut behind = here.clone();
        behind.step(insn, machine);
        for &next in after.get(at).into_iter().flatten() {
            let changed = match known.get_mut(next) {
                Some(Some(there)) => there.meet(&behind),
                Some(there) => {
                    *there = Some(behind.clone());
                    true
                }
                None => false,
            };
            if changed {
                open.push(next);
            }
        }
    }
    for (insn, known) in insns.iter_mut().zip(&known) {
        if let Some(known) = known {
            known.fold(insn);
        }
    }
}

#[cfg(test)]
mod tests {
    use necropsy_model::Arch;

    use super::super::machine::Convention;
    use super::*;

    const AT: u64 = 0x40_0000;
    const ADRP_X0: u32 = 0x9000_0000; // adrp x0, 400000
    const LOAD: u32 = 0xf940_0c01; // ldr x1, [x0, #24]

    /// Instructions one behind the other, folded; `after` says who follows, else the next one does.
    fn folded(words: &[u32], after: Option<Vec<Vec<usize>>>) -> Vec<Insn> {
        let machine = Machine::of(Arch::Aarch64, Convention::C).unwrap();
        let lifted = (0_u64..).zip(words).map(|(index, word)| {
            let insn = (machine.lift)(&word.to_le_bytes(), AT + 4 * index).unwrap();
            assert_eq!(insn.next, AT + 4 * index + 4, "of one part");
            insn
        });
        let mut insns: Vec<Insn> = lifted.collect();
        let straight = || (1..=insns.len()).map(|next| if next < insns.len() { vec![next] } else { vec![] }).collect();
        let after = after.unwrap_or_else(straight);
        fold(&mut insns, &[0], &after, machine);
        insns
    }

    /// Where a load reads from: the address, when it is folded.
    fn read_at(insn: &Insn) -> Option<i64> {
        match insn.ops.as_slice() {
            [Op::Set { from: Src::Mem(Mem { base: None, displacement, .. }), .. }] => Some(*displacement),
            _ => None,
        }
    }

    const PLACE: i64 = AT.cast_signed() + 24;

    #[test]
    fn a_page_and_the_rest_are_one_address() {
        let insns = folded(&[ADRP_X0, LOAD, 0x9100_2002, 0xf900_1001], None);
        assert_eq!(read_at(&insns[1]), Some(PLACE));
        // add x2, x0, #8
        let place = Src::Address(Mem::at(AT.cast_signed() + 8, 8));
        assert!(matches!(insns[2].ops.as_slice(), [Op::Set { from, .. }] if *from == place), "{:?}", insns[2]);
        // str x1, [x0, #32]
        let there = |to: &Mem| to.base.is_none() && to.displacement == AT.cast_signed() + 32;
        assert!(matches!(insns[3].ops.as_slice(), [Op::Store { to, .. }] if there(to)), "{:?}", insns[3]);
    }

    #[test]
    fn a_number_in_two_halves_is_one_operand() {
        // mov w1, #0x5678; movk w1, #0x1234, lsl #16; cmp w2, w1
        let insns = folded(&[0x528a_cf01, 0x72a2_4681, 0x6b01_005f], None);
        assert!(matches!(insns[2].flags, Flags::Compare { right: Src::Const(0x1234_5678), .. }), "{:?}", insns[2]);
    }

    #[test]
    fn what_only_one_way_gives_is_not_known() {
        let ways = || Some(vec![vec![1, 2], vec![3], vec![3], vec![]]);
        let nop = 0xd503_201f;
        assert_eq!(read_at(&folded(&[nop, ADRP_X0, ADRP_X0, LOAD], ways())[3]), Some(PLACE));
        // mov x0, x5 on the other way
        assert_eq!(read_at(&folded(&[nop, ADRP_X0, 0xaa05_03e0, LOAD], ways())[3]), None);
    }

    #[test]
    fn a_call_leaves_only_what_it_has_to() {
        let call = 0x97ff_fffe; // bl
        assert_eq!(read_at(&folded(&[ADRP_X0, call, LOAD], None)[2]), None);
        // adrp x19; bl; ldr x1, [x19, #24]
        assert_eq!(read_at(&folded(&[0x9000_0013, call, 0xf940_0e61], None)[2]), Some(PLACE));
    }
}
