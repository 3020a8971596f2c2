//! The text of a source line, where the file is at hand.

use std::path::Path;

use necropsy_debuginfod::{Client, What};
use necropsy_model::{BuildId, Text};

use crate::modules::{Debug, read_small};

/// Larger files are no source files.
const MAX_FILE: u64 = 8 << 20;
/// Lines are cut here, with “…”.
const MAX_LINE: usize = 200;

/// Endings of files whose lines may be shown. The path comes from debug information, which may be hostile, and the line
/// goes into a report: without this list it could quote any file of the reader's machine.
const ENDINGS: &[&str] = &[
    "c", "cc", "cpp", "cxx", "c++", "h", "hh", "hpp", "hxx", "inl", "ipp", "tcc", "rs", "go", "s", "S", "m", "mm", "d",
    "zig", "swift", "f", "f90", "f95", "adb", "ads", "pas", "nim", "cr", "v", "pyx",
];

/// The text of a line, from 1, without white space around it. A file that is newer than the program says nothing of it.
pub(crate) fn line_text<'data>(file: &str, line: u32, debug: &Debug<'data>) -> Option<Text<'data>> {
    let path = Path::new(file);
    let ending = path.extension()?.to_str()?;
    if !ENDINGS.contains(&ending) {
        return None;
    }
    let (data, modified) = read_small(&debug.locate(path)?, MAX_FILE)?;
    let built = debug.own.as_ref().and_then(|own| own.file.modified);
    if modified.zip(built).is_some_and(|(modified, built)| modified > built) {
        return None;
    }
    pick(&data, line)
}

/// The text of a line of a file that a symbol server keeps with the program, or one kept before.
pub(crate) fn line_of<'data>(file: &str, line: u32, id: &BuildId, client: &Client) -> Option<Text<'data>> {
    let ending = Path::new(file).extension()?.to_str()?;
    if !file.starts_with('/') || !ENDINGS.contains(&ending) {
        return None;
    }
    let found = client.fetch(id, &What::Source(file.to_owned())).ok()?;
    pick(&read_small(&found.path, MAX_FILE)?.0, line)
}

fn pick<'data>(data: &[u8], line: u32) -> Option<Text<'data>> {
    let text = data.split(|&byte| byte == b'\n').nth(usize::try_from(line.checked_sub(1)?).ok()?)?;
    let (text, end) =
        text.trim_ascii().split_at_checked(MAX_LINE).map_or((text.trim_ascii(), ""), |(text, _)| (text, "…"));
    (!text.is_empty()).then(|| Text::Owned(format!("{}{end}", String::from_utf8_lossy(text))))
}
