//! Labels of goroutines: `runtime/pprof.Labels`, as headers and profiles print them.

use necropsy_model::Text;

use super::header::Extra;

/// Key and value.
pub(super) type Pair<'d> = (Text<'d>, Text<'d>);

/// The labels of a header, sorted; marks of synctest bubbles among them.
pub(super) fn of_header(extra: Extra<'_>) -> Vec<Pair<'_>> {
    let mut pairs = parse(extra.labels);
    if extra.durable {
        pairs.push(("synctest".into(), "durable".into()));
    }
    if !extra.bubble.is_empty() {
        pairs.push(("synctest bubble".into(), String::from_utf8_lossy(extra.bubble)));
    }
    pairs.sort_unstable();
    pairs
}

/// Pairs `key: value`, separated by commas; keys and values are quoted where they need it.
pub(super) fn parse(text: &[u8]) -> Vec<Pair<'_>> {
    let mut pairs = Vec::new();
    let mut rest = text;
    while let Some((key, after)) = word(rest, b':')
        && let Some(after) = after.strip_prefix(b":")
        && let Some((value, after)) = word(after.trim_ascii_start(), b',')
    {
        pairs.push((key, value));
        rest = after.strip_prefix(b",").unwrap_or(after).trim_ascii_start();
        if rest.is_empty() {
            break;
        }
    }
    pairs.sort_unstable();
    pairs
}

/// A word up to `end`, or a quoted string; and what follows it.
fn word(text: &[u8], end: u8) -> Option<(Text<'_>, &[u8])> {
    if !text.starts_with(b"\"") {
        let length = memchr::memchr(end, text).unwrap_or(text.len());
        let (word, rest) = text.split_at_checked(length)?;
        return (!word.is_empty()).then(|| (String::from_utf8_lossy(word.trim_ascii()), rest));
    }
    let raw = crate::text::quoted(text)?;
    let rest = text.get(raw.len() + 2..).unwrap_or_default();
    if memchr::memchr(b'\\', raw).is_none() {
        return Some((String::from_utf8_lossy(raw), rest));
    }
    let mut plain = Vec::with_capacity(raw.len());
    crate::text::unescape(raw, &mut plain);
    Some((String::from_utf8_lossy(&plain).into_owned().into(), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_and_bare() {
        let pairs = parse(br#"tenant: "acme: \"co\"", path: /v1/refund"#);
        assert_eq!(
            pairs,
            [("path".into(), "/v1/refund".into()), ("tenant".into(), "acme: \"co\"".into())] as [Pair<'_>; 2]
        );
        let pairs = parse(br#""path": "/v1", "tenant":"x""#);
        assert_eq!(pairs, [("path".into(), "/v1".into()), ("tenant".into(), "x".into())] as [Pair<'_>; 2]);
        assert!(parse(b"").is_empty());
        assert!(parse(b"\"torn").is_empty());
    }
}
