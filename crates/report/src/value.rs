//! Values in the words a reader of the source expects, close to what a debugger prints.

use std::fmt::Write;

use necropsy_model::{Absence, Field, Value};

use crate::text::clean;

/// A value on one line, whole. What a program's memory holds is escaped as in a string literal.
pub(crate) fn render(value: &Value<'_>) -> String {
    let mut out = String::new();
    write(&mut out, value);
    out
}

fn write(out: &mut String, value: &Value<'_>) {
    // Writing to a string can not fail.
    let _ = match value {
        Value::Absent(absence) => write!(out, "<{}>", absence.reason()),
        Value::Int(number) | Value::Enum { name: None, value: number } => write!(out, "{number}"),
        Value::Uint(number) => write!(out, "{number}"),
        Value::Float(number) => write_float(out, *number),
        Value::Bool(truth) => write!(out, "{truth}"),
        Value::Char(code) => write_char(out, *code),
        Value::Enum { name: Some(text), .. } | Value::Printed(text) => write!(out, "{}", clean(text)),
        Value::Pointer { address: 0, .. } => write!(out, "NULL"),
        Value::Pointer { address, symbol, target } => {
            let _ = write!(out, "{address:#x}");
            if let Some(symbol) = symbol {
                let _ = write!(out, " <{}>", clean(symbol));
            }
            write_target(out, target.as_deref());
            Ok(())
        }
        Value::Text { text, cut } => write_text(out, text, *cut),
        Value::Struct { variant, fields } => {
            write_struct(out, variant.as_deref(), fields);
            Ok(())
        }
        Value::Array { elements, length } => write_array(out, elements, *length),
    };
}

/// What a pointer points at: text stands right behind the address, as debuggers print `char *`.
fn write_target(out: &mut String, target: Option<&Value<'_>>) {
    match target {
        None | Some(Value::Absent(Absence::TooDeep)) => {}
        Some(text @ Value::Text { .. }) => {
            out.push(' ');
            write(out, text);
        }
        Some(target) => {
            out.push_str(" -> ");
            write(out, target);
        }
    }
}

/// Numbers of everyday size as they are, very large and very small ones with an exponent.
fn write_float(out: &mut String, number: f64) -> std::fmt::Result {
    let size = number.abs();
    if size != 0.0 && size.is_finite() && !(1e-5..1e17).contains(&size) {
        write!(out, "{number:e}")
    } else {
        write!(out, "{number}")
    }
}

fn write_char(out: &mut String, code: u32) -> std::fmt::Result {
    write!(out, "{code}")?;
    match char::from_u32(code) {
        Some('\'') => out.write_str(" '\\''"),
        Some(character) => {
            out.write_str(" '")?;
            write_escaped(out, character);
            out.write_char('\'')
        }
        None => Ok(()),
    }
}

/// A string literal. Text that was cut goes on behind the quote, as in a debugger: `"abc"...`.
fn write_text(out: &mut String, text: &str, cut: bool) -> std::fmt::Result {
    out.write_char('"')?;
    for character in text.chars() {
        match character {
            '"' => out.write_str("\\\"")?,
            _ => write_escaped(out, character),
        }
    }
    out.write_str(if cut { "\"..." } else { "\"" })
}

fn write_escaped(out: &mut String, character: char) {
    match character {
        '\\' => out.push_str("\\\\"),
        '\0' => out.push_str("\\0"),
        _ => out.push_str(&clean(character.encode_utf8(&mut [0; 4]))),
    }
}

/// Members with their names in braces; the unnamed and numbered ones of tuples and variants in parentheses.
fn write_struct(out: &mut String, variant: Option<&str>, fields: &[Field<'_>]) {
    let is_position = |name: &str| {
        let digits = name.strip_prefix("__").unwrap_or(name);
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    let is_tuple = fields.iter().all(|field| field.name.as_deref().is_none_or(is_position));
    if let Some(variant) = variant {
        out.push_str(&clean(variant));
        if fields.is_empty() {
            return;
        }
    }
    let (open, close) = match variant {
        _ if is_tuple && !fields.is_empty() => ("(", ")"),
        Some(_) => (" {", "}"),
        None => ("{", "}"),
    };
    out.push_str(open);
    for (index, field) in fields.iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        if let Some(name) = field.name.as_deref().filter(|_| !is_tuple) {
            out.push_str(&clean(name));
            out.push_str(" = ");
        }
        write(out, &field.value);
    }
    out.push_str(close);
}

/// The elements at hand, then how many more there are.
fn write_array(out: &mut String, elements: &[Value<'_>], length: Option<u64>) -> std::fmt::Result {
    out.push('[');
    for (index, element) in elements.iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        write(out, element);
    }
    let more = length.map_or(0, |length| length.saturating_sub(elements.len() as u64));
    match (more, elements) {
        (0, _) => {}
        (_, []) => write!(out, "… {more}")?,
        _ => write!(out, ", … {more} more")?,
    }
    out.write_char(']')
}

#[cfg(test)]
mod tests {
    use super::*;
    use necropsy_model::AddressState;

    fn field(name: Option<&'static str>, value: Value<'static>) -> Field<'static> {
        Field { name: name.map(Into::into), value }
    }

    fn text(text: &'static str) -> Value<'static> {
        Value::Text { text: text.into(), cut: false }
    }

    fn pointer(address: u64, symbol: Option<&'static str>, target: Option<Value<'static>>) -> Value<'static> {
        Value::Pointer { address, symbol: symbol.map(Into::into), target: target.map(Box::new) }
    }

    #[test]
    fn scalars_read_as_in_the_source() {
        let cases = [
            (Value::Int(-250), "-250"),
            (Value::Uint(u128::from(u64::MAX)), "18446744073709551615"),
            (Value::Float(3.5), "3.5"),
            (Value::Float(1.0), "1"),
            (Value::Float(1e300), "1e300"),
            (Value::Float(f64::NAN), "NaN"),
            (Value::Bool(true), "true"),
            (Value::Char(97), "97 'a'"),
            (Value::Char(10), "10 '\\n'"),
            (Value::Char(39), "39 '\\''"),
            (Value::Char(0xd800), "55296"),
            (Value::Enum { name: Some("REFUND".into()), value: 2 }, "REFUND"),
            (Value::Enum { name: None, value: 9 }, "9"),
            (pointer(0, None, None), "NULL"),
            (pointer(0x7ffe_0010, None, None), "0x7ffe0010"),
            (pointer(0x40_1136, Some("handler"), None), "0x401136 <handler>"),
            (pointer(0x40_2010, None, Some(text("abc"))), "0x402010 \"abc\""),
            (Value::Absent(Absence::OptimizedOut), "<optimized out>"),
            (Value::Absent(Absence::Memory(AddressState::NotDumped)), "<memory not in the dump>"),
        ];
        for (value, expected) in cases {
            assert_eq!(render(&value), expected);
        }
    }

    #[test]
    fn structures_arrays_and_variants() {
        let account = Value::Struct {
            variant: None,
            fields: vec![field(Some("id"), Value::Int(7)), field(Some("name"), text("x"))],
        };
        assert_eq!(render(&account), "{id = 7, name = \"x\"}");
        assert_eq!(render(&pointer(0x10, None, Some(account))), "0x10 -> {id = 7, name = \"x\"}");
        let some = |fields| Value::Struct { variant: Some("Some".into()), fields };
        assert_eq!(render(&some(vec![field(Some("__0"), Value::Int(5))])), "Some(5)");
        assert_eq!(render(&some(vec![field(Some("at"), Value::Int(5))])), "Some {at = 5}");
        assert_eq!(render(&some(Vec::new())), "Some");
        let tuple = vec![field(Some("0"), Value::Int(1)), field(None, Value::Bool(false))];
        assert_eq!(render(&Value::Struct { variant: None, fields: tuple }), "(1, false)");
        assert_eq!(render(&Value::Struct { variant: None, fields: Vec::new() }), "{}");
        let array = |elements: Vec<i128>, length| Value::Array {
            elements: elements.into_iter().map(Value::Int).collect(),
            length,
        };
        assert_eq!(render(&array(vec![1, 2], Some(100))), "[1, 2, … 98 more]");
        assert_eq!(render(&array(vec![1, 2], Some(2))), "[1, 2]");
        assert_eq!(render(&array(vec![], Some(3))), "[… 3]");
        assert_eq!(render(&array(vec![], None)), "[]");
    }

    #[test]
    fn what_memory_holds_is_escaped() {
        let hostile = Value::Text { text: "a\"\\\u{1b}[31m\u{202e}\n\0".into(), cut: true };
        assert_eq!(render(&hostile), r#""a\"\\\x1b[31m\u{202e}\n\0"..."#);
        let printed = Value::Printed("0x1\u{1b}]0;".into());
        assert_eq!(render(&printed), r"0x1\x1b]0;");
        let named = Value::Struct { variant: Some("\u{7}".into()), fields: vec![field(Some("\r"), Value::Int(1))] };
        assert_eq!(render(&named), r"\x07 {\r = 1}");
    }
}
