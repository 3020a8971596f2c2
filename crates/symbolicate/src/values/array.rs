//! The arrays among the parts of a global variable: where each begins, how large an element is, how many there are.

use necropsy_model::{Avma, Svma};

use super::entries::{Die, Entry};
use super::location::Frame;
use super::types::{Slot, defined, dimensions, is_record, size_of, slot};

/// Arrays and structures in one another.
const DEEPEST: usize = 8;

/// An array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Array {
    /// Address of its first element.
    pub start: u64,
    /// Bytes of an element.
    pub stride: u64,
    /// How many there are, where the type says.
    pub count: Option<u64>,
}

impl Array {
    /// An address lies in it.
    pub fn covers(&self, address: u64) -> bool {
        let size = self.count.and_then(|count| count.checked_mul(self.stride));
        address.checked_sub(self.start).is_some_and(|offset| size.is_none_or(|size| offset < size))
    }
}

/// The arrays that an address lies in, outermost first, of the global variable there in the units with this code.
pub(super) fn arrays_at(frame: &Frame<'_, '_, '_>, code: Svma, wanted: Svma) -> Vec<Array> {
    let variables = frame.file().units_at(code).into_iter().flat_map(|unit| {
        let children = Die::root(frame.file(), unit).read().map(|root| root.children()).unwrap_or_default();
        children.into_iter().flat_map(|child| match child.tag {
            gimli::DW_TAG_namespace | gimli::DW_TAG_subprogram => child.children(),
            _ => vec![child],
        })
    });
    let variables = variables.filter(|entry| entry.tag == gimli::DW_TAG_variable);
    let placed = variables.filter_map(|entry| Some((super::static_address(&entry)?, entry)));
    let Some((start, variable)) = placed.filter(|&(start, _)| start <= wanted.0).max_by_key(|&(start, _)| start) else {
        return Vec::new();
    };
    let kind = variable.chain().find_map(|entry| entry.type_die());
    let mut found = Vec::new();
    if size_of(kind, frame).is_none_or(|size| wanted.0 - start < size) {
        into(frame, kind, start, wanted.0, &mut found, DEEPEST);
    }
    for array in &mut found {
        array.start = frame.file().bias.to_avma(Svma(array.start)).0;
    }
    found
}

/// The arrays in a value of a type that begins at `start`.
fn into<'u, 'data>(
    frame: &Frame<'u, '_, 'data>,
    kind: Option<Die<'u, 'data>>,
    start: u64,
    wanted: u64,
    found: &mut Vec<Array>,
    left: usize,
) -> Option<()> {
    let left = left.checked_sub(1)?;
    let entry = defined(kind)?;
    if entry.tag == gimli::DW_TAG_array_type {
        let mut here = start;
        let element = size_of(entry.type_die(), frame).filter(|&size| size > 0)?;
        let counts = dimensions(&entry, frame);
        for at in 0..counts.len() {
            let stride = counts.get(at + 1..)?.iter().try_fold(element, |size, count| size.checked_mul((*count)?))?;
            found.push(Array { start: here, stride, count: counts.get(at).copied().flatten() });
            here += wanted.checked_sub(here)?.checked_div(stride)? * stride;
        }
        return into(frame, entry.type_die(), here, wanted, found, left);
    }
    if !is_record(entry.tag) {
        return None;
    }
    let member = entry.children().into_iter().find_map(|child| part_at(frame, &child, wanted.checked_sub(start)?));
    let (kind, offset) = member?;
    into(frame, kind, start.checked_add(offset)?, wanted, found, left)
}

/// Type and offset of a member, when it covers an offset.
fn part_at<'u, 'data>(
    frame: &Frame<'u, '_, 'data>,
    child: &Entry<'u, 'data>,
    offset: u64,
) -> Option<(Option<Die<'u, 'data>>, u64)> {
    if !matches!(child.tag, gimli::DW_TAG_member | gimli::DW_TAG_inheritance) {
        return None;
    }
    let Slot::Byte(start) = slot(child)? else { return None };
    let size = size_of(child.type_die(), frame)?;
    (start <= offset && offset - start < size).then(|| (child.type_die(), start))
}

/// As [`arrays_at`], by run-time addresses.
pub(super) fn arrays_of(frame: &Frame<'_, '_, '_>, code: Avma, address: Avma) -> Vec<Array> {
    let bias = frame.file().bias;
    arrays_at(frame, bias.to_svma(code), bias.to_svma(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_covers_its_elements_and_nothing_behind() {
        let array = Array { start: 0x1000, stride: 8, count: Some(4) };
        assert!(array.covers(0x1000) && array.covers(0x101f));
        assert!(!array.covers(0x1020) && !array.covers(0xfff));
        assert!(Array { count: None, ..array }.covers(0x9000));
    }
}
