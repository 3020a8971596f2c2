//! An array of a frame that was written past its end, so that the return address, the canary in front of it or a variable behind the
//! array was lost: by the function itself, or by one that got the array.

use std::collections::BTreeSet;

use necropsy_model::{BirthKind, Chain};

use super::Tracer;
use super::context::Ctx;
use super::definition::{Kind, Loc};
use super::guard::short;
use super::lead::{Path, Spot, UNKNOWN_INDEX};
use super::op::{Flow, Op, Part, Src};
use super::subject::{Scene, Subject};

/// Bytes behind a frame that a pointer which ran out of it may have come to.
const BEHIND: u64 = 1 << 16;

/// A store that may have run past the end of an array.
struct Suspect {
    spot: Spot,
    /// Where it begins to write.
    array: u64,
}

impl<'data> Tracer<'_, '_, 'data> {
    /// A function that returned to no code, or whose canary is dead: who wrote over its frame from one of its own arrays.
    pub fn of_own_array(&mut self, scene: &Scene<'_, '_, 'data>) -> bool {
        let Some((ctx, at)) = self.smashed_frame(scene) else { return false };
        let returned = scene.stop.fault.as_ref().is_some_and(|fault| fault.is_return);
        let slot = self.run(ctx).cfa.wrapping_sub(8);
        let what = if returned { "the return address" } else { "the canary" };
        let mut path = Path::default().with(Spot { ctx, at }, "fault", format!("{what} was written over"));
        if returned {
            path.seen_in(slot);
        }
        self.ran_over(ctx, slot, &path)
    }

    /// A bad value lay in a variable of the frame itself, and nothing gave it that: an array before it was run over.
    pub fn of_run_over_variable(&mut self, subject: &Subject) -> bool {
        let Src::Reg(part) = subject.source else { return false };
        if self.run(subject.ctx).frame.is_none() {
            return false;
        }
        let outer = std::mem::replace(&mut self.stop_at_slots, true);
        let defs = self.reaching(subject.ctx, subject.at, Loc::Reg(part), subject.value);
        self.stop_at_slots = outer;
        let [def] = defs.as_slice() else { return false };
        let Kind::Load { mem, .. } = def.kind else { return false };
        let Some(address) = self.address_of(subject.ctx, def.at, &mem) else { return false };
        if !self.is_own(subject.ctx, address) {
            return false;
        }
        let spot = Spot { ctx: subject.ctx, at: subject.at };
        let text = format!("{} is bad, read from a variable of its own that nothing gave this value", subject.name);
        let mut path = Path::default().with(spot, "fault", text);
        path.seen_in(address);
        path.doubts.push(UNKNOWN_INDEX);
        self.ran_over(subject.ctx, address, &path)
    }

    /// Finds the one function that writes from an array of a frame on, which lies before an address in it.
    fn ran_over(&mut self, ctx: Ctx, address: u64, path: &Path) -> bool {
        let mut suspects = self.own_stores(ctx);
        suspects.extend(self.stores_of_callees(ctx));
        suspects.retain(|suspect| suspect.array <= address.saturating_add(BEHIND));
        // What was written there may show where it begins.
        let value = self.word(address & !7, 8);
        if let Some(start) = value.and_then(|value| self.text_start(address & !7, value))
            && suspects.iter().any(|suspect| suspect.array == start)
        {
            suspects.retain(|suspect| suspect.array == start);
        }
        let entries: BTreeSet<u64> = suspects.iter().map(|suspect| self.run(suspect.spot.ctx).function.entry).collect();
        let (Some(Suspect { spot, array }), 1) = (suspects.first(), entries.len()) else { return false };
        let frame = self.run(ctx).frame;
        let local = frame.and_then(|frame| self.values.local_at(self.frames, frame, *array));
        let name = self.function_name(self.run(ctx).function.entry).unwrap_or_default();
        let text = match local {
            Some((local, _)) => format!("writes from {local} of {} on, past its end", short(&name)),
            None => format!("writes past the end of an array of {}", short(&name)),
        };
        let path = path.with(*spot, "overrun", text);
        self.lead(BirthKind::Overrun, *spot, Chain::FRAME_RUN_OVER.to_owned(), &path);
        true
    }

    /// Stores of a function into an array of its own frame, at an index that is not fixed.
    fn own_stores(&mut self, ctx: Ctx) -> Vec<Suspect> {
        let function = self.function(ctx);
        let cfa = self.run(ctx).cfa;
        let mut found = Vec::new();
        for (at, insn) in function.insns.iter().enumerate() {
            for op in &insn.ops {
                let (Op::Store { to, .. } | Op::Fill { to, .. }) = op else { continue };
                if to.base.is_none() || function.stack(at).slot(to).is_some() && matches!(op, Op::Store { .. }) {
                    continue;
                }
                let mut bases = self.bases_of(ctx, at, to);
                bases.extend(self.address_of(ctx, at, to).filter(|_| matches!(op, Op::Fill { .. })));
                let near =
                    |&base: &u64| self.is_own(ctx, base) || base >= cfa && base - cfa < BEHIND && self.on_stack(base);
                if let Some(base) = bases.into_iter().find(near) {
                    let array = base.wrapping_add_signed(if to.index.is_some() { 0 } else { to.displacement });
                    found.push(Suspect { spot: Spot { ctx, at }, array });
                }
            }
        }
        found
    }

    /// Functions that got an address in a frame, and write bytes one after the other or at an index.
    fn stores_of_callees(&mut self, ctx: Ctx) -> Vec<Suspect> {
        let function = self.function(ctx);
        let calls = function.insns.iter().enumerate();
        let calls: Vec<(usize, Src)> = calls
            .filter_map(|(at, insn)| match insn.flow {
                Flow::Call(target) => Some((at, target)),
                _ => None,
            })
            .collect();
        let mut found = Vec::new();
        for (at, target) in calls {
            let Some(target) = self.target(ctx, at, target) else { continue };
            for number in 0..3 {
                let Some(&reg) = self.machine.arguments.get(number) else { break };
                let given = self.eval(ctx, at, Src::Reg(Part { reg, offset: 0, size: 8 }));
                let Some(array) = given.filter(|&given| self.is_own(ctx, given)) else { continue };
                // What a function of the C library writes to is its first argument, but for those that read files.
                if number > 0 && self.is_library(target) && !self.reads_into(target, number) {
                    continue;
                }
                if let Some((spot, _)) = self.writes_text(Spot { ctx, at }, target) {
                    found.push(Suspect { spot, array });
                    continue;
                }
                if self.is_library(target) {
                    continue;
                }
                let Some(callee) = self.enter(ctx, at, target) else { continue };
                if let Some(at) = self.fills(callee, array + 1) {
                    found.push(Suspect { spot: Spot { ctx: callee, at }, array });
                }
            }
        }
        found
    }

    /// `read` and `recv` have the buffer behind the file, `sscanf` behind the format.
    fn reads_into(&self, target: u64, number: usize) -> bool {
        let name = self.function_name(target).unwrap_or_default();
        let base = super::library::plain_name(&name);
        match base {
            "read" | "recv" => number == 1,
            _ => base.contains("scanf") && number >= 1,
        }
    }
}
