//! Heap, metaspace, code cache, and the state of the VM.

use std::borrow::Cow;

use necropsy_model::Full;
use necropsy_model::hs_err::{AddressRange, CodeHeap, HeapLine, ProcessState, Said, SpaceUse};

use super::words::{Line, after, hex_after, leading_decimal, range, size, size_after};

/// Lines of spaces at most: Parallel and Serial have eight, region lists are not taken.
const MAX_LINES: usize = 256;

/// `VM state: not at safepoint (normal execution)`, up to JDK 8 without a blank.
pub(super) fn vm_state<'d>(process: &mut ProcessState<'d>, line: Line<'d>, text: &'d str) {
    process.at_safepoint = if text.contains("not at safepoint") {
        Some(false)
    } else if text.contains("at safepoint") || text.contains("synchronizing") {
        Some(true)
    } else {
        None
    };
    process.initialized = Some(!text.contains("not fully initialized"));
    process.vm_state = Some(Said::new(Cow::Borrowed(text), line.source));
}

/// `OutOfMemoryError java_heap_errors=1`, `StackOverflowErrors=3`.
pub(super) fn exception_count<'d>(process: &mut ProcessState<'d>, line: Line<'d>, full: &mut Full) {
    let Some((name, count)) = line.text.trim().rsplit_once('=') else { return };
    let mut room = || full.room("counts of exceptions", process.exception_counts.len(), MAX_LINES);
    if let Some(count) = leading_decimal(count.trim()).filter(|_| room()) {
        process.exception_counts.push((Cow::Borrowed(name.trim()), count, line.source));
    }
}

/// `Heap address: 0x00000000f0000000, size: 256 MB, Compressed Oops mode: 32-bit`, with a small h up to JDK 8.
pub(super) fn address<'d>(process: &mut ProcessState<'d>, line: Line<'d>) {
    let heap = &mut process.heap;
    let low = hex_after(line.text, "address:");
    let high = low.zip(size_after(line.text, "size:")).and_then(|(low, size)| low.checked_add(size));
    heap.range = low.zip(high).map(|(low, high)| Said::new(AddressRange { low, high }, line.source));
    heap.oops_mode = after(line.text, "mode:").map(|mode| Cow::Borrowed(mode.trim()));
}

/// A line below `Heap:`: ` PSYoungGen      total 1278528K, used 1173867K [0x…, 0x…, 0x…)`,
/// `  eden space 1005440K, 100% used [0x…,0x…,0x…)`, ` ZHeap           used 2M, capacity 256M, max capacity 256M`.
pub(super) fn line<'d>(process: &mut ProcessState<'d>, line: Line<'d>, full: &mut Full) {
    let text = line.text.trim();
    if text.starts_with("Metaspace ") || text.starts_with("class space") {
        return metaspace(process, line);
    }
    let sized = text.contains("used") && text.bytes().any(|byte| byte.is_ascii_digit());
    if !sized || text.starts_with('|') || !full.room("spaces of the heap", process.heap.lines.len(), MAX_LINES) {
        return;
    }
    let digits = text.find(|c: char| c.is_ascii_digit()).unwrap_or(text.len());
    let before = text.get(..digits).unwrap_or_default().trim_end();
    let name = ["total reserved", "total", "used"].iter().find_map(|word| before.strip_suffix(word)).unwrap_or(before);
    let percent = text.find("% used").and_then(|at| {
        let digits = text.get(..at)?.rsplit(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    });
    let total = size_after(text, "total reserved")
        .or_else(|| size_after(text, "total "))
        .or_else(|| size_after(text, "capacity"))
        .or_else(|| percent.and_then(|_| size(text.get(digits..)?)));
    let used = match percent {
        Some(percent) => total.map(|total| (total / 100).saturating_mul(u64::from(percent))),
        None => size_after(text, "used ").or_else(|| used_before(text)),
    };
    let addresses = text.find('[').and_then(|at| range(text.get(at..)?));
    process.heap.lines.push(HeapLine {
        name: Cow::Borrowed(name.trim()),
        total,
        used,
        percent,
        range: addresses,
        source: line.source,
    });
}

/// ` 256M max, 256M soft max, 256M committed, 1234K used`: Shenandoah.
fn used_before(text: &str) -> Option<u64> {
    size(text.split(',').find_map(|part| part.trim().strip_suffix(" used"))?)
}

/// ` Metaspace       used 197K, committed 384K, reserved 1114112K`; up to 15 with a capacity.
pub(super) fn metaspace(process: &mut ProcessState<'_>, line: Line<'_>) {
    let text = line.text.trim();
    let Some(used) = size_after(text, "used ") else { return };
    let space = SpaceUse {
        used: Some(used),
        committed: size_after(text, "committed "),
        reserved: size_after(text, "reserved "),
        source: line.source,
    };
    if text.starts_with("Metaspace") {
        process.metaspace.get_or_insert(space);
    } else if text.starts_with("class space") {
        process.class_space.get_or_insert(space);
    }
}

/// `CodeHeap 'non-nmethods': size=5692Kb used=1331Kb max_used=1331Kb free=4360Kb`, `CodeCache: size=…`.
pub(super) fn code_heap<'d>(process: &mut ProcessState<'d>, line: Line<'d>, full: &mut Full) {
    let text = line.text.trim();
    let name = after(text, "CodeHeap '").and_then(|rest| rest.split('\'').next()).unwrap_or("CodeCache");
    if name == "CodeCache" && process.code_heaps.iter().any(|heap| heap.name != "CodeCache") {
        // The sum of the heaps, from JDK 21 on.
        return;
    }
    if full.room("heaps of code", process.code_heaps.len(), MAX_LINES) {
        // JDK 6 and 7: `Code Cache  [0x…, 0x…, 0x…)`.
        let addresses = if text.starts_with("Code Cache") { range(text) } else { None };
        process.code_heaps.push(CodeHeap {
            name: Cow::Borrowed(name),
            size: size_after(text, "size="),
            used: size_after(text, " used="),
            free: size_after(text, "free=").or_else(|| size_after(text, "free_code_cache=")),
            range: addresses,
            source: line.source,
        });
    }
}

/// ` bounds [0x…, 0x…, 0x…]` of the code heap before.
pub(super) fn bounds(process: &mut ProcessState<'_>, line: Line<'_>) {
    if let Some(heap) = process.code_heaps.last_mut().filter(|heap| heap.range.is_none()) {
        heap.range = range(line.text);
    }
}

#[cfg(test)]
mod tests {
    use necropsy_model::Source;

    use super::*;

    fn read(text: &'static str) -> HeapLine<'static> {
        let mut process = ProcessState::default();
        line(&mut process, Line { text, source: Source::line(1) }, &mut Full::default());
        process.heap.lines.pop().unwrap()
    }

    #[test]
    fn spaces_of_every_collector() {
        let found = read(" garbage-first heap   total reserved 262144K, committed 262144K, used 1166K [0x10, 0x20)");
        assert_eq!(
            (found.name.as_ref(), found.total, found.used),
            ("garbage-first heap", Some(262_144 << 10), Some(1166 << 10))
        );
        let found = read(" PSYoungGen      total 100K, used 50K [0x10, 0x20, 0x30)");
        assert_eq!((found.name.as_ref(), found.range), ("PSYoungGen", Some(AddressRange { low: 0x10, high: 0x30 })));
        let found = read("  eden space 1005440K, 100% used [0x10,0x20,0x20)");
        assert_eq!((found.name.as_ref(), found.percent, found.total), ("eden space", Some(100), Some(1_005_440 << 10)));
        let found = read(" ZHeap           used 2M, capacity 256M, max capacity 256M");
        assert_eq!((found.name.as_ref(), found.used, found.total), ("ZHeap", Some(2 << 20), Some(256 << 20)));
        assert_eq!(read(" 256M max, 256M soft max, 256M committed, 1234K used").used, Some(1234 << 10));
    }
}
