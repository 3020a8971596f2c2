//! Numbers and pieces of lines.

use necropsy_model::Source;
use necropsy_model::hs_err::AddressRange;

/// A line of a log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'d> {
    /// Its text, without its end.
    pub text: &'d str,
    /// Where it stands in the file.
    pub source: Source,
}

/// The hexadecimal number that begins here, with or without `0x`.
pub(super) fn leading_hex(text: &str) -> Option<u64> {
    let text = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    let end = text.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(text.len());
    u64::from_str_radix(text.get(..end)?, 16).ok()
}

/// The decimal number that begins here.
pub(super) fn leading_decimal(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

/// What stands behind the first `key`.
pub(super) fn after<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    text.find(key).and_then(|at| text.get(at + key.len()..))
}

/// The decimal number behind `key`.
pub(super) fn decimal_after(text: &str, key: &str) -> Option<u64> {
    leading_decimal(after(text, key)?.trim_start())
}

/// The hexadecimal number behind `key`; it needs its `0x`.
pub(super) fn hex_after(text: &str, key: &str) -> Option<u64> {
    let rest = after(text, key)?.trim_start();
    rest.starts_with("0x").then(|| leading_hex(rest)).flatten()
}

/// A number as printed: hexadecimal with `0x`, else decimal.
pub(super) fn number(text: &str) -> Option<u64> {
    if text.starts_with("0x") { leading_hex(text) } else { leading_decimal(text) }
}

/// A size with its unit in bytes: `262144K`, `5692Kb`, `4k`, `23G`, `12 kB`, `7`.
pub(super) fn size(text: &str) -> Option<u64> {
    let text = text.trim_start();
    let value = leading_decimal(text)?;
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit = text.get(digits..)?.trim_start().chars().next();
    let shift = match unit {
        Some('k' | 'K') => 10,
        Some('m' | 'M') => 20,
        Some('g' | 'G') => 30,
        _ => 0,
    };
    value.checked_mul(1 << shift)
}

/// The size behind `key`.
pub(super) fn size_after(text: &str, key: &str) -> Option<u64> {
    size(after(text, key)?)
}

/// First and last address between brackets: `[0x1, 0x2, 0x3)` and `stack(0x1,0x3)`, `[0x1-0x2-0x3)`.
pub(super) fn range(text: &str) -> Option<AddressRange> {
    let inside = text.find(['[', '(']).and_then(|at| text.get(at + 1..))?;
    let inside = inside.find([')', ']']).and_then(|end| inside.get(..end)).unwrap_or(inside);
    let mut all = inside.split([',', '-']).filter_map(|part| leading_hex(part.trim()));
    let low = all.next()?;
    let high = all.next_back()?;
    (low <= high).then_some(AddressRange { low, high })
}

/// Seconds as printed, in milliseconds: `12`, `0.259027`, `0,259`.
pub(super) fn milliseconds(text: &str) -> Option<u64> {
    let text = text.trim_start();
    let whole = leading_decimal(text)?;
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let rest = text.get(digits..)?;
    let fraction = rest.strip_prefix('.').or_else(|| rest.strip_prefix(','));
    let thousandths = fraction.map_or(0, |fraction| {
        let digits = fraction.bytes().take_while(u8::is_ascii_digit).chain(std::iter::repeat(b'0')).take(3);
        digits.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'))
    });
    whole.checked_mul(1000)?.checked_add(thousandths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_form() {
        assert_eq!(leading_hex("0x00ff,"), Some(0xff));
        assert_eq!(leading_hex("0x"), None);
        assert_eq!(leading_hex("fffffffffffffffff"), None);
        assert_eq!(decimal_after("at pc=0x1, pid=12, tid=0x9", "pid="), Some(12));
        assert_eq!(hex_after("at pc=0x1, pid=12", "pc="), Some(1));
        assert_eq!(hex_after("pc=12", "pc="), None);
        assert_eq!(size("262144K, committed"), Some(262_144 << 10));
        assert_eq!(size("24684084 kB"), Some(24_684_084 << 10));
        assert_eq!(size("99999999999999999999K"), None);
        assert_eq!(milliseconds("0.259027 seconds"), Some(259));
        assert_eq!(milliseconds("12,5 s"), Some(12_500));
        assert_eq!(milliseconds("1079264 seconds"), Some(1_079_264_000));
    }

    #[test]
    fn ranges_of_every_form() {
        let range = |text| super::range(text).map(|range| (range.low, range.high));
        assert_eq!(range("used 1K [0x10, 0x20, 0x30)"), Some((0x10, 0x30)));
        assert_eq!(range("stack(0x10,0x20) (1024K)"), Some((0x10, 0x20)));
        assert_eq!(range("[0x10-0x20-0x30), size"), Some((0x10, 0x30)));
        assert_eq!(range("[0x30,0x10]"), None);
        assert_eq!(range("none"), None);
    }
}
