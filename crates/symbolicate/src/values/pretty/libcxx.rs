//! LLVM libc++, default ABI. The layouts are those of its headers `string` and `vector`.

use necropsy_model::Value;

use super::Subject;
use crate::values::types::size_of;

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
