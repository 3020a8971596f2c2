//! The last step before the output: addresses, which the model holds as numbers.

use std::io::{self, Write};

use crate::Redactor;
use crate::text;

/// Replaces addresses in what is written through it. It holds back what might go on in the next piece, and lets it go at
/// [`Filter::finish`].
pub struct Filter<'a> {
    redactor: &'a mut Redactor,
    out: &'a mut dyn Write,
    /// Not yet written: the line that is not at its end.
    line: Vec<u8>,
    /// What was written before [`Filter::line`], as far as it tells what a number means.
    before: String,
}

/// Writes through a filter where there is a redactor, else straight to the output.
///
/// # Errors
/// Those of `write` and of the output.
pub fn through(
    redactor: Option<&mut Redactor>,
    out: &mut dyn Write,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let Some(redactor) = redactor else { return write(out) };
    let mut filter = Filter::new(redactor, out);
    write(&mut filter)?;
    filter.finish()
}

/// A line of more bytes than this (JSON is one line) is written in pieces.
const PIECE: usize = 1 << 16;
/// Longest text before a number that tells what it means: `"module_offset":"`.
const CONTEXT: usize = 24;

impl<'a> Filter<'a> {
    /// A filter before an output.
    pub fn new(redactor: &'a mut Redactor, out: &'a mut dyn Write) -> Self {
        Self { redactor, out, line: Vec::new(), before: String::new() }
    }

    /// Writes what was held back.
    pub fn finish(mut self) -> io::Result<()> {
        self.let_go(self.line.len())
    }

    /// Writes the first `length` bytes of what is held.
    fn let_go(&mut self, length: usize) -> io::Result<()> {
        let piece: Vec<u8> = self.line.drain(..length).collect();
        // Reports are text: a renderer only writes strings, so that nothing is lost here.
        let text = String::from_utf8_lossy(&piece);
        let text = format!("{}{text}", self.before);
        let written = text::addresses(self.redactor, &text, self.before.len());
        let cut = (0..=CONTEXT).rev().find_map(|keep| text.get(text.len().checked_sub(keep)?..));
        let before = cut.unwrap_or_default().to_owned();
        self.out.write_all(written.as_bytes())?;
        self.before = before;
        Ok(())
    }
}

impl Write for Filter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        if self.line.len() >= PIECE {
            // A character that no number contains: both sides of it stand alone.
            let end = self.line.iter().rposition(|&byte| matches!(byte, b'\n' | b' ' | b',' | b'{' | b'[' | b'"'));
            if let Some(end) = end {
                self.let_go(end + 1)?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        // What is held back stays until more is known of it.
        self.out.flush()
    }
}
