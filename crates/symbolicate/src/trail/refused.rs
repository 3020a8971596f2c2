//! What the program gave to a library that refused it with an exception: the index out of range, the key that a container does not
//! have, the text that is no number. The library did what it was asked to: what it was asked with is the value to follow.

use necropsy_model::{BirthKind, Frame, MessageKind, Value, VariableKind};

use super::Tracer;
use super::context::Ctx;
use super::definition::{Kind, Loc};
use super::guard::short;
use super::lead::{Path, Spot};
use super::op::{Flow, Mem, Part, Src};
use super::own::is_of_standard_library;
use super::subject::{Scene, Subject, called};

/// Bytes of a text that are compared.
const LONGEST: u64 = 256;
/// Functions below one another that may have made a text.
const DEPTH: usize = 8;

/// Functions of the C++ library that end a call because of what it was given. Others refuse the object itself: an empty
/// `std::optional`, another alternative of a `std::variant`.
pub(super) fn blames_argument(function: &str) -> bool {
    ["std::__throw_out_of_range", "std::__throw_invalid_argument"].iter().any(|start| function.starts_with(start))
}

/// The number that a message names first: `__n (which is 5) >= this->size() (which is 3)`. It is what was asked for.
fn named(message: &str) -> Option<u64> {
    message.split("(which is ").nth(1).and_then(|rest| rest.split(')').next()?.parse().ok())
}

/// Bytes of a plain type behind a reference, by its name.
fn size_of(type_name: &str) -> Option<u8> {
    let words = || type_name.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
    let has = |word: &str| words().any(|other| other == word);
    Some(match () {
        () if has("char") || has("bool") => 1,
        () if has("short") => 2,
        () if has("long") || has("size_t") || has("int64_t") || has("uint64_t") => 8,
        () if has("int") || has("unsigned") || has("int32_t") || has("uint32_t") => 4,
        () => return None,
    })
}

impl<'data> Tracer<'_, '_, 'data> {
    /// The program gave a library something that it refused with an exception: the argument that it named, or that is NULL; else the
    /// key that it was asked for.
    pub fn refused(&mut self, scene: &Scene<'_, '_, 'data>) -> Vec<Subject> {
        let mut said = scene.messages.iter().filter(|message| message.kind == MessageKind::Terminate);
        let Some(message) = said.next() else { return Vec::new() };
        let Some(frame) = self.first_own(scene).filter(|&frame| frame != scene.frame) else { return Vec::new() };
        let place = self.of_frame(frame).and_then(|ctx| Some((ctx, self.live(ctx)?)));
        let Some((ctx, at)) = place else { return Vec::new() };
        let Some(called) = self.called_name(ctx, at) else { return Vec::new() };
        let wanted = match named(&message.text) {
            Some(number) => number,
            None if message.text.contains("null") => 0,
            None => {
                let asked = self.refused_key(scene, frame, (ctx, at));
                return if asked.is_empty() { self.looked_for(ctx, at) } else { asked };
            }
        };
        // The first argument is the object itself, or the text of the message.
        let arguments = self.arguments(ctx, at);
        self.refusing = wanted != 0;
        let known = |number: usize| arguments.iter().find(|&&(known, _)| known == number).map(|&(_, value)| value);
        if blames_argument(&called) {
            // The check stands in the program's own code: the call that throws got the number, behind texts for the message.
            let of_message = |number: &usize| known(*number).is_some_and(|value| self.is_static(value));
            let number = (1..4).find(|number| !of_message(number));
            let part = number.filter(|&number| known(number).is_none_or(|value| value == wanted));
            let part = part.and_then(|number| self.machine.arguments.get(number));
            let source = part.map(|&reg| Src::Reg(Part { reg, offset: 0, size: 8 }));
            let name = "the number that was refused".to_owned();
            return source.map(|source| Subject::new(ctx, at, source, Some(wanted), name)).into_iter().collect();
        }
        match arguments.iter().find(|&&(number, value)| number > 0 && value == wanted) {
            Some(&(number, _)) => self.argument_of(ctx, at, number, &called),
            None => Vec::new(),
        }
    }

    /// What the function of the library was asked for, which the program called: behind a reference, as its debug information says.
    fn refused_key(&mut self, scene: &Scene<'_, '_, 'data>, frame: usize, (ctx, at): (Ctx, usize)) -> Vec<Subject> {
        let Some(asked) = asked(scene, frame) else { return Vec::new() };
        let arguments = asked.variables.iter().filter(|variable| variable.kind == VariableKind::Argument);
        let mut arguments = arguments.filter(|variable| variable.name.as_deref().is_none_or(|name| name != "this"));
        let Some(variable) = arguments.next() else { return Vec::new() };
        let name = format!("what {} was asked for", asked.function.as_deref().map_or("the library", short));
        let Value::Pointer { address, target, .. } = &variable.value else { return Vec::new() };
        let behind = |size| Mem::at(address.cast_signed(), size);
        match target.as_deref() {
            Some(Value::Text { .. }) => vec![Subject::new(ctx, at, Src::Address(behind(8)), None, name)],
            Some(Value::Int(_) | Value::Uint(_) | Value::Enum { .. } | Value::Char(_)) => {
                let Some(size) = variable.type_name.as_deref().and_then(size_of) else { return Vec::new() };
                vec![Subject::new(ctx, at, Src::Mem(behind(size)), self.word(*address, size), name)]
            }
            _ => Vec::new(),
        }
    }

    /// The check was of what a look-up of the library gave back: the key that it was asked for, as its argument tells.
    fn looked_for(&mut self, ctx: Ctx, at: usize) -> Vec<Subject> {
        let checked = self.compared_before(ctx, at);
        let calls: Vec<usize> = checked
            .iter()
            .filter_map(|subject| match subject.source {
                Src::Reg(part) => Some(self.reaching(ctx, subject.at, Loc::Reg(part), subject.value)),
                _ => None,
            })
            .flatten()
            .filter(|def| def.kind == Kind::Result)
            .map(|def| def.at)
            .collect();
        for call in calls {
            let Some(target) = self.insn(ctx, call).and_then(|insn| called(insn.flow)) else { continue };
            let Some(target) = self.target(ctx, call, target).filter(|&target| self.is_library(target)) else {
                continue;
            };
            let name = self.function_name(target).unwrap_or_default();
            let key =
                self.arguments(ctx, call).into_iter().find(|&(number, value)| number == 1 && self.is_mapped(value));
            let Some((_, key)) = key.filter(|&(_, key)| self.text_at(key).is_some()) else { continue };
            let behind = Mem::at(key.cast_signed(), 8);
            let name = format!("what {} was asked for", short(&name));
            return vec![Subject::new(ctx, at, Src::Address(behind), None, name)];
        }
        Vec::new()
    }

    /// What lies at an address looks like a text of libstdc++ (`basic_string`: pointer, length, room inside): the text.
    pub fn text_at(&self, object: u64) -> Option<Vec<u8>> {
        let (start, length) = self.word(object, 8).zip(self.word(object.checked_add(8)?, 8))?;
        let length = usize::try_from(length).ok().filter(|&length| length as u64 <= LONGEST)?;
        let bytes = self.space.read(necropsy_model::Avma(start), length + 1).ok()?;
        (bytes.get(length) == Some(&0)).then(|| bytes.get(..length).unwrap_or_default().to_vec())
    }

    /// Who made the text in the `std::string` at an address.
    pub fn text_made(&mut self, spot: Spot, object: u64, path: &Path) {
        let text = self.text_at(object).unwrap_or_default();
        self.maker_of_text(spot, object, &text, path, DEPTH);
    }

    fn maker_of_text(&mut self, spot: Spot, object: u64, text: &[u8], path: &Path, left: usize) -> bool {
        let Some(left) = left.checked_sub(1) else { return false };
        let defs = self.reaching(spot.ctx, spot.at, Loc::Mem { address: object, size: 8 }, None);
        let mut found = false;
        for def in &defs {
            let here = Spot { ctx: spot.ctx, at: def.store.unwrap_or(def.at) };
            match def.kind {
                Kind::Entry | Kind::Unknown => {}
                Kind::Out | Kind::Maker(_) | Kind::Element(..) => {
                    found |= self.text_given_to(here, object, text, path, left);
                }
                _ => {
                    self.text_lead(here, None, path);
                    found = true;
                }
            }
        }
        if !found
            && defs.iter().any(|def| def.kind == Kind::Entry)
            && self.run(spot.ctx).frame.is_some()
            && let Some((ctx, at)) = self.caller(spot.ctx)
        {
            found = self.maker_of_text(Spot { ctx, at }, object, text, path, left);
        }
        found
    }

    /// A call got the object: the library filled it, or a function of the program that is looked into.
    fn text_given_to(&mut self, spot: Spot, object: u64, text: &[u8], path: &Path, left: usize) -> bool {
        let Some(Flow::Call(target)) = self.insn(spot.ctx, spot.at).map(|insn| insn.flow) else { return false };
        let Some(target) = self.target(spot.ctx, spot.at, target) else { return false };
        let name = self.function_name(target).unwrap_or_default();
        if !self.is_library(target) {
            let Some(callee) = self.enter(spot.ctx, spot.at, target) else { return false };
            let path = path.with(spot, "written-by", format!("{} got a pointer to it", short(&name)));
            let function = self.function(callee);
            let mut found = false;
            for &at in &function.returns {
                found |= self.maker_of_text(Spot { ctx: callee, at }, object, text, &path, left);
            }
            return found;
        }
        // It looks at it, or takes it down; a C function does not know such objects.
        let gives_text = name.contains("::substr(") || name.contains("::str()");
        let object_first = self.machine.arguments.first().is_some_and(|&reg| {
            self.eval(spot.ctx, spot.at, Src::Reg(Part { reg, offset: 0, size: 8 })) == Some(object)
        });
        let of_texts = name.contains("::");
        if name.ends_with(" const") && !gives_text || name.contains('~') || !object_first || !of_texts {
            return false;
        }
        match self.constant_given(spot, text) {
            Some(false) => return false,
            same => self.text_lead(spot, same, path),
        }
        true
    }

    /// Whether a call was given a constant text that is the one looked for; `None` where it is only a part of it, or none was given.
    fn constant_given(&mut self, spot: Spot, text: &[u8]) -> Option<bool> {
        for (_, pointer) in self.arguments(spot.ctx, spot.at) {
            if !self.is_static(pointer) || self.is_writable(pointer) {
                continue;
            }
            let Ok(bytes) = self.space.read(necropsy_model::Avma(pointer), text.len() + 1) else { continue };
            let given = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
            if given == text && !text.is_empty() {
                return Some(true);
            }
            let part = !given.is_empty() && text.windows(given.len()).any(|window| window == given);
            if !part && !given.is_empty() && given.iter().all(|byte| (0x20..0x7f).contains(byte)) {
                return Some(false);
            }
        }
        None
    }

    fn text_lead(&mut self, spot: Spot, same: Option<bool>, path: &Path) {
        let own = self.own_spot(spot);
        let gone = self.run(own.ctx).frame.is_none();
        let path = path.with(spot, "made", "the text is put together here".to_owned());
        let kind = match (gone, same) {
            (true, Some(true)) => BirthKind::ReturnedConstant,
            (true, _) => BirthKind::ReturnedArithmetic,
            (false, _) => BirthKind::StoredSomewhere,
        };
        self.lead(kind, spot, "makes the text".to_owned(), &path);
    }
}

/// The function of a library that a frame of the program called last, inlined or not.
fn asked<'a>(scene: &'a Scene<'_, '_, '_>, frame: usize) -> Option<&'a Frame<'a>> {
    let thread = scene.snapshot.threads.get(scene.thread)?;
    let (mut raw, mut inlined, mut before) = (0, Vec::new(), None);
    for listed in scene.snapshot.frames_of(thread) {
        if raw == frame && !listed.inlined {
            break;
        }
        if raw == frame {
            inlined.push(listed);
        } else {
            before = Some(listed);
        }
        raw += usize::from(!listed.inlined);
    }
    let of_library = |frame: &&Frame<'_>| is_of_standard_library(frame.function.as_deref(), frame.location.as_ref());
    inlined.into_iter().rev().find(of_library).or_else(|| before.filter(of_library))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_that_a_message_names_first() {
        let text = "vector::_M_range_check: __n (which is 5) >= this->size() (which is 3)";
        assert_eq!((named(text), named("map::at"), named("(which is many)")), (Some(5), None, None));
    }

    #[test]
    fn who_refuses_the_argument_and_who_the_object() {
        assert!(blames_argument("std::__throw_out_of_range_fmt(char const*, ...)"));
        assert!(!blames_argument("std::__throw_bad_optional_access()"));
    }

    #[test]
    fn bytes_of_plain_types() {
        let names = ["const int &", "unsigned long", "int const&", "const char &", "short", "uint32_t", "const key &"];
        assert_eq!(names.map(size_of), [Some(4), Some(8), Some(4), Some(1), Some(2), Some(4), None]);
    }
}
