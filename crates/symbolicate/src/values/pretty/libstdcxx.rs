//! GNU libstdc++. The layouts are those of its headers `bits/basic_string.h`, `stl_vector.h`, `unique_ptr.h`,
//! `shared_ptr_base.h`, `stl_tree.h`, `hashtable.h` and `optional`.

use necropsy_model::{Absence, Field, Value};

use super::Subject;
use crate::values::types::{Slot, defined, member, slot, template_argument};

/// Elements of a tuple that are shown.
const MAX_TUPLE: usize = 32;

/// `std::string`: the same two words for short and for long text, since the pointer of a short one points into it.
///
/// clang without `-fstandalone-debug` only declares the type, because the library instantiates it: then by layout.
pub(super) fn string<'data>(subject: &Subject<'_, '_, '_, '_, 'data>) -> Option<Value<'data>> {
    let space = subject.renderer.frame.context.space;
    let address = match subject.member(&["_M_dataplus", "_M_p"]) {
        Some((_, pointer)) => pointer.word(space).ok()?,
        None => subject.object.word(space).ok()?,
    };
    let length = match subject.member(&["_M_string_length"]) {
        Some((_, length)) => length.word(space).ok()?,
        None => subject.object.at(8).word(space).ok()?,
    };
    subject.text_at(address, length)
}

pub(super) fn string_view<'data>(subject: &Subject<'_, '_, '_, '_, 'data>) -> Option<Value<'data>> {
    subject.text_at(subject.number(&["_M_str"])?, subject.number(&["_M_len"])?)
}

/// `std::vector` but that of `bool`, whose iterators are not plain pointers.
pub(super) fn vector<'data>(subject: &Subject<'_, '_, '_, '_, 'data>) -> Option<Value<'data>> {
    let (start, first) = subject.member(&["_M_impl", "_M_start"])?;
    let element = Subject::pointee(&start)?;
    let space = subject.renderer.frame.context.space;
    let (first, behind) = (first.word(space).ok()?, subject.number(&["_M_impl", "_M_finish"])?);
    let size = crate::values::types::size_of(Some(element), subject.renderer.frame).filter(|&size| size > 0)?;
    let bytes = behind.checked_sub(first).filter(|bytes| bytes % size == 0)?;
    subject.sequence(Some(element), first, bytes / size)
}

/// `std::unique_ptr` with the default deleter, which has no bytes: the pointer is all there is.
pub(super) fn unique_ptr<'data>(subject: &Subject<'_, '_, '_, '_, 'data>) -> Option<Value<'data>> {
    let size = subject.entry.number(gimli::DW_AT_byte_size)?;
    let target = template_argument(subject.entry, 0)?;
    let address = subject.object.word(subject.renderer.frame.context.space).ok().filter(|_| size == 8)?;
    Some(subject.renderer.pointer_to(address, Some(target), subject.level))
}

pub(super) fn shared_ptr<'data>(subject: &Subject<'_, '_, '_, '_, 'data>) -> Option<Value<'data>> {
    let (pointer, object) = subject.member(&["_M_ptr"])?;
    let address = object.word(subject.renderer.frame.context.space).ok()?;
    Some(subject.renderer.pointer_to(address, Subject::pointee(&pointer), subject.level))
}

/// `std::optional`: the value itself, or a variant `nullopt`.
pub(super) fn optional<'data>(subject: &Subject<'_, '_, '_, '_, 'data>) -> Option<Value<'data>> {
    if subject.number(&["_M_payload", "_M_engaged"])? == 0 {
        return Some(Value::Struct { variant: Some("nullopt".into()), fields: Vec::new() });
    }
    // `_M_payload` of the payload is a union of the value and an empty byte.
    let (storage, object) = subject.member(&["_M_payload", "_M_payload"])?;
    let (held, offset) = member(&defined(storage.type_die())?, "_M_value")?;
    let value = subject.renderer.value(held.type_die(), &object.at(offset), subject.level);
    Some(Value::Struct { variant: Some("optional".into()), fields: vec![Field { name: None, value }] })
}

/// `std::map`, `std::set` and their multiple forms: the number of elements.
pub(super) fn tree<'data>(subject: &Subject<'_, '_, '_, '_, 'data>) -> Option<Value<'data>> {
    let count = subject.number(&["_M_t", "_M_impl", "_M_node_count"])?;
    Some(Subject::sized(count))
}

/// `std::unordered_map`, `std::unordered_set`: the number of elements.
pub(super) fn hash_table<'data>(subject: &Subject<'_, '_, '_, '_, 'data>) -> Option<Value<'data>> {
    Some(Subject::sized(subject.number(&["_M_h", "_M_element_count"])?))
}

pub(super) fn atomic<'data>(subject: &Subject<'_, '_, '_, '_, 'data>) -> Option<Value<'data>> {
    let (held, object) = subject.member(&["_M_i"]).or_else(|| subject.member(&["_M_base", "_M_i"]))?;
    Some(subject.renderer.value(held.type_die(), &object, subject.level))
}

/// `std::tuple`: a chain of base classes, each with one element.
pub(super) fn tuple<'data>(subject: &Subject<'_, '_, '_, '_, 'data>) -> Option<Value<'data>> {
    let (mut class, mut object) = (subject.entry.clone(), subject.object.clone());
    let mut fields = Vec::new();
    loop {
        if fields.len() >= MAX_TUPLE {
            fields.push(Field { name: None, value: Value::Absent(Absence::TooDeep) });
            break;
        }
        let mut next = None;
        for base in class.children().iter().filter(|child| child.tag == gimli::DW_TAG_inheritance) {
            let (part, Slot::Byte(offset)) = (defined(base.type_die())?, slot(base)?) else { return None };
            let name = part.text(gimli::DW_AT_name)?;
            if name.starts_with("_Head_base<") {
                let (held, inner) = member(&part, "_M_head_impl")?;
                let value =
                    subject.renderer.value(held.type_die(), &object.at(offset).at(inner), subject.level.inner());
                fields.push(Field { name: None, value });
            } else if name.starts_with("_Tuple_impl<") {
                next = Some((part, object.at(offset)));
            }
        }
        match next {
            Some((part, at)) => (class, object) = (part, at),
            None => break,
        }
    }
    Some(Value::Struct { variant: None, fields })
}
