//! Results of calls that have returned: into the function that was called, back from each of its returns.

use necropsy_model::BirthKind;

use super::Tracer;
use super::chase::{ERROR_POINTERS, NULL_PAGES};
use super::context::Ctx;
use super::definition::Loc;
use super::lead::{Lead, NO_MEMORY, NO_WAY, Path, Spot, UNKNOWN_INDEX};
use super::library::{allocates, plain_name, returns_first};
use super::op::{Flow, Op, Part, Src};

/// Blocks of the allocators begin at multiples of it (`MALLOC_ALIGNMENT`).
const ALIGNED: u64 = 16;

/// Bytes that an allocator may well refuse; with less, a process that goes on has other troubles.
const OFTEN_REFUSED: u64 = 1 << 30;

impl Tracer<'_, '_, '_> {
    /// The result of a call that has returned.
    pub fn result(&mut self, ctx: Ctx, call: usize, part: Part, value: Option<u64>, path: &Path) {
        let spot = Spot { ctx, at: call };
        let Some(insn) = self.insn(ctx, call) else { return };
        let target = match insn.flow {
            Flow::Call(target) => self.target(ctx, call, target),
            _ => None,
        };
        let Some(target) = target else {
            let path = path.with(spot, "result", "the result of a call through a pointer".to_owned());
            self.lead(BirthKind::Unknown, spot, "returned by a call whose target is not known".to_owned(), &path);
            return;
        };
        self.returned(spot, target, part, value, path);
    }

    /// The instruction before a return that gives the result: the line of the `return`, not that of the closing brace.
    pub fn gives_result(&self, ctx: Ctx, at: usize) -> usize {
        /// Instructions of an epilogue.
        const REACH: usize = 12;
        let function = self.function(ctx);
        let mut back = at;
        for _ in 0..REACH {
            let Some(edge) = function.before(back).first() else { break };
            back = edge.from;
            let writes = function.insns.get(back).is_some_and(|insn| {
                insn.ops.iter().any(
                    |op| matches!(op, Op::Set { to, .. } | Op::Compute { to, .. } if to.reg == self.machine.result),
                )
            });
            if writes {
                return back;
            }
        }
        at
    }

    /// An allocation that gave NULL. It hardly ever does: only when it was asked for very much; else something else was missed.
    fn refused_memory(&mut self, spot: Spot, name: &str, path: &Path) {
        // It throws instead (`[new.delete.single]` of C++).
        if plain_name(name).starts_with("operator new") && !name.contains("nothrow") {
            self.refuted = true;
            return;
        }
        let asked = self.asked_for(spot, name);
        if asked.is_some_and(|bytes| bytes < OFTEN_REFUSED) {
            self.refuted = true;
            return;
        }
        let text = match asked {
            Some(bytes) => format!("{name} was asked for {bytes} bytes and had none to give"),
            None => format!("returned by {name}"),
        };
        let mut path = path.with(spot, "result", text.clone());
        if asked.is_none() {
            path.doubts.push(NO_MEMORY);
        }
        self.lead(BirthKind::LibraryResult, spot, text, &path);
    }

    /// The bytes that a call of an allocator asks for.
    fn asked_for(&mut self, spot: Spot, name: &str) -> Option<u64> {
        let mut argument = |number: usize| {
            let &reg = self.machine.arguments.get(number)?;
            self.eval(spot.ctx, spot.at, Src::Reg(Part { reg, offset: 0, size: 8 }))
        };
        match plain_name(name) {
            "malloc" | "rust_alloc" | "rust_alloc_zeroed" => argument(0),
            "calloc" => Some(argument(0)?.saturating_mul(argument(1)?)),
            "realloc" | "aligned_alloc" | "memalign" => argument(1),
            name if name.starts_with("operator new") => argument(0),
            _ => None,
        }
    }

    pub fn returned(&mut self, spot: Spot, target: u64, part: Part, value: Option<u64>, path: &Path) {
        let name = self.name_or_place(target);
        let path = path.with(spot, "result", format!("returned by {name}"));
        if self.sizing && allocates(&name) {
            self.size_of_allocation(spot, &name, &path);
            return;
        }
        if self.allocating && allocates(&name) {
            let what = format!("allocated by {name} and this part never set");
            self.lead(BirthKind::NeverSet, spot, what, &path);
            return;
        }
        if value == Some(0) && self.is_of_go(&name) && super::go::allocates(&name) {
            return;
        }
        if self.is_of_system(target) || self.is_of_go(&name) {
            if let (true, Some(stored), true) = (path.narrow, path.stored, allocates(&name)) {
                self.lead(BirthKind::Stored, stored, "cuts a pointer to 32 bits".to_owned(), &path);
                return;
            }
            if let (true, Some(given), true) =
                (path.narrow, path.steps.iter().find(|step| step.step == "given"), allocates(&name))
            {
                // Found by who calls the function that stores it: the parameter has 32 bits.
                let spot = given.spot;
                self.lead(BirthKind::Stored, spot, "cuts a pointer to 32 bits".to_owned(), &path);
                return;
            }
            if let (true, Some(&returned), true) = (path.narrow, path.returned.last(), allocates(&name)) {
                // A function whose result is an int.
                let path = path.with(returned, "truncated", "returns the low half of a pointer".to_owned());
                self.lead(BirthKind::ReturnedComputed, returned, "cuts a pointer to 32 bits".to_owned(), &path);
                return;
            }
            if returns_first(&name) {
                let reg = self.machine.arguments[0];
                self.trace(spot.ctx, spot.at, Loc::Reg(Part { reg, offset: 0, size: 8 }), value, &path);
                return;
            }
            let pointer = value.filter(|value| (NULL_PAGES..ERROR_POINTERS).contains(value));
            if value == Some(0) && allocates(&name) && path.doubts.contains(&UNKNOWN_INDEX) {
                // It may not even have been stored there.
                return;
            }
            if value == Some(0) && allocates(&name) {
                self.refused_memory(spot, &name, &path);
                return;
            }
            let maps = plain_name(&name).starts_with("mmap");
            if let (Some(value), true, false) = (value, allocates(&name) && !maps, path.narrow)
                && (!self.machine.is_canonical(value)
                    || !value.is_multiple_of(ALIGNED) && !self.is_mapped(value) && value > NULL_PAGES)
            {
                // No allocator gives that out.
                self.refuted = true;
                return;
            }
            if let Some(pointer) = pointer.filter(|&pointer| allocates(&name) && !pointer.is_multiple_of(ALIGNED))
                && let Some(&returned) = path.returned.last()
                && self.space.memory.region(necropsy_model::Avma(pointer)).is_some()
            {
                // No allocator gives that out: the function in between counted on.
                let path = path.with(returned, "changed", "gives a pointer into the middle of the block".to_owned());
                self.lead(BirthKind::ReturnedComputed, returned, "counts the pointer on".to_owned(), &path);
                return;
            }
            if value.is_some() && pointer.is_none() && allocates(&name) && !maps {
                // Neither a block nor NULL: something was counted from another value.
                self.refuted = true;
                return;
            }
            let pointer_is_mapped = pointer.is_some_and(|pointer| self.is_mapped(pointer));
            if let (Some(pointer), true) = (pointer, allocates(&name) && !maps)
                && (self.is_static(pointer) || self.on_stack(pointer))
            {
                // No allocator gives out a variable.
                return;
            }
            if let (Some(pointer), true) = (pointer, allocates(&name) && !(maps && pointer_is_mapped)) {
                self.went_bad(pointer, spot, &name, &path);
                return;
            }
            self.lead(BirthKind::LibraryResult, spot, format!("returned by {name}"), &path);
            return;
        }
        let Some(callee) = self.enter(spot.ctx, spot.at, target) else {
            self.lead(BirthKind::Unknown, spot, format!("returned by {name}, whose code was not read"), &path);
            return;
        };
        let function = self.function(callee);
        let before = self.leads.len();
        let outer = std::mem::take(&mut self.refuted);
        let keyed = std::mem::take(&mut self.keyed);
        for &at in &function.returns {
            let mut path = path.clone();
            path.returned.push(Spot { ctx: callee, at: self.gives_result(callee, at) });
            self.trace(callee, at, Loc::Reg(part), value, &path);
        }
        for &(at, target) in &function.tails {
            if let Some(target) = self.target(callee, at, target) {
                let mut path = path.clone();
                path.returned.push(Spot { ctx: callee, at });
                self.returned(Spot { ctx: callee, at }, target, part, value, &path);
            }
        }
        if std::mem::replace(&mut self.keyed, keyed) {
            // The element is there: the answer for want of one was not given.
            let found = self.leads.split_off(before.min(self.leads.len()));
            let keyed = |lead: &Lead| lead.path.steps.iter().any(|step| step.step == "key");
            let answers = |lead: &Lead| {
                matches!(lead.kind, BirthKind::ReturnedConstant | BirthKind::ReturnedComputed) && !keyed(lead)
            };
            self.leads.extend(found.into_iter().filter(|lead| !answers(lead)));
        }
        let refuted = std::mem::replace(&mut self.refuted, outer);
        if self.leads.len() == before
            && let Some(super::writers::Read { address: Some(address), size, value: Some(value), .. }) = path.read
            && path.steps.iter().rev().nth(1).is_some_and(|step| step.step == "load")
        {
            // What this thread stored there last was something else.
            self.unwritten.get_or_insert(super::elsewhere::Unwritten { address, size, value });
        }
        if self.leads.len() == before && refuted {
            self.refuted = true;
            return;
        }
        if self.leads.len() == before
            && let Some(first) = function.first()
        {
            let mut path = path;
            path.doubts.push(NO_WAY);
            self.lead(BirthKind::Unknown, Spot { ctx: callee, at: first }, format!("returned by {name}"), &path);
        }
    }
}
