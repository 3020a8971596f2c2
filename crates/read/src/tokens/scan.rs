//! What the kinds share: numbers, names of files, places in a line.

use memchr::memmem;
use necropsy_model::{Avma, Meant, Offset, StatedAddress, StatedFile};

/// The bytes occur; nothing always does.
pub(super) fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    needle.is_empty() || memmem::find(bytes, needle).is_some()
}

/// Where bytes occur at or behind an offset.
pub(super) fn find(bytes: &[u8], from: usize, needle: &[u8]) -> Option<usize> {
    memmem::find(bytes.get(from..)?, needle).map(|at| from + at)
}

/// A hexadecimal number at an offset, with or without `0x`, and where it ends.
pub(super) fn hex(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let digits_at = if starts(bytes, at, b"0x") || starts(bytes, at, b"0X") { at + 2 } else { at };
    let digits = bytes.get(digits_at..)?.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    if digits == 0 || digits > 16 {
        return None;
    }
    let text = std::str::from_utf8(bytes.get(digits_at..digits_at + digits)?).ok()?;
    Some((u64::from_str_radix(text, 16).ok()?, digits_at + digits))
}

/// A number that has to begin with `0x`.
pub(super) fn prefixed(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    starts(bytes, at, b"0x").then(|| hex(bytes, at))?
}

/// These bytes stand at an offset.
pub(super) fn starts(bytes: &[u8], at: usize, with: &[u8]) -> bool {
    bytes.get(at..).is_some_and(|rest| rest.starts_with(with))
}

/// Behind the blanks at an offset.
pub(super) fn blanks(bytes: &[u8], at: usize) -> usize {
    at + bytes.get(at..).unwrap_or_default().iter().take_while(|&&byte| byte == b' ' || byte == b'\t').count()
}

/// Where the name of a file begins that ends at an offset: back to a blank, a bracket or a quote.
pub(super) fn name_before(bytes: &[u8], end: usize) -> Option<usize> {
    let name =
        |byte: &u8| !byte.is_ascii_whitespace() && !b"()[]{}<>\"'`,;=|".contains(byte) && !byte.is_ascii_control();
    let length = bytes.get(..end)?.iter().rev().take_while(|byte| name(byte)).count();
    (length > 0).then(|| end - length)
}

/// Text of a range; `None` where it is empty or not UTF-8.
pub(super) fn text(bytes: &[u8], start: usize, end: usize) -> Option<&str> {
    std::str::from_utf8(bytes.get(start..end)?).ok().filter(|text| !text.is_empty())
}

/// An address in a file that is named by its path.
pub(super) fn in_file(path: &str, offset: Offset, process: Option<u64>, meant: Meant) -> StatedAddress {
    let file = StatedFile { path: Some(path.to_owned()), build_id: None };
    StatedAddress { process: process.map(Avma), file: Some((file, offset)), meant }
}

/// An address of which only the number in the process is known.
pub(super) fn in_process(address: u64, meant: Meant) -> StatedAddress {
    StatedAddress { process: Some(Avma(address)), file: None, meant }
}

/// The number behind a `#` that begins a line: the frame. Where there is none, nothing.
pub(super) fn frame_number(bytes: &[u8]) -> Option<(u64, usize)> {
    let at = blanks(bytes, 0);
    let digits = bytes.get(at.checked_add(1)?..).filter(|_| starts(bytes, at, b"#"))?;
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = std::str::from_utf8(digits.get(..count)?).ok()?.parse().ok()?;
    Some((number, at + 1 + count))
}
