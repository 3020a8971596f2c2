//! What a look-up by a text found: the element of the container that bears the text as its key, and who put it there. The call is gone,
//! and where it read is not known; the key that it was asked for tells.

use std::collections::BTreeSet;

use necropsy_model::{BirthKind, Chain};

use super::context::Ctx;
use super::definition::{Kind, Loc};
use super::lead::{Path, Spot};
use super::op::{Mem, Op, Part, Src};
use super::{Limits, Tracer, sweep};

/// Bytes that are searched for elements.
const SEARCHED: usize = 32 << 20;
/// Bytes of a `std::string`.
const KEY: u64 = 32;
/// Calls that may be inside of the look-up.
const INSIDE: usize = 4;
/// Parameters that may be the key.
const PARAMETERS: usize = 4;
/// Stores to elements that are looked at.
const STORES: usize = 32;

/// Functions of maps that give the element under a key, made where there was none (libstdc++).
fn gives_element(function: &str) -> bool {
    let of_map =
        ["std::map<", "std::unordered_map<", "std::__detail::_Map_base<", "std::_Rb_tree<", "std::_Hashtable<"];
    let made = ["::operator[](", "::_M_emplace_hint_unique<", "::_M_insert_unique_node("];
    of_map.iter().any(|map| function.contains(map)) && made.iter().any(|name| function.contains(name))
}

impl Tracer<'_, '_, '_> {
    /// A value that a call which is gone read from an element that it looked for by a text: where that one element bears the text and has
    /// the value, it was found there, and not given for want of one.
    pub fn found_by_key(&mut self, ctx: Ctx, at: usize, mem: &Mem, value: Option<u64>, path: &Path) -> bool {
        let (Some(value), None, Some(base), 8) = (value, mem.index, mem.base, mem.size) else { return false };
        if self.seeking || self.by_place || self.run(ctx).frame.is_some() || self.feeds_itself(ctx, at, base) {
            return false;
        }
        if self.makes_missing(ctx) {
            return false;
        }
        let Some(text) = self.asked_by_text(ctx) else { return false };
        let Some(place) = self.element_with(&text, mem.displacement, value) else { return false };
        self.keyed = true;
        let spot = Spot { ctx, at };
        let text = format!("the element under the key \"{}\" holds this", String::from_utf8_lossy(&text));
        let mut path = path.with(spot, "key", text);
        path.seen_in(place);
        path.doubts.push(Chain::PUT_IN);
        let stores = self.stores_to_elements();
        let before = self.leads.len();
        self.by_place = true;
        let open = stores.len() >= STORES || self.follow_stores(&stores, value, 8, &path);
        self.by_place = false;
        let spots: Vec<Spot> = self.leads.iter().skip(before).map(|lead| lead.spot).collect();
        let own: Vec<Spot> = spots.into_iter().map(|spot| self.own_spot(spot)).collect();
        let functions: BTreeSet<u64> = own.iter().map(|spot| self.run(spot.ctx).function.entry).collect();
        if open || functions.len() != 1 {
            self.leads.truncate(before);
            let what = "read from an element that bears the key; who put it there was not found".to_owned();
            self.lead(BirthKind::Loaded, spot, what, &path);
        }
        true
    }

    /// The look-up makes an element where there is none: who asked for it put it there.
    fn makes_missing(&mut self, ctx: Ctx) -> bool {
        let calls: Vec<u64> = self.function(ctx).direct_calls().map(|(_, target)| self.behind_plt(target)).collect();
        let names = self.namer.functions(&calls);
        names.values().any(|name| gives_element(name) || name.contains("_Rb_tree_insert_and_rebalance"))
    }

    /// The text that a call which is gone was given, or one of those that it is inside of.
    fn asked_by_text(&mut self, mut ctx: Ctx) -> Option<Vec<u8>> {
        for _ in 0..INSIDE {
            let (caller, call) = self.caller(ctx).filter(|_| self.run(ctx).frame.is_none())?;
            for &reg in self.machine.arguments.iter().take(PARAMETERS) {
                let given = self.eval(caller, call, Src::Reg(Part { reg, offset: 0, size: 8 }));
                let text = given.filter(|&given| self.is_mapped(given)).and_then(|given| self.text_at(given));
                // Pointers and counts of a container may look like a text of a few bytes.
                let printed = |text: &Vec<u8>| !text.is_empty() && text.iter().all(|&byte| byte >= b' ');
                if let Some(text) = text.filter(printed) {
                    return Some(text);
                }
            }
            ctx = caller;
        }
        None
    }

    /// The one place so many bytes behind the start of an element, or behind its key, where the value is; of all elements whose key is
    /// the text there must be one only.
    fn element_with(&self, text: &[u8], offset: i64, value: u64) -> Option<u64> {
        let (length, mut left) = (text.len() as u64, SEARCHED);
        let mut keys: Vec<u64> = Vec::new();
        for region in self.space.memory.regions() {
            let writable = region.permissions.is_some_and(|rights| rights.write);
            if !writable || self.on_stack(region.start.0) || self.is_static(region.start.0) {
                continue;
            }
            left = left.checked_sub(region.bytes.len())?;
            let words = region.bytes.chunks_exact(8).enumerate().skip(1);
            let lengths = words.filter(|(_, word)| **word == length.to_le_bytes());
            let starts = lengths.map(|(at, _)| region.start.0 + (at as u64 - 1) * 8);
            keys.extend(starts.filter(|&start| self.text_at(start).is_some_and(|found| found == text)));
        }
        let &[key] = keys.as_slice() else { return None };
        let (block, room) = self.block_around(key).filter(|&(block, _)| !self.is_released(block))?;
        let places = [key, block].map(|base| base.wrapping_add_signed(offset));
        let mut places: Vec<u64> = places
            .into_iter()
            .filter(|place| place.wrapping_sub(block) < room && place.wrapping_sub(key) >= KEY)
            .filter(|place| self.word(*place, 8) == Some(value))
            .collect();
        places.dedup();
        let &[place] = places.as_slice() else { return None };
        Some(place)
    }

    /// Stores of the program to elements that a map gave it.
    fn stores_to_elements(&mut self) -> Vec<u64> {
        let mut stores = Vec::new();
        for image in self.space.images.all() {
            if image.debug.get().is_some_and(|debug| debug.is_of_system()) {
                continue;
            }
            let Some(instructions) = sweep::instructions(image, self.machine) else { continue };
            let calls = instructions.filter_map(|insn| {
                let (target, direct) = insn.goes_to(|_| None)?;
                direct.then(|| (insn.at(), target))
            });
            let calls: Vec<(u64, u64)> = calls.collect();
            let mut targets: Vec<u64> = calls.iter().map(|&(_, target)| target).collect();
            targets.sort_unstable();
            targets.dedup();
            let names = self.namer.functions(&targets);
            for (call, target) in calls {
                let gives = names.get(&target).is_some_and(|name| gives_element(name));
                if gives && !self.is_library(call) && stores.len() < STORES {
                    stores.extend(self.stores_behind(call));
                }
            }
        }
        stores.sort_unstable();
        stores.dedup();
        stores
    }

    /// Stores through what a call returned.
    fn stores_behind(&mut self, call: u64) -> Vec<u64> {
        let Some(ctx) = self.detached_at(call, Limits::DESCENTS / 2) else { return Vec::new() };
        let function = self.function(ctx);
        let Some(call) = function.at(call) else { return Vec::new() };
        let mut stores = Vec::new();
        for (at, insn) in function.insns.iter().enumerate() {
            let through = insn.ops.iter().find_map(|op| match op {
                Op::Store { to, .. } if to.size == 8 && to.index.is_none() => to.base,
                _ => None,
            });
            let Some(reg) = through.filter(|&reg| reg != self.machine.sp && reg != self.machine.fp) else { continue };
            let defs = self.reaching(ctx, at, Loc::Reg(Part { reg, offset: 0, size: 8 }), None);
            if defs.iter().any(|def| def.kind == Kind::Result && def.at == call) {
                stores.push(self.address(ctx, at));
            }
        }
        stores
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_gives_an_element_of_a_map() {
        assert!(gives_element("std::map<std::string, Menu*, std::less<std::string> >::operator[](std::string&&)"));
        assert!(!gives_element("std::map<int, int>::find(int const&)"));
        assert!(!gives_element("std::vector<int, std::allocator<int> >::operator[](unsigned long)"));
    }
}
