//! Go: strings and slices are structures of a pointer and lengths (`runtime/string.go`, `runtime/slice.go`).

use necropsy_model::Value;

use super::Subject;

pub(super) fn string<'data>(subject: &Subject<'_, '_, '_, '_, 'data>) -> Option<Value<'data>> {
    if subject.language() != Some(gimli::DW_LANG_Go) {
        return None;
    }
    subject.text_at(subject.number(&["str"])?, subject.number(&["len"])?)
}

pub(super) fn slice<'data>(subject: &Subject<'_, '_, '_, '_, 'data>) -> Option<Value<'data>> {
    if subject.language() != Some(gimli::DW_LANG_Go) {
        return None;
    }
    let (array, object) = subject.member(&["array"])?;
    let address = object.word(subject.renderer.frame.context.space).ok()?;
    subject.sequence(Subject::pointee(&array), address, subject.number(&["len"])?)
}
