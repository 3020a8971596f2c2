//! Arguments as gdb prints them: `futex=futex@entry=0x563bb5900060 <ledger>, private=0, text=0x55… "a, b"`.

use necropsy_model::{Absence, Full, Value, Variable, VariableKind};

/// Arguments of one frame that are kept.
const MOST: usize = 64;

/// The arguments in a pair of parentheses.
pub(super) fn parse<'t>(text: &'t str, full: &mut Full) -> Vec<Variable<'t>> {
    full.first("arguments of one frame", MOST, split(text).filter_map(argument))
}

/// Pieces between commas that stand outside of quotes and brackets.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let end = comma(text);
        rest = end.and_then(|end| text.get(end + 1..));
        Some(text.get(..end.unwrap_or(text.len()))?.trim())
    })
}

fn comma(text: &str) -> Option<usize> {
    let mut depth = 0_u32;
    for (at, byte) in unquoted(text) {
        match byte {
            b'(' | b'{' | b'[' => depth += 1,
            b')' | b'}' | b']' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => return Some(at),
            _ => {}
        }
    }
    None
}

/// The bytes of a text that stand outside of quotes, with their places. Within quotes gdb escapes with a backslash.
pub(super) fn unquoted(text: &str) -> impl Iterator<Item = (usize, u8)> {
    let mut quoted = false;
    let mut escaped = false;
    text.bytes().enumerate().filter(move |&(_, byte)| {
        let outside = !quoted && byte != b'"';
        if escaped {
            escaped = false;
        } else if quoted && byte == b'\\' {
            escaped = true;
        } else if byte == b'"' {
            quoted = !quoted;
        }
        outside
    })
}

fn argument(text: &str) -> Option<Variable<'_>> {
    let (name, value) = text.split_once('=')?;
    // `futex=futex@entry=0x…`: the value now, and the same at the entry of the function.
    let value = value.strip_prefix(name).and_then(|value| value.strip_prefix("@entry=")).unwrap_or(value);
    let name = name.strip_suffix("@entry").unwrap_or(name);
    Some(Variable { name: Some(name.into()), type_name: None, kind: VariableKind::Argument, value: self::value(value) })
}

fn value(text: &str) -> Value<'_> {
    if text == "<optimized out>" {
        return Value::Absent(Absence::OptimizedOut);
    }
    pointer(text).unwrap_or_else(|| Value::Printed(text.into()))
}

/// `0x563bb5900060` or `0x563bb5900060 <ledger+8>`.
fn pointer(text: &str) -> Option<Value<'_>> {
    let hex = text.strip_prefix("0x")?;
    let digits = hex.bytes().take_while(u8::is_ascii_hexdigit).count();
    let address = u64::from_str_radix(hex.get(..digits)?, 16).ok()?;
    let symbol = match hex.get(digits..)? {
        "" => None,
        rest => Some(rest.strip_prefix(" <")?.strip_suffix('>')?.into()),
    };
    Some(Value::Pointer { address, symbol, target: None })
}
