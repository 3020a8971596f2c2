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
