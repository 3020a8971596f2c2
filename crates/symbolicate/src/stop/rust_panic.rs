//! Where a Rust program panicked, when what it printed is not in memory: `core::panic::Location`, the constant that every
//! call that can panic hands on.

use necropsy_model::{Avma, Message, MessageKind};

use super::Place;
use crate::space::AddressSpace;

/// Bytes of the stack that are searched: the panic machinery takes a dozen frames.
const STACK: u64 = 64 << 10;
/// Longest path of a source file.
const LONGEST_PATH: u64 = 4096;
/// Lines and columns are smaller than this in any file that compiles.
const MAX_POSITION: u32 = 10_000_000;

/// The panic of the stopped thread.
///
/// `std::panicking::panic_with_hook` keeps a `PanicHookInfo` on its stack while the hook runs: payload (address, table of
/// functions), location, and two flags. Its order is the compiler's; the location next to the payload has been seen in every
/// version from 1.81 to 1.94. Where names prove a panic, any location on the stack that is not the library's own will do.
pub(super) fn find<'f, 'data>(
    place: &Place<'_, '_, 'data>,
    mut functions: impl Iterator<Item = Option<&'f str>>,
) -> Option<Message<'data>> {
    const PANICKING: [&str; 3] = ["core::panicking", "std::panicking", "rust_panic"];
    let panicked = functions.any(|name| {
        name.is_some_and(|name| PANICKING.iter().any(|known| name.trim_start_matches("__rustc::").starts_with(known)))
    });
    let sp = place.walk.frames.first()?.registers.sp()?.checked_next_multiple_of(8)?;
    let space = place.space;
    let mut before = [0; 2];
    for slot in (sp..sp.saturating_add(STACK)).step_by(8) {
        let Ok(word) = space.read_u64(Avma(slot)) else { break };
        let is_hook = || is_vtable(before[1], space) || is_vtable(before[0], space);
        if let Some(location) = location(word, space).filter(|found| !found.in_library && (panicked || is_hook())) {
            let text = format!("panicked at {}", location.text);
            let source = space.memory.source(Avma(slot));
            return Some(Message { text: text.into(), kind: MessageKind::RustPanic, source });
        }
        before = [before[1], word];
    }
    None
}

/// A place in the source.
struct Location {
    /// `src/main.rs:12:33`.
    text: String,
    /// It lies in the standard library, which panics on behalf of its callers.
    in_library: bool,
}

/// `core::panic::Location`: file as address and length, line, column. A constant.
fn location(at: u64, space: &AddressSpace<'_, '_>) -> Option<Location> {
    if !at.is_multiple_of(8) || !is_constant(at, space) {
        return None;
    }
    let (path, length) = (space.read_u64(Avma(at)).ok()?, space.read_u64(Avma(at.checked_add(8)?)).ok()?);
    // Rust 1.89 counts a zero behind the path as its last byte.
    let length = usize::try_from(length).ok().filter(|length| (4..=LONGEST_PATH as usize).contains(length))?;
    let bytes = space.read(Avma(path), length).ok()?;
    let path = std::str::from_utf8(bytes.strip_suffix(&[0]).unwrap_or(bytes)).ok()?;
    let position = |offset: u64| space.read_u32(Avma(at.checked_add(offset)?)).ok().filter(|&one| one < MAX_POSITION);
    let (line, column) = (position(16)?, position(20)?);
    let plausible = path.strip_suffix(".rs").is_some() && !path.contains(char::is_control) && line > 0 && column > 0;
    plausible.then(|| Location { text: format!("{path}:{line}:{column}"), in_library: path.starts_with("/rustc/") })
}

/// A table of virtual functions: where to drop the value, its size, its alignment.
fn is_vtable(at: u64, space: &AddressSpace<'_, '_>) -> bool {
    let word = |offset: u64| space.read_u64(Avma(at.checked_add(offset)?)).ok();
    let drop = word(0).is_some_and(|drop| drop == 0 || space.is_code(Avma(drop)));
    let sized = word(8).is_some_and(|size| size < 1 << 20) && word(16).is_some_and(u64::is_power_of_two);
    drop && sized && is_constant(at, space)
}

/// The address lies in an image, and not in what the program may have written since: `.data.rel.ro` is sealed after relocation.
fn is_constant(at: u64, space: &AddressSpace<'_, '_>) -> bool {
    let sealed = space.memory.region(Avma(at)).and_then(|region| region.permissions).is_none_or(|rights| !rights.write);
    sealed && space.images.at(Avma(at)).is_some()
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use necropsy_model::{
        Arch, Bias, CodeAddress, FrameKind, Memory, ModuleId, Permissions, Region, Registers, Svma, Trust,
    };

    use super::*;
    use crate::image::{Image, Images, Segment, UnwindSections};
    use crate::unwind::{RawFrame, Walk};

    const CONSTANTS: u64 = 0x1000;
    const LOCATION: u64 = CONSTANTS + 0x40;
    const VTABLE: u64 = CONSTANTS + 0x80;
    const STACK_POINTER: u64 = 0x7000;

    /// What is found on a stack of these words, with a location of this path.
    fn said(path: &str, stack: &[u64], functions: &[&str]) -> Option<String> {
        let mut constants = vec![0_u8; 0x200];
        let mut put = |address: u64, bytes: &[u8]| {
            let at = usize::try_from(address - CONSTANTS).unwrap();
            constants[at..at + bytes.len()].copy_from_slice(bytes);
        };
        put(CONSTANTS + 0x100, path.as_bytes());
        put(LOCATION, &(CONSTANTS + 0x100).to_le_bytes());
        put(LOCATION + 8, &(path.len() as u64).to_le_bytes());
        put(LOCATION + 16, &[12, 0, 0, 0, 33, 0, 0, 0]);
        put(VTABLE + 8, &24_u64.to_le_bytes());
        put(VTABLE + 16, &8_u64.to_le_bytes());
        let constants: &'static [u8] = constants.leak();
        let segment =
            Segment { start: Svma(CONSTANTS), size: 0x200, bytes: constants, writable: false, executable: false };
        let images = Images::new(vec![Image {
            module: ModuleId::new(0).unwrap(),
            bias: Bias(0),
            segments: vec![segment],
            unwind: UnwindSections::default(),
            elf: None,
            debug: OnceLock::new(),
            go: OnceLock::new(),
        }]);
        let bytes: &'static [u8] = stack.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>().leak();
        let region = |start: u64, bytes: &'static [u8], write| Region {
            start: Avma(start),
            end: Avma(start + bytes.len() as u64),
            permissions: Some(Permissions { read: true, write, execute: false }),
            bytes,
            dumped: bytes.len() as u64,
            file: None,
        };
        let memory = Memory::new(vec![region(CONSTANTS, constants, false), region(STACK_POINTER, bytes, true)]);
        let space = AddressSpace::new(&memory, &images);
        let mut registers = Registers::new(Arch::X86_64);
        registers.set(7, STACK_POINTER);
        let (address, kind) = (CodeAddress::Instruction(Avma(0x1000)), FrameKind::Normal);
        let frame = RawFrame {
            address,
            registers,
            cfa: None,
            trust: Trust::Context,
            kind,
            saved: Vec::new(),
            vectors: necropsy_model::Vectors::default(),
        };
        let walk = Walk { frames: vec![frame], ..Walk::default() };
        let place = Place { walk: &walk, thread_pointer: None, space: &space };
        let found = find(&place, functions.iter().map(|name| Some(*name)))?;
        Some(found.text.into_owned())
    }

    #[test]
    fn the_location_of_a_panic_is_on_the_stack() {
        let hook = [0, 0x7010, VTABLE, LOCATION, 1];
        assert_eq!(said("src/main.rs", &hook, &[]).as_deref(), Some("panicked at src/main.rs:12:33"));
        assert_eq!(said("src/main.rs\0", &hook, &[]).as_deref(), Some("panicked at src/main.rs:12:33"));
        let passed = [0, LOCATION];
        assert_eq!(
            said("src/main.rs", &passed, &["core::panicking::panic_fmt"]).as_deref(),
            Some("panicked at src/main.rs:12:33")
        );
    }

    #[test]
    fn a_location_alone_is_no_panic() {
        assert_eq!(said("src/main.rs", &[0, LOCATION], &["std::process::abort"]), None);
        assert_eq!(said("/rustc/abc/library/core/src/option.rs", &[0, 0x7010, VTABLE, LOCATION], &[]), None);
        assert_eq!(said("src/main.c", &[0, 0x7010, VTABLE, LOCATION], &[]), None);
    }
}
