//! Guards of Rust: `MutexGuard` and its kin live as long as the lock is held, and keep a reference to it.
//!
//! Rust's own locks do not write down who holds them, so that a guard on a stack is the only trace of the holder. A guard
//! is in scope only after its `let`, and a thread that waits in `lock` has not made it yet.

use std::ops::Range;

use super::entries::Entry;
use super::location::Frame;
use super::object::Object;
use super::scope;
use super::types::{defined, member, qualified_name, size_of, strip};

/// Types whose values hold a lock, by the beginning of their names, and whether they hold it for reading only.
const GUARDS: [(&str, bool); 4] =
    [("MutexGuard<", false), ("RwLockWriteGuard<", false), ("ReentrantLockGuard<", false), ("RwLockReadGuard<", true)];
/// Their members that refer to the lock: of std, and of `lock_api`, which `parking_lot` uses.
const REFERENCES: [&str; 4] = ["lock", "mutex", "rwlock", "inner_lock"];

/// The locks that guards among the variables of the frame hold: the bytes of each lock with what it protects, and whether it
/// is held for reading only.
pub(super) fn held(frame: &Frame<'_, '_, '_>) -> Vec<(Range<u64>, bool)> {
    let levels = scope::levels(frame);
    let variables = levels.iter().flat_map(|level| level.locals().into_iter().chain(level.parameters()));
    variables.filter_map(|variable| held_by(frame, &variable)).collect()
}

fn held_by<'u, 'data>(frame: &Frame<'u, '_, 'data>, variable: &Entry<'u, 'data>) -> Option<(Range<u64>, bool)> {
    let guard = strip(variable.type_die())?;
    let name = qualified_name(&guard)?;
    let is_guard =
        |kind: &str| name.split_once(kind).is_some_and(|(before, _)| before.is_empty() || before.ends_with("::"));
    let &(_, reads) = GUARDS.iter().find(|(kind, _)| is_guard(kind))?;
    let (reference, offset) = REFERENCES.iter().find_map(|name| member(&guard, name))?;
    let space = frame.context.space;
    // A guard in registers is one word, or two of which the reference comes first.
    let held = match frame.object(variable) {
        Object::Memory(address) => Object::Memory(address.checked_add(offset)?).word(space).ok()?,
        other if offset == 0 => other.word(space).ok()?,
        _ => return None,
    };
    let target = defined(strip(reference.type_die())?.type_die())?;
    let size = size_of(Some(target.die), frame)?;
    Some((held..held.checked_add(size)?, reads))
}
