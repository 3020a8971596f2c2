//! ELF cores: the kernel's `fs/binfmt_elf.c`, gdb's `gcore`, qemu-user.

mod auxv;
mod bytes;
mod command_line;
mod file;
mod headers;
mod image;
mod link_map;
mod modules;
mod notes;
mod process;
mod prpsinfo;
mod prstatus;
mod regset;
mod siginfo;
mod space;
mod state;
mod syscalls;
mod threads;
mod truncation;

use necropsy_model::{Arena, Full, Snapshot, Source};

use crate::{Error, Probe, Reader};

/// The reader of ELF cores.
pub(crate) struct ElfCore;

/// Most program headers that are read: twice what `vm.max_map_count` may be raised to on any machine seen.
const MOST_SEGMENTS: usize = 4_000_000;

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
        let unreadable = |reason: &str| Error::Unreadable { reason: reason.to_owned() };
        let headers = headers::parse(data, MOST_SEGMENTS)
            .ok_or_else(|| unreadable("the core is cut inside its first header, or is no core"))?;
        if headers.segments.is_empty() {
            return Err(unreadable("the core is cut before its first program header: nothing of it is left"));
        }
        let notes = notes::of_core(data, &headers);
        let facts = threads::gather(&notes, &headers);
        let memory = space::build(data, &headers.segments, &facts.mappings);
        let mut snapshot = Snapshot { format: self.name(), ..Snapshot::default() };
        let exec_path = process::exec_path(&facts, &memory);
        let mut full = Full::default();
        let clues = modules::Clues {
            memory: &memory,
            mappings: &facts.mappings,
            auxv: facts.auxv,
            layout: headers.layout,
            exec_path: exec_path.clone(),
        };
        snapshot.modules = modules::find(&clues, &mut full);
        snapshot.warnings.extend(full.warnings(Source::DUMP));
        snapshot.process = process::describe(&facts, &headers, exec_path, &snapshot.modules, &memory);
        snapshot.stop = threads::stop(&facts, headers.arch);
        snapshot.memory = memory.in_dump(data);
        let foreign = facts.foreign;
        threads::fill(facts, headers.arch, &mut snapshot);
        process::warn(foreign, &mut snapshot);
        truncation::warn(data, &headers, &mut snapshot);
        Ok(vec![snapshot])
    }
}

#[cfg(test)]
mod tests;
