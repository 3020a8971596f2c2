//! Doors into single parsers, for the fuzz harness only: behind a whole core each of them would be reached a hundred times
//! less often. Nothing here is part of what this crate promises.

use std::sync::OnceLock;

use necropsy_model::{
    Arch, Arena, Avma, Bias, CodeAddress, FrameKind, Memory, ModuleId, Permissions, Region, Registers, Svma, Trust,
    Vectors,
};
use object::{Object, ObjectSymbol};

use crate::go_table::GoTable;
use crate::image::{Image, Images, Segment, UnwindSections};
use crate::modules;
use crate::names;
use crate::space::AddressSpace;
use crate::unwind::{self, Machine, RawFrame, Walk};
use crate::values::{Depth, Values};

/// Where the stack of these doors lies.
pub const STACK: u64 = 0x7fff_0000_0000;
/// Addresses of one file that are looked at.
const MOST_ADDRESSES: usize = 12;

/// Unwinding by one table of call frame information at these addresses, with `stack` as the only memory. Says at how many of
/// them there was a caller.
pub fn unwind(arch: Arch, table: &[u8], is_debug_frame: bool, stack: &[u8], addresses: &[u64]) -> usize {
    let Some((machine, module)) = Machine::of(arch).zip(ModuleId::new(0)) else { return 0 };
    let sections = if is_debug_frame {
        UnwindSections { debug_frame: Some(table), ..UnwindSections::default() }
    } else {
        UnwindSections { eh_frame: Some((Svma(0x9000), table)), ..UnwindSections::default() }
    };
    let segment = Segment { start: Svma(0), size: 1 << 20, bytes: &[], writable: false, executable: true };
    let image = Image {
        module,
        bias: Bias(0),
        segments: vec![segment],
        unwind: sections,
        elf: None,
        debug: OnceLock::new(),
        go: OnceLock::from(None),
    };
    let images = Images::new(vec![image]);
    let memory = stack_memory(stack);
    let space = AddressSpace::new(&memory, &images);
    let registers = registers(arch);
    addresses.iter().filter(|&&at| unwind::step(&space, 0, machine, Svma(at), &registers)).count()
}

/// Names of addresses of an ELF file: debug information, tables of symbols, Go's table. Says how many have one.
pub fn names(file: &[u8]) -> usize {
    let arena = Arena::new();
    let Some((images, addresses)) = images(file, &arena) else { return 0 };
    let addresses: Vec<_> = addresses.into_iter().map(|at| (Svma(at), false)).collect();
    let named = names::name_with(&images, 0, &addresses, names::Depth::Full).unwrap_or_default();
    named.iter().flatten().filter(|named| named.function.is_some()).count()
}

/// Unwinds from addresses of an ELF file over a stack, and reads the variables of the frames. Says how many there are.
pub fn values(file: &[u8], stack: &[u8]) -> usize {
    let arena = Arena::new();
    let Some((images, addresses)) = images(file, &arena) else { return 0 };
    let memory = stack_memory(stack);
    let space = AddressSpace::new(&memory, &images);
    let machine = images.all().first().and_then(|image| image.elf.as_ref()).map(Object::architecture);
    let arch = if machine == Some(object::Architecture::Aarch64) { Arch::Aarch64 } else { Arch::X86_64 };
    let values = Values::new(space);
    let frame = |at: u64, registers: Registers| RawFrame {
        address: CodeAddress::Instruction(Avma(at)),
        registers,
        cfa: Some(STACK + 0x80),
        trust: Trust::Context,
        kind: FrameKind::Normal,
        saved: Vec::new(),
        vectors: Vectors { low: vec![[0x41; 16]; 32], high: vec![[0x42; 16]; 16] },
    };
    let mut found = 0;
    for &address in &addresses {
        if let Some(machine) = Machine::of(arch) {
            unwind::step(&space, 0, machine, Svma(address), &registers(arch));
        }
        let frames: Vec<_> = std::iter::once(address).chain(addresses.iter().copied().take(2)).collect();
        let frames: Vec<_> = frames.into_iter().map(|at| frame(at, registers(arch))).collect();
        found += values.variables(&frames, 0, Depth::Locals).iter().map(Vec::len).sum::<usize>();
        let walk = Walk { frames, ..Walk::default() };
        values.local_at(&walk.frames, 0, STACK + 0x40);
        values.members_at(&walk.frames, 0, STACK + 0x40);
        values.guarded(&walk.frames, 0);
        values.declared(Avma(address), Avma(address.wrapping_add(0x1000)));
        values.function_ranges(Avma(address));
    }
    found
}

/// How many of the addresses, which are sorted, a Breakpad symbol file names.
pub fn breakpad(file: &[u8], addresses: &[u64]) -> usize {
    names::breakpad::count_named(file, addresses)
}

/// How many functions Go's table names at these addresses.
pub fn go_table(table: &[u8], addresses: &[u64]) -> usize {
    let Some(table) = GoTable::alone(table) else { return 0 };
    let named: usize = addresses.iter().map(|&at| table.look_up(Svma(at)).len()).sum();
    let moved = addresses.iter().filter(|&&at| table.stack_delta(Svma(at)).is_some()).count();
    named + moved + table.named(&["runtime.sigpanic", "main.main"]).len()
}

/// How many symbols a packed `.gnu_debugdata` holds.
pub fn mini(section: &[u8]) -> Option<usize> {
    let file = modules::debug::unpack_xz(section)?;
    Some(names(&file))
}

fn images<'data>(file: &[u8], arena: &'data Arena) -> Option<(Images<'data>, Vec<u64>)> {
    let image = modules::image_in_memory(file, arena)?;
    let elf = image.elf.as_ref()?;
    let mut addresses: Vec<u64> = elf.symbols().map(|symbol| symbol.address()).filter(|&at| at != 0).collect();
    addresses.extend(image.segments.iter().filter(|one| one.executable).map(|one| one.start.0));
    addresses.push(elf.entry());
    addresses.sort_unstable();
    addresses.dedup();
    let step = addresses.len() / MOST_ADDRESSES + 1;
    // The first byte of a function, and one inside it.
    let inside = addresses.iter().step_by(step).flat_map(|&at| [at, at.wrapping_add(9)]);
    let mut inside: Vec<u64> = inside.collect();
    inside.sort_unstable();
    inside.dedup();
    Some((Images::new(vec![image]), inside))
}

fn stack_memory(bytes: &[u8]) -> Memory<'_> {
    Memory::new(vec![Region {
        start: Avma(STACK),
        end: Avma(STACK + bytes.len() as u64),
        permissions: Some(Permissions { read: true, write: true, execute: false }),
        bytes,
        dumped: bytes.len() as u64,
        file: None,
    }])
}

/// Every register points into the stack, each to another place.
fn registers(arch: Arch) -> Registers {
    let mut registers = Registers::new(arch);
    for number in 0..33 {
        registers.set(number, STACK + 0x40 + u64::from(number % 16) * 8);
    }
    registers
}
