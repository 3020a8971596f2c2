//! Which instructions of a function can have given a register or a place in memory its value: backwards over all paths,
//! through copies, with the value, where it is known, as a filter.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use super::context::Ctx;
use super::definition::{Change, Def, Kind, Loc};
use super::effect::Effect;
use super::op::{Flow, Op, mask};
use super::{Limits, Tracer};

/// A point of the search: before this instruction, the value is kept there.
#[derive(Clone)]
pub(super) struct State {
    pub at: usize,
    pub loc: Loc,
    pub value: Option<u64>,
    pub store: Option<usize>,
    pub changes: Option<Rc<Change>>,
}

/// The value that a place was visited with, and the changes on the way.
type Visit = (Option<u64>, *const Change);

/// Adds a definition at an instruction.
type Add = dyn Fn(&mut Vec<Def>, usize, Kind, &State);

impl Tracer<'_, '_, '_> {
    /// The definitions of a place that reach an instruction, nearest first.
    pub fn reaching(&mut self, ctx: Ctx, at: usize, loc: Loc, value: Option<u64>) -> Vec<Def> {
        let function = self.function(ctx);
        let mut found: Vec<Def> = Vec::new();
        let mut seen: HashMap<(usize, Loc), Vec<Visit>> = HashMap::new();
        let value = value.map(|value| mask(value, loc.size()));
        let mut open = VecDeque::from([State { at, loc, value, store: None, changes: None }]);
        let mut states = 0_usize;
        let add = |found: &mut Vec<Def>, at: usize, kind: Kind, state: &State| {
            let known = found.iter().any(|one| one.at == at && one.kind == kind && one.loc == state.loc);
            if !known && found.len() < Limits::DEFINITIONS {
                found.push(Def {
                    at,
                    kind,
                    loc: state.loc,
                    value: state.value,
                    store: state.store,
                    changes: state.changes.clone(),
                });
            }
        };
        while let Some(state) = open.pop_front() {
            if function.first() == Some(state.at) {
                add(&mut found, state.at, Kind::Entry, &state);
            }
            for edge in function.before(state.at) {
                states += 1;
                self.states += 1;
                if states > Limits::STATES_OF_QUERY || self.states > Limits::STATES {
                    self.limit_hit = true;
                    return found;
                }
                if edge.from == state.at && function.insns.len() == 1 {
                    continue;
                }
                if self.contradicts(ctx, edge.from, edge.taken, state.loc, state.value) {
                    continue;
                }
                let times = seen.entry((edge.from, state.loc)).or_default();
                let changes = state.changes.as_ref().map_or(std::ptr::null(), Rc::as_ptr);
                if let Some(&(_, before)) = times.iter().find(|&&(value, _)| value == state.value) {
                    // Another turn of a loop that counts: its value is not one.
                    if self.stop_at_slots && before != changes {
                        add(&mut found, edge.from, Kind::Unknown, &state);
                    }
                    continue;
                }
                // A counter: each turn of the loop would be another value.
                if times.len() >= 3 {
                    // Nobody counts to NULL.
                    if value != Some(0) {
                        add(&mut found, edge.from, Kind::Counter, &state);
                    }
                    continue;
                }
                times.push((state.value, changes));
                self.back_over(ctx, (edge.from, at), &state, &mut found, &mut open, &add);
            }
        }
        found
    }

    /// When values are asked for: what a register that callees hand back had, where the frame still has it. What was before, in
    /// earlier turns of a loop as well, then does not matter.
    fn still_there(&mut self, ctx: Ctx, state: &State) -> Option<u64> {
        let Loc::Reg(part) = state.loc else { return None };
        if !self.stop_at_slots || (self.machine.is_scratch)(part.reg) || part.offset != 0 {
            return None;
        }
        let (frame, live) = (self.run(ctx).frame?, self.live(ctx)?);
        let value = self.frames.get(frame)?.registers.get(part.reg)?;
        (!self.changed_between(ctx, state.at, live, state.loc)).then(|| mask(value, part.size))
    }

    /// One instruction backwards.
    fn back_over(
        &mut self,
        ctx: Ctx,
        (at, origin): (usize, usize),
        state: &State,
        found: &mut Vec<Def>,
        open: &mut VecDeque<State>,
        add: &Add,
    ) {
        let function = self.function(ctx);
        let Some(insn) = function.insns.get(at) else { return };
        if matches!(insn.flow, Flow::Call(_)) {
            match state.loc {
                Loc::Reg(_) if self.keeps_registers(insn) => {}
                Loc::Reg(part) if self.gives_back(ctx, at, part.reg) => {
                    return add(found, at, Kind::Result, state);
                }
                Loc::Reg(part) if (self.machine.is_scratch)(part.reg) => {
                    if self.clobbers(ctx, at, part.reg) {
                        return;
                    }
                }
                Loc::Reg(_) => {}
                Loc::Mem { address, .. } => match self.touches(ctx, at, address) {
                    Some(Kind::Maker(object)) => return add(found, at, Kind::Maker(object), state),
                    Some(kind) => add(found, at, kind, state),
                    None => {}
                },
            }
        }
        for op in insn.ops.iter().rev() {
            let may = matches!(op, Op::MaySet { .. });
            match self.effect(ctx, at, op, state) {
                Effect::None => {}
                Effect::Impossible if may => {}
                Effect::Impossible => return,
                Effect::Def(kind) => {
                    // A store is remembered: the line that stores is more telling than the one that computed.
                    let outside = matches!(state.loc, Loc::Mem { address, .. } if !self.is_own(ctx, address));
                    let store = state.store.or(outside.then_some(at));
                    add(found, at, kind, &State { store, ..state.clone() });
                    if !may {
                        return;
                    }
                }
                Effect::Copy { loc, value, changed } => {
                    let store = match state.loc {
                        Loc::Mem { address, .. } if !self.is_own(ctx, address) => state.store.or(Some(at)),
                        _ => state.store,
                    };
                    let changes = match changed {
                        Some(what) => Some(Rc::new(Change { what, before: state.changes.clone() })),
                        None => state.changes.clone(),
                    };
                    let state = State { at, loc, value, store, changes };
                    match self.still_there(ctx, &state) {
                        Some(kept) => add(found, at, Kind::Value(kept), &state),
                        None => open.push_back(state),
                    }
                    if !may {
                        return;
                    }
                }
            }
        }
        if self.survived(ctx, at, origin, state.loc, state.value) {
            return;
        }
        open.push_back(State { at, ..state.clone() });
    }
}
