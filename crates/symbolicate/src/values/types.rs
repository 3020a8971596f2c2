//! Types: what is behind typedefs and qualifiers, sizes, members.

use std::borrow::Cow;

use gimli::AttributeValue;
use necropsy_model::{Absence, Text};

use super::entries::{Die, Entry};
use super::location::Frame;

/// Typedefs and qualifiers around one type.
const MAX_WRAPPERS: usize = 64;

/// Classes that one class inherits from, counted along one line.
const MAX_BASES: usize = 16;

/// A type without a definition in reach.
pub(super) const ONLY_DECLARED: Absence = Absence::Unsupported("type is only declared");

/// Tags that change how a type is used, not what its values are.
pub(super) fn is_wrapper(tag: gimli::DwTag) -> bool {
    matches!(
        tag,
        gimli::DW_TAG_typedef
            | gimli::DW_TAG_const_type
            | gimli::DW_TAG_volatile_type
            | gimli::DW_TAG_restrict_type
            | gimli::DW_TAG_atomic_type
            | gimli::DW_TAG_packed_type
            | gimli::DW_TAG_shared_type
            | gimli::DW_TAG_immutable_type
            | gimli::DW_TAG_template_alias
            | gimli::DW_TAG_subrange_type
    )
}

/// Structures, classes and unions.
pub(super) fn is_record(tag: gimli::DwTag) -> bool {
    matches!(
        tag,
        gimli::DW_TAG_structure_type
            | gimli::DW_TAG_class_type
            | gimli::DW_TAG_union_type
            | gimli::DW_TAG_interface_type
    )
}

/// Pointers and references.
pub(super) fn is_pointer(tag: gimli::DwTag) -> bool {
    matches!(tag, gimli::DW_TAG_pointer_type | gimli::DW_TAG_reference_type | gimli::DW_TAG_rvalue_reference_type)
}

/// A parameter of this type goes in a register of its own: whether it is a plain number there, and no address.
pub(super) fn is_number_in_register(die: Option<Die<'_, '_>>) -> Option<bool> {
    let entry = strip(die)?;
    match entry.tag {
        gimli::DW_TAG_base_type => {
            let whole = !matches!(encoding(&entry)?, gimli::DW_ATE_float | gimli::DW_ATE_complex_float);
            whole.then_some(true)
        }
        gimli::DW_TAG_enumeration_type => Some(true),
        tag => is_pointer(tag).then_some(false),
    }
}

/// The type behind typedefs and qualifiers, as it is written; `None` is `void`.
pub(super) fn strip<'u, 'data>(mut die: Option<Die<'u, 'data>>) -> Option<Entry<'u, 'data>> {
    for _ in 0..MAX_WRAPPERS {
        let entry = die?.read()?;
        if !is_wrapper(entry.tag) {
            return Some(entry);
        }
        die = entry.reference(gimli::DW_AT_type);
    }
    None
}

/// The type behind typedefs and qualifiers, defined: a declaration is replaced by the definition it stands for.
pub(super) fn defined<'u, 'data>(die: Option<Die<'u, 'data>>) -> Option<Entry<'u, 'data>> {
    let entry = strip(die)?;
    if !entry.flag(gimli::DW_AT_declaration) {
        return Some(entry);
    }
    if let Some(defined) = entry.reference(gimli::DW_AT_signature).and_then(Die::read) {
        return Some(defined);
    }
    let name = entry.text(gimli::DW_AT_name);
    let definition = name.and_then(|name| entry.die.definition(&name));
    definition.and_then(Die::read).or(Some(entry))
}

/// One of the names that typedefs give a type on the way to what it is.
pub(super) fn is_called(mut die: Option<Die<'_, '_>>, name: &str) -> bool {
    for _ in 0..MAX_WRAPPERS {
        let Some(entry) = die.and_then(Die::read) else { return false };
        if entry.text(gimli::DW_AT_name).is_some_and(|text| text == name) {
            return true;
        }
        if !is_wrapper(entry.tag) {
            return false;
        }
        die = entry.reference(gimli::DW_AT_type);
    }
    false
}

/// The type is a character of text: plain `char`, `wchar_t` and the Unicode ones. `signed char` and `unsigned char` are numbers.
pub(super) fn is_character(die: Option<Die<'_, '_>>) -> bool {
    let Some(entry) = strip(die).filter(|entry| entry.tag == gimli::DW_TAG_base_type) else { return false };
    match encoding(&entry) {
        Some(gimli::DW_ATE_UTF) => true,
        Some(gimli::DW_ATE_signed_char | gimli::DW_ATE_unsigned_char) => {
            entry.text(gimli::DW_AT_name).is_some_and(|name| matches!(&*name, "char" | "char8_t"))
        }
        _ => is_called(die, "wchar_t"),
    }
}

pub(super) fn encoding(entry: &Entry<'_, '_>) -> Option<gimli::DwAte> {
    match entry.value(gimli::DW_AT_encoding)? {
        AttributeValue::Encoding(encoding) => Some(encoding),
        _ => None,
    }
}

/// Bytes that a value of a type takes.
pub(super) fn size_of<'u, 'data>(die: Option<Die<'u, 'data>>, frame: &Frame<'u, '_, 'data>) -> Option<u64> {
    size_within(die, frame, MAX_WRAPPERS)
}

fn size_within<'u, 'data>(die: Option<Die<'u, 'data>>, frame: &Frame<'u, '_, 'data>, left: usize) -> Option<u64> {
    let entry = defined(die)?;
    if let Some(size) = entry.number(gimli::DW_AT_byte_size) {
        return Some(size);
    }
    match entry.tag {
        gimli::DW_TAG_array_type => {
            let element = size_within(entry.type_die(), frame, left.checked_sub(1)?)?;
            dimensions(&entry, frame).into_iter().try_fold(element, |size, count| size.checked_mul(count?))
        }
        tag if is_pointer(tag) => Some(8),
        gimli::DW_TAG_enumeration_type => size_within(entry.type_die(), frame, left.checked_sub(1)?),
        _ => None,
    }
}

/// Elements in each dimension of an array, outermost first; `None` for one without a bound.
pub(super) fn dimensions<'u, 'data>(array: &Entry<'u, 'data>, frame: &Frame<'u, '_, 'data>) -> Vec<Option<u64>> {
    let children = array.children().into_iter();
    let ranges =
        children.filter(|child| matches!(child.tag, gimli::DW_TAG_subrange_type | gimli::DW_TAG_enumeration_type));
    ranges.map(|range| elements(&range, frame)).collect()
}

fn elements<'u, 'data>(range: &Entry<'u, 'data>, frame: &Frame<'u, '_, 'data>) -> Option<u64> {
    if let Some(count) = bound(range, gimli::DW_AT_count, frame) {
        return u64::try_from(count).ok();
    }
    let lower = bound(range, gimli::DW_AT_lower_bound, frame).unwrap_or(0);
    let upper = bound(range, gimli::DW_AT_upper_bound, frame)?;
    u64::try_from(upper.checked_sub(lower)?.checked_add(1)?).ok()
}

/// A bound: a constant, or for an array of variable length an expression or the entry of a hidden variable.
fn bound<'u, 'data>(range: &Entry<'u, 'data>, name: gimli::DwAt, frame: &Frame<'u, '_, 'data>) -> Option<i64> {
    match range.value(name)? {
        AttributeValue::Exprloc(expression) => {
            frame.compute(range.die.unit, expression, None, 0).ok().map(|bound| bound as i64)
        }
        value => {
            if let Some(bound) = value.sdata_value() {
                return Some(bound);
            }
            let hidden = range.reference(name)?.read()?;
            let size = size_of(hidden.type_die(), frame).unwrap_or(8);
            let bound = frame.object(&hidden).number(frame.context.space, usize::try_from(size).ok()?).ok()?;
            i64::try_from(bound).ok()
        }
    }
}

/// Where a member lies in its structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// At this byte.
    Byte(u64),
    /// A bit-field: first bit counted from the start of the structure, and how many.
    Bits(u64, u64),
    /// Where an expression says, which needs the structure in memory (virtual inheritance).
    Computed,
}

/// Where a member or base class lies. `None` for what is not part of the structure, such as a static member.
pub(super) fn slot(member: &Entry<'_, '_>) -> Option<Slot> {
    if member.flag(gimli::DW_AT_external)
        || member.flag(gimli::DW_AT_declaration)
        || member.has(gimli::DW_AT_const_value)
    {
        return None;
    }
    let byte = match member.value(gimli::DW_AT_data_member_location) {
        None => Some(0),
        Some(AttributeValue::Exprloc(expression)) => plus_constant(expression, member),
        Some(AttributeValue::Block(block)) => plus_constant(gimli::Expression(block), member),
        Some(value) => value.udata_value(),
    };
    let Some(byte) = byte else { return Some(Slot::Computed) };
    let Some(bits) = member.number(gimli::DW_AT_bit_size) else { return Some(Slot::Byte(byte)) };
    if let Some(first) = member.number(gimli::DW_AT_data_bit_offset) {
        return Some(Slot::Bits(first, bits));
    }
    // DWARF 3 counts from the most significant bit of a storage unit of the member's size.
    let storage = member
        .number(gimli::DW_AT_byte_size)
        .or_else(|| strip(member.type_die()).and_then(|entry| entry.number(gimli::DW_AT_byte_size)))?;
    let from_top = member.value(gimli::DW_AT_bit_offset)?.sdata_value()?;
    let from_top = u64::try_from(from_top).ok()?.checked_add(bits)?;
    let first = storage.checked_mul(8)?.checked_sub(from_top)?;
    Some(Slot::Bits(byte.checked_mul(8)?.checked_add(first)?, bits))
}

/// DWARF 2 wrote every offset as `DW_OP_plus_uconst N`.
fn plus_constant(expression: gimli::Expression<crate::image::Slice<'_>>, member: &Entry<'_, '_>) -> Option<u64> {
    let mut operations = expression.operations(member.die.unit.parsed.encoding());
    match (operations.next().ok()??, operations.next().ok()?) {
        (gimli::Operation::PlusConstant { value }, None) => Some(value),
        _ => None,
    }
}

/// A member by name, here or in a base class, with its offset. Only members on whole bytes.
pub(super) fn member<'u, 'data>(record: &Entry<'u, 'data>, name: &str) -> Option<(Entry<'u, 'data>, u64)> {
    member_within(record, name, MAX_BASES)
}

fn member_within<'u, 'data>(record: &Entry<'u, 'data>, name: &str, left: usize) -> Option<(Entry<'u, 'data>, u64)> {
    let children = record.children();
    let own = children.iter().filter(|child| child.tag == gimli::DW_TAG_member);
    for child in own {
        if child.text(gimli::DW_AT_name).is_some_and(|text| text == name) {
            let Some(Slot::Byte(offset)) = slot(child) else { return None };
            return Some((child.clone(), offset));
        }
    }
    let left = left.checked_sub(1)?;
    let bases = children.iter().filter(|child| child.tag == gimli::DW_TAG_inheritance);
    for base in bases {
        let Some(Slot::Byte(offset)) = slot(base) else { continue };
        let found = defined(base.type_die()).and_then(|base| member_within(&base, name, left));
        if let Some((member, inner)) = found {
            return Some((member, offset.checked_add(inner)?));
        }
    }
    None
}

/// A type parameter of a template, by position.
pub(super) fn template_argument<'u, 'data>(record: &Entry<'u, 'data>, position: usize) -> Option<Die<'u, 'data>> {
    let arguments = record.children().into_iter().filter(|child| child.tag == gimli::DW_TAG_template_type_parameter);
    arguments.skip(position).find_map(|argument| argument.type_die())
}

/// The name of a type with the namespaces and types around it, as readers of well-known types compare it.
pub(super) fn qualified_name<'data>(entry: &Entry<'_, 'data>) -> Option<String> {
    let name: Text<'data> = entry.text(gimli::DW_AT_name)?;
    let around = entry.die.enclosing_names();
    let around = around.iter().map(|name| name.as_deref().unwrap_or("(anonymous namespace)"));
    Some(around.chain([&*name]).collect::<Vec<_>>().join("::"))
}

/// The name of a member; Rust calls those of a tuple `__0`, `__1`.
pub(super) fn member_name<'data>(member: &Entry<'_, 'data>) -> Option<Text<'data>> {
    let name = member.text(gimli::DW_AT_name)?;
    let number =
        name.strip_prefix("__").filter(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()));
    Some(number.map(str::to_owned).map_or(name, Cow::Owned))
}
