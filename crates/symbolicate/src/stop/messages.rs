//! Last words, found in memory without the C library's symbols.

use memchr::memmem;
use necropsy_model::{Avma, Message, MessageKind, Region, Runtime, Signal, Snapshot, Stop};

use super::{Place, exception, go, rust_panic};

/// Bytes that are searched at most; the regions where last words stand are small, so the smallest come first.
const SEARCHED: usize = 24 << 20;
/// Longest message that is kept.
const LONGEST: usize = 1024;

/// A format of last words: what must stand in it, who writes it, and whether the mark begins the message.
struct Format {
    mark: &'static str,
    kind: MessageKind,
    begins: bool,
}

/// glibc `assert/assert.c`, `debug/fortify_fail.c`, `malloc/malloc.c`; musl `src/exit/assert.c`; Rust `std/src/panicking.rs`.
const FORMATS: [Format; 14] = [
    Format { mark: ": Assertion `", kind: MessageKind::Assert, begins: false },
    Format { mark: "*** stack smashing detected ***", kind: MessageKind::StackSmash, begins: true },
    Format { mark: "*** buffer overflow detected ***", kind: MessageKind::Other, begins: true },
    Format { mark: "double free or corruption", kind: MessageKind::Heap, begins: true },
    Format { mark: "free(): ", kind: MessageKind::Heap, begins: true },
    Format { mark: "malloc(): ", kind: MessageKind::Heap, begins: true },
    Format { mark: "realloc(): ", kind: MessageKind::Heap, begins: true },
    Format { mark: "munmap_chunk(): ", kind: MessageKind::Heap, begins: true },
    Format { mark: "malloc_consolidate(): ", kind: MessageKind::Heap, begins: true },
    Format { mark: "corrupted size vs. prev_size", kind: MessageKind::Heap, begins: true },
    Format { mark: "corrupted double-linked list", kind: MessageKind::Heap, begins: true },
    Format { mark: "' panicked at ", kind: MessageKind::RustPanic, begins: false },
    Format { mark: ") panicked at ", kind: MessageKind::RustPanic, begins: false },
    Format { mark: "terminate called ", kind: MessageKind::Terminate, begins: true },
];

/// Last words of a process that ended itself.
pub(super) fn find<'data>(
    stop: &Stop<'data>,
    snapshot: &Snapshot<'data>,
    place: &Place<'_, '_, 'data>,
) -> Vec<Message<'data>> {
    let ended_itself = stop.signal.is_some_and(|signal| match signal.number {
        Signal::ABRT => stop.sender.is_none_or(|sender| Some(sender.pid) == snapshot.process.pid),
        Signal::ILL | Signal::TRAP => true,
        _ => false,
    });
    if !ended_itself {
        return Vec::new();
    }
    let mut found: Vec<Message<'data>> = Vec::new();
    for region in regions(place) {
        for format in &FORMATS {
            let hits = memmem::find_iter(region.bytes, format.mark).take(8);
            for message in hits.filter_map(|at| message(region, at, format, place)) {
                if found.iter().all(|known| known.text != message.text) {
                    found.push(message);
                }
            }
        }
    }
    let thread = stop.thread.and_then(|index| snapshot.threads.get(index));
    let frames = || thread.into_iter().flat_map(|thread| snapshot.frames_of(thread));
    if snapshot.process.runtime == Some(Runtime::Go) {
        found.extend(go::find(place, frames()));
    } else if snapshot.process.runtime == Some(Runtime::Rust) {
        if found.iter().all(|message| message.kind != MessageKind::RustPanic) {
            found.extend(rust_panic::find(place, frames().map(|frame| frame.function.as_deref())));
        }
    } else if stop.signal.is_some_and(|signal| signal.number == Signal::ABRT) {
        found.extend(exception::find(place, frames().map(|frame| frame.function.as_deref())));
    }
    found
}

/// Writable memory that no file backs, smallest first: glibc maps one page for its `__abort_msg`.
fn regions<'a, 'data>(place: &Place<'a, '_, 'data>) -> Vec<&'a Region<'data>> {
    let writable = |region: &&Region<'_>| region.permissions.is_none_or(|rights| rights.write) && region.file.is_none();
    let mut regions: Vec<_> =
        place.space.memory.regions().iter().filter(writable).filter(|region| !region.bytes.is_empty()).collect();
    regions.sort_by_key(|region| (region.bytes.len(), region.start));
    let mut budget = SEARCHED;
    regions.retain(|region| {
        let fits = region.bytes.len() <= budget;
        budget -= if fits { region.bytes.len() } else { 0 };
        fits
    });
    regions
}

/// The message around a mark: lines of text, ended by a zero byte or an empty line.
fn message<'data>(
    region: &Region<'data>,
    at: usize,
    format: &Format,
    place: &Place<'_, '_, 'data>,
) -> Option<Message<'data>> {
    let start = if format.begins {
        at
    } else {
        let before = region.bytes.get(at.saturating_sub(LONGEST)..at)?;
        at - before.iter().rev().take_while(|&&byte| byte >= 0x20 && byte != 0x7f).count()
    };
    let bytes = region.bytes.get(start..)?;
    let bytes = bytes.get(..bytes.len().min(LONGEST))?;
    let end = bytes
        .iter()
        .position(|&byte| byte == 0 || (byte < 0x20 && byte != b'\n' && byte != b'\t'))
        .unwrap_or(bytes.len());
    let (bytes, cut) = (bytes.get(..end)?, end == LONGEST);
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        // The bound lies within a character.
        Err(error) if cut && error.error_len().is_none() => {
            std::str::from_utf8(bytes.get(..error.valid_up_to())?).ok()?
        }
        Err(_) => return None,
    };
    let text = text.trim_end();
    // A format string of the library itself is no message.
    let is_format = text.contains("%s") || text.contains("{}");
    let address = Avma(region.start.0.wrapping_add(start as u64));
    let complete = match format.kind {
        MessageKind::Assert => text.contains("' failed"),
        MessageKind::RustPanic => text.contains(".rs:"),
        _ => true,
    };
    (!is_format && complete && text.len() >= 8).then(|| Message {
        text: if cut { format!("{text}…").into() } else { text.into() },
        kind: format.kind,
        source: place.space.memory.source(address),
    })
}
