//! glibc's `backtrace_symbols`: `/lib/libx.so(+0x1b2c)[0x7f…]`, `prog(main+0x1d) [0x55…]`, `./prog() [0x401136]`
//! (`debug/backtracesyms.c`). Return addresses, counted from the file's own addresses or from a symbol.

use necropsy_model::{Meant, Offset, Svma};

use super::scan::{blanks, find, in_file, name_before, prefixed, starts, text};
use super::{Kind, Line, Token};

pub(super) const KIND: Kind = Kind { name: "backtrace", needle: b"[0x", find: next };

fn next(line: &Line<'_>, from: usize) -> Option<Token> {
    let bytes = line.bytes;
    let mut at = from;
    while let Some(open) = find(bytes, at, b"(") {
        if let Some(token) = one(bytes, open, from) {
            return Some(token);
        }
        at = open + 1;
    }
    None
}

fn one(bytes: &[u8], open: usize, from: usize) -> Option<Token> {
    let start = name_before(bytes, open).filter(|&start| start >= from)?;
    let name = text(bytes, start, open)?;
    let close = find(bytes, open, b")")?;
    let bracket = blanks(bytes, close + 1);
    let (process, end) = starts(bytes, bracket, b"[").then(|| prefixed(bytes, bracket + 1))??;
    if !starts(bytes, end, b"]") {
        return None;
    }
    let inside = text(bytes, open + 1, close).unwrap_or_default();
    let offset = match inside.rsplit_once('+') {
        None if inside.is_empty() => Offset::Stated(Svma(process)),
        None => return None,
        Some((symbol, number)) => {
            let offset = u64::from_str_radix(number.strip_prefix("0x")?, 16).ok()?;
            match symbol {
                "" => Offset::Stated(Svma(offset)),
                symbol => Offset::Symbol { name: symbol.to_owned(), offset },
            }
        }
    };
    Some(Token { range: start..end + 1, address: in_file(name, offset, Some(process), Meant::Return) })
}
