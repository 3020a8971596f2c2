//! Jump tables as gcc and clang write them: addresses, or distances from the table.

use super::super::jump_table::Table;
use super::super::machine::Near;
use super::super::op::{Extend, Mem, Op, Reg, Src};

/// The table behind an indirect jump, from the instructions before it.
pub(in super::super) fn table(source: Src, near: &Near<'_>) -> Option<Table> {
    let absolute = |mem: &Mem| {
        (mem.base.is_none() && mem.index.is_some_and(|(_, scale)| scale == 8))
            .then_some(mem.displacement.cast_unsigned())
    };
    let addresses = |start| Table { start, size: 8, extend: Extend::Zero, base: 0, scale: 1 };
    if let Src::Mem(mem) = source {
        let base = absolute(&mem).or_else(|| {
            let base = mem.base.filter(|_| mem.index.is_some_and(|(_, scale)| scale == 8))?;
            address_in(base, near)
        });
        return base.map(addresses);
    }
    let Src::Reg(register) = source else { return None };
    // mov table(,%rax,8), %rax; jmp *%rax
    let loaded = near.iter().find_map(|insn| {
        insn.ops.iter().find_map(|op| match op {
            Op::Set { to, from: Src::Mem(mem), .. } if to.reg == register.reg && mem.size == 8 => Some(*mem),
            _ => None,
        })
    });
    if let Some(mem) = loaded
        && let Some(base) = absolute(&mem).or_else(|| address_in(mem.base?, near))
    {
        return Some(addresses(base));
    }
    // movslq (%rdx,%rax,4), %rax; add %rdx, %rax; jmp *%rax
    let distances = near.iter().find_map(|insn| {
        insn.ops.iter().find_map(|op| match op {
            Op::Set { from: Src::Mem(mem), extend: Extend::Sign, .. } if mem.size == 4 => {
                mem.index.filter(|&(_, scale)| scale == 4)?;
                mem.base
            }
            _ => None,
        })
    });
    let base = distances.and_then(|base| address_in(base, near))?;
    Some(Table { start: base, size: 4, extend: Extend::Sign, base, scale: 1 })
}

/// The constant address that one of the instructions put into a register.
fn address_in(register: Reg, near: &Near<'_>) -> Option<u64> {
    near.iter().find_map(|insn| {
        insn.ops.iter().find_map(|op| match op {
            Op::Set { to, from: Src::Address(mem), .. } if to.reg == register && mem.base.is_none() => {
                Some(mem.displacement.cast_unsigned())
            }
            _ => None,
        })
    })
}
