//! What the caller passed: call-site records serve `DW_OP_entry_value` (DWARF 5 section 3.4, and the GNU forms before it).

use gimli::{AttributeValue, Expression};
use necropsy_model::{Absence, CodeAddress};

use super::debug_file::Unit;
use super::entries::{Die, Entry};
use super::location::{Frame, expression_at, svma};
use crate::image::Slice;

/// Call sites and blocks of one function that are looked at.
const MAX_VISITED: usize = 100_000;

/// A parameter of a call.
pub(super) enum Parameter<'u, 'data> {
    /// By the place it is passed in: a register, or a slot of the stack.
    Place(Expression<Slice<'data>>),
    /// By its entry in the callee.
    Entry(Die<'u, 'data>),
}

/// The value that a parameter had when the function of `frame` was entered.
pub(super) fn value<'u, 'data>(
    frame: &Frame<'u, '_, 'data>,
    unit: &'u Unit<'data>,
    parameter: &Parameter<'u, 'data>,
    nesting: usize,
) -> Result<u64, Absence> {
    let lost = || Absence::OptimizedOut;
    let caller = frame.caller().ok_or_else(lost)?;
    let CodeAddress::Return(back) = caller.raw.address else { return Err(lost()) };
    let site = find(&caller.function, svma(caller.file(), back).0).ok_or_else(lost)?;
    if !calls(&site, frame, &caller, nesting) {
        return Err(lost());
    }
    let (wanted, by_content) = match parameter {
        Parameter::Place(expression) => {
            let place = place(*expression, unit);
            (place, content(*expression, unit))
        }
        Parameter::Entry(_) => (None, false),
    };
    let passed = site.children().into_iter().find(|one| match parameter {
        Parameter::Place(_) => {
            let location = expression(one, &[gimli::DW_AT_location]);
            location.is_some_and(|location| wanted.is_some() && place(location, one.die.unit) == wanted)
        }
        Parameter::Entry(die) => one.reference(gimli::DW_AT_call_parameter) == Some(*die),
    });
    let passed = passed.ok_or_else(lost)?;
    let names: &[_] = if by_content {
        &[gimli::DW_AT_call_data_value, gimli::DW_AT_GNU_call_site_data_value]
    } else {
        &[gimli::DW_AT_call_value, gimli::DW_AT_GNU_call_site_value]
    };
    let expression = expression(&passed, names).ok_or_else(lost)?;
    // What the caller can not tell any more is lost for the callee too, whatever the reason in the caller was.
    caller.compute(passed.die.unit, expression, None, nesting + 1).map_err(|reason| match reason {
        Absence::NotLiveHere | Absence::RegisterClobbered => Absence::OptimizedOut,
        reason => reason,
    })
}

fn expression<'data>(entry: &Entry<'_, 'data>, names: &[gimli::DwAt]) -> Option<Expression<Slice<'data>>> {
    names.iter().find_map(|&name| match entry.value(name)? {
        AttributeValue::Exprloc(expression) => Some(expression),
        AttributeValue::Block(block) => Some(Expression(block)),
        _ => None,
    })
}

/// Where a parameter is passed: a register, or an offset from one (`DW_OP_bregN`, `DW_OP_fbreg`).
#[derive(PartialEq, Eq)]
enum Place {
    Register(u16),
    Slot(u16, i64),
    Frame(i64),
}

fn place(expression: Expression<Slice<'_>>, unit: &Unit<'_>) -> Option<Place> {
    let first = expression.operations(unit.parsed.encoding()).next().ok().flatten()?;
    match first {
        gimli::Operation::RegisterOffset { register, offset, base_type } if base_type.0 == 0 => {
            Some(Place::Slot(register.0, offset))
        }
        // With a type (`DW_OP_regval_type`) it is the register as a whole.
        gimli::Operation::Register { register } | gimli::Operation::RegisterOffset { register, .. } => {
            Some(Place::Register(register.0))
        }
        gimli::Operation::FrameOffset { offset } => Some(Place::Frame(offset)),
        _ => None,
    }
}

/// The expression asks for what the parameter points at: `DW_OP_bregN 0; DW_OP_deref`.
fn content(expression: Expression<Slice<'_>>, unit: &Unit<'_>) -> bool {
    let mut operations = expression.operations(unit.parsed.encoding());
    let first = operations.next().ok().flatten();
    let second = operations.next().ok().flatten();
    matches!(first, Some(gimli::Operation::RegisterOffset { .. }))
        && matches!(second, Some(gimli::Operation::Deref { .. }))
}

/// The call site of a function that returns to an address of the file.
fn find<'u, 'data>(function: &Entry<'u, 'data>, back: u64) -> Option<Entry<'u, 'data>> {
    let mut pending = function.children();
    let mut visited = 0;
    while let Some(entry) = pending.pop() {
        visited += 1;
        if visited > MAX_VISITED {
            return None;
        }
        match entry.tag {
            gimli::DW_TAG_call_site | gimli::DW_TAG_GNU_call_site if returns_to(&entry) == Some(back) => {
                return Some(entry);
            }
            gimli::DW_TAG_lexical_block | gimli::DW_TAG_inlined_subroutine => pending.extend(entry.children()),
            _ => {}
        }
    }
    None
}

fn returns_to(site: &Entry<'_, '_>) -> Option<u64> {
    let value = site.value(gimli::DW_AT_call_return_pc).or_else(|| site.value(gimli::DW_AT_low_pc))?;
    site.die.file.dwarf().attr_address(&site.die.unit.parsed, value).ok().flatten()
}

/// The call is to the function of `frame`, and not to one that jumped there.
///
/// A tail call leaves no frame, so that the call site at the return address may pass parameters to another function.
fn calls<'u, 'data>(
    site: &Entry<'u, 'data>,
    frame: &Frame<'u, '_, 'data>,
    caller: &Frame<'u, '_, 'data>,
    nesting: usize,
) -> bool {
    let origin = site.reference(gimli::DW_AT_call_origin).or_else(|| site.reference(gimli::DW_AT_abstract_origin));
    if let Some(origin) = origin.and_then(Die::read) {
        let ours: Vec<_> = frame.function.chain().collect();
        let theirs: Vec<_> = origin.chain().collect();
        if theirs.iter().any(|one| ours.iter().any(|other| one.die == other.die)) {
            return true;
        }
        let name = |chain: &[Entry<'u, 'data>]| {
            let linkage = chain.iter().find_map(|entry| entry.text(gimli::DW_AT_linkage_name));
            linkage.or_else(|| chain.iter().find_map(|entry| entry.text(gimli::DW_AT_name)))
        };
        return name(&ours).is_some_and(|ours| name(&theirs) == Some(ours));
    }
    let target = expression(site, &[gimli::DW_AT_call_target, gimli::DW_AT_GNU_call_site_target]);
    let Some(target) = target else { return false };
    let entered = caller.compute(site.die.unit, target, None, nesting + 1);
    let starts = frame.function.ranges();
    entered.is_ok_and(|entered| {
        let entered = svma(frame.file(), necropsy_model::Avma(entered)).0;
        starts.iter().any(|&(start, _)| start == entered)
    })
}

/// The value a parameter had on entry, for one whose value now is lost: by the place it has at the function's first instruction.
pub(super) fn entry_value<'u, 'data>(frame: &Frame<'u, '_, 'data>, parameter: &Entry<'u, 'data>) -> Option<u64> {
    let (start, _) = *frame.function.ranges().first()?;
    let holder = parameter.holder(gimli::DW_AT_location)?;
    let location = expression_at(&holder, gimli::DW_AT_location, necropsy_model::Svma(start)).ok()?;
    let mut operations = location.operations(holder.die.unit.parsed.encoding());
    let (first, second) = (operations.next().ok()??, operations.next().ok()?);
    let passed = matches!(first, gimli::Operation::Register { .. } | gimli::Operation::FrameOffset { .. });
    if !passed || second.is_some() {
        return None;
    }
    value(frame, holder.die.unit, &Parameter::Place(location), 0).ok()
}
