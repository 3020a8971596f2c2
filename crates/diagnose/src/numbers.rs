//! Numbers as people read them.

use std::time::Duration;

/// A sum of times, at most the longest: a dump may state any.
pub(crate) fn sum(times: impl Iterator<Item = Duration>) -> Duration {
    times.fold(Duration::ZERO, Duration::saturating_add)
}

/// A number with commas between thousands: `2,004`.
pub(crate) fn number(value: usize) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{number, sum};

    #[test]
    fn times_of_any_length_have_a_sum() {
        assert_eq!(sum([Duration::MAX, Duration::MAX].into_iter()), Duration::MAX);
    }

    #[test]
    fn commas_stand_between_thousands() {
        assert_eq!([0, 999, 1000, 1_234_567].map(number), ["0", "999", "1,000", "1,234,567"]);
    }
}
