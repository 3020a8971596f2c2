//! `coredumpctl info`: `#1  0x00007f3c8a4f2e9b n/a (libc.so.6 + 0x8ce9b)`, counted from where the module begins in memory
//! (`frame_callback` in systemd's `elf-util.c`). All but the first are return addresses.

use necropsy_model::{Meant, Offset};

use super::scan::{blanks, frame_number, in_file, prefixed, starts, text};
use super::{Kind, Line, Token};

pub(super) const KIND: Kind = Kind { name: "coredumpctl", needle: b" + 0x", find: next };

fn next(line: &Line<'_>, from: usize) -> Option<Token> {
    let bytes = line.bytes;
    // The journal puts the fields of a message before the frame: `Stack trace of thread 1: #0  0x…`.
    let (number, behind) = frame_number(bytes).filter(|_| from == 0)?;
    let (process, _) = prefixed(bytes, blanks(bytes, behind))?;
    let plus = memchr::memmem::rfind(bytes, b" + 0x")?;
    let open = memchr::memrchr(b'(', bytes.get(..plus)?)?;
    let name = text(bytes, open + 1, plus)?;
    let (offset, end) = prefixed(bytes, plus + 3)?;
    let meant = if number == 0 { Meant::Instruction } else { Meant::Return };
    let address = in_file(name, Offset::Loaded(offset), Some(process), meant);
    starts(bytes, end, b")").then_some(Token { range: open..end + 1, address })
}
