//! Rewrites wrapped text line by line: escaped strings, prefixes, CRLF, damage.

use memchr::memmem;

use super::escape::{quoted, unescape};
use super::prefix::Shape;
use super::{LineMap, Marker, damage, line_at, lines};

/// Times a text may have been escaped: a JSON log line inside another one.
const NESTING: usize = 3;

/// Keys under which collectors keep the text of a line.
const KEYS: [&[u8]; 9] =
    [b"log", b"message", b"msg", b"MESSAGE", b"line", b"textPayload", b"stack", b"stacktrace", b"error"];

/// The text as the runtime printed it, and where its lines come from.
pub(super) fn unwrap(data: &[u8], marker: &Marker) -> (Vec<u8>, LineMap) {
    let mut rewriter = Rewriter {
        marker,
        shape: first_shape(data, marker),
        key: first_key(data, marker),
        out: Vec::with_capacity(data.len()),
        map: LineMap::default(),
        written: 0,
        unfinished: false,
    };
    let mut all = lines(data).peekable();
    while let Some((number, line)) = all.next() {
        let next = all.peek().map(|(_, line)| trim_end(line));
        rewriter.line(number, trim_end(line), next);
    }
    // The end of a text that was cut is a fact, so it stays as it was.
    if !data.ends_with(b"\n")
        && rewriter.out.last() == Some(&b'\n')
        && rewriter.shape.is_none()
        && rewriter.key.is_none()
    {
        rewriter.out.pop();
    }
    (rewriter.out, rewriter.map)
}

struct Rewriter<'a> {
    marker: &'a Marker,
    /// Prefix of every line.
    shape: Option<Shape>,
    /// Key of the text in JSON lines.
    key: Option<&'a [u8]>,
    out: Vec<u8>,
    map: LineMap,
    /// Lines written.
    written: u64,
    /// The collector split the line before.
    unfinished: bool,
}

impl<'a> Rewriter<'a> {
    fn line(&mut self, number: u64, line: &'a [u8], next: Option<&[u8]>) {
        if let Some(value) = self.json_value(line) {
            return self.escaped(number, value);
        }
        let hit = super::find(line, self.marker);
        if let Some(at) = hit.filter(|&at| memmem::find(&line[at..], b"\\n").is_some()) {
            let (before, value) = string_around(line, at);
            if !before.is_empty() {
                self.plain(number, before, false);
            }
            return self.escaped(number, value);
        }
        if let Some(rest) = self.shape.as_ref().and_then(|shape| shape.strip(line)) {
            return self.plain(number, rest.text, rest.part);
        }
        match hit {
            // A record in the middle of a line, and only that line is prefixed: whatever stands before it is no part of it.
            Some(at) if at > 0 => {
                let shape = Shape::of(line.get(..at).unwrap_or_default());
                if next.is_some_and(|next| !next.is_empty() && shape.strip(next).is_some()) {
                    self.shape = Some(shape);
                } else {
                    self.plain(number, line.get(..at).unwrap_or_default(), false);
                }
                self.plain(number, line.get(at..).unwrap_or_default(), false);
            }
            _ => self.plain(number, line, false),
        }
    }

    /// Writes a line as it is, but for damage.
    fn plain(&mut self, number: u64, line: &[u8], part: bool) {
        if !self.unfinished {
            self.map.push(self.written, number, false);
        }
        damage::repair(line, &mut self.out);
        self.unfinished = part;
        if !part {
            self.out.push(b'\n');
            self.written += 1;
        }
    }

    /// Writes what an escaped string stands for.
    fn escaped(&mut self, number: u64, value: &[u8]) {
        let mut text = value.to_vec();
        for _ in 0..NESTING {
            let mut plain = Vec::with_capacity(text.len());
            unescape(&text, &mut plain);
            let nested = super::find(&plain, self.marker)
                .is_some_and(|at| memmem::find(line_at(plain.get(at..).unwrap_or_default()), b"\\n").is_some());
            text = plain;
            if !nested {
                break;
            }
        }
        let folded = memchr::memchr(b'\n', text.strip_suffix(b"\n").unwrap_or(&text)).is_some();
        self.map.push(self.written, number, folded);
        for (_, line) in lines(&text) {
            let line = trim_end(line);
            // The text of a collector's line may have a prefix of its own.
            let line = self.shape.as_ref().and_then(|shape| shape.strip(line)).map_or(line, |rest| rest.text);
            damage::repair(line, &mut self.out);
            self.out.push(b'\n');
            self.written += 1;
        }
        if text.is_empty() {
            self.out.push(b'\n');
            self.written += 1;
        }
    }

    /// The text in a JSON line: the string that holds a record, else the one under the key where one was found before.
    fn json_value(&self, line: &'a [u8]) -> Option<&'a [u8]> {
        let key = self.key?;
        let object = trim_start(line).strip_prefix(b"{")?;
        strings(object).find(|(name, value)| *name == key || holds(value, self.marker)).map(|(_, value)| value)
    }
}

/// Whether a raw string holds a record.
fn holds(value: &[u8], marker: &Marker) -> bool {
    super::find(value, marker).is_some()
}

/// The prefix of the first record that has one, when the line after it has it too.
fn first_shape(data: &[u8], marker: &Marker) -> Option<Shape> {
    super::hits(data, marker).take(super::SAMPLE).find_map(|at| {
        let start = memchr::memrchr(b'\n', data.get(..at)?).map_or(0, |before| before + 1);
        let shape = Shape::of(data.get(start..at).filter(|prefix| !prefix.is_empty())?);
        let rest = data.get(at..)?;
        let next = trim_end(line_at(rest.get(line_at(rest).len() + 1..)?));
        (!next.is_empty() && shape.strip(next).is_some()).then_some(shape)
    })
}

/// The key of the first record in a JSON line.
fn first_key<'a>(data: &'a [u8], marker: &Marker) -> Option<&'a [u8]> {
    super::hits(data, marker).take(super::SAMPLE).find_map(|at| {
        let start = memchr::memrchr(b'\n', data.get(..at)?).map_or(0, |before| before + 1);
        let object = trim_start(line_at(data.get(start..)?)).strip_prefix(b"{")?;
        let found: Vec<_> = strings(object).filter(|(_, value)| holds(value, marker)).collect();
        let known = found.iter().find(|(name, _)| KEYS.contains(name)).or_else(|| found.first());
        known.map(|&(name, _)| name)
    })
}

/// String members of an object with their raw values, at any depth.
fn strings(object: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = object;
    std::iter::from_fn(move || {
        loop {
            rest = rest.get(memchr::memchr(b'"', rest)?..)?;
            let name = quoted(rest)?;
            rest = rest.get(name.len() + 2..)?;
            let value = trim_start(rest).strip_prefix(b":").map(trim_start);
            if let Some(value) = value.filter(|value| value.starts_with(b"\"")) {
                let text = quoted(value)?;
                rest = value.get((text.len() + 2).min(value.len())..)?;
                return Some((name, text));
            }
        }
    })
}

/// The raw string around a place: what stands before its quote, and the string. Without quotes, the rest of the line.
fn string_around(line: &[u8], at: usize) -> (&[u8], &[u8]) {
    let before = line.get(..at).unwrap_or_default();
    let quote = memchr::memrchr_iter(b'"', before).find(|&at| at == 0 || before.get(at - 1) != Some(&b'\\'));
    match quote.and_then(|quote| Some((line.get(..quote)?, quoted(line.get(quote..)?)?))) {
        Some((before, value)) => (before, value),
        None => (before, line.get(at..).unwrap_or_default()),
    }
}

fn trim_end(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn trim_start(text: &[u8]) -> &[u8] {
    text.trim_ascii_start()
}
