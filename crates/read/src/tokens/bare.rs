//! A plain address: `0x7f13754b2335`, or a word of exactly 8 or 16 hexadecimal digits. Means something only beside a table of
//! modules, or beside one file that all addresses lie in.

use necropsy_model::Meant;

use super::scan::{hex, in_process};
use super::{Kind, Line, Token};

pub(super) const KIND: Kind = Kind { name: "address", needle: b"", find: next };

fn next(line: &Line<'_>, from: usize) -> Option<Token> {
    let bytes = line.bytes;
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let mut start = from;
    while start < bytes.len() {
        let length = bytes.get(start..)?.iter().take_while(|byte| word(byte)).count();
        let end = start + length;
        let prefixed = bytes.get(start..end).is_some_and(|word| word.starts_with(b"0x"));
        if prefixed || length == 8 || length == 16 {
            let plain = hex(bytes, start).filter(|&(_, stop)| stop == end);
            if let Some((address, _)) = plain {
                return Some(Token { range: start..end, address: in_process(address, Meant::Unknown) });
            }
        }
        start = end + 1;
    }
    None
}
