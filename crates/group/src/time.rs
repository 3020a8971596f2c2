//! Times that dumps print, as milliseconds since 1970.

/// Milliseconds since 1970 of a time as a dump prints it: `2026-11-21 01:42:57` (jstack), `2026-11-21T01:47:37.136929500Z`
/// (`Thread.dump_to_file`, logs), `Fri Nov 20 18:20:51 2026 UTC elapsed time: …` (fatal error logs). A time without a zone, or with
/// a zone that has only a name, is taken as if it were UTC.
pub fn milliseconds(text: &str) -> Option<i64> {
    iso(text).or_else(|| c_library(text))
}

/// `YYYY-MM-DD`, a space or a T, `HH:MM:SS`, perhaps a fraction and a zone.
fn iso(text: &str) -> Option<i64> {
    let text = text.trim();
    let (date, rest) = (text.get(..10)?, text.get(11..)?);
    if !matches!(text.as_bytes().get(10), Some(b' ' | b'T')) {
        return None;
    }
    let mut parts = date.split('-').map(number);
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let whole = clock(rest.get(..8)?)?;
    let rest = rest.get(8..)?;
    let digits = rest.strip_prefix(['.', ',']).unwrap_or_default();
    let digits = digits.get(..digits.bytes().take_while(u8::is_ascii_digit).count()).unwrap_or_default();
    let zone = if digits.is_empty() { rest } else { rest.get(digits.len() + 1..)? };
    let thousandths = digits.bytes().chain(*b"000").take(3).fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    Some((days(year, month, day)? * 86_400 + whole - offset(zone)) * 1000 + thousandths)
}

/// `Fri Nov 20 18:20:51 2026`, as `ctime` of the C library writes it.
fn c_library(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = text.split_whitespace().skip(1);
    let (month, day, time, year) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let month = MONTHS.iter().position(|name| *name == month)? as i64 + 1;
    Some((days(number(year)?, month, number(day)?)? * 86_400 + clock(time)?) * 1000)
}

/// `HH:MM:SS` in seconds.
fn clock(text: &str) -> Option<i64> {
    let mut parts = text.split(':').map(number);
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    let fits = hours < 24 && minutes < 60 && seconds <= 60 && parts.next().is_none();
    fits.then_some(hours * 3600 + minutes * 60 + seconds)
}

/// `+01:00` or `+0100` in seconds; everything else counts as UTC.
fn offset(text: &str) -> i64 {
    let sign = match text.as_bytes().first() {
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => return 0,
    };
    let digits: String = text.get(1..).unwrap_or_default().chars().filter(|c| *c != ':').take(4).collect();
    let Some(value) = number(&digits) else { return 0 };
    sign * (value / 100 * 3600 + value % 100 * 60)
}

fn number(text: &str) -> Option<i64> {
    let plain = (1..=6).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}

/// Days from 1970-01-01 to a date of the Gregorian calendar: years are counted from March, so that the leap day comes last.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

#[cfg(test)]
mod tests {
    use necropsy_model::{Seen, SeenBasis};

    use super::*;

    #[test]
    fn times_of_all_writers_are_read() {
        for (text, want) in [
            ("1970-01-01 00:00:00", Some(0)),
            ("2026-11-21 01:42:57", Some(1_795_225_377_000)),
            ("2026-11-21T01:42:57.136929500Z", Some(1_795_225_377_136)),
            ("2026-11-21T02:42:57.5+01:00", Some(1_795_225_377_500)),
            ("Sat Nov 21 01:42:57 2026 UTC elapsed time: 0.5 seconds (0d 0h 0m 0s)", Some(1_795_225_377_000)),
            ("2024-02-29 12:00:00", Some(1_709_208_000_000)),
            ("yesterday", None),
            ("2026-11-21", None),
            ("2026-13-21 01:42:57", None),
            ("2026-11-21 99:42:57", None),
            ("Fri Nov", None),
            ("", None),
        ] {
            assert_eq!(milliseconds(text), want, "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let written = |seconds| Seen { seconds, basis: SeenBasis::Dump }.to_string();
        for seconds in [0, 951_782_400, 1_709_208_000, 1_795_225_377, 4_102_444_799] {
            assert_eq!(milliseconds(&written(seconds)), Some(seconds * 1000));
        }
        assert_eq!(written(1_709_208_000), "2024-02-29 12:00:00");
    }
}
