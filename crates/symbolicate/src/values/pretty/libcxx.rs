//! LLVM libc++, default ABI. The layouts are those of its headers `string`, `vector`, `__memory/shared_ptr.h`, `optional`, `__tree`,
//! `__hash_table` and `__atomic/`; members that LLVM 19 took out of `__compressed_pair` are looked for in both places.

use necropsy_model::{Field, Value};

use super::Subject;
use crate::values::types::{size_of, template_argument};

/// `std::string`: the lowest bit of the first byte tells a long text (capacity, size, pointer) from a short one.
pub(super) fn string<'data>(subject: &Subject<'_, '_, '_, '_, 'data>) -> Option<Value<'data>> {
    let space = subject.renderer.frame.context.space;
    let first = subject.object.number(space, 1).ok()? as u64;
    if first & 1 == 1 {
        return subject.text_at(subject.object.at(16).word(space).ok()?, subject.object.at(8).word(space).ok()?);
    }
    subject.renderer.text(&subject.object.at(1), first >> 1, 1).ok()
}

pub(super) fn vector<'data>(subject: &Subject<'_, '_, '_, '_, 'data>) -> Option<Value<'data>> {
    let (begin, first) = subject.member(&["__begin_"])?;
    let element = Subject::pointee(&begin)?;
    let first = first.word(subject.renderer.frame.context.space).ok()?;
    let size = size_of(Some(element), subject.renderer.frame).filter(|&size| size > 0)?;
    let bytes = subject.number(&["__end_"])?.checked_sub(first)?;
    subject.sequence(Some(element), first, bytes / size)
}

pub(super) fn shared_ptr<'data>(subject: &Subject<'_, '_, '_, '_, 'data>) -> Option<Value<'data>> {
    let (pointer, object) = subject.member(&["__ptr_"])?;
    let address = object.word(subject.renderer.frame.context.space).ok()?;
    Some(subject.renderer.pointer_to(address, Subject::pointee(&pointer), subject.level))
}

/// `std::optional`: the value itself, in an anonymous union at the beginning, or a variant `nullopt`.
pub(super) fn optional<'data>(subject: &Subject<'_, '_, '_, '_, 'data>) -> Option<Value<'data>> {
    if subject.number(&["__engaged_"])? == 0 {
        return Some(Value::Struct { variant: Some("nullopt".into()), fields: Vec::new() });
    }
    let held = template_argument(subject.entry, 0)?;
    let value = subject.renderer.value(Some(held), subject.object, subject.level);
    Some(Value::Struct { variant: Some("optional".into()), fields: vec![Field { name: None, value }] })
}

/// `std::map`, `std::set` and their multiple forms: the number of elements.
pub(super) fn tree<'data>(subject: &Subject<'_, '_, '_, '_, 'data>) -> Option<Value<'data>> {
    let count =
        subject.number(&["__tree_", "__pair3_", "__value_"]).or_else(|| subject.number(&["__tree_", "__size_"]))?;
    Some(Subject::sized(count))
}

/// `std::unordered_map`, `std::unordered_set`: the number of elements.
pub(super) fn hash_table<'data>(subject: &Subject<'_, '_, '_, '_, 'data>) -> Option<Value<'data>> {
    let count =
        subject.number(&["__table_", "__p2_", "__value_"]).or_else(|| subject.number(&["__table_", "__size_"]))?;
    Some(Subject::sized(count))
}

pub(super) fn atomic<'data>(subject: &Subject<'_, '_, '_, '_, 'data>) -> Option<Value<'data>> {
    let (held, object) = subject.member(&["__a_", "__a_value"])?;
    Some(subject.renderer.value(held.type_die(), &object, subject.level))
}
