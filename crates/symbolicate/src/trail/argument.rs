//! What a library was given when it failed: the argument of the program's innermost call that is bad.

use necropsy_model::{Avma, BirthKind};

use super::Tracer;
use super::chase::NULL_PAGES;
use super::definition::Loc;
use super::lead::{Path, Spot};
use super::op::{Part, Src};
use super::subject::{Scene, Subject};

impl<'data> Tracer<'_, '_, 'data> {
    /// The count that a function of memory got, when its pointers are sound and the count leads out of what is mapped.
    fn too_many<'v>(&self, function: &str, arguments: &'v [(usize, u64)]) -> Option<&'v (usize, u64)> {
        let number = count_argument(function)?;
        let count = arguments.iter().find(|&&(at, _)| at == number)?;
        let leads_out = |&&(_, start): &&(usize, u64)| {
            let region = self.space.memory.region(Avma(start));
            region.is_some_and(|region| start.checked_add(count.1).is_none_or(|end| end > region.end.0))
        };
        arguments.iter().filter(|&&(at, _)| at < number.min(2)).find(leads_out).map(|_| count)
    }

    /// The process died in the allocator, which was to release what is no block: its argument is bad, whatever the
    /// allocator computed of it.
    pub fn releases_no_block(&mut self, scene: &Scene<'_, '_, 'data>) -> bool {
        let place = self.first_own(scene).filter(|&frame| frame != scene.frame).and_then(|frame| self.of_frame(frame));
        let Some((ctx, at)) = place.and_then(|ctx| Some((ctx, self.live(ctx)?))) else { return false };
        if !self.called_name(ctx, at).is_some_and(|called| super::memory::releases(&called)) {
            return false;
        }
        let given = self.arguments(ctx, at).into_iter().find(|&(number, _)| number == 0);
        let inside = |given: u64| given >= NULL_PAGES && self.is_mapped(given) && self.block_size(given).is_none();
        given.is_some_and(|(_, given)| inside(given))
    }

    /// The innermost call of the program into a library, and the argument that is bad.
    pub fn of_library_call(&mut self, scene: &Scene<'_, '_, 'data>) -> Option<Subject> {
        let frame = self.first_own(scene).filter(|&frame| frame != scene.frame)?;
        let ctx = self.of_frame(frame)?;
        let at = self.live(ctx)?;
        let called = self.called_name(ctx, at)?;
        let culprit = scene.stop.fault.as_ref().and_then(|fault| fault.address).map(|address| address.0);
        let faulted = scene.stop.fault.is_some();
        let freed = scene.messages.iter().any(|message| message.kind == necropsy_model::MessageKind::Heap);
        let base = super::library::plain_name(&called).to_owned();
        let releases = matches!(base.as_str(), "free" | "cfree" | "realloc") || base.starts_with("operator delete");
        if !(faulted || releases && freed) {
            return None;
        }
        let arguments = self.arguments(ctx, at);
        // Functions of strings begin with the whole block of 16 or 32 bytes that the first byte lies in.
        let near = |value: u64| {
            culprit.is_some_and(|culprit| {
                culprit.wrapping_sub(value) < 4096 || culprit != 0 && value.wrapping_sub(culprit) < 32
            })
        };
        let chosen = if releases {
            arguments.iter().find(|&&(number, _)| number == 0)
        } else {
            let count = count_argument(&base);
            let endless =
                arguments.iter().find(|&&(number, value)| Some(number) == count && value > super::damage::ENDLESS);
            let exact = endless.or_else(|| arguments.iter().find(|&&(_, value)| near(value)));
            // A number that is no pointer is small too: only NULL itself is taken for one, and where the address is not known.
            let unknown = culprit.is_none_or(|culprit| culprit < NULL_PAGES);
            let null = || arguments.iter().find(|&&(_, value)| value == 0).filter(|_| unknown);
            let wild = || arguments.iter().find(|&&(_, value)| !self.machine.is_canonical(value)).filter(|_| unknown);
            exact.or_else(null).or_else(wild).or_else(|| self.too_many(&base, &arguments))
        };
        let &(number, value) = chosen?;
        let &reg = self.machine.arguments.get(number)?;
        let name = format!("argument {} of {}", number + 1, if releases { &base } else { &called });
        if releases && scene.messages.iter().any(|message| message.text.contains("double free")) {
            // Who freed it first: the object itself is looked for, not the pointer.
            let spot = Spot { ctx, at };
            let path = Path::default().with(spot, "fault", format!("{called} got {value:#x}, which was free already"));
            let path = self.with_gate_of(ctx, at, Src::Reg(Part { reg, offset: 0, size: 8 }), &path);
            self.seeking = true;
            self.trace(ctx, at, Loc::Mem { address: value, size: 8 }, None, &path);
            self.seeking = false;
            self.leads.retain(|lead| lead.kind == BirthKind::Freed);
            if !self.leads.is_empty() {
                return Some(Subject::new(ctx, at, Src::Other, Some(value), name));
            }
            self.visited.clear();
        }
        self.not_owned = releases && freed && (self.on_stack(value) || self.is_static(value));
        Some(Subject::new(ctx, at, Src::Reg(Part { reg, offset: 0, size: 8 }), Some(value), name))
    }
}

/// The argument of a function that says how many bytes it touches.
fn count_argument(function: &str) -> Option<usize> {
    const THIRD: [&str; 10] =
        ["memcpy", "memmove", "mempcpy", "memset", "memcmp", "memchr", "strncpy", "strncmp", "strncat", "bcopy"];
    match function {
        _ if THIRD.iter().any(|known| super::library::is_variant_of(function, known)) => Some(2),
        "bzero" | "explicit_bzero" => Some(1),
        _ => None,
    }
}
