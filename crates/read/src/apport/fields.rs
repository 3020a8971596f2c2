//! The fields of a report: `Key: value`, or `Key:` and lines that begin with a blank (`problem_report.py` of apport).

use std::io::{self, Read};

/// Most fields of a report; apport's own hooks add some tens.
pub(super) const MOST_FIELDS: usize = 4096;

/// A field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field<'t> {
    /// Its key.
    pub key: &'t [u8],
    /// What stands on the line of the key.
    pub value: &'t [u8],
    /// The lines below, each with its blank.
    pub below: &'t [u8],
}

impl Field<'_> {
    /// Its text: the value, or the lines below without their blanks.
    pub fn text(&self) -> String {
        if self.below.is_empty() {
            return String::from_utf8_lossy(self.value).into_owned();
        }
        let lines = lines(self.below).map(|line| line.strip_prefix(b" ").unwrap_or(line));
        lines.fold(String::new(), |text, line| text + &String::from_utf8_lossy(line) + "\n")
    }

    /// Its lines are base64.
    pub fn is_encoded(&self) -> bool {
        self.value == b"base64" && !self.below.is_empty()
    }
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.strip_suffix(b"\n").unwrap_or(text).split(|&byte| byte == b'\n')
}

/// The fields in order, at most [`MOST_FIELDS`], and whether that was all.
pub(super) fn parse(data: &[u8]) -> (Vec<Field<'_>>, bool) {
    let mut fields = Vec::new();
    let mut rest = data;
    while !rest.is_empty() && fields.len() < MOST_FIELDS {
        let (line, mut behind) = cut(rest);
        let begin = behind;
        while behind.first() == Some(&b' ') {
            behind = cut(behind).1;
        }
        let below = begin.get(..begin.len() - behind.len()).unwrap_or_default();
        if let Some(colon) = memchr::memchr(b':', line).filter(|&colon| colon > 0) {
            let (key, value) = line.split_at(colon);
            fields.push(Field { key, value: value.get(1..).unwrap_or_default().trim_ascii(), below });
        }
        rest = behind;
    }
    (fields, rest.is_empty())
}

/// A line without its end, and what stands behind it.
fn cut(text: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'\n', text) {
        Some(end) => (text.get(..end).unwrap_or_default(), text.get(end + 1..).unwrap_or_default()),
        None => (text, &[]),
    }
}

/// Decodes the lines of a field. Each line is encoded by itself, so that padding may stand at the end of any of them.
pub(super) struct Decoder<'t> {
    rest: &'t [u8],
    ready: Vec<u8>,
    read: usize,
}

/// Characters decoded at once: a whole number of groups of four. A line of apport holds a megabyte.
const PIECE: usize = 64 * 1024;

impl<'t> Decoder<'t> {
    pub fn new(field: &Field<'t>) -> Self {
        Self { rest: field.below, ready: Vec::new(), read: 0 }
    }

    /// Decodes the next characters; `false` at the end.
    fn fill(&mut self) -> io::Result<bool> {
        while let [b' ' | b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
        let piece = self.rest.get(..PIECE).unwrap_or(self.rest);
        let end = memchr::memchr2(b'\n', b'\r', piece).unwrap_or(piece.len());
        let (piece, rest) = self.rest.split_at(end);
        self.rest = rest;
        self.ready.clear();
        self.read = 0;
        let (mut group, mut bits) = (0_u32, 0);
        for &byte in piece {
            let value = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                b'=' => continue,
                _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "this is no base64")),
            };
            group = group << 6 | u32::from(value);
            bits += 6;
            if bits >= 8 {
                bits -= 8;
                self.ready.push((group >> bits & 0xff) as u8);
            }
        }
        Ok(!piece.is_empty())
    }
}

impl Read for Decoder<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.read == self.ready.len() {
            if !self.fill()? {
                return Ok(0);
            }
        }
        let ready = self.ready.get(self.read..).unwrap_or_default();
        let length = ready.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..length), ready.get(..length)) {
            to.copy_from_slice(from);
        }
        self.read += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_one_line_and_of_many() {
        let (all, whole) =
            parse(b"ProblemType: Crash\nProcMaps:\n 55-56 r-xp\n  77\nCoreDump: base64\n aGVs\n bG8=\nX:\nbroken\n");
        let text: Vec<_> = all.iter().map(|field| (String::from_utf8_lossy(field.key), field.text())).collect();
        assert_eq!(text[0], ("ProblemType".into(), "Crash".to_owned()));
        assert_eq!(text[1], ("ProcMaps".into(), "55-56 r-xp\n 77\n".to_owned()));
        assert!(all[2].is_encoded() && !all[1].is_encoded());
        assert_eq!((all[3].value, all.len(), whole), (&b""[..], 4, true));
    }

    #[test]
    fn base64_line_by_line() {
        let decoded = |below: &[u8]| {
            let mut out = Vec::new();
            Decoder::new(&Field { key: b"", value: b"base64", below }).read_to_end(&mut out).map(|_| out)
        };
        assert_eq!(decoded(b" aGVs\n bG8=\n IQ==\n").unwrap(), b"hello!");
        assert_eq!(decoded(b" aGVs\r\n bG8\n").unwrap(), b"hello");
        assert_eq!(decoded(b"").unwrap(), b"");
        assert!(decoded(b" a*b\n").is_err());
        let long: Vec<u8> = [b" ".to_vec(), b"QUFB".repeat(40_000), b"\n".to_vec()].concat();
        assert_eq!(decoded(&long).unwrap(), b"A".repeat(120_000));
    }
}
