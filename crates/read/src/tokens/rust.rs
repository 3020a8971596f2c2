//! Rust with `RUST_BACKTRACE=full`: `   3:     0x55d0c3a2b1a9 - <unknown>` (`std::backtrace_rs::print`). Return addresses in the
//! process.

use necropsy_model::Meant;

use super::scan::{blanks, in_process, prefixed, starts};
use super::{Kind, Line, Token};

pub(super) const KIND: Kind = Kind { name: "rust", needle: b": ", find: next };

fn next(line: &Line<'_>, from: usize) -> Option<Token> {
    let bytes = line.bytes;
    let number = blanks(bytes, 0);
    let digits = bytes.get(number..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let colon = number + digits;
    if from > 0 || digits == 0 || !starts(bytes, colon, b": ") {
        return None;
    }
    let start = blanks(bytes, colon + 1);
    let (address, end) = prefixed(bytes, start)?;
    starts(bytes, end, b" - ").then(|| Token { range: start..end, address: in_process(address, Meant::Return) })
}
