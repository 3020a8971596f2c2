//! Output records of gdb's machine interface (GDB manual, "GDB/MI Output Syntax"), as JSON values.

use serde_json::{Map, Value};

/// The results of the record that holds `key`: `^done,stack=[…]` as `{"stack": […]}`.
pub(crate) fn record(output: &str, key: &str) -> Option<Value> {
    let start = format!("^done,{key}=");
    let line = output.lines().find(|line| line.starts_with(&start))?;
    let mut rest = line.strip_prefix("^done,")?.as_bytes();
    results(&mut rest, None)
}

/// `name=value,…` up to `end`.
fn results(rest: &mut &[u8], end: Option<u8>) -> Option<Value> {
    let mut map = Map::new();
    loop {
        if rest.first().copied() == end {
            *rest = rest.get(1..).unwrap_or_default();
            return Some(Value::Object(map));
        }
        let (name, value) = result(rest)?;
        map.insert(name, value);
        skip_comma(rest);
    }
}

fn result(rest: &mut &[u8]) -> Option<(String, Value)> {
    let at = rest.iter().position(|&byte| byte == b'=')?;
    let name = String::from_utf8_lossy(&rest[..at]).into_owned();
    *rest = &rest[at + 1..];
    Some((name, value(rest)?))
}

fn value(rest: &mut &[u8]) -> Option<Value> {
    let (&first, behind) = rest.split_first()?;
    *rest = behind;
    match first {
        b'"' => text(rest).map(Value::String),
        b'{' => results(rest, Some(b'}')),
        b'[' => list(rest),
        _ => None,
    }
}

/// Values, or results whose names all say the same (`frame={…},frame={…}`).
fn list(rest: &mut &[u8]) -> Option<Value> {
    let mut items = Vec::new();
    loop {
        match rest.first()? {
            b']' => {
                *rest = &rest[1..];
                return Some(Value::Array(items));
            }
            b'"' | b'{' | b'[' => items.push(value(rest)?),
            _ => items.push(result(rest)?.1),
        }
        skip_comma(rest);
    }
}

fn skip_comma(rest: &mut &[u8]) {
    *rest = rest.strip_prefix(b",").unwrap_or(rest);
}

/// A C string without its first quote. gdb writes what is not ASCII as octal bytes.
fn text(rest: &mut &[u8]) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let (&first, behind) = rest.split_first()?;
        *rest = behind;
        match first {
            b'"' => return Some(String::from_utf8_lossy(&bytes).into_owned()),
            b'\\' => bytes.push(escaped(rest)?),
            byte => bytes.push(byte),
        }
    }
}

/// The byte that an escape stands for; the backslash is read.
pub(crate) fn escaped(rest: &mut &[u8]) -> Option<u8> {
    let digits = rest.iter().take(3).take_while(|byte| (b'0'..=b'7').contains(byte)).count();
    if digits > 0 {
        let octal = rest[..digits].iter().fold(0_u32, |value, digit| value * 8 + u32::from(digit - b'0'));
        *rest = &rest[digits..];
        return u8::try_from(octal).ok();
    }
    let (&letter, behind) = rest.split_first()?;
    *rest = behind;
    Some(match letter {
        b'n' => b'\n',
        b't' => b'\t',
        b'r' => b'\r',
        b'a' => 7,
        b'b' => 8,
        b'v' => 11,
        b'f' => 12,
        b'e' => 27,
        other => other,
    })
}
