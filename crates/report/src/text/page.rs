//! Lines of a page: tones, width, wrapping. Everything printed goes through here and so through [`clean`].

use std::io::{self, Write};

use unicode_width::UnicodeWidthChar;

use super::clean::{clean, columns};
use crate::Style;

/// Narrower than this nothing is wrapped any more.
const NARROWEST: usize = 20;

/// A space at which a line is not broken.
const KEPT: char = '\u{a0}';

/// What a piece of text is, for the eye. Never the only carrier of a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    /// Headings and the headline.
    Strong,
    /// What can be skipped: sources, asides.
    Dim,
    /// The trouble: victim, critical findings.
    Bad,
    /// Doubt: weak frames, reasons, warnings.
    Caution,
    /// All well.
    Good,
    /// Functions.
    Name,
}

impl Tone {
    /// ECMA-48 "select graphic rendition": the colours every terminal theme defines, no others.
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Strong => "\x1b[1m",
            Self::Dim => "\x1b[2m",
            Self::Bad => "\x1b[1;31m",
            Self::Caution => "\x1b[33m",
            Self::Good => "\x1b[32m",
            Self::Name => "\x1b[36m",
        }
    }
}

const RESET: &str = "\x1b[0m";

/// A logical line: pieces of text with their tones.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    pieces: Vec<(Tone, String)>,
    columns: usize,
}

impl Line {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// A line that begins with spaces.
    pub(super) fn indented(columns: usize) -> Self {
        Self::new().plain(" ".repeat(columns))
    }

    /// Adds text in a tone.
    pub(super) fn put(mut self, tone: Tone, text: impl AsRef<str>) -> Self {
        let text = clean(text.as_ref());
        self.columns += columns(&text);
        if !text.is_empty() {
            self.pieces.push((tone, text.into_owned()));
        }
        self
    }

    pub(super) fn plain(self, text: impl AsRef<str>) -> Self {
        self.put(Tone::Plain, text)
    }

    /// Adds text that stays on one line where the width allows.
    pub(super) fn keep(self, tone: Tone, text: impl AsRef<str>) -> Self {
        self.put(tone, text.as_ref().replace(' ', "\u{a0}"))
    }

    /// Adds another line's pieces.
    pub(super) fn join(mut self, other: Self) -> Self {
        self.columns += other.columns;
        self.pieces.extend(other.pieces);
        self
    }

    /// Fills up with spaces so that what follows starts in this column, at least two further on.
    pub(super) fn fill_to(self, column: usize) -> Self {
        let fill = column.saturating_sub(self.columns).max(2);
        self.plain(" ".repeat(fill))
    }

    pub(super) fn columns(&self) -> usize {
        self.columns
    }
}

/// The report as it is written.
pub(super) struct Page<'w> {
    out: &'w mut dyn Write,
    pub(super) style: Style,
    begun: bool,
    told: Vec<Note>,
    /// Rows written.
    rows: usize,
    /// Rows that the report should take at most.
    limit: Option<usize>,
}

/// What is said once a report, however often it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Note {
    /// Lines and values of optimised code are approximate.
    Optimised,
}

impl<'w> Page<'w> {
    pub(super) fn new(out: &'w mut dyn Write, style: Style) -> Self {
        let style = Style { width: style.width.max(NARROWEST), ..style };
        Self { out, style, begun: false, told: Vec::new(), rows: 0, limit: None }
    }

    /// A page that should take so many rows at most; those who write on it ask how many are [left](Self::left).
    pub(super) fn limited(self, rows: usize) -> Self {
        Self { limit: Some(rows), ..self }
    }

    /// Rows that are left; `None` on a page without a limit.
    pub(super) fn left(&self) -> Option<usize> {
        self.limit.map(|limit| limit.saturating_sub(self.rows))
    }

    /// Rows that a line would take.
    pub(super) fn height(&self, line: &Line, hang: usize) -> usize {
        let mut nowhere = io::sink();
        let mut page = Page::new(&mut nowhere, self.style);
        // Writing to nowhere can not fail.
        let _ = page.line(line.clone(), hang);
        page.rows
    }

    pub(super) fn width(&self) -> usize {
        self.style.width
    }

    /// Whether this was not said before; from now on it was.
    pub(super) fn first_time(&mut self, note: Note) -> bool {
        let first = !self.told.contains(&note);
        self.told.push(note);
        first
    }

    /// Begins a section: an empty line, then its name and what stands beside it.
    pub(super) fn heading(&mut self, name: &str, beside: Line) -> io::Result<()> {
        if self.begun {
            writeln!(self.out)?;
            self.rows += 1;
        }
        let line = Line::new().put(Tone::Strong, name);
        let line = if beside.columns() > 0 { line.plain("  ").join(beside) } else { line };
        self.line(line, 2)
    }

    /// A line, broken at spaces where it is too long; what follows a break is indented by `hang` columns.
    pub(super) fn line(&mut self, line: Line, hang: usize) -> io::Result<()> {
        let hang = hang.min(self.width() / 2);
        let mut row = Row { page: self, used: 0, pending: 0, tone: Tone::Plain, words: 0, hang };
        for (tone, text) in line.pieces {
            for word in text.split_inclusive(' ') {
                row.word(tone, word.trim_end_matches(' '))?;
                row.pending += word.len() - word.trim_end_matches(' ').len();
            }
        }
        row.end()
    }

    /// A line that is never broken, such as a command to copy.
    pub(super) fn verbatim(&mut self, line: Line) -> io::Result<()> {
        let width = std::mem::replace(&mut self.style.width, usize::MAX / 2);
        let written = self.line(line, 0);
        self.style.width = width;
        written
    }
}

/// A row of the terminal as it fills.
struct Row<'p, 'w> {
    page: &'p mut Page<'w>,
    used: usize,
    /// Spaces to write before the next word.
    pending: usize,
    tone: Tone,
    words: usize,
    hang: usize,
}

impl Row<'_, '_> {
    fn word(&mut self, tone: Tone, word: &str) -> io::Result<()> {
        if word.is_empty() {
            return Ok(());
        }
        let width = self.page.width();
        let size = columns(word);
        // Pieces that touch (`file` and `:12`) break like words: rarely, and only where the width leaves no choice.
        if self.words > 0 && self.used + self.pending + size > width {
            self.next_row()?;
        }
        let spaces = std::mem::take(&mut self.pending);
        if self.tone != tone || self.words == 0 {
            self.tone(Tone::Plain)?;
        }
        self.write(&" ".repeat(spaces))?;
        self.used += spaces;
        self.tone(tone)?;
        if self.used + size <= width {
            self.used += size;
            self.write(word)?;
        } else {
            self.split(tone, word)?;
        }
        self.words += 1;
        Ok(())
    }

    /// A word that is wider than a row: broken at a kept space, else anywhere.
    fn split(&mut self, tone: Tone, word: &str) -> io::Result<()> {
        let width = self.page.width();
        let mut rest = word;
        while !rest.is_empty() {
            let (mut used, mut fits, mut space) = (self.used, rest.len(), None);
            for (at, character) in rest.char_indices() {
                used += character.width().unwrap_or(0);
                if used > width {
                    fits = at;
                    break;
                }
                if character == KEPT && at > 0 {
                    space = Some(at);
                }
            }
            if fits == rest.len() {
                self.used = used;
                return self.write(rest);
            }
            // At least one character a row, else a narrow page would never end.
            let cut = space.unwrap_or(fits).max(rest.chars().next().map_or(1, char::len_utf8));
            let (row, next) = rest.split_at(cut);
            self.write(row)?;
            self.next_row()?;
            self.tone(Tone::Plain)?;
            self.write(&" ".repeat(self.hang))?;
            (self.used, self.pending) = (self.hang, 0);
            self.tone(tone)?;
            rest = next.trim_start_matches(KEPT);
        }
        Ok(())
    }

    fn next_row(&mut self) -> io::Result<()> {
        self.tone(Tone::Plain)?;
        writeln!(self.page.out)?;
        self.page.rows += 1;
        (self.used, self.pending, self.words) = (0, self.hang, 0);
        Ok(())
    }

    fn tone(&mut self, tone: Tone) -> io::Result<()> {
        if !self.page.style.color || self.tone == tone {
            return Ok(());
        }
        if self.tone != Tone::Plain {
            write!(self.page.out, "{RESET}")?;
        }
        self.tone = tone;
        write!(self.page.out, "{}", tone.code())
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        if text.contains(KEPT) {
            return write!(self.page.out, "{}", text.replace(KEPT, " "));
        }
        write!(self.page.out, "{text}")
    }

    fn end(mut self) -> io::Result<()> {
        self.tone(Tone::Plain)?;
        self.page.begun = true;
        self.page.rows += 1;
        writeln!(self.page.out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(width: usize, color: bool, line: Line, hang: usize) -> String {
        let mut out = Vec::new();
        Page::new(&mut out, Style { color, width, threads: false, all: false, locals: false, explain: false })
            .line(line, hang)
            .unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_break_at_spaces_and_hang() {
        let line = Line::indented(2).plain("one two three four five six");
        assert_eq!(written(20, false, line.clone(), 4), "  one two three four\n    five six\n");
        assert_eq!(written(80, false, line, 4), "  one two three four five six\n");
    }

    #[test]
    fn kept_text_moves_as_a_whole_and_breaks_only_when_it_must() {
        let line = Line::new().plain("stack of ").keep(Tone::Plain, "acct = NULL, n = 1");
        assert_eq!(written(20, false, line, 2), "stack of\n  acct = NULL, n = 1\n");
        let line = Line::new().keep(Tone::Plain, "a = 1234567890 b = 1234567890");
        assert_eq!(written(20, false, line, 2), "a = 1234567890 b =\n  1234567890\n");
    }

    #[test]
    fn a_word_wider_than_the_page_is_cut_and_nothing_is_lost() {
        let line = Line::new().plain("x".repeat(45));
        let rows = written(20, false, line, 2);
        assert_eq!(rows, format!("{}\n  {}\n  {}\n", "x".repeat(20), "x".repeat(18), "x".repeat(7)));
        assert_eq!(written(20, false, Line::new().plain("漢".repeat(30)), 40).matches('漢').count(), 30);
    }

    #[test]
    fn no_row_ends_in_a_space() {
        let line = Line::new().plain("word   ").put(Tone::Bad, "  other word  ").fill_to(60);
        for width in 20..70 {
            assert!(written(width, false, line.clone(), 2).lines().all(|row| !row.ends_with(' ')), "{width}");
        }
    }

    #[test]
    fn colour_is_reset_before_the_line_ends() {
        let line = Line::new().put(Tone::Bad, "bad").plain(" news");
        assert_eq!(written(80, true, line, 0), "\x1b[1;31mbad\x1b[0m news\n");
        let long = Line::new().put(Tone::Bad, "red words that go on to the next row");
        let rows = written(20, true, long, 2);
        assert!(rows.lines().all(|row| !row.contains("[1;31m") || row.ends_with(RESET)), "{rows:?}");
    }

    #[test]
    fn nothing_passes_without_being_cleaned() {
        assert_eq!(written(80, false, Line::new().plain("a\u{1b}[2Jb\nc"), 0), "a\\x1b[2Jb\\nc\n");
    }
}
