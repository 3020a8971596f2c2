//! The last words of a Go program: the values it panicked with, or what its runtime gave up over. The runtime prints them to
//! standard error and keeps no copy; the panic itself stays with its goroutine.

use necropsy_model::{Avma, CodeAddress, Frame, Message, MessageKind, Value};

use super::Place;
use crate::goroutine::{self, Goroutine};
use crate::space::AddressSpace;

/// Panics on one goroutine: each is one raised while another ran its deferred calls.
const MAX_PANICS: usize = 16;
/// Longest text of a panic.
const LONGEST: u64 = 1024;
/// `internal/abi/type.go`: `Kind_` in a type's description, and the kinds that can hold a text.
const KIND: u64 = 23;
const KIND_MASK: u8 = 31;
const BOOL: u8 = 1;
const INT: u8 = 2;
const INT64: u8 = 6;
const STRING: u8 = 24;
const POINTER: u8 = 22;
const STRUCT: u8 = 25;

/// What `runtime.errorString` and its kin hold; the runtime puts "runtime error: " before them as it prints.
const RUNTIME_ERRORS: [&str; 10] = [
    "invalid memory address or nil pointer dereference",
    "integer divide by zero",
    "integer overflow",
    "floating point error",
    "memory allocation",
    "makeslice: len out of range",
    "makeslice: cap out of range",
    "index out of range",
    "slice bounds out of range",
    "hash of unhashable type",
];

/// Functions by which the runtime gives up, with the name of the argument that says why (`runtime/panic.go`).
const FATAL: [&str; 3] = ["runtime.throw", "runtime.fatal", "runtime.fatalthrow"];

/// What the stopped thread's goroutine panicked with, outermost panic first as the runtime prints them, and its fatal error.
pub(super) fn find<'f, 'data: 'f>(
    place: &Place<'_, '_, 'data>,
    frames: impl Iterator<Item = &'f Frame<'data>>,
) -> Vec<Message<'data>> {
    let mut found: Vec<_> = fatal(place, frames).into_iter().collect();
    let Some(frame) = place.walk.frames.first() else { return found };
    let goroutines = goroutine::of_thread(&frame.registers, place.thread_pointer, place.space);
    if let Some(panicking) = goroutines.iter().find(|one| one.panic != 0) {
        found.extend(panics(panicking, place.space));
    }
    found
}

/// The argument of `runtime.throw`: as debug information has it, else as the code before the call gives it.
fn fatal<'f, 'data: 'f>(
    place: &Place<'_, '_, 'data>,
    frames: impl Iterator<Item = &'f Frame<'data>>,
) -> Option<Message<'data>> {
    let mut gave_up = false;
    for frame in frames {
        let fatal = frame.function.as_deref().is_some_and(|name| FATAL.contains(&name));
        if !fatal {
            // The frame behind the last of them made the call.
            let caller = frame.address.filter(|_| gave_up && !frame.inlined);
            let Some(caller) = caller else { continue };
            let said = constant_argument(caller.address().0, place.space)?;
            return Some(gave_up_over(&said, caller, place.space));
        }
        let said = frame.variables.iter().find_map(|variable| match &variable.value {
            Value::Text { text, .. } if !text.is_empty() => Some(text),
            _ => None,
        });
        if let Some((said, pc)) = said.zip(frame.address) {
            return Some(gave_up_over(said, pc, place.space));
        }
        gave_up = true;
    }
    None
}

fn gave_up_over<'data>(said: &str, at: CodeAddress, space: &AddressSpace<'_, 'data>) -> Message<'data> {
    let source = space.memory.source(at.address());
    Message { text: format!("fatal error: {said}").into(), kind: MessageKind::GoFatal, source }
}

/// The constant string that x86-64 code passes in the call that ends at an address: `lea text(%rip),%rax`, `mov $length,%ebx`,
/// perhaps padding, `call` (Go's internal ABI: `cmd/compile/abi-internal.md`).
fn constant_argument(return_address: u64, space: &AddressSpace<'_, '_>) -> Option<String> {
    const CALL: u64 = 5;
    const LOADS: usize = 12;
    const MOST_PADDING: u64 = 8;
    (0..=MOST_PADDING).find_map(|padding| {
        let start = return_address.checked_sub(CALL + padding + LOADS as u64)?;
        let bytes = space.read(Avma(start), LOADS).ok()?;
        let word = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        if !bytes.starts_with(&[0x48, 0x8d, 0x05]) || bytes.get(7) != Some(&0xbb) {
            return None;
        }
        let text = start.checked_add(7)?.checked_add_signed(i64::from(word(3)?.cast_signed()))?;
        let length = usize::try_from(word(8)?).ok().filter(|length| (1..=LONGEST as usize).contains(length))?;
        std::str::from_utf8(space.read(Avma(text), length).ok()?).ok().map(str::to_owned)
    })
}

fn panics<'data>(goroutine: &Goroutine, space: &AddressSpace<'_, 'data>) -> Vec<Message<'data>> {
    let mut found = Vec::new();
    let mut next = goroutine.panic;
    for _ in 0..MAX_PANICS {
        let Some((argument, link)) = fields(next, space) else { break };
        let text = match value(argument, space) {
            Some(value) => format!("panic: {value}"),
            None => "panic: a value of a type that is not read".to_owned(),
        };
        found.push(Message { text: text.into(), kind: MessageKind::GoPanic, source: space.memory.source(Avma(next)) });
        if link == 0 || link == next {
            break;
        }
        next = link;
    }
    found.reverse();
    found
}

/// The address of a panic's argument, an `any`, and the earlier panic. Go 1.27 dropped the field before them, which pointed
/// into the stack; the first word of the argument points at a constant.
fn fields(panic: u64, space: &AddressSpace<'_, '_>) -> Option<(u64, u64)> {
    let word = |offset: u64| space.read_u64(Avma(panic.checked_add(offset)?)).ok();
    let at = if kind(word(0)?, space).is_some() { 0 } else { 8 };
    kind(word(at)?, space)?;
    Some((panic.checked_add(at)?, word(at + 16)?))
}

/// The kind of a type by the address of its description, which lies in the executable.
fn kind(description: u64, space: &AddressSpace<'_, '_>) -> Option<u8> {
    let (_, image) = space.images.at(Avma(description))?;
    image.constant_bytes(image.bias.to_svma(Avma(description)))?;
    let &[kind] = space.read(Avma(description.checked_add(KIND)?), 1).ok()? else { return None };
    let kind = kind & KIND_MASK;
    (1..=26).contains(&kind).then_some(kind)
}

/// An `any` as the runtime would print it, where its text can be had without running code: strings, errors that hold one,
/// numbers, and the runtime's own errors of bounds.
fn value(any: u64, space: &AddressSpace<'_, '_>) -> Option<String> {
    let word = |address: u64| space.read_u64(Avma(address)).ok();
    let (description, data) = (word(any)?, word(any.checked_add(8)?)?);
    match kind(description, space)? {
        BOOL => Some((space.read(Avma(data), 1).ok()? != [0]).to_string()),
        INT | INT64 => word(data).map(|number| number.cast_signed().to_string()),
        STRING | POINTER => text(data, space).map(named),
        STRUCT => text(data, space).map(named).or_else(|| bounds(data, space)),
        _ => None,
    }
}

/// A string header: address and length. Errors of `errors.New` and `fmt.Errorf` begin with one.
fn text(header: u64, space: &AddressSpace<'_, '_>) -> Option<String> {
    let word = |address: u64| space.read_u64(Avma(address)).ok();
    let (address, length) = (word(header)?, word(header.checked_add(8)?)?);
    let length = usize::try_from(length).ok().filter(|length| (1..=LONGEST as usize).contains(length))?;
    let bytes = space.read(Avma(address), length).ok()?;
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

fn named(text: String) -> String {
    let own = RUNTIME_ERRORS.iter().any(|known| text.starts_with(known));
    if own { format!("runtime error: {text}") } else { text }
}

/// `runtime.boundsError` (`runtime/error.go`): index, length, whether the index is signed, and which check failed.
fn bounds(data: u64, space: &AddressSpace<'_, '_>) -> Option<String> {
    let word = |offset: u64| space.read_u64(Avma(data.checked_add(offset)?)).ok();
    let (index, length) = (word(0)?, word(8)?);
    let &[signed, code] = space.read(Avma(data.checked_add(16)?), 2).ok()? else { return None };
    let index = if signed == 1 { index.cast_signed().to_string() } else { index.to_string() };
    let what = match code {
        _ if signed > 1 => return None,
        0 => format!("index out of range [{index}] with length {length}"),
        1 => format!("slice bounds out of range [:{index}] with length {length}"),
        2 => format!("slice bounds out of range [:{index}] with capacity {length}"),
        3 => format!("slice bounds out of range [{index}:{length}]"),
        _ => return None,
    };
    Some(format!("runtime error: {what}"))
}

#[cfg(test)]
mod tests {
    use necropsy_model::{Bias, Memory, ModuleId, Permissions, Region, Svma};

    use super::*;
    use crate::image::{Image, Images, Segment, UnwindSections};

    /// Descriptions of types lie in constants, values in memory.
    const CONSTANTS: u64 = 0x1000;
    const DATA: u64 = 0x8000;
    const TEXT: &str = "no money";

    fn images(kind: u8) -> Images<'static> {
        let mut bytes = vec![0_u8; 0x100];
        bytes[usize::try_from(KIND).unwrap()] = kind;
        let bytes: &'static [u8] = bytes.leak();
        let segment = Segment { start: Svma(CONSTANTS), size: 0x100, bytes, writable: false, executable: false };
        Images::new(vec![Image {
            module: ModuleId::new(0).unwrap(),
            bias: Bias(0),
            segments: vec![segment],
            unwind: UnwindSections::default(),
            elf: None,
            debug: std::sync::OnceLock::new(),
            go: std::sync::OnceLock::new(),
        }])
    }

    fn said(kind: u8, words: &[(u64, u64)]) -> Vec<String> {
        let mut bytes = vec![0_u8; 0x400];
        bytes[0x300..0x300 + TEXT.len()].copy_from_slice(TEXT.as_bytes());
        for (address, word) in words {
            let at = usize::try_from(address - DATA).unwrap();
            bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
        }
        let permissions = |write| Some(Permissions { read: true, write, execute: false });
        let bytes: &'static [u8] = bytes.leak();
        let data = Region {
            start: Avma(DATA),
            end: Avma(DATA + 0x400),
            permissions: permissions(true),
            bytes,
            dumped: 0x400,
            file: None,
        };
        let (start, end) = (Avma(CONSTANTS), Avma(CONSTANTS + 0x100));
        let constants = Region { start, end, permissions: permissions(false), bytes: &[], dumped: 0, file: None };
        let memory = Memory::new(vec![constants, data]);
        let images = images(kind);
        let space = AddressSpace::new(&memory, &images);
        let goroutine = Goroutine { address: 0, stack: (0, 1), panic: DATA, resumes_at: (0, 0) };
        panics(&goroutine, &space).into_iter().map(|message| message.text.into_owned()).collect()
    }

    #[test]
    fn a_panic_keeps_what_it_was_given() {
        let string = [(DATA + 0x100, DATA + 0x300), (DATA + 0x108, TEXT.len() as u64)];
        let older = [(DATA, 0x7fff_0000), (DATA + 8, CONSTANTS), (DATA + 16, DATA + 0x100)];
        assert_eq!(said(STRING, &[&older[..], &string].concat()), ["panic: no money"]);
        let newer = [(DATA, CONSTANTS), (DATA + 8, DATA + 0x100)];
        assert_eq!(said(POINTER, &[&newer[..], &string].concat()), ["panic: no money"]);
    }

    #[test]
    fn an_index_is_told_with_its_length() {
        let index =
            [(DATA, CONSTANTS), (DATA + 8, DATA + 0x100), (DATA + 0x100, 5), (DATA + 0x108, 3), (DATA + 0x110, 1)];
        assert_eq!(said(STRUCT, &index), ["panic: runtime error: index out of range [5] with length 3"]);
    }

    #[test]
    fn panics_that_lead_in_a_circle_end() {
        let words = [(DATA, CONSTANTS), (DATA + 16, DATA + 0x40), (DATA + 0x40, CONSTANTS), (DATA + 0x50, DATA)];
        assert_eq!(said(STRUCT, &words).len(), MAX_PANICS);
    }

    #[test]
    fn a_constant_is_read_from_the_code_that_passes_it() {
        // lea 0x11(%rip),%rax; mov $14,%ebx; nop; call; then the text.
        let mut code = vec![0x48, 0x8d, 0x05, 0x11, 0, 0, 0, 0xbb, 14, 0, 0, 0, 0x90, 0xe8, 1, 2, 3, 4];
        code.resize(0x18, 0x90);
        code.extend_from_slice(b"stack overflow");
        let bytes: &'static [u8] = code.leak();
        let permissions = Some(Permissions { read: true, write: false, execute: true });
        let (start, end, dumped) = (Avma(0x1000), Avma(0x2000), bytes.len() as u64);
        let memory = Memory::new(vec![Region { start, end, permissions, bytes, dumped, file: None }]);
        let images = Images::default();
        let space = AddressSpace::new(&memory, &images);
        assert_eq!(constant_argument(0x1012, &space).as_deref(), Some("stack overflow"));
        assert_eq!(constant_argument(0x101a, &space), None);
        assert_eq!(constant_argument(3, &space), None);
    }

    #[test]
    fn the_runtimes_own_errors_are_called_so() {
        assert_eq!(named("integer divide by zero".to_owned()), "runtime error: integer divide by zero");
        assert_eq!(named(TEXT.to_owned()), TEXT);
    }
}
