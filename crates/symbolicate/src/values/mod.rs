//! Arguments and locals of raw frames, from DWARF locations, registers and memory.
//!
//! ```text
//! debug_file units found by address, parsed once; shared with names
//! entries    entries of debug information, and the references between them
//! index      passes over a unit: its functions, the names around its types
//! scope      the functions at an address, innermost inlined first, and the variables in scope
//! location   location expressions of a frame -> where the bytes are
//! call_site  what the caller passed: entry values
//! object     bytes in memory, or collected from registers and constants, with holes
//! types      what is behind typedefs and qualifiers, sizes, members
//! type_name  type names as the source writes them
//! guard      locks that the guards among the variables hold
//! field      the source expression behind a memory operand; steps for the instructions before it
//! render     bytes and a type -> a value; scalar for numbers, pretty for the types of standard libraries
//! ```

mod array;
mod call_site;
pub(crate) mod debug_file;
pub(crate) mod entries;
mod field;
mod guard;
mod index;
mod location;
mod object;
mod pretty;
mod render;
mod scalar;
mod scope;
mod steps;
mod type_name;
mod types;

use necropsy_model::{Absence, Avma, Svma, Text, Value, Variable, VariableKind};

use crate::space::AddressSpace;
use crate::unwind::RawFrame;
pub(crate) use array::Array;
use debug_file::Store;
use entries::{Die, Entry};
pub(crate) use field::{FieldPath, Member, Operand};
use location::{Context, Frame};
use object::Object;
use render::{Level, Renderer};

/// Frames from the innermost on whose arguments are shown with one level of the structures they point at. Below an
/// `abort` lie five or six frames of the C library before the first of the program.
const FOLLOWED_FRAMES: usize = 8;

/// Variables of one function that are listed; generated code has thousands.
const MAX_VARIABLES: usize = 256;

/// How much to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Arguments only.
    Arguments,
    /// Arguments and locals.
    Locals,
}

/// Reads variables of the frames of a snapshot. Keeps the units it parsed, so that many frames parse each once.
pub(crate) struct Values<'a, 'data> {
    space: AddressSpace<'a, 'data>,
    store: Store<'a, 'data>,
}

impl<'a, 'data> Values<'a, 'data> {
    /// A reader of this process.
    pub fn new(space: AddressSpace<'a, 'data>) -> Self {
        Self { space, store: Store::new(space.images) }
    }

    /// The variables of the frame at `index` of a raw stack: one list per function at its address, innermost inlined
    /// first, in the order of [`crate::names::Names`]. Callers of `frames[index]` serve entry values.
    pub fn variables(&self, frames: &[RawFrame], index: usize, depth: Depth) -> Vec<Vec<Variable<'data>>> {
        let context = Context { store: &self.store, space: &self.space, frames };
        let Some(frame) = Frame::new(context, index) else { return Vec::new() };
        let levels = scope::levels(&frame).into_iter();
        let lists = levels.map(|level| {
            let mut found = Vec::new();
            let parameters = level.parameters();
            for parameter in parameters.iter().filter(|one| is_shown(one)).take(MAX_VARIABLES) {
                let inlined = level.function.tag == gimli::DW_TAG_inlined_subroutine;
                found.extend(argument(&frame, parameter, inlined));
            }
            found.extend(others(parameters.iter(), VariableKind::Argument));
            if depth == Depth::Locals {
                let locals = level.locals();
                let shown = locals.iter().filter(|one| is_shown(one)).take(MAX_VARIABLES);
                found.extend(shown.map(|local| {
                    let value = value(&frame, local, &frame.object(local), VariableKind::Local);
                    variable(&frame, local, VariableKind::Local, value)
                }));
                found.extend(others(locals.iter(), VariableKind::Local));
            }
            found
        });
        lists.collect()
    }

    /// Where the code of the function at an address lies, the part with its entry first; empty where debug information does
    /// not tell.
    pub fn function_ranges(&self, address: Avma) -> Vec<(u64, u64)> {
        let Some(file) = self.store.file_at(address) else { return Vec::new() };
        let lookup = file.bias.to_svma(address);
        let function = file.function_at(lookup).and_then(Die::read);
        let ranges = function.map(|function| function.ranges()).unwrap_or_default();
        ranges
            .into_iter()
            .map(|(start, end)| (file.bias.to_avma(Svma(start)).0, file.bias.to_avma(Svma(end)).0))
            .collect()
    }

    /// Of the functions at an address, innermost inlined first: whether the compiler made them, so that the source has no
    /// line of theirs (`DW_AT_artificial`).
    pub fn made_by_compiler(&self, address: Avma) -> Vec<bool> {
        let Some(file) = self.store.file_at(address) else { return Vec::new() };
        let lookup = file.bias.to_svma(address);
        let Some(function) = file.function_at(lookup).and_then(Die::read) else { return Vec::new() };
        let artificial = |entry: &Entry<'_, '_>| {
            entry.holder(gimli::DW_AT_artificial).is_some_and(|entry| entry.flag(gimli::DW_AT_artificial))
        };
        scope::functions(&function, lookup).iter().map(artificial).collect()
    }

    /// Whether the parameter of a function at this place is a plain number, by the type that it has in the source; `None` where
    /// that is not known, or where the places of parameters do not tell their registers.
    pub fn is_number_parameter(&self, entry: Avma, number: usize) -> Option<bool> {
        let file = self.store.file_at(entry)?;
        let function = file.function_at(file.bias.to_svma(entry)).and_then(Die::read)?;
        let parameters = scope::parameters_of(&function);
        let kinds = parameters.iter().take(number + 1).map(|one| types::is_number_in_register(one.type_die()));
        kinds.collect::<Option<Vec<_>>>()?.get(number).copied()
    }

    /// File and line of the declaration of the global variable at an address, from the unit with this code.
    pub fn declared(&self, code: Avma, address: Avma) -> Option<(String, u32)> {
        let file = self.store.file_at(code)?;
        let (code, wanted) = (file.bias.to_svma(code), file.bias.to_svma(address).0);
        let units = file.units_at(code);
        let variables = units.into_iter().flat_map(|unit| {
            let children = Die::root(file, unit).read().map(|root| root.children()).unwrap_or_default();
            children.into_iter().flat_map(|child| match child.tag {
                gimli::DW_TAG_namespace => child.children(),
                _ => vec![child],
            })
        });
        let variables = variables.filter(|entry| entry.tag == gimli::DW_TAG_variable);
        let placed = variables.filter_map(|entry| Some((static_address(&entry)?, entry)));
        let (_, variable) = placed.filter(|&(start, _)| start <= wanted).max_by_key(|&(start, _)| start)?;
        declaration(&variable)
    }

    /// The arrays that an address in a global variable lies in, outermost first, from the units with this code.
    pub fn arrays_at(&self, frames: &[RawFrame], code: Avma, address: u64) -> Vec<Array> {
        /// Frames that are asked, until one has debug information of this module.
        const MOST: usize = 16;
        let context = Context { store: &self.store, space: &self.space, frames };
        let Some(file) = self.store.file_at(code) else { return Vec::new() };
        let mut known = (0..frames.len().min(MOST)).filter_map(|index| Frame::new(context, index));
        let frame = known.find(|frame| std::ptr::eq(frame.file(), file));
        frame.map(|frame| array::arrays_of(&frame, code, Avma(address))).unwrap_or_default()
    }

    /// The local variable of the frame at `index` that covers an address: its name, file and line of its declaration.
    pub fn local_at(&self, frames: &[RawFrame], index: usize, address: u64) -> Option<(String, Option<(String, u32)>)> {
        let context = Context { store: &self.store, space: &self.space, frames };
        let frame = Frame::new(context, index)?;
        let levels = scope::levels(&frame);
        let locals = levels.iter().flat_map(scope::Level::locals).take(MAX_VARIABLES);
        let mut covering = locals.filter(|local| {
            let size = types::size_of(local.type_die(), &frame).unwrap_or(1);
            let start = frame.object(local).address();
            start.and_then(|start| address.checked_sub(start)).is_some_and(|offset| offset < size)
        });
        let found = covering.find(is_shown)?;
        Some((found.name()?.into_owned(), declaration(&found)))
    }

    /// The source expression behind a memory operand of the frame at `index`: `acct->balance`.
    pub fn field_at(&self, frames: &[RawFrame], index: usize, operand: &Operand) -> Option<FieldPath> {
        let context = Context { store: &self.store, space: &self.space, frames };
        field::find(&Frame::new(context, index)?, operand)
    }

    /// The locks that guards among the variables of the frame at `index` hold, each with what it protects, and whether for
    /// reading only.
    pub fn guarded(&self, frames: &[RawFrame], index: usize) -> Vec<(std::ops::Range<u64>, bool)> {
        let context = Context { store: &self.store, space: &self.space, frames };
        Frame::new(context, index).map(|frame| guard::held(&frame)).unwrap_or_default()
    }

    /// What lies at an address, as the variables of the frame at `index` reach it.
    pub fn members_at(&self, frames: &[RawFrame], index: usize, address: u64) -> Vec<Member> {
        let context = Context { store: &self.store, space: &self.space, frames };
        Frame::new(context, index).map(|frame| field::members_at(&frame, address)).unwrap_or_default()
    }
}

/// File and line of the declaration of a variable.
fn declaration(variable: &Entry<'_, '_>) -> Option<(String, u32)> {
    let line = u32::try_from(variable.holder(gimli::DW_AT_decl_line)?.number(gimli::DW_AT_decl_line)?).ok()?;
    let holder = variable.holder(gimli::DW_AT_decl_file)?;
    let unit = &holder.die.unit.parsed;
    let header = unit.line_program.as_ref()?.header();
    let number = match holder.value(gimli::DW_AT_decl_file)? {
        gimli::AttributeValue::FileIndex(number) => number,
        value => value.udata_value()?,
    };
    let entry = header.file(number)?;
    let text =
        |value| holder.die.file.dwarf().attr_string(unit, value).ok().map(|text| text.to_string_lossy().into_owned());
    let name = text(entry.path_name())?;
    let directory = entry.directory(header).and_then(text).filter(|_| !name.starts_with('/'));
    Some((directory.map_or(name.clone(), |directory| format!("{directory}/{name}")), line))
}

/// The address of a variable that has one of its own, in the file's terms.
fn static_address(entry: &Entry<'_, '_>) -> Option<u64> {
    let gimli::AttributeValue::Exprloc(expression) = entry.value(gimli::DW_AT_location)? else { return None };
    match expression.operations(entry.die.unit.parsed.encoding()).next().ok()?? {
        gimli::Operation::Address { address } => Some(address),
        gimli::Operation::AddressIndex { index } => entry.die.file.dwarf().address(&entry.die.unit.parsed, index).ok(),
        _ => None,
    }
}

/// Named, and written by the programmer: of what compilers add, only the object of a method is shown.
/// Stands for the variables beyond [`MAX_VARIABLES`], if there are any.
fn others<'e, 'u: 'e, 'data: 'u>(
    mut all: impl Iterator<Item = &'e Entry<'u, 'data>>,
    kind: VariableKind,
) -> Option<Variable<'data>> {
    let beyond = all.by_ref().filter(|one| is_shown(one)).nth(MAX_VARIABLES);
    let value = Value::Absent(Absence::Unsupported("one of more variables than are listed"));
    beyond.map(|_| Variable { name: Some("…".into()), type_name: None, kind, value })
}

fn is_shown(entry: &Entry<'_, '_>) -> bool {
    let Some(name) = entry.name() else { return false };
    let artificial = entry.holder(gimli::DW_AT_artificial).is_some();
    !artificial || matches!(&*name, "this" | "self" | "__closure")
}

fn variable<'data>(
    frame: &Frame<'_, '_, 'data>,
    entry: &Entry<'_, 'data>,
    kind: VariableKind,
    value: Value<'data>,
) -> Variable<'data> {
    let type_name = entry.type_die().map(|die| Text::from(type_name::type_name(Some(die), frame)));
    Variable { name: entry.name(), type_name, kind, value }
}

fn value<'u, 'data>(
    frame: &Frame<'u, '_, 'data>,
    entry: &Entry<'u, 'data>,
    object: &Object,
    kind: VariableKind,
) -> Value<'data> {
    let follow = kind == VariableKind::Argument && frame.index < FOLLOWED_FRAMES;
    Renderer::new(frame).value(entry.type_die(), object, Level { depth: 0, follow })
}

/// An argument; where its value now is lost but the one it was passed is known, that one too, as `name@entry`.
fn argument<'u, 'data>(frame: &Frame<'u, '_, 'data>, entry: &Entry<'u, 'data>, inlined: bool) -> Vec<Variable<'data>> {
    let kind = VariableKind::Argument;
    let now = variable(frame, entry, kind, value(frame, entry, &frame.object(entry), kind));
    let lost =
        matches!(now.value, Value::Absent(Absence::OptimizedOut | Absence::NotLiveHere | Absence::RegisterClobbered));
    let passed = (lost && !inlined).then(|| call_site::entry_value(frame, entry)).flatten();
    let passed = passed.map(|passed| {
        let object = Object::bytes(u128::from(passed).to_le_bytes().to_vec());
        let name = now.name.as_ref().map(|name| Text::from(format!("{name}@entry")));
        Variable { name, type_name: now.type_name.clone(), kind, value: value(frame, entry, &object, kind) }
    });
    [Some(now), passed].into_iter().flatten().collect()
}
