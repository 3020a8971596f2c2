//! Text where a pointer should be: who wrote it past the end of the object before.

use std::collections::HashSet;

use necropsy_model::BirthKind;

use super::Tracer;
use super::context::Ctx;
use super::lead::{Path, Spot, UNKNOWN_INDEX};
use super::op::{Flow, Op, Src};

/// Bytes of text that are followed to its start.
const LONGEST: u64 = 4096;
/// Bytes from the start of an object to the text in it.
const INSIDE: u64 = 64;

/// Calls below a call in which an array of an object may be filled.
const FILLERS_BELOW: usize = 3;

impl Tracer<'_, '_, '_> {
    /// The value at an address is a part of a text that begins before: finds the call that got the object where it begins.
    pub fn overrun(&mut self, ctx: Ctx, at: usize, address: u64, value: Option<u64>, path: &Path) -> bool {
        let Some(start) = value.and_then(|value| self.text_start(address, value)) else { return false };
        let mut here = Some((ctx, at));
        while let Some((ctx, at)) = here {
            if self.run(ctx).frame.is_some() && self.writer_before(ctx, at, start, path) {
                return true;
            }
            here = self.caller(ctx);
        }
        false
    }

    /// Something at an address was written over: finds the one function that got the object, and stores into an array that begins
    /// before the address, at an index that is not known.
    pub fn run_over(&mut self, ctx: Ctx, at: usize, address: u64, path: &Path) -> bool {
        let mut found: Vec<Spot> = Vec::new();
        let mut here = Some((ctx, at));
        while let Some((ctx, at)) = here {
            if self.run(ctx).frame.is_some() {
                self.fillers_before(ctx, at, address, &mut found);
            }
            here = self.caller(ctx);
        }
        let entries: HashSet<u64> = found.iter().map(|spot| self.run(spot.ctx).function.entry).collect();
        let (Some(&spot), 1) = (found.first(), entries.len()) else { return false };
        let mut path = path.with(spot, "overrun", "stores into an array that begins before this place".to_owned());
        path.doubts.push(UNKNOWN_INDEX);
        self.lead(BirthKind::Overrun, spot, "an array before this was written past its end".to_owned(), &path);
        true
    }

    /// Calls before an instruction that got the object around an address, and in which an array of it is filled.
    fn fillers_before(&mut self, ctx: Ctx, at: usize, address: u64, found: &mut Vec<Spot>) {
        let function = self.function(ctx);
        let mut seen = HashSet::new();
        let mut open = vec![at];
        while let Some(here) = open.pop() {
            for edge in function.before(here) {
                if !seen.insert(edge.from) {
                    continue;
                }
                open.push(edge.from);
                let Some(Flow::Call(target)) = function.insns.get(edge.from).map(|insn| insn.flow) else { continue };
                let arguments = self.arguments(ctx, edge.from);
                let given = arguments.iter().any(|&(_, given)| given <= address && self.covers(given, address));
                let Some(target) = self.target(ctx, edge.from, target).filter(|_| given) else { continue };
                if self.is_library(target) {
                    continue;
                }
                let Some(callee) = self.enter(ctx, edge.from, target) else { continue };
                self.fillers_below(callee, address, FILLERS_BELOW, found);
            }
        }
    }

    /// The same in a function that was called, and in those that it hands the object to.
    fn fillers_below(&mut self, ctx: Ctx, address: u64, left: usize, found: &mut Vec<Spot>) {
        found.extend(self.fills(ctx, address).map(|at| Spot { ctx, at }));
        if left == 0 {
            return;
        }
        let function = self.function(ctx);
        for (at, target) in function.direct_calls() {
            let arguments = self.arguments(ctx, at);
            let given = arguments.iter().any(|&(_, given)| given <= address && self.covers(given, address));
            let target = self.behind_plt(target);
            if !given || self.is_library(target) || target == function.entry {
                continue;
            }
            if let Some(callee) = self.enter(ctx, at, target) {
                self.fillers_below(callee, address, left - 1, found);
            }
        }
    }

    /// A store at an index that is not known, into an array that begins before an address in the same object.
    pub fn fills(&mut self, ctx: Ctx, address: u64) -> Option<usize> {
        let function = self.function(ctx);
        for (at, insn) in function.insns.iter().enumerate() {
            for op in &insn.ops {
                let Op::Store { to, .. } = op else { continue };
                let own = function.stack(at).slot(to).is_some();
                // An index that was read from memory may have been another then.
                let outer = std::mem::replace(&mut self.read_memory, false);
                let known = self.address_of(ctx, at, to).is_some() && !self.read_memory;
                self.read_memory |= outer;
                if own || to.base.is_none() || known {
                    continue;
                }
                let bases = self.bases_of(ctx, at, to);
                let before =
                    |&base: &u64| base.wrapping_add_signed(to.displacement) < address && self.covers(base, address);
                if bases.iter().any(before) {
                    return Some(at);
                }
            }
        }
        None
    }

    /// Where the text begins that runs through an address.
    pub fn text_start(&self, address: u64, value: u64) -> Option<u64> {
        let printable = |byte: u8| (0x20..0x7f).contains(&byte);
        let bytes = value.to_le_bytes();
        let text = bytes.iter().take_while(|&&byte| printable(byte)).count();
        // Behind the zero that ends the text, the pointer that stood there before is left.
        let ends = text > 0 && bytes.get(text) == Some(&0) && address.is_multiple_of(8);
        if !ends && (text < 4 || bytes.iter().skip(text).any(|&byte| byte != 0) && text < bytes.len()) {
            return None;
        }
        let lowest = address.saturating_sub(LONGEST);
        let mut start = address;
        while start > lowest && self.word(start - 1, 1).is_some_and(|byte| printable(byte as u8)) {
            start -= 1;
        }
        (address - start >= 8).then_some(start)
    }

    /// A call before an instruction that got the object at the start of the text, and writes bytes.
    pub fn writer_before(&mut self, ctx: Ctx, at: usize, start: u64, path: &Path) -> bool {
        let function = self.function(ctx);
        let mut seen = HashSet::new();
        let mut open = std::collections::VecDeque::from([at]);
        while let Some(here) = open.pop_front() {
            for edge in function.before(here) {
                if !seen.insert(edge.from) {
                    continue;
                }
                open.push_back(edge.from);
                let Some(insn) = function.insns.get(edge.from) else { continue };
                let Flow::Call(target) = insn.flow else { continue };
                let arguments = self.arguments(ctx, edge.from);
                let given = arguments
                    .iter()
                    .find(|&&(_, argument)| argument > 0xffff && argument <= start && start - argument < INSIDE);
                let (Some(&(_, object)), Some(target)) = (given, self.target(ctx, edge.from, target)) else { continue };
                if let Some((spot, what)) = self.writes_text(Spot { ctx, at: edge.from }, target) {
                    let text = format!("{what} the text that begins at {start:#x}, in the object at {object:#x}");
                    let path = path.with(spot, "overrun", text);
                    self.lead(BirthKind::Overrun, spot, "text was written past the end of an object".to_owned(), &path);
                    return true;
                }
            }
        }
        false
    }

    /// Where a called function writes bytes one after another.
    pub fn writes_text(&mut self, call: Spot, target: u64) -> Option<(Spot, &'static str)> {
        const NAMES: [&str; 16] = [
            "strcpy", "strncpy", "strcat", "strncat", "stpcpy", "memcpy", "memmove", "sprintf", "vsprintf", "snprintf",
            "gets", "fgets", "read", "fread", "recv", "sscanf",
        ];
        if self.is_of_system(target) {
            let name = self.function_name(target)?;
            let base = super::library::plain_name(&name);
            let known = NAMES.iter().any(|known| super::library::is_variant_of(base, known));
            return known.then_some((call, "the library writes"));
        }
        let callee = self.enter(call.ctx, call.at, target)?;
        let function = self.function(callee);
        for (at, insn) in function.insns.iter().enumerate() {
            let bytes = insn
                .ops
                .iter()
                .any(|op| matches!(op, Op::Store { to, .. } if to.size == 1) || matches!(op, Op::Fill { .. }));
            let outside = insn.ops.iter().all(|op| match op {
                Op::Store { to, .. } | Op::Fill { to, .. } => function.stack(at).slot(to).is_none(),
                _ => true,
            });
            if bytes && outside {
                return Some((Spot { ctx: callee, at }, "writes"));
            }
        }
        let tails = function.tails.iter().filter_map(|&(at, target)| match target {
            Src::Const(target) => Some((at, target)),
            _ => None,
        });
        for (at, next) in function.direct_calls().chain(tails) {
            let next = self.behind_plt(next);
            if self.is_of_system(next)
                && let Some(found) = self.writes_text(Spot { ctx: callee, at }, next)
            {
                return Some(found);
            }
        }
        None
    }
}
