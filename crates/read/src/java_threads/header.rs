//! The first line of a thread, as `JavaThread::print_on` and `Thread::print_on` of HotSpot write it since JDK 1.4.
//!
//! ```text
//! "main" #3 [31778] prio=5 os_prio=0 cpu=55.80ms elapsed=2.90s tid=0x00.. nid=31778 waiting on condition  [0x00..]
//! "VM Thread" os_prio=0 cpu=1.00ms elapsed=2.90s tid=0x00.. nid=0x7f runnable
//! "Worker" daemon prio=10 tid=0x00.. nid=0x2f3b in Object.wait() [0x00..]
//! ```
//!
//! A name is printed raw and may hold quotes, `#12` and brackets, so that the name ends at the last quote that the rest of
//! the grammar follows.

use std::time::Duration;

/// A header, as far as it was printed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Header<'a> {
    pub name: &'a [u8],
    /// The number of `java.lang.Thread`, printed since JDK 8.
    pub number: Option<u64>,
    pub os_id: Option<u64>,
    pub daemon: bool,
    pub priority: Option<i32>,
    pub cpu: Option<Duration>,
    pub elapsed: Option<Duration>,
    /// What the machine thread did, in HotSpot's words: `runnable`, `in Object.wait()`.
    pub phase: &'a [u8],
}

/// Words that may follow the name.
const NEXT: [&[u8]; 9] =
    [b"prio=", b"os_prio=", b"cpu=", b"elapsed=", b"tid=", b"nid=", b"daemon ", b"id=", b"allocated="];

/// Whether the text behind a name goes on as a header does.
fn goes_on(rest: &[u8]) -> bool {
    let numbered =
        |mark: &[u8]| rest.strip_prefix(mark).is_some_and(|rest| rest.first().is_some_and(u8::is_ascii_digit));
    if numbered(b"#") || numbered(b"[") {
        return rest.windows(4).any(|word| word == b"tid=" || word == b"prio" || word == b"nid=");
    }
    NEXT.iter().any(|word| rest.starts_with(word))
}

/// Reads a header; `None` when the text is none.
pub(super) fn parse(line: &[u8]) -> Option<Header<'_>> {
    let body = line.strip_prefix(b"\"")?;
    let end = memchr::memmem::rfind_iter(body, b"\" ")
        .find(|&at| body.get(at + 2..).is_some_and(|rest| goes_on(rest.trim_ascii_start())))?;
    let mut header = Header { name: body.get(..end)?, ..Header::default() };
    let mut rest = body.get(end + 2..)?.trim_ascii();
    while !rest.is_empty() {
        let length = rest.iter().position(|&byte| byte == b' ').unwrap_or(rest.len());
        let word = rest.get(..length)?;
        if !header.word(word) {
            header.phase = phase(rest);
            break;
        }
        rest = rest.get(length..)?.trim_ascii_start();
    }
    Some(header)
}

impl Header<'_> {
    /// Takes a word of the header; `false` when the words of the phase begin.
    fn word(&mut self, word: &[u8]) -> bool {
        let Ok(word) = std::str::from_utf8(word) else { return false };
        if let Some(number) = word.strip_prefix('#').and_then(|digits| digits.parse().ok()) {
            self.number = Some(number);
            return true;
        }
        if let Some(digits) = word.strip_prefix('[').and_then(|word| word.strip_suffix(']')) {
            let Ok(number) = digits.parse() else { return false };
            self.os_id = Some(number);
            return true;
        }
        if word == "daemon" {
            self.daemon = true;
            return true;
        }
        let Some((key, value)) = word.split_once('=') else { return false };
        match key {
            "prio" => self.priority = value.parse().ok(),
            "cpu" => self.cpu = time(value),
            "elapsed" => self.elapsed = time(value),
            "nid" => self.os_id = id(value).or(self.os_id),
            "tid" | "id" | "os_prio" | "allocated" | "defined_classes" | "lwp_id" => {}
            _ => return false,
        }
        true
    }
}

/// The phase without the stack's address behind it.
fn phase(rest: &[u8]) -> &[u8] {
    let end = memchr::memmem::rfind(rest, b"[0x").unwrap_or(rest.len());
    rest.get(..end).unwrap_or(rest).trim_ascii_end()
}

/// Decimal since JDK 21, hexadecimal before.
fn id(value: &str) -> Option<u64> {
    match value.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => value.parse().ok(),
    }
}

/// `55.80ms`, `2.90s`; with a comma where the locale has one.
fn time(value: &str) -> Option<Duration> {
    let (digits, unit) = match value.strip_suffix("ms") {
        Some(digits) => (digits, 1000.0),
        None => (value.strip_suffix('s')?, 1.0),
    };
    let number: f64 = digits.replace(',', ".").parse().ok()?;
    Duration::try_from_secs_f64(number / unit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_every_age() {
        let line = br#""main" #3 [31778] daemon prio=5 os_prio=0 cpu=55.80ms elapsed=2.90s allocated=549K defined_classes=8 tid=0x00 nid=31779 waiting on condition  [0x00007f]"#;
        let header = parse(line).unwrap();
        assert_eq!((header.name, header.number, header.os_id), (&b"main"[..], Some(3), Some(31779)));
        assert_eq!((header.daemon, header.priority, header.phase), (true, Some(5), &b"waiting on condition"[..]));
        assert_eq!(header.cpu, Some(Duration::from_micros(55_800)));
        let header = parse(br#""x y" daemon prio=10 tid=0x00 nid=0x2f3b in Object.wait() [0xa9..0xb0]"#).unwrap();
        assert_eq!((header.os_id, header.number, header.phase), (Some(0x2f3b), None, &b"in Object.wait()"[..]));
        let header = parse(br#""VM Thread" os_prio=0 cpu=0,13ms elapsed=65,57s tid=0x00 nid=0x7 runnable"#).unwrap();
        assert_eq!((header.elapsed, header.phase), (Some(Duration::from_millis(65_570)), &b"runnable"[..]));
        let carrier = parse(br#""ForkJoinPool-1-worker-2" #54 [29937] daemon prio=5 tid=0x00  [0x00007f]"#).unwrap();
        assert_eq!((carrier.os_id, carrier.phase), (Some(29937), &b""[..]));
    }

    #[test]
    fn names_are_raw() {
        let header = parse(br#""name with "quotes" #12 prio=3 [state]" #34 prio=5 tid=0x00 nid=0x1 runnable"#).unwrap();
        assert_eq!((header.name, header.number), (&br#"name with "quotes" #12 prio=3 [state]"#[..], Some(34)));
        for other in [&br#""locker-1":"#[..], br#""a" b"#, b"x", b"\"", br#""a" #1 said"#] {
            assert_eq!(parse(other), None);
        }
    }

    #[test]
    fn a_torn_header_gives_what_is_there() {
        let line = br#""main" #3 prio=5 os_prio=0 cpu=55.80ms tid=0x00 nid=0x7 waiting for monitor entry  [0x00007"#;
        assert_eq!(parse(line).unwrap().phase, b"waiting for monitor entry");
        for end in 0..line.len() {
            parse(&line[..end]);
        }
    }
}
