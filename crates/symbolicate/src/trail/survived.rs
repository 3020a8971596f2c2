//! Accesses on the way that the process survived: what was used as an address there was one.

use super::Tracer;
use super::chase::NULL_PAGES;
use super::context::Ctx;
use super::definition::Loc;
use super::op::{Extend, Flags, Flow, Insn, Mem, Op, Reg, Src};

/// Bytes behind an address that are accessed with it.
const REACH: i64 = 4096;

impl Tracer<'_, '_, '_> {
    /// An instruction that was passed before `origin` would have ended the process, had the place held the value: it, or one
    /// right behind it, accesses memory there.
    pub fn survived(&mut self, ctx: Ctx, at: usize, origin: usize, loc: Loc, value: Option<u64>) -> bool {
        /// Instructions between a copy and its use.
        const NEAR: usize = 4;
        let machine = self.machine;
        let never = |value: u64| value < NULL_PAGES || !machine.is_canonical(value);
        // An object whose address is lost was there.
        if value.is_some_and(super::load::is_lost_object) {
            return false;
        }
        if at == origin || loc.size() != 8 || !value.is_some_and(never) {
            return false;
        }
        let function = self.function(ctx);
        let Some(insn) = function.insns.get(at) else { return false };
        if let Loc::Reg(part) = loc
            && accesses(insn, part.reg)
        {
            return true;
        }
        // A copy that is used at once.
        let copied = insn.ops.iter().find_map(|op| match *op {
            Op::Set { to, from, extend: Extend::Zero } if to.size == 8 && self.is_place(ctx, at, from, loc) => {
                Some(to.reg)
            }
            _ => None,
        });
        let Some(reg) = copied else { return false };
        let mut here = at;
        for _ in 0..NEAR {
            let &[next] = function.after(here) else { return false };
            here = next;
            let Some(insn) = function.insns.get(here) else { return false };
            if here == origin || function.before(here).len() != 1 || matches!(insn.flow, Flow::Call(_)) {
                return false;
            }
            if accesses(insn, reg) {
                return true;
            }
            let writes = |op: &Op| match *op {
                Op::Set { to, .. } | Op::MaySet { to, .. } | Op::Compute { to, .. } => to.reg == reg,
                Op::Write(other) => other == reg,
                _ => false,
            };
            if insn.ops.iter().any(writes) {
                return false;
            }
        }
        false
    }
}

/// An instruction reads or writes memory near the address in a register.
fn accesses(insn: &Insn, reg: Reg) -> bool {
    let near = |mem: &Mem| {
        mem.base == Some(reg) && mem.index.is_none() && !mem.thread_local && (0..REACH).contains(&mem.displacement)
    };
    let reads = |source: &Src| matches!(source, Src::Mem(mem) if near(mem));
    let by_op = insn.ops.iter().any(|op| match op {
        Op::Set { from, .. } => reads(from),
        Op::Compute { left, right, .. } => reads(left) || reads(right),
        Op::Store { to, from } => near(to) || reads(from),
        Op::Update { to, right, .. } => near(to) || reads(right),
        Op::MaySet { .. } | Op::Write(_) | Op::Fill { .. } => false,
    });
    let by_flags = matches!(&insn.flags, Flags::Compare { left, right, .. } | Flags::Test { left, right, .. }
        if reads(left) || reads(right));
    by_op || by_flags || matches!(&insn.flow, Flow::Call(source) | Flow::JumpTo(source) if reads(source))
}

#[cfg(test)]
mod tests {
    use super::super::x86_64::lift;
    use super::*;

    #[test]
    fn what_accesses_memory_at_a_register_and_what_does_not() {
        let accesses_at = |bytes: &[u8], reg| accesses(&lift(bytes, 0x1000).unwrap(), reg);
        // mov 8(%rax),%rdx; cmpl $0,(%rax); mov %rdx,8(%rax)
        assert!(accesses_at(&[0x48, 0x8b, 0x50, 8], 0));
        assert!(accesses_at(&[0x83, 0x38, 0], 0));
        assert!(accesses_at(&[0x48, 0x89, 0x50, 8], 0));
        // lea 8(%rax),%rdx computes; mov (%rdx,%rax),%rcx may have its address from either; mov %rax,%rdx copies.
        assert!(!accesses_at(&[0x48, 0x8d, 0x50, 8], 0));
        assert!(!accesses_at(&[0x48, 0x8b, 0x0c, 0x02], 0));
        assert!(!accesses_at(&[0x48, 0x89, 0xc2], 0));
    }
}
