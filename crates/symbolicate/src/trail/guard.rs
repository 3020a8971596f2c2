//! Checks that failed: what was compared before the call that ended the process.

use necropsy_model::{MessageKind, Signal, begins_the_end};

use super::Tracer;
use super::chase::NULL_PAGES;
use super::context::Ctx;
use super::op::{Arith, Condition, Flags, Flow, Mem, Op, Part, Src};
use super::subject::{CHECKED, Scene, Subject, called};

/// Instructions between a check and what it guards.
const REACH: usize = 48;
/// Frames of the machinery between a check and the signal.
const MOST_PASSED: usize = 32;

impl<'data> Tracer<'_, '_, 'data> {
    /// The values that may have made a check fail; of two that were compared with one another, both.
    pub fn of_guard(&mut self, scene: &Scene<'_, '_, 'data>) -> Vec<Subject> {
        // A trap that the compiler put behind a check of its own.
        if scene.stop.signal.is_some_and(|signal| matches!(signal.number, Signal::ILL | Signal::TRAP)) {
            let place = self.of_frame(scene.frame).and_then(|ctx| Some((ctx, self.live(ctx)?)));
            return place.map(|(ctx, at)| self.compared_before(ctx, at)).unwrap_or_default();
        }
        let refused = self.refused_by_go(scene);
        if !refused.is_empty() {
            return refused;
        }
        if let Some((ctx, at, called)) = self.ended_by(scene) {
            let takes = ["::unwrap", "::expect", "panic_bounds_check"];
            if takes.iter().any(|name| called.ends_with(name)) {
                let given = self.argument_of(ctx, at, 0, &called);
                // The branch there let one number pass only: which register had it is told by the comparison.
                if let [subject] = given.as_slice()
                    && self.is_written_down(ctx, at, subject.source)
                {
                    let compared = self.compared_before(ctx, at);
                    let fits = |other: &Subject| {
                        other.value == subject.value && matches!(other.source, Src::Reg(_) | Src::Mem(_))
                    };
                    if compared.iter().any(fits) {
                        return compared.into_iter().filter(fits).collect();
                    }
                }
                return given;
            }
            if super::refused::blames_argument(&called) {
                let refused = self.refused(scene);
                // What a look-up of the library gave back is nobody's doing.
                if !refused.is_empty() || looks_up(scene) {
                    return refused;
                }
            }
            self.own_check = self.is_own_check(ctx, at);
            return self.compared_before(ctx, at);
        }
        self.refused(scene)
    }

    /// The program itself asked whether there is a value: nothing of a library but the question was inlined there.
    fn is_own_check(&self, ctx: Ctx, at: usize) -> bool {
        const QUESTIONS: [&str; 2] = ["core::option::Option<", "core::result::Result<"];
        let names = self.names(self.address(ctx, at));
        let own = names.last().is_some_and(|name| !super::own::is_standard(name));
        let mut library = names.iter().filter(|name| super::own::is_standard(name));
        own && library.all(|name| {
            name.function.as_deref().is_some_and(|function| QUESTIONS.iter().any(|start| function.starts_with(start)))
        })
    }

    /// The frame whose call ended the process, and what it called.
    fn ended_by(&mut self, scene: &Scene<'_, '_, 'data>) -> Option<(Ctx, usize, String)> {
        let first = self.behind_hooks(scene);
        let last = scene.walk.frames.len().min(first + MOST_PASSED);
        for frame in first..last {
            let Some(raw) = scene.walk.frames.get(frame) else { break };
            let address = raw.address.lookup().0;
            if self.is_of_system(address) || self.function_name(address).is_some_and(|name| ends_process(&name)) {
                continue;
            }
            let Some(ctx) = self.of_frame(frame) else { continue };
            let Some(at) = self.live(ctx) else { continue };
            let Some(target) = self.insn(ctx, at).and_then(|insn| called(insn.flow)) else { continue };
            let Some(target) = self.target(ctx, at, target) else { continue };
            let name = self.function_name(target).unwrap_or_default();
            // The library of a language ends the process that way, whatever was wrong.
            let own_way = super::library::plain_name(&name) == "abort" && self.is_library(address);
            let inlined = || self.names(address).first().is_some_and(super::own::is_standard);
            if ends_process(&name) && !own_way || name.starts_with("__cxa_throw") && inlined() {
                return Some((ctx, at, name));
            }
            if !self.is_library(address) {
                return None;
            }
        }
        None
    }

    /// The frame from which the stack is read: of a panic or an uncaught exception, the one that began it. What the program runs
    /// since, a hook or a handler that ends the process its own way, has nothing to do with it.
    pub fn behind_hooks(&self, scene: &Scene<'_, '_, 'data>) -> usize {
        if scene.stop.signal.is_none_or(|signal| !matches!(signal.number, Signal::ABRT | Signal::ILL | Signal::TRAP)) {
            return scene.frame;
        }
        let frames = scene.walk.frames.iter().enumerate().skip(scene.frame).take(2 * MOST_PASSED);
        let machinery = frames.filter(|(_, raw)| {
            let name = self.function_name(raw.address.lookup().0);
            name.is_some_and(|name| begins_the_end(&name))
        });
        machinery.last().map_or(scene.frame, |(frame, _)| frame)
    }

    /// What a call was given; behind a pointer to a local variable, what that begins with.
    pub fn argument_of(&mut self, ctx: Ctx, at: usize, number: usize, called: &str) -> Vec<Subject> {
        let Some(&reg) = self.machine.arguments.get(number) else { return Vec::new() };
        let source = Src::Reg(Part { reg, offset: 0, size: 8 });
        let value = self.eval(ctx, at, source);
        let name = format!("what {} was given", short(called));
        let Some(place) = value.filter(|&value| value >= NULL_PAGES && self.on_stack(value)) else {
            return vec![Subject::new(ctx, at, source, value, name)];
        };
        // A result in memory: its first bytes say which of its forms it has, and how many they are is not known.
        let tags = [8, 4, 1].map(|size| {
            let displacement = place.cast_signed();
            let source = Src::Mem(Mem { base: None, index: None, displacement, size, thread_local: false });
            Subject::new(ctx, at, source, self.word(place, size), name.clone())
        });
        tags.into()
    }

    /// What was compared on the way to an instruction, by the branch nearest before it.
    pub fn compared_before(&mut self, ctx: Ctx, at: usize) -> Vec<Subject> {
        let function = self.function(ctx);
        let mut open = std::collections::VecDeque::from([at]);
        let mut seen = vec![at];
        let (branch, taken, condition) = loop {
            let Some(here) = open.pop_front() else { return Vec::new() };
            let mut found = None;
            for edge in function.before(here) {
                if let Some(Flow::Branch(_, condition)) = function.insns.get(edge.from).map(|insn| insn.flow) {
                    found = Some((edge.from, edge.taken, condition));
                    break;
                }
                if !seen.contains(&edge.from) && seen.len() < REACH {
                    seen.push(edge.from);
                    open.push_back(edge.from);
                }
            }
            if let Some(found) = found {
                break found;
            }
        };
        let tests_itself = function.insns.get(branch).is_some_and(|insn| insn.tests != Flags::Kept);
        let setter = if tests_itself { Some(branch) } else { self.flags_before(ctx, branch) };
        let Some(setter) = setter else { return Vec::new() };
        self.compared(ctx, setter, Some((condition, taken)), 3)
    }

    /// The instruction that set the flags which one sees.
    pub fn flags_before(&self, ctx: Ctx, at: usize) -> Option<usize> {
        let function = self.function(ctx);
        let mut setter = at;
        for _ in 0..REACH {
            let [edge] = function.before(setter) else { return None };
            setter = edge.from;
            if function.insns.get(setter)?.flags != Flags::Kept {
                return Some(setter);
            }
        }
        None
    }

    /// The operands of a comparison, with what is known of its outcome.
    pub fn compared(&mut self, ctx: Ctx, at: usize, outcome: Option<(Condition, bool)>, depth: usize) -> Vec<Subject> {
        let Some(insn) = self.insn(ctx, at) else { return Vec::new() };
        let flags = if insn.tests == Flags::Kept { insn.flags } else { insn.tests };
        let truth = match flags {
            Flags::Test { left: Src::Reg(left), right, .. } if right == Src::Reg(left) || right == Src::Const(1) => {
                Some(left)
            }
            Flags::Compare { left: Src::Reg(left), right: Src::Const(0), .. } => Some(left),
            _ => None,
        };
        // The check sees an outcome that was put into a register before.
        if let Some(earlier) = truth.filter(|_| depth > 0).and_then(|part| self.outcome_in(ctx, at, part)) {
            return self.compared(ctx, earlier, None, depth - 1);
        }
        let (source, other, against, size) = match flags {
            Flags::Compare { left, right: Src::Const(right), size } => (left, None, Some(right), size),
            Flags::Test { left, right, size } if left == right => (left, None, Some(0), size),
            Flags::Compare { left, right, size } => (left, Some(right), None, size),
            Flags::Test { left, right: Src::Const(_), size } => (left, None, None, size),
            Flags::Result(part) => (Src::Reg(part), None, Some(0), part.size.min(8)),
            _ => return Vec::new(),
        };
        let mut found = Vec::new();
        for source in [Some(source), other].into_iter().flatten() {
            if !matches!(source, Src::Reg(_) | Src::Mem(_)) {
                continue;
            }
            // The result of arithmetic stands behind the instruction that set the flags.
            let at = match (flags, self.function(ctx).after(at)) {
                (Flags::Result(_), &[next]) => next,
                _ => at,
            };
            let mut subject = Subject::new(ctx, at, source, self.eval(ctx, at, source), CHECKED.to_owned());
            if let (None, Some(against), Some((condition, taken))) = (subject.value, against, outcome) {
                let equal = matches!(condition, Condition::Equal | Condition::NotEqual);
                if equal && condition.holds(against, against, size) == Some(taken) {
                    subject.value = Some(against);
                } else {
                    subject.constraint = Some((condition, against, size, taken));
                }
            }
            found.push(subject);
        }
        found
    }

    /// The comparison whose outcome a register has, put there as 0 or 1.
    fn outcome_in(&mut self, ctx: Ctx, at: usize, part: Part) -> Option<usize> {
        let function = self.function(ctx);
        let (mut here, mut reg) = (at, part.reg);
        for _ in 0..REACH {
            let &[edge] = function.before(here) else { return None };
            here = edge.from;
            let insn = function.insns.get(here)?;
            if matches!(insn.flow, Flow::Call(_)) {
                return None;
            }
            for op in insn.ops.iter().rev() {
                match *op {
                    Op::MaySet { to, from: Src::Reg(_) } if to.reg == reg => {
                        let truth = |value: Option<u64>| value.is_some_and(|value| value < 2);
                        let (one, other) = (self.moved_value(ctx, here, *op), self.eval(ctx, here, Src::Reg(to)));
                        return (truth(one) && truth(other)).then(|| self.flags_before(ctx, here)).flatten();
                    }
                    Op::Compute { to, kind: Arith::Outcome(_) | Arith::Opaque, size: 1, .. } if to.reg == reg => {
                        return self.flags_before(ctx, here);
                    }
                    Op::Set { to, from: Src::Reg(from), .. } if to.reg == reg => reg = from.reg,
                    Op::Compute { to, kind: Arith::And, right: Src::Const(1 | 0xff), .. } if to.reg == reg => {}
                    Op::Set { to, .. } | Op::MaySet { to, .. } | Op::Compute { to, .. } if to.reg == reg => {
                        return None;
                    }
                    Op::Write(other) if other == reg => return None,
                    _ => {}
                }
            }
        }
        None
    }

    /// What a conditional move would put into its register.
    fn moved_value(&mut self, ctx: Ctx, at: usize, op: Op) -> Option<u64> {
        let Op::MaySet { from, .. } = op else { return None };
        self.eval(ctx, at, from)
    }
}

/// The exception tells of a key that a container does not have (`map::at`, `_Map_base::at`).
fn looks_up(scene: &Scene<'_, '_, '_>) -> bool {
    let mut said = scene.messages.iter().filter(|message| message.kind == MessageKind::Terminate);
    said.any(|message| message.text.contains("map::at") || message.text.contains("_Map_base::at"))
}

/// The name of a function without its path and parameters.
pub(super) fn short(name: &str) -> &str {
    name.split('(').next().unwrap_or(name)
}

/// Functions that end the process because a check failed.
fn ends_process(name: &str) -> bool {
    const STARTS: [&str; 9] = [
        "core::panicking::",
        "core::option::",
        "core::result::",
        "core::slice::index::",
        "core::str::slice_error_fail",
        "core::cell::panic_",
        "std::panicking::begin_panic",
        "std::__glibcxx_assert_fail",
        "std::__throw_",
    ];
    let base = super::library::plain_name(name);
    matches!(base, "assert_fail" | "assert_fail_base" | "assert" | "assert_perror_fail" | "assert_rtn" | "abort")
        || STARTS.iter().any(|start| name.starts_with(start))
        || super::go::ends_check(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_a_process_by_its_name() {
        for name in
            ["abort", "__GI_abort", "__assert_fail", "core::panicking::panic_fmt", "std::__throw_out_of_range_fmt"]
        {
            assert!(ends_process(name), "{name}");
        }
        assert!(!ends_process("abort_transfer") && !ends_process("core::fmt::write") && !ends_process("throw_away"));
    }
}
