//! Text or a pattern where a pointer should be, that begins in front of it: who writes one element after the other there.

use std::collections::BTreeSet;

use necropsy_model::BirthKind;

use super::Tracer;
use super::chase::NULL_PAGES;
use super::context::Ctx;
use super::definition::{Kind, Loc};
use super::lead::{Lead, Path, Spot};
use super::library::{is_variant_of, plain_name};
use super::op::{Flow, Mem, Op, Part, Src};
use super::subject::Subject;

/// Calls below a frame.
const DEPTH: usize = 5;
/// Frames that are looked at.
const FRAMES: usize = 16;
/// Runs of functions that are looked at.
const RUNS: usize = 160;
/// Bytes of a pattern that are followed to its start.
const LONGEST: u64 = 1 << 16;
/// Bytes of a pattern in front of a place: less may be chance.
const SHORTEST: u64 = 16;
/// Bytes from the start of an array to where it runs over, where no block says how large it is.
const ARRAY: u64 = 4096;

/// Which of its stores it was can not be told.
const BY_CONTENT: &str = "that it wrote just this is told by what lies there alone";

/// What lies in memory, from its start to the bad value.
#[derive(Clone, Copy, Debug)]
struct Content {
    place: u64,
    start: u64,
    /// Bytes of one element.
    unit: u8,
    /// The block around the start: where it begins, and how many bytes it has.
    block: Option<(u64, u64)>,
}

/// An instruction that writes elements one after the other.
#[derive(Clone, Copy, Debug)]
struct Writer {
    spot: Spot,
    /// It got the object that the content begins in.
    sure: bool,
}

impl Tracer<'_, '_, '_> {
    /// The bad value is the end of something that was written from in front of it: finds the one function that writes there.
    pub fn of_spill(&mut self, subject: &Subject) {
        let lost = |lead: &Lead| {
            let kind = matches!(
                lead.kind,
                BirthKind::Loaded | BirthKind::Unknown | BirthKind::Arithmetic | BirthKind::EndOfList
            );
            kind || lead.path.doubts.contains(&super::lead::CHANGED)
        };
        if !self.leads.iter().all(lost) {
            return;
        }
        let Some((content, mut path)) = self.spilt(subject) else { return };
        let mut writers = Vec::new();
        let mut runs = BTreeSet::new();
        let mut here = Some((subject.ctx, subject.at));
        for _ in 0..FRAMES {
            let Some((ctx, at)) = here else { break };
            if self.run(ctx).frame.is_some() {
                self.writers_in(ctx, Some(at), DEPTH, content, &mut writers, &mut runs);
            }
            here = self.caller(ctx).or_else(|| self.frame_outside(ctx));
        }
        if runs.len() >= RUNS {
            return;
        }
        let any_sure = writers.iter().any(|writer: &Writer| writer.sure);
        let chosen = |writer: &&Writer| writer.sure || !any_sure;
        let functions: BTreeSet<u64> =
            writers.iter().filter(chosen).map(|writer| self.run(writer.spot.ctx).function.entry).collect();
        let (Some(&function), 1) = (functions.first(), functions.len()) else { return };
        // Of its stores the last one.
        let of_it = |writer: &&Writer| self.run(writer.spot.ctx).function.entry == function;
        let Some(&Writer { spot, .. }) = writers.iter().find(of_it) else { return };
        let what = if content.unit == 1 { "bytes" } else { "elements" };
        let text = format!("writes {what} one after the other; they begin at {:#x} or before", content.start);
        path = path.with(spot, "overrun", text);
        path.doubts = vec![BY_CONTENT];
        self.leads.clear();
        self.lead(BirthKind::Overrun, spot, "an array before this was written past its end".to_owned(), &path);
    }

    /// A frame whose function was reached by jumps of others that left none: the next one on the stack.
    fn frame_outside(&mut self, ctx: Ctx) -> Option<(Ctx, usize)> {
        let outer = self.of_frame(self.run(ctx).frame?.checked_add(1)?)?;
        let behind = self.live(outer)?;
        // The call itself has led there.
        self.function(outer).after(behind).first().map(|&next| (outer, next))
    }

    /// Where the bad value lies, what it is the end of, and the way there.
    fn spilt(&mut self, subject: &Subject) -> Option<(Content, Path)> {
        let read = self.leads.iter().find_map(|lead| {
            let read = lead.path.read?;
            let (address, value) = read.address.zip(read.value)?;
            let there = self.word(address, read.size) == Some(value) && !self.on_stack(address);
            there.then(|| (address, read.size, value, lead.path.clone()))
        });
        let spot = Spot { ctx: subject.ctx, at: subject.at };
        let (place, size, value, path) = match read {
            Some((place, size, value, mut path)) => {
                let loaded = path.steps.iter().position(|step| step.memory == Some(place));
                path.steps.truncate(loaded.map_or(1, |at| at + 1));
                path.gate = path.gate.or(path.loaded);
                (place, size, value, path)
            }
            None => {
                let value = subject.value?;
                let place = self.only_place_of(value)?;
                let text = format!("{} is {}", subject.name, super::chase::words(subject.value));
                let path = Path::default().with(spot, "fault", text);
                let mut path = path.with(spot, "load", format!("memory has it at {place:#x}, and nowhere else"));
                path.seen_in(place);
                (place, 8, value, path)
            }
        };
        if value < NULL_PAGES || size < 4 || self.is_mapped(value) || self.on_stack(place) {
            return None;
        }
        let (start, unit) =
            self.text_start(place, value).map(|start| (start, 1)).or_else(|| self.pattern(place, size))?;
        let block = self.room_around(start);
        Some((Content { place, start, unit, block }, path))
    }

    /// The nearest block in front of an address that reaches to it, by its own header: the one behind it may be lost.
    fn room_around(&self, address: u64) -> Option<(u64, u64)> {
        let starts = (0..ARRAY / 16).map_while(|step| (address & !15).checked_sub(step * 16));
        starts.into_iter().find_map(|start| {
            let room = self.room_of(start)?;
            (address - start < room).then_some((start, room))
        })
    }

    /// Where a pattern begins that reaches to a place, and the bytes of its unit.
    fn pattern(&self, place: u64, size: u8) -> Option<(u64, u8)> {
        let value = self.word(place, size)?;
        let unit = [1, 2, 4, 8].into_iter().filter(|&unit| unit <= size).find(|&unit| {
            let first = self.word(place, unit);
            let rest = (0..size / unit).map(|at| self.word(place + u64::from(at * unit), unit));
            rest.into_iter().all(|element| element == first)
        })?;
        if value == 0 {
            return None;
        }
        let element = self.word(place, unit)?;
        let mut start = place;
        while place - start < LONGEST
            && let Some(before) = start.checked_sub(u64::from(unit))
            && self.word(before, unit) == Some(element)
        {
            start = before;
        }
        (place - start >= SHORTEST.max(u64::from(unit) * 3)).then_some((start, unit))
    }

    /// Instructions of a run that write elements; of a frame, those before an instruction. Those of the calls too.
    fn writers_in(
        &mut self,
        ctx: Ctx,
        from: Option<usize>,
        depth: usize,
        content: Content,
        found: &mut Vec<Writer>,
        runs: &mut BTreeSet<Ctx>,
    ) {
        if runs.len() >= RUNS || from.is_none() && !runs.insert(ctx) {
            return;
        }
        let function = self.function(ctx);
        let mut order: Vec<usize> = Vec::new();
        match from {
            Some(from) => {
                let mut seen = BTreeSet::new();
                let mut open = std::collections::VecDeque::from([from]);
                while let Some(here) = open.pop_front() {
                    for edge in function.before(here) {
                        if seen.insert(edge.from) {
                            order.push(edge.from);
                            open.push_back(edge.from);
                        }
                    }
                }
            }
            None => order.extend((0..function.insns.len()).rev()),
        }
        for at in order {
            let Some(insn) = function.insns.get(at) else { continue };
            let spot = Spot { ctx, at };
            if insn.ops.iter().any(|op| matches!(op, Op::Store { .. } | Op::Fill { .. }))
                && let Some(sure) = self.writes_elements(spot, content)
            {
                found.push(Writer { spot, sure });
            }
            let Some(target) = (match insn.flow {
                Flow::Call(target) => Some(target),
                _ => function.tails.iter().find(|&&(tail, _)| tail == at).map(|&(_, target)| target),
            }) else {
                continue;
            };
            let Some(target) = self.target(ctx, at, target) else { continue };
            if self.is_library(target) {
                if let Some(sure) = self.library_writes(spot, target, content) {
                    found.push(Writer { spot, sure });
                }
            } else if depth > 0
                && let Some(callee) = self.enter(ctx, at, target)
            {
                self.writers_in(callee, None, depth - 1, content, found, runs);
            }
        }
    }

    /// An array that begins at an address may be the one that was run over.
    fn begins_before(base: u64, content: Content) -> bool {
        if base <= 0xffff || base > content.start.saturating_add(ARRAY) || base >= content.place {
            return false;
        }
        match content.block {
            Some((block, size)) => (block..block + size).contains(&base),
            None => content.start.saturating_sub(base) < ARRAY,
        }
    }

    /// A store into an array at an index that is not fixed. `None` where it is none, or goes elsewhere.
    fn writes_elements(&mut self, spot: Spot, content: Content) -> Option<bool> {
        let Spot { ctx, at } = spot;
        let function = self.function(ctx);
        let insn = function.insns.get(at)?;
        for op in &insn.ops {
            let (to, fills) = match op {
                Op::Store { to, .. } => (*to, false),
                Op::Fill { to, .. } => (*to, true),
                _ => continue,
            };
            let fits = fills || to.size == content.unit || to.size > 8 || content.unit > 1 && to.size > content.unit;
            let Some(base) = to.base.filter(|_| fits) else { continue };
            let own = function.stack(at).slot(&Mem { index: None, ..to }).is_some();
            if own || self.address_of(ctx, at, &to).is_some() && !fills {
                continue;
            }
            if !fills && to.index.is_none() && !self.is_counted(ctx, at, base) {
                continue;
            }
            let mut bases = self.bases_of(ctx, at, &to);
            if let (Some((index, 1)), Some(base)) = (to.index, to.base) {
                // Which of the two is the array is up to the compiler.
                bases.extend(self.bases_of(ctx, at, &Mem { base: Some(index), index: Some((base, 1)), ..to }));
            }
            bases.retain(|&base| base > 0xffff);
            if bases.iter().any(|&base| Self::begins_before(base, content)) {
                return Some(true);
            }
            if bases.is_empty() {
                return Some(false);
            }
        }
        None
    }

    /// A register is counted on from store to store.
    fn is_counted(&mut self, ctx: Ctx, at: usize, base: super::op::Reg) -> bool {
        /// Some value: each turn of a loop that counts has another one.
        const ANY: u64 = 0x5a5a_5a5a_5a50;
        let loc = Loc::Reg(Part { reg: base, offset: 0, size: 8 });
        let mut defs = self.reaching(ctx, at, loc, None);
        defs.extend(self.reaching(ctx, at, loc, Some(ANY)));
        defs.iter().any(|def| {
            let sum = matches!(def.kind, Kind::Compute { .. } | Kind::Address(Mem { index: Some(_), .. }));
            def.kind == Kind::Counter || def.adjusted() || sum
        })
    }

    /// A call of the C library that writes bytes, of a number that is not fixed.
    fn library_writes(&mut self, spot: Spot, target: u64, content: Content) -> Option<bool> {
        let name = self.function_name(target)?;
        let base = plain_name(&name);
        let known = super::damage::WRITERS.iter().any(|known| is_variant_of(base, known));
        let reads = matches!(base, "read" | "recv" | "pread");
        if !known && !reads {
            return None;
        }
        let mut argument = |number: usize| {
            let &reg = self.machine.arguments.get(number)?;
            self.eval(spot.ctx, spot.at, Src::Reg(Part { reg, offset: 0, size: 8 }))
        };
        let (first, third) = (argument(usize::from(reads)), argument(2));
        let counts =
            ["memset", "memcpy", "memmove", "mempcpy", "strncpy"].iter().any(|known| is_variant_of(base, known));
        let count = third.filter(|_| counts || reads);
        match (first, count) {
            (Some(first), Some(count)) => {
                (Self::begins_before(first, content) && first.saturating_add(count) > content.place).then_some(true)
            }
            (Some(first), None) => Self::begins_before(first, content).then_some(true),
            (None, Some(_)) if self.is_constant(spot, super::memory::COUNT_ARGUMENT) => None,
            (None, _) => Some(false),
        }
    }
}
