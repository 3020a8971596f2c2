//! `Dynamic libraries:`: `/proc/self/maps` on Linux, modules with begin and end on Windows, modules with begin alone on macOS.

use std::borrow::Cow;

use necropsy_model::hs_err::{AddressRange, MapEntry, MapList};
use necropsy_model::{Full, Permissions};

use super::words::{Line, leading_decimal, leading_hex};

/// Mappings at most. Linux refuses more than `vm.max_map_count`, 65530 unless it was raised.
const MAX_ENTRIES: usize = 1 << 20;
/// The last module of a macOS list has no next one to end it; no library is larger.
const MACOS_LAST: u64 = 1 << 20;

/// Takes a line.
pub(super) fn line<'d>(list: &mut MapList<'d>, line: Line<'d>, full: &mut Full) {
    let text = line.text;
    if let Some(rest) = text.trim_start().strip_prefix("Total number of mappings:") {
        list.total = leading_decimal(rest.trim_start());
        return;
    }
    let entry = linux(line).or_else(|| windows(line)).or_else(|| macos(line));
    list.entries.extend(entry.filter(|_| full.room("mappings", list.entries.len(), MAX_ENTRIES)));
}

/// `7fba6b938000-7fba6bba8000 rwxp 00000000 00:00 0    /path (deleted)`.
fn linux(line: Line<'_>) -> Option<MapEntry<'_>> {
    let (low, rest) = line.text.split_once('-')?;
    let (high, rest) = rest.split_once(' ')?;
    let (rights, rest) = rest.split_once(' ')?;
    let low = u64::from_str_radix(low, 16).ok()?;
    let high = u64::from_str_radix(high, 16).ok()?;
    let [read, write, execute, _] = *rights.as_bytes() else { return None };
    let (offset, rest) = rest.split_once(' ')?;
    let (_device, rest) = rest.split_once(' ')?;
    let path = rest.trim_start_matches(|c: char| c.is_ascii_digit()).trim();
    let (path, deleted) = match path.strip_suffix(" (deleted)") {
        Some(path) => (path, true),
        None => (path, false),
    };
    let permissions = Permissions { read: read == b'r', write: write == b'w', execute: execute == b'x' };
    (low < high).then_some(MapEntry {
        range: AddressRange { low, high },
        end_is_bound: false,
        permissions: Some(permissions),
        offset: u64::from_str_radix(offset, 16).unwrap_or_default(),
        path: Some(path).filter(|path| !path.is_empty()).map(Cow::Borrowed),
        deleted,
        source: line.source,
    })
}

/// `0x00007ff6e2a30000 - 0x00007ff6e2a40000   C:\Program Files\x.exe`.
fn windows(line: Line<'_>) -> Option<MapEntry<'_>> {
    let (low, rest) = line.text.trim_start().strip_prefix("0x")?.split_once(" - 0x")?;
    let (low, high) = (leading_hex(low)?, leading_hex(rest)?);
    let path = rest.trim_start_matches(|c: char| c.is_ascii_hexdigit()).trim();
    (low < high).then_some(entry(line, low, high, path))
}

/// `0x000000010603c000   /usr/lib/libz.dylib`; older ones have a tab first.
fn macos(line: Line<'_>) -> Option<MapEntry<'_>> {
    let rest = line.text.trim_start().strip_prefix("0x")?;
    let low = leading_hex(rest)?;
    let path = rest.trim_start_matches(|c: char| c.is_ascii_hexdigit());
    if !path.starts_with(['\t', ' ']) || path.trim_start().starts_with('-') {
        return None;
    }
    Some(MapEntry { end_is_bound: true, ..entry(line, low, low, path.trim()) })
}

fn entry<'d>(line: Line<'d>, low: u64, high: u64, path: &'d str) -> MapEntry<'d> {
    MapEntry {
        range: AddressRange { low, high },
        end_is_bound: false,
        permissions: None,
        offset: 0,
        path: Some(path).filter(|path| !path.is_empty()).map(Cow::Borrowed),
        deleted: false,
        source: line.source,
    }
}

/// Completes the list: ends of macOS modules, and whether every mapping is there. `whole` says that the list was not cut.
pub(super) fn finish(list: &mut MapList<'_>, whole: bool) {
    let mut begins: Vec<u64> = list.entries.iter().map(|entry| entry.range.low).collect();
    begins.sort_unstable();
    for entry in list.entries.iter_mut().filter(|entry| entry.end_is_bound) {
        let behind = begins.partition_point(|&begin| begin <= entry.range.low);
        let last = entry.range.low.saturating_add(MACOS_LAST);
        entry.range.high = begins.get(behind).copied().unwrap_or(last);
    }
    let linux = list.entries.iter().any(|entry| entry.permissions.is_some());
    list.is_all = whole && linux && list.entries.len() < MAX_ENTRIES;
    if list.is_all && list.total.is_none() {
        list.total = Some(list.entries.len() as u64);
    }
}

#[cfg(test)]
mod tests {
    use necropsy_model::Source;

    use super::*;

    fn read(lines: &'static [&'static str]) -> MapList<'static> {
        let mut list = MapList::default();
        for &text in lines {
            line(&mut list, Line { text, source: Source::line(1) }, &mut Full::default());
        }
        finish(&mut list, true);
        list
    }

    #[test]
    fn maps_of_three_systems() {
        let list = read(&[
            "f0000000-100000000 rw-p 00000000 00:00 0 ",
            "7fba83a15000-7fba83a16000 r-xp 00001000 fe:00 12345                      /tmp/a b.so (deleted)",
            "7ffd0-7ffd1 ---p 00000000 00:00 0 ",
            "Total number of mappings: 3",
        ]);
        assert!(list.is_all && list.total == Some(3));
        let entry = list.at(0x7fba_83a1_5123).unwrap();
        assert_eq!((entry.path.as_deref(), entry.deleted, entry.offset), (Some("/tmp/a b.so"), true, 0x1000));
        assert!(entry.permissions.unwrap().execute);
        let list = read(&["0x00007ff6e2a30000 - 0x00007ff6e2a40000 \tC:\\Program Files\\java.exe"]);
        assert_eq!(list.entries[0].path.as_deref(), Some("C:\\Program Files\\java.exe"));
        assert!(!list.is_all);
        let list = read(&["0x0000000100003000 \t/usr/lib/b.dylib", "0x0000000100000000 \t/usr/lib/a.dylib"]);
        assert_eq!(list.at(0x1_0000_2fff).unwrap().path.as_deref(), Some("/usr/lib/a.dylib"));
        for text in ["", "-", "a-b", "1-2 r", "0x", "0x1 - 0x", "zz-yy rwxp 0 0 0"] {
            let mut list = MapList::default();
            line(&mut list, Line { text, source: Source::line(1) }, &mut Full::default());
            assert!(list.entries.is_empty(), "{text}");
        }
    }

    #[test]
    fn a_full_list_says_so() {
        let text = "7f0000000000-7f0000002000 r-xp 00000000 fe:00 12 /opt/libx.so";
        let at = Line { text, source: Source::line(1) };
        let mut list = MapList::default();
        list.entries.resize(MAX_ENTRIES, linux(at).unwrap());
        let mut full = Full::default();
        line(&mut list, at, &mut full);
        let told: Vec<_> = full.warnings(Source::DUMP).collect();
        assert_eq!(told[0].text, "there are more than 1048576 mappings; the others are left out");
        assert_eq!(list.entries.len(), MAX_ENTRIES);
    }
}
