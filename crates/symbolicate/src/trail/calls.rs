//! Calls on the way: what they change, what they were given, what they returned.

use super::Tracer;
use super::context::Ctx;
use super::definition::{Kind, Loc};
use super::op::{Flow, Mem, Op, Part, Reg, Src};

/// Calls below a call in which a release is looked for.
const RELEASE_DEPTH: usize = 6;
/// Accessors that call accessors.
const ACCESSOR_DEPTH: usize = 24;

/// What is looked for below a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Heap {
    Release,
    Allocation,
}

/// Functions of the C library that change nothing.
fn looks_only(name: &str) -> bool {
    const NAMES: [&str; 20] = [
        "strlen",
        "strnlen",
        "strcmp",
        "strncmp",
        "strcasecmp",
        "strncasecmp",
        "strchr",
        "strrchr",
        "strstr",
        "memcmp",
        "memchr",
        "strspn",
        "strcspn",
        "atoi",
        "atol",
        "abs",
        "isatty",
        "toupper",
        "tolower",
        "ctype_b_loc",
    ];
    let base = super::library::plain_name(name);
    NAMES.iter().any(|known| super::library::is_variant_of(base, known))
}

impl Tracer<'_, '_, '_> {
    /// A call changes a register that it need not preserve. gcc knows which ones a function of the same unit leaves alone
    /// (`-fipa-ra`), and keeps values there.
    pub fn clobbers(&mut self, ctx: Ctx, call: usize, reg: Reg) -> bool {
        let Some(insn) = self.insn(ctx, call) else { return true };
        let Flow::Call(Src::Const(target)) = insn.flow else { return true };
        self.function_clobbers(target, reg, ctx, call, 3)
    }

    /// A register has the result of a call. Where the first argument stands in the same register, a function may leave that alone.
    pub fn gives_back(&mut self, ctx: Ctx, call: usize, reg: Reg) -> bool {
        let machine = self.machine;
        machine.results.contains(&reg) && (!machine.arguments.contains(&reg) || self.clobbers(ctx, call, reg))
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
        let mut clobbers = function.incomplete;
        for &(_, target) in &function.tails {
            clobbers |= match target {
                Src::Const(next) => self.function_clobbers(next, reg, ctx, call, left - 1),
                _ => true,
            };
        }
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
        if self.is_result_on_stack(ctx, call, address) {
            return Some(Kind::Out);
        }
        if self.only_looks(ctx, call) {
            return None;
        }
        if self.seeking && !self.may_release(ctx, call) {
            return None;
        }
        if let Some(object) = self.result_of(ctx, call)
            && self.covers(object, address)
            && !self.is_own(ctx, address)
            && !self.on_stack(address)
            && self.first_argument_returned(ctx, call).is_none()
        {
            return Some(Kind::Maker(object));
        }
        if !self.on_stack(address)
            && !self.is_static(address)
            && let Some(object) = self.stored_result(ctx, call, address)
        {
            return Some(Kind::Maker(object));
        }
        if self.seeking {
            return Some(Kind::Out);
        }
        let arguments = self.arguments(ctx, call);
        let reaches =
            |&(_, argument): &(usize, u64)| self.covers(argument, address) || self.leads_to(argument, address);
        if arguments.iter().any(reaches) {
            return Some(Kind::Out);
        }
        // What it returned leads there, and nothing that it was given does.
        if let Some(object) = self.result_of(ctx, call)
            && !self.seeking
            && !self.is_own(ctx, address)
            && self.leads_to(object, address)
            && self.first_argument_returned(ctx, call).is_none()
        {
            return Some(Kind::Maker(object));
        }
        if let Some((reg, element)) = self.element_given(ctx, call, address) {
            return Some(Kind::Element(reg, element));
        }
        if !self.part_given {
            // What is asked for on the way asks the same.
            self.part_given = true;
            self.part_given = self.given_part_of(ctx, call, address);
        }
        None
    }

    /// The function that an instruction calls, by its code or by a pointer that is known.
    fn callee(&mut self, ctx: Ctx, call: usize) -> Option<u64> {
        let Flow::Call(target) = self.insn(ctx, call)?.flow else { return None };
        self.target(ctx, call, target)
    }

    /// A call that can lead to the release of an object. What is not known may.
    fn may_release(&mut self, ctx: Ctx, call: usize) -> bool {
        let Some(target) = self.callee(ctx, call) else { return true };
        self.reaches_release(target)
    }

    /// A function from which a release can be reached.
    pub fn reaches_release(&mut self, target: u64) -> bool {
        self.reaches_heap(target, Heap::Release, RELEASE_DEPTH)
    }

    /// A function from which an allocation can be reached.
    pub fn reaches_allocation(&mut self, target: u64) -> bool {
        self.reaches_heap(target, Heap::Allocation, RELEASE_DEPTH)
    }

    /// What is not known may release, and is not taken for an allocation.
    fn reaches_heap(&mut self, target: u64, sought: Heap, left: usize) -> bool {
        let unknown = sought == Heap::Release;
        if left == 0 {
            return unknown;
        }
        if let Some(&known) = self.reaching_heap.get(&(target, sought)) {
            return known;
        }
        // A recursion adds nothing.
        self.reaching_heap.insert((target, sought), false);
        let found = if self.is_of_system(target) {
            self.function_name(target).is_some_and(|name| match sought {
                Heap::Release => super::memory::releases(&name) || super::library::moves_text(&name),
                Heap::Allocation => super::library::allocates(&name),
            })
        } else {
            match self.function_at(target, None) {
                Some(function) => {
                    let mut calls: Vec<Src> = Vec::new();
                    calls.extend(function.insns.iter().filter_map(|insn| match insn.flow {
                        Flow::Call(target) | Flow::JumpTo(target) => Some(target),
                        _ => None,
                    }));
                    calls.extend(function.tails.iter().map(|&(_, target)| target));
                    calls.into_iter().any(|target| match target {
                        Src::Const(target) => {
                            let target = self.behind_plt(target);
                            self.reaches_heap(target, sought, left - 1)
                        }
                        _ => unknown,
                    })
                }
                None => unknown,
            }
        };
        self.reaching_heap.insert((target, sought), found);
        found
    }

    /// A call of a function that changes nothing and makes nothing: an accessor.
    pub fn only_looks(&mut self, ctx: Ctx, call: usize) -> bool {
        let Some(Flow::Call(Src::Const(target))) = self.insn(ctx, call).map(|insn| insn.flow) else { return false };
        let target = self.behind_plt(target);
        self.is_accessor(target, ACCESSOR_DEPTH)
    }

    /// A function that stores nothing but in its own frame, and calls nothing but such functions.
    pub fn is_accessor(&mut self, target: u64, left: usize) -> bool {
        if left == 0 {
            return false;
        }
        if let Some(&known) = self.accessors.get(&target) {
            return known;
        }
        self.accessors.insert(target, false);
        let found = if self.is_of_system(target) {
            self.function_name(target).is_some_and(|name| looks_only(&name))
        } else if let Some(function) = self.function_at(target, None).filter(|function| function.entry == target) {
            self.changes_nothing(&function, left)
        } else {
            false
        };
        self.accessors.insert(target, found);
        found
    }

    fn changes_nothing(&mut self, function: &super::function::Function, left: usize) -> bool {
        let own = |at: usize, to: &Mem| function.stack(at).slot(to).is_some_and(|offset| offset < 0);
        if function.incomplete || function.returns.is_empty() && function.tails.is_empty() {
            return false;
        }
        for (at, insn) in function.insns.iter().enumerate() {
            let inside = insn.ops.iter().all(|op| match op {
                Op::Store { to, .. } | Op::Update { to, .. } => own(at, to),
                Op::Fill { .. } => false,
                _ => true,
            });
            let looks = match insn.flow {
                _ if !inside => return false,
                Flow::Call(Src::Const(next)) => {
                    let next = self.behind_plt(next);
                    self.is_accessor(next, left - 1)
                }
                Flow::Call(_) | Flow::JumpTo(_) => false,
                _ => true,
            };
            if !looks {
                return false;
            }
        }
        let tails = function.tails.clone();
        tails.into_iter().all(|(_, target)| match target {
            Src::Const(target) => {
                let target = self.behind_plt(target);
                self.is_accessor(target, left - 1)
            }
            _ => false,
        })
    }

    /// What a call of an accessor returned, computed from what it was given.
    pub fn looked_up(&mut self, ctx: Ctx, call: usize) -> Option<u64> {
        if !self.only_looks(ctx, call) {
            return None;
        }
        let target = self.callee(ctx, call).filter(|&target| !self.is_of_system(target))?;
        let callee = self.enter(ctx, call, target)?;
        let function = self.function(callee);
        let mut agreed = None;
        for &at in &function.returns {
            let value = self.eval(callee, at, Src::Reg(Part { reg: self.machine.result, offset: 0, size: 8 }))?;
            if agreed.is_some_and(|agreed| agreed != value) {
                return None;
            }
            agreed = Some(value);
        }
        agreed
    }

    /// An argument that can not be told is some place in the object around an address: an element of an array.
    fn given_part_of(&mut self, ctx: Ctx, call: usize, address: u64) -> bool {
        self.machine.arguments.iter().take(3).any(|&reg| {
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

    /// A store whose place can not be told goes to some element of the object around an address.
    pub fn may_store_to(&mut self, ctx: Ctx, at: usize, to: &Mem, address: u64) -> bool {
        if self.part_given || self.stop_at_slots || self.seeking || self.in_elements {
            return false;
        }
        self.in_elements = true;
        let bases = self.bases_of(ctx, at, to);
        self.in_elements = false;
        bases.iter().any(|&base| base <= address && base > 0xffff && self.covers(base, address))
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
        // It gives nothing back: what stands there was there before.
        let insn = self.insn(ctx, call)?;
        if self.keeps_registers(&insn) {
            return None;
        }
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
        let result = Part { reg: self.machine.result, offset: 0, size: 8 };
        // Where the first argument stands in the same register, the next call may get it as it is.
        if let (Some(frame), Some(live), &[next]) = (self.run(ctx).frame, self.live(ctx), function.after(call))
            && self.machine.arguments.contains(&result.reg)
            && (next == live || !self.changed_between(ctx, next, live, Loc::Reg(result)))
            && let Some(value) = self.live_value(ctx, frame, result.reg)
        {
            return Some(value);
        }
        for _ in 0..reach {
            let &[next] = function.after(at) else { return None };
            at = next;
            let insn = function.insns.get(at)?;
            for op in &insn.ops {
                let kept = match *op {
                    Op::Set { to, from: Src::Reg(from), .. }
                        if from.reg == self.machine.result && from.size == 8 && to.reg != self.machine.result =>
                    {
                        let &[behind] = function.after(at) else { return None };
                        self.eval(ctx, behind, Src::Reg(Part { reg: to.reg, offset: 0, size: 8 }))
                    }
                    Op::Store { to, from: Src::Reg(from) } if from.reg == self.machine.result && from.size == 8 => {
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
                || self.may_change(ctx, at, Loc::Reg(Part { reg: self.machine.result, offset: 0, size: 8 }))
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
                if from.reg != self.machine.result || from.size != 8 || to.index.is_none() {
                    continue;
                }
                let array = self.address_of(ctx, at, &Mem { index: None, ..to })?;
                let elements = (0..ELEMENTS).map_while(|index| self.word(array.wrapping_add(index * 8), 8));
                let elements: Vec<u64> = elements.collect();
                return elements.into_iter().find(|&element| self.covers(element, address));
            }
            let rax = Loc::Reg(Part { reg: self.machine.result, offset: 0, size: 8 });
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
        let first = Src::Reg(Part { reg: *self.machine.arguments.first()?, offset: 0, size: 8 });
        if super::library::returns_first(&name) { self.eval(ctx, call, first) } else { None }
    }
}
