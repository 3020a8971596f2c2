//! Names from Breakpad symbol files: `DIR/NAME/DEBUG-ID/NAME.sym` below a directory of debug files.
//!
//! Defined by `docs/symbol_files.md` of Breakpad. Read in one pass with the addresses sorted: such a file is text, often a
//! hundred megabytes of it, and a report asks for a few addresses.

use std::path::PathBuf;

use necropsy_model::{BuildId, Location, Svma, SymbolSource};
use rustc_hash::FxHashMap;

use super::demangle::demangle;
use super::dwarf::{Function, Functions};
use crate::image::Image;
use crate::modules::Debug;
use crate::modules::headers::PAGE;

/// Most files and inlined functions that one symbol file numbers; libxul has some hundred thousand.
const MOST_NUMBERED: usize = 1 << 22;
/// Functions inlined into each other at one address.
const MOST_INLINED: usize = 256;
/// Farthest that a public symbol, which has no size, reaches.
const REACH: u64 = 4096;

/// The name of the directory that holds the symbols of a build: the first 16 bytes of the build id as a Windows GUID, and an
/// age of zero (`FileID::ConvertIdentifierToUUIDString`).
fn debug_id(id: &BuildId) -> String {
    let mut bytes = [0_u8; 16];
    bytes.iter_mut().zip(id.bytes()).for_each(|(to, from)| *to = *from);
    let order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
    let digits: Vec<String> = order.iter().filter_map(|&at| bytes.get(at)).map(|byte| format!("{byte:02X}")).collect();
    digits.concat() + "0"
}

/// Names of the addresses of an image, which are sorted, from the symbol file of its build; `None` when there is none.
pub(super) fn look_up<'data>(
    image: &Image<'data>,
    debug: &Debug<'data>,
    addresses: &[Svma],
) -> Option<Vec<Option<Functions<'data>>>> {
    let id = debug_id(debug.build_id()?);
    let name = debug.name()?;
    let paths: Vec<PathBuf> =
        debug.user_dirs().iter().map(|folder| folder.join(&name).join(&id).join(format!("{name}.sym"))).collect();
    let bytes = paths.iter().find_map(|path| Some(debug.map(path)?.bytes).filter(|bytes| is_of(bytes, &id)))?;
    let first = image.segments.first().map_or(0, |segment| segment.start.0);
    let base = first - first % PAGE;
    let relative: Vec<u64> = addresses.iter().map(|at| at.0.wrapping_sub(base)).collect();
    Some(read(bytes, &relative))
}

/// The first line is `MODULE Linux x86_64 ID NAME`.
fn is_of(bytes: &[u8], id: &str) -> bool {
    let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let mut words = line.split(|&byte| byte == b' ');
    words.next() == Some(b"MODULE") && words.nth(2) == Some(id.as_bytes())
}

/// How many of the addresses, which are sorted and relative to the file, such a file names.
pub(crate) fn count_named(bytes: &[u8], addresses: &[u64]) -> usize {
    read(bytes, addresses).iter().flatten().count()
}

/// What the file said so far of one address.
#[derive(Clone, Default)]
struct Found<'data> {
    name: Option<&'data str>,
    /// File and line of its innermost code.
    line: Option<(u32, u32)>,
    /// Inlined functions by depth: origin, and file and line of the call.
    inlined: Vec<(u32, u32, u32)>,
    /// Address and name of the last public symbol before it.
    public: Option<(u64, &'data str)>,
}

fn read<'data>(bytes: &'data [u8], addresses: &[u64]) -> Vec<Option<Functions<'data>>> {
    let mut found = vec![Found::default(); addresses.len()];
    let mut files: FxHashMap<u32, &'data str> = FxHashMap::default();
    let mut origins: FxHashMap<u32, &'data str> = FxHashMap::default();
    // Addresses that lie in the function whose records are being read.
    let mut open = 0..0;
    let covered = |start: u64, size: u64| {
        let from = addresses.partition_point(|&at| at < start);
        from..addresses.partition_point(|&at| at < start.saturating_add(size))
    };
    for line in bytes.split(|&byte| byte == b'\n') {
        let Ok(line) = std::str::from_utf8(line) else { continue };
        let line = line.strip_suffix('\r').unwrap_or(line);
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "FILE" | "INLINE_ORIGIN" => {
                let table = if word == "FILE" { &mut files } else { &mut origins };
                let entry = rest.split_once(' ').and_then(|(number, name)| Some((number.parse().ok()?, name)));
                if let Some((number, name)) = entry.filter(|_| table.len() < MOST_NUMBERED) {
                    table.insert(number, name);
                }
            }
            "FUNC" => {
                let rest = rest.strip_prefix("m ").unwrap_or(rest);
                let mut words = rest.splitn(4, ' ');
                let numbers = hex(words.next()).zip(hex(words.next()));
                open = numbers.map_or(0..0, |(start, size)| covered(start, size));
                let name = words.nth(1);
                for one in found.get_mut(open.clone()).into_iter().flatten() {
                    *one = Found { name, public: one.public, ..Found::default() };
                }
            }
            "PUBLIC" => {
                open = 0..0;
                let rest = rest.strip_prefix("m ").unwrap_or(rest);
                let mut words = rest.splitn(3, ' ');
                let Some((start, name)) = hex(words.next()).zip(words.nth(1)) else { continue };
                for one in found.get_mut(covered(start, REACH)).into_iter().flatten() {
                    if one.public.is_none_or(|(before, _)| before <= start) {
                        one.public = Some((start, name));
                    }
                }
            }
            "INLINE" if !open.is_empty() => inline(rest, &covered, &mut found),
            "STACK" | "INFO" | "MODULE" => open = 0..0,
            _ if !open.is_empty() => {
                let mut words = rest.split(' ');
                let Some((start, size)) = hex(Some(word)).zip(hex(words.next())) else { continue };
                let position = words.next().zip(words.next());
                let position = position.and_then(|(line, file)| Some((file.parse().ok()?, line.parse().ok()?)));
                for one in found.get_mut(covered(start, size)).into_iter().flatten() {
                    one.line = position;
                }
            }
            _ => {}
        }
    }
    found.into_iter().map(|found| functions(&found, &files, &origins)).collect()
}

/// `INLINE depth call-line call-file origin address size…`
fn inline(rest: &str, covered: &impl Fn(u64, u64) -> std::ops::Range<usize>, found: &mut [Found<'_>]) {
    let mut words = rest.split(' ');
    let mut number = || words.next()?.parse::<u32>().ok();
    let (Some(depth), Some(line), Some(file), Some(origin)) = (number(), number(), number(), number()) else { return };
    let depth = usize::try_from(depth).unwrap_or(usize::MAX);
    while let Some((start, size)) = hex(words.next()).zip(hex(words.next())) {
        for one in found.get_mut(covered(start, size)).into_iter().flatten() {
            if depth < MOST_INLINED && depth == one.inlined.len() {
                one.inlined.push((origin, file, line));
            }
        }
    }
}

fn functions<'data>(
    found: &Found<'data>,
    files: &FxHashMap<u32, &'data str>,
    origins: &FxHashMap<u32, &'data str>,
) -> Option<Functions<'data>> {
    let at = |file: u32, line: u32| Some(Location::new(*files.get(&file)?, Some(line).filter(|&line| line > 0)));
    let Some(name) = found.name else {
        let (_, name) = found.public?;
        let functions = vec![Function { name: Some(demangle(name)), location: None }];
        return Some(Functions { functions, optimized: false, source: SymbolSource::Nearest });
    };
    let mut location = found.line.and_then(|(file, line)| at(file, line));
    let mut functions = Vec::new();
    for &(origin, file, line) in found.inlined.iter().rev() {
        let name = origins.get(&origin).map(|name| demangle(name));
        functions.push(Function { name, location: std::mem::replace(&mut location, at(file, line)) });
    }
    functions.push(Function { name: Some(demangle(name)), location });
    Some(Functions { functions, optimized: !found.inlined.is_empty(), source: SymbolSource::Breakpad })
}

fn hex(word: Option<&str>) -> Option<u64> {
    u64::from_str_radix(word?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &[u8] = b"\
MODULE Linux x86_64 4736A0F2FB2F6D1E8B7D3E6A6F1F2E3D0 ledger\n\
INFO CODE_ID F2A036472FFB1E6D8B7D3E6A6F1F2E3D00000000\n\
FILE 0 /src/main.c\n\
FILE 1 /src/book.h\n\
INLINE_ORIGIN 0 find\n\
INLINE_ORIGIN 1 hash\n\
FUNC 1130 20 0 serve(int)\n\
INLINE 0 12 0 0 1138 10\n\
INLINE 1 4 1 1 1138 4 1140 2\n\
1130 8 10 0\n\
1138 4 30 1\n\
113c c 5 1\n\
1148 8 13 0\n\
PUBLIC 2000 0 _start\n\
STACK CFI INIT 1130 20 .cfa: $rsp 8 +\n";

    fn said(at: u64) -> Vec<String> {
        let found = read(FILE, &[at]).into_iter().flatten().next();
        let one = |function: Function<'_>| {
            let at = function.location.map(|at| format!(" {}:{}", at.file, at.line.unwrap_or(0)));
            format!("{}{}", function.name.as_deref().unwrap_or("?"), at.unwrap_or_default())
        };
        found.map(|found| found.functions).unwrap_or_default().into_iter().map(one).collect()
    }

    #[test]
    fn functions_inlined_functions_and_lines() {
        assert_eq!(said(0x1130), ["serve(int) /src/main.c:10"]);
        assert_eq!(said(0x1138), ["hash /src/book.h:30", "find /src/book.h:4", "serve(int) /src/main.c:12"]);
        assert_eq!(said(0x113d), ["find /src/book.h:5", "serve(int) /src/main.c:12"]);
        assert_eq!(said(0x114f), ["serve(int) /src/main.c:13"]);
        assert_eq!(said(0x1150), [""; 0]);
        assert_eq!(said(0x2010), ["_start"]);
        let sources: Vec<_> = read(FILE, &[0x1130, 0x2010]).into_iter().flatten().map(|one| one.source).collect();
        assert_eq!(sources, [SymbolSource::Breakpad, SymbolSource::Nearest]);
    }

    #[test]
    fn the_directory_is_that_of_the_build() {
        let id: Vec<u8> =
            [0xf2, 0xa0, 0x36, 0x47, 0x2f, 0xfb, 0x1e, 0x6d, 0x8b, 0x7d, 0x3e, 0x6a, 0x6f, 0x1f, 0x2e, 0x3d]
                .into_iter()
                .chain([9; 4])
                .collect();
        let id = debug_id(&BuildId::new(&id).expect("an id"));
        assert_eq!(id, "4736A0F2FB2F6D1E8B7D3E6A6F1F2E3D0");
        assert!(is_of(FILE, &id));
        assert!(!is_of(FILE, "0") && !is_of(b"MODULE", &id) && !is_of(b"", &id));
    }

    #[test]
    fn damage_is_no_name_and_no_panic() {
        for cut in 0..FILE.len() {
            let _ = read(&FILE[..cut], &[0x1130, 0x1138, 0x2001]);
        }
        let _ = read(
            b"FUNC ffffffffffffffff ffffffffffffffff 0 x\nfffffffffffffff0 ff 1 1\nINLINE 0 0 0 0 1\n",
            &[u64::MAX],
        );
    }
}
