//! Damage that knows what it damages: sections of a file, lines of a text, numbers, words of the formats.

use std::ops::Range;

use crate::mutation::{Patch, Random, patch, swap, zones_of_dump, zones_of_elf};

/// What an input is, as far as damage is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Lines.
    Text,
    /// An ELF core: offsets in it hold, so that most damage is done in place.
    Core,
    /// An ELF file with sections; the same.
    Elf,
    /// Bytes of one table.
    Bytes,
}

/// Longest input of all.
pub const LONGEST: usize = 96 << 10;

impl Shape {
    /// Longest input of this shape: the shorter, the more runs in a second.
    pub fn longest(self) -> usize {
        match self {
            Self::Text => 10 << 10,
            Self::Bytes => 32 << 10,
            Self::Core | Self::Elf => LONGEST,
        }
    }
}

/// Words of all text formats, and what breaks them.
const WORDS: &[&str] = &[
    "goroutine 1 [running]:\n",
    "goroutine 18446744073709551616 [",
    "created by main.main in goroutine 7\n",
    " minutes, locked to thread]:\n",
    "goroutine profile: total ",
    "# labels: {\"",
    "==================\n",
    "WARNING: DATA RACE\n",
    "SIGSEGV: segmentation violation\n",
    "Full thread dump OpenJDK 64-Bit Server VM (17.0.1+12 mixed mode):\n",
    "\"main\" #1 prio=5 os_prio=0 cpu=1.0ms elapsed=2.0s tid=0x00007f0000000000 nid=0x1 waiting on condition\n",
    "   java.lang.Thread.State: BLOCKED (on object monitor)\n",
    "\t- waiting to lock <0x00000000>",
    "\t- locked <0x",
    "Found one Java-level deadlock:\n",
    "# A fatal error has been detected by the Java Runtime Environment:\n#\n",
    "#  SIGSEGV (0xb) at pc=0x",
    "siginfo: si_signo: 11 (SIGSEGV), si_code: 1 (SEGV_MAPERR), si_addr: 0x",
    "Registers:\n",
    "RAX=0xffffffffffffffff is an unknown value\n",
    "Stack: [0x00007f,0x00007e],  sp=0x,  free space=18446744073709551615k\n",
    "C  [libc.so.6+0x",
    "J 123 c2 a.b.C.d(I)V (9999999999 bytes) @ 0x0 [0x0+0x0]\n",
    "0SECTION       THREADS subcomponent dump routine\n",
    "3XMTHREADINFO      \"",
    "4XESTACKTRACE                at ",
    "1LKDEADLOCK    Deadlock detected !!!\n",
    "Thread 1 (Thread 0x7f00 (LWP 1)):\n",
    "#0  0x",
    " in main () at a.c:4294967296\n",
    "TID 1:\n",
    "[New LWP 1]\n",
    "Program terminated with signal SIGSEGV",
    "{\"threadDump\":{\"processId\":\"",
    "{\"threads\":[{\"threadName\":\"",
    "\"stackTrace\":[",
    "00400000-00401000 r-xp 00000000 08:01 1 /",
    "MODULE Linux x86_64 0 a\n",
    "FUNC m 0 ffffffffffffffff 0 ",
    "INLINE 4294967295 1 0 0 0 ffffffffffffffff\n",
    "app[4242]: segfault at 18 ip 000055d0c3a2b1a9 sp 00007ffd error 4 in app[55d0c3a2b000+1000]\n",
    "Out of memory: Killed process 4242 (app) total-vm:4000kB, anon-rss:40kB\n",
    "CoreDump: base64\n H4sICAAAAAAC",
    "goroutine profile: total 4294967296\n4294967296 @ 0x1\n",
    "HTTP/1.1 200 OK\r\n",
    "Content-Length: 18446744073709551615\r\n",
    "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
    "{\"log\":\"",
    "2026-01-02T03:04:05Z stderr F ",
    "\u{1b}[2J\u{1b}]0;x\u{7}",
    "\u{202e}\u{2066}",
    "\u{9b}31m",
    "\u{2028}",
    "\\u001b\\ud800\\u0000",
    "99999999999999999999999",
    "18446744073709551615",
    "9223372036854775808",
    "-9223372036854775808",
    "0xffffffffffffffff",
    "1e999",
    "NaN",
    "\"",
    "{",
    "[",
    "(",
    "<",
    "\n\n",
    "\r\n",
    "\t",
];

/// A damaged copy of `seed`; pieces may come from `other`.
pub fn mutate(shape: Shape, seed: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut data = seed.to_vec();
    let in_place = matches!(shape, Shape::Core | Shape::Elf);
    for _ in 0..=random.below(5) {
        let many = if in_place { 13 } else { 22 };
        match random.below(many) {
            0..=11 => damage(shape, &mut data, random),
            12 => {
                let keep = random.below(data.len() + 1);
                data.truncate(keep);
            }
            _ => reshape(shape, &mut data, other, random),
        }
    }
    data.truncate(shape.longest().max(seed.len()));
    data
}

/// Other bytes in the same places.
fn damage(shape: Shape, data: &mut [u8], random: &mut Random) {
    let zones: Vec<Range<usize>> = match shape {
        Shape::Elf => zones_of_elf(data),
        Shape::Core => zones_of_dump(data),
        _ => Vec::new(),
    };
    let zones = if zones.is_empty() { std::iter::once(0..data.len()).collect() } else { zones };
    if data.is_empty() {
        return;
    }
    let mut patches: Vec<Patch> = vec![patch(data, &zones, shape == Shape::Text, random)];
    patches.retain(|(at, bytes)| at + bytes.len() <= data.len());
    swap(data, &mut patches);
}

/// Pieces taken out, doubled, moved and put in.
fn reshape(shape: Shape, data: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let piece = piece(shape, data, random);
    let at = if shape == Shape::Text && random.below(2) == 0 { piece.start } else { random.below(data.len() + 1) };
    match random.below(6) {
        0 => drop(data.drain(piece)),
        1 => {
            let copy = data.get(piece).unwrap_or_default().to_vec();
            insert(shape, data, at, &copy);
        }
        2 => {
            // A thing a thousand times: counts and depths that no program reaches.
            let copy = data.get(piece).unwrap_or_default().to_vec();
            let times = 1 << random.below(11);
            let room = shape.longest().saturating_sub(data.len()) / copy.len().max(1);
            insert(shape, data, at, &copy.repeat(room.min(times)));
        }
        3 => {
            let from = self::piece(shape, other, random);
            let copy = other.get(from).unwrap_or_default().to_vec();
            insert(shape, data, at, &copy);
        }
        4 if shape == Shape::Text => number(data, random),
        _ if shape == Shape::Text => insert(shape, data, at, random.pick(WORDS).as_bytes()),
        _ => {
            let bytes = random.number().to_le_bytes();
            insert(shape, data, at, &bytes[..=random.below(8)]);
        }
    }
}

/// A piece of some bytes; of a text mostly whole lines.
fn piece(shape: Shape, data: &[u8], random: &mut Random) -> Range<usize> {
    if data.is_empty() {
        return 0..0;
    }
    let start = random.below(data.len());
    let most = 1 << random.below(10);
    let length = 1 + random.below(most);
    let end = (start + length).min(data.len());
    if shape != Shape::Text || random.below(4) == 0 {
        return start..end;
    }
    let before = data[..start].iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let behind = data[end..].iter().position(|&byte| byte == b'\n').map_or(data.len(), |at| end + at + 1);
    before..behind
}

fn insert(shape: Shape, data: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if data.len() + bytes.len() <= shape.longest() {
        data.splice(at..at, bytes.iter().copied());
    }
}

/// Another number where one stands.
fn number(data: &mut Vec<u8>, random: &mut Random) {
    const NUMBERS: [&str; 8] =
        ["0", "1", "4294967296", "18446744073709551615", "18446744073709551616", "-1", "9223372036854775807", "7"];
    let from = random.below(data.len() + 1);
    let Some(start) = data.get(from..).and_then(|rest| rest.iter().position(u8::is_ascii_digit)) else { return };
    let start = from + start;
    let length = data[start..].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    data.splice(start..start + length, random.pick(&NUMBERS).bytes());
}
