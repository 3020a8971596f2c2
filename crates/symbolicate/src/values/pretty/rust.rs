//! The Rust standard library. Its layouts are not promised, so that members are found by name and never by offset.

use necropsy_model::Value;

use super::Subject;
use crate::values::object::Object;
use crate::values::types::{defined, member, template_argument};

/// `&str`, `&Path` and others of a pointer and a length.
pub(super) fn text<'data>(subject: &Subject<'_, '_, '_, '_, 'data>) -> Option<Value<'data>> {
    subject.text_at(subject.number(&["data_ptr"])?, subject.number(&["length"])?)
}

/// `String`, `PathBuf`, `OsString`: a vector of bytes inside some structures.
pub(super) fn owned_text<'data>(subject: &Subject<'_, '_, '_, '_, 'data>) -> Option<Value<'data>> {
    let mut path = Vec::new();
    let mut entry = subject.entry.clone();
    // String { vec }, PathBuf { inner: OsString { inner: Buf { inner: Vec } } }
    while member(&entry, "buf").is_none() {
        let name = ["vec", "inner"].into_iter().find(|name| member(&entry, name).is_some())?;
        entry = defined(member(&entry, name)?.0.type_die())?;
        path.push(name);
        if path.len() > super::MAX_WRAPPED {
            return None;
        }
    }
    let length = subject.number(&[&path[..], &["len"]].concat())?;
    let (address, _) = subject.wrapped_pointer(&[&path[..], &["buf"]].concat())?;
    subject.text_at(address, length)
}

/// `&[T]`, `Box<[T]>`.
pub(super) fn slice<'data>(subject: &Subject<'_, '_, '_, '_, 'data>) -> Option<Value<'data>> {
    let (pointer, object) = subject.member(&["data_ptr"])?;
    let address = object.word(subject.renderer.frame.context.space).ok()?;
    subject.sequence(Some(Subject::pointee(&pointer)?), address, subject.number(&["length"])?)
}

/// `Vec<T>`. Its pointer points at bytes since the buffer forgot the type (1.80), so that the type is the parameter.
pub(super) fn vector<'data>(subject: &Subject<'_, '_, '_, '_, 'data>) -> Option<Value<'data>> {
    let element = template_argument(subject.entry, 0)?;
    let (address, _) = subject.wrapped_pointer(&["buf"])?;
    subject.sequence(Some(element), address, subject.number(&["len"])?)
}

/// `Rc<T>` and `Arc<T>`: a pointer to the counts and the value.
pub(super) fn counted<'data>(subject: &Subject<'_, '_, '_, '_, 'data>) -> Option<Value<'data>> {
    let (address, inner) = subject.wrapped_pointer(&["ptr"])?;
    let inner = defined(inner)?;
    let (held, offset) = member(&inner, "value").or_else(|| member(&inner, "data"))?;
    let target = subject.renderer.value(held.type_die(), &Object::Memory(address).at(offset), subject.level);
    Some(Value::Pointer { address, symbol: None, target: Some(Box::new(target)) })
}

/// `HashMap`: the number of elements.
pub(super) fn hash_map<'data>(subject: &Subject<'_, '_, '_, '_, 'data>) -> Option<Value<'data>> {
    Some(Subject::sized(subject.number(&["base", "table", "table", "items"])?))
}
