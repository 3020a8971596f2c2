//! A value as gdb prints it beside one as necropsy prints it: equal up to how each writes the same thing.
//!
//! What is taken for the same: `0x0` and `NULL`; `{…}` and `[…]` around elements; the character that gdb puts behind every
//! small number; digits beyond those that tell a double from its neighbours; namespaces before an enumerator; the symbol
//! gdb prints behind a pointer to data. What necropsy shows behind a pointer, gdb does not, and is not compared. Everything
//! else must be equal: every number, text, name of a member and enumerator, in order.

use crate::mi::escaped;

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Number(String),
    Text(String),
    Word(String),
    Mark(char),
    /// `<by_balance>` behind an address.
    Symbol(String),
    /// The compiler kept it nowhere.
    Absent,
    /// Deeper than what is shown.
    Hidden,
}

/// Both say the same.
pub(crate) fn equal(gdb: &str, ours: &str) -> bool {
    let reference = gdb.starts_with('@');
    let ours = match ours.split_once(" -> ") {
        Some((address, _)) if !reference => address.to_owned(),
        _ => ours.replace(" -> ", ": "),
    };
    same(&tokens(gdb.strip_prefix('@').unwrap_or(gdb)), &tokens(&ours))
}

/// gdb has no value, or none for any of the parts.
pub(crate) fn is_lost(gdb: &str) -> bool {
    let tokens = tokens(gdb);
    let leaves = tokens.iter().filter(|token| matches!(token, Token::Number(_) | Token::Text(_) | Token::Symbol(_)));
    leaves.count() == 0 && tokens.contains(&Token::Absent)
}

/// A Rust value without the type that gdb writes before it: `core::option::Option<u32>::Some(42)`, `&[i32] [1, -2]`.
pub(crate) fn without_type(gdb: &str) -> &str {
    if gdb.starts_with('&') {
        return gdb.split_once("] ").map_or(gdb, |(_, value)| value);
    }
    if gdb.starts_with(|first: char| first.is_ascii_digit() || first == '-') {
        return gdb;
    }
    let (mut depth, mut start) = (0_usize, 0);
    for (at, byte) in gdb.bytes().enumerate() {
        match byte {
            b'<' => depth += 1,
            b'>' => depth = depth.saturating_sub(1),
            b':' | b' ' if depth == 0 => start = at + 1,
            _ if depth > 0 || is_word(byte) => {}
            _ => break,
        }
    }
    gdb.get(start..).unwrap_or(gdb)
}

fn same(mut gdb: &[Token], mut ours: &[Token]) -> bool {
    loop {
        match (gdb, ours) {
            ([], []) => return true,
            ([Token::Symbol(a), ..], [Token::Symbol(b), ..]) if a != b => return false,
            // Only gdb names data; only necropsy sees what a pointer to code without debug information is called.
            ([Token::Symbol(_), rest @ ..], [Token::Symbol(_), others @ ..]) => (gdb, ours) = (rest, others),
            ([Token::Symbol(_), rest @ ..], _) => gdb = rest,
            (_, [Token::Hidden, others @ ..]) => (gdb, ours) = (without_value(gdb), others),
            ([a, rest @ ..], [b, others @ ..]) if equal_tokens(a, b) => (gdb, ours) = (rest, others),
            _ => return false,
        }
    }
}

/// What follows one value.
fn without_value(tokens: &[Token]) -> &[Token] {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::Mark('{') => depth += 1,
            Token::Mark('}' | ',') if depth == 0 => return &tokens[at..],
            Token::Mark('}') => depth -= 1,
            _ => {}
        }
    }
    &[]
}

fn equal_tokens(a: &Token, b: &Token) -> bool {
    let (Token::Number(a), Token::Number(b)) = (a, b) else { return a == b };
    match (a.parse::<f64>(), b.parse::<f64>()) {
        // Only fractions: whole numbers beyond 2^53 would be taken for their neighbours.
        (Ok(x), Ok(y)) if a.contains(['.', 'e', 'n']) || b.contains(['.', 'e', 'n']) => {
            x.to_bits() == y.to_bits() || (x.is_nan() && y.is_nan())
        }
        _ => a == b,
    }
}

fn tokens(text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut rest = cast(text).as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        match first {
            b'"' => {
                rest = behind;
                found.push(Token::Text(quoted(&mut rest, b'"')));
            }
            // The character behind its number, which says it all.
            b'\'' => {
                rest = behind;
                let _ = quoted(&mut rest, b'\'');
            }
            b'<' => {
                let end = rest.iter().position(|&byte| byte == b'>').unwrap_or(rest.len() - 1);
                let inside = String::from_utf8_lossy(&rest[1..end]).into_owned();
                rest = &rest[end + 1..];
                match inside.as_str() {
                    "optimized out" | "not live here" => found.push(Token::Absent),
                    "not shown" => found.push(Token::Hidden),
                    inside if inside.starts_with("error:") => {}
                    inside => found.push(Token::Symbol(last(inside.split('(').next().unwrap_or(inside)))),
                }
            }
            b'{' | b'[' | b'}' | b']' | b',' | b'=' => {
                rest = behind;
                found.push(Token::Mark(match first {
                    b'[' => '{',
                    b']' => '}',
                    other => char::from(other),
                }));
            }
            _ if is_word(first) || first == b'-' => {
                let end = rest.iter().skip(1).position(|&byte| !is_word(byte) && !is_exponent(rest, byte));
                let end = end.map_or(rest.len(), |end| end + 1);
                found.push(word(&String::from_utf8_lossy(&rest[..end])));
                rest = &rest[end..];
            }
            _ => rest = behind,
        }
    }
    found
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b':' | b'$') || !byte.is_ascii()
}

/// The sign of an exponent, `1e-10`: only in what starts like a number.
fn is_exponent(rest: &[u8], byte: u8) -> bool {
    let number = rest.first().is_some_and(|first| first.is_ascii_digit() || *first == b'-');
    number && matches!(byte, b'+' | b'-') && !rest.starts_with(b"0x")
}

fn word(text: &str) -> Token {
    let text = text.trim_end_matches(':');
    if text == "NULL" {
        return Token::Number("0x0".to_owned());
    }
    let unsigned = text.trim_start_matches('-');
    if unsigned.starts_with("nan") || unsigned == "NaN" {
        return Token::Number("nan".to_owned());
    }
    if unsigned.starts_with(|first: char| first.is_ascii_digit()) || unsigned == "inf" {
        return Token::Number(text.to_owned());
    }
    Token::Word(last(text))
}

/// `FROZEN` of `ledger::Status::FROZEN`.
fn last(path: &str) -> String {
    path.rsplit("::").next().unwrap_or(path).to_owned()
}

/// gdb writes the type before some pointers: `(int (*)(void)) 0x401139 <main>`.
fn cast(text: &str) -> &str {
    let end = text.find(") 0x").filter(|_| text.starts_with('('));
    end.and_then(|end| text.get(end + 2..)).unwrap_or(text)
}

/// Text up to the closing quote. gdb escapes bytes in octal, necropsy as Rust does; both mean the same text.
fn quoted(rest: &mut &[u8], quote: u8) -> String {
    let mut bytes = Vec::new();
    while let Some((&first, behind)) = rest.split_first() {
        *rest = behind;
        match first {
            b'\\' if rest.starts_with(b"u{") => {
                let end = rest.iter().position(|&byte| byte == b'}').unwrap_or(rest.len() - 1);
                let number = u32::from_str_radix(&String::from_utf8_lossy(&rest[2..end]), 16);
                let character = number.ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER);
                bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                *rest = &rest[end + 1..];
            }
            b'\\' => bytes.extend(escaped(rest)),
            byte if byte == quote => break,
            byte => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_before_a_rust_value_is_not_part_of_it() {
        assert_eq!(without_type("core::option::Option<&str>::Some(\"a::b\")"), "Some(\"a::b\")");
        assert_eq!(without_type("types::Cents (-5)"), "(-5)");
        assert_eq!(without_type("&[i32] [1, -2]"), "[1, -2]");
        assert_eq!(without_type("\"text\""), "\"text\"");
        assert_eq!(without_type("8364 '\\u{0020ac}'"), "8364 '\\u{0020ac}'");
    }

    #[test]
    fn writings_of_the_same_are_equal_and_other_values_are_not() {
        let same = [
            ("0x0", "NULL"),
            ("-2.5000000000000002e-10", "-2.5e-10"),
            ("{year = 2024, month = 2 '\\002'}", "{year = 2024, month = 2}"),
            ("{{1, 2}, {3, 4}}", "[[1, 2], [3, 4]]"),
            ("0x402015 \"caf\\303\\251\"", "0x402015 \"café\""),
            ("(comparator *) 0x401139 <by_balance>", "0x401139 <by_balance>"),
            ("ledger::Status::Frozen", "Status::Frozen"),
            ("(AUDITED | DISPUTED)", "AUDITED | DISPUTED"),
            ("@0x7ffe: {a = 1}", "0x7ffe -> {a = 1}"),
            ("0x7ffe", "0x7ffe -> {a = 1}"),
            ("{a = {b = 1, c = 2}, d = 3}", "{a = <not shown>, d = 3}"),
            ("{a = <optimized out>, d = 3}", "{a = <optimized out>, d = 3}"),
        ];
        for (gdb, ours) in same {
            assert!(equal(gdb, ours), "{gdb} and {ours}: {:?} {:?}", tokens(gdb), tokens(ours));
        }
        let different = [
            ("0x0", "0x8"),
            ("1", "2"),
            ("9007199254740993", "9007199254740992"),
            ("{a = 1}", "{b = 1}"),
            ("{1, 2}", "[1, 2, 3]"),
            ("\"one\"", "\"two\""),
            ("0x401139 <by_balance>", "0x401139 <by_name>"),
            ("@0x7ffe: {a = 1}", "0x7ffe -> {a = 2}"),
            ("FROZEN", "CLOSED"),
            ("{a = 1, d = 3}", "{a = <not shown>, d = 4}"),
        ];
        for (gdb, ours) in different {
            assert!(!equal(gdb, ours), "{gdb} and {ours}");
        }
    }
}
