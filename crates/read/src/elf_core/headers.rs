//! ELF header and program headers of the core, and of the images in its memory: any class, any byte order.

use necropsy_model::{Arch, Endianness};
use object::elf;
use object::pod::slice_from_bytes;
use object::read::elf::{FileHeader, ProgramHeader};

use super::bytes::Layout;

/// What the headers of an ELF file say.
#[derive(Clone, Debug)]
pub(super) struct Headers {
    /// Byte order and word size.
    pub layout: Layout,
    /// Machine.
    pub arch: Arch,
    /// `e_type`.
    pub file_type: u16,
    /// `e_phnum`, or what stands for it.
    pub declared: u64,
    /// The program headers that are really there.
    pub segments: Vec<Segment>,
    /// First byte behind everything that the headers mention: the size the file was meant to have.
    pub end: u64,
}

/// One program header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Segment {
    /// `p_type`.
    pub kind: u32,
    /// `p_flags`.
    pub flags: u32,
    /// `p_offset`.
    pub offset: u64,
    /// `p_vaddr`.
    pub address: u64,
    /// `p_filesz`.
    pub file_size: u64,
    /// `p_memsz`.
    pub memory_size: u64,
}

/// `PT_LOAD`.
pub(super) const LOAD: u32 = 1;
/// `PT_DYNAMIC`.
pub(super) const DYNAMIC: u32 = 2;
/// `PT_INTERP`.
pub(super) const INTERP: u32 = 3;
/// `PT_NOTE`.
pub(super) const NOTE: u32 = 4;
/// `PT_PHDR`.
pub(super) const PHDR: u32 = 6;

/// `ET_EXEC` and `ET_DYN`.
pub(super) const EXECUTABLES: [u16; 2] = [2, 3];

/// More program headers than this, the kernel says how many in section 0 (`PN_XNUM`, `fs/binfmt_elf.c`).
const EXTENDED: u64 = 0xffff;

/// Reads the headers at the start of `data`, at most `limit` program headers; `None` when this is no ELF file.
pub(super) fn parse(data: &[u8], limit: usize) -> Option<Headers> {
    // EI_CLASS: 1 is 32 bit, 2 is 64 bit.
    match data.get(4)? {
        1 => read::<elf::FileHeader32<object::Endianness>>(data, limit),
        2 => read::<elf::FileHeader64<object::Endianness>>(data, limit),
        _ => None,
    }
}

fn read<H: FileHeader<Endian = object::Endianness>>(data: &[u8], limit: usize) -> Option<Headers> {
    let header = H::parse(data).ok()?;
    let endian = header.endian().ok()?;
    let layout = Layout {
        endian: match endian {
            object::Endianness::Little => Endianness::Little,
            object::Endianness::Big => Endianness::Big,
        },
        wide: header.is_class_64(),
    };
    let table_offset: u64 = header.e_phoff(endian).into();
    let table = usize::try_from(table_offset).ok().and_then(|offset| data.get(offset..)).unwrap_or_default();
    let entry_size = size_of::<H::ProgramHeader>();
    let room = if usize::from(header.e_phentsize(endian)) == entry_size { table.len() / entry_size } else { 0 };
    let count = header.phnum(endian, data).map(u64::from);
    // A cut core has lost section 0, which the kernel writes last. The table then ends where the first segment begins.
    let declared = count.ok().or_else(|| {
        let (first, _) = slice_from_bytes::<H::ProgramHeader>(table, usize::from(room > 0)).ok()?;
        let data_offset: u64 = first.first()?.p_offset(endian).into();
        Some(data_offset.checked_sub(table_offset)? / entry_size as u64)
    });
    let declared = declared.unwrap_or(EXTENDED);
    let present = usize::try_from(declared).unwrap_or(usize::MAX).min(room).min(limit);
    let (table, _) = slice_from_bytes::<H::ProgramHeader>(table, present).ok()?;
    let segments: Vec<Segment> = table.iter().map(|header| segment(header, endian)).collect();
    let ends = segments.iter().map(|segment| segment.offset.saturating_add(segment.file_size));
    let table_end = table_offset.saturating_add(declared.saturating_mul(entry_size as u64));
    Some(Headers {
        layout,
        arch: arch(header.e_machine(endian).0, layout),
        file_type: header.e_type(endian).0,
        declared,
        end: ends.fold(table_end, u64::max),
        segments,
    })
}

fn segment<P: ProgramHeader<Endian = object::Endianness>>(header: &P, endian: object::Endianness) -> Segment {
    Segment {
        kind: header.p_type(endian).0,
        flags: header.p_flags(endian).0,
        offset: header.p_offset(endian).into(),
        address: header.p_vaddr(endian).into(),
        file_size: header.p_filesz(endian).into(),
        memory_size: header.p_memsz(endian).into(),
    }
}

/// `e_machine` numbers: System V gABI, and `include/uapi/linux/elf-em.h`.
fn arch(machine: u16, layout: Layout) -> Arch {
    match (machine, layout.wide) {
        (62, true) => Arch::X86_64,
        (62, false) => Arch::X32,
        (3 | 6, _) => Arch::X86,
        (183, true) => Arch::Aarch64,
        (40, _) => Arch::Arm,
        (243, true) => Arch::Riscv64,
        (20, _) => Arch::Ppc,
        (21, _) => Arch::Ppc64,
        (22, true) => Arch::S390x,
        (22, false) => Arch::S390,
        (2 | 18 | 43, _) => Arch::Sparc,
        (8 | 10, _) => Arch::Mips,
        (4, _) => Arch::M68k,
        (other, _) => Arch::Other(other),
    }
}
