//! Frames that are seldom to blame: the list is data, in `noise.txt`.

use necropsy_model::{Frame, FrameKind, Place, Snapshot};

const LIST: &str = include_str!("noise.txt");

/// The frame belongs to a library or to the machinery between a failed check and the signal, or to no module at all.
pub(crate) fn is_noise(snapshot: &Snapshot<'_>, frame: &Frame<'_>) -> bool {
    if frame.kind == FrameKind::SignalTrampoline {
        return true;
    }
    let module = frame.module.and_then(|id| snapshot.module(id));
    let known = module.is_some() || frame.function.is_some();
    let std_source = frame.location.as_ref().is_some_and(|location| location.file.starts_with("/rustc/"));
    !known
        || std_source
        || module.is_some_and(|module| listed("module ", module.name(), true))
        || frame.function.as_deref().is_some_and(|function| listed("function ", function, false))
}

/// The same of a place, which may lie in a function that is no longer on the stack.
pub(crate) fn is_noise_place(place: &Place<'_>) -> bool {
    let file = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    place.module.is_none() && place.function.is_none()
        || place.location.as_ref().is_some_and(|location| location.file.starts_with("/rustc/"))
        || place.module.as_deref().is_some_and(|module| listed("module ", &file(module), true))
        || place.function.as_deref().is_some_and(|function| listed("function ", function, false))
}

fn listed(kind: &str, name: &str, prefix: bool) -> bool {
    LIST.lines().filter_map(|line| line.strip_prefix(kind)).any(|entry| match entry.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None if prefix => name.starts_with(entry),
        None => name == entry,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_knows_libraries_and_machinery_but_not_programs() {
        assert!(listed("module ", "libc.so.6", true));
        assert!(listed("function ", "core::panicking::panic_fmt", false));
        assert!(listed("function ", "abort", false));
        assert!(!listed("function ", "abort_transfer", false));
        assert!(!listed("module ", "transfer", true));
    }
}
