//! A block that two objects own: each release of it was right in itself. Who put the pointer into the second owner is to blame: a
//! shallow copy, a merge, a class without a copy constructor.

use necropsy_model::BirthKind;

use super::Tracer;
use super::context::Ctx;
use super::definition::{Kind, Loc};
use super::lead::{Lead, Path, Spot};
use super::op::{Part, Src};

impl Tracer<'_, '_, '_> {
    /// Where both releases of a block are the work of one function, which took the pointer out of two objects: who stored it into
    /// the second of them. In place of the release that was found.
    pub fn of_two_owners(&mut self) {
        let releases: Vec<Lead> = self.leads.iter().filter(|lead| lead.kind == BirthKind::Freed).cloned().collect();
        let [release] = releases.as_slice() else { return };
        let Some(fault) = release.path.steps.first().map(|step| step.spot) else { return };
        let Some(earlier) = self.same_code(release, fault) else { return };
        let (Some(block), Some(late)) = (self.released_there(fault), self.taken_from(fault)) else { return };
        let Some((caller, call)) = self.caller(earlier.ctx) else { return };
        let turns = self.caller(fault.ctx) == Some((caller, call));
        let others = if turns {
            // One call in a loop: what it was given the time before is not known.
            self.twins(late, block)
        } else {
            let early = self.taken_from(earlier).filter(|&early| early != late);
            // Memory that is still there must not speak against it.
            let fits = |early: &u64| {
                self.word(*early, 8).is_none_or(|word| word == block) || self.released_block(*early).is_some()
            };
            early.into_iter().filter(fits).collect()
        };
        for early in others {
            if self.shared(fault, (caller, call), block, [early, late]) {
                return;
            }
        }
        if let (true, Some(lead)) = (turns, self.leads.iter_mut().find(|lead| lead.kind == BirthKind::Freed)) {
            "a loop releases it, and met it before; who made it stand in two places was not found"
                .clone_into(&mut lead.what);
            lead.kind = BirthKind::Unknown;
        }
    }

    /// Who gave the pointer that one of two places has to the other. In place of what is known.
    fn shared(&mut self, fault: Spot, (caller, call): (Ctx, usize), block: u64, places: [u64; 2]) -> bool {
        let [early, late] = places;
        let text = format!("{block:#x} was released for two owners, which have it at {early:#x} and {late:#x}");
        let mut path = Path::default().with(fault, "fault", text);
        path.gate = self.caller(fault.ctx).map(|(ctx, at)| Spot { ctx, at });
        let known = std::mem::take(&mut self.leads);
        for place in places {
            self.visited.clear();
            self.memory(caller, call, place, 8, Some(block), &path);
        }
        let copied = std::mem::replace(&mut self.leads, known);
        let mut found: Vec<(usize, Lead)> = Vec::new();
        for lead in copied {
            let of_other = |memory: Option<u64>| memory.is_some_and(|memory| places.contains(&memory));
            let Some(at) = lead.path.steps.iter().position(|step| step.step == "load" && of_other(step.memory)) else {
                continue;
            };
            let spot = lead.path.steps[at].spot;
            if found.iter().all(|(known, lead)| lead.path.steps[*known].spot != spot) {
                found.push((at, lead));
            }
        }
        let [(at, lead)] = found.as_slice() else { return false };
        let spot = self.own_spot(lead.path.steps[*at].spot);
        let before = lead.path.steps.get(1..*at).unwrap_or_default();
        path.steps.extend(before.iter().cloned());
        let text = "what the one owner has is given to the other here; both will release it".to_owned();
        let path = path.with(spot, "shared", text);
        self.leads.clear();
        self.lead(BirthKind::Stored, spot, "gives the block a second owner".to_owned(), &path);
        true
    }

    /// Other places near one that hold the same pointer.
    fn twins(&self, place: u64, pointer: u64) -> Vec<u64> {
        /// Bytes to both sides.
        const REACH: u64 = 4096;
        /// Places that are followed.
        const MOST: usize = 4;
        let (first, last) = (place.saturating_sub(REACH), place.saturating_add(REACH));
        let places = (first..last).step_by(8).filter(|&at| at != place);
        places.filter(|&at| self.word(at, 8) == Some(pointer)).take(MOST).collect()
    }

    /// The instruction at fault in the other call of the same function, in which the release was found.
    fn same_code(&self, release: &Lead, fault: Spot) -> Option<Spot> {
        let entry = |ctx| self.run(ctx).function.entry;
        let mut runs = release.path.steps.iter().rev().map(|step| step.spot.ctx);
        let ctx = runs.find(|&ctx| ctx != fault.ctx && entry(ctx) == entry(fault.ctx))?;
        Some(Spot { ctx, at: fault.at })
    }

    /// The argument of the call at fault.
    fn released_there(&mut self, spot: Spot) -> Option<u64> {
        let &reg = self.machine.arguments.first()?;
        self.eval(spot.ctx, spot.at, Src::Reg(Part { reg, offset: 0, size: 8 }))
    }

    /// The address from which the pointer was read that a call got as its argument.
    fn taken_from(&mut self, spot: Spot) -> Option<u64> {
        let &reg = self.machine.arguments.first()?;
        let part = Part { reg, offset: 0, size: 8 };
        let defs = self.reaching(spot.ctx, spot.at, Loc::Reg(part), None);
        let [def] = defs.as_slice() else { return None };
        match def.kind {
            Kind::Load { mem, .. } => self.address_of(spot.ctx, def.at, &mem),
            _ => None,
        }
    }
}
