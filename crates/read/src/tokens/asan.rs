//! Sanitizers: `#1 0x7f… in f (/lib/libx.so+0x1139) (BuildId: 89c3…)`. They print the address of the call already, one byte
//! before the return address (`StackTrace::PrintTo` in compiler-rt).

use necropsy_model::{BuildId, Meant, Offset};

use super::scan::{find, frame_number, in_file, prefixed, starts, text};
use super::{Kind, Line, Token};

pub(super) const KIND: Kind = Kind { name: "sanitizer", needle: b"+0x", find: next };

fn next(line: &Line<'_>, from: usize) -> Option<Token> {
    const ID: &[u8] = b" (BuildId: ";
    let bytes = line.bytes;
    let (_, behind) = frame_number(bytes).filter(|_| from == 0)?;
    let (process, _) = prefixed(bytes, behind + 1)?;
    let plus = memchr::memmem::rfind(bytes, b"+0x")?;
    let open = memchr::memrchr(b'(', bytes.get(..plus)?)?;
    let path = text(bytes, open + 1, plus)?;
    let (offset, mut end) = prefixed(bytes, plus + 1)?;
    if !starts(bytes, end, b")") {
        return None;
    }
    end += 1;
    let mut address = in_file(path, Offset::Stated(necropsy_model::Svma(offset)), Some(process), Meant::Instruction);
    if starts(bytes, end, ID)
        && let Some(close) = find(bytes, end + ID.len(), b")")
        && let Some((file, _)) = &mut address.file
        && let Some(id) = text(bytes, end + ID.len(), close).and_then(super::build_id::parse)
    {
        file.build_id = BuildId::new(&id);
        end = close + 1;
    }
    Some(Token { range: open..end, address })
}
