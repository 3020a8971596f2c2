//! The first line of a goroutine: `goroutineheader` of Go's `runtime/traceback.go`, all versions from 1.4 to 1.27.
//!
//! ```text
//! goroutine ID [gp=0xP m=(N mp=0xM|nil)] "[" STATUS [" (leaked)"] [" (scan)"] [" (durable)"]
//!     [", N minutes"] [", locked to thread"] [", synctest group G" | ", synctest bubble B"]
//!     [1.26: " labels:{" "k": "v", … "}"] "]" [1.27: " {" k: v, "k 2": "v 2" "}"] ":"
//! ```
//!
//! A status may hold parentheses and dots, a label may hold `]`, `:` and quotes: `]:` at the end of the line is no anchor.

use memchr::memchr2;

/// A header, as its line says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header<'a> {
    /// Number of the goroutine. `goroutine 0` is the stack of a machine thread, and there is one for each of them.
    pub id: u64,
    /// Status without its marks.
    pub status: &'a [u8],
    /// Lower bound of the wait, in minutes.
    pub minutes: Option<u32>,
    /// `locked to thread`.
    pub locked: bool,
    /// The collector proved that nothing can wake it.
    pub leaked: bool,
    /// Marks and labels that few goroutines have, for [`super::labels`]; empty when there are none.
    pub extra: Extra<'a>,
}

/// What else a header says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Extra<'a> {
    /// Only its own synctest bubble can wake it.
    pub durable: bool,
    /// Number of the synctest bubble (a group in Go 1.24).
    pub bubble: &'a [u8],
    /// Text between the braces of the labels.
    pub labels: &'a [u8],
}

/// How such a line begins.
pub(super) const START: &[u8] = b"goroutine ";

/// The header in a line, and nothing else may stand on it.
pub(super) fn parse(line: &[u8]) -> Option<Header<'_>> {
    let (header, rest) = parse_prefix(line)?;
    rest.trim_ascii().is_empty().then_some(header)
}

/// The header at the start of `line` and what follows it.
pub(super) fn parse_prefix(line: &[u8]) -> Option<(Header<'_>, &[u8])> {
    let (id, rest) = begin(line)?;
    from_bracket(id, rest)
}

/// The number of the goroutine, and the header from its bracket on: what few goroutines have for themselves.
#[inline]
pub(super) fn begin(line: &[u8]) -> Option<(u64, &[u8])> {
    let rest = line.strip_prefix(START)?;
    let (id, rest) = number(rest)?;
    Some((id, pointers(rest)))
}

/// The rest of a header, from its bracket on.
pub(super) fn from_bracket(id: u64, rest: &[u8]) -> Option<(Header<'_>, &[u8])> {
    let bracket = rest.strip_prefix(b" [").or_else(|| rest.strip_prefix(b"\t["))?;
    let end = bracket_end(bracket)?;
    let mut header = Header { id, status: b"", minutes: None, locked: false, leaked: false, extra: Extra::default() };
    inside(bracket.get(..end)?, &mut header);
    let rest = behind(bracket.get(end + 1..)?, &mut header)?;
    Some((header, rest))
}

/// `gp=0x… m=… mp=0x…`, printed from Go 1.22 on when the runtime throws.
fn pointers(mut rest: &[u8]) -> &[u8] {
    if rest.starts_with(b" [") {
        return rest;
    }
    for key in [&b" gp="[..], b" m=", b" mp="] {
        if let Some(value) = rest.strip_prefix(key) {
            let length = memchr::memchr(b' ', value).unwrap_or(value.len());
            rest = value.get(length..).unwrap_or_default();
        }
    }
    rest
}

/// Where the bracket closes: at a `]` outside of quotes.
fn bracket_end(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let next = at + memchr2(b']', b'"', text.get(at..)?)?;
        if text.get(next) == Some(&b']') {
            return Some(next);
        }
        at = quote_end(text, next)?;
    }
}

/// The place behind the quoted string that begins at `start`.
fn quote_end(text: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        at += memchr2(b'"', b'\\', text.get(at..)?)?;
        match text.get(at) {
            Some(b'\\') => at += 2,
            _ => return Some(at + 1),
        }
    }
}

/// Status and attributes.
fn inside<'a>(text: &'a [u8], header: &mut Header<'a>) {
    let text = match memchr::memmem::find(text, b" labels:{") {
        Some(at) => {
            let labels = text.get(at + b" labels:{".len()..).unwrap_or_default();
            header.extra.labels = labels.strip_suffix(b"}").unwrap_or(labels);
            text.get(..at).unwrap_or_default()
        }
        None => text,
    };
    let mut parts = text.split(|&byte| byte == b',');
    let mut status = parts.next().unwrap_or_default();
    for part in parts {
        let part = part.trim_ascii();
        if let Some((minutes, b" minutes" | b" minute")) = number(part) {
            header.minutes = u32::try_from(minutes).ok();
        } else if part == b"locked to thread" {
            header.locked = true;
        } else if let Some(bubble) =
            part.strip_prefix(b"synctest bubble ").or_else(|| part.strip_prefix(b"synctest group "))
        {
            header.extra.bubble = bubble;
        }
    }
    loop {
        if let Some(bare) = status.strip_suffix(b" (durable)") {
            (status, header.extra.durable) = (bare, true);
        } else if let Some(bare) = status.strip_suffix(b" (leaked)") {
            (status, header.leaked) = (bare, true);
        } else if let Some(bare) = status.strip_suffix(b" (scan)") {
            status = bare;
        } else {
            break;
        }
    }
    header.status = status.trim_ascii();
}

/// Labels behind the bracket and the colon; what follows the colon.
fn behind<'a>(text: &'a [u8], header: &mut Header<'a>) -> Option<&'a [u8]> {
    if let Some(rest) = text.strip_prefix(b":") {
        return Some(rest);
    }
    let body = text.strip_prefix(b" {")?;
    let mut at = 0;
    loop {
        at += memchr2(b'}', b'"', body.get(at..)?)?;
        if body.get(at) == Some(&b'"') {
            at = quote_end(body, at)?;
            continue;
        }
        header.extra.labels = body.get(..at)?;
        return body.get(at + 1..)?.strip_prefix(b":");
    }
}

/// A decimal number and what follows it.
pub(super) fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 {
        return None;
    }
    let (digits, rest) = text.split_at_checked(digits)?;
    let value =
        digits.iter().try_fold(0_u64, |value, &digit| value.checked_mul(10)?.checked_add(u64::from(digit - b'0')))?;
    Some((value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(line: &str) -> Option<(u64, String, Option<u32>)> {
        let header = parse(line.as_bytes())?;
        Some((header.id, String::from_utf8_lossy(header.status).into_owned(), header.minutes))
    }

    #[test]
    fn headers_of_all_versions() {
        for (line, id, want, minutes) in [
            ("goroutine 7 [chan receive, 47 minutes, locked to thread]:", 7, "chan receive", Some(47)),
            ("goroutine 19 gp=0xc000006fc0 m=nil [sync.Mutex.Lock]:", 19, "sync.Mutex.Lock", None),
            ("goroutine 1 gp=0xc0000061c0 m=0 mp=0x99e0e0 [running]:", 1, "running", None),
            ("goroutine 5 [select (no cases)]:", 5, "select (no cases)", None),
            ("goroutine 9 [chan receive (durable), synctest bubble 1]:", 9, "chan receive", None),
            ("goroutine 9 [chan receive, synctest group 3]:", 9, "chan receive", None),
            ("goroutine 16 [sync.RWMutex.RLock (leaked), 2 minutes]:", 16, "sync.RWMutex.RLock", Some(2)),
            ("goroutine 3 [GC worker (idle)]:", 3, "GC worker (idle)", None),
            ("goroutine 4 [a state of tomorrow (new)]:  ", 4, "a state of tomorrow (new)", None),
        ] {
            assert_eq!(status(line), Some((id, want.to_owned(), minutes)), "{line}");
        }
    }

    #[test]
    fn labels_inside_and_behind_the_bracket() {
        for (line, labels) in [
            (r#"goroutine 36 [select labels:{"path": "/a]:b", "t": "x\"y"}]:"#, r#""path": "/a]:b", "t": "x\"y""#),
            (r#"goroutine 26 [select] {path: /v1/refund, tenant: "a}: b"}:"#, r#"path: /v1/refund, tenant: "a}: b""#),
        ] {
            let header = parse(line.as_bytes()).unwrap();
            assert_eq!(header.extra.labels, labels.as_bytes());
            assert_eq!(header.status, b"select");
        }
    }

    #[test]
    fn what_is_no_header() {
        for line in [
            "goroutine 7 [chan receive",
            "goroutine 7 [chan receive]",
            "goroutine profile: total 24",
            "goroutine x [running]:",
            "goroutine 99999999999999999999999 [running]:",
            "goroutine 7 [running]: and words",
            "goroutine 7 [select] {a: \"b:",
            "goroutine running on other thread; stack unavailable",
        ] {
            assert_eq!(parse(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn marks_are_kept() {
        let header = parse(b"goroutine 9 [chan receive (leaked) (durable), synctest bubble 12]:").unwrap();
        assert!(header.leaked && header.extra.durable && header.extra.bubble == b"12");
    }
}
