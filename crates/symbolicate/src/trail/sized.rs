//! A block that is too small: its size was computed in fewer bits than it needs.

use necropsy_model::BirthKind;

use super::Tracer;
use super::context::Ctx;
use super::definition::{Kind, Loc};
use super::lead::{Path, Spot};
use super::library::plain_name;
use super::op::{Arith, Mem, Part, Reg, Src};

/// Bytes behind the start of a block that an index is believed to lead: more is another pointer.
pub(super) const FARTHEST: u64 = 1 << 36;

/// A sum: its value, and its operands with theirs.
pub(super) type Sum = (u64, [(Src, Option<u64>); 2]);

/// Frames that a counted pointer was handed through.
const COUNTED: usize = 4;
/// The step of a loop that ran out of a block, to the end of what is mapped.
const RAN_OFF: &str = "beyond";

impl Tracer<'_, '_, '_> {
    /// The sum of a pointer to a block and something leads behind the block: looks for a size that overflowed.
    ///
    /// Whether there is one.
    pub fn too_small(&mut self, spot: Spot, sum: Option<u64>, operands: [(Src, Option<u64>); 2], path: &Path) -> bool {
        if path.loaded.is_some() || self.sizing || self.seeking {
            return false;
        }
        // The element that was reached, of a row that begins inside of the block.
        let Some(sum) = sum.max(self.sought) else { return false };
        for (source, value) in operands {
            let Some(block) = value else { continue };
            if let Some((at, source, block)) = self.begun_from(spot, source, block)
                && self.behind_block(at, source, block, sum, path)
            {
                return true;
            }
            // A row of it, which was counted from its start.
            if let Src::Reg(part) = source
                && block >= super::chase::NULL_PAGES
                && self.ran_off(spot, part, sum, path)
            {
                return true;
            }
            // A row of it, which was counted from its start.
            if let Src::Reg(part) = source
                && block >= super::chase::NULL_PAGES
                && self.ran_off(spot, part, sum, path)
            {
                return true;
            }
        }
        false
    }

    /// The block that a pointer begins, or that it was counted from: where, as what, and the block.
    fn begun_from(&mut self, mut spot: Spot, mut source: Src, mut value: u64) -> Option<(Spot, Src, u64)> {
        /// Frames that handed the pointer through, and sums.
        const STEPS: usize = 8;
        for _ in 0..STEPS {
            if self.room_of(value).is_some() {
                return Some((spot, source, value));
            }
            let Src::Reg(part) = source else { return None };
            let defs = self.reaching(spot.ctx, spot.at, Loc::Reg(part), Some(value));
            let [def] = defs.as_slice() else { return None };
            let word = |reg| Src::Reg(Part { reg, offset: 0, size: 8 });
            let (left, right) = match (def.kind, def.loc) {
                (Kind::Entry, Loc::Reg(entered)) if !def.adjusted() => {
                    let (ctx, at) = self.caller(spot.ctx)?;
                    (spot, source) = (Spot { ctx, at }, Src::Reg(entered));
                    continue;
                }
                (Kind::Compute { kind: Arith::Add, left, right, size: 8 }, _) => (left, right),
                (Kind::Address(Mem { base: Some(base), index: Some((index, _)), .. }), _) => (word(base), word(index)),
                _ => return None,
            };
            spot.at = def.at;
            let known = [left, right].map(|source| (source, self.eval(spot.ctx, spot.at, source)));
            // Of a pointer and an offset the pointer is the larger.
            (source, value) =
                known.into_iter().filter_map(|(source, value)| Some((source, value?))).max_by_key(|x| x.1)?;
        }
        None
    }

    /// A pointer that was counted on from the start of a block, or came with it, leads behind the block: looks for a size that
    /// overflowed.
    pub fn ran_off(&mut self, spot: Spot, part: Part, pointer: u64, path: &Path) -> bool {
        if self.sizing || self.seeking || self.machine.is_canonical(pointer) && self.block_size(pointer).is_some() {
            return false;
        }
        let starts = self.counted_from(spot, part, COUNTED);
        starts.into_iter().any(|(spot, source, block)| self.behind_block(spot, source, block, pointer, path))
    }

    /// Pointers that one was counted from: where, and what they were.
    fn counted_from(&mut self, spot: Spot, part: Part, left: usize) -> Vec<(Spot, Src, u64)> {
        let Spot { ctx, at } = spot;
        let word = |reg| Src::Reg(Part { reg, offset: 0, size: 8 });
        let mut found = Vec::new();
        for def in self.reaching(ctx, at, Loc::Reg(part), None) {
            let here = Spot { ctx, at: def.at };
            let sources = match def.kind {
                Kind::Address(mem) => vec![mem.base.map(word), mem.index.map(|(index, _)| word(index))],
                Kind::Compute { kind: Arith::Add, left, right, .. } => vec![Some(left), Some(right)],
                Kind::Load { mem, .. } => vec![Some(Src::Mem(mem))],
                _ => Vec::new(),
            };
            for source in sources.into_iter().flatten() {
                let Some(value) = self.eval(ctx, def.at, source) else { continue };
                found.push((here, source, value));
                if let (Src::Reg(part), true) = (source, left > 0 && value >= super::chase::NULL_PAGES && def.at != at)
                {
                    found.extend(self.counted_from(here, part, left - 1));
                }
            }
            if let (Kind::Entry, Loc::Reg(entered), true) = (def.kind, def.loc, left > 0)
                && let Some((caller, call)) = self.caller(ctx)
            {
                let outer = Spot { ctx: caller, at: call };
                found.extend(self.eval(caller, call, Src::Reg(entered)).map(|value| (outer, Src::Reg(entered), value)));
                found.extend(self.counted_from(outer, entered, left - 1));
            }
        }
        found
    }

    /// A pointer leads behind a block: what the block was asked for is followed.
    fn behind_block(&mut self, spot: Spot, source: Src, block: u64, pointer: u64, path: &Path) -> bool {
        let Some(size) = self.room_of(block) else { return false };
        if pointer < block.saturating_add(size) || pointer - block > FARTHEST {
            return false;
        }
        let known = self.leads.len();
        let text = format!("{pointer:#x} lies behind the block at {block:#x}, which has {size} bytes");
        let step = if self.runs_up_to(block, pointer) { RAN_OFF } else { "outside" };
        let path = path.with(spot, step, text);
        let visited = self.visited.clone();
        self.sizing = true;
        self.start(spot.ctx, spot.at, source, Some(block), &path);
        self.sizing = false;
        self.visited = visited;
        let found = self.leads.split_off(known.min(self.leads.len()));
        self.leads.extend(found.into_iter().filter(|lead| lead.kind == BirthKind::SizeOverflow));
        if self.leads.iter().skip(known).any(|lead| lead.path.doubts.is_empty()) {
            let new = self.leads.split_off(known);
            self.leads.extend(new.into_iter().filter(|lead| lead.path.doubts.is_empty()));
        }
        self.leads.len() > known
    }

    /// Bytes of a block by the header in front of it alone: the one behind it may have been run over.
    pub fn room_of(&self, block: u64) -> Option<u64> {
        /// The flag of a block that is a mapping of its own (`IS_MMAPPED`).
        const MAPPED: u64 = 2;
        let header = self.word(block.checked_sub(8)?, 8)?;
        let size = header & !7;
        let sane = size >= 0x20 && size.is_multiple_of(16) && block.is_multiple_of(16);
        let region = self.space.memory.region(necropsy_model::Avma(block)).filter(|_| sane)?;
        let inside = block.checked_add(size).is_some_and(|end| end - 16 <= region.end.0);
        let placed = header & MAPPED == 0 || block % 0x1000 == 16;
        (inside && placed && !self.on_stack(block) && !self.is_static(block)).then(|| size - 8)
    }

    /// Everything between two addresses is mapped: whoever counts from one to the other dies at the other.
    fn runs_up_to(&self, from: u64, to: u64) -> bool {
        /// Mappings on the way.
        const MOST: usize = 64;
        let mut end = from;
        for _ in 0..MOST {
            let Some(region) = self.space.memory.region(necropsy_model::Avma(end)) else { break };
            end = region.end.0;
        }
        to <= end || to - end < 0x1000
    }

    /// The pointer that an address was computed from is the sum of a block and of something that leads out of it: that.
    pub fn strayed(&mut self, mut ctx: Ctx, mut at: usize, base: Reg, address: u64) -> Option<(Ctx, usize, Src, u64)> {
        /// Frames that handed the pointer through.
        const FRAMES: usize = 6;
        let mut part = Part { reg: base, offset: 0, size: 8 };
        for _ in 0..FRAMES {
            let value = self.eval(ctx, at, Src::Reg(part))?;
            let defs = self.reaching(ctx, at, Loc::Reg(part), Some(value));
            let [def] = defs.as_slice() else { return None };
            let word = |reg| Src::Reg(Part { reg, offset: 0, size: 8 });
            let (left, right) = match (def.kind, def.loc) {
                (Kind::Entry, Loc::Reg(entered)) => {
                    part = entered;
                    (ctx, at) = self.caller(ctx)?;
                    continue;
                }
                (Kind::Compute { kind: Arith::Add, left, right, size: 8 }, _) => (left, right),
                (Kind::Address(Mem { base: Some(base), index: Some((index, _)), .. }), _) => (word(base), word(index)),
                _ => return None,
            };
            let at = def.at;
            let scale = match def.kind {
                Kind::Address(Mem { index: Some((_, scale)), displacement: 0, .. }) => u64::from(scale),
                Kind::Address(_) => 0,
                _ => 1,
            };
            let solved = def.value.filter(|_| scale == 1);
            let (one, other) = (self.eval(ctx, at, left), self.eval(ctx, at, right));
            let beside = |known: Option<u64>| Some(solved?.wrapping_sub(known?));
            let (one, other) = (one.or_else(|| beside(other))?, other.or_else(|| beside(one))?);
            for (block, (source, value)) in [(one, (right, other)), (other, (left, one))] {
                let of_variable = || self.variable_at(block).filter(|&(first, _)| first == block).map(|(_, size)| size);
                let Some(size) = self.block_size(block).or_else(of_variable) else { continue };
                let outside = address < block || address >= block.saturating_add(size);
                return outside.then_some((ctx, at, source, value));
            }
            return None;
        }
        None
    }

    /// The allocation was found: follows what it was asked for.
    pub fn size_of_allocation(&mut self, spot: Spot, name: &str, path: &Path) {
        let arguments: &[usize] = match plain_name(name) {
            "calloc" => &[0, 1],
            "realloc" => &[1],
            "reallocarray" => &[1, 2],
            _ => &[0],
        };
        let mut path = path.with(spot, "allocated", format!("{name} gave the block"));
        (path.stored, path.narrow, path.loaded, path.bits) = (None, false, None, None);
        path.returned.clear();
        for &reg in arguments.iter().filter_map(|&number| self.machine.arguments.get(number)) {
            let source = Src::Reg(Part { reg, offset: 0, size: 8 });
            self.start(spot.ctx, spot.at, source, None, &path);
        }
    }

    /// Arithmetic on the way to a size: the birth, when it lost bits; else its operands are followed.
    pub fn size_computed(&mut self, spot: Spot, here: Spot, operation: (Arith, Src, Src), size: u8, path: &Path) {
        let size = path.bits.map_or(size, |bits| bits.min(size));
        if size <= 4 && self.lost_bits(spot.ctx, spot.at, operation, size, 3) {
            let text = format!("the result does not fit into {} bits", u32::from(size) * 8);
            let path = path.with(here, "overflow", text.clone());
            self.lead(BirthKind::SizeOverflow, here, text, &path);
            return;
        }
        let known = self.leads.len();
        for source in [operation.1, operation.2] {
            self.start(spot.ctx, spot.at, source, None, path);
        }
        // Products of few bits, whose factors nobody has any more, and the block was too small for what went into it.
        let narrow = size <= 4 && matches!(operation.0, Arith::Mul | Arith::Shl);
        let unknown =
            [operation.1, operation.2].into_iter().any(|source| self.eval(spot.ctx, spot.at, source).is_none());
        let none = self.leads.iter().skip(known).all(|lead| lead.kind != BirthKind::SizeOverflow);
        if narrow && unknown && none && path.steps.iter().any(|step| step.step == RAN_OFF) {
            let text = format!("the block has the size that is computed here in {} bits", u32::from(size) * 8);
            let mut path = path.with(here, "overflow", text.clone());
            path.doubts.push("what was multiplied is not known any more");
            self.lead(BirthKind::SizeOverflow, here, text, &path);
        }
    }

    /// Arithmetic on the way to a size: whether it lost bits, by the operands that it had.
    pub fn lost_bits(&mut self, ctx: Ctx, at: usize, operation: (Arith, Src, Src), size: u8, depth: usize) -> bool {
        let (kind, left, right) = operation;
        let (one, other) = (self.eval(ctx, at, left), self.eval(ctx, at, right));
        if let (Some(one), Some(other)) = (one, other) {
            let (one, other) = (u128::from(super::op::mask(one, size)), u128::from(super::op::mask(other, size)));
            let whole = match kind {
                Arith::Add => one + other,
                Arith::Mul => one * other,
                Arith::Shl => one << (other & 31).min(63),
                _ => 0,
            };
            if whole >> (u32::from(size) * 8) != 0 {
                return true;
            }
        }
        depth > 0
            && [left, right].into_iter().any(|source| {
                let Src::Reg(part) = source else { return false };
                let defs = self.reaching(ctx, at, Loc::Reg(part), None);
                defs.iter().any(|def| match def.kind {
                    Kind::Compute { kind, left, right, .. } => {
                        self.lost_bits(ctx, def.at, (kind, left, right), size, depth - 1)
                    }
                    _ => false,
                })
            })
    }
}
