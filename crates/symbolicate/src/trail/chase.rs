//! From definition to definition: across copies, calls and memory, to where the value came into being.

use necropsy_model::{Avma, BirthKind};

use super::context::Ctx;
use super::lead::{Path, Spot};
use super::op::{Arith, Extend, Flow, Mem, Op, Part, Src, mask};
use super::reach::{Def, Kind, Loc, near};
use super::x86_64::{ARGUMENTS, RAX};
use super::{Limits, Tracer};

/// The first pages are never mapped (`vm.mmap_min_addr`).
const NULL_PAGES: u64 = 0x1_0000;
/// `MAX_ERRNO` of the kernel's `include/linux/err.h`.
const ERROR_POINTERS: u64 = 0_u64.wrapping_sub(4095);

/// Bytes behind a pointer in which a store at an unknown index is looked for.
const SOMEWHERE: u64 = 256;

/// The name of a function of the C library without the marks of its internal aliases: `__GI___libc_free`.
pub(super) fn plain_name(name: &str) -> &str {
    let name = name.split('@').next().unwrap_or(name);
    let name = name.strip_prefix("__GI_").unwrap_or(name).trim_start_matches('_');
    name.strip_prefix("libc_").unwrap_or(name)
}

/// Functions that return fresh memory.
fn allocates(name: &str) -> bool {
    let base = plain_name(name);
    matches!(
        base,
        "malloc"
            | "calloc"
            | "realloc"
            | "aligned_alloc"
            | "posix_memalign"
            | "memalign"
            | "mmap"
            | "mmap64"
            | "strdup"
            | "strndup"
            | "rust_alloc"
            | "rust_alloc_zeroed"
            | "rust_realloc"
    ) || base.starts_with("operator new")
}

/// A value in words.
pub(super) fn words(value: Option<u64>) -> String {
    match value {
        Some(0) => "0".to_owned(),
        Some(value) if value >= ERROR_POINTERS => format!("{}", value.cast_signed()),
        Some(value) => format!("{value:#x}"),
        None => "a value that is not known".to_owned(),
    }
}

impl Tracer<'_, '_, '_> {
    /// Follows a source of an instruction.
    pub fn start(&mut self, ctx: Ctx, at: usize, source: Src, value: Option<u64>, path: &Path) {
        match source {
            Src::Reg(part) => {
                self.trace(ctx, at, Loc::Reg(part), value, path);
            }
            Src::Mem(mem) => {
                let def = Def::start(at, Loc::Mem { address: 0, size: mem.size }, value);
                self.load(ctx, &def, mem, Extend::Zero, path);
            }
            Src::Address(_) | Src::Const(_) | Src::Other => {}
        }
    }

    /// Follows a place backwards from an instruction.
    ///
    /// Whether the entry of the function can be reached without a definition on the way.
    pub fn trace(&mut self, ctx: Ctx, at: usize, loc: Loc, value: Option<u64>, path: &Path) -> bool {
        if path.steps.len() >= Limits::STEPS || self.leads.len() >= Limits::LEADS {
            self.limit_hit = true;
            return true;
        }
        if !self.visited.insert((ctx, at, loc, value)) {
            return true;
        }
        self.overwritten = None;
        let defs = self.reaching(ctx, at, loc, value);
        let passes = defs.iter().any(|def| def.kind == Kind::Entry);
        if let (Some((ctx, at)), true, None) = (self.overwritten, defs.is_empty(), path.floor) {
            self.was_overwritten(Spot { ctx, at }, loc, value, path);
        }
        if defs.is_empty() && path.steps.len() <= 1 {
            let text = format!("nothing that reaches this point gives {}", words(value));
            self.lead(BirthKind::Unknown, Spot { ctx, at }, text, path);
        }
        for def in defs {
            let mut path = path.clone();
            let spot = Spot { ctx, at: def.at };
            if path.gate.is_none() && self.run(ctx).frame.is_some() && def.kind != Kind::Entry {
                path.gate = Some(spot);
            }
            if let Some(store) = def.store.filter(|_| !matches!(def.kind, Kind::Out | Kind::Entry) || def.loc != loc) {
                if path.stored.is_some() {
                    path.doubts.push("it was copied from one place in memory to another");
                }
                path.stored = Some(Spot { ctx, at: store });
                path.floor = None;
                let pointer = def.value.is_some_and(|value| (NULL_PAGES..ERROR_POINTERS).contains(&value));
                if pointer && def.adjusted() && def.loc.size() == 8 {
                    // NULL is not made by adding, but a pointer that was right may be made wrong.
                    let spot = Spot { ctx, at: store };
                    let path = path.with(spot, "changed", "arithmetic on the pointer, stored here".to_owned());
                    self.lead(BirthKind::Stored, spot, "changes the pointer and stores it".to_owned(), &path);
                    continue;
                }
                if path.narrow && self.truncates(ctx, store) {
                    let spot = Spot { ctx, at: store };
                    let path = path.with(spot, "truncated", "stores the low half of a wider value".to_owned());
                    self.lead(BirthKind::Stored, spot, "cuts a pointer to 32 bits".to_owned(), &path);
                    continue;
                }
            }
            let before = self.leads.len();
            let written = def.kind == Kind::Out;
            self.define(ctx, &def, &path);
            // What was written later hides what was written before.
            if written && self.leads.len() > before {
                break;
            }
        }
        passes
    }

    /// A store in the code gave a place another value than it has.
    fn was_overwritten(&mut self, spot: Spot, loc: Loc, value: Option<u64>, path: &Path) {
        let loaded = path.loaded.unwrap_or(spot);
        let path = path.with(spot, "overwritten", "another value was stored here: it was overwritten since".to_owned());
        if let Loc::Mem { address, .. } = loc
            && self.overrun(loaded.ctx, loaded.at, address, value, &path)
        {
            return;
        }
        self.lead(BirthKind::Loaded, loaded, "overwritten since it was stored".to_owned(), &path);
    }

    /// A store of 32 bits of a register that held more.
    fn truncates(&mut self, ctx: Ctx, store: usize) -> bool {
        let Some(insn) = self.insn(ctx, store) else { return false };
        insn.ops.iter().any(|op| match *op {
            Op::Store { to, from: Src::Reg(from) } if to.size == 4 && from.size == 4 => {
                let whole = self.eval(ctx, store, Src::Reg(Part { size: 8, ..from }));
                whole.is_some_and(|whole| super::op::sign_extend(whole, 4) != whole.cast_signed() && whole >> 32 != 0)
            }
            _ => false,
        })
    }

    fn define(&mut self, ctx: Ctx, def: &Def, path: &Path) {
        let spot = Spot { ctx, at: def.at };
        let here = Spot { ctx, at: def.store.unwrap_or(def.at) };
        match def.kind {
            Kind::Value(value) => {
                // The check that failed would have held for this one.
                if let (None, Some((condition, against, size, taken))) = (def.value, self.constraint)
                    && condition.holds(value, against, size).is_some_and(|outcome| outcome != taken)
                {
                    return;
                }
                let path = path.with(here, "constant", format!("{} is put here", words(Some(value))));
                let kind = self.kind_here(ctx, &path, BirthKind::Constant, BirthKind::ReturnedConstant);
                self.lead(kind, here, format!("gives {}", words(Some(value))), &path);
            }
            Kind::Entry => self.enter_from_caller(ctx, def, path),
            Kind::Load { mem, extend } => self.load(ctx, def, mem, extend, path),
            Kind::Result => {
                let part = match def.loc {
                    Loc::Reg(part) => part,
                    Loc::Mem { .. } => return,
                };
                self.result(ctx, def.at, part, def.value, path);
            }
            Kind::Out => {
                if let Loc::Mem { address, size } = def.loc {
                    self.written_by_call(ctx, def.at, address, size, def.value, path);
                }
            }
            Kind::Maker(object) => {
                if let Loc::Mem { address, size } = def.loc {
                    self.made_by_call(ctx, def.at, object, (address, size), def.value, path);
                }
            }
            Kind::Compute { kind, left, right, size } => self.compute(ctx, def, kind, (left, right), size, path),
            Kind::Address(mem) => self.address_sum(ctx, def, mem, path),
            Kind::Fill => {
                let path = path.with(spot, "fill", "memory is filled here".to_owned());
                let kind = if def.value == Some(0) { BirthKind::NeverSet } else { BirthKind::StoredSomewhere };
                self.lead(kind, spot, "filled here and not set since".to_owned(), &path);
            }
            Kind::Unknown => {
                let path = path.with(spot, "lost", "an instruction that is not followed".to_owned());
                let kind = self.kind_here(ctx, &path, BirthKind::Unknown, BirthKind::ReturnedComputed);
                self.lead(kind, here, "changed in a way that is not followed".to_owned(), &path);
            }
        }
    }

    /// The kind of a birth by where it lies: in a frame, in a call that returned, or before a store.
    fn kind_here(&self, ctx: Ctx, path: &Path, alive: BirthKind, gone: BirthKind) -> BirthKind {
        if path.stored.is_some() && alive != BirthKind::Unknown {
            BirthKind::Stored
        } else if self.run(ctx).frame.is_some() {
            alive
        } else {
            gone
        }
    }

    /// What a function was entered with: the caller's.
    fn enter_from_caller(&mut self, ctx: Ctx, def: &Def, path: &Path) {
        let spot = Spot { ctx, at: def.at };
        let mut path = path.clone();
        let caller = self.caller(ctx);
        match def.loc {
            Loc::Reg(part) => {
                let name = necropsy_model::Arch::X86_64.register_names().get(usize::from(part.reg)).copied();
                let name = name.unwrap_or("a register");
                let behind_handler = caller.is_none() && self.is_handler(ctx);
                let jumped = if behind_handler { self.only_jump_to(self.run(ctx).function.entry) } else { None };
                let Some((caller, call)) = caller.or(jumped) else {
                    self.lead(
                        BirthKind::Unknown,
                        spot,
                        format!("came in {name} from a caller that is not known"),
                        &path,
                    );
                    return;
                };
                let parameter = ARGUMENTS.contains(&part.reg);
                if parameter {
                    path = path.with(spot, "parameter", format!("came as a parameter, in {name}"));
                    if self.run(ctx).frame.is_some_and(|frame| frame > 0) && path.gate.is_none() {
                        path.handed.push(Spot { ctx, at: self.live(ctx).unwrap_or(def.at) });
                    }
                }
                self.trace(caller, call, def.loc, def.value, &path);
            }
            Loc::Mem { address, .. } => {
                if path.floor == Some(ctx) {
                    return;
                }
                if self.is_own(ctx, address) {
                    let path = path.with(spot, "uninitialised", "nothing in this function sets it".to_owned());
                    self.lead(
                        BirthKind::UninitialisedLocal,
                        spot,
                        "a local variable that was never set".to_owned(),
                        &path,
                    );
                    return;
                }
                let outer = caller.or_else(|| self.interrupted_below(ctx));
                match outer {
                    Some((outer, call)) => {
                        self.trace(outer, call, def.loc, def.value, &path);
                    }
                    None => {
                        let spot = path.loaded.unwrap_or(spot);
                        if self.overrun(spot.ctx, spot.at, address, def.value, &path) {
                            return;
                        }
                        self.lead(
                            BirthKind::Loaded,
                            spot,
                            "read from memory; who wrote it was not found".to_owned(),
                            &path,
                        );
                    }
                }
            }
        }
    }

    /// A value that was read from memory.
    fn load(&mut self, ctx: Ctx, def: &Def, mem: Mem, extend: Extend, path: &Path) {
        let spot = Spot { ctx, at: def.at };
        let value = def.value.map(|value| mask(value, mem.size));
        if def.value.is_some_and(|value| mask(super::reach::extended(value, mem.size, extend), def.loc.size()) != value)
        {
            return;
        }
        let address = self.address_of(ctx, def.at, &mem);
        let text = match address {
            Some(address) => format!("read from memory at {address:#x}"),
            None => "read from memory".to_owned(),
        };
        let mut path = path.with(spot, "load", text);
        path.floor = None;
        path.narrow = mem.size == 4;
        path.loaded = Some(spot);
        let Some(address) = address else {
            let cycle = mem.base.is_some_and(|base| self.feeds_itself(ctx, def.at, base));
            let kind = match (self.run(ctx).frame.is_some(), cycle) {
                (true, true) if value == Some(0) => BirthKind::EndOfList,
                (true, _) => BirthKind::Loaded,
                (false, _) => BirthKind::ReturnedComputed,
            };
            let spot = match (kind, path.returned.last()) {
                // The walk found nothing: what it returns is the answer, not the link it read last.
                (BirthKind::ReturnedComputed, Some(&returned)) if cycle && returned.ctx == ctx => returned,
                _ => spot,
            };
            let what = if cycle { "a walk came to its end" } else { "read from memory that can not be located" };
            self.lead(kind, spot, what.to_owned(), &path);
            return;
        };
        if let Some((source, index)) = self.index_beyond(ctx, def.at, &mem, address) {
            let path = path.with(spot, "index", format!("the index {} is beyond the object", words(Some(index))));
            self.start(ctx, def.at, source, Some(index), &path);
            return;
        }
        let now = self.word(address, mem.size);
        if let (Some(now), Some(value)) = (now, value)
            && now != value
            && !self.is_own(ctx, address)
        {
            path.doubts.push("memory has changed since it was read");
        }
        self.memory(ctx, def.at, address, mem.size, value, &path);
    }

    /// The part of an address that leads out of the variable that the other part points at.
    fn index_beyond(&mut self, ctx: Ctx, at: usize, mem: &Mem, address: u64) -> Option<(Src, u64)> {
        let (index, scale) = mem.index?;
        let word = |reg| Src::Reg(Part { reg, offset: 0, size: 8 });
        let index_value = self.eval(ctx, at, word(index))?;
        let outside = |start: u64, this: &Self| {
            let (first, size) = this.variable_at(start)?;
            (address < first || address >= first.saturating_add(size)).then_some(())
        };
        let base = match mem.base {
            None => mem.displacement.cast_unsigned(),
            Some(base) => self.eval(ctx, at, word(base))?.wrapping_add_signed(mem.displacement),
        };
        if outside(base, self).is_some() {
            return Some((word(index), index_value));
        }
        let swapped = index_value.wrapping_add_signed(mem.displacement);
        let other = mem.base.filter(|_| scale == 1 && outside(swapped, self).is_some())?;
        Some((word(other), self.eval(ctx, at, word(other))?))
    }

    /// A register that a load writes feeds its own address: a walk along a list.
    fn feeds_itself(&mut self, ctx: Ctx, at: usize, base: super::op::Reg) -> bool {
        let loc = Loc::Reg(Part { reg: base, offset: 0, size: 8 });
        let defs = self.reaching(ctx, at, loc, None);
        defs.iter().any(|def| def.at == at && matches!(def.kind, Kind::Load { .. }))
    }

    /// What wrote a place in memory.
    fn memory(&mut self, ctx: Ctx, at: usize, address: u64, size: u8, value: Option<u64>, path: &Path) {
        if self.is_static(address) {
            self.global(ctx, at, address, size, value, path);
            return;
        }
        self.trace(ctx, at, Loc::Mem { address, size }, value, path);
    }

    /// The address lies on the stack of the thread.
    pub fn on_stack(&self, address: u64) -> bool {
        let sp = self.frames.first().and_then(|frame| frame.registers.sp());
        let region = sp.and_then(|sp| self.space.memory.region(Avma(sp)));
        region.is_some_and(|region| region.start.0 <= address && address < region.end.0)
    }

    /// The result of a call that has returned.
    fn result(&mut self, ctx: Ctx, call: usize, part: Part, value: Option<u64>, path: &Path) {
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

    /// A pointer that was right when it was made: who freed the object since.
    fn went_bad(&mut self, pointer: u64, spot: Spot, name: &str, path: &Path) {
        let before = self.leads.len();
        if let Some(&Spot { ctx, at }) = path.steps.first().map(|step| &step.spot) {
            self.seeking = true;
            self.trace(ctx, at, Loc::Mem { address: pointer, size: 8 }, None, path);
            self.seeking = false;
        }
        let mut index = 0;
        self.leads.retain(|lead| {
            index += 1;
            index <= before || lead.kind == BirthKind::Freed
        });
        if self.leads.len() == before {
            let text = format!("it was right when {name} returned it; what happened since was not found");
            self.lead(BirthKind::Loaded, spot, text, path);
        }
    }

    /// The instruction before a return that gives the result: the line of the `return`, not that of the closing brace.
    fn gives_result(&self, ctx: Ctx, at: usize) -> usize {
        /// Instructions of an epilogue.
        const REACH: usize = 12;
        let function = self.function(ctx);
        let mut back = at;
        for _ in 0..REACH {
            let Some(edge) = function.before(back).first() else { break };
            back = edge.from;
            let writes = function.insns.get(back).is_some_and(|insn| {
                insn.ops.iter().any(|op| matches!(op, Op::Set { to, .. } | Op::Compute { to, .. } if to.reg == RAX))
            });
            if writes {
                return back;
            }
        }
        at
    }

    fn returned(&mut self, spot: Spot, target: u64, part: Part, value: Option<u64>, path: &Path) {
        let name = self.function_name(target).unwrap_or_else(|| format!("the function at {target:#x}"));
        let path = path.with(spot, "result", format!("returned by {name}"));
        if self.is_of_system(target) {
            if let (true, Some(stored), true) = (path.narrow, path.stored, allocates(&name)) {
                self.lead(BirthKind::Stored, stored, "cuts a pointer to 32 bits".to_owned(), &path);
                return;
            }
            let pointer = value.filter(|value| (NULL_PAGES..ERROR_POINTERS).contains(value));
            if let (Some(pointer), true) = (pointer, allocates(&name)) {
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
        for &at in &function.returns {
            let mut path = path.clone();
            path.returned.push(Spot { ctx: callee, at: self.gives_result(callee, at) });
            self.trace(callee, at, Loc::Reg(part), value, &path);
        }
        for &(at, target) in &function.tails {
            if let Some(target) = self.target(callee, at, target) {
                self.returned(Spot { ctx: callee, at }, target, part, value, &path);
            }
        }
        if self.leads.len() == before
            && let Some(first) = function.first()
        {
            let mut path = path;
            path.doubts.push("no way through the function gives this value");
            self.lead(
                BirthKind::ReturnedComputed,
                Spot { ctx: callee, at: first },
                format!("returned by {name}"),
                &path,
            );
        }
    }

    /// A call that got a pointer to the place.
    fn written_by_call(&mut self, ctx: Ctx, call: usize, address: u64, size: u8, value: Option<u64>, path: &Path) {
        let Some(insn) = self.insn(ctx, call) else { return };
        let Flow::Call(target) = insn.flow else { return };
        let Some(target) = self.target(ctx, call, target) else { return };
        self.written_by(Spot { ctx, at: call }, target, (address, size), value, path);
    }

    fn written_by(&mut self, spot: Spot, target: u64, place: (u64, u8), value: Option<u64>, path: &Path) {
        let (address, size) = place;
        if self.is_of_system(target) {
            self.written_by_library(spot, target, place, value, path);
            return;
        }
        let Some(callee) = self.enter(spot.ctx, spot.at, target) else { return };
        let name = self.function_name(target).unwrap_or_else(|| format!("the function at {target:#x}"));
        let mut path = path.with(spot, "written-by", format!("{name} got a pointer to it"));
        path.floor = Some(callee);
        let function = self.function(callee);
        let before = self.leads.len();
        let hit = self.limit_hit;
        let mut passes = function.returns.is_empty() || function.incomplete;
        let mut lost = None;
        for &at in &function.returns {
            passes |= self.trace(callee, at, Loc::Mem { address, size }, value, &path);
            lost = lost.or(self.overwritten);
        }
        for &(at, target) in &function.tails {
            if let Some(target) = self.target(callee, at, target) {
                passes |= self.trace(callee, at, Loc::Mem { address, size }, value, &path);
                self.written_by(Spot { ctx: callee, at }, target, place, value, &path);
            }
        }
        if self.leads.len() > before || hit != self.limit_hit {
            return;
        }
        if let (false, Some((ctx, at))) = (passes, lost) {
            self.was_overwritten(Spot { ctx, at }, Loc::Mem { address, size }, value, &path);
            return;
        }
        self.stored_somewhere(callee, place, value, &path);
    }

    /// A store whose address can not be computed, through a pointer into the object.
    fn stored_somewhere(&mut self, ctx: Ctx, place: (u64, u8), value: Option<u64>, path: &Path) {
        let (address, size) = place;
        let function = self.function(ctx);
        for (at, insn) in function.insns.iter().enumerate() {
            for op in &insn.ops {
                let Op::Store { to, from } = *op else { continue };
                if to.size != size || self.address_of(ctx, at, &to).is_some() {
                    continue;
                }
                let Some(base) = to.base else { continue };
                let loc = Loc::Reg(Part { reg: base, offset: 0, size: 8 });
                let mut bases: Vec<u64> =
                    self.eval(ctx, at, Src::Reg(Part { reg: base, offset: 0, size: 8 })).into_iter().collect();
                for def in self.reaching(ctx, at, loc, None) {
                    match (def.kind, def.loc) {
                        (Kind::Entry, Loc::Reg(part)) => {
                            if let Some((caller, call)) = self.caller(ctx)
                                && let Some(known) = self.eval(caller, call, Src::Reg(part))
                            {
                                bases.push(def.undo(known));
                            }
                        }
                        // A pointer and an index: either may be the pointer.
                        (Kind::Compute { kind: Arith::Add, left, right, .. }, _) => {
                            bases.extend(self.eval(ctx, def.at, left));
                            bases.extend(self.eval(ctx, def.at, right));
                        }
                        _ => {}
                    }
                }
                if !bases.iter().any(|&base| near(base, address) && address - base < SOMEWHERE) {
                    continue;
                }
                let fits = match from {
                    Src::Const(constant) => value.is_none_or(|value| mask(constant, size) == value),
                    Src::Reg(part) => {
                        let defs = self.reaching(ctx, at, Loc::Reg(part), value);
                        defs.iter().any(|def| matches!(def.kind, Kind::Value(_)))
                    }
                    _ => false,
                };
                if fits {
                    let spot = Spot { ctx, at };
                    let path =
                        path.with(spot, "store", "a store into the object, at an index that is not known".to_owned());
                    self.lead(
                        BirthKind::StoredSomewhere,
                        spot,
                        "stored through a pointer to the object".to_owned(),
                        &path,
                    );
                    return;
                }
            }
        }
    }

    /// What functions of the C library are known to do to memory.
    fn written_by_library(&mut self, spot: Spot, target: u64, place: (u64, u8), value: Option<u64>, path: &Path) {
        let Some(name) = self.function_name(target) else { return };
        let argument = |tracer: &mut Self, number: usize| {
            let &reg = ARGUMENTS.get(number)?;
            tracer.eval(spot.ctx, spot.at, Src::Reg(Part { reg, offset: 0, size: 8 }))
        };
        let Some(first) = argument(self, 0) else { return };
        let base = plain_name(&name);
        let released = matches!(base, "free" | "cfree" | "realloc" | "reallocarray")
            || base.starts_with("operator delete")
            || base.starts_with("ZdlPv")
            || base.starts_with("ZdaPv");
        if released {
            // The pointer that was given may have been replaced by the result.
            let replaced = self.seeking && base.starts_with("realloc") && !self.is_mapped(place.0);
            if replaced {
                let mut path = path.with(spot, "freed", format!("{name} may have moved the object"));
                path.doubts.push("the pointer it was given has been overwritten since");
                self.lead(BirthKind::Freed, spot, format!("{name} moved an object like it"), &path);
                return;
            }
            if self.chunk_covers(first, place.0) {
                let path = path.with(spot, "freed", format!("{name}({first:#x}) frees the object"));
                self.lead(BirthKind::Freed, spot, format!("the object is given to {name}"), &path);
            }
            return;
        }
        if !near(first, place.0) {
            return;
        }
        let offset = place.0.wrapping_sub(first);
        if base.starts_with("memset") {
            let Some(count) = argument(self, 2).filter(|&count| offset < count) else { return };
            let byte = argument(self, 1);
            let fits =
                value.zip(byte).is_none_or(|(value, byte)| mask(u64::from_ne_bytes([byte as u8; 8]), place.1) == value);
            if fits {
                let path = path.with(spot, "fill", format!("{name} fills {count} bytes here"));
                self.lead(BirthKind::NeverSet, spot, format!("filled by {name} and not set since"), &path);
            }
        } else if base.starts_with("memcpy") || base.starts_with("memmove") || base.starts_with("mempcpy") {
            let (Some(from), Some(_)) = (argument(self, 1), argument(self, 2).filter(|&count| offset < count)) else {
                return;
            };
            let mut path = path.with(spot, "copy", format!("{name} copies it from {:#x}", from.wrapping_add(offset)));
            path.floor = None;
            self.memory(spot.ctx, spot.at, from.wrapping_add(offset), place.1, value, &path);
        }
    }

    /// The object at a pointer may reach to an address.
    pub fn covers(&self, pointer: u64, address: u64) -> bool {
        if self.on_stack(address) || self.is_static(address) {
            return near(pointer, address);
        }
        pointer > 0xffff && self.chunk_covers(pointer, address)
    }

    /// The heap chunk at a pointer reaches to an address, by the size in front of it (glibc `malloc_chunk`).
    fn chunk_covers(&self, pointer: u64, address: u64) -> bool {
        /// Largest chunk that is believed.
        const LARGEST: u64 = 1 << 40;
        let size = pointer.checked_sub(8).and_then(|header| self.word(header, 8)).map(|size| size & !7);
        match size {
            Some(size) if (0x20..LARGEST).contains(&size) && size.is_multiple_of(16) => {
                address.wrapping_sub(pointer) < size - 8
            }
            // A large block that is gone took its header with it.
            _ => near(pointer, address),
        }
    }

    /// A call that returned the object around the place.
    fn made_by_call(&mut self, ctx: Ctx, call: usize, object: u64, place: (u64, u8), value: Option<u64>, path: &Path) {
        let Some(insn) = self.insn(ctx, call) else { return };
        let Flow::Call(target) = insn.flow else { return };
        let spot = Spot { ctx, at: call };
        let Some(target) = self.target(ctx, call, target) else { return };
        self.made_by(spot, target, object, place, value, path);
    }

    fn made_by(&mut self, spot: Spot, target: u64, object: u64, place: (u64, u8), value: Option<u64>, path: &Path) {
        let name = self.function_name(target).unwrap_or_else(|| format!("the function at {target:#x}"));
        if self.is_of_system(target) || allocates(&name) {
            let path = path.with(spot, "allocated", format!("{name} returned the object {object:#x}"));
            self.lead(BirthKind::NeverSet, spot, format!("allocated by {name} and this part never set"), &path);
            return;
        }
        let Some(callee) = self.enter(spot.ctx, spot.at, target) else { return };
        let path = path.with(spot, "made-by", format!("{name} returned the object {object:#x}"));
        let function = self.function(callee);
        let result = Loc::Reg(Part { reg: RAX, offset: 0, size: 8 });
        for &at in &function.returns {
            for def in self.reaching(callee, at, result, Some(object)) {
                if def.kind == Kind::Result
                    && let Some(value) = def.value
                {
                    self.runs[callee.0].results.push((def.at, value));
                }
            }
        }
        // What was asked before the result was known.
        self.evaluated.retain(|&(ctx, ..), _| ctx != callee);
        self.result_known.retain(|&(ctx, _), _| ctx != callee);
        let before = self.leads.len();
        for &at in &function.returns {
            self.trace(callee, at, Loc::Mem { address: place.0, size: place.1 }, value, &path);
        }
        for &(at, target) in &function.tails {
            if let Some(target) = self.target(callee, at, target) {
                self.made_by(Spot { ctx: callee, at }, target, object, place, value, &path);
            }
        }
        if self.leads.len() == before
            && let Some(first) = function.first()
        {
            let mut path = path;
            path.doubts.push("no way through the function gives this value");
            self.lead(BirthKind::NeverSet, Spot { ctx: callee, at: first }, format!("{name} made the object"), &path);
        }
    }

    /// Arithmetic: the operand that made the result bad, or the operation itself.
    fn compute(&mut self, ctx: Ctx, def: &Def, kind: Arith, operands: (Src, Src), size: u8, path: &Path) {
        let (left, right) = operands;
        let here = Spot { ctx, at: def.store.unwrap_or(def.at) };
        let (one, other) = (self.eval(ctx, def.at, left), self.eval(ctx, def.at, right));
        if let (Some(one), Some(other), Some(value)) = (one, other, def.value)
            && kind.apply(one, other, size).is_some_and(|result| result != mask(value, size))
            && !matches!(left, Src::Mem(_))
        {
            return;
        }
        let wide = size == 8 && matches!(kind, Arith::Add | Arith::Sub);
        let sound = |value: Option<u64>| value.is_some_and(|value| value >= NULL_PAGES && self.is_mapped(value));
        if wide
            && def.value.is_some_and(|value| value < NULL_PAGES)
            && kind == Arith::Add
            && (sound(one) || sound(other))
        {
            // No index makes NULL of a pointer.
            return;
        }
        let guilty = if wide { self.guilty((left, one), (right, other), kind, def.value) } else { None };
        if let Some((source, value)) = guilty {
            let path = path.with(Spot { ctx, at: def.at }, "arithmetic", "one operand of the sum is bad".to_owned());
            self.start(ctx, def.at, source, value, &path);
            return;
        }
        let path = path.with(here, "arithmetic", "computed here".to_owned());
        let birth = self.kind_here(ctx, &path, BirthKind::Arithmetic, BirthKind::ReturnedComputed);
        self.lead(birth, here, "computed here".to_owned(), &path);
    }

    pub fn is_mapped(&self, value: u64) -> bool {
        self.space.memory.region(Avma(value)).is_some() || self.space.images.at(Avma(value)).is_some()
    }

    /// Of a sum, the operand that can not be right.
    fn guilty(
        &self,
        left: (Src, Option<u64>),
        right: (Src, Option<u64>),
        kind: Arith,
        sum: Option<u64>,
    ) -> Option<(Src, Option<u64>)> {
        let solved = |known: Option<u64>, of_left: bool| {
            let (sum, known) = sum.zip(known)?;
            Some(match (kind, of_left) {
                (Arith::Add, _) => sum.wrapping_sub(known),
                (_, true) => sum.wrapping_add(known),
                (_, false) => known.wrapping_sub(sum),
            })
        };
        let one = left.1.or_else(|| solved(right.1, true));
        let other = right.1.or_else(|| solved(left.1, false));
        let badness = |value: Option<u64>| {
            let value = value?;
            Some(match value {
                ERROR_POINTERS.. => 5,
                value if !matches!(value >> 47, 0 | 0x1_ffff) => 4,
                value if value < NULL_PAGES => 1,
                value if !self.is_mapped(value) => 3,
                _ => 0,
            })
        };
        let pick = |source: (Src, Option<u64>), value| {
            matches!(source.0, Src::Reg(_) | Src::Mem(_)).then_some((source.0, value))
        };
        if sum.is_some() && badness(sum) == Some(0) {
            return None;
        }
        match (badness(one), badness(other)) {
            (Some(one_bad), Some(other_bad)) if one_bad == other_bad => None,
            (Some(0), Some(_)) => pick(right, other),
            (Some(_), Some(0)) => pick(left, one),
            (Some(one_bad), Some(other_bad)) if one_bad > other_bad => pick(left, one),
            (Some(_), Some(_)) => pick(right, other),
            _ => None,
        }
    }

    fn address_sum(&mut self, ctx: Ctx, def: &Def, mem: Mem, path: &Path) {
        let here = Spot { ctx, at: def.store.unwrap_or(def.at) };
        let word = |reg| Src::Reg(Part { reg, offset: 0, size: 8 });
        if let (Some(base), Some((index, _))) = (mem.base, mem.index) {
            let (one, other) = (self.eval(ctx, def.at, word(base)), self.eval(ctx, def.at, word(index)));
            let scale = u64::from(mem.index.map_or(1, |(_, scale)| scale)).max(1);
            let rest = def.value.map(|value| value.wrapping_sub(mem.displacement.cast_unsigned()));
            let scaled = other.map(|other| other.wrapping_mul(scale));
            let solved =
                rest.zip(one).map(|(rest, one)| rest.wrapping_sub(one)).filter(|rest| rest.is_multiple_of(scale));
            let other = other.or(solved.map(|solved| (solved.cast_signed() / scale.cast_signed()).cast_unsigned()));
            let one = one.or(rest.zip(scaled).map(|(rest, scaled)| rest.wrapping_sub(scaled)));
            let chosen = self.guilty((word(base), one), (word(index), other), Arith::Add, None);
            if let Some((source, value)) = chosen {
                let path =
                    path.with(Spot { ctx, at: def.at }, "arithmetic", "one operand of the sum is bad".to_owned());
                self.start(ctx, def.at, source, value, &path);
                return;
            }
        }
        let path = path.with(here, "address", "an address that is computed here".to_owned());
        let birth = self.kind_here(ctx, &path, BirthKind::Arithmetic, BirthKind::ReturnedComputed);
        self.lead(birth, here, "an address computed here".to_owned(), &path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_inside_the_c_library_have_one_name() {
        assert_eq!(["__GI___libc_free", "free", "__libc_free"].map(plain_name), ["free"; 3]);
        assert_eq!(["__GI__setjmp", "_setjmp", "__sigsetjmp"].map(plain_name), ["setjmp", "setjmp", "sigsetjmp"]);
        assert!(allocates("operator new(unsigned long)") && allocates("__GI___libc_malloc") && !allocates("mallopt"));
    }

    #[test]
    fn values_in_words() {
        assert_eq!(
            [Some(0), Some(u64::MAX), Some(0x10), None].map(words),
            ["0", "-1", "0x10", "a value that is not known"]
        );
    }
}
