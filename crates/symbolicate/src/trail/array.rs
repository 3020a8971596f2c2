//! Elements of a global array that are stored at an index which is not known: by whom an element may have been set.

use std::collections::BTreeSet;

use necropsy_model::Avma;

use super::lead::{Path, UNKNOWN_INDEX};
use super::op::{Mem, Op};
use super::{Limits, Tracer};

/// Functions that are looked at: more of them are more than one writer.
const MOST: usize = 48;

impl Tracer<'_, '_, '_> {
    /// Looks for the one function that stores the value to elements of the array that an address lies in. `takes` are the
    /// instructions that take the address of the variable.
    ///
    /// Whether there is one.
    pub fn stored_by_index(&mut self, takes: &[u64], place: (u64, u8), value: Option<u64>, path: &Path) -> bool {
        let (Some(value), false) = (value, self.by_place || self.seeking || self.sizing) else { return false };
        let (address, size) = place;
        let Some(stores) = self.indexed_stores(takes, address, size) else { return false };
        let before = self.leads.len();
        let mut path = path.clone();
        path.doubts.push(UNKNOWN_INDEX);
        self.by_place = true;
        let open = self.follow_stores(&stores, value, size, &path);
        self.by_place = false;
        let found = self.leads.get(before..).unwrap_or_default();
        let writers: BTreeSet<u64> = found.iter().map(|lead| self.run(lead.spot.ctx).function.entry).collect();
        if open || writers.len() != 1 {
            self.leads.truncate(before);
            return false;
        }
        true
    }

    /// No function that takes the address of an array stores to elements of it.
    pub fn no_element_stored(&mut self, takes: &[u64], place: (u64, u8)) -> bool {
        let (address, size) = place;
        self.indexed_stores(takes, address, size).is_some_and(|stores| stores.is_empty())
    }

    /// Stores to the same part of some element; `None` where they can not be told apart.
    fn indexed_stores(&mut self, takes: &[u64], address: u64, size: u8) -> Option<Vec<u64>> {
        let (mut seen, mut stores) = (BTreeSet::new(), Vec::new());
        for &take in takes {
            let ctx = self.detached_at(take, Limits::DESCENTS / 2)?;
            if !seen.insert(self.run(ctx).function.entry) {
                continue;
            }
            if seen.len() > MOST {
                return None;
            }
            let arrays = self.values.arrays_at(self.frames, Avma(take), address);
            let array = arrays.iter().find(|array| array.stride > u64::from(size)).or(arrays.first())?;
            let part = address.checked_sub(array.start)?.checked_rem(array.stride)?;
            let function = self.function(ctx);
            for (at, insn) in function.insns.iter().enumerate() {
                let stored = insn.ops.iter().find_map(|op| match op {
                    Op::Store { to, .. } | Op::Update { to, .. } if to.size == size => Some(*to),
                    _ => None,
                });
                let Some(to) = stored else { continue };
                // An address that depends on memory may have been another then.
                let outer = std::mem::replace(&mut self.read_memory, false);
                let known = self.address_of(ctx, at, &to).filter(|_| !self.read_memory);
                self.read_memory |= outer;
                if function.stack(at).slot(&to).is_some() || known.is_some() {
                    continue;
                }
                let mut bases = self.bases_of(ctx, at, &to);
                bases.extend(to.base.is_none().then_some(0));
                if let (Some((index, 1)), Some(base)) = (to.index, to.base) {
                    // Which of the two is the array's address is up to the compiler.
                    bases.extend(self.bases_of(ctx, at, &Mem { base: Some(index), index: Some((base, 1)), ..to }));
                }
                let here = |&base: &u64| {
                    let start = base.wrapping_add_signed(to.displacement);
                    let offset = start.wrapping_sub(array.start);
                    start.wrapping_add(array.stride) >= array.start
                        && array.covers(start.max(array.start))
                        && offset.wrapping_sub(part).cast_signed().rem_euclid(array.stride.cast_signed()) == 0
                };
                if bases.iter().any(here) {
                    stores.push(self.address(ctx, at));
                }
            }
        }
        Some(stores)
    }
}
