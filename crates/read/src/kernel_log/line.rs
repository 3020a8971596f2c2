//! A line of a kernel log: who wrote what in front of the kernel's own words.

/// What the kernel said, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line<'t> {
    /// The time as the line has it: seconds since boot, or a date.
    pub when: Option<&'t str>,
    /// The kernel's words.
    pub words: &'t str,
}

/// Longest name of a host and a time before `kernel: `.
const LONGEST_HEAD: usize = 160;

/// Takes away what `dmesg` (also with `-T`, `-x` and `-r`), journald and syslog write in front of the kernel's words.
pub(super) fn parse(line: &str) -> Line<'_> {
    let mut when = None;
    let mut rest = line.trim_end();
    let head = rest.char_indices().nth(LONGEST_HEAD).map_or(rest.len(), |(at, _)| at);
    if let Some(at) = rest.get(..head).and_then(|head| head.find(" kernel: ")) {
        // `Nov 21 10:00:00 web kernel: …`: the host stands last.
        let before = rest.get(..at).unwrap_or_default().trim();
        when = before.rsplit_once(' ').map(|(time, _)| time.trim()).or(Some(before));
        rest = rest.get(at + 9..).unwrap_or_default();
    }
    loop {
        rest = rest.trim_start();
        let behind = raw_level(rest).or_else(|| named_level(rest));
        if let Some(behind) = behind {
            rest = behind;
        } else if let Some((inner, behind)) = bracket(rest) {
            let is_time = inner.contains(['.', ':']);
            when = when.or(Some(inner).filter(|_| is_time));
            rest = behind;
        } else {
            return Line { when, words: rest };
        }
    }
}

/// `<6>` of `dmesg -r`.
fn raw_level(text: &str) -> Option<&str> {
    let (level, rest) = text.strip_prefix('<')?.split_once('>')?;
    (!level.is_empty() && level.len() <= 3 && level.bytes().all(|byte| byte.is_ascii_digit())).then_some(rest)
}

/// `kern  :info  : ` of `dmesg -x`.
fn named_level(text: &str) -> Option<&str> {
    let (facility, rest) = text.split_once(':')?;
    let (level, rest) = rest.split_once(':')?;
    let word = |text: &str| {
        let text = text.trim_end();
        !text.is_empty() && text.len() <= 8 && text.bytes().all(|byte| byte.is_ascii_lowercase())
    };
    (word(facility) && word(level) && facility.len() + level.len() >= 10).then_some(rest)
}

/// `[ 2062.627355] `, `[Sat Nov 21 10:00:00 2026] `, and `[ T1234] ` or `[ C0] ` of a kernel that says who printed.
fn bracket(text: &str) -> Option<(&str, &str)> {
    let (inner, rest) = text.strip_prefix('[')?.split_once(']')?;
    let trimmed = inner.trim();
    let number = trimmed.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') && trimmed.contains('.');
    let caller =
        trimmed.strip_prefix(['T', 'C']).is_some_and(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()));
    let date = trimmed.len() >= 16 && trimmed.contains(':') && trimmed.contains(' ');
    (number || caller || date).then_some((trimmed, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_before_the_words_of_the_kernel() {
        for (line, when, words) in [
            ("[ 2062.627355] traps: a[1] trap", Some("2062.627355"), "traps: a[1] trap"),
            ("[Sat Nov 21 10:00:00 2026] a[1]: x", Some("Sat Nov 21 10:00:00 2026"), "a[1]: x"),
            ("kern  :info  : [ 7.5] a[1]: x", Some("7.5"), "a[1]: x"),
            ("<6>[    7.500000][ T1234] a[1]: x", Some("7.500000"), "a[1]: x"),
            ("Nov 21 10:00:00 web kernel: [ 7.5] a[1]: x", Some("Nov 21 10:00:00"), "a[1]: x"),
            ("2026-11-21T10:00:00+0000 web kernel: a[1]: x", Some("2026-11-21T10:00:00+0000"), "a[1]: x"),
            ("a[1]: segfault at 8 ip 1", None, "a[1]: segfault at 8 ip 1"),
            ("[  21357]     0 21357    17762", None, "[  21357]     0 21357    17762"),
            ("", None, ""),
        ] {
            assert_eq!(parse(line), Line { when, words }, "{line}");
        }
    }
}
