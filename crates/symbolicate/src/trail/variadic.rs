//! Numbers where a text was expected, among the arguments of a function that takes any number of them: whoever called it passed
//! others than its format names, or left out the end of the list.

use necropsy_model::{Arch, BirthKind};

use super::Tracer;
use super::chase::words;
use super::context::Ctx;
use super::definition::{Kind, Loc};
use super::lead::{Path, Spot};
use super::op::{Part, Src};
use super::subject::{Scene, Subject};

/// Frames that are looked at: wrappers that hand a list on.
const FRAMES: usize = 6;
/// Bytes of a frame that are searched for its list of arguments.
const FRAME: u64 = 1 << 14;
/// Bytes of arguments behind a frame.
const BEHIND: u64 = 1 << 10;
/// Bytes of the general registers that carry arguments, as they are put away ("register save area", System V ABI for AMD64, 3.5.7).
const REGISTERS: u64 = 48;
/// Largest member of a structure that NULL is said to lead to.
const MEMBER: u64 = 0xfff;

/// An argument that was taken from a list last.
struct Taken {
    /// Where it stands.
    place: u64,
    /// Its number among all arguments of the function.
    number: u64,
}

impl<'data> Tracer<'_, '_, 'data> {
    /// The address at fault was taken from a list of arguments just before: what was passed. Where that is a number, who passed it
    /// is found.
    pub fn of_variadic(&mut self, scene: &Scene<'_, '_, 'data>) -> Option<Subject> {
        let address = scene.stop.fault.as_ref()?.address?.0;
        if address == 0 || self.is_mapped(address) || self.machine.arch != Arch::X86_64 || self.stack.is_some() {
            return None;
        }
        // Addresses of programs are larger, but for those that are linked to a fixed one: there something is mapped.
        let is_number = (1..1 << 32).contains(&address);
        for frame in scene.frame..(scene.frame + FRAMES).min(scene.walk.frames.len()) {
            let Some(ctx) = self.of_frame(frame) else { continue };
            let Some(Taken { place, number }) = self.taken_last(frame, address) else { continue };
            let Some((caller, call)) = self.caller(ctx) else { continue };
            if self.is_library(self.address(caller, call)) {
                return None;
            }
            let at = self.live(ctx)?;
            let name = self.name_or_place(self.run(ctx).function.entry);
            let name = format!("argument {} of {}", number + 1, super::guard::short(&name));
            if !is_number || !self.is_number_passed(caller, call, number, address) {
                let reg = usize::try_from(number).ok().and_then(|number| self.machine.arguments.get(number));
                let source = Src::Reg(Part { reg: *reg?, offset: 0, size: 8 });
                return Some(Subject::new(caller, call, source, Some(address), name));
            }
            let text = format!("{name} is {}, used as a pointer", words(Some(address)));
            let mut path = Path::default().with(Spot { ctx, at }, "fault", text);
            path.seen_in(place);
            let spot = Spot { ctx: caller, at: call };
            let mut path = path.with(spot, "passed", "passed here, among arguments of any number and kind".to_owned());
            path.gate = Some(spot);
            self.lead(BirthKind::Mismatch, spot, "passes a number where a text is expected".to_owned(), &path);
            return Some(Subject::new(caller, call, Src::Other, Some(address), name));
        }
        None
    }

    /// What was passed was made as a number, and not by counting on from NULL to a member.
    fn is_number_passed(&mut self, caller: Ctx, call: usize, argument: u64, value: u64) -> bool {
        let Some(&reg) = usize::try_from(argument).ok().and_then(|number| self.machine.arguments.get(number)) else {
            return value > MEMBER;
        };
        let mut part = Part { reg, offset: 0, size: 8 };
        let (mut ctx, mut at) = (caller, call);
        for _ in 0..FRAMES {
            let defs = self.reaching(ctx, at, Loc::Reg(part), Some(value));
            let (mut entered, mut number) = (None, false);
            for def in defs {
                let widened = def.loc.size() <= 4 || [1, 2, 4].into_iter().any(|bytes| def.widened_from(bytes));
                number |= match (def.kind, def.loc) {
                    _ if def.adjusted() && def.value == Some(0) => return false,
                    _ if widened => true,
                    (Kind::Entry, Loc::Reg(part)) if def.changes.is_none() => {
                        entered = Some(part);
                        false
                    }
                    (Kind::Load { mem, .. }, _) => mem.size <= 4 || value > MEMBER,
                    (Kind::Address(mem), _) => {
                        let base = mem.base.map(|reg| Src::Reg(Part { reg, offset: 0, size: 8 }));
                        if base.is_some_and(|base| self.eval(ctx, def.at, base).is_none_or(|base| base == 0)) {
                            return false;
                        }
                        true
                    }
                    (Kind::Value(_) | Kind::Compute { .. }, _) => true,
                    _ => value > MEMBER,
                };
            }
            let (false, Some(next)) = (number, entered) else { return number };
            part = next;
            let Some(outer) = self.caller(ctx) else { return value > MEMBER };
            (ctx, at) = outer;
        }
        value > MEMBER
    }

    /// The list of arguments in a frame (`va_list`), where what was taken from it last has a value.
    fn taken_last(&self, frame: usize, value: u64) -> Option<Taken> {
        let raw = self.frames.get(frame)?;
        let (sp, cfa) = (raw.registers.sp()?, raw.cfa?);
        let size = cfa.checked_sub(sp).filter(|&size| size <= FRAME)?;
        // The frame of a function that calls another may reach on into what it passes on.
        (0..size / 8).find_map(|word| {
            let list = sp + word * 8;
            // Where no vectors are taken, nobody sets the offset of theirs.
            let general = self.word(list, 4)?;
            let (overflow, saved) = (self.word(list + 8, 8)?, self.word(list + 16, 8)?);
            let steps = general <= REGISTERS && general.is_multiple_of(8);
            let behind = overflow.checked_sub(cfa).is_some_and(|bytes| bytes < BEHIND && bytes.is_multiple_of(8));
            let inside = sp <= saved && saved < cfa;
            if !(steps && behind && inside) {
                return None;
            }
            let on_stack = (overflow > cfa).then(|| (overflow - 8, REGISTERS / 8 + (overflow - cfa) / 8 - 1));
            let in_register = general.checked_sub(8).map(|offset| (saved + offset, offset / 8));
            let (place, number) = on_stack.or(in_register)?;
            let taken = self.word(place, 8)?;
            // An `int` leaves the upper half as it is.
            (taken == value || taken & 0xffff_ffff == value).then_some(Taken { place, number })
        })
    }
}
