//! What a bad pointer's own value says: NULL, an error number, a poison pattern, text, a word of the allocator.

use necropsy_model::{Evidenced, Fault, Source};

use super::heap;
use crate::space::AddressSpace;

/// The first pages are never mapped (`vm.mmap_min_addr` is 64 KiB): an address there is NULL plus an offset.
const NULL_PAGES: u64 = 0x1_0000;
/// `MAX_ERRNO` of the kernel's `include/linux/err.h`: pointers from here up are error numbers.
const ERROR_POINTERS: u64 = 0u64.wrapping_sub(4095);

/// Facts about the value that decided the address of a fault.
pub(super) fn of(fault: &Fault<'_>, space: &AddressSpace<'_, '_>) -> Vec<Evidenced> {
    let operand = fault.operand.as_ref();
    let base = operand.and_then(|operand| operand.base);
    let loaded = fault.access == Some(necropsy_model::Access::Execute);
    let value = match (loaded, base) {
        (false, Some((_, value))) => value,
        _ => match fault.address {
            Some(address) => address.0,
            None => return Vec::new(),
        },
    };
    let mut facts: Vec<_> = pattern(value).into_iter().collect();
    facts.extend(heap::facts(value, fault.non_canonical, space));
    facts
}

fn fact(kind: &'static str, text: String) -> Evidenced {
    Evidenced { kind, text, source: Source::DUMP }
}

/// What a value is by its looks alone.
fn pattern(value: u64) -> Option<Evidenced> {
    if value < NULL_PAGES {
        return None;
    }
    if value >= ERROR_POINTERS {
        return Some(fact(
            "error-pointer",
            format!("{value:#x} is {} as a pointer: an error number", value.cast_signed()),
        ));
    }
    let bytes = value.to_le_bytes();
    let [first, ..] = bytes;
    if let Some(whose) = poison(first).filter(|_| bytes.iter().all(|&byte| byte == first)) {
        return Some(fact("poison", format!("{value:#x} repeats the byte {first:#04x}: {whose}")));
    }
    let words = [value as u32, (value >> 32) as u32];
    if let Some(word) = MAGIC_WORDS.iter().find(|word| words.contains(word)) {
        return Some(fact("poison", format!("{value:#x} holds the mark {word:#x}, which people use for dead memory")));
    }
    let text: String = bytes.iter().take_while(|&&byte| byte != 0).map(|&byte| char::from(byte)).collect();
    let printable = text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    let rest_is_zero = bytes.iter().skip(text.len()).all(|&byte| byte == 0);
    if printable && rest_is_zero && text.len() >= 7 {
        return Some(fact(
            "ascii",
            format!("{value:#x} is the text {text:?}: characters where a pointer was expected"),
        ));
    }
    None
}

/// Words that programs and runtimes write over memory that is not to be used.
const MAGIC_WORDS: [u32; 7] =
    [0xdead_beef, 0xdead_dead, 0xbaad_f00d, 0xfeed_face, 0xdead_c0de, 0xbadd_cafe, 0xfeee_feee];

/// Who writes this byte over memory that is not to be used. Bytes of text are not among them but for `k` and `Z`.
fn poison(byte: u8) -> Option<&'static str> {
    Some(match byte {
        0xa5 => "jemalloc's fill of fresh memory",
        0x5a => "jemalloc's fill of freed memory",
        0xe5 => "mozjemalloc's fill of freed memory",
        0xcd => "a debug allocator's fill of fresh memory",
        0xdd => "a debug allocator's fill of freed memory",
        0xfd => "a debug allocator's fence",
        0x6b => "the kernel's fill of freed memory, used by allocators too",
        0xab | 0xbb | 0xcc | 0xdb | 0xef => "a fill pattern",
        0xaa => "a fill pattern (0xaa: undefined memory in Zig, freed memory elsewhere)",
        0xbe => "a fill pattern (MSan, ASan: fresh heap memory)",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(value: u64) -> Option<&'static str> {
        pattern(value).map(|fact| fact.kind)
    }

    #[test]
    fn patterns_are_told_apart() {
        assert_eq!(kind(0), None);
        assert_eq!(kind(0xffff_ffff_ffff_fff4), Some("error-pointer"));
        assert_eq!(kind(0x5a5a_5a5a_5a5a_5a5a), Some("poison"));
        assert_eq!(kind(0xdead_beef_0000_0000), Some("poison"));
        assert_eq!(kind(u64::from_le_bytes(*b"AAAAAAAA")), Some("ascii"));
        assert_eq!(kind(0x0041_4141_4141_4141), Some("ascii"));
        assert_eq!(kind(0x7fff_1234_5678), None);
        assert_eq!(kind(0x1243_4ab5_6c3e_d342), None);
    }
}
