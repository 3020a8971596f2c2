//! Fatal error logs of HotSpot: `C  [libc.so.6+0x45320]  abort+0x10`, `# V  [libjvm.so+0x8a9c40]`. Counted from where the
//! library begins in memory (`frame::print_C_frame`, `os::dll_address_to_library_name`). The problematic frame and the first
//! of a list are where the thread was; the others are return addresses.

use necropsy_model::{Meant, Offset};

use super::scan::{blanks, find, in_file, prefixed, starts, text};
use super::{Kind, Line, Token};

pub(super) const KIND: Kind = Kind { name: "hs-err", needle: b"  [", find: next };

fn next(line: &Line<'_>, from: usize) -> Option<Token> {
    let bytes = line.bytes;
    let problematic = starts(bytes, 0, b"# ");
    let at = if problematic { 2 } else { 0 };
    let letter = *bytes.get(at).filter(|_| from == 0)?;
    if !matches!(letter, b'C' | b'V') || !starts(bytes, at + 1, b"  [") {
        return None;
    }
    let open = blanks(bytes, at + 1);
    let plus = find(bytes, open, b"+0x")?;
    let name = text(bytes, open + 1, plus).filter(|name| !name.contains(']'))?;
    let (offset, end) = prefixed(bytes, plus + 1)?;
    let first = line.previous.starts_with(b"Native frames:");
    let meant = if problematic || first { Meant::Instruction } else { Meant::Return };
    let address = in_file(name, Offset::Loaded(offset), None, meant);
    starts(bytes, end, b"]").then_some(Token { range: open..end + 1, address })
}
