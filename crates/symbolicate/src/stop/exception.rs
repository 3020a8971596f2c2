//! The C++ exception that a thread was handling when it ended, read from its memory: type, `what()`, value.
//!
//! The header in front of a thrown object is that of the Itanium C++ ABI, section 2.2 (Exception Handling), which libstdc++
//! (`libsupc++/unwind-cxx.h`) and libc++abi (`cxa_exception.h`) share from `exceptionType` on. What `std::terminate` prints is
//! written at once and leaves no copy in memory; the exception itself stays.

use std::ops::RangeInclusive;

use necropsy_model::{Arch, Avma, Message, MessageKind};

use super::{Place, is_freed};
use crate::names;
use crate::space::AddressSpace;

/// `exceptionClass` without its last byte: vendor and language, and whether the header only refers to another one.
const CLASSES: [(&[u8; 7], Vendor); 2] = [(b"GNUCC++", Vendor::Gnu), (b"CLNGC++", Vendor::Llvm)];
/// From the unwinder's header, which holds the class, to the thrown object behind it: 32 bytes, aligned to 16.
const OBJECT: u64 = 32;
/// From `exceptionType` to the unwinder's header.
const TYPE: u64 = 80;
/// From `catchTemp`, the landing pad of the handler that was found, to the unwinder's header.
const LANDING_PAD: u64 = 16;
/// How libstdc++ encodes `std::string`.
const STRING: &str = "NSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE";
/// Times that one exception is held: more than threads can throw at once.
const MAX_HOLDERS: u64 = 1 << 16;
/// Bytes around the thread pointer that are searched for what the C++ runtime keeps of a thread: libraries linked at the
/// start of the program have their thread-local storage there.
const THREAD_STORAGE: u64 = 16 << 10;
/// Bytes of the stack that are searched: the frames from `abort` to the one that threw, with room for handlers between.
const STACK: u64 = 256 << 10;
/// Longest text that is shown of an exception.
const LONGEST_TEXT: usize = 1024;
/// Longest encoded name of a type.
const LONGEST_NAME: usize = 1024;
/// Classes that one inherits from, in depth and in breadth.
const MAX_BASES: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Vendor {
    Gnu,
    Llvm,
}

/// Functions between a throw that nobody catches and `abort`.
const TERMINATE: [&str; 4] =
    ["std::terminate", "__cxxabiv1::__terminate", "__cxa_throw", "__gnu_cxx::__verbose_terminate"];

/// The exception that the stopped thread was handling; `functions` are the names on its stack.
///
/// `std::terminate` is reached with the exception caught: the runtime's list of caught exceptions, thread-local, begins with
/// it. Where that list is not found, the innermost reference on the stack counts.
pub(super) fn find<'f, 'data>(
    place: &Place<'_, '_, 'data>,
    functions: impl Iterator<Item = Option<&'f str>>,
) -> Option<Message<'data>> {
    let reader = Reader { space: place.space };
    let thrown = by_runtime(place, &reader).or_else(|| by_stack(place, &reader))?;
    let told = reader.describe(thrown)?;
    let (kind, text) = if terminated(functions, thrown.handled) {
        (MessageKind::Terminate, told)
    } else {
        (MessageKind::Other, format!("a C++ exception was being handled: {told}"))
    };
    Some(Message { text: text.into(), kind, source: place.space.memory.source(Avma(thrown.object)) })
}

/// The stack leads through `std::terminate`; or nothing says who called `abort`, and no handler had been found for the exception.
/// A handler that calls `abort` ends the process with an exception in hand, too.
fn terminated<'f>(functions: impl Iterator<Item = Option<&'f str>>, handled: bool) -> bool {
    let mut below_abort = None;
    for function in functions {
        if function.is_some_and(|name| TERMINATE.iter().any(|known| name.starts_with(known))) {
            return true;
        }
        match below_abort {
            None if matches!(function, Some("abort" | "__GI_abort")) => below_abort = Some(None),
            Some(None) => below_abort = Some(Some(function.is_none())),
            _ => {}
        }
    }
    let nameless = below_abort.is_none_or(|below| below.unwrap_or(true));
    nameless && !handled
}

/// `caughtExceptions` of `struct __cxa_eh_globals`: a pointer to a header, then the count of uncaught exceptions.
fn by_runtime(place: &Place<'_, '_, '_>, reader: &Reader<'_, '_, '_>) -> Option<Thrown> {
    let base = place.thread_pointer?;
    let arch = place.walk.frames.first()?.registers.arch();
    // Variant II of "ELF Handling For Thread-Local Storage" puts it below the thread pointer, variant I above.
    let range = match arch {
        Arch::X86_64 => base.saturating_sub(THREAD_STORAGE)..=base,
        _ => base..=base.saturating_add(THREAD_STORAGE),
    };
    let caught = |word: u64| reader.thrown(word.checked_add(TYPE)?);
    reader.words(range).find_map(|(slot, word)| {
        let uncaught = reader.space.read_u32(Avma(slot.checked_add(8)?)).ok()?;
        caught(word).filter(|_| u64::from(uncaught) < MAX_HOLDERS)
    })
}

/// The first reference in registers of frames or on the stack.
fn by_stack(place: &Place<'_, '_, '_>, reader: &Reader<'_, '_, '_>) -> Option<Thrown> {
    let sp = place.walk.frames.first()?.registers.sp()?;
    let held = place.walk.frames.iter().take(32).flat_map(|frame| {
        let registers = 0..u16::try_from(frame.registers.arch().register_names().len()).unwrap_or(0);
        registers.filter_map(|register| frame.registers.get(register))
    });
    let stacked = reader.words(sp..=sp.saturating_add(STACK)).map(|(_, word)| word);
    held.chain(stacked).find_map(|word| {
        reader
            .thrown(word)
            .or_else(|| reader.thrown(word.checked_sub(OBJECT)?))
            .or_else(|| reader.thrown(word.checked_add(TYPE)?))
    })
}

/// A thrown object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Thrown {
    /// Its `std::type_info`.
    kind: u64,
    object: u64,
    /// A handler of the program was found for it.
    handled: bool,
}

struct Reader<'s, 'b, 'data> {
    space: &'s AddressSpace<'b, 'data>,
}

impl<'data> Reader<'_, '_, 'data> {
    fn word(&self, address: u64) -> Option<u64> {
        self.space.read_u64(Avma(address)).ok()
    }

    /// Aligned words of a range, with their addresses, as far as they are in the dump.
    fn words(&self, range: RangeInclusive<u64>) -> impl Iterator<Item = (u64, u64)> + '_ {
        let first = range.start().checked_next_multiple_of(8).unwrap_or(u64::MAX);
        let slots = (first..=*range.end()).step_by(8);
        slots.filter_map(|slot| Some((slot, self.word(slot)?)))
    }

    /// The object whose unwinder's header is at an address; `None` when that is no header, or one of freed memory.
    fn thrown(&self, header: u64) -> Option<Thrown> {
        self.own(header).or_else(|| {
            // `std::rethrow_exception` makes a header that refers to the object of the first throw.
            let (vendor, dependent) = self.class(header)?;
            let field = if vendor == Vendor::Llvm { TYPE + 8 } else { TYPE };
            let object = self.word(header.checked_sub(field)?).filter(|_| dependent)?;
            Some(Thrown { handled: self.handled(header), ..self.own(object.checked_sub(OBJECT)?)? })
        })
    }

    fn own(&self, header: u64) -> Option<Thrown> {
        let (vendor, dependent) = self.class(header)?;
        // The count of holders begins the allocation (of libc++abi its second word), where a freed chunk has the link of its
        // list: small too, in a program that is not moved around.
        let count = header.checked_sub(if vendor == Vendor::Llvm { TYPE + 8 } else { TYPE + 16 })?;
        let held = self.word(count).is_some_and(|count| (1..MAX_HOLDERS).contains(&count));
        let freed = is_freed(count, self.space) || is_freed(count.checked_sub(8)?, self.space);
        let kind = self.word(header.checked_sub(TYPE)?).filter(|_| held && !freed && !dependent)?;
        self.name(kind)?;
        Some(Thrown { kind, object: header.checked_add(OBJECT)?, handled: self.handled(header) })
    }

    /// The unwinder wrote down where a handler begins, and that is not libstdc++'s own: to print `what()`, its terminate
    /// handler throws the exception again and catches it. That one prints the result of `what()` first of all.
    fn handled(&self, header: u64) -> bool {
        const OWN: &[u8] = b"  what():  ";
        const SEARCHED: usize = 256;
        let pad = header.checked_sub(LANDING_PAD).and_then(|slot| self.word(slot)).filter(|&pad| pad != 0);
        let Some(pad) = pad else { return false };
        let Ok(code) = self.space.read(Avma(pad), SEARCHED) else { return false };
        let refers = code.windows(4).zip(pad..).any(|(operand, at)| {
            let operand = operand.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
            // Relative to the next instruction, or absolute in a program that is not moved around.
            let relative = at.wrapping_add(4).wrapping_add_signed(i64::from(operand.cast_signed()));
            [relative, u64::from(operand)].iter().any(|&text| self.space.read(Avma(text), OWN.len()) == Ok(OWN))
        });
        !refers
    }

    /// Vendor, and whether the header refers to another exception.
    fn class(&self, header: u64) -> Option<(Vendor, bool)> {
        let class = self.word(header).filter(|_| header.is_multiple_of(8))?.to_be_bytes();
        let (&last, name) = class.split_last()?;
        let &(_, vendor) = CLASSES.iter().find(|(known, _)| known.as_slice() == name)?;
        (last <= 1).then_some((vendor, last == 1))
    }

    /// The encoded name of a type, from its `std::type_info`: a table of virtual functions, then the name.
    fn name(&self, type_info: u64) -> Option<&'data str> {
        let name = self.c_string(self.word(type_info.checked_add(8)?)?, LONGEST_NAME)?;
        // A star marks names that are compared by address.
        let name = name.strip_prefix('*').unwrap_or(name);
        let plausible = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.');
        (!name.is_empty() && plausible).then_some(name)
    }

    fn c_string(&self, address: u64, longest: usize) -> Option<&'data str> {
        let bytes = self.bytes(address, longest)?;
        std::str::from_utf8(bytes.get(..memchr::memchr(0, bytes)?)?).ok()
    }

    /// A text of any length, cut where it is longer than what is shown.
    fn text(&self, address: u64) -> Option<String> {
        let bytes = self.bytes(address, LONGEST_TEXT)?;
        if let Some(end) = memchr::memchr(0, bytes) {
            return std::str::from_utf8(bytes.get(..end)?).ok().map(str::to_owned);
        }
        let whole = bytes.len() == LONGEST_TEXT;
        let cut = bytes.utf8_chunks().next().map(|chunk| chunk.valid()).filter(|valid| whole && !valid.is_empty())?;
        Some(format!("{cut}…"))
    }

    /// At most so many bytes from an address on.
    fn bytes(&self, address: u64, longest: usize) -> Option<&'data [u8]> {
        let mut bytes = self.space.memory.tail(Avma(address));
        if bytes.is_empty() {
            // Constants lie in the file: the dump leaves them out.
            let (_, image) = self.space.images.at(Avma(address))?;
            bytes = image.constant_bytes(image.bias.to_svma(Avma(address)))?;
        }
        bytes.get(..bytes.len().min(longest))
    }

    /// Type and message: `std::runtime_error: amount is not a number`.
    fn describe(&self, thrown: Thrown) -> Option<String> {
        let name = self.name(thrown.kind)?;
        let told = self.value(name, thrown.object).or_else(|| self.message(thrown.kind, thrown.object, MAX_BASES));
        // The namespace that tells the two kinds of libstdc++'s strings apart says nothing to a reader.
        let kind =
            if name == STRING { "std::string".to_owned() } else { names::type_name(name).replace("__cxx11::", "") };
        Some(match told {
            Some(told) if !told.is_empty() => format!("{kind}: {told}"),
            _ => kind,
        })
    }

    /// The value of a thrown object that is no class of exceptions. Encodings of the Itanium C++ ABI, section 5.1.5.2.
    fn value(&self, name: &str, object: u64) -> Option<String> {
        let word = || self.word(object);
        match name {
            "i" => self.space.read_u32(Avma(object)).ok().map(|value| value.cast_signed().to_string()),
            "j" => self.space.read_u32(Avma(object)).ok().map(|value| value.to_string()),
            "l" | "x" => word().map(|value| value.cast_signed().to_string()),
            "m" | "y" => word().map(|value| value.to_string()),
            "PKc" | "Pc" => self.text(word()?),
            STRING => {
                let length = usize::try_from(self.word(object.checked_add(8)?)?).ok()?;
                let bytes = self.space.read(Avma(word()?), length.min(LONGEST_TEXT)).ok()?;
                let end = if length > LONGEST_TEXT { "…" } else { "" };
                Some(format!("{}{end}", String::from_utf8_lossy(bytes)))
            }
            _ => None,
        }
    }

    /// What `what()` returns for the classes of the standard library that keep a text, and classes that inherit from them:
    /// `std::logic_error` and `std::runtime_error` hold a pointer to it behind the pointer to their virtual functions.
    fn message(&self, type_info: u64, object: u64, left: usize) -> Option<String> {
        let left = left.checked_sub(1)?;
        if matches!(self.name(type_info)?, "St13runtime_error" | "St11logic_error") {
            return self.text(self.word(object.checked_add(8)?)?);
        }
        self.bases(type_info)
            .into_iter()
            .find_map(|(base, offset)| self.message(base, object.checked_add(offset)?, left))
    }

    /// The classes a class inherits from, with their offsets. Section 2.9.5 of the ABI: `__si_class_type_info` has the base
    /// behind the name, `__vmi_class_type_info` flags, a count, and pairs of base and offset. Which one it is would be told by
    /// the table of virtual functions, of another library mostly; what makes sense decides instead.
    fn bases(&self, type_info: u64) -> Vec<(u64, u64)> {
        let Some(third) = type_info.checked_add(16).and_then(|slot| self.word(slot)) else { return Vec::new() };
        if self.is_type_info(third) {
            return vec![(third, 0)];
        }
        let (flags, count) = (third & 0xffff_ffff, third >> 32);
        if flags > 3 || count > MAX_BASES as u64 {
            return Vec::new();
        }
        let pair = |index: u64| {
            let at = type_info.checked_add(24)?.checked_add(index.checked_mul(16)?)?;
            let (base, offset) = (self.word(at)?, self.word(at.checked_add(8)?)?.cast_signed());
            // Bit 0 is "virtual": the offset is one into the table. The low byte is flags.
            let plain = offset & 1 == 0 && self.is_type_info(base);
            u64::try_from(offset >> 8).ok().filter(|_| plain).map(|offset| (base, offset))
        };
        (0..count).filter_map(pair).collect()
    }

    /// A word that points at a `std::type_info` of a class: the name begins with its length, `N` or `S`.
    fn is_type_info(&self, address: u64) -> bool {
        let named = self.name(address).is_some_and(|name| {
            name.len() > 2
                && name.bytes().next().is_some_and(|first| first.is_ascii_digit() || matches!(first, b'N' | b'S'))
        });
        named && address.is_multiple_of(8)
    }
}

#[cfg(test)]
#[path = "exception_tests.rs"]
mod tests;
