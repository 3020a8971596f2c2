//! Numbers, sizes and times as people say them.

/// A number with commas between thousands.
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number of things: `1 thread`, `2,000 threads`.
pub(super) fn count(of: usize, noun: &str) -> String {
    format!("{} {noun}{}", number(of as u64), if of == 1 { "" } else { "s" })
}

/// Bytes in the decimal units that file managers and cloud bills use.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 4] =
        [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match UNITS.iter().find(|&&(unit, _)| bytes >= unit) {
        Some(&(unit, name)) => format!("{:.1} {name}", bytes as f64 / unit as f64),
        None => format!("{bytes} B"),
    }
}

/// Seconds in at most two units.
pub(super) fn seconds(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        60 => "1 min".to_owned(),
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{minutes} min"),
        7200..172_800 if minutes.is_multiple_of(60) => format!("{hours} h"),
        7200..172_800 => format!("{hours} h {} min", minutes % 60),
        _ if hours.is_multiple_of(24) => format!("{} d", number(days)),
        _ => format!("{} d {} h", number(days), hours % 24),
    }
}

/// A CPU time.
pub(super) fn cpu(time: std::time::Duration) -> String {
    match time.as_secs() {
        0..10 => format!("{:.2} s", time.as_secs_f64()),
        10..120 => format!("{:.1} s", time.as_secs_f64()),
        whole => seconds(whole),
    }
}

/// A share in percent, never rounded to all or nothing.
pub(super) fn percent(part: usize, whole: usize) -> String {
    let share = part as f64 / whole.max(1) as f64 * 100.0;
    match share {
        _ if part == whole => "100 %".to_owned(),
        ..0.1 => "< 0.1 %".to_owned(),
        99.9.. => "> 99.9 %".to_owned(),
        10.0..99.0 => format!("{share:.0} %"),
        _ => format!("{share:.1} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn numbers_read_well() {
        assert_eq!([0, 999, 1000, 1_234_567].map(number), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([count(1, "thread"), count(2000, "thread")], ["1 thread", "2,000 threads"]);
        assert_eq!([0, 999, 700_000, 162_000_000].map(size), ["0 B", "999 B", "700.0 kB", "162.0 MB"]);
        assert_eq!(
            [0, 60, 90, 2820, 7200, 11_520, 172_800, 180_000].map(seconds),
            ["0 s", "1 min", "90 s", "47 min", "2 h", "3 h 12 min", "2 d", "2 d 2 h"]
        );
        assert_eq!([20, 12_340, 600_000].map(|ms| cpu(Duration::from_millis(ms))), ["0.02 s", "12.3 s", "10 min"]);
        assert_eq!(percent(9982, 10_113), "99 %");
        assert_eq!([percent(1, 1), percent(1, 10_000), percent(9_999, 10_000)], ["100 %", "< 0.1 %", "> 99.9 %"]);
    }
}
