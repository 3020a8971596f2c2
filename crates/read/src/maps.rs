//! A table of modules alone: a copy of `/proc/PID/maps`, as people take it beside a log of addresses.

use necropsy_model::{Avma, Full, Module, Snapshot, Source};

/// Most modules of one table; Linux allows a process 65,530 mappings unless told otherwise.
const MOST_MODULES: usize = 1 << 16;

/// Reads a copy of `/proc/PID/maps` (`proc_pid_maps(5)`); `None` where no line of it maps the code of a file. A file's own
/// line in it is not needed: it begins where the offset of its first mapping says.
pub fn maps(data: &[u8]) -> Option<Snapshot<'_>> {
    let mut modules: Vec<(Module<'_>, bool)> = Vec::new();
    let mut full = Full::default();
    for line in data.split(|&byte| byte == b'\n') {
        let Some(mapping) = std::str::from_utf8(line).ok().and_then(mapping) else { continue };
        // The mappings of a file follow each other; between them there may be those of no file.
        let known = modules.iter_mut().rev().take(4).find(|(module, _)| module.path == mapping.path);
        if let Some((module, code)) = known {
            module.size = mapping.end.saturating_sub(module.base.0).max(module.size);
            *code |= mapping.executable;
        } else if let Some(base) = mapping.start.checked_sub(mapping.offset)
            && full.room("modules", modules.len(), MOST_MODULES)
        {
            let module = Module {
                deleted: mapping.deleted,
                base: Avma(base),
                size: mapping.end.saturating_sub(base),
                ..Module::at_path(mapping.path)
            };
            modules.push((module, mapping.executable));
        }
    }
    let modules: Vec<_> = modules.into_iter().filter(|(_, code)| *code).map(|(module, _)| module).collect();
    let warnings = full.warnings(Source::DUMP).collect();
    (!modules.is_empty()).then(|| Snapshot { format: "maps", modules, warnings, ..Snapshot::default() })
}

struct Mapping<'t> {
    start: u64,
    end: u64,
    executable: bool,
    offset: u64,
    path: &'t str,
    deleted: bool,
}

/// `7f13754b0000-7f13754c0000 r-xp 00001000 fe:00 1234   /usr/lib/libc.so.6`
fn mapping(line: &str) -> Option<Mapping<'_>> {
    let mut rest = line;
    let mut word = || {
        let text = rest.trim_start();
        let (word, behind) = text.split_at(text.find(' ')?);
        rest = behind;
        Some(word)
    };
    let (range, rights, offset) = (word()?, word()?, word()?);
    let (_device, _inode) = (word()?, word()?);
    let path = rest.trim();
    let (start, end) = range.split_once('-')?;
    let hex = |digits: &str| u64::from_str_radix(digits, 16).ok();
    let (start, end, offset) = (hex(start)?, hex(end)?, hex(offset)?);
    if !path.starts_with('/') || end <= start || rights.len() != 4 {
        return None;
    }
    let kept = path.strip_suffix(" (deleted)");
    let deleted = kept.is_some();
    Some(Mapping { start, end, executable: rights.contains('x'), offset, path: kept.unwrap_or(path), deleted })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_with_code_are_modules() {
        let text = b"\
55d0c3a2a000-55d0c3a2b000 r--p 00000000 fe:00 77     /srv/my app (deleted)\n\
55d0c3a2b000-55d0c3a2c000 r-xp 00001000 fe:00 77     /srv/my app (deleted)\n\
55d0c4000000-55d0c4100000 rw-p 00000000 00:00 0      [heap]\n\
7f1375000000-7f1375001000 r--s 00000000 fe:00 78     /usr/share/locale.archive\n\
7f1375401000-7f1375402000 r-xp 00001000 fe:00 79     /lib/libx.so\n\
junk\n";
        let snapshot = maps(text).expect("modules");
        let modules: Vec<_> =
            snapshot.modules.iter().map(|one| (&*one.path, one.base.0, one.size, one.deleted)).collect();
        assert_eq!(
            modules,
            [("/srv/my app", 0x55d0_c3a2_a000, 0x2000, true), ("/lib/libx.so", 0x7f13_7540_0000, 0x2000, false)]
        );
        assert!(maps(b"hello\n7f-7e r-xp 0 0 0 /x\n").is_none());
    }
}
