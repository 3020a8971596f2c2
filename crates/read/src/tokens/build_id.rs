//! `build-id:offset`: `89c3cb85f9e55046776471fed05ec441581d1969:0x29d8f`, an address in the file's own terms.

use necropsy_model::{BuildId, Meant, Offset, StatedAddress, StatedFile, Svma};

use super::scan::{find, hex, text};
use super::{Kind, Line, Token};

pub(super) const KIND: Kind = Kind { name: "build-id", needle: b":", find: next };

/// Digits of the shortest build id that is believed: eight bytes, lld's `--build-id=fast`. Times and ports have fewer.
const FEWEST: usize = 16;

fn next(line: &Line<'_>, from: usize) -> Option<Token> {
    let bytes = line.bytes;
    let mut at = from;
    while let Some(colon) = find(bytes, at, b":") {
        if let Some(token) = one(bytes, colon, from) {
            return Some(token);
        }
        at = colon + 1;
    }
    None
}

fn one(bytes: &[u8], colon: usize, from: usize) -> Option<Token> {
    let digits = bytes.get(from..colon)?.iter().rev().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let start = colon - digits;
    let id = text(bytes, start, colon).filter(|_| digits >= FEWEST).and_then(parse)?;
    let (offset, end) = hex(bytes, colon + 1)?;
    let word = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_alphanumeric);
    if word(start.checked_sub(1)) || word(Some(end)) {
        return None;
    }
    let file = StatedFile { path: None, build_id: BuildId::new(&id) };
    let address =
        StatedAddress { process: None, file: Some((file, Offset::Stated(Svma(offset)))), meant: Meant::Unknown };
    Some(Token { range: start..end, address })
}

/// The bytes of a build id in hexadecimal digits.
pub(super) fn parse(digits: &str) -> Option<Vec<u8>> {
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    (digits.len().is_multiple_of(2) && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .then(|| digits.as_bytes().chunks_exact(2).map(pair).collect())?
}
