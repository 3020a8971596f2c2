//! What several dumps in one call say together.

use std::io::{self, Write};

use necropsy_model::Confidence;

use super::clean::clean;
use super::page::{Line, Page, Tone};
use crate::Style;

/// What several dumps say together.
#[derive(Clone, Copy, Debug)]
pub struct Several<'a> {
    /// One sentence.
    pub headline: &'a str,
    /// How sure.
    pub confidence: Confidence,
    /// What it rests on.
    pub because: &'a [String],
}

/// Writes it behind the reports; on one line without a style.
pub fn several(what: &Several<'_>, style: Option<Style>, out: &mut dyn Write) -> io::Result<()> {
    let Several { headline, confidence, because } = what;
    let Some(style) = style else {
        return writeln!(out, "all of them: {} [{}]", clean(headline), confidence.name());
    };
    // The report of the last dump ends above.
    writeln!(out)?;
    let mut page = Page::new(out, style);
    page.heading("ALL OF THEM", Line::new().plain(format!("confidence {}", confidence.name())))?;
    page.line(Line::indented(2).put(Tone::Strong, headline), 4)?;
    for reason in *because {
        page.line(Line::indented(4).plain(format!("- {reason}")), 6)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_or_a_section() {
        let because = ["3 logs, 1 places".to_owned()];
        let what = Several { headline: "one error", confidence: Confidence::High, because: &because };
        let mut out = Vec::new();
        several(&what, None, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "all of them: one error [high]\n");
        let style = Style { color: false, width: 80, threads: false, all: false, locals: false, explain: false };
        let mut out = Vec::new();
        several(&what, Some(style), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("ALL OF THEM  confidence high") && text.contains("- 3 logs, 1 places"), "{text}");
    }
}
