//! `NT_AUXV`: what the kernel told the dynamic loader. `include/uapi/linux/auxvec.h`.

use super::bytes::Layout;

/// The entries that a core is read with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Auxv {
    /// `AT_PHDR`: program headers of the executable.
    pub program_headers: Option<u64>,
    /// `AT_PHNUM`: how many.
    pub program_header_count: Option<u64>,
    /// `AT_BASE`: the dynamic loader.
    pub loader: Option<u64>,
    /// `AT_ENTRY`: entry point of the executable.
    pub entry: Option<u64>,
    /// `AT_UID`.
    pub uid: Option<u64>,
    /// `AT_EXECFN`: the path given to `execve`, as a C string.
    pub exec_path: Option<u64>,
    /// `AT_SYSINFO_EHDR`: the vDSO.
    pub vdso: Option<u64>,
}

/// Reads the pairs up to `AT_NULL`; an unknown type is skipped.
pub(super) fn read(body: &[u8], layout: Layout) -> Auxv {
    let mut auxv = Auxv::default();
    let mut words = layout.words(body);
    while let (Some(kind), Some(value)) = (words.next(), words.next()) {
        let slot = match kind {
            0 => break,
            3 => &mut auxv.program_headers,
            5 => &mut auxv.program_header_count,
            7 => &mut auxv.loader,
            9 => &mut auxv.entry,
            11 => &mut auxv.uid,
            31 => &mut auxv.exec_path,
            33 => &mut auxv.vdso,
            _ => continue,
        };
        *slot = Some(value);
    }
    auxv
}

#[cfg(test)]
mod tests {
    use necropsy_model::Endianness;

    use super::*;

    #[test]
    fn it_ends_at_at_null() {
        let words = [9_u64, 0x40_1000, 6, 4096, 0, 0, 33, 0x7fff_0000];
        let body: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let auxv = read(&body, Layout { endian: Endianness::Little, wide: true });
        assert_eq!(auxv, Auxv { entry: Some(0x40_1000), ..Auxv::default() });
    }
}
