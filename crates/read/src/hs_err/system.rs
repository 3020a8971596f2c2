//! The SYSTEM part: operating system, limits, memory, container, CPU.

use std::borrow::Cow;

use necropsy_model::Full;
use necropsy_model::hs_err::{Cpu, Limit, Measure, MemoryLine, Rlimit, Said, SystemState};

use super::words::{Line, after, decimal_after, hex_after, leading_decimal, size, size_after};

/// Lines of a list at most.
const MAX_LINES: usize = 1024;

/// `rlimit (soft/hard): STACK 8192k/infinity , CORE 0k/infinity , …`, `rlimit: STACK 8192k, CORE 0k, …`.
pub(super) fn limits<'d>(system: &mut SystemState<'d>, line: Line<'d>, full: &mut Full) {
    let Some((_, rest)) = line.text.split_once(':') else { return };
    for part in rest.split(',') {
        let Some((name, value)) = part.trim().split_once(' ') else { continue };
        let (soft, hard) = value.split_once('/').map_or((value, None), |(soft, hard)| (soft, Some(hard)));
        let Some(soft) = limit(soft) else { continue };
        if !full.room("limits of the process", system.rlimits.len(), MAX_LINES) {
            return;
        }
        system.rlimits.push(Rlimit {
            name: Cow::Borrowed(name),
            soft,
            hard: hard.and_then(limit),
            source: line.source,
        });
    }
}

fn limit(text: &str) -> Option<Limit> {
    match text.trim() {
        "infinity" | "unlimited" => Some(Limit::Unlimited),
        text => size(text).map(Limit::At),
    }
}

/// `MemTotal:       24684084 kB`.
pub(super) fn meminfo<'d>(system: &mut SystemState<'d>, line: Line<'d>, full: &mut Full) {
    measure(&mut system.meminfo, line, full);
}

fn measure<'d>(lines: &mut Vec<Measure<'d>>, line: Line<'d>, full: &mut Full) {
    let Some((name, value)) = line.text.split_once(':') else { return };
    if let Some(bytes) = size(value).filter(|_| full.room("sizes of memory", lines.len(), MAX_LINES)) {
        lines.push(Measure { name: Cow::Borrowed(name.trim()), bytes, source: line.source });
    }
}

/// `Virtual Size: 2860812K (peak: 2860812K)`.
pub(super) fn process_memory<'d>(system: &mut SystemState<'d>, line: Line<'d>, full: &mut Full) {
    measure(&mut system.process_memory, line, full);
}

/// `/proc/sys/vm/max_map_count (…): 65530`; the value may stand on the next line, and then `true` comes back.
pub(super) fn tunable<'d>(system: &mut SystemState<'d>, line: Line<'d>, full: &mut Full) -> bool {
    let text = line.text.trim();
    let end = text.find([' ', ':']).unwrap_or(text.len());
    let (path, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    let value = rest.rsplit_once(':').map_or("", |(_, value)| value).trim();
    if full.room("settings of the kernel", system.tunables.len(), MAX_LINES) {
        system.tunables.push((Cow::Borrowed(path), Said::new(Cow::Borrowed(value), line.source)));
    }
    value.is_empty()
}

/// The value of the tunable before.
pub(super) fn tunable_value<'d>(system: &mut SystemState<'d>, line: Line<'d>) {
    if let Some((_, value)) = system.tunables.last_mut().filter(|(_, value)| value.value.is_empty()) {
        *value = Said::new(Cow::Borrowed(line.text.trim()), line.source);
    }
}

/// `memory_limit_in_bytes: 2097152 k`.
pub(super) fn container<'d>(system: &mut SystemState<'d>, line: Line<'d>, full: &mut Full) {
    let Some((key, value)) = line.text.trim().split_once(':') else { return };
    let plain = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if plain && full.room("lines about the container", system.container.len(), MAX_LINES) {
        system.container.push((Cow::Borrowed(key), Said::new(Cow::Borrowed(value.trim()), line.source)));
    }
}

/// `CPU: total 2 (initial active 2) … family 6 model 167 stepping 8 microcode 0x1, cx8, …`.
pub(super) fn cpu<'d>(cpu: &mut Cpu<'d>, line: Line<'d>) {
    let text = line.text.trim_start_matches("CPU:").trim();
    let number = |key| decimal_after(text, key).and_then(|number| u32::try_from(number).ok());
    cpu.total = number("total ");
    cpu.family = number("family ");
    cpu.model_number = number(" model ");
    cpu.stepping = number("stepping ");
    cpu.microcode = hex_after(text, "microcode ");
    cpu.text = Some(Said::new(Cow::Borrowed(text), line.source));
}

/// `model name  : Intel(R) Xeon(R) Processor`.
pub(super) fn cpu_model<'d>(cpu: &mut Cpu<'d>, line: Line<'d>) {
    let Some((key, value)) = line.text.split_once(':') else { return };
    if cpu.model.is_none() && matches!(key.trim(), "model name" | "cpu" | "Processor" | "cpu model") {
        cpu.model = Some(Said::new(Cow::Borrowed(value.trim()), line.source));
    }
}

/// `Memory: 4k page, physical 24684084k(22542692k free), swap 0k(0k free)`; Windows since 11 writes
/// `Memory: 4k page, system-wide physical 16322M (4099M free)` and three lines more.
pub(super) fn memory(line: Line<'_>) -> MemoryLine<'_> {
    let text = line.text.trim_start_matches("Memory:").trim();
    let physical = after(text, "physical ");
    let swap = after(text, "swap ");
    let free = |part: Option<&str>| part.and_then(|part| size(part.split_once('(')?.1));
    MemoryLine {
        text: Said::new(Cow::Borrowed(text), line.source),
        page: size(text),
        physical: physical.and_then(size),
        physical_free: free(physical),
        swap: swap.and_then(size),
        swap_free: free(swap),
        commit_limit: None,
        commit_free: None,
        working_set: None,
        commit_charge: None,
    }
}

/// The lines that Windows writes below `Memory:`.
pub(super) fn memory_more(memory: &mut MemoryLine<'_>, line: Line<'_>) {
    let text = line.text.trim();
    let said = |size: Option<u64>| size.map(|size| Said::new(size, line.source));
    if text.starts_with("TotalPageFile size") {
        memory.commit_limit = said(size_after(text, "TotalPageFile size"));
        memory.commit_free = said(size_after(text, "AvailPageFile size"));
    } else if text.starts_with("current process WorkingSet") {
        memory.working_set = said(size_after(text, "):"));
    } else if text.starts_with("current process commit charge") {
        memory.commit_charge = said(size_after(text, "):"));
    }
}

/// `Host: Intel(R) Xeon(R) Processor, 2 cores, 23G, Debian GNU/Linux 12 (bookworm)`: the name, cores and bytes of memory.
pub(super) fn host(text: &str) -> (Option<&str>, Option<u32>, Option<u64>) {
    let parts: Vec<&str> = text.split(", ").map(str::trim).collect();
    let cores = parts.iter().position(|part| part.ends_with(" cores") || *part == "1 core");
    let number = cores.and_then(|at| leading_decimal(parts.get(at)?)).and_then(|cores| u32::try_from(cores).ok());
    let memory = cores.and_then(|at| parts.get(at + 1)).filter(|part| part.ends_with(['G', 'M', 'K']));
    let name = parts.first().copied().filter(|name| !name.is_empty() && cores != Some(0));
    (name, number, memory.and_then(|memory| size(memory)))
}

#[cfg(test)]
mod tests {
    use necropsy_model::Source;

    use super::*;

    fn at(text: &str) -> Line<'_> {
        Line { text, source: Source::line(1) }
    }

    #[test]
    fn limits_of_every_age() {
        let mut system = SystemState::default();
        limits(
            &mut system,
            at("rlimit (soft/hard): STACK 8192k/infinity , NPROC 96365/96365 , AS infinity/infinity"),
            &mut Full::default(),
        );
        assert_eq!(system.rlimit("STACK").unwrap().soft, Limit::At(8192 << 10));
        assert_eq!(system.rlimit("STACK").unwrap().hard, Some(Limit::Unlimited));
        assert_eq!(system.rlimit("NPROC").unwrap().soft, Limit::At(96365));
        let mut system = SystemState::default();
        limits(&mut system, at("rlimit: STACK 8192k, CORE 0k, NPROC 96365, AS 2097152k"), &mut Full::default());
        assert_eq!((system.rlimit("AS").unwrap().soft, system.rlimits.len()), (Limit::At(2 << 30), 4));
    }

    #[test]
    fn memory_of_every_system() {
        let linux = memory(at("Memory: 4k page, physical 24684084k(22542692k free), swap 0k(0k free)"));
        assert_eq!(
            (linux.page, linux.physical, linux.physical_free),
            (Some(4096), Some(24_684_084 << 10), Some(22_542_692 << 10))
        );
        assert_eq!(linux.swap_free, Some(0));
        let mut windows = memory(at("Memory: 4k page, system-wide physical 16322M (4099M free)"));
        memory_more(&mut windows, at("TotalPageFile size 16322M (AvailPageFile size 189M)"));
        memory_more(&mut windows, at("current process commit charge (\"private bytes\"): 958M, peak: 1273M"));
        assert_eq!((windows.physical_free, windows.commit_free.unwrap().value), (Some(4099 << 20), 189 << 20));
        assert_eq!(windows.commit_charge.unwrap().value, 958 << 20);
    }

    #[test]
    fn tunables_on_one_line_and_on_two() {
        let mut system = SystemState::default();
        assert!(!tunable(
            &mut system,
            at("/proc/sys/vm/max_map_count (maximum number of memory map areas): 65530"),
            &mut Full::default()
        ));
        assert!(tunable(&mut system, at("/proc/sys/kernel/pid_max (system-wide limit):"), &mut Full::default()));
        tunable_value(&mut system, at("32768"));
        assert_eq!(system.tunable("max_map_count").unwrap().value, "65530");
        assert_eq!(system.tunable("pid_max").unwrap().value, "32768");
    }

    #[test]
    fn hosts_and_processors() {
        let (name, cores, memory) = host("Intel(R) Xeon(R) Processor, 2 cores, 23G, Debian GNU/Linux 12 (bookworm)");
        assert_eq!((name, cores, memory), (Some("Intel(R) Xeon(R) Processor"), Some(2), Some(23 << 30)));
        let mut found = Cpu::default();
        cpu(&mut found, at("CPU:total 24 (6 cores per cpu) family 6 model 44 stepping 2 microcode 0xcc, cmov"));
        assert_eq!(
            (found.total, found.family, found.model_number, found.microcode),
            (Some(24), Some(6), Some(44), Some(0xcc))
        );
    }
}
