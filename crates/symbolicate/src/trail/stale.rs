//! Pointers into a block that went: it was released, moved or unmapped, and maybe handed out again, so that nothing of it tells
//! who did that. What the process did since the pointer was got is told by the code of the frames: if one function alone released
//! anything on the way, it was that.

use std::collections::BTreeSet;

use necropsy_model::BirthKind;

use super::Tracer;
use super::context::Ctx;
use super::definition::{Def, Kind, Loc};
use super::lead::{ANOTHER_FILLED, FREED_UNSEEN, Lead, Path, RETURNED_ALIVE, Spot};
use super::op::{Flow, Op, Part, Reg, Src};
use super::releases::{Gone, Releases};
use super::subject::Subject;

/// Frames that may have handed a pointer on.
const FRAMES: usize = 64;

/// The block was found to be gone, and what released it by where it stands.
const ON_THE_WAY: &str = "found as the only release since the pointer was got";

/// What was found of the releases on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// One function alone released anything: it is a lead.
    Found,
    /// Several did.
    Several,
    /// None did, as far as that is known.
    Nothing,
}

/// A register or a slot of the frame that holds a pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kept {
    Reg(Reg),
    Slot(i64),
}

/// A pointer in a register of a frame.
#[derive(Clone, Copy, Debug)]
struct Held {
    spot: Spot,
    source: Src,
    value: Option<u64>,
}

impl Tracer<'_, '_, '_> {
    /// The pointer itself leads to where a block was that is unmapped now.
    pub fn of_gone_mapping(&mut self, subject: &Subject, pointer: u64, path: &Path) -> Outcome {
        let held =
            Held { spot: Spot { ctx: subject.ctx, at: subject.at }, source: subject.source, value: Some(pointer) };
        self.released_on_the_way(held, Gone { pointer, block: None }, true, path)
    }

    /// The pointer was read from somewhere or returned as it is: nobody counted it on.
    pub fn was_handed_out(&mut self, subject: &Subject) -> bool {
        let held =
            Held { spot: Spot { ctx: subject.ctx, at: subject.at }, source: subject.source, value: subject.value };
        let Some((spot, def)) = self.got_by(held) else { return false };
        spot.ctx != subject.ctx && matches!(def.kind, Kind::Result | Kind::Load { .. }) && !def.adjusted()
    }

    /// What was read lies in a block that bears the marks of a released one. Whether somebody is found who released it.
    pub fn who_released_block(&mut self, spot: Spot, base: Option<Reg>, block: u64, path: &Path) -> bool {
        let known = self.leads.len();
        let freed = self.freed(block, path);
        let unsure = |lead: &Lead| lead.path.doubts.iter().any(|doubt| matches!(*doubt, FREED_UNSEEN | RETURNED_ALIVE));
        if freed && !self.leads.iter().skip(known).all(unsure) {
            return true;
        }
        let guesses = self.leads.split_off(known.min(self.leads.len()));
        match base.map_or(Outcome::Nothing, |base| self.of_released_block(spot, base, block, path)) {
            Outcome::Found => true,
            Outcome::Several => false,
            Outcome::Nothing if self.only_releaser(path) => true,
            Outcome::Nothing => {
                self.leads.extend(guesses);
                freed
            }
        }
    }

    /// The same by what the frames did since the pointer into it was got.
    fn of_released_block(&mut self, spot: Spot, base: Reg, block: u64, path: &Path) -> Outcome {
        let source = Src::Reg(Part { reg: base, offset: 0, size: 8 });
        let value = self.eval(spot.ctx, spot.at, source);
        let Some(room) = self.block_size(block) else { return Outcome::Nothing };
        let gone = Gone { pointer: value.unwrap_or(block), block: Some((block, room)) };
        self.released_on_the_way(Held { spot, source, value }, gone, true, path)
    }

    /// Nothing that was followed tells who wrote what was read from a block of the heap: somebody else has it by now.
    pub fn of_reused_block(&mut self) {
        let lost = |lead: &Lead| {
            let doubtful = |doubt: &&str| matches!(*doubt, RETURNED_ALIVE | FREED_UNSEEN | ANOTHER_FILLED);
            let fill = |value: u64| value != 0 && value.to_ne_bytes() == [value.to_ne_bytes()[0]; 8];
            matches!(lead.kind, BirthKind::Loaded | BirthKind::Unknown)
                || lead.path.doubts.iter().any(doubtful)
                || lead.kind == BirthKind::Constant && self.sought.is_some_and(fill)
        };
        if self.leads.iter().any(|lead| !lost(lead)) {
            return;
        }
        let Some(path) = self.leads.first().map(|lead| lead.path.clone()) else { return };
        let Some(first) = path.steps.iter().position(|step| step.step == "load") else { return };
        let Some(step) = path.steps.get(first) else { return };
        let (spot, Some(address)) = (step.spot, step.memory) else { return };
        if self.on_stack(address) || self.is_static(address) || self.run(spot.ctx).frame.is_none() {
            return;
        }
        let Some(block) = self.block_around(address) else { return };
        let Some(insn) = self.insn(spot.ctx, spot.at) else { return };
        let base = insn.ops.iter().find_map(|op| match *op {
            Op::Set { from: Src::Mem(mem), .. } => mem.base,
            _ => None,
        });
        let called = match insn.flow {
            Flow::Call(Src::Mem(mem)) | Flow::JumpTo(Src::Mem(mem)) => mem.base,
            _ => None,
        };
        let base = base.or(called);
        let Some(base) = base else { return };
        let source = Src::Reg(Part { reg: base, offset: 0, size: 8 });
        let value = self.eval(spot.ctx, spot.at, source);
        let gone = Gone { pointer: value.unwrap_or(address), block: Some(block) };
        let mut before = path.clone();
        before.steps.truncate(first + 1);
        let before = self.with_gate_of(spot.ctx, spot.at, source, &before);
        let known = std::mem::take(&mut self.leads);
        if self.released_on_the_way(Held { spot, source, value }, gone, false, &before) != Outcome::Found {
            self.leads = known;
        }
    }

    /// Looks for the one function that released anything between where a pointer was got and where it failed.
    fn released_on_the_way(&mut self, held: Held, gone: Gone, proven: bool, path: &Path) -> Outcome {
        let gate = self.got_at(held);
        // Where it was got: the last time first. Without a place, all that the frames did.
        let mut stops: Vec<Option<Spot>> = gate.map(Some).into_iter().collect();
        let known = std::mem::take(&mut self.leads);
        let visited = std::mem::take(&mut self.visited);
        let hit = self.limit_hit;
        let outer = std::mem::replace(&mut self.seeking, false);
        let start = Path::default().with(held.spot, "fault", String::new());
        self.start(held.spot.ctx, held.spot.at, held.source, held.value, &start);
        self.seeking = outer;
        self.visited = visited;
        self.limit_hit = hit;
        let leads = std::mem::replace(&mut self.leads, known);
        for lead in &leads {
            let made = lead.path.steps.iter().filter(|step| !matches!(step.step, "fault" | "parameter" | "load"));
            for step in made.map(|step| step.spot).chain(lead.path.stored) {
                if self.run(step.ctx).frame.is_some() && !stops.contains(&Some(step)) {
                    stops.push(Some(step));
                }
            }
        }
        if proven {
            stops.push(None);
        }
        let mut path = path.clone();
        if path.gate.is_none() {
            path.gate = gate;
        }
        for stop in stops {
            let Some(mut releases) = self.releases_since(held.spot.ctx, stop, gone) else { continue };
            if let Some(stop) = stop {
                releases.found.retain(|release| release.spot.ctx != stop.ctx || self.may_reach(stop, release.spot.at));
            }
            let found = releases.telling();
            let owners: BTreeSet<u64> = found.iter().map(|release| release.owner).collect();
            if owners.len() > 1 {
                return Outcome::Several;
            }
            if releases.open {
                return Outcome::Nothing;
            }
            let Some(spot) = found.first().map(|release| release.spot) else { continue };
            let text = "nothing else releases anything since the pointer was got".to_owned();
            path.doubts.push(ON_THE_WAY);
            let path = path.with(spot, "freed", text);
            self.lead(BirthKind::Freed, spot, "released here, while the pointer was kept".to_owned(), &path);
            return Outcome::Found;
        }
        Outcome::Nothing
    }

    /// Where a pointer stopped being a parameter.
    fn got_at(&mut self, held: Held) -> Option<Spot> {
        self.got_by(held).map(|(spot, _)| spot)
    }

    fn got_by(&mut self, held: Held) -> Option<(Spot, Def)> {
        let (mut ctx, mut at) = (held.spot.ctx, held.spot.at);
        let mut loc = self.place(ctx, at, held.source)?;
        for _ in 0..FRAMES {
            self.run(ctx).frame?;
            let mut defs = self.reaching(ctx, at, loc, held.value);
            if defs.is_empty() {
                // The place has another value by now.
                defs = self.reaching(ctx, at, loc, None);
            }
            if let Some(def) = defs.iter().find(|def| def.kind != Kind::Entry) {
                return Some((Spot { ctx, at: def.at }, def.clone()));
            }
            let entry = defs.first()?.loc;
            let (caller, call) = self.caller(ctx).filter(|_| matches!(entry, Loc::Reg(_)))?;
            (ctx, at, loc) = (caller, call, entry);
        }
        None
    }

    /// The releases in the frames from the innermost on, up to where a pointer was got; without that, up to the outermost.
    fn releases_since(&mut self, inner: Ctx, stop: Option<Spot>, gone: Gone) -> Option<Releases> {
        let first = self.run(inner).frame?;
        let last = match stop {
            Some(spot) => self.run(spot.ctx).frame.filter(|&frame| frame >= first)?,
            None => self.frames.len().min(first + FRAMES).checked_sub(1)?,
        };
        let mut releases = Releases::default();
        for frame in first..=last {
            let Some(ctx) = self.of_frame(frame) else { continue };
            let Some(live) = self.live(ctx) else { continue };
            if self.is_of_system(self.address(ctx, live)) {
                continue;
            }
            let stop = stop.filter(|spot| spot.ctx == ctx).map(|spot| spot.at);
            for call in self.calls_before(ctx, live, stop) {
                self.releases_of(ctx, call, gone, &mut releases);
            }
        }
        Some(releases)
    }

    /// What a call returned may be what a later call of the same function is given first, before it is made again.
    ///
    /// A container that grows releases its old block when it has a new one, and not the new one.
    fn may_reach(&self, made: Spot, call: usize) -> bool {
        let function = self.function(made.ctx);
        let Some(insn) = function.insns.get(made.at) else { return true };
        let (Flow::Call(_), Some(&first)) = (insn.flow, self.machine.arguments.first()) else { return true };
        let whole = |reg| Part { reg, offset: 0, size: 8 };
        let mut seen = BTreeSet::new();
        let mut open = vec![(call, Kept::Reg(first))];
        while let Some((at, held)) = open.pop() {
            if !seen.insert((at, held)) {
                continue;
            }
            for before in function.before(at).iter().map(|edge| edge.from) {
                let Some(insn) = function.insns.get(before) else { return true };
                if before == made.at {
                    if held == Kept::Reg(self.machine.result) {
                        return true;
                    }
                    continue;
                }
                let calls = matches!(insn.flow, Flow::Call(_));
                if let Kept::Reg(reg) = held
                    && calls
                    && (self.machine.is_scratch)(reg)
                {
                    continue;
                }
                let stack = function.stack(before);
                let mut now = Some(held);
                for op in insn.ops.iter().rev() {
                    let Some(place) = now else { break };
                    now = match (*op, place) {
                        (Op::Set { to, from, .. }, Kept::Reg(reg)) if to.reg == reg => match from {
                            Src::Reg(from) if to == whole(reg) && from.size == 8 => Some(Kept::Reg(from.reg)),
                            Src::Mem(mem) => match stack.slot(&mem) {
                                Some(slot) if mem.size == 8 => Some(Kept::Slot(slot)),
                                _ => return true,
                            },
                            Src::Const(_) | Src::Address(_) => None,
                            _ => return true,
                        },
                        (Op::Store { to, from }, Kept::Slot(slot)) if stack.slot(&to) == Some(slot) => match from {
                            Src::Reg(from) if from == whole(from.reg) => Some(Kept::Reg(from.reg)),
                            Src::Const(_) => None,
                            _ => return true,
                        },
                        (Op::MaySet { to, .. } | Op::Compute { to, .. }, Kept::Reg(reg)) if to.reg == reg => {
                            return true;
                        }
                        (Op::Write(other), Kept::Reg(reg)) if other == reg => return true,
                        (_, place) => Some(place),
                    };
                }
                open.extend(now.map(|place| (before, place)));
            }
        }
        false
    }

    /// Calls of a frame that may have been made before it came to where it stands, back to an instruction.
    pub fn calls_before(&self, ctx: Ctx, live: usize, stop: Option<usize>) -> Vec<usize> {
        let function = self.function(ctx);
        let mut seen = BTreeSet::new();
        let mut open: Vec<usize> = function.before(live).iter().map(|edge| edge.from).collect();
        while let Some(at) = open.pop() {
            if stop == Some(at) || !seen.insert(at) {
                continue;
            }
            open.extend(function.before(at).iter().map(|edge| edge.from));
        }
        seen.retain(|&at| function.insns.get(at).is_some_and(|insn| matches!(insn.flow, Flow::Call(_))));
        seen.into_iter().collect()
    }
}
