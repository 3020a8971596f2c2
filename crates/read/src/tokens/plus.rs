//! `module+0xoffset`, however people write it down: counted from where the module begins in memory, which for libraries and
//! position-independent programs is the file's own address.

use necropsy_model::{Meant, Offset};

use super::scan::{find, in_file, name_before, prefixed, text};
use super::{Kind, Line, Token};

pub(super) const KIND: Kind = Kind { name: "module-offset", needle: b"+0x", find: next };

fn next(line: &Line<'_>, from: usize) -> Option<Token> {
    let bytes = line.bytes;
    let mut at = from;
    while let Some(plus) = find(bytes, at, b"+0x") {
        at = plus + 1;
        let Some(start) = name_before(bytes, plus).filter(|&start| start >= from) else { continue };
        let Some((name, (offset, end))) = text(bytes, start, plus).zip(prefixed(bytes, plus + 1)) else { continue };
        if bytes.get(end).is_some_and(u8::is_ascii_alphanumeric) {
            continue;
        }
        return Some(Token { range: start..end, address: in_file(name, Offset::Loaded(offset), None, Meant::Unknown) });
    }
    None
}
