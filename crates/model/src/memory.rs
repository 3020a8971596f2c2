//! The memory of the process as far as the dump holds it, and what is known of the rest.

use crate::{Avma, Source, Text};

/// Memory of a process: regions sorted by address, never overlapping. Empty for text dumps.
#[derive(Clone, Debug, Default)]
pub struct Memory<'data> {
    regions: Vec<Region<'data>>,
    /// The dump that the bytes of the regions are slices of; empty when nobody said.
    dump: &'data [u8],
    /// The dump lists only some mappings.
    in_part: bool,
}

/// One mapping, or the part of one that shares a fate in the dump.
#[derive(Clone, Debug)]
pub struct Region<'data> {
    /// First address.
    pub start: Avma,
    /// First address behind it.
    pub end: Avma,
    /// What the process was allowed to do here; `None` where the dump does not say.
    pub permissions: Option<Permissions>,
    /// The dumped bytes, from `start` on. Shorter than the region when the rest was left out or cut off.
    pub bytes: &'data [u8],
    /// Bytes that the dump meant to hold, from `start` on (`p_filesz`). More than `bytes` when the dump is cut.
    pub dumped: u64,
    /// The file behind the region.
    pub file: Option<FileBacking<'data>>,
}

/// The part of a file that backs a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileBacking<'data> {
    /// Path as the kernel knew it.
    pub path: Text<'data>,
    /// Offset in the file of the region's first byte.
    pub offset: u64,
}

/// Access rights of a mapping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    /// May be read.
    pub read: bool,
    /// May be written.
    pub write: bool,
    /// May be executed.
    pub execute: bool,
}

impl std::fmt::Display for Permissions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let letter = |on: bool, letter| if on { letter } else { '-' };
        write!(f, "{}{}{}", letter(self.read, 'r'), letter(self.write, 'w'), letter(self.execute, 'x'))
    }
}

/// What is known of an address. The states lead to different advice, so they are never merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AddressState {
    /// The bytes are in the dump.
    Present,
    /// No mapping of the process covers it: the address was bad when the process ran.
    NotMapped,
    /// It was mapped, but the dump filter left it out (`coredump_filter`, `MADV_DONTDUMP`).
    NotDumped,
    /// It was to be in the dump, but the dump is cut before it.
    CutOff,
    /// It was mapped with no access rights at all, such as a guard page.
    NoAccess,
    /// The dump lists only some mappings, and this address lies in none of them.
    NotListed,
}

impl AddressState {
    /// One phrase for the report.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Present => "in the dump",
            Self::NotMapped => "not mapped",
            Self::NotDumped => "mapped, but left out of the dump",
            Self::CutOff => "cut off: the dump is truncated before it",
            Self::NoAccess => "mapped without any access",
            Self::NotListed => "in no mapping that the dump lists, and it does not list all",
        }
    }
}

impl<'data> Memory<'data> {
    /// Memory of these regions; sorts them, drops empty ones and cuts overlaps so that the first to start wins.
    pub fn new(mut regions: Vec<Region<'data>>) -> Self {
        regions.retain(|region| region.start < region.end);
        regions.sort_by_key(|region| region.start);
        let mut last = Avma(0);
        regions.retain(|region| {
            let keep = region.start >= last;
            if keep {
                last = region.end;
            }
            keep
        });
        Self { regions, dump: &[], in_part: false }
    }

    /// Says which dump the bytes of the regions were sliced from, so that [`Memory::source`] can tell their offsets.
    #[must_use]
    pub fn in_dump(self, dump: &'data [u8]) -> Self {
        Self { dump, ..self }
    }

    /// Says that the dump lists only some mappings, so that an address outside of them all may still have been mapped.
    #[must_use]
    pub fn listed_in_part(self) -> Self {
        Self { in_part: true, ..self }
    }

    /// Where in the dump the byte at an address stands; the dump as a whole when it does not hold it.
    pub fn source(&self, address: Avma) -> Source {
        let first = self.tail(address).first().map(|byte| std::ptr::from_ref(byte).addr());
        let offset = first.and_then(|at| at.checked_sub(self.dump.as_ptr().addr()));
        offset.filter(|&offset| offset < self.dump.len()).map_or(Source::DUMP, |offset| Source::offset(offset as u64))
    }

    /// All regions in order of address.
    pub fn regions(&self) -> &[Region<'data>] {
        &self.regions
    }

    /// No memory at all, as in a text dump.
    pub fn is_empty(&self) -> bool {
        self.regions.is_empty()
    }

    /// The region that covers an address.
    pub fn region(&self, address: Avma) -> Option<&Region<'data>> {
        let after = self.regions.partition_point(|region| region.start <= address);
        self.regions.get(after.checked_sub(1)?).filter(|region| address < region.end)
    }

    /// What is known of an address.
    pub fn state(&self, address: Avma) -> AddressState {
        let Some(region) = self.region(address) else { return self.outside() };
        let offset = address.0 - region.start.0;
        if offset < region.bytes.len() as u64 {
            AddressState::Present
        } else if offset < region.dumped {
            AddressState::CutOff
        } else if region.permissions == Some(Permissions::default()) {
            AddressState::NoAccess
        } else {
            AddressState::NotDumped
        }
    }

    /// What is known of an address outside of all regions.
    fn outside(&self) -> AddressState {
        if self.in_part { AddressState::NotListed } else { AddressState::NotMapped }
    }

    /// `length` bytes at `address`, all of one region, or the state of the first byte that is missing.
    pub fn read(&self, address: Avma, length: usize) -> Result<&'data [u8], AddressState> {
        let Some(region) = self.region(address) else { return Err(self.outside()) };
        let from = address.0 - region.start.0;
        let bytes = usize::try_from(from).ok().and_then(|from| region.bytes.get(from..from.checked_add(length)?));
        bytes.ok_or_else(|| match self.state(address) {
            AddressState::Present => self.state(Avma(region.start.0.saturating_add(region.bytes.len() as u64))),
            missing => missing,
        })
    }

    /// The bytes from `address` to the end of what the dump holds of its region.
    pub fn tail(&self, address: Avma) -> &'data [u8] {
        let Some(region) = self.region(address) else { return &[] };
        let from = usize::try_from(address.0 - region.start.0).unwrap_or(usize::MAX);
        region.bytes.get(from..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(start: u64, end: u64, dumped: u64, bytes: &'static [u8]) -> Region<'static> {
        let permissions = Some(Permissions { read: true, write: true, execute: false });
        Region { start: Avma(start), end: Avma(end), permissions, bytes, dumped, file: None }
    }

    #[test]
    fn the_states_of_an_address_are_kept_apart() {
        let guard = Region { permissions: Some(Permissions::default()), ..region(0x5000, 0x6000, 0, &[]) };
        let memory = Memory::new(vec![guard, region(0x1000, 0x2000, 8, &[1, 2, 3, 4]), region(0x3000, 0x4000, 0, &[])]);
        assert_eq!(memory.state(Avma(0x1003)), AddressState::Present);
        assert_eq!(memory.state(Avma(0x1004)), AddressState::CutOff);
        assert_eq!(memory.state(Avma(0x1008)), AddressState::NotDumped);
        assert_eq!(memory.state(Avma(0x3000)), AddressState::NotDumped);
        assert_eq!(memory.state(Avma(0x2000)), AddressState::NotMapped);
        assert_eq!(memory.state(Avma(0x5fff)), AddressState::NoAccess);
        assert_eq!(memory.read(Avma(0x1002), 2), Ok(&[3, 4][..]));
        assert_eq!(memory.read(Avma(0x1002), 4), Err(AddressState::CutOff));
        assert_eq!(memory.read(Avma(0x1002), usize::MAX), Err(AddressState::CutOff));
        let memory = memory.listed_in_part();
        assert_eq!(memory.state(Avma(0x2000)), AddressState::NotListed);
        assert_eq!(memory.read(Avma(0x2000), 1), Err(AddressState::NotListed));
    }

    #[test]
    fn a_byte_knows_where_it_stands_in_the_dump() {
        static DUMP: [u8; 64] = [7; 64];
        let memory = Memory::new(vec![region(0x1000, 0x2000, 8, &DUMP[16..24])]).in_dump(&DUMP);
        assert_eq!(memory.source(Avma(0x1003)), Source::offset(19));
        assert_eq!(memory.source(Avma(0x1008)), Source::DUMP);
        assert_eq!(Memory::new(vec![region(0x1000, 0x2000, 8, &DUMP[16..24])]).source(Avma(0x1003)), Source::DUMP);
    }

    #[test]
    fn overlapping_and_empty_regions_do_no_harm() {
        let memory =
            Memory::new(vec![region(0x1800, 0x2800, 0, &[]), region(0x1000, 0x2000, 0, &[]), region(9, 9, 0, &[])]);
        assert_eq!(memory.regions().len(), 1);
        assert_eq!(memory.state(Avma(u64::MAX)), AddressState::NotMapped);
    }
}
