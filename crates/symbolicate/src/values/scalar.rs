//! Numbers, truth values and enumerators from their bits.

use gimli::AttributeValue;
use necropsy_model::{Absence, Arch, Value};

use super::entries::Entry;
use super::types::encoding;

/// Bytes of the x87 extended format; the ABI pads it to 16.
const X87_BYTES: usize = 10;

/// A number of a base type.
pub(super) fn number<'data>(entry: &Entry<'_, 'data>, bits: u128, width: usize, arch: Arch) -> Value<'data> {
    match encoding(entry) {
        Some(gimli::DW_ATE_boolean) if bits <= 1 => Value::Bool(bits == 1),
        Some(gimli::DW_ATE_float) => float(entry, bits, width / 8, arch),
        Some(gimli::DW_ATE_signed | gimli::DW_ATE_signed_char) => Value::Int(signed(bits, width)),
        Some(gimli::DW_ATE_unsigned | gimli::DW_ATE_unsigned_char | gimli::DW_ATE_boolean) => Value::Uint(bits),
        Some(gimli::DW_ATE_UTF) => Value::Char(bits as u32),
        Some(gimli::DW_ATE_address) => Value::Pointer { address: bits as u64, symbol: None, target: None },
        _ => Value::Absent(Absence::Unsupported("base type of an unknown encoding")),
    }
}

/// A two's complement number of so many bits.
pub(super) fn signed(bits: u128, width: usize) -> i128 {
    let unused = 128 - width.clamp(1, 128);
    (bits << unused) as i128 >> unused
}

/// A floating-point number of so many bytes; those wider than a double are rounded to one.
pub(super) fn float<'data>(entry: &Entry<'_, 'data>, bits: u128, bytes: usize, arch: Arch) -> Value<'data> {
    // `long double` of x86 has 10 bytes of x87 format in 16; `__float128` is an IEEE quad in as many bytes.
    let x87 = arch == Arch::X86_64 && entry.text(gimli::DW_AT_name).is_some_and(|name| name.contains("long double"));
    match bytes {
        4 => Value::Float(f64::from(f32::from_bits(bits as u32))),
        8 => Value::Float(f64::from_bits(bits as u64)),
        X87_BYTES => Value::Float(from_x87(bits)),
        16 if x87 => Value::Float(from_x87(bits)),
        16 => Value::Float(assemble(bits >> 127 == 1, (bits >> 112) as i32 & 0x7fff, 0x3fff, bits << 16)),
        2 if entry.text(gimli::DW_AT_name).is_some_and(|name| name.contains("16") && !name.contains("bf16")) => {
            Value::Float(assemble(bits >> 15 & 1 == 1, (bits >> 10) as i32 & 0x1f, 15, bits << 118))
        }
        _ => Value::Absent(Absence::Unsupported("floating-point format")),
    }
}

/// x87 extended precision: Intel SDM volume 1, section 4.2.2: an explicit integer bit, 63 of fraction.
fn from_x87(bits: u128) -> f64 {
    let (sign, exponent, mantissa) = (bits >> 79 & 1 == 1, (bits >> 64) as i32 & 0x7fff, bits as u64);
    assemble(sign, exponent, 0x3fff, u128::from(mantissa << 1) << 64)
}

/// A double from sign, biased exponent, bias, and the fraction in the high bits of 128.
fn assemble(sign: bool, exponent: i32, bias: i32, fraction: u128) -> f64 {
    let top = bias * 2 + 1;
    let fraction = fraction as f64 / 2_f64.powi(128);
    let magnitude = match exponent {
        0 => fraction * 2_f64.powi((1 - bias).max(-1074)),
        _ if exponent == top && fraction > 0.0 => f64::NAN,
        _ if exponent == top => f64::INFINITY,
        _ => (1.0 + fraction) * 2_f64.powi(exponent - bias),
    };
    if sign { -magnitude } else { magnitude }
}

/// An enumerator by its number, or the flags that make it up.
pub(super) fn enumerator<'data>(entry: &Entry<'_, 'data>, bits: u128, width: usize) -> Value<'data> {
    let children = entry.children();
    let all = children.iter().filter(|child| child.tag == gimli::DW_TAG_enumerator);
    let known: Vec<_> = all.filter_map(|child| Some((child, constant(child, width)?))).collect();
    let is_signed = known.iter().any(|&(_, number)| number < 0);
    let value = if is_signed { signed(bits, width) } else { bits as i128 };
    if let Some((child, _)) = known.iter().find(|&&(_, number)| number == value) {
        let name = child.text(gimli::DW_AT_name);
        let scoped = entry.flag(gimli::DW_AT_enum_class).then(|| entry.text(gimli::DW_AT_name)).flatten();
        // An enumerator of `enum class` is written with its type; Rust marks all of them so, and its readers do not.
        let rust = entry.die.language() == Some(gimli::DW_LANG_Rust);
        let name = match (name, scoped.filter(|_| !rust)) {
            (Some(name), Some(scope)) => Some(format!("{scope}::{name}").into()),
            (name, _) => name,
        };
        return Value::Enum { name, value };
    }
    let flags = known.iter().all(|&(_, number)| is_flag(number));
    let name = (flags && value > 0).then(|| combination(&known, value)).flatten();
    Value::Enum { name: name.map(Into::into), value }
}

/// Zero, one bit, or bits next to one another.
fn is_flag(number: i128) -> bool {
    let number = number as u128;
    let run = number >> number.trailing_zeros().min(127);
    number == 0 || (number >> 127 == 0 && run & (run + 1) == 0)
}

/// `READ | WRITE`; `None` when bits remain that have no name and none that has one was found.
fn combination(known: &[(&Entry<'_, '_>, i128)], value: i128) -> Option<String> {
    let mut left = value;
    let mut parts = Vec::new();
    for (child, number) in known {
        if *number != 0 && left & number == *number {
            left &= !number;
            parts.push(child.text(gimli::DW_AT_name)?.into_owned());
        }
    }
    if parts.is_empty() {
        return None;
    }
    if left != 0 {
        parts.push(format!("{left:#x}"));
    }
    Some(parts.join(" | "))
}

/// The number of an enumerator. Forms without a sign (`DW_FORM_data1` to `data8`) are read without one.
fn constant(child: &Entry<'_, '_>, width: usize) -> Option<i128> {
    match child.value(gimli::DW_AT_const_value)? {
        AttributeValue::Sdata(value) => Some(i128::from(value)),
        AttributeValue::Data16(value) => Some(signed(value, width.max(64))),
        value => value.udata_value().map(i128::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_formats_become_doubles() {
        let bits = |number: f64| number.to_bits();
        assert_eq!(bits(from_x87(0x4000_c000_0000_0000_0000)), bits(3.0));
        assert_eq!(bits(from_x87(0xbfff_8000_0000_0000_0000)), bits(-1.0));
        assert_eq!(bits(from_x87(0)), bits(0.0));
        assert!(from_x87(0x7fff_c000_0000_0000_0000).is_nan());
        assert_eq!(bits(from_x87(0x7fff_8000_0000_0000_0000)), bits(f64::INFINITY));
        // IEEE binary128: 1.5 is 0x3fff8000…, half precision: 1.5 is 0x3e00.
        assert_eq!(bits(assemble(false, 0x3fff, 0x3fff, 0x8000_u128 << 112)), bits(1.5));
        assert_eq!(bits(assemble(false, 15, 15, 0x3e00_u128 << 118)), bits(1.5));
    }

    #[test]
    fn narrow_numbers_keep_their_sign() {
        assert_eq!(signed(0b101, 3), -3);
        assert_eq!(signed(0xffff_ffff, 32), -1);
        assert_eq!(signed(u128::MAX, 128), -1);
        assert!(is_flag(6) && is_flag(8) && is_flag(0));
        assert!(!is_flag(5) && !is_flag(-1));
    }
}
