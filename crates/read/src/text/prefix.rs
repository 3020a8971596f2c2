//! What log collectors write in front of every line: journald, syslog, CRI, docker compose, kubectl, terraform, a quote mark.
//!
//! No list of formats: the first line of a record shows the prefix, and its *shape* (numbers of any value, levels and
//! months of any name, the rest as it is) tells it on the other lines.

/// A prefix as a pattern.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shape(Vec<Part>);

#[derive(Debug, PartialEq, Eq)]
enum Part {
    /// One or more digits.
    Digits,
    /// One or more spaces, but for the last run, which may be indentation.
    Spaces,
    /// The word of a level or a month.
    Word,
    /// `stdout` or `stderr` and the tag of the container runtime interface: `F` for a full line, `P` for a part.
    Stream,
    /// This byte.
    Byte(u8),
}

/// A line without its prefix.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rest<'a> {
    pub text: &'a [u8],
    /// The collector split the line: the next one goes on.
    pub part: bool,
}

/// Words that change from line to line.
const WORDS: [&[u8]; 32] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec", b"Mon", b"Tue",
    b"Wed", b"Thu", b"Fri", b"Sat", b"Sun", b"TRACE", b"DEBUG", b"INFO", b"WARN", b"WARNING", b"ERROR", b"FATAL",
    b"info", b"debug", b"warn", b"error", b"stdout", b"stderr",
];

impl Shape {
    /// The shape of what stands in front of a record.
    pub(super) fn of(prefix: &[u8]) -> Self {
        let mut parts = Vec::new();
        let mut rest = prefix;
        while let [first, tail @ ..] = rest {
            let (part, length) = match first {
                b'0'..=b'9' => (Part::Digits, run(rest, u8::is_ascii_digit)),
                b' ' if run(rest, |&byte| byte == b' ') < rest.len() => (Part::Spaces, run(rest, |&byte| byte == b' ')),
                b's' if stream(rest).is_some() => (Part::Stream, 8),
                _ if first.is_ascii_alphabetic() => {
                    let word = rest.get(..run(rest, u8::is_ascii_alphabetic)).unwrap_or_default();
                    if WORDS.contains(&word) {
                        (Part::Word, word.len())
                    } else {
                        parts.extend(word.iter().map(|&byte| Part::Byte(byte)));
                        rest = rest.get(word.len()..).unwrap_or_default();
                        continue;
                    }
                }
                _ => (Part::Byte(*first), rest.len() - tail.len()),
            };
            parts.push(part);
            rest = rest.get(length..).unwrap_or_default();
        }
        Self(parts)
    }

    /// The line behind the prefix; `None` when it has another one or none.
    pub(super) fn strip<'a>(&self, line: &'a [u8]) -> Option<Rest<'a>> {
        let mut rest = line;
        let mut part = false;
        for (number, shape) in self.0.iter().enumerate() {
            if rest.is_empty() {
                // Collectors trim: an empty line keeps the prefix without its last spaces.
                let only_spaces =
                    self.0.get(number..)?.iter().all(|part| matches!(part, Part::Byte(b' ') | Part::Spaces));
                return only_spaces.then_some(Rest { text: rest, part });
            }
            let length = match shape {
                Part::Digits => run(rest, u8::is_ascii_digit),
                Part::Spaces => run(rest, |&byte| byte == b' '),
                Part::Word => run(rest, u8::is_ascii_alphabetic),
                Part::Stream => {
                    part = stream(rest)?;
                    8
                }
                Part::Byte(byte) => usize::from(rest.first() == Some(byte)),
            };
            if length == 0 {
                return None;
            }
            rest = rest.get(length..)?;
        }
        Some(Rest { text: rest, part })
    }
}

fn run(text: &[u8], belongs: impl Fn(&u8) -> bool) -> usize {
    text.iter().take_while(|byte| belongs(byte)).count()
}

/// Whether a stream and its tag stand here, and the tag says "part".
fn stream(text: &[u8]) -> Option<bool> {
    let text = text.strip_prefix(b"stdout ").or_else(|| text.strip_prefix(b"stderr "))?;
    match text {
        [b'F'] | [b'F', b' ', ..] => Some(false),
        [b'P', b' ', ..] => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strip<'a>(prefix: &str, line: &'a str) -> Option<(&'a str, bool)> {
        let rest = Shape::of(prefix.as_bytes()).strip(line.as_bytes())?;
        Some((std::str::from_utf8(rest.text).unwrap(), rest.part))
    }

    #[test]
    fn prefixes_of_the_field() {
        for (prefix, line, want) in [
            ("Nov  1 02:00:00 web svc[123]: ", "Nov 21 02:01:59 web svc[123]: main.main()", "main.main()"),
            ("Oct 31 23:59:59 web svc[123]: ", "Nov  1 00:00:00 web svc[123]: \t/a.go:1", "\t/a.go:1"),
            ("2017/05/05 17:55:54 [DEBUG] plugin: tf: ", "2017/05/05 17:55:55 [ERROR] plugin: tf: x", "x"),
            ("web_1  | ", "web_1  |     deep", "    deep"),
            ("web_1  | ", "web_1  |", ""),
            ("[pod/web-7d9f/app] ", "[pod/web-7d9f/app] x", "x"),
            ("> ", "> x", "x"),
            ("    ", "    \t/a.go:1", "\t/a.go:1"),
        ] {
            assert_eq!(strip(prefix, line), Some((want, false)), "{line}");
        }
        assert_eq!(strip("> ", "x"), None);
        assert_eq!(strip("web_1 | ", "db_1 | x"), None);
    }

    #[test]
    fn the_container_runtime_splits_long_lines() {
        let prefix = "2026-08-01T10:00:00.123456789Z stderr F ";
        assert_eq!(strip(prefix, "2026-08-01T10:00:00.1Z stderr P main.f("), Some(("main.f(", true)));
        assert_eq!(strip(prefix, "2026-08-01T10:00:00.1Z stdout F 0x1)"), Some(("0x1)", false)));
        assert_eq!(strip(prefix, "2026-08-01T10:00:00.1Z stderr F"), Some(("", false)));
    }
}
