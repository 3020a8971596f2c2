//! Local variables that nothing sets: calls that got the address of one, and left it as it was.

use necropsy_model::BirthKind;

use super::Tracer;
use super::context::Ctx;
use super::definition::{Def, Loc};
use super::lead::{NO_VARIABLE, Path, Spot};
use super::op::{Flow, Op, Src};

impl Tracer<'_, '_, '_> {
    /// The slot of the frame that a register was put into at the start of a function, and that a call got for a variable.
    pub fn room_made(&mut self, ctx: Ctx, def: &Def) -> Option<u64> {
        self.run(ctx).frame?;
        let function = self.function(ctx);
        let first = function.first()?;
        let insn = function.insns.get(first)?;
        let Loc::Reg(part) = def.loc else { return None };
        let place = insn.ops.iter().find_map(|op| match op {
            Op::Store { to, from: Src::Reg(from) } if from.reg == part.reg => {
                let offset = function.stack(first).slot(to)?;
                Some(self.run(ctx).cfa.wrapping_add_signed(offset))
            }
            _ => None,
        })?;
        self.given_for(ctx, place).map(|_| place)
    }

    /// A call that got the address of a place in the frame: there is a variable.
    fn given_for(&mut self, ctx: Ctx, place: u64) -> Option<usize> {
        let function = self.function(ctx);
        let calls = function.insns.iter().enumerate().filter(|(_, insn)| matches!(insn.flow, Flow::Call(_)));
        let calls: Vec<usize> = calls.map(|(at, _)| at).collect();
        calls.into_iter().find(|&at| self.arguments(ctx, at).iter().any(|&(_, given)| given == place))
    }

    /// A local variable that nothing in its function sets.
    pub fn never_set(&mut self, spot: Spot, address: u64, path: &Path) {
        let ctx = spot.ctx;
        let frame = self.run(ctx).frame;
        let local = frame.and_then(|frame| self.values.local_at(self.frames, frame, address));
        let given = if local.is_none() && frame.is_some() { self.given_for(ctx, address) } else { None };
        let spot = given.map_or(spot, |at| Spot { ctx, at });
        let text = match given {
            Some(_) => "nothing in this function sets it, and the call that got its address did not",
            None => "nothing in this function sets it",
        };
        let mut path = path.with(spot, "uninitialised", text.to_owned());
        let what = match &local {
            Some((name, _)) => format!("{name} was never set"),
            None => "a local variable that was never set".to_owned(),
        };
        let has_lines = |this: &Self| this.names(this.address(ctx, spot.at)).iter().any(|name| name.location.is_some());
        if local.is_none() && given.is_none() && has_lines(self) {
            path.doubts.push(NO_VARIABLE);
        }
        self.lead(BirthKind::UninitialisedLocal, spot, what, &path);
        if let (Some(lead), Some((_, declared))) = (self.leads.last_mut(), local) {
            lead.declared = declared;
        }
    }
}
