//! Jump tables as gcc and clang write them: small distances from a label, scaled, of 1, 2 or 4 bytes.

use std::collections::HashMap;

use super::super::jump_table::Table;
use super::super::machine::Near;
use super::super::op::{Arith, Extend, Insn, Mem, Op, Part, Reg, Src};

/// An element that was read: table, bytes, extension.
type Element = (u64, u8, Extend);

/// The table behind a jump to a register, from the instructions before it, in their order.
pub(in super::super) fn table(source: Src, near: &Near<'_>) -> Option<Table> {
    let Src::Reg(register) = source else { return None };
    let mut constants: HashMap<Reg, u64> = HashMap::new();
    let mut elements: HashMap<Reg, Element> = HashMap::new();
    let mut targets: HashMap<Reg, Table> = HashMap::new();
    for insn in near.iter().rev() {
        over(insn, &mut constants, &mut elements, &mut targets);
    }
    targets.remove(&register.reg)
}

fn over(
    insn: &Insn,
    constants: &mut HashMap<Reg, u64>,
    elements: &mut HashMap<Reg, Element>,
    targets: &mut HashMap<Reg, Table>,
) {
    for op in &insn.ops {
        let (to, constant, element, target) = match *op {
            Op::Set { to, from: Src::Address(Mem { base: None, index: None, displacement, .. }), .. } => {
                (to.reg, Some(displacement.cast_unsigned()), None, None)
            }
            Op::Set { to, from: Src::Address(Mem { base: Some(base), index: Some((index, by)), .. }), .. } => {
                let target = constants.get(&base).zip(elements.get(&index));
                let target = target.map(|(&base, &element)| table_of(base, element, u64::from(by)));
                (to.reg, None, None, target)
            }
            Op::Set { to, from: Src::Mem(Mem { base: Some(base), index: Some(_), size, .. }), extend } => {
                (to.reg, None, constants.get(&base).map(|&base| (base, size, extend)), None)
            }
            // What was read, extended once more.
            Op::Set { to, from: Src::Reg(Part { reg, offset: 0, size }), extend } => {
                let narrowed = |&(table, bytes, extend_before): &Element| {
                    (table, bytes, if size <= bytes { extend } else { extend_before })
                };
                (to.reg, constants.get(&reg).copied(), elements.get(&reg).map(narrowed), None)
            }
            Op::Compute { to, kind: Arith::Add, left: Src::Reg(left), right: Src::Const(by), .. } => {
                (to.reg, constants.get(&left.reg).map(|base| base.wrapping_add(by)), None, None)
            }
            Op::Compute { to, kind: Arith::Add, left: Src::Reg(left), right: Src::Reg(right), .. } => {
                let sum = |base: Reg, element: Reg| constants.get(&base).zip(elements.get(&element));
                let target = sum(left.reg, right.reg).or_else(|| sum(right.reg, left.reg));
                (to.reg, None, None, target.map(|(&base, &element)| table_of(base, element, 1)))
            }
            Op::Set { to, .. } | Op::MaySet { to, .. } | Op::Compute { to, .. } => (to.reg, None, None, None),
            Op::Write(reg) => (reg, None, None, None),
            Op::Store { .. } | Op::Update { .. } | Op::Fill { .. } => continue,
        };
        put(constants, to, constant);
        put(elements, to, element);
        put(targets, to, target);
    }
}

fn put<T>(map: &mut HashMap<Reg, T>, reg: Reg, value: Option<T>) {
    match value {
        Some(value) => map.insert(reg, value),
        None => map.remove(&reg),
    };
}

fn table_of(base: u64, (start, size, extend): Element, scale: u64) -> Table {
    // A table of whole addresses has no base.
    Table { start, size, extend, base, scale }
}

#[cfg(test)]
mod tests {
    use super::super::lift;
    use super::*;

    const AT: u64 = 0x40_0000;

    /// The table behind a jump to a register, by the words of the code before it: start, bytes, sign, base and scale.
    fn behind(register: u16, words: &[u32]) -> Option<(u64, u8, bool, u64, u64)> {
        let code: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let mut insns = Vec::new();
        let mut at = AT;
        while let Some(bytes) = code.get(usize::try_from((at & !3) - AT).unwrap()..).filter(|bytes| !bytes.is_empty()) {
            let insn = lift(bytes, at).unwrap();
            at = insn.next;
            insns.push(insn);
        }
        let near: Vec<&Insn> = insns.iter().rev().collect();
        let found = table(Src::Reg(Part { reg: register, offset: 0, size: 8 }), &near)?;
        Some((found.start, found.size, found.extend == Extend::Sign, found.base, found.scale))
    }

    /// As gcc writes it: `adrp x1; add x1, x1, #0x40; ldrh w0, [x1, w0, uxtw #1]; adr x1, 400018; add x0, x1, w0, sxth #2`.
    const HALVES: [u32; 5] = [0x9000_0001, 0x9101_0021, 0x7860_5820, 0x1000_0061, 0x8b20_a820];

    #[test]
    fn halves_that_are_scaled_distances_from_a_label() {
        assert_eq!(behind(0, &HALVES), Some((AT + 0x40, 2, true, AT + 0x18, 4)));
    }

    #[test]
    fn bytes_as_clang_writes_them() {
        // adrp x8; add x8, x8, #0x40; adr x9, 400018; ldrb w10, [x8, x0]; add x9, x9, x10, lsl #2
        let words = [0x9000_0008, 0x9101_0108, 0x1000_0089, 0x3860_690a, 0x8b0a_0929];
        assert_eq!(behind(9, &words), Some((AT + 0x40, 1, false, AT + 0x18, 4)));
    }

    #[test]
    fn words_that_are_distances_from_the_table_itself() {
        // adrp x1; add x1, x1, #0x40; ldrsw x0, [x1, w0, uxtw #2]; add x0, x0, x1
        let words = [0x9000_0001, 0x9101_0021, 0xb8a0_5820, 0x8b01_0000];
        assert_eq!(behind(0, &words), Some((AT + 0x40, 4, true, AT + 0x40, 1)));
    }

    #[test]
    fn a_register_that_has_something_else_by_then_is_no_table() {
        // mov x1, x2 before the element is added
        let mut words = HALVES;
        words[3] = 0xaa02_03e1;
        assert_eq!(behind(0, &words), None);
        assert_eq!(behind(3, &HALVES), None, "another register");
        assert_eq!(behind(0, &HALVES[2..]), None, "where the table lies was not seen");
    }
}
