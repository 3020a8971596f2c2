//! Whether a file is the one that ran. No frame is named from a file that is not.

use necropsy_model::{AddressState, BuildId, Memory, Module, Verified};
use object::Object;

use super::bias_of;
use crate::image::Elf;

/// Bytes compared when the dump holds no build id: the headers and the start of the code tell builds apart.
const COMPARED: usize = 4096;

/// The build id of a file.
pub(super) fn build_id(elf: &Elf<'_>) -> Option<BuildId> {
    elf.build_id().ok().flatten().and_then(BuildId::new)
}

/// How the file is held to be the module's, or why it is not.
pub(super) fn verify(module: &Module<'_>, elf: &Elf<'_>, memory: &Memory<'_>) -> Result<Verified, String> {
    let found = build_id(elf);
    match (&module.build_id, &found) {
        (Some(ran), Some(found)) if ran == found => return Ok(Verified::BuildId),
        (Some(ran), Some(found)) => return Err(format!("its build id is {found}, {ran} ran")),
        (Some(ran), None) => return Err(format!("it has no build id, {ran} ran")),
        (None, _) => {}
    }
    let segments = super::segments(elf, elf.data());
    let Some(first) = segments.first() else { return Err("it has no loadable segment".to_owned()) };
    let bias = module.bias.unwrap_or_else(|| bias_of(module.base, first.start));
    let mut compared = false;
    for segment in segments.iter().filter(|segment| !segment.writable) {
        let start = bias.to_avma(segment.start);
        let length = segment.bytes.len().min(COMPARED);
        match (memory.read(start, length), segment.bytes.get(..length)) {
            (Ok(dumped), Some(bytes)) if dumped == bytes => compared = true,
            (Ok(_), _) => return Err("its bytes differ from those in the dump".to_owned()),
            (Err(AddressState::NotMapped), _) => {
                return Err("its segments do not fit the mappings of the process".to_owned());
            }
            (Err(_), _) => {}
        }
    }
    Ok(if compared { Verified::Bytes } else { Verified::PathOnly })
}
