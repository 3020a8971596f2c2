//! How what was found becomes facts of the model: chains, and places as a report shows them.

use std::collections::BTreeSet;

use necropsy_model::{
    Avma, BirthKind, Chain, Frame, Location, ModuleId, Place, Role, Snapshot, Source, Trail, TrailStep, Trust,
};

use super::Tracer;
use super::lead::{CHANGED, Lead, NO_MEMORY, Spot, rank};
use super::own::{is_constructor, is_destructor, is_standard};
use crate::names::Named;

impl<'data> Tracer<'_, '_, 'data> {
    /// The leads as facts.
    pub fn trail(
        &mut self,
        subject: String,
        value: Option<u64>,
        snapshot: &Snapshot<'data>,
        thread: usize,
    ) -> Trail<'data> {
        let mut leads = std::mem::take(&mut self.leads);
        // What memory holds now speaks against these.
        let changed = |lead: &Lead| lead.path.doubts.contains(&CHANGED);
        if leads.iter().any(|lead| !changed(lead) && rank(lead.kind) < 6) {
            leads.retain(|lead| !changed(lead));
        }
        // An allocation that failed is the last thing to think of.
        let rank = |lead: &Lead| if lead.path.doubts.contains(&NO_MEMORY) { 5 } else { rank(lead.kind) };
        leads.sort_by_key(|lead| (rank(lead), lead.path.steps.len()));
        let mut chains: Vec<Chain<'data>> = Vec::new();
        let mut births: BTreeSet<(String, Option<u32>)> = BTreeSet::new();
        for lead in &leads {
            let chain = self.chain(lead, snapshot, thread);
            let line = chain.birth.location.as_ref().and_then(|location| location.line);
            // A function without a name is told by where it begins.
            let nameless = || {
                let spot = self.own_spot(lead.spot);
                format!("{:#x}", self.run(spot.ctx).function.entry)
            };
            let function = chain.birth.function.as_ref().map_or_else(nameless, ToString::to_string);
            if births.insert((function, line)) {
                chains.push(chain);
            }
        }
        let functions: BTreeSet<_> = births.iter().map(|(function, _)| function.clone()).collect();
        if let Some(first) = chains.first_mut() {
            // Several lines of one function are one answer to who it was.
            first.sole = functions.len() == 1 && leads.iter().all(|lead| lead.complete);
            // It was a constant, or it was found in memory on another way through the same call.
            let read = |lead: &Lead| lead.path.doubts.contains(&Chain::READ_SOMEWHERE);
            if first.kind == BirthKind::ReturnedConstant
                && leads.iter().any(read)
                && !first.doubts.contains(&Chain::READ_SOMEWHERE)
            {
                first.doubts.push(Chain::READ_SOMEWHERE);
            }
        }
        let mut not_checked = vec![Trail::OTHER_THREADS];
        if self.limit_hit {
            not_checked.push(Trail::BEYOND_LIMITS);
        }
        Trail { subject, value, chains, limit_hit: self.limit_hit, not_checked }
    }

    pub fn chain(&mut self, lead: &Lead, snapshot: &Snapshot<'data>, thread: usize) -> Chain<'data> {
        let mut spot = self.own_spot(lead.spot);
        // A destructor did what it was asked to: whoever destroyed the object is to name.
        while lead.kind == BirthKind::Freed && self.is_destructor(spot) {
            let Some((ctx, at)) = self.caller(spot.ctx) else { break };
            spot = self.own_spot(Spot { ctx, at });
        }
        // Nor did a move do anything else: whoever moved is to name.
        while matches!(lead.kind, BirthKind::Stored | BirthKind::NeverSet | BirthKind::StoredSomewhere)
            && self.moves(spot)
        {
            let Some((ctx, at)) = self.caller(spot.ctx) else { break };
            spot = self.own_spot(Spot { ctx, at });
        }
        let mut birth = match lead.kind {
            // A destructor that was inlined there did what it was asked to as well.
            BirthKind::Freed => self.shown_without(spot, snapshot, thread, &is_destructor),
            // Nor did a constructor that was inlined put the object there.
            BirthKind::Stored if lead.path.steps.last().is_some_and(|step| step.step == "address") => {
                self.shown_without(spot, snapshot, thread, &is_constructor)
            }
            _ => self.shown(spot, snapshot, thread),
        };
        if let Some((name, declared)) = &lead.global {
            birth.function = Some(name.clone().into());
            birth.frame = None;
            birth.location = declared.as_ref().map(|(file, line)| Location::new(file.clone(), Some(*line)));
        }
        if let Some((file, line)) = &lead.declared {
            birth.location = Some(Location::new(file.clone(), Some(*line)));
        }
        let native = lead.kind == BirthKind::LibraryResult;
        let kind = match lead.kind {
            BirthKind::Stored if self.is_left_by_move(lead.spot) => BirthKind::Stored,
            BirthKind::ReturnedConstant | BirthKind::Stored
                if spot != lead.spot && self.run(spot.ctx).frame.is_some() =>
            {
                BirthKind::LibraryResult
            }
            BirthKind::ReturnedConstant if spot != lead.spot => BirthKind::ReturnedComputed,
            // Lost inside a library, and nothing in between that is the program's own.
            BirthKind::ReturnedComputed | BirthKind::ReturnedArithmetic
                if spot != lead.spot && self.run(spot.ctx).frame.is_some() =>
            {
                BirthKind::Loaded
            }
            kind => kind,
        };
        // Inside of the library that failed itself: the call of it is the victim, and not what made it fail.
        let within = lead
            .path
            .steps
            .first()
            .map(|step| step.spot)
            .is_some_and(|fault| spot != lead.spot && fault != spot && self.own_spot(fault) == spot);
        let kind = if within { BirthKind::Loaded } else { kind };
        let gate = lead.path.gate.map(|gate| {
            let gate = self.own_spot(gate);
            self.shown(gate, snapshot, thread)
        });
        let handed = lead.path.handed.iter().map(|&spot| self.shown(spot, snapshot, thread));
        let handed_through = handed.collect();
        let steps = lead.path.steps.iter().map(|step| TrailStep {
            place: self.shown(step.spot, snapshot, thread),
            step: step.step,
            text: step.text.clone(),
            source: step.memory.map_or(Source::DUMP, |address| self.space.memory.source(Avma(address))),
        });
        let steps = steps.collect();
        let mut doubts = lead.path.doubts.clone();
        if kind == BirthKind::Stored && self.is_left_by_move(lead.spot) {
            doubts.push("a library moved it away");
        }
        let address = self.address(lead.spot.ctx, lead.spot.at);
        let placed = lead.path.steps.last().is_some_and(|step| step.step == "address");
        if kind == BirthKind::Stored && !placed && self.values.made_by_compiler(Avma(address)).first() == Some(&true) {
            doubts.push("the compiler made the code that stored it");
        }
        if kind == BirthKind::LibraryResult && !native && !doubts.contains(&Chain::INLINED_LIBRARY) {
            doubts.push(Chain::INSIDE_LIBRARY);
        }
        Chain { kind, birth, what: lead.what.clone(), gate, handed_through, steps, sole: false, doubts }
    }

    /// A place for the report. Of functions inlined into one another the innermost that is the program's own.
    pub fn shown(&self, spot: Spot, snapshot: &Snapshot<'data>, thread: usize) -> Place<'data> {
        self.shown_without(spot, snapshot, thread, &|_| false)
    }

    /// The same, without functions that only did what they were asked to, where there is another.
    fn shown_without(
        &self,
        spot: Spot,
        snapshot: &Snapshot<'data>,
        thread: usize,
        obeys: &dyn Fn(&str) -> bool,
    ) -> Place<'data> {
        let names = self.names_with_line(spot);
        let address = self.address(spot.ctx, spot.at);
        let unwritten = self.unwritten_names(address, &names);
        let obeys = |name: &Named<'_>| name.function.as_deref().is_some_and(obeys);
        let own = |name: &Named<'_>| {
            !is_standard(name) && !name.function.as_deref().is_some_and(|function| self.is_of_go(function))
        };
        let mut written = names.iter().zip(unwritten).map(|(name, unwritten)| own(name) && !unwritten && !obeys(name));
        let chosen = written.position(|written| written);
        let chosen = chosen.or_else(|| names.iter().position(own)).unwrap_or(0);
        let named = names.get(chosen);
        let image = self.space.images.at(Avma(address)).map(|(_, image)| image);
        let module = image.map(|image| image.module);
        let function = named.and_then(|name| name.function.clone());
        let listed = self.run(spot.ctx).frame.and_then(|raw| listed(snapshot, thread, raw, function.as_deref()));
        Place {
            thread: snapshot.threads.get(thread).map(|thread| thread.id),
            frame: listed.map(|(index, _)| index),
            svma: image.filter(|_| function.is_none()).map(|image| image.bias.to_svma(Avma(address))),
            function,
            module: module.and_then(|module: ModuleId| snapshot.module(module)).map(|module| module.path.clone()),
            // A file without a line is that of what was inlined before.
            location: named.and_then(|name| self.located(name, module)).filter(|location| location.line.is_some()),
            inlined: named.is_some_and(|name| name.inlined),
            trust: listed.map(|(_, trust)| trust),
            role: Role::Related,
        }
    }

    /// The names of an instruction; where the compiler gave it no line, those of the nearest one before or behind it in the same
    /// function that has one.
    pub fn names_with_line(&self, spot: Spot) -> std::rc::Rc<Vec<Named<'data>>> {
        /// Instructions away.
        const REACH: usize = 6;
        let own = self.names(self.address(spot.ctx, spot.at));
        let line = |names: &[Named<'data>]| names.first()?.location.as_ref()?.line;
        if line(&own).is_some() {
            return own;
        }
        let function = own.first().and_then(|name| name.function.clone());
        let near = (1..=REACH).flat_map(|away| [spot.at.checked_sub(away), spot.at.checked_add(away)]);
        for at in near.flatten().filter(|&at| at < self.run(spot.ctx).function.insns.len()) {
            let names = self.names(self.address(spot.ctx, at));
            if line(&names).is_some() && names.first().is_some_and(|name| name.function == function) {
                return names;
            }
        }
        own
    }

    /// The position of a name with the text of its line, where the source is at hand.
    pub fn located(&self, name: &Named<'data>, module: Option<ModuleId>) -> Option<Location<'data>> {
        let mut location = name.location.clone()?;
        let debug = module.and_then(|module| self.space.images.of(module)?.debug.get());
        location.text =
            debug.zip(location.line).and_then(|(debug, line)| crate::names::line_text(&location.file, line, debug));
        Some(location)
    }
}

/// The listed frame of a raw frame: the one with this function, of those inlined there.
fn listed(snapshot: &Snapshot<'_>, thread: usize, raw: usize, function: Option<&str>) -> Option<(usize, Trust)> {
    let frames: Vec<&Frame<'_>> = snapshot.frames_of(snapshot.threads.get(thread)?).collect();
    let mut group = 0;
    for (index, frame) in frames.iter().enumerate() {
        if group == raw && (frame.function.as_deref() == function || !frame.inlined) {
            return (frame.function.as_deref() == function).then_some((index, frame.trust));
        }
        group += usize::from(!frame.inlined);
    }
    None
}
