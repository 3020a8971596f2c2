//! The memory of the process: what the dump holds, completed by what the verified files hold.

use necropsy_model::{AddressState, Avma, Memory};

use crate::image::Images;

/// Reads memory of the process.
#[derive(Clone, Copy)]
pub(crate) struct AddressSpace<'a, 'data> {
    /// What the dump holds.
    pub memory: &'a Memory<'data>,
    /// What the files hold.
    pub images: &'a Images<'data>,
    /// Bits of a code pointer that hold a signature; 0 where the dump does not say.
    pub signed_bits: u64,
}

impl<'a, 'data> AddressSpace<'a, 'data> {
    /// The memory of a dump and its images.
    pub fn new(memory: &'a Memory<'data>, images: &'a Images<'data>) -> Self {
        Self { memory, images, signed_bits: 0 }
    }

    /// The same, with what the dump says of signed code pointers (`NT_ARM_PAC_MASK`).
    pub fn with_signed_bits(self, mask: Option<u64>) -> Self {
        Self { signed_bits: mask.unwrap_or(0), ..self }
    }

    /// `length` bytes at `address`: from the dump, else from the file behind a page that the process could not write.
    ///
    /// The default `coredump_filter` (0x33) leaves file-backed pages out of the dump, code and constants among them.
    pub fn read(&self, address: Avma, length: usize) -> Result<&'data [u8], AddressState> {
        self.memory.read(address, length).or_else(|state| match state {
            AddressState::NotDumped | AddressState::CutOff => self.file_bytes(address, length).ok_or(state),
            _ => Err(state),
        })
    }

    fn file_bytes(&self, address: Avma, length: usize) -> Option<&'data [u8]> {
        let (_, image) = self.images.at(address)?;
        image.constant_bytes(image.bias.to_svma(address))?.get(..length)
    }

    /// As many bytes as can be read, at most so many: the longest instruction may reach into a page that is not there.
    pub fn read_most(&self, address: Avma, most: usize) -> Option<&'data [u8]> {
        (1..=most).rev().find_map(|length| self.read(address, length).ok())
    }

    /// A 64-bit little-endian word.
    pub fn read_u64(&self, address: Avma) -> Result<u64, AddressState> {
        let bytes = self.read(address, 8)?;
        bytes.try_into().map(u64::from_le_bytes).map_err(|_| AddressState::NotDumped)
    }

    /// A 32-bit little-endian word.
    pub fn read_u32(&self, address: Avma) -> Result<u32, AddressState> {
        let bytes = self.read(address, 4)?;
        bytes.try_into().map(u32::from_le_bytes).map_err(|_| AddressState::NotDumped)
    }

    /// The address lies in code: an executable mapping, or an executable segment of an image.
    pub fn is_code(&self, address: Avma) -> bool {
        let region = self.memory.region(address);
        // A list of modules without rights tells code from data as little as it tells that there is none.
        let module = |region: &necropsy_model::Region<'_>| region.permissions.is_none() && region.file.is_some();
        if self.images.all().is_empty() && region.is_some_and(module) {
            return true;
        }
        let by_map = region.and_then(|region| region.permissions).map(|rights| rights.execute);
        by_map.unwrap_or_else(|| {
            self.images.at(address).is_some_and(|(_, image)| {
                let svma = image.bias.to_svma(address).0;
                let covers = |start: u64, size: u64| svma.checked_sub(start).is_some_and(|offset| offset < size);
                image.segments.iter().any(|segment| segment.executable && covers(segment.start.0, segment.size))
            })
        })
    }
}
