//! UTF-16, with and without a byte order mark: what PowerShell writes when output is redirected.

/// Bytes looked at when there is no byte order mark.
const SAMPLE: usize = 512;

/// The text as UTF-8 when `data` is UTF-16; lone surrogates and a torn last unit become the replacement character.
pub(super) fn decode(data: &[u8]) -> Option<Vec<u8>> {
    let (body, big) = match data {
        [0xff, 0xfe, body @ ..] => (body, false),
        [0xfe, 0xff, body @ ..] => (body, true),
        _ => (data, guess(data)?),
    };
    let unit = |pair: &[u8]| match *pair {
        [a, b] if big => u16::from_be_bytes([a, b]),
        [a, b] => u16::from_le_bytes([a, b]),
        _ => 0xfffd,
    };
    let mut text = String::with_capacity(body.len() / 2);
    text.extend(char::decode_utf16(body.chunks(2).map(unit)).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)));
    Some(text.into_bytes())
}

/// Whether text without a mark is UTF-16 and big-endian: nearly every other byte of ASCII is zero.
fn guess(data: &[u8]) -> Option<bool> {
    let sample = data.get(..SAMPLE).unwrap_or(data);
    let pairs = sample.len() / 2;
    let zeros = |parity| sample.iter().skip(parity).step_by(2).filter(|&&byte| byte == 0).count();
    match (zeros(0), zeros(1)) {
        (even, odd) if pairs >= 8 && even * 10 >= pairs * 9 && odd == 0 => Some(true),
        (even, odd) if pairs >= 8 && odd * 10 >= pairs * 9 && even == 0 => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_byte_orders_with_and_without_mark() {
        let text = "goroutine 1 [running]:\n";
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let marked = [&[0xff, 0xfe], little.as_slice()].concat();
        for data in [&little, &big, &marked] {
            assert_eq!(decode(data).as_deref(), Some(text.as_bytes()));
        }
        assert_eq!(decode(text.as_bytes()), None);
        assert_eq!(decode(&[0; 64]), None);
    }

    #[test]
    fn a_torn_last_unit_is_replaced() {
        assert_eq!(decode(&[0xff, 0xfe, b'a', 0, b'b']).as_deref(), Some("a\u{fffd}".as_bytes()));
    }
}
