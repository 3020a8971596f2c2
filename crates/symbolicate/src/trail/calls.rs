//! Calls on the way: what they change, what they were given, what they returned.

use super::Tracer;
use super::context::Ctx;
use super::definition::{Kind, Loc};
use super::op::{Flow, Mem, Op, Part, Reg, Src};
use super::x86_64::{ARGUMENTS, RAX};

impl Tracer<'_, '_, '_> {
    /// A call changes a register that it need not preserve. gcc knows which ones a function of the same unit leaves alone
    /// (`-fipa-ra`), and keeps values there.
    pub fn clobbers(&mut self, ctx: Ctx, call: usize, reg: Reg) -> bool {
        let Some(insn) = self.insn(ctx, call) else { return true };
        let Flow::Call(Src::Const(target)) = insn.flow else { return true };
        self.function_clobbers(target, reg, ctx, call, 3)
    }

    pub fn function_clobbers(&mut self, target: u64, reg: Reg, ctx: Ctx, call: usize, left: usize) -> bool {
        if let Some(&known) = self.clobbered.get(&(target, reg)) {
            return known;
        }
        self.clobbered.insert((target, reg), true);
        if left == 0 || self.is_library(target) || self.behind_plt(target) != target {
            return true;
        }
        let Some(callee) = self.enter(ctx, call, target) else { return true };
        let function = self.function(callee);
        let mut clobbers = function.incomplete || !function.tails.is_empty();
        for insn in &function.insns {
            clobbers |= insn.ops.iter().any(|op| match *op {
                Op::Set { to, .. } | Op::MaySet { to, .. } | Op::Compute { to, .. } => to.reg == reg,
                Op::Write(other) => other == reg,
                _ => false,
            });
            if clobbers {
                break;
            }
            clobbers = match insn.flow {
                Flow::Call(Src::Const(next)) => self.function_clobbers(next, reg, ctx, call, left - 1),
                Flow::Call(_) => true,
                _ => false,
            };
        }
        self.clobbered.insert((target, reg), clobbers);
        clobbers
    }

    /// What a call can have to do with a place in memory: it got a pointer to the object around it, or returned one.
    pub fn touches(&mut self, ctx: Ctx, call: usize, address: u64) -> Option<Kind> {
        if let Some(object) = self.result_of(ctx, call)
            && self.covers(object, address)
            && !self.is_own(ctx, address)
            && !self.on_stack(address)
        {
            return Some(Kind::Maker(object));
        }
        if !self.on_stack(address)
            && !self.is_static(address)
            && let Some(object) = self.stored_result(ctx, call, address)
        {
            return Some(Kind::Maker(object));
        }
        let arguments = self.arguments(ctx, call);
        if self.seeking {
            let given = arguments.iter().any(|&(_, argument)| argument > 0xffff);
            return (given || self.releases_something(ctx, call)).then_some(Kind::Out);
        }
        let reaches =
            |&(_, argument): &(usize, u64)| self.covers(argument, address) || self.leads_to(argument, address);
        if arguments.iter().any(reaches) {
            return Some(Kind::Out);
        }
        self.part_given |= !self.on_stack(address) && !self.part_given && self.given_part_of(ctx, call, address);
        None
    }

    fn releases_something(&mut self, ctx: Ctx, call: usize) -> bool {
        let Some(Flow::Call(target)) = self.insn(ctx, call).map(|insn| insn.flow) else { return false };
        let name = self.target(ctx, call, target).and_then(|target| self.function_name(target));
        name.is_some_and(|name| super::memory::releases(&name))
    }

    /// An argument that can not be told is some place in the object around an address: an element of an array.
    fn given_part_of(&mut self, ctx: Ctx, call: usize, address: u64) -> bool {
        ARGUMENTS.iter().take(3).any(|&reg| {
            let part = Part { reg, offset: 0, size: 8 };
            if self.eval(ctx, call, Src::Reg(part)).is_some() {
                return false;
            }
            let word = |reg| Src::Reg(Part { reg, offset: 0, size: 8 });
            let defs = self.reaching(ctx, call, Loc::Reg(part), None);
            defs.iter().any(|def| match def.kind {
                Kind::Address(mem) => mem
                    .base
                    .and_then(|base| self.eval(ctx, def.at, word(base)))
                    .is_some_and(|base| self.covers(base, address)),
                Kind::Compute { kind: super::op::Arith::Add, left, right, .. } => [left, right]
                    .into_iter()
                    .any(|source| self.eval(ctx, def.at, source).is_some_and(|base| self.covers(base, address))),
                _ => false,
            })
        })
    }

    /// What a call returned, by what became of it.
    pub fn result_of(&mut self, ctx: Ctx, call: usize) -> Option<u64> {
        /// Instructions behind a call in which its result is put away.
        const REACH: usize = 8;
        if let Some(&(_, known)) = self.run(ctx).results.iter().find(|&&(at, _)| at == call) {
            return Some(known);
        }
        let key = (ctx, call);
        if let Some(&known) = self.result_known.get(&key) {
            return known;
        }
        self.result_known.insert(key, None);
        let found = match self.first_argument_returned(ctx, call) {
            Some(argument) => Some(argument),
            None => self.find_result(ctx, call, REACH),
        };
        self.result_known.insert(key, found);
        found
    }

    pub fn find_result(&mut self, ctx: Ctx, call: usize, reach: usize) -> Option<u64> {
        let function = self.function(ctx);
        let mut at = call;
        for _ in 0..reach {
            let &[next] = function.after(at) else { return None };
            at = next;
            let insn = function.insns.get(at)?;
            for op in &insn.ops {
                let kept = match *op {
                    Op::Set { to, from: Src::Reg(from), .. } if from.reg == RAX && from.size == 8 && to.reg != RAX => {
                        let &[behind] = function.after(at) else { return None };
                        self.eval(ctx, behind, Src::Reg(Part { reg: to.reg, offset: 0, size: 8 }))
                    }
                    Op::Store { to, from: Src::Reg(from) } if from.reg == RAX && from.size == 8 => {
                        let &[behind] = function.after(at) else { return None };
                        let address = self.address_of(ctx, at, &to)?;
                        self.eval_memory(ctx, behind, address, 8)
                    }
                    _ => continue,
                };
                if kept.is_some() {
                    return kept;
                }
            }
            if matches!(insn.flow, Flow::Call(_))
                || self.may_change(ctx, at, Loc::Reg(Part { reg: RAX, offset: 0, size: 8 }))
            {
                return None;
            }
        }
        None
    }

    /// The object around an address, when the result of a call was put into an array, and the array now has a pointer to it.
    pub fn stored_result(&mut self, ctx: Ctx, call: usize, address: u64) -> Option<u64> {
        /// Instructions behind a call in which its result is put away.
        const REACH: usize = 8;
        /// Elements of the array that are looked at.
        const ELEMENTS: u64 = 64;
        let function = self.function(ctx);
        let mut at = call;
        for _ in 0..REACH {
            let &[next] = function.after(at) else { return None };
            at = next;
            let insn = function.insns.get(at)?;
            for op in &insn.ops {
                let Op::Store { to, from: Src::Reg(from) } = *op else { continue };
                if from.reg != RAX || from.size != 8 || to.index.is_none() {
                    continue;
                }
                let array = self.address_of(ctx, at, &Mem { index: None, ..to })?;
                let elements = (0..ELEMENTS).map_while(|index| self.word(array.wrapping_add(index * 8), 8));
                let elements: Vec<u64> = elements.collect();
                return elements.into_iter().find(|&element| self.covers(element, address));
            }
            let rax = Loc::Reg(Part { reg: RAX, offset: 0, size: 8 });
            if matches!(insn.flow, Flow::Call(_)) || self.may_change(ctx, at, rax) {
                return None;
            }
        }
        None
    }

    /// What a call of a function that returns its first argument was given.
    pub fn first_argument_returned(&mut self, ctx: Ctx, call: usize) -> Option<u64> {
        let Flow::Call(target @ Src::Const(_)) = self.insn(ctx, call)?.flow else { return None };
        let target = self.target(ctx, call, target).filter(|&target| self.is_of_system(target))?;
        let name = self.function_name(target)?;
        let first = Src::Reg(Part { reg: *ARGUMENTS.first()?, offset: 0, size: 8 });
        if super::chase::returns_first(&name) { self.eval(ctx, call, first) } else { None }
    }
}
