//! Elements of a `std::vector`: its code moves them from block to block, so that nobody in the program stores to the place that one
//! is read from. Who put such an element in is looked for instead: by reading the code of the program once, and where one
//! function alone fits.

use std::collections::BTreeSet;

use necropsy_model::{BirthKind, Chain};

use super::context::Ctx;
use super::definition::Loc;
use super::lead::{Lead, NO_MEMORY, NO_WAY, Path, Spot, Step};
use super::op::{Part, Src};
use super::subject::called;
use super::{Limits, Tracer, sweep};

/// Calls that put an element in.
const MAX_CALLS: usize = 48;
/// Bytes that are searched for the vector itself.
const MOST_SEARCHED: usize = 64 << 20;

/// A call that puts an element into a vector.
struct Insertion {
    call: u64,
    /// The parameter that is, or points to, the element.
    parameter: usize,
    /// The type of the elements.
    element: String,
}

/// The parameter in which a function of `std::vector` gets the element, and the type of the elements, by the function's name.
fn puts_in(function: &str) -> Option<(usize, &str)> {
    // Templates say what they return.
    let (_, rest) = function.split_once("std::vector<").filter(|(before, _)| {
        before.is_empty() || before.ends_with(' ') && !before.contains('(') && !before.contains("::operator")
    })?;
    let element = first_argument(rest)?;
    let (_, method) = outside(rest)?;
    let (name, _) = method.strip_prefix("::")?.split_once(['<', '('])?;
    match (name, arguments(parameters_of(method)?)) {
        ("push_back" | "emplace_back" | "_M_realloc_append", 1) => Some((1, element)),
        ("_M_realloc_insert" | "_M_insert_aux" | "_M_emplace_aux", 2) => Some((2, element)),
        _ => None,
    }
}

/// The text before the first comma or bracket that closes, outside of inner brackets.
fn first_argument(text: &str) -> Option<&str> {
    let mut depth = 0_usize;
    for (at, character) in text.char_indices() {
        match character {
            '<' | '(' => depth += 1,
            ',' | '>' if depth == 0 => return text.get(..at),
            '>' | ')' => depth = depth.checked_sub(1)?,
            _ => {}
        }
    }
    None
}

/// What stands inside of the brackets that a text begins in, and what behind them.
fn outside(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0_usize;
    for (at, character) in text.char_indices() {
        match character {
            '<' => depth += 1,
            '>' if depth == 0 => return Some((text.get(..at)?, text.get(at + 1..)?)),
            '>' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// The parameters of a method: `::push_back(int&&)` has `int&&`.
fn parameters_of(method: &str) -> Option<&str> {
    let mut depth = 0_usize;
    for (at, character) in method.char_indices() {
        match character {
            '<' => depth += 1,
            '>' => depth = depth.saturating_sub(1),
            '(' if depth == 0 => return method.get(at + 1..)?.rsplit_once(')').map(|(inside, _)| inside),
            _ => {}
        }
    }
    None
}

/// How many parameters a list has.
fn arguments(list: &str) -> u8 {
    let (mut depth, mut count) = (0_usize, u8::from(!list.is_empty()));
    for character in list.chars() {
        match character {
            '<' | '(' => depth += 1,
            '>' | ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => count = count.saturating_add(1),
            _ => {}
        }
    }
    count
}

/// Bytes of an element that is a pointer, or begins with one that somebody gave it.
fn size_of_pointer(element: &str) -> Option<u64> {
    let element = element.trim_end_matches(" const");
    match element {
        _ if element.ends_with('*') || element.starts_with("std::unique_ptr<") => Some(8),
        _ if element.starts_with("std::shared_ptr<") || element.starts_with("std::weak_ptr<") => Some(16),
        _ => None,
    }
}

impl Tracer<'_, '_, '_> {
    /// Where the elements of the vector begin whose storage is this block: somewhere stand its three pointers, to the first element,
    /// behind the last one and behind the room for more (libstdc++ `_Vector_impl_data`, and libc++ alike).
    pub fn is_vector(&self, (block, room): (u64, u64), element: u64) -> bool {
        let mut left = MOST_SEARCHED;
        for region in self.space.memory.regions() {
            if !region.permissions.is_some_and(|rights| rights.write) {
                continue;
            }
            let Some(rest) = left.checked_sub(region.bytes.len()) else { return false };
            left = rest;
            let word = |bytes: &[u8]| bytes.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
            let mut words = region.bytes.chunks_exact(8).map(word);
            let (mut first, mut second) = (words.next().flatten(), words.next().flatten());
            for third in words {
                if let (Some(start), Some(end), Some(limit)) = (first, second, third)
                    && start == block
                    && (block + 1..=limit).contains(&end)
                    && element < end
                    && limit - block <= room
                    && (limit - block).is_multiple_of(8)
                {
                    return true;
                }
                (first, second) = (second, third);
            }
        }
        false
    }

    /// Who put the element with this value into a vector: leads where one function alone does, else none.
    pub fn put_into_vector(&mut self, offset: u64, value: u64, path: &Path) {
        let Some(mut calls) = self.insertions() else { return };
        // The functions on the way tell the type of the elements, as a rule.
        let reader = path.loaded.and_then(|spot| self.function_name(self.run(spot.ctx).function.entry));
        let told = |insertion: &Insertion| {
            let vector = format!("std::vector<{},", insertion.element);
            let mut texts = path.steps.iter().map(|step| step.text.as_str()).chain(reader.as_deref());
            texts.any(|text| text.contains(&vector))
        };
        if calls.iter().any(told) {
            calls.retain(told);
        }
        let before = self.leads.len();
        let mut open = false;
        for Insertion { call, parameter, element } in calls {
            let size = size_of_pointer(&element);
            if size.is_none_or(|size| !offset.is_multiple_of(size)) {
                continue;
            }
            let Some(ctx) = self.detached_at(call, Limits::DESCENTS / 2) else { continue };
            let Some(at) = self.function(ctx).at(call) else { continue };
            if !self.is_library(call) {
                open |= self.follow_insertion((ctx, at), parameter, value, path);
            }
        }
        let found = self.leads.get(before..).unwrap_or_default();
        let spots: Vec<Spot> = found.iter().map(|lead| lead.spot).collect();
        let own: Vec<Spot> = spots.into_iter().map(|spot| self.own_spot(spot)).collect();
        let functions: BTreeSet<u64> = own.iter().map(|spot| self.run(spot.ctx).function.entry).collect();
        if open || functions.len() != 1 {
            self.leads.truncate(before);
        }
    }

    /// Calls of the program that put a pointer into a vector.
    fn insertions(&mut self) -> Option<Vec<Insertion>> {
        let mut found = Vec::new();
        for image in self.space.images.all() {
            if image.debug.get().is_some_and(|debug| debug.is_of_system()) {
                continue;
            }
            let calls: Vec<(u64, u64)> = sweep::instructions(image, self.machine)?
                .filter_map(|insn| {
                    let (target, direct) = insn.goes_to(|_| None)?;
                    direct.then(|| (insn.at(), target))
                })
                .collect();
            let mut targets: Vec<u64> = calls.iter().map(|&(_, target)| target).collect();
            targets.sort_unstable();
            targets.dedup();
            let names = self.namer.functions(&targets);
            for (at, target) in calls {
                let Some((parameter, element)) = names.get(&target).and_then(|name| puts_in(name)) else { continue };
                if size_of_pointer(element).is_none() || self.is_library(at) {
                    continue;
                }
                if found.len() >= MAX_CALLS {
                    return None;
                }
                found.push(Insertion { call: at, parameter, element: element.to_owned() });
            }
        }
        Some(found)
    }

    /// Follows what a call puts in. Whether it may be the value and nothing more is known.
    fn follow_insertion(&mut self, (ctx, at): (Ctx, usize), parameter: usize, value: u64, path: &Path) -> bool {
        let Some(&reg) = self.machine.arguments.get(parameter) else { return true };
        let is_call = self.insn(ctx, at).is_some_and(|insn| called(insn.flow).is_some());
        let Some(place) = self.eval(ctx, at, Src::Reg(Part { reg, offset: 0, size: 8 })).filter(|_| is_call) else {
            return true;
        };
        let before = self.leads.len();
        let mut path = path.with(Spot { ctx, at }, "put-in", "puts an element into such a vector".to_owned());
        path.floor = None;
        path.value = Some(value);
        path.returned.clear();
        path.doubts.push(Chain::PUT_IN);
        let outer = std::mem::replace(&mut self.by_place, true);
        self.trace(ctx, at, Loc::Mem { address: place, size: 8 }, Some(value), &path);
        self.by_place = outer;
        let lost = |lead: &Lead| {
            matches!(
                lead.kind,
                BirthKind::Loaded | BirthKind::Unknown | BirthKind::Arithmetic | BirthKind::UninitialisedLocal
            )
        };
        let impossible = |lead: &Lead| value == 0 && lead.path.doubts.contains(&NO_WAY);
        let failed = |lead: &Lead| lead.path.doubts.contains(&NO_MEMORY) || impossible(lead);
        let mut found = self.leads.split_off(before.min(self.leads.len()));
        // What the call itself left there in a turn before is not what it got in this one.
        let itself = |step: &Step| step.step == "written-by" && step.spot == Spot { ctx, at };
        found.retain(|lead| !lead.path.steps.iter().any(itself));
        let another = |lead: &Lead| lead.path.steps.last().is_some_and(|step| step.step == "overwritten");
        let open = found.iter().any(|lead| lost(lead) && !failed(lead) && !another(lead));
        self.leads.extend(found.into_iter().filter(|lead| !lost(lead) && !failed(lead)));
        open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_puts_an_element_into_a_vector() {
        let plain = "std::vector<Stage const*, std::allocator<Stage const*> >::push_back(Stage const*&&)";
        assert_eq!(puts_in(plain), Some((1, "Stage const*")));
        let grown = "void std::vector<std::shared_ptr<D>, std::allocator<std::shared_ptr<D> > >::_M_realloc_insert<\
                     std::shared_ptr<D> >(__gnu_cxx::__normal_iterator<std::shared_ptr<D>*, std::vector<int> >, \
                     std::shared_ptr<D>&&)";
        assert_eq!(puts_in(grown), Some((2, "std::shared_ptr<D>")));
        let made = "Job& std::vector<Job, std::allocator<Job> >::emplace_back<int, char const*>(int&&, char const*&&)";
        assert_eq!(puts_in(made), None, "an element that is made there");
        assert_eq!(puts_in("std::vector<int*, std::allocator<int*> >::size() const"), None);
        assert_eq!(puts_in("std::map<int, int*>::push_back(int*)"), None);
    }

    #[test]
    fn bytes_of_elements_that_are_pointers() {
        let sizes = ["Stage const*", "std::shared_ptr<D>", "std::unique_ptr<D, std::default_delete<D> >", "int"];
        assert_eq!(sizes.map(size_of_pointer), [Some(8), Some(16), Some(8), None]);
    }
}
