//! A line of a stack.
//!
//! ```text
//! gdb          #1  0x0000555555555189 in lock_both (first=0x55…80e0 <eu>) at transfer.c:31
//!              #0  futex_wait (private=0) at ../sysdeps/nptl/futex-internal.h:146
//!              #2  0x00007ffff7e1d3ec in read () from /lib/x86_64-linux-gnu/libc.so.6
//!              #3  <signal handler called>
//! eu-stack     #1  0x00005619aa2ea1f2 lock_both - /srv/ledger/transfer
//! coredumpctl  #0  0x00007f3a1b28e83c n/a (libc.so.6 + 0x8e83c)
//! ```

use std::ops::Range;

use super::arguments::unquoted;

/// Longest line that is looked at: gdb prints values, of which one may be an array without end.
pub(super) const LONGEST: usize = 64 << 10;

/// Opening parentheses that are tried as the beginning of the arguments.
const MOST_TRIED: usize = 32;

/// A frame as a line says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line<'t> {
    /// Number in the stack.
    pub number: u32,
    /// Code address; gdb prints none where a line of the source begins.
    pub address: Option<u64>,
    /// Function.
    pub function: Option<&'t str>,
    /// What stands in parentheses.
    pub arguments: &'t str,
    /// Source file.
    pub file: Option<&'t str>,
    /// Line in it.
    pub line: Option<u32>,
    /// Executable or library.
    pub module: Option<&'t str>,
    /// Offset from the start of the module's mapping.
    pub offset: Option<u64>,
    /// The kernel's signal trampoline.
    pub signal: bool,
}

/// A frame; `None` when the line is something else.
pub(super) fn parse(line: &str) -> Option<Line<'_>> {
    let line = line.trim().strip_prefix('#').filter(|line| line.len() < LONGEST)?;
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let number = line.get(..digits)?.parse().ok()?;
    let rest = line.get(digits..)?.strip_prefix(' ')?.trim_start();
    let mut frame = Line { number, ..Line::default() };
    if rest == "<signal handler called>" {
        frame.signal = true;
        return Some(frame);
    }
    let (address, rest) = match address(rest) {
        Some((address, rest)) => (Some(address), rest),
        None if rest.starts_with("0x") => return None,
        None => (None, rest),
    };
    frame.address = address;
    let (by_gdb, rest) = match rest.strip_prefix("in ") {
        Some(rest) => (true, rest),
        // Without an address the line is gdb's, or none at all.
        None => (address.is_none(), rest.strip_prefix("- 1").unwrap_or(rest).trim_start()),
    };
    if let Some(group) = parentheses(rest) {
        let name = rest.get(..group.start)?.trim_end();
        let inside = rest.get(group.start + 1..group.end - 1)?;
        frame.function = Some(name).filter(|name| !matches!(*name, "??" | "n/a" | ""));
        if let Some((module, offset)) = inside.split_once(" + 0x").filter(|_| !by_gdb) {
            frame.module = Some(module);
            frame.offset = u64::from_str_radix(offset, 16).ok();
        } else if by_gdb {
            frame.arguments = inside;
            place(rest.get(group.end..)?, &mut frame);
        } else {
            return None;
        }
        return Some(frame);
    }
    // eu-stack prints no parentheses but those of a demangled name; without an address it is prose.
    if by_gdb {
        return None;
    }
    let (name, module) = rest.split_once(" - /").map_or((rest, None), |(name, _)| (name, rest.get(name.len() + 3..)));
    frame.function = Some(name.trim()).filter(|name| !name.is_empty());
    frame.module = module;
    Some(frame)
}

/// `0x…` and what follows.
fn address(text: &str) -> Option<(u64, &str)> {
    let hex = text.strip_prefix("0x")?;
    let digits = hex.bytes().take_while(u8::is_ascii_hexdigit).count();
    let address = u64::from_str_radix(hex.get(..digits)?, 16).ok()?;
    Some((address, hex.get(digits..)?.trim_start()))
}

/// The line begins as a frame does and is longer than [`LONGEST`].
pub(super) fn is_too_long(line: &str) -> bool {
    line.len() >= LONGEST
        && line.trim_start().strip_prefix('#').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// The parentheses that end the line, or stand before ` at FILE` or ` from LIBRARY`. Names have parentheses too, `operator()`
/// and `(anonymous namespace)`, and so have values: the first pair that ends in the right place holds the arguments.
fn parentheses(text: &str) -> Option<Range<usize>> {
    let openings = text.match_indices(" (").map(|(at, _)| at + 1);
    openings.take(MOST_TRIED).find_map(|start| {
        let end = closing(text, start)?;
        let behind = text.get(end..)?;
        (behind.is_empty() || behind.starts_with(" at ") || behind.starts_with(" from ")).then_some(start..end)
    })
}

/// Behind the parenthesis that closes the one at `start`; quoted text is skipped.
fn closing(text: &str, start: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, byte) in unquoted(text.get(start..)?) {
        match byte {
            b'(' => depth += 1,
            b')' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(start + at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// ` at FILE:LINE` or ` from LIBRARY`.
fn place<'t>(text: &'t str, frame: &mut Line<'t>) {
    if let Some(place) = text.strip_prefix(" at ") {
        let (file, line) = place.rsplit_once(':').unwrap_or((place, ""));
        frame.line = line.parse().ok();
        frame.file = Some(if frame.line.is_some() { file } else { place });
    }
    frame.module = text.strip_prefix(" from ");
}

/// The line below a frame of `eu-stack -s`: `    ./nptl/pthread_mutex_lock.c:93:3`; assembly has no column.
pub(super) fn source_line(line: &str) -> Option<(&str, u32)> {
    let place = line.strip_prefix("    ")?.trim();
    let (rest, last) = place.rsplit_once(':')?;
    let last = last.parse().ok()?;
    match rest.rsplit_once(':').and_then(|(file, line)| Some((file, line.parse().ok()?))) {
        Some(with_column) => Some(with_column),
        None => Some((rest, last)),
    }
}
