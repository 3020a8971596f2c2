//! Two lines for each frame: the call, and the position behind a tab. `traceback1` of Go's `runtime/traceback.go`.

use memchr::{memmem, memrchr};

/// The line of a call: name and argument list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call<'a> {
    /// Package path, type and function.
    pub name: &'a [u8],
    /// What stands between the parentheses; `None` when there are none, as on frames of C.
    pub arguments: Option<&'a [u8]>,
}

/// The line of a position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Position<'a> {
    /// Path of the source file.
    pub file: &'a [u8],
    /// Line; 0 when there is none.
    pub line: u32,
    /// Code address, where it is printed.
    pub pc: Option<u64>,
}

/// Splits the line of a call. Arguments hold braces but no parentheses, so that the last one opens the list.
pub(super) fn call(line: &[u8]) -> Call<'_> {
    let line = line.trim_ascii_end();
    match memrchr(b'(', line) {
        Some(open) => {
            let arguments = line.get(open + 1..).unwrap_or_default();
            let arguments = arguments.strip_suffix(b")").unwrap_or(arguments);
            Call { name: line.get(..open).unwrap_or_default(), arguments: Some(arguments) }
        }
        None => Call { name: line, arguments: None },
    }
}

/// Whether a line is the position below a call: an indented one, or the path of a source file whose indent got lost, as in
/// dumps that went through Markdown or a chat.
#[inline]
pub(super) fn is_position(line: &[u8]) -> bool {
    match line.first() {
        Some(b'\t' | b' ') => true,
        Some(b'/') => names_source(line),
        _ => false,
    }
}

#[cold]
fn names_source(line: &[u8]) -> bool {
    let Position { file, line, .. } = position(line);
    line > 0 && [&b".go"[..], b".s", b".c"].iter().any(|ending| file.ends_with(ending))
}

/// Splits the line of a position: `file:line +0xoffset fp=… sp=… pc=…`. The path may hold colons and spaces.
pub(super) fn position(line: &[u8]) -> Position<'_> {
    let line = line.trim_ascii();
    let pc = memmem::rfind(line, b" pc=").and_then(|at| hex(line.get(at + 4..)?)).map(|(value, _)| value);
    let mut path = line;
    for mark in [&b" fp="[..], b" pc=", b" +0x"] {
        if let Some(at) = memmem::rfind(path, mark) {
            path = path.get(..at).unwrap_or_default();
        }
    }
    let colon = memrchr(b':', path);
    let number = colon.and_then(|at| super::header::number(path.get(at + 1..)?)).filter(|(_, rest)| rest.is_empty());
    match (colon, number) {
        (Some(colon), Some((number, _))) => {
            let line = u32::try_from(number).unwrap_or_default();
            Position { file: path.get(..colon).unwrap_or_default(), line, pc }
        }
        _ => Position { file: path, line: 0, pc },
    }
}

/// A number as `0x…` and what follows it.
pub(super) fn hex(text: &[u8]) -> Option<(u64, &[u8])> {
    let digits = text.strip_prefix(b"0x")?;
    let length = digits.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (digits, rest) = digits.split_at_checked(length)?;
    if !(1..=16).contains(&length) {
        return None;
    }
    let digit = |byte: u8| u64::from(char::from(byte).to_digit(16).unwrap_or_default());
    Some((digits.iter().fold(0, |value, &byte| value << 4 | digit(byte)), rest))
}

/// The words of an argument list, in order, with "may be stale": aggregates are opened, `_` and `...` are skipped.
pub(super) fn words(arguments: &[u8]) -> impl Iterator<Item = (u16, u64, bool)> {
    arguments.split(|&byte| byte == b',').enumerate().filter_map(|(position, word)| {
        let word = word.trim_ascii();
        let word = word.iter().position(|&byte| byte != b'{').and_then(|start| word.get(start..))?;
        let (value, rest) = hex(word)?;
        Some((u16::try_from(position).ok()?, value, rest.first() == Some(&b'?')))
    })
}

/// Whether a name is of the runtime's own machinery: what stands above the call a program made.
pub(super) fn is_runtime(name: &str) -> bool {
    let package = package(name);
    matches!(
        package,
        "runtime" | "panic" | "sync" | "internal/sync" | "syscall" | "time" | "internal/poll" | "sync/atomic"
    ) || package.starts_with("internal/runtime/")
        || package.starts_with("runtime/internal/")
        || name == "panic"
}

/// Package path of a function: up to the first dot behind the last slash.
pub(super) fn package(name: &str) -> &str {
    // A slash may stand in a type argument, behind the package.
    let head = name.split(['(', '[']).next().unwrap_or_default();
    let from = head.rfind('/').map_or(0, |slash| slash + 1);
    let dot = name.get(from..).and_then(|rest| rest.find('.'));
    dot.and_then(|dot| name.get(..from + dot)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls() {
        let name = |line: &'static str| std::str::from_utf8(call(line.as_bytes()).name).unwrap();
        assert_eq!(name("main.(*worker).run(0xc000014080, {0x1, 0x2})"), "main.(*worker).run");
        assert_eq!(name("main.(*stack[...]).pop(...)"), "main.(*stack[...]).pop");
        assert_eq!(name("non-Go function"), "non-Go function");
        assert_eq!(call(b"main.f(...)").arguments, Some(&b"..."[..]));
        assert_eq!(call(b"main.f(0x1, 0x").arguments, Some(&b"0x1, 0x"[..]));
    }

    #[test]
    fn positions() {
        let of = |line: &'static str| {
            let position = position(line.as_bytes());
            (std::str::from_utf8(position.file).unwrap(), position.line, position.pc)
        };
        assert_eq!(of("\t/a b/c.go:123 +0x45"), ("/a b/c.go", 123, None));
        assert_eq!(of("\t/a.go:7"), ("/a.go", 7, None));
        assert_eq!(of("        C:/Users/x/y.go:266 +0xa6"), ("C:/Users/x/y.go", 266, None));
        assert_eq!(of("\t/a.go:5 +0x1 fp=0x10 sp=0x8 pc=0x48fee1"), ("/a.go", 5, Some(0x48_fee1)));
        assert_eq!(of("\t/src/x.c:12 pc=0x702d32"), ("/src/x.c", 12, Some(0x70_2d32)));
        assert_eq!(of("\t<autogenerated>:1"), ("<autogenerated>", 1, None));
        assert_eq!(of("\t/a.go"), ("/a.go", 0, None));
    }

    #[test]
    fn a_position_is_known_without_its_indent() {
        assert!(is_position(b"\t/a.go:7") && is_position(b"/go/src/a/mux.go:198 +0x58"));
        assert!(!is_position(b"main.f()") && !is_position(b"/etc/passwd") && !is_position(b""));
    }

    #[test]
    fn words_of_arguments() {
        let all: Vec<_> = words(b"0x1, {0x2, {0x3?}}, 0x4?, _, ...").collect();
        assert_eq!(all, [(0, 1, false), (1, 2, false), (2, 3, true), (3, 4, true)]);
    }

    #[test]
    fn packages() {
        for (name, want) in [
            ("main.run", "main"),
            ("net/http.(*conn).serve", "net/http"),
            ("github.com/a/b.v2.F", "github.com/a/b"),
            ("internal/sync.(*HashTrieMap[go.shape.interface {},go/x.T]).Load", "internal/sync"),
            ("panic", "panic"),
        ] {
            assert_eq!(package(name), want);
        }
        assert!(is_runtime("runtime.gopark") && is_runtime("panic") && !is_runtime("main.runtime"));
    }
}
