//! The one door between what a dump says and a terminal.

use std::borrow::Cow;
use std::fmt::Write;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Text that is safe to print: every character that could steer a terminal or hide or reorder text is shown as an escape.
///
/// Names of threads, files and functions, messages and values are whatever the process put there, or whatever an attacker
/// put into the file. Raw, `ESC` rewrites the screen and U+202E makes `gpj.exe` read as `exe.jpg` (CVE-2021-42574).
pub fn clean(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) || !text.chars().any(is_hostile) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        // Writing to a string can not fail.
        let _ = match character {
            '\n' => write!(out, "\\n"),
            '\t' => write!(out, "\\t"),
            '\r' => write!(out, "\\r"),
            '\0'..='\u{ff}' if is_hostile(character) => write!(out, "\\x{:02x}", character as u32),
            _ if is_hostile(character) => write!(out, "\\u{{{:x}}}", character as u32),
            _ => write!(out, "{character}"),
        };
    }
    Cow::Owned(out)
}

/// Control characters, line separators, everything that changes the direction of text or shows as nothing.
pub(crate) fn is_hostile(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Columns of a terminal that the text takes.
pub(super) fn columns(text: &str) -> usize {
    text.width()
}

/// The text cut in the middle to at most `limit` columns: of a long name both ends tell the most.
pub(super) fn middle(text: &str, limit: usize) -> Cow<'_, str> {
    if text.len() <= limit || columns(text) <= limit {
        return Cow::Borrowed(text);
    }
    let room = limit.saturating_sub(1);
    let tail = take(text.chars().rev(), room / 2);
    let head = take(text.chars(), room - room / 2);
    let tail_start = text.char_indices().rev().nth(tail.saturating_sub(1)).map_or(text.len(), |(at, _)| at);
    let tail_start = if tail == 0 { text.len() } else { tail_start };
    let head_end = text.char_indices().nth(head).map_or(text.len(), |(at, _)| at);
    let (head, tail) = (text.get(..head_end).unwrap_or_default(), text.get(tail_start..).unwrap_or_default());
    Cow::Owned(format!("{head}…{tail}"))
}

/// The text cut at its end to at most `limit` columns: of a value the beginning tells the most.
pub(super) fn start(text: &str, limit: usize) -> Cow<'_, str> {
    if text.len() <= limit || columns(text) <= limit {
        return Cow::Borrowed(text);
    }
    let head = take(text.chars(), limit.saturating_sub(1));
    Cow::Owned(text.chars().take(head).chain(['…']).collect())
}

/// How many of the characters fit into `room` columns.
fn take(characters: impl Iterator<Item = char>, room: usize) -> usize {
    let mut used = 0;
    let fits = |character: &char| {
        used += character.width().unwrap_or(0);
        used <= room
    };
    characters.take_while(fits).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_shown_not_done() {
        let cases = [
            ("plain é 漢", "plain é 漢"),
            ("\u{1b}[2J\u{1b}]0;x\u{7}", r"\x1b[2J\x1b]0;x\x07"),
            ("a\nb\tc\rd\0", r"a\nb\tc\rd\x00"),
            ("\u{9b}31m\u{7f}", r"\x9b31m\x7f"),
            ("evil\u{202e}gpj\u{2066}\u{2069}", r"evil\u{202e}gpj\u{2066}\u{2069}"),
            ("\u{200b}\u{feff}\u{2028}\u{e0041}", r"\u{200b}\u{feff}\u{2028}\u{e0041}"),
            ("\u{fffd}", "\u{fffd}"),
        ];
        for (text, expected) in cases {
            assert_eq!(clean(text), expected);
        }
        assert!(matches!(clean("plain"), Cow::Borrowed(_)));
    }

    #[test]
    fn every_control_and_format_character_of_the_bidi_algorithm_is_caught() {
        for code in (0..0x20).chain(0x7f..0xa0).chain(0x202a..=0x202e).chain(0x2066..=0x2069) {
            let character = char::from_u32(code).unwrap();
            assert!(!clean(&character.to_string()).contains(character), "U+{code:04X}");
        }
    }

    #[test]
    fn long_names_lose_their_middle() {
        assert_eq!(middle("abcdefghij", 10), "abcdefghij");
        assert_eq!(middle("abcdefghij", 7), "abc…hij");
        assert_eq!(middle("abcdefghij", 4), "ab…j");
        assert_eq!(middle("abcdefghij", 1), "…");
        assert_eq!(start("abcdefghij", 7), "abcdef…");
        assert_eq!(start("abcdefghij", 10), "abcdefghij");
        assert_eq!(columns(&middle("漢字漢字漢字", 7)), 5);
    }
}
