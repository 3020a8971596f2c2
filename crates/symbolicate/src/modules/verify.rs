//! Whether a file is the one that ran.

use necropsy_model::{Bias, BuildId, Memory, Module, Verified};

use super::headers::PAGE;
use crate::image::Segment;

/// Bytes to compare of each segment when there is no build id.
const COMPARED: usize = 64 * 1024;
/// Equal bytes that hold a file to be the right one. An ELF header alone, 64 bytes, is alike in many files.
const ENOUGH: usize = 1024;
/// Equal bytes of code that do. The kernel logs 64 around the instruction (`OPCODE_BUFSIZE`); with the place in the file two
/// builds are seldom alike in so many, but for parts of the C library that every program has.
const ENOUGH_CODE: usize = 32;

/// Decides by the build id; without one, by the bytes that the dump holds, and failing those by the layout.
pub(super) fn verify(
    module: &Module<'_>,
    file_id: Option<&BuildId>,
    segments: &[Segment<'_>],
    bias: Bias,
    memory: &Memory<'_>,
) -> Result<Verified, String> {
    match (&module.build_id, file_id) {
        (Some(ran), Some(found)) if ran == found => return Ok(Verified::BuildId),
        (Some(ran), Some(found)) => {
            return Err(format!("build id {}, the core ran {}", short(found), short(ran)));
        }
        (Some(ran), None) => return Err(format!("no build id, the core ran {}", short(ran))),
        (None, _) => {}
    }
    layout(module, segments, bias, memory)?;
    let mut equal = 0;
    for segment in segments.iter().filter(|segment| !segment.writable) {
        let dumped = memory.tail(bias.to_avma(segment.start));
        let pairs = dumped.iter().zip(segment.bytes).take(COMPARED);
        let (same, all) = pairs.fold((0, 0), |(same, all), (a, b)| (same + usize::from(a == b), all + 1));
        if same < all {
            return Err(format!("other bytes than the core holds at {}", bias.to_avma(segment.start)));
        }
        equal += same;
    }
    let code = shown_code(module, segments, bias, memory)?;
    Ok(if equal >= ENOUGH || code >= ENOUGH_CODE { Verified::Bytes } else { Verified::PathOnly })
}

/// How many bytes of code are equal that a log shows in the middle of a mapping, where they are all that it shows.
fn shown_code(module: &Module<'_>, segments: &[Segment<'_>], bias: Bias, memory: &Memory<'_>) -> Result<usize, String> {
    let mut equal = 0;
    for region in memory.regions().iter().filter(|region| module.stated.is_some() && !region.bytes.is_empty()) {
        let at = bias.to_svma(region.start).0;
        let held = segments.iter().filter(|segment| segment.executable).find_map(|segment| {
            let inside = usize::try_from(at.checked_sub(segment.start.0)?).ok()?;
            segment.bytes.get(inside..inside.checked_add(region.bytes.len())?)
        });
        if held != Some(region.bytes) {
            return Err("other code than the kernel logged".to_owned());
        }
        equal += region.bytes.len();
    }
    Ok(equal)
}

/// The file's segments must lie where the process had mapped that file, with the same right to execute.
fn layout(module: &Module<'_>, segments: &[Segment<'_>], bias: Bias, memory: &Memory<'_>) -> Result<(), String> {
    let floor = |address: u64| address - address % PAGE;
    for region in memory.regions() {
        let backed = region.file.as_ref().is_some_and(|file| file.path == module.path);
        if !backed || !module.covers(region.start) {
            continue;
        }
        let at = bias.to_svma(region.start).0;
        let holder = segments.iter().find(|segment| {
            let start = floor(segment.start.0);
            let end = segment.start.0.saturating_add(segment.size).saturating_add(PAGE - 1);
            at >= start && at < floor(end)
        });
        let executes = region.permissions.is_some_and(|rights| rights.execute);
        match holder {
            None => return Err(format!("no segment where the core maps the file, at {}", region.start)),
            Some(segment) if executes && !segment.executable => {
                return Err(format!("no code where the core runs the file, at {}", region.start));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// Enough of a build id to tell two apart by eye.
pub(super) fn short(id: &BuildId) -> String {
    let text = id.to_string();
    match text.get(..12) {
        Some(head) if text.len() > 12 => format!("{head}…"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use necropsy_model::{Avma, FileBacking, Permissions, Region, Svma, Symbols};

    use super::*;

    fn module(id: Option<&[u8]>) -> Module<'static> {
        Module {
            path: Cow::Borrowed("/bin/a"),
            deleted: false,
            build_id: id.and_then(BuildId::new),
            base: Avma(0x10_0000),
            size: 0x3000,
            bias: None,
            stated: None,
            is_executable: true,
            symbols: Symbols::default(),
            identity: None,
        }
    }

    fn segment(bytes: &'static [u8], executable: bool) -> Segment<'static> {
        Segment { start: Svma(0x1000), size: bytes.len() as u64, bytes, writable: false, executable }
    }

    fn memory(bytes: &'static [u8], execute: bool) -> Memory<'static> {
        let permissions = Some(Permissions { read: true, write: false, execute });
        let file = Some(FileBacking { path: "/bin/a".into(), offset: 0x1000 });
        let (start, end) = (Avma(0x10_1000), Avma(0x10_2000));
        Memory::new(vec![Region { start, end, permissions, bytes, dumped: bytes.len() as u64, file }])
    }

    static CODE: [u8; 4096] = [0x90; 4096];
    static OTHER: [u8; 4096] = [0xcc; 4096];
    const BIAS: Bias = Bias(0x10_0000);

    #[test]
    fn the_build_id_decides_where_there_is_one() {
        let (right, wrong) = (BuildId::new(&[1; 20]), BuildId::new(&[2; 20]));
        let check = |found: Option<&BuildId>| {
            verify(&module(Some(&[1; 20])), found, &[segment(&OTHER, true)], BIAS, &memory(&CODE, true))
        };
        assert_eq!(check(right.as_ref()), Ok(Verified::BuildId));
        assert_eq!(check(wrong.as_ref()), Err("build id 020202020202…, the core ran 010101010101…".to_owned()));
        assert!(check(None).is_err());
    }

    #[test]
    fn without_one_the_dumped_bytes_decide() {
        let check = |file, dump| verify(&module(None), None, &[segment(file, true)], BIAS, &memory(dump, true));
        assert_eq!(check(&CODE, &CODE), Ok(Verified::Bytes));
        assert!(check(&OTHER, &CODE).is_err());
        assert_eq!(check(&OTHER, &[]), Ok(Verified::PathOnly));
    }

    #[test]
    fn a_file_of_another_layout_is_refused() {
        let check = |segments: &[Segment<'_>]| verify(&module(None), None, segments, BIAS, &memory(&[], true));
        assert!(check(&[segment(&CODE, false)]).is_err(), "code where the file has none");
        let moved = Segment { start: Svma(0x9000), ..segment(&CODE, true) };
        assert!(check(&[moved]).is_err(), "no segment there");
    }
}
