//! The source expression behind a memory operand: which variable a register holds, and which member a displacement is.

use std::fmt::Write;

use gimli::Location;
use necropsy_model::{Avma, Svma};

use super::entries::{Die, Entry};
use super::location::{Frame, expression_at};
use super::object::Object;
use super::scope;
use super::steps::{self, Step, Written};
use super::types::{self, Slot, defined, dimensions, is_pointer, is_record, size_of, slot, strip};

/// Bytes of code before an instruction that are looked through.
const MAX_LOOKED_BACK: u64 = 512;

/// Loads and copies from a variable to the register: `a->b->c` has two.
const MAX_STEPS: usize = 6;

/// Structures inside structures on the way to a member.
const MAX_MEMBERS: usize = 16;

/// What a memory operand is in the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldPath {
    /// All of it: `acct->balance`.
    pub expression: String,
    /// The pointer in it: `acct`.
    pub pointer: String,
}

/// A memory operand of an instruction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operand {
    /// Address of the instruction.
    pub at: Avma,
    /// DWARF number of the base register, and the value it held.
    pub base: (u16, u64),
    /// Bytes from that value to the address used.
    pub displacement: i64,
}

/// An expression of the source, and the type of its value.
struct Found<'u, 'data> {
    text: String,
    die: Die<'u, 'data>,
    /// The value it has now, where it could be read.
    value: Option<u64>,
}

/// The source expression of an operand of the function of `frame`.
pub(super) fn find(frame: &Frame<'_, '_, '_>, operand: &Operand) -> Option<FieldPath> {
    let (register, value) = operand.base;
    let found = in_register(frame, register, operand.at).or_else(|| {
        let start = frame.function.ranges().first().map(|&(start, _)| frame.file().bias.to_avma(Svma(start)).0)?;
        let start = looked_back(frame, start, operand.at.0);
        let arch = frame.raw.registers.arch();
        let written = steps::between(frame.context.space, arch, start, operand.at.0);
        // What was loaded must be what the register holds: the way here may have been another.
        trace(frame, &written, register, operand.at, MAX_STEPS).filter(|found| found.value == Some(value))
    })?;
    let (expression, _) = pointee(frame, &found, operand.displacement)?;
    Some(FieldPath { expression, pointer: found.text })
}

/// An object that a variable points at, and what of it lies at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// Address of the object.
    pub object: u64,
    /// Name of its type.
    pub of: String,
    /// The member, without the object: `lock.__data.__lock`.
    pub path: String,
}

/// The members at an address of the objects that the variables of a function point at, nearest scope first.
pub(super) fn members_at(frame: &Frame<'_, '_, '_>, address: u64) -> Vec<Member> {
    let levels = scope::levels(frame);
    let variables = levels.iter().flat_map(|level| level.locals().into_iter().chain(level.parameters()));
    variables.filter_map(|variable| member_of(frame, &variable, address)).collect()
}

/// What lies at an address, when a variable points at the object around it.
fn member_of<'u, 'data>(frame: &Frame<'u, '_, 'data>, variable: &Entry<'u, 'data>, address: u64) -> Option<Member> {
    let kind = strip(variable.type_die()).filter(|entry| is_pointer(entry.tag))?;
    let record = defined(kind.type_die()).filter(|target| is_record(target.tag))?;
    let object = frame.object(variable).word(frame.context.space).ok()?;
    let offset = address.checked_sub(object)?;
    if offset >= size_of(Some(record.die), frame)? {
        return None;
    }
    let mut path = String::new();
    walk(frame, &record, offset, &mut path, &mut None, MAX_MEMBERS)?;
    Some(Member { object, of: types::qualified_name(&record)?, path })
}

/// Where to start decoding: the function's start, or a row of the line table would do; code before it is not needed.
///
/// Instructions of x86-64 have no fixed length, so that decoding starts where one is known to begin: at the function.
fn looked_back(frame: &Frame<'_, '_, '_>, start: u64, at: u64) -> u64 {
    match frame.raw.registers.arch() {
        necropsy_model::Arch::Aarch64 => start.max(at.saturating_sub(MAX_LOOKED_BACK)),
        // A whole function of up to 64 KiB is decoded in a millisecond; in longer ones the name is left out.
        _ if at.saturating_sub(start) > 0x1_0000 => at,
        _ => start,
    }
}

/// The variable whose location is a register, at an instruction.
fn in_register<'u, 'data>(frame: &Frame<'u, '_, 'data>, register: u16, at: Avma) -> Option<Found<'u, 'data>> {
    let lookup = frame.file().bias.to_svma(at);
    variable(frame, |variable| {
        let holder = variable.holder(gimli::DW_AT_location)?;
        let expression = expression_at(&holder, gimli::DW_AT_location, lookup).ok()?;
        let mut evaluation = expression.evaluation(holder.die.unit.parsed.encoding());
        if evaluation.evaluate().ok()? != gimli::EvaluationResult::Complete {
            return None;
        }
        let [piece] = evaluation.as_result() else { return None };
        let held = piece.location == Location::Register { register: gimli::Register(register) };
        held.then(|| frame.register(register).ok())
    })
}

/// The variable that lies at an address of the stack.
fn in_memory<'u, 'data>(frame: &Frame<'u, '_, 'data>, address: u64) -> Option<Found<'u, 'data>> {
    variable(frame, |variable| {
        let object = frame.object(variable);
        (object.address() == Some(address)).then(|| object.word(frame.context.space).ok())
    })
}

/// The address of a slot of the stack, by stack or frame pointer.
fn slot_address(frame: &Frame<'_, '_, '_>, base: u16, displacement: i64) -> Option<u64> {
    let arch = frame.raw.registers.arch();
    let on_stack = [arch.stack_pointer(), arch.frame_pointer()].contains(&Some(base));
    frame.raw.registers.get(base).filter(|_| on_stack).map(|base| base.wrapping_add_signed(displacement))
}

/// The first named variable in scope that fits, innermost function first; `fits` gives its value.
fn variable<'u, 'data>(
    frame: &Frame<'u, '_, 'data>,
    fits: impl Fn(&Entry<'u, 'data>) -> Option<Option<u64>>,
) -> Option<Found<'u, 'data>> {
    scope::levels(frame).iter().find_map(|level| {
        level.locals().iter().chain(&level.parameters()).find_map(|one| {
            let value = fits(one)?;
            Some(Found { text: one.name()?.into_owned(), die: one.type_die()?, value })
        })
    })
}

/// What a register held before an instruction, by the loads and copies that brought it there.
fn trace<'u, 'data>(
    frame: &Frame<'u, '_, 'data>,
    written: &[Written],
    register: u16,
    at: Avma,
    left: usize,
) -> Option<Found<'u, 'data>> {
    let left = left.checked_sub(1)?;
    let before = written.iter().rev().filter(|one| one.address < at.0).take_while(|one| one.register.is_some());
    let mut last = None;
    for one in before.filter(|one| one.register == Some(register)) {
        // What a register held is also known by where it was put: rustc at -O0 keeps every argument in a slot.
        let Step::Store(base, displacement) = one.step else {
            last = Some(one);
            break;
        };
        if let Some(found) = slot_address(frame, base, displacement).and_then(|slot| in_memory(frame, slot)) {
            return Some(found);
        }
    }
    let last = last?;
    let here = Avma(last.address);
    match last.step {
        Step::Other | Step::Store(..) => None,
        Step::Copy(from) => in_register(frame, from, here).or_else(|| trace(frame, written, from, here, left)),
        Step::Load(base, displacement) => {
            if let Some(slot) = slot_address(frame, base, displacement) {
                return in_memory(frame, slot);
            }
            let object = in_register(frame, base, here).or_else(|| trace(frame, written, base, here, left))?;
            let (text, die) = pointee(frame, &object, displacement)?;
            let value = object.value.and_then(|address| {
                Object::Memory(address.wrapping_add_signed(displacement)).word(frame.context.space).ok()
            });
            Some(Found { text, die: die?, value })
        }
    }
}

/// What lies so many bytes behind a pointer: `pointer->member`, `pointer[3]` or `*pointer`, and its type.
fn pointee<'u, 'data>(
    frame: &Frame<'u, '_, 'data>,
    pointer: &Found<'u, 'data>,
    displacement: i64,
) -> Option<(String, Option<Die<'u, 'data>>)> {
    let kind = strip(Some(pointer.die)).filter(|entry| is_pointer(entry.tag))?;
    let target = defined(kind.type_die())?;
    let name = &pointer.text;
    let Ok(mut offset) = u64::try_from(displacement) else { return None };
    let size = size_of(Some(target.die), frame).filter(|&size| size > 0)?;
    let reference = kind.tag != gimli::DW_TAG_pointer_type;
    // These have one way to write it, whatever the depth.
    let dotted = matches!(target.die.language(), Some(gimli::DW_LANG_Rust | gimli::DW_LANG_Go));
    let mut text = match (offset / size, is_record(target.tag)) {
        (0, true) => format!("{name}{}", if reference || dotted { "." } else { "->" }),
        (0, false) if reference => name.clone(),
        (0, false) => format!("*{name}"),
        (_, _) if reference || dotted => return None,
        (index, true) => format!("{name}[{index}]."),
        (index, false) => format!("{name}[{index}]"),
    };
    offset %= size;
    if !is_record(target.tag) {
        return (offset == 0).then_some((text, kind.type_die()));
    }
    let mut die = None;
    walk(frame, &target, offset, &mut text, &mut die, MAX_MEMBERS)?;
    Some((text, die))
}

/// Appends the member at an offset of a structure, through nested structures and arrays. `None` where padding lies.
fn walk<'u, 'data>(
    frame: &Frame<'u, '_, 'data>,
    record: &Entry<'u, 'data>,
    offset: u64,
    text: &mut String,
    die: &mut Option<Die<'u, 'data>>,
    left: usize,
) -> Option<()> {
    let left = left.checked_sub(1)?;
    for child in record.children() {
        if !matches!(child.tag, gimli::DW_TAG_member | gimli::DW_TAG_inheritance) {
            continue;
        }
        let (start, size) = match slot(&child) {
            Some(Slot::Byte(start)) => (start, size_of(child.type_die(), frame).unwrap_or(0)),
            Some(Slot::Bits(first, count)) => (first / 8, (first % 8).checked_add(count)?.div_ceil(8)),
            Some(Slot::Computed) | None => continue,
        };
        let Some(mut inside) = offset.checked_sub(start).filter(|&inside| inside < size) else { continue };
        *die = child.type_die();
        let name = types::member_name(&child).filter(|_| child.tag == gimli::DW_TAG_member);
        text.push_str(name.as_deref().unwrap_or_default());
        let mut kind = defined(child.type_die())?;
        if kind.tag == gimli::DW_TAG_array_type {
            inside = index(frame, &kind, inside, text)?;
            *die = kind.type_die();
            kind = defined(kind.type_die())?;
        }
        if !is_record(kind.tag) {
            return Some(());
        }
        if name.is_some() {
            text.push('.');
        }
        return walk(frame, &kind, inside, text, die, left);
    }
    None
}

/// Appends the subscripts of an element of an array; the offset that remains inside it.
fn index<'u, 'data>(
    frame: &Frame<'u, '_, 'data>,
    array: &Entry<'u, 'data>,
    offset: u64,
    text: &mut String,
) -> Option<u64> {
    let element = types::size_of(array.type_die(), frame).filter(|&size| size > 0)?;
    let counts = dimensions(array, frame);
    let mut rest = offset;
    for at in 0..counts.len() {
        let inner = counts.get(at + 1..)?.iter().try_fold(element, |size, count| size.checked_mul((*count)?))?;
        let subscript = rest.checked_div(inner)?;
        let _ = write!(text, "[{subscript}]");
        rest %= inner;
    }
    Some(rest)
}
