//! Tables of jumps: where a `switch` or a `match` may go.

use std::collections::{BTreeMap, BTreeSet};

use necropsy_model::Avma;

use super::function::{MAX_INSTRUCTIONS, Reader, Stack};
use super::op::{Condition, Extend, Flags, Flow, Insn, Src};
use crate::space::AddressSpace;

/// Entries of one jump table.
const MAX_TABLE: u64 = 512;

/// Bytes before an indirect jump in which its table is looked for, and instructions.
const TABLE_REACH: (u64, usize) = (256, 40);

impl Reader<'_, '_, '_> {
    /// An instruction begins at an address, when the code is read from its start on; where that can not be told, it may.
    pub(super) fn begins_instruction(&self, address: u64) -> bool {
        let in_order = self.in_order.get_or_init(|| {
            let mut starts = BTreeSet::new();
            for &(start, end) in &self.ranges {
                let mut at = start;
                while at < end && starts.len() < MAX_INSTRUCTIONS && starts.insert(at) {
                    let Some(insn) = self.machine.decode(self.space, at) else { break };
                    at = insn.next;
                }
            }
            starts
        });
        let around = self.ranges.iter().find(|&&(start, end)| start <= address && address < end);
        let last = around.and_then(|&(start, end)| in_order.range(start..end).next_back());
        in_order.contains(&address) || last.is_none_or(|&last| last < address)
    }

    /// Where a jump through a table may go.
    pub(super) fn table(&self, at: u64, source: Src, found: &BTreeMap<u64, (Insn, Stack)>) -> Vec<u64> {
        let near: Vec<&Insn> = found
            .range(at.saturating_sub(TABLE_REACH.0)..at)
            .rev()
            .take(TABLE_REACH.1)
            .map(|(_, (insn, _))| insn)
            .collect();
        let bound = near.iter().find_map(|insn| match (insn.flags, insn.flow) {
            (Flags::Compare { right: Src::Const(last), .. }, _) if last < MAX_TABLE => Some(last.saturating_add(1)),
            _ => None,
        });
        let branches = near.iter().any(|insn| {
            matches!(
                insn.flow,
                Flow::Branch(_, Condition::Above | Condition::BelowEqual | Condition::AboveEqual | Condition::Below)
            )
        });
        let bound = bound.filter(|_| branches);
        let count = bound.unwrap_or(MAX_TABLE);
        let Some(table) = (self.machine.table)(source, &near) else { return Vec::new() };
        let entries = (0..count).map_while(|index| table.entry(self.space, index));
        // Of a table without a limit (a `match` over all values) the end is not known, and what follows is the next table, counted
        // from another place: an element that lands inside of an instruction is none of this one's.
        let is_target = |&target: &u64| self.inside(target) && (bound.is_some() || self.begins_instruction(target));
        let mut targets: Vec<u64> = entries.take_while(is_target).collect();
        targets.sort_unstable();
        targets.dedup();
        targets
    }
}

/// A jump table: its elements are addresses, or distances from one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub start: u64,
    /// Bytes of an element.
    pub size: u8,
    pub extend: Extend,
    /// What is added to an element.
    pub base: u64,
    /// What it is multiplied with before.
    pub scale: u64,
}

impl Table {
    fn entry(&self, space: &AddressSpace<'_, '_>, index: u64) -> Option<u64> {
        let at = self.start.wrapping_add(index.wrapping_mul(u64::from(self.size)));
        let bytes = space.read(Avma(at), usize::from(self.size)).ok()?;
        let mut wide = [0; 8];
        wide.get_mut(..bytes.len())?.copy_from_slice(bytes);
        let element = super::definition::extended(u64::from_le_bytes(wide), self.size, self.extend);
        Some(self.base.wrapping_add(element.wrapping_mul(self.scale)))
    }
}
