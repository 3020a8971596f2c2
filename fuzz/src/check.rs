//! What no output may contain, whatever the input was.

/// Longest message: names in it are cut.
const LONGEST: usize = 2000;

/// Why text for people may not be printed; `None` when it may. Lines end in `\n`, nothing else steers a terminal.
pub fn text(bytes: &[u8]) -> Option<String> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Some("text that is no UTF-8".to_owned()) };
    let raw = text.chars().find(|&one| one != '\n' && is_dangerous(one))?;
    Some(format!("{raw:?} reaches the terminal"))
}

/// Why JSON may not be written; `None` when it may. One object on each line, and no character that steers a terminal.
pub fn json(bytes: &[u8]) -> Option<String> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Some("JSON that is no UTF-8".to_owned()) };
    if let Some(line) = text.lines().find(|line| serde_json::from_str::<serde::de::IgnoredAny>(line).is_err()) {
        return Some(format!("JSON that can not be parsed: {}", line.chars().take(60).collect::<String>()));
    }
    let raw = text.chars().find(|&one| one != '\n' && is_dangerous(one))?;
    Some(format!("{raw:?} raw in JSON"))
}

/// Why a message of one line may not be printed; `None` when it may.
pub fn message(said: &str) -> Option<String> {
    if said.trim().is_empty() || said.lines().count() > 1 {
        return Some("an error that is not one line".to_owned());
    }
    if said.len() > LONGEST {
        return Some("an error that is longer than a screen".to_owned());
    }
    None
}

/// Control characters, and those that turn the direction of text around (Unicode Standard Annex 9).
pub fn is_dangerous(one: char) -> bool {
    one.is_control()
        || matches!(one, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
