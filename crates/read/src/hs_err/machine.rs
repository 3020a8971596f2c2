//! `siginfo`, registers, what the VM says of their values, bytes at the stack pointer and the program counter.

use std::borrow::Cow;

use necropsy_model::hs_err::{Bytes, MachineState, MappedValue, PrintedAccess, Register, Said, SigInfo, ValueKind};
use necropsy_model::{Arena, Full};

use super::words::{Line, after, decimal_after, hex_after, leading_decimal, leading_hex, number};

/// Registers of one log at most: aarch64 has 33, PowerPC 40.
const MAX_REGISTERS: usize = 128;
/// Bytes of one block at most; HotSpot prints 512.
const MAX_BYTES: usize = 64 * 1024;

/// `siginfo: …` of every age and system.
pub(super) fn siginfo(line: Line<'_>) -> SigInfo<'_> {
    let text = line.text.trim_start_matches("siginfo:").trim();
    let mut info = SigInfo { text: text.into(), source: Some(line.source), ..SigInfo::default() };
    if let Some(rest) = after(text, "si_signo") {
        // `si_signo=SIGSEGV: si_errno=0, si_code=1 (SEGV_MAPERR), si_addr=0x8`: JDK 7 and early 8.
        // `si_signo: 11 (SIGSEGV), si_code: 1 (SEGV_MAPERR), si_addr: 0x8`: later.
        let value = rest.trim_start_matches([':', '=', ' ']);
        info.number = leading_decimal(value);
        let name = if info.number.is_some() { bracketed(value) } else { value.split([':', ',', ' ']).next() };
        info.name = name.filter(|name| !name.is_empty()).map(Cow::Borrowed);
        if let Some(code) = after(text, "si_code").map(|rest| rest.trim_start_matches([':', '=', ' '])) {
            info.code = signed(code);
            info.code_name = bracketed(code.split(", ").next().unwrap_or(code)).map(Cow::Borrowed);
        }
        info.address =
            after(text, "si_addr").map(|rest| rest.trim_start_matches([':', '=', ' '])).and_then(leading_hex);
        sender(&mut info, text);
        return info;
    }
    // Windows: `ExceptionCode=0xc0000005, reading address 0x18` (up to 8), `EXCEPTION_ACCESS_VIOLATION (0xc0000005), …`.
    info.number = hex_after(text, "ExceptionCode=").or_else(|| hex_after(text, "("));
    let name = text.split(" (").next().filter(|name| name.starts_with("EXCEPTION_"));
    info.name = name.map(Cow::Borrowed);
    for (words, access) in WORDS {
        if let Some(rest) = after(text, words) {
            info.access = Some(access);
            info.address = leading_hex(rest.trim_start());
            return info;
        }
    }
    // `ExceptionInformation=0x0000000000000008 0x0000000000000000`: the access, then the address.
    if let Some(rest) = after(text, "ExceptionInformation=") {
        let mut words = rest.split_whitespace().filter_map(leading_hex);
        info.access = match words.next() {
            Some(0) => Some(PrintedAccess::Read),
            Some(1) => Some(PrintedAccess::Write),
            Some(8) => Some(PrintedAccess::Execute),
            _ => None,
        };
        info.address = words.next();
    }
    info
}

/// How Windows logs word an access.
const WORDS: [(&str, PrintedAccess); 4] = [
    ("reading address", PrintedAccess::Read),
    ("writing address", PrintedAccess::Write),
    ("data execution prevention violation at address", PrintedAccess::Execute),
    ("executing address", PrintedAccess::Execute),
];

/// `sent from pid: 7 (uid: 0)` (8), `si_pid: 7, si_uid: 0` (17 and later), `si_pid: 7 (current process)`.
fn sender(info: &mut SigInfo<'_>, text: &str) {
    let pid = decimal_after(text, "sent from pid:")
        .or_else(|| decimal_after(text, "si_pid:"))
        .or_else(|| decimal_after(text, "si_pid="));
    let Some(pid) = pid else { return };
    info.sender_pid = Some(pid);
    info.sender_uid = decimal_after(text, "uid:").or_else(|| decimal_after(text, "si_uid="));
    info.sender_is_self = text.contains("current process");
    // The union behind the code holds the sender, not an address.
    info.address = None;
}

/// What stands in the first brackets.
fn bracketed(text: &str) -> Option<&str> {
    text.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map(|(inside, _)| inside)
}

fn signed(text: &str) -> Option<i64> {
    match text.strip_prefix('-') {
        Some(rest) => i64::try_from(leading_decimal(rest)?).ok().map(|value| -value),
        None => i64::try_from(leading_decimal(text)?).ok(),
    }
}

/// A name at the start of a text: `RAX`, `R8 `, ` x0`, `lr `.
fn name(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    let (name, rest) = text.split_once('=')?;
    let name = name.trim_end();
    let fits = (1..=8).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && name.starts_with(|c: char| c.is_ascii_alphabetic());
    fits.then_some((name, rest))
}

/// Takes a line of `Registers:` or of `Register to memory mapping:`. The build of JDK 11 for aarch64 put each list under the
/// other's header, so that the line decides.
pub(super) fn register_line<'d>(state: &mut MachineState<'d>, line: Line<'d>, full: &mut Full) {
    let Some((_, value)) = name(line.text) else { return };
    if !value.trim_start().starts_with("0x") {
        return mapping(state, line, full);
    }
    let digits = value.trim_start().trim_start_matches("0x").trim_start_matches(|c: char| c.is_ascii_hexdigit());
    let rest = digits.trim_start_matches([',', ' ']);
    if rest.is_empty() || name(rest).is_some_and(|(_, value)| value.trim_start().starts_with("0x")) {
        registers(state, line, full);
    } else {
        mapping(state, line, full);
    }
}

/// `RAX=0x…, RBX=0x…`.
fn registers<'d>(state: &mut MachineState<'d>, line: Line<'d>, full: &mut Full) {
    let mut rest = line.text;
    while let Some((name, value)) = name(rest) {
        let value = value.trim_start();
        let Some(number) = value.strip_prefix("0x").and_then(leading_hex) else { return };
        match name {
            "ERR" => state.error_code = Some(Said::new(number, line.source)),
            "TRAPNO" => state.trap = Some(Said::new(number, line.source)),
            _ if full.room("registers", state.registers.len(), MAX_REGISTERS) => {
                let name = name.to_ascii_lowercase();
                if !state.registers.iter().any(|known| known.name == name) {
                    state.registers.push(Register { name: Cow::Owned(name), value: number, source: line.source });
                }
            }
            _ => return,
        }
        rest = value.trim_start_matches("0x").trim_start_matches(|c: char| c.is_ascii_hexdigit());
        rest = rest.trim_start_matches([',', ' ', '\t']);
    }
}

/// `RAX=0x… is an oop: …`, `RBX={method} {0x…} 'm' '()V' in 'C'`, `RIP=0x…: f+0x1 in /lib/x.so at 0x…`.
fn mapping<'d>(state: &mut MachineState<'d>, line: Line<'d>, full: &mut Full) {
    let Some((name, rest)) = name(line.text) else { return };
    let lower = name.to_ascii_lowercase();
    let known = state.mapped.iter().any(|mapped| mapped.name == lower);
    if known || !full.room("registers with what they point to", state.mapped.len(), MAX_REGISTERS) {
        return;
    }
    state.mapped.extend(mapped(Cow::Owned(lower), rest, line));
}

/// `stack at sp + 1 slots: 0x… is …`.
pub(super) fn slot<'d>(state: &mut MachineState<'d>, line: Line<'d>, full: &mut Full) {
    let Some(rest) = line.text.trim_start().strip_prefix("stack at sp + ") else { return };
    let (Some(slot), Some((_, rest))) = (leading_decimal(rest), rest.split_once("slots:")) else { return };
    if full.room("words of the stack with what they point to", state.slots.len(), MAX_REGISTERS) {
        let name = Cow::Owned(format!("sp+{}", slot.saturating_mul(8)));
        state.slots.extend(mapped(name, rest, line));
    }
}

fn mapped<'d>(name: Cow<'d, str>, rest: &'d str, line: Line<'d>) -> Option<MappedValue<'d>> {
    let rest = rest.trim();
    let value = number(rest).filter(|_| rest.starts_with("0x")).or_else(|| hex_after(rest, "{"))?;
    let text = match rest.strip_prefix("0x") {
        Some(digits) => digits.trim_start_matches(|c: char| c.is_ascii_hexdigit()),
        None => rest,
    };
    let text = text.trim_start_matches(':').trim();
    Some(MappedValue {
        name,
        value,
        kind: kind(value, text),
        library: library(value, text),
        text: text.into(),
        source: line.source,
    })
}

/// `<offset 0x1206> in /tmp/x.so at 0x7f00`, `f+0x12 in /usr/lib/y.dylib at 0x1000`.
fn library(value: u64, text: &str) -> Option<(Cow<'_, str>, u64)> {
    let (before, base) = text.rsplit_once(" at 0x")?;
    let (_, path) = before.split_once(" in ")?;
    let base = leading_hex(base)?;
    path.starts_with(['/', '[']).then_some(())?;
    Some((Cow::Borrowed(path), value.checked_sub(base)?))
}

/// Texts of `os::print_location`, the more special first.
const KINDS: [(&str, ValueKind); 25] = [
    ("is null", ValueKind::Null),
    ("is NULL", ValueKind::Null),
    ("unknown readable memory", ValueKind::Readable),
    ("global jni handle", ValueKind::JniHandle),
    ("jni handle", ValueKind::JniHandle),
    ("JNI handle", ValueKind::JniHandle),
    ("{method}", ValueKind::Method),
    ("is a thread", ValueKind::Thread),
    ("into the stack for thread", ValueKind::Stack),
    ("stack for thread", ValueKind::Stack),
    ("is an oop", ValueKind::Object),
    ("is pointing into object", ValueKind::Heap),
    ("unallocated location in the heap", ValueKind::Heap),
    ("location in the heap", ValueKind::Heap),
    ("in metaspace", ValueKind::Metadata),
    ("into metadata", ValueKind::Metadata),
    ("is an unloaded", ValueKind::Metadata),
    ("klass", ValueKind::Metadata),
    ("Interpreter codelet", ValueKind::Code),
    ("code_begin", ValueKind::Code),
    ("CodeBlob", ValueKind::Code),
    ("StubRoutines", ValueKind::Code),
    ("malloc", ValueKind::Malloc),
    ("is an unknown value", ValueKind::Unknown),
    ("unknown value", ValueKind::Unknown),
];

fn kind(value: u64, text: &str) -> ValueKind {
    if library(value, text).is_some() {
        return ValueKind::Library;
    }
    let found = KINDS.iter().find(|(words, _)| text.contains(words)).map(|&(_, kind)| kind);
    match found {
        Some(ValueKind::Unknown) | None if value == 0 => ValueKind::Null,
        Some(kind) => kind,
        None => ValueKind::Other,
    }
}

/// Rows of a hexadecimal dump.
#[derive(Default)]
pub(super) struct Rows {
    /// Runs of rows that follow each other: first address, bytes, first line.
    runs: Vec<(u64, Vec<u8>, Option<necropsy_model::Source>)>,
    /// The row of the pc is marked `=>`.
    bytes: usize,
}

impl Rows {
    /// Takes `=>0x7f10:   48 8b 50 08 …` or `0x7f10:   000000018f3c30d8 … ..text`. Words are printed in the order of the
    /// machine: little-endian ones are turned.
    pub(super) fn line(&mut self, line: Line<'_>, big_endian: bool, full: &mut Full) {
        let text = line.text.trim_start().trim_start_matches("=>").trim_start();
        let Some((address, rest)) = text.strip_prefix("0x").and_then(|text| text.split_once(':')) else { return };
        let Some(address) = leading_hex(address) else { return };
        let mut bytes = Vec::with_capacity(16);
        // Two blanks or more part the bytes from the text column.
        for word in rest.split_whitespace() {
            let whole = matches!(word.len(), 2 | 4 | 8 | 16) && bytes.len() + word.len() / 2 <= 64;
            let Some(value) = whole.then(|| u64::from_str_radix(word, 16).ok()).flatten() else { break };
            let length = word.len() / 2;
            let wide = value.to_be_bytes();
            let own = wide.get(8 - length..).unwrap_or_default();
            if big_endian {
                bytes.extend(own);
            } else {
                bytes.extend(own.iter().rev());
            }
            if bytes.len() >= 16 {
                break;
            }
        }
        if bytes.is_empty() || !full.room("bytes of a piece of memory", self.bytes + bytes.len() - 1, MAX_BYTES) {
            return;
        }
        self.bytes += bytes.len();
        match self.runs.last_mut() {
            Some((start, run, _)) if start.checked_add(run.len() as u64) == Some(address) => run.extend(bytes),
            _ => self.runs.push((address, bytes, Some(line.source))),
        }
    }

    /// The run that holds `wanted`, else the first.
    pub(super) fn finish(self, wanted: Option<u64>, arena: &Arena) -> Option<Bytes<'_>> {
        let holds = |&(start, ref run, _): &(u64, Vec<u8>, _)| {
            wanted.and_then(|wanted| wanted.checked_sub(start)).is_some_and(|offset| offset < run.len() as u64)
        };
        let at = self.runs.iter().position(holds).unwrap_or(0);
        let (start, bytes, source) = self.runs.into_iter().nth(at)?;
        Some(Bytes { start, bytes: Cow::Borrowed(arena.keep(bytes)), source: source? })
    }
}
