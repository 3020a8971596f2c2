//! The pages of rules.

use std::io::{self, Write};

use super::page::{Line, Page, Tone};
use crate::Style;

/// The heading under which a page says what a rule means.
const MEANING: &str = "# What it means";

/// Writes the page of a rule, which is Markdown of headings, paragraphs and lists.
pub fn rule(id: &str, doc: &str, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let mut page = Page::new(out, style);
    page.line(Line::new().put(Tone::Name, id), 0)?;
    for block in blocks(doc) {
        match block {
            Block::Heading(name) => page.heading(name, Line::new())?,
            Block::Text(text) => page.line(Line::indented(2).plain(text), 2)?,
            Block::Item(text) => page.line(Line::indented(2).plain(text), 4)?,
        }
    }
    Ok(())
}

/// Writes a list of rules, each with the first sentence of its page.
pub fn rules(rules: &[(&str, &str)], style: Style, out: &mut dyn Write) -> io::Result<()> {
    let mut page = Page::new(out, style);
    for (id, doc) in rules {
        page.line(Line::new().put(Tone::Name, id), 0)?;
        page.line(Line::indented(4).plain(meaning(doc)), 4)?;
    }
    Ok(())
}

/// The first sentence of what a rule means.
fn meaning(doc: &str) -> String {
    let (_, text) = doc.split_once(MEANING).unwrap_or_default();
    let first = blocks(text).into_iter().find_map(|block| match block {
        Block::Text(text) => Some(text),
        _ => None,
    });
    let text = first.unwrap_or_default();
    let end = text.match_indices(". ").map(|(at, _)| at + 1).find(|&at| text.len() > at);
    text.get(..end.unwrap_or(text.len())).unwrap_or_default().to_owned()
}

/// A piece of a page.
enum Block<'a> {
    Heading(&'a str),
    Text(String),
    Item(String),
}

/// Lines put together to paragraphs: the page is wrapped for the terminal, not for the source.
fn blocks(doc: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let mut open = false;
    for line in doc.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('#') {
            blocks.push(Block::Heading(name.trim_start_matches('#').trim()));
            open = false;
        } else if line.is_empty() {
            open = false;
        } else if line.starts_with("- ") {
            blocks.push(Block::Item(line.to_owned()));
            open = true;
        } else {
            match blocks.last_mut().filter(|_| open) {
                Some(Block::Text(text) | Block::Item(text)) => {
                    text.push(' ');
                    text.push_str(line);
                }
                _ => blocks.push(Block::Text(line.to_owned())),
            }
            open = true;
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOC: &str = "# What it means\nTwo threads\nwait. For ever.\n\n# What to do\n- one\n  lock\n- an order\n";
    const PLAIN: Style = Style { color: false, width: 60, threads: false, all: false, locals: false, explain: false };

    #[test]
    fn paragraphs_are_wrapped_for_the_terminal() {
        let mut out = Vec::new();
        rule("deadlock", DOC, PLAIN, &mut out).unwrap();
        let expected =
            "deadlock\n\nWhat it means\n  Two threads wait. For ever.\n\nWhat to do\n  - one lock\n  - an order\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn a_list_shows_first_sentences() {
        let mut out = Vec::new();
        rules(&[("deadlock", DOC)], PLAIN, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "deadlock\n    Two threads wait.\n");
    }
}
