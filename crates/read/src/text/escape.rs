//! Strings of JSON, logfmt and Go's `%q`: a whole dump in one line.

/// Undoes the escapes of JSON and of Go string literals; what is no escape stays as it is.
pub(crate) fn unescape(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        let (used, escape) = match (first, tail) {
            (b'\\', [kind, more @ ..]) => decode(*kind, more, out),
            _ => (0, false),
        };
        if escape {
            rest = rest.get(2 + used..).unwrap_or_default();
            continue;
        }
        // Up to the next backslash, at least one byte.
        let plain = memchr::memchr(b'\\', tail).map_or(rest.len(), |at| at + 1);
        out.extend_from_slice(rest.get(..plain).unwrap_or_default());
        rest = rest.get(plain..).unwrap_or_default();
    }
}

/// Writes what an escape stands for; how many bytes it used behind its kind, and whether it was one.
fn decode(kind: u8, more: &[u8], out: &mut Vec<u8>) -> (usize, bool) {
    let plain = match kind {
        b'n' => b'\n',
        b't' => b'\t',
        b'r' => b'\r',
        b'b' => 8,
        b'f' => 12,
        b'a' => 7,
        b'v' => 11,
        b'"' | b'\'' | b'/' | b'\\' => kind,
        b'u' => return unicode(more, out),
        b'x' => {
            let Some(byte) = hex(more, 2).and_then(|value| u8::try_from(value).ok()) else { return (0, false) };
            out.push(byte);
            return (2, true);
        }
        _ => return (0, false),
    };
    out.push(plain);
    (0, true)
}

/// `\u` with four digits; a pair of surrogates is one character.
fn unicode(more: &[u8], out: &mut Vec<u8>) -> (usize, bool) {
    let Some(first) = hex(more, 4) else { return (0, false) };
    let second = more.get(4..6).filter(|&mark| mark == b"\\u").and_then(|_| hex(more.get(6..)?, 4));
    let (code, used) = match second {
        Some(low) if (0xd800..0xdc00).contains(&first) && (0xdc00..0xe000).contains(&low) => {
            (0x1_0000 + ((first - 0xd800) << 10) + (low - 0xdc00), 10)
        }
        _ => (first, 4),
    };
    let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    (used, true)
}

fn hex(text: &[u8], digits: usize) -> Option<u32> {
    let digits = std::str::from_utf8(text.get(..digits)?).ok()?;
    u32::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))
}

/// The raw text between the quote at the start of `text` and its end; to the end of `text` when that is missing.
pub(crate) fn quoted(text: &[u8]) -> Option<&[u8]> {
    let body = text.strip_prefix(b"\"")?;
    let mut at = 0;
    loop {
        at += memchr::memchr2(b'"', b'\\', body.get(at..)?).unwrap_or(body.len().checked_sub(at)?);
        match body.get(at) {
            Some(b'\\') => at += 2,
            _ => return body.get(..at),
        }
        if at >= body.len() {
            return Some(body);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> String {
        let mut out = Vec::new();
        unescape(text.as_bytes(), &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn escapes_of_json_and_go() {
        assert_eq!(plain(r"a\n\tb\\c\u00e9\x41"), "a\n\tb\\cé\u{41}");
        assert_eq!(plain(r"\ud83d\ude00 \ud83d"), "😀 \u{fffd}");
        assert_eq!(plain(r"C:\Users \q \u12"), r"C:\Users \q \u12");
        assert_eq!(plain("torn\\"), "torn\\");
    }

    #[test]
    fn a_string_ends_at_its_quote_or_with_the_text() {
        assert_eq!(quoted(br#""a\"b", "c""#), Some(&br#"a\"b"#[..]));
        assert_eq!(quoted(br#""torn\"#), Some(&br"torn\"[..]));
        assert_eq!(quoted(br#""torn"#), Some(&b"torn"[..]));
        assert_eq!(quoted(b"a"), None);
    }
}
