//! ELF cores: the kernel's `fs/binfmt_elf.c`, gdb's `gcore`, qemu-user.

use necropsy_model::{Arena, Snapshot};

use crate::{Error, Probe, Reader};

/// The reader of ELF cores.
pub(crate) struct ElfCore;

impl Reader for ElfCore {
    fn name(&self) -> &'static str {
        "elf-core"
    }

    fn probe(&self, head: &[u8]) -> Probe {
        // e_type is a half word behind e_ident, in the byte order of the file; ET_CORE is 4.
        match head.get(16..18) {
            Some([4, 0] | [0, 4]) if head.starts_with(b"\x7fELF") => Probe::Yes,
            _ => Probe::No,
        }
    }

    fn read<'data>(&self, data: &'data [u8], _arena: &'data Arena) -> Result<Vec<Snapshot<'data>>, Error> {
        let _ = data;
        Err(Error::Unreadable { reason: "the reader of cores is being built".to_owned() })
    }
}
