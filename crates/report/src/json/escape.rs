//! Strings of the JSON, whole for machines and harmless on a terminal: what steers one, or hides or reorders text, is written
//! as `\\u…`, which every parser reads back as the very character.

use std::io::{self, Write};

use serde_json::ser::Formatter;

use crate::text::is_hostile;

/// Compact JSON with such characters escaped. JSON itself escapes only those below U+0020.
pub(super) struct Escape;

impl Formatter for Escape {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        if fragment.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            return writer.write_all(fragment.as_bytes());
        }
        let mut rest = fragment;
        while let Some((at, character)) = rest.char_indices().find(|&(_, character)| is_hostile(character)) {
            let (before, after) = rest.split_at(at);
            writer.write_all(before.as_bytes())?;
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = after.get(character.len_utf8()..).unwrap_or_default();
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Serialize;

    #[test]
    fn nothing_steers_a_terminal_and_nothing_is_lost() {
        let text = "a\u{1b}[2J \u{9b}\u{7f} \u{202e}x\u{2066} \u{e0041} é漢 \"\\\n";
        let mut out = Vec::new();
        text.serialize(&mut serde_json::Serializer::with_formatter(&mut out, Escape)).unwrap();
        let json = String::from_utf8(out).unwrap();
        assert!(!json.chars().any(is_hostile), "{json:?}");
        assert!(json.contains(r"\u202ex\u2066 \udb40\udc41 é漢"), "{json}");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }
}
