//! Call frame information of one image: from an address to the row of rules that hold there.
//!
//! Sources: DWARF 5 section 6.4, Linux Standard Base Core "Exception Frames" (`.eh_frame`, `.eh_frame_hdr`).

use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use gimli::{BaseAddresses, CieOrFde, DebugFrame, EhFrame, LittleEndian, UnwindSection};
use necropsy_model::Svma;
use object::{Object, ObjectSymbol};
use rustc_hash::FxHashMap;

use super::machine::Machine;
use crate::image::{Image, Slice};

/// Rows kept per image. More distinct return addresses than this in one module is not a program but an attack.
const MAX_ROWS: usize = 1 << 16;

/// Largest frame of a Go function that is believed: a goroutine's stack has a gigabyte at most.
const LARGEST_GO_FRAME: i64 = 1 << 30;

/// Rules of a caller's registers at one address.
#[derive(Clone, Debug)]
pub(super) struct Row<'data> {
    /// How to compute the canonical frame address.
    pub cfa: Cfa<'data>,
    /// Rules by DWARF register number; a register without one follows the convention.
    pub rules: Vec<(u16, Rule<'data>)>,
    /// The convention is the machine's. A goroutine's functions hand back no register as they got it (`cmd/compile/abi-internal.md`),
    /// and their tables do not say so: gdb shows what a callee left there as arguments of the caller.
    pub preserves: bool,
    /// The column that holds the return address.
    pub return_register: u16,
    /// The FDE is marked as a signal trampoline (`S` in the augmentation).
    pub signal: bool,
    /// First address, and first address behind, of the function or part of a function that the FDE describes.
    pub range: (Svma, Svma),
    /// How expressions of this row are encoded.
    pub encoding: gimli::Encoding,
}

/// How to compute the canonical frame address.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cfa<'data> {
    /// A register plus an offset.
    Register(u16, i64),
    /// The value of an expression.
    Expression(Slice<'data>),
}

/// How to recover a register of the caller.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rule<'data> {
    /// Not recoverable.
    Undefined,
    /// Unchanged.
    Same,
    /// Saved at CFA plus this.
    Offset(i64),
    /// It is CFA plus this.
    ValOffset(i64),
    /// It is in another register.
    Register(u16),
    /// Saved at the address that an expression gives.
    Expression(Slice<'data>),
    /// The value of an expression.
    ValExpression(Slice<'data>),
}

impl<'data> Row<'data> {
    /// The rule of a register.
    pub fn rule(&self, register: u16) -> Option<Rule<'data>> {
        self.rules.iter().find(|&&(number, _)| number == register).map(|&(_, rule)| rule)
    }
}

/// Why there is no row at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoRow {
    /// No table covers the address.
    NotCovered,
    /// The table is damaged or uses something unknown.
    Damaged(gimli::Error),
}

/// Space for gimli to run call frame instructions in; one per walk.
pub(super) type Context = gimli::UnwindContext<usize>;

type Found<'data> = Result<Arc<Row<'data>>, NoRow>;

/// Where the FDE of an address range starts: first address, first address behind, offset in the section.
type Index = Vec<(u64, u64, usize)>;

/// The unwind tables of an image with their indices and the rows found so far. Shared by all threads.
pub(crate) struct Tables<'data> {
    bases: BaseAddresses,
    header: Option<Header<'data>>,
    eh_frame: Option<EhFrame<Slice<'data>>>,
    eh_index: OnceLock<Index>,
    debug_frame: OnceLock<Option<DebugFrame<Slice<'data>>>>,
    machine: &'static Machine,
    debug_index: OnceLock<Index>,
    rows: RwLock<FxHashMap<u64, Found<'data>>>,
    go: OnceLock<Vec<(u64, u64, GoFunction)>>,
}

/// Functions of Go's runtime whose frames are not what they seem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GoFunction {
    /// `runtime.sigpanic`: the signal handler makes it look called by the faulting instruction itself, so that its return
    /// address is not behind a call (`preparePanic` in `signal_amd64.go`).
    Sigpanic,
    /// Functions that change from a goroutine's stack to the thread's own (`asm_amd64.s`): what lies above them there is the
    /// beginning of that stack, not who called them.
    LeavesStack,
}

const GO_FUNCTIONS: [(&str, GoFunction); 3] = [
    ("runtime.sigpanic", GoFunction::Sigpanic),
    ("runtime.systemstack", GoFunction::LeavesStack),
    ("runtime.morestack", GoFunction::LeavesStack),
];

impl<'data> Tables<'data> {
    /// The tables of an image. Indices are built at the first look-up that needs them.
    pub fn new(image: &Image<'data>, machine: &'static Machine) -> Self {
        let sections = &image.unwind;
        let mut bases = BaseAddresses::default();
        if let Some((address, _)) = sections.eh_frame {
            bases = bases.set_eh_frame(address.0);
        }
        if let Some((address, _)) = sections.eh_frame_hdr {
            bases = bases.set_eh_frame_hdr(address.0);
        }
        if let Some(address) = sections.text {
            bases = bases.set_text(address.0);
        }
        if let Some(address) = sections.got {
            bases = bases.set_got(address.0);
        }
        let header = sections.eh_frame_hdr.zip(sections.eh_frame);
        Self {
            bases,
            header: header.and_then(|((at, bytes), (eh_frame, _))| Header::parse(bytes, at, eh_frame)),
            eh_frame: sections.eh_frame.map(|(_, bytes)| {
                let mut section = EhFrame::new(bytes, LittleEndian);
                section.set_address_size(8);
                section.set_vendor(machine.vendor);
                section
            }),
            eh_index: OnceLock::new(),
            debug_frame: OnceLock::new(),
            machine,
            debug_index: OnceLock::new(),
            rows: RwLock::default(),
            go: OnceLock::new(),
        }
    }

    /// The row that holds at an address of the file of this image.
    pub(super) fn row(&self, image: &Image<'data>, address: Svma, context: &mut Context) -> Found<'data> {
        let known = self.rows.read().unwrap_or_else(PoisonError::into_inner).get(&address.0).cloned();
        if let Some(found) = known {
            return found;
        }
        let found = self.find(image, address, context);
        let mut rows = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        if rows.len() < MAX_ROWS {
            rows.insert(address.0, found.clone());
        }
        found
    }

    /// The address lies in one of these functions of Go's runtime.
    pub(super) fn go_function(&self, image: &Image<'data>, address: Svma) -> Option<GoFunction> {
        let find = || {
            let mut known = Vec::new();
            let Some((table, elf)) = image.go_table().zip(image.elf.as_ref()) else { return known };
            for symbol in elf.symbols() {
                let name = symbol.name().unwrap_or_default();
                // Assembly is called by the first calling convention, `ABI0`, and through a wrapper that bears the plain name.
                let name = name.strip_suffix(".abi0").unwrap_or(name);
                if let Some(&(_, function)) = GO_FUNCTIONS.iter().find(|(known, _)| *known == name) {
                    known.push((symbol.address(), symbol.size(), function));
                }
            }
            if known.is_empty() {
                let named = table.named(&GO_FUNCTIONS.map(|(name, _)| name));
                known.extend(named.into_iter().filter_map(|(name, start, end)| {
                    let &(_, function) = GO_FUNCTIONS.iter().find(|(known, _)| *known == name)?;
                    Some((start, end.saturating_sub(start), function))
                }));
            }
            known
        };
        let known = self.go.get_or_init(find).iter();
        let covers = |start: u64, size: u64| address.0.checked_sub(start).is_some_and(|offset| offset < size);
        known.filter(|&&(start, size, _)| covers(start, size)).map(|&(.., function)| function).next()
    }

    /// `.debug_frame` is looked for only when `.eh_frame` does not cover an address: it may be compressed, or in another file.
    fn debug_frame(&self, image: &Image<'data>) -> Option<&DebugFrame<Slice<'data>>> {
        let load = || {
            let mut section = DebugFrame::new(image.debug_frame()?, LittleEndian);
            section.set_address_size(8);
            section.set_vendor(self.machine.vendor);
            Some(section)
        };
        self.debug_frame.get_or_init(load).as_ref()
    }

    fn find(&self, image: &Image<'data>, address: Svma, context: &mut Context) -> Found<'data> {
        let mut row = self.look_up(image, address, context)?;
        if row.preserves && image.is_go(address) {
            Arc::make_mut(&mut row).preserves = false;
        }
        Ok(row)
    }

    fn look_up(&self, image: &Image<'data>, address: Svma, context: &mut Context) -> Found<'data> {
        let mut reason = NoRow::NotCovered;
        if let Some(section) = &self.eh_frame {
            let offset = match &self.header {
                Some(header) => header.fde(address),
                None => covering(self.eh_index.get_or_init(|| index(section, &self.bases)), address),
            };
            match self.evaluate(section, offset, address, context) {
                Err(NoRow::NotCovered) => {}
                Err(damaged) => reason = damaged,
                found => return found,
            }
        }
        if let Some(section) = self.debug_frame(image) {
            let offset = covering(self.debug_index.get_or_init(|| index(section, &self.bases)), address);
            match self.evaluate(section, offset, address, context) {
                Err(NoRow::NotCovered) => {}
                found => return found,
            }
        }
        self.go_row(image, address).ok_or(reason)
    }

    /// The row that Go's own table gives, where the linker was told to leave out `.debug_frame`: the frame is as large as the
    /// stack pointer has moved.
    fn go_row(&self, image: &Image<'data>, address: Svma) -> Option<Arc<Row<'data>>> {
        let (range, moved) = image.go_table()?.stack_delta(address)?;
        let moved = Some(moved).filter(|moved| (0..=LARGEST_GO_FRAME).contains(moved))?;
        // A call pushes the return address, or else the function stores the link register at the bottom of its frame.
        let (size, slot, return_register) = match self.machine.lr {
            None => (moved.checked_add(8)?, Some(-8), self.machine.pc),
            Some(lr) => (moved, Some(-moved).filter(|_| moved > 0), lr),
        };
        Some(Arc::new(Row {
            cfa: Cfa::Register(self.machine.sp, size),
            rules: slot.map(|slot| (return_register, Rule::Offset(slot))).into_iter().collect(),
            return_register,
            preserves: false,
            signal: false,
            range,
            encoding: gimli::Encoding { address_size: 8, format: gimli::Format::Dwarf32, version: 4 },
        }))
    }

    fn evaluate<Section>(
        &self,
        section: &Section,
        offset: Option<usize>,
        address: Svma,
        context: &mut Context,
    ) -> Found<'data>
    where
        Section: UnwindSection<Slice<'data>>,
    {
        let offset = offset.ok_or(NoRow::NotCovered)?;
        let fde = section
            .fde_from_offset(&self.bases, Section::Offset::from(offset), Section::cie_from_offset)
            .map_err(NoRow::Damaged)?;
        if !fde.contains(address.0) {
            return Err(NoRow::NotCovered);
        }
        let row =
            fde.unwind_info_for_address(section, &self.bases, context, address.0).map_err(|error| match error {
                gimli::Error::NoUnwindInfoForAddress => NoRow::NotCovered,
                error => NoRow::Damaged(error),
            })?;
        let expression = |expression: &gimli::UnwindExpression<usize>| expression.get(section).map(|found| found.0);
        let cfa = match row.cfa() {
            gimli::CfaRule::RegisterAndOffset { register, offset } => Cfa::Register(register.0, *offset),
            gimli::CfaRule::Expression(code) => Cfa::Expression(expression(code).map_err(NoRow::Damaged)?),
        };
        let mut rules = Vec::new();
        for (register, rule) in row.registers() {
            let rule = match rule {
                gimli::RegisterRule::Undefined => Rule::Undefined,
                gimli::RegisterRule::SameValue => Rule::Same,
                gimli::RegisterRule::Offset(offset) => Rule::Offset(*offset),
                gimli::RegisterRule::ValOffset(offset) => Rule::ValOffset(*offset),
                gimli::RegisterRule::Register(other) => Rule::Register(other.0),
                gimli::RegisterRule::Expression(code) => Rule::Expression(expression(code).map_err(NoRow::Damaged)?),
                gimli::RegisterRule::ValExpression(code) => {
                    Rule::ValExpression(expression(code).map_err(NoRow::Damaged)?)
                }
                // Pseudo-registers (the signing state of a return address) and what no machine here defines.
                _ => continue,
            };
            rules.push((register.0, rule));
        }
        Ok(Arc::new(Row {
            cfa,
            rules,
            return_register: fde.cie().return_address_register().0,
            preserves: true,
            signal: fde.is_signal_trampoline(),
            range: (Svma(fde.initial_address()), Svma(fde.end_address())),
            encoding: fde.cie().encoding(),
        }))
    }
}

/// The sorted table of `.eh_frame_hdr`, in the one encoding that GNU ld, gold, lld and mold write.
#[derive(Debug)]
struct Header<'data> {
    /// Pairs of 32-bit offsets from the header's address: function, FDE.
    table: &'data [u8],
    base: Svma,
    eh_frame: Svma,
}

/// Bytes of a pair in the table.
const PAIR: usize = 8;

impl<'data> Header<'data> {
    /// `None` where the encoding is another one or there is no table: an index is built then.
    fn parse(bytes: &'data [u8], base: Svma, eh_frame: Svma) -> Option<Self> {
        /// `DW_EH_PE_pcrel | DW_EH_PE_sdata4`, `DW_EH_PE_udata4`, `DW_EH_PE_datarel | DW_EH_PE_sdata4`.
        const ENCODING: [u8; 4] = [1, 0x1b, 0x03, 0x3b];
        let body = bytes.strip_prefix(&ENCODING)?;
        let count = u32::from_le_bytes(body.get(4..8)?.try_into().ok()?);
        let length = usize::try_from(count).ok()?.checked_mul(PAIR)?;
        let table = body.get(8..)?.get(..length).filter(|table| !table.is_empty())?;
        Some(Self { table, base, eh_frame })
    }

    /// Offset in `.eh_frame` of the FDE that starts last before or at an address.
    fn fde(&self, address: Svma) -> Option<usize> {
        let wanted = i64::try_from(i128::from(address.0) - i128::from(self.base.0)).ok()?;
        let (mut low, mut high) = (0, self.table.len() / PAIR);
        while low < high {
            let middle = low + (high - low) / 2;
            if i64::from(self.word(middle * PAIR)?) <= wanted {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let fde = self.word(low.checked_sub(1)? * PAIR + PAIR / 2)?;
        let offset = self.base.0.wrapping_add_signed(i64::from(fde)).checked_sub(self.eh_frame.0)?;
        usize::try_from(offset).ok()
    }

    fn word(&self, at: usize) -> Option<i32> {
        self.table.get(at..at.checked_add(4)?)?.try_into().ok().map(i32::from_le_bytes)
    }
}

/// Reads every FDE of a section once. A damaged entry ends the index there; what came before stays usable.
fn index<'data, Section: UnwindSection<Slice<'data>>>(section: &Section, bases: &BaseAddresses) -> Index {
    let mut index = Index::new();
    let mut entries = section.entries(bases);
    while let Ok(Some(entry)) = entries.next() {
        let CieOrFde::Fde(partial) = entry else { continue };
        let offset = partial.offset();
        if let Ok(fde) = partial.parse(Section::cie_from_offset)
            && fde.len() > 0
        {
            index.push((fde.initial_address(), fde.end_address(), offset));
        }
    }
    index.sort_unstable();
    index
}

fn covering(index: &Index, address: Svma) -> Option<usize> {
    let after = index.partition_point(|&(start, ..)| start <= address.0);
    let &(_, end, offset) = index.get(after.checked_sub(1)?)?;
    (address.0 < end).then_some(offset)
}
