//! Objects that lay in the frame of a function that has returned: whose was it? The frames say where the stack stood at each call, and
//! the code of what was called where its locals lay: the function that took the address of just that place.

use std::collections::BTreeMap;

use necropsy_model::BirthKind;

use super::Tracer;
use super::context::Ctx;
use super::definition::{Def, Kind, Loc};
use super::lead::{Path, Spot};
use super::op::{Flow, Mem, Op, Part, Reg, Src};

/// Calls that are gone into below a frame.
const DEPTH: usize = 6;
/// Calls that one search looks at.
const MAX_CALLS: usize = 2000;
/// Bytes of a frame that are believed.
const LARGEST_FRAME: u64 = 1 << 20;
/// Instructions in which an address is given away.
const REACH: usize = 12;

/// Who took the address of a place on the stack.
#[derive(Debug, Default)]
struct Takers {
    /// By their entries: where, and whether the address went on to a call or into memory.
    found: BTreeMap<u64, (Spot, bool)>,
    calls: usize,
}

impl Tracer<'_, '_, '_> {
    /// Looks for the function that has returned, and whose local lay where a pointer leads to.
    pub fn of_gone_frame(&mut self, inner: Ctx, pointer: u64, path: &Path) -> bool {
        let Some(first) = self.run(inner).frame else { return false };
        let mut takers = Takers::default();
        for frame in first..self.frames.len() {
            let Some(ctx) = self.of_frame(frame) else { continue };
            let Some(live) = self.live(ctx) else { continue };
            if self.is_of_system(self.address(ctx, live)) {
                continue;
            }
            for call in self.calls_before(ctx, live, None) {
                self.takers_below(ctx, call, pointer, DEPTH, &mut takers);
            }
        }
        if takers.calls > MAX_CALLS {
            self.limit_hit = true;
            return false;
        }
        if takers.found.values().any(|&(_, given)| given) {
            takers.found.retain(|_, &mut (_, given)| given);
        }
        let spots: Vec<Spot> = takers.found.into_values().map(|(spot, _)| spot).collect();
        let &[spot] = spots.as_slice() else { return false };
        let path =
            path.with(spot, "address", format!("takes the address {pointer:#x} of a local, which outlives its frame"));
        self.lead(BirthKind::Stored, spot, "gives away the address of a local".to_owned(), &path);
        true
    }

    /// A pointer out of the heap or a global leads into the frame that reads through it, and the function takes no address there.
    pub fn is_reused_frame(&mut self, ctx: Ctx, at: usize, mem: &Mem, address: u64) -> bool {
        let function = self.function(ctx);
        if self.run(ctx).frame.is_none() || !self.is_own(ctx, address) || function.stack(at).slot(mem).is_some() {
            return false;
        }
        let Some(reg) = mem.base.filter(|_| mem.index.is_none()) else { return false };
        let Some(pointer) = self.eval(ctx, at, Src::Reg(Part { reg, offset: 0, size: 8 })) else { return false };
        if (0..function.insns.len()).any(|at| self.takes(ctx, at, pointer).is_some()) {
            return false;
        }
        let defs = self.reaching(ctx, at, Loc::Reg(Part { reg, offset: 0, size: 8 }), Some(pointer));
        let [Def { kind: Kind::Load { mem, .. }, at, .. }] = defs.as_slice() else { return false };
        self.address_of(ctx, *at, mem).is_some_and(|from| !self.on_stack(from))
    }

    fn takers_below(&mut self, ctx: Ctx, call: usize, pointer: u64, left: usize, takers: &mut Takers) {
        takers.calls += 1;
        if left == 0 || takers.calls > MAX_CALLS {
            return;
        }
        let Some(source) = self.insn(ctx, call).and_then(|insn| super::subject::called(insn.flow)) else { return };
        let Some(target) = self.target(ctx, call, source).filter(|&target| !self.is_of_system(target)) else { return };
        let Some(callee) = self.enter(ctx, call, target) else { return };
        let cfa = self.run(callee).cfa;
        if pointer >= cfa || cfa - pointer > LARGEST_FRAME {
            return;
        }
        let function = self.function(callee);
        for at in 0..function.insns.len() {
            if let Some(to) = self.takes(callee, at, pointer) {
                let given = self.gives_away(callee, at, to);
                let known = takers.found.entry(function.entry).or_insert((Spot { ctx: callee, at }, given));
                if given && !known.1 {
                    *known = (Spot { ctx: callee, at }, given);
                }
            }
            if function.insns.get(at).is_some_and(|insn| matches!(insn.flow, Flow::Call(_))) {
                self.takers_below(callee, at, pointer, left - 1, takers);
            }
        }
        for &(at, _) in &function.tails {
            self.takers_below(callee, at, pointer, left - 1, takers);
        }
    }

    /// The register that an instruction puts the address of a slot into.
    fn takes(&self, ctx: Ctx, at: usize, pointer: u64) -> Option<Reg> {
        let run = self.run(ctx);
        let stack = run.function.stack(at);
        let is_it = |offset: Option<i64>| offset.is_some_and(|offset| run.cfa.wrapping_add_signed(offset) == pointer);
        run.function.insns.get(at)?.ops.iter().find_map(|op| match *op {
            Op::Set { to, from: Src::Address(mem), .. } if is_it(stack.slot(&mem)) => Some(to.reg),
            Op::Set { to, from: Src::Reg(from), .. }
                if from.reg == self.machine.sp && to.reg != self.machine.fp && is_it(stack.sp) =>
            {
                Some(to.reg)
            }
            _ => None,
        })
    }

    /// A register goes to a call as an argument, or into memory, before it is written again.
    fn gives_away(&self, ctx: Ctx, at: usize, reg: Reg) -> bool {
        let function = self.function(ctx);
        let mut here = at;
        for _ in 0..REACH {
            let &[next] = function.after(here) else { return false };
            here = next;
            let Some(insn) = function.insns.get(here) else { return false };
            let stores = |op: &Op| matches!(*op, Op::Store { from: Src::Reg(Part { reg: from, size: 8, .. }), .. } if from == reg);
            let passes = matches!(insn.flow, Flow::Call(_)) && self.machine.arguments.contains(&reg);
            if passes || insn.ops.iter().any(stores) {
                return true;
            }
            let copies = |op: &Op| matches!(*op, Op::Set { from: Src::Reg(from), .. } if from.reg == reg);
            if insn.ops.iter().any(copies) {
                return true;
            }
            let writes = |op: &Op| match *op {
                Op::Set { to, .. } | Op::MaySet { to, .. } | Op::Compute { to, .. } => to.reg == reg,
                Op::Write(other) => other == reg,
                _ => false,
            };
            if insn.ops.iter().any(writes) || matches!(insn.flow, Flow::Call(_)) {
                return false;
            }
        }
        false
    }
}
