//! Linux: `prog[42]: segfault at 8 ip 00007f13754b2335 sp … error 4 in libx.so[8b2335,7f1374c00000+e9c000]`, and the lines of
//! `traps:` with `ip:…`. Since Linux 6.8 the first number in the brackets is the offset in the file; before it the brackets
//! held only the mapping (`print_vma_addr` in `mm/memory.c`). The name is the last component of the path.

use std::ops::Range;

use necropsy_model::{Meant, Offset};

use super::scan::{find, hex, in_file, starts, text};
use super::{Kind, Line, Token};

pub(super) const KIND: Kind = Kind { name: "kernel", needle: b" in ", find: next };

fn next(line: &Line<'_>, from: usize) -> Option<Token> {
    let bytes = line.bytes;
    if from > 0 {
        return None;
    }
    let (ip_at, digits) = [b" ip ", b" ip:"].iter().find_map(|mark| find(bytes, 0, *mark).map(|at| (at, at + 4)))?;
    let (ip, _) = hex(bytes, digits)?;
    let found = mapping(bytes, ip_at, ip)?;
    Some(Token { address: in_file(found.name, found.offset, Some(ip), Meant::Instruction), range: found.range })
}

/// A file of a process as the kernel names it, with the mapping that an address lies in.
pub(crate) struct Mapping<'t> {
    /// Last component of its path.
    pub name: &'t str,
    /// Where the address lies in it.
    pub offset: Offset,
    /// First address of the mapping.
    pub base: u64,
    /// Bytes of the mapping.
    pub size: u64,
    /// Where all this stands.
    pub range: Range<usize>,
}

/// ` in libx.so[8b2335,7f1374c00000+e9c000]`, at or behind an offset of a line.
pub(crate) fn mapping(bytes: &[u8], from: usize, ip: u64) -> Option<Mapping<'_>> {
    let name_at = find(bytes, from, b" in ")? + 4;
    let open = find(bytes, name_at, b"[")?;
    let name = text(bytes, name_at, open).filter(|name| !name.contains(' '))?;
    let (first, end) = hex(bytes, open + 1)?;
    let comma = starts(bytes, end, b",");
    let (base, end) = if comma { hex(bytes, end + 1)? } else { (first, end) };
    let (size, end) = starts(bytes, end, b"+").then(|| hex(bytes, end + 1))??;
    if !starts(bytes, end, b"]") {
        return None;
    }
    let inside = ip.checked_sub(base).filter(|&offset| offset < size)?;
    let offset = if comma { Offset::InFile(first) } else { Offset::InMapping { offset: inside, size } };
    Some(Mapping { name, offset, base, size, range: name_at..end + 1 })
}
