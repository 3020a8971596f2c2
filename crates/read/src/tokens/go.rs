//! Go: `[signal SIGSEGV: … addr=0x0 pc=0x45f2a1]`, `PC=0x45f2a1 m=0 sigcode=1` (`runtime/signal_unix.go`). Where the thread was,
//! in the process; a program that is not position independent runs at its file's addresses.

use necropsy_model::Meant;

use super::scan::{find, in_process, prefixed};
use super::{Kind, Line, Token};

pub(super) const KIND: Kind = Kind { name: "go", needle: b"=0x", find: next };

fn next(line: &Line<'_>, from: usize) -> Option<Token> {
    let bytes = line.bytes;
    let marks: [&[u8]; 2] = [b"pc=0x", b"PC=0x"];
    let start = marks.iter().filter_map(|mark| find(bytes, from, mark)).min()? + b"pc=".len();
    let (address, end) = prefixed(bytes, start)?;
    Some(Token { range: start..end, address: in_process(address, Meant::Instruction) })
}
