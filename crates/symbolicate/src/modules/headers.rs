//! What an ELF file, or its image in the dump, says of its layout.

use gimli::{BaseAddresses, EhFrameHdr, LittleEndian, Pointer};
use necropsy_model::{Avma, Bias, BuildId, Memory, Svma};
use object::elf::{FileHeader64, PF_W, PF_X, PT_GNU_EH_FRAME, PT_LOAD, ProgramHeader64};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{Object, ObjectSection};

use super::sections::Sections;
use crate::image::{Elf, Segment, UnwindSections};

const LE: object::LittleEndian = object::LittleEndian;

/// Page size of the smallest kind; mappings begin at such a border at least.
pub(crate) const PAGE: u64 = 4096;

type Header = ProgramHeader64<object::LittleEndian>;

/// The loadable segments of a file, in order of address.
pub(super) fn segments<'data>(elf: &Elf<'data>) -> Vec<Segment<'data>> {
    let bytes_of = |header: &Header| header.data(LE, elf.data()).unwrap_or_default();
    gather(elf.elf_program_headers(), bytes_of)
}

fn gather<'data>(headers: &[Header], bytes_of: impl Fn(&Header) -> &'data [u8]) -> Vec<Segment<'data>> {
    let loads = headers.iter().filter(|header| header.p_type(LE) == PT_LOAD);
    let mut segments: Vec<_> = loads
        .map(|header| {
            let size = header.p_memsz(LE);
            let bytes = bytes_of(header);
            let most = usize::try_from(size).unwrap_or(usize::MAX).min(bytes.len());
            Segment {
                start: Svma(header.p_vaddr(LE)),
                size,
                bytes: bytes.get(..most).unwrap_or_default(),
                writable: header.p_flags(LE).contains(PF_W),
                executable: header.p_flags(LE).contains(PF_X),
            }
        })
        .collect();
    segments.sort_by_key(|segment| segment.start);
    segments
}

/// Where the kernel or the loader put a file whose lowest mapping begins at `base`.
pub(super) fn bias_of(segments: &[Segment<'_>], base: Avma) -> Option<Bias> {
    let first = segments.first()?.start.0;
    Some(Bias(base.0.wrapping_sub(first - first % PAGE)))
}

/// The build id of a file.
pub(super) fn build_id(elf: &Elf<'_>) -> Option<BuildId> {
    elf.build_id().ok().flatten().and_then(BuildId::new)
}

/// The unwind tables of a file: by its sections, or by its program headers where the sections were stripped away.
pub(super) fn unwind_sections<'data>(sections: &Sections<'data>, segments: &[Segment<'data>]) -> UnwindSections<'data> {
    let elf = &sections.elf;
    let address = |name| elf.section_by_name(name).map(|section| Svma(section.address()));
    let table = |name| {
        let at = address(name)?;
        Some((at, sections.get(name))).filter(|(_, bytes)| !bytes.is_empty())
    };
    let debug_frame = Some(sections.get(".debug_frame")).filter(|bytes| !bytes.is_empty());
    let (hdr, frames) = (table(".eh_frame_hdr"), table(".eh_frame"));
    let (eh_frame_hdr, eh_frame) = match frames {
        Some(_) => (hdr, frames),
        None => by_program_headers(elf.elf_program_headers(), segments),
    };
    UnwindSections { eh_frame_hdr, eh_frame, debug_frame, text: address(".text"), got: address(".got") }
}

type Table<'data> = Option<(Svma, &'data [u8])>;

fn by_program_headers<'data>(headers: &[Header], segments: &[Segment<'data>]) -> (Table<'data>, Table<'data>) {
    let tables = || {
        let header = headers.iter().find(|header| header.p_type(LE) == PT_GNU_EH_FRAME)?;
        let at = Svma(header.p_vaddr(LE));
        let size = usize::try_from(header.p_memsz(LE)).ok()?;
        let bytes = at_address(segments, at)?;
        let bytes = bytes.get(..size.min(bytes.len()))?;
        let bases = BaseAddresses::default().set_eh_frame_hdr(at.0);
        let parsed = EhFrameHdr::new(bytes, LittleEndian).parse(&bases, 8).ok()?;
        let Pointer::Direct(frames) = parsed.eh_frame_ptr() else { return None };
        // Its size is not stated: it ends with a zero entry, at the latest with its segment.
        Some(((at, bytes), (Svma(frames), at_address(segments, Svma(frames))?)))
    };
    tables().unzip()
}

fn at_address<'data>(segments: &[Segment<'data>], at: Svma) -> Option<&'data [u8]> {
    segments.iter().find_map(|segment| {
        let offset = at.0.checked_sub(segment.start.0).filter(|&offset| offset < segment.size)?;
        segment.bytes.get(usize::try_from(offset).ok()?..).filter(|bytes| !bytes.is_empty())
    })
}

/// An image as it lies in the dump: its headers, and as much of its segments as was dumped.
pub(super) struct InDump<'data> {
    pub bias: Bias,
    pub segments: Vec<Segment<'data>>,
    pub unwind: UnwindSections<'data>,
    /// The whole file, sections and all, when the dump holds it in one piece: the vDSO.
    pub elf: Option<Elf<'data>>,
}

/// Reads the image whose file begins at `base`.
pub(super) fn in_dump<'data>(memory: &Memory<'data>, base: Avma, bias: Option<Bias>) -> Option<InDump<'data>> {
    let bytes = memory.tail(base);
    let header = FileHeader64::<object::LittleEndian>::parse(bytes).ok()?;
    if !header.is_little_endian() {
        return None;
    }
    let headers = header.program_headers(LE, bytes).ok()?;
    let bias = bias.or_else(|| bias_of(&gather(headers, |_| &[]), base))?;
    let segments = gather(headers, |header| memory.tail(bias.to_avma(Svma(header.p_vaddr(LE)))));
    let (eh_frame_hdr, eh_frame) = by_program_headers(headers, &segments);
    let unwind = UnwindSections { eh_frame_hdr, eh_frame, ..UnwindSections::default() };
    let elf = Elf::parse(bytes).ok().filter(|elf| !elf.elf_section_table().is_empty());
    Some(InDump { bias, segments, unwind, elf })
}
