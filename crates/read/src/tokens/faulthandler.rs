//! Python 3.14 and later: `Binary file "/lib/libc.so.6", at +0x406b0 [0x7f…]`, `…, at _Py_DumpStack+0x4a [0x4a12b9]`, and
//! without a place for a program that is not position independent (`_Py_DumpStack` in `Python/traceback.c`). The addresses are
//! those of `backtrace(3)`: return addresses.

use necropsy_model::{Meant, Offset, Svma};

use super::scan::{find, in_file, prefixed, starts, text};
use super::{Kind, Line, Token};

pub(super) const KIND: Kind = Kind { name: "faulthandler", needle: b"Binary file \"", find: next };

fn next(line: &Line<'_>, from: usize) -> Option<Token> {
    let bytes = line.bytes;
    let start = find(bytes, from, KIND.needle)?;
    let name_at = start + KIND.needle.len();
    let quote = find(bytes, name_at, b"\"")?;
    let name = text(bytes, name_at, quote)?;
    let open = find(bytes, quote, b" [0x")?;
    let (process, end) = prefixed(bytes, open + 2)?;
    let at = quote + b"\", at ".len();
    let offset = if starts(bytes, quote, b"\", at ") {
        let plus = bytes.get(at..open)?.iter().rposition(|&byte| byte == b'+')? + at;
        let (offset, _) = prefixed(bytes, plus + 1)?;
        match text(bytes, at, plus) {
            None => Offset::Stated(Svma(offset)),
            Some(name) => Offset::Symbol { name: name.to_owned(), offset },
        }
    } else {
        Offset::Stated(Svma(process))
    };
    let range = start..end + usize::from(starts(bytes, end, b"]"));
    Some(Token { range, address: in_file(name, offset, Some(process), Meant::Return) })
}
