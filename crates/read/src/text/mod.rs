//! Shared by the readers of text dumps: from a dump as it lies in a log, a ticket or a pipe to the text the runtime printed.
//!
//! [`prepare`] answers in one of two ways. Text that is as the runtime printed it is lent as it is: nothing is copied, so
//! that half a gigabyte costs nothing here. Anything else (UTF-16, CRLF, a prefix on every line, one escaped JSON
//! string) is rewritten once into the arena, and a [`LineMap`] leads back to the lines of the file.

mod damage;
mod escape;
mod line_map;
mod prefix;
mod unwrap;
mod utf16;

use memchr::memmem;
use necropsy_model::Arena;

pub(crate) use escape::{quoted, unescape};
pub(crate) use line_map::LineMap;

/// How the first line of a record looks, anywhere in a line.
pub(crate) struct Marker {
    /// Text that every such line has.
    pub needle: &'static [u8],
    /// Whether the line's text from the needle on really is such a line; it may go on after it.
    pub accepts: fn(&[u8]) -> bool,
}

/// Text as the runtime printed it.
pub(crate) struct Prepared<'data> {
    /// The text, with line ends `\n`.
    pub text: &'data [u8],
    /// Where its lines stand in the file.
    pub lines: LineMap,
}

/// Marks to look at before text is believed to be as the runtime printed it.
const SAMPLE: usize = 64;

/// The byte order mark that Windows puts before UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Bytes in which line ends are looked at.
const HEAD: usize = 64 * 1024;

/// Makes text of `data`, with every record that `marker` finds at the start of a line.
pub(crate) fn prepare<'data>(data: &'data [u8], arena: &'data Arena, marker: &Marker) -> Prepared<'data> {
    let data = match utf16::decode(data) {
        Some(text) => arena.keep(text),
        None => data.strip_prefix(MARK).unwrap_or(data),
    };
    if is_clean(data, marker) {
        return Prepared { text: data, lines: LineMap::identity() };
    }
    let (text, lines) = unwrap::unwrap(data, marker);
    Prepared { text: arena.keep(text), lines }
}

/// Text that needs no more than to be UTF-8. A name in another encoding costs its letters only.
pub(crate) fn decoded<'data>(data: &'data [u8], arena: &'data Arena) -> &'data str {
    let data = data.strip_prefix(MARK).unwrap_or(data);
    match std::str::from_utf8(data) {
        Ok(text) => text,
        Err(_) => arena.keep_str(String::from_utf8_lossy(data).into_owned()),
    }
}

/// Where the first record begins, whatever stands before it on its line.
pub(crate) fn find(data: &[u8], marker: &Marker) -> Option<usize> {
    hits(data, marker).next()
}

/// Whether a record begins in the head of text in UTF-16.
pub(crate) fn find_wide(data: &[u8], marker: &Marker) -> bool {
    let head = data.get(..HEAD).unwrap_or(data);
    utf16::decode(head).is_some_and(|text| find(&text, marker).is_some())
}

/// Places of the marker.
fn hits<'a>(data: &'a [u8], marker: &'a Marker) -> impl Iterator<Item = usize> + 'a {
    memmem::find_iter(data, marker.needle)
        .filter(|&at| data.get(at..).is_some_and(|rest| (marker.accepts)(line_at(rest))))
}

/// Records stand at starts of lines that end with a plain line feed.
fn is_clean(data: &[u8], marker: &Marker) -> bool {
    let head = data.get(..HEAD).unwrap_or(data);
    let at_line_start = |at: usize| at.checked_sub(1).is_none_or(|before| data.get(before) == Some(&b'\n'));
    let escaped = |at: usize| data.get(at..).is_some_and(|rest| memmem::find(line_at(rest), b"\\n").is_some());
    memmem::find(head, b"\r\n").is_none()
        && hits(data, marker).take(SAMPLE).all(|at| at_line_start(at) && !escaped(at))
        && !damage::is_damaged(head)
}

/// The text up to the end of its first line.
pub(crate) fn line_at(text: &[u8]) -> &[u8] {
    memchr::memchr(b'\n', text).and_then(|end| text.get(..end)).unwrap_or(text)
}

/// Lines with their numbers from 0, without line ends.
pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let mut rest = Some(text).filter(|text| !text.is_empty());
    let mut number = 0;
    std::iter::from_fn(move || {
        let text = rest?;
        let line = line_at(text);
        rest = text.get(line.len() + 1..).filter(|rest| !rest.is_empty());
        number += 1;
        Some((number - 1, line))
    })
}

#[cfg(test)]
mod tests;
