//! Single parsers, without a dump around them.

#![allow(clippy::unnecessary_wraps, reason = "all targets have one signature")]

use necropsy_config::{Config, Owners};
use necropsy_diagnose::Noise;
use necropsy_model::{Arch, Full};
use necropsy_read::tokens::{self, Line};
use necropsy_symbolicate::doors;
use object::{Object, ObjectSection};

use crate::seeds;

/// Sections of the ELF files of the fixtures by these names.
fn sections(names: &[&str]) -> Vec<Vec<u8>> {
    let of = |file: &Vec<u8>| {
        let Ok(file) = object::File::parse(file.as_slice()) else { return Vec::new() };
        let found = names.iter().filter_map(|name| file.section_by_name(name)?.data().ok().map(<[u8]>::to_vec));
        found.map(seeds::cut).collect::<Vec<_>>()
    };
    seeds::elf_files().iter().flat_map(of).filter(|bytes| !bytes.is_empty()).collect()
}

pub(super) fn config_seeds() -> Vec<Vec<u8>> {
    vec![
        b"redact = true\ndebug-dirs = ['symbols', \"/srv/symbols\"]\nin-app = ['libledger*', 'main.*']\nsymbol-servers = ['https://debuginfod.elfutils.org/']\nnoise = [\n  'module libshop*', # its own\n  'function shop::check*',\n]\n\n[owners]\n'lib*' = 'platform'\n\"libledger.so\" = \"pay\\u00e9e\"\n".to_vec(),
        b"owners = { a = 'b', 'c.d' = '''e''' }\nnoise = [\"\"\"module x\"\"\"]\n".to_vec(),
    ]
}

/// A configuration: whatever stands in it, an answer or a line of it with one phrase.
pub(super) fn config(input: &[u8]) -> Result<(), String> {
    let Ok(text) = std::str::from_utf8(input) else { return Ok(()) };
    let config = match Config::parse(text) {
        Ok(config) => config,
        Err((line, message)) if message.contains('\n') || line == 0 || line > text.split('\n').count() => {
            return Err(format!("line {line}: {message:?}"));
        }
        Err(_) => return Ok(()),
    };
    let noise = Noise::with(&config.noise.join("\n")).map(|noise| noise.with_own(config.in_app));
    let owners = Owners::new(config.owners);
    let place = necropsy_model::Place {
        thread: None,
        frame: None,
        function: text.lines().next().map(Into::into),
        module: Some("/srv/libledger.so".into()),
        svma: None,
        location: None,
        inlined: false,
        trust: None,
        role: necropsy_model::Role::Victim,
    };
    let _ = (noise.is_ok(), owners.of(&place).map(str::len));
    Ok(())
}

pub(super) fn maps_seeds() -> Vec<Vec<u8>> {
    vec![
        b"00400000-00401000 r--p 00000000 fe:00 77     /srv/my app (deleted)\n00401000-00402000 r-xp 00001000 fe:00 77     /srv/my app (deleted)\n7f1375000000-7f1375001000 rw-p 00000000 00:00 0      [heap]\n7f1375401000-7f1375402000 r-xp 00001000 fe:00 79     /lib/libx.so\n".to_vec(),
    ]
}

pub(super) fn maps(input: &[u8]) -> Result<(), String> {
    let found = necropsy_read::maps(input).is_some_and(|snapshot| snapshot.modules.is_empty());
    if found { Err("a table without modules".to_owned()) } else { Ok(()) }
}

pub(super) fn tokens_seeds() -> Vec<Vec<u8>> {
    let lines = "#0  0x00007f3b5c8a1e2c n/a (libc.so.6 + 0x8ae2c)\n    #1 0x55d0c3a2b1a9 in f /srv/a.c:3\n    #0 0x4f0b3c  (/srv/app+0xf0b3c) (BuildId: 0123456789abcdef0123)\n  File \"/srv/app\", at _PyEval+0x1f3 [0x55d0]\n/lib/libc.so.6(+0x29d90)[0x7f1234567d90]\napp[4242]: segfault at 18 ip 000055d0c3a2b1a9 sp 00007ffd error 4 in app[55d0c3a2b000+1000]\nC  [libjvm.so+0xab12]  Foo::bar+0x1f\nmain.apply(0x0, {0xc000012345, 0x5})\n\t/srv/apply.go:12 +0x25\n   4: 0x55d0c3a2b1a9 - app::main::h0123456789abcdef\n[<ffffffff81000000>] do_one+0x10/0x20 [ledger 0123456789abcdef0123456789abcdef01234567]\n";
    let mut found = vec![lines.as_bytes().to_vec()];
    found.extend(seeds::texts());
    found
}

pub(super) fn tokens(input: &[u8]) -> Result<(), String> {
    let mut previous: &[u8] = &[];
    for line in input.split(|&byte| byte == b'\n') {
        for bare in [false, true] {
            let found = tokens::find(&Line { bytes: line, previous }, bare, &mut Full::default());
            let ranges: Vec<_> = found.iter().map(|(_, token)| token.range.clone()).collect();
            if ranges.iter().any(|range| range.is_empty() || range.end > line.len()) {
                return Err("a token outside of its line".to_owned());
            }
            if ranges.windows(2).any(|pair| matches!(pair, [a, b] if a.end > b.start)) {
                return Err("two tokens claim the same bytes".to_owned());
            }
        }
        previous = line;
    }
    Ok(())
}

pub(super) fn breakpad_seeds() -> Vec<Vec<u8>> {
    vec![b"MODULE Linux x86_64 0123456789ABCDEF0123456789ABCDEF0 app\nINFO CODE_ID 0123\nFILE 0 /srv/a.c\nFILE 1 /srv/b.h\nINLINE_ORIGIN 0 inner(int)\nINLINE_ORIGIN 1 _ZN3app5outerEv\nFUNC 1000 40 0 main\nINLINE 0 9 0 0 1010 10\nINLINE 1 3 1 1 1014 4\n1000 10 8 0\n1010 10 4 1\n1020 20 12 0\nFUNC m 2000 30 8 folded\n2000 30 7 1\nPUBLIC 3000 0 _start\nPUBLIC m 3040 0 other\nSTACK CFI INIT 1000 40 .cfa: $rsp 8 + .ra: .cfa -8 + ^\nSTACK CFI 1001 .cfa: $rsp 16 +\n".to_vec()]
}

/// Sorted addresses in the functions of the seed and far from them.
const ADDRESSES: [u64; 9] = [0, 0x1000, 0x1012, 0x1015, 0x1021, 0x2010, 0x3004, 0x3041, u64::MAX];

pub(super) fn breakpad(input: &[u8]) -> Result<(), String> {
    doors::breakpad(input, &ADDRESSES);
    Ok(())
}

/// The first byte says which table and machine, the next four how long the stack behind it is.
pub(super) fn cfi_seeds() -> Vec<Vec<u8>> {
    let with = |kind: u8, names: &[&str]| -> Vec<Vec<u8>> {
        sections(names).into_iter().map(|table| [&[kind, 0, 1][..], &[0x20; 256], &table].concat()).collect()
    };
    let mut found = with(0, &[".eh_frame"]);
    found.extend(with(1, &[".debug_frame"]));
    found.extend(with(2, &[".eh_frame"]));
    found.push([&[1, 0, 1][..], &[0x20; 256], &expression_table()].concat());
    found
}

/// A `.debug_frame` of one function whose rules are expressions: DWARF 5 section 6.4, by hand.
fn expression_table() -> Vec<u8> {
    // CIE: id, version 4, no augmentation, 8-byte addresses, factors 1 and -8, return address in 16.
    let cie = [&[0xff; 4][..], &[4, 0, 8, 0, 1, 0x78, 16, 0x0c, 7, 8, 0x90, 1, 0, 0]].concat();
    // `DW_CFA_def_cfa_expression`: breg7+8, deref, lit1, bra, skip; `DW_CFA_expression`, `DW_CFA_val_expression`.
    let rules = [
        0x0f, 12, 0x77, 8, 0x06, 0x12, 0x31, 0x28, 0xfb, 0xff, 0x2f, 0, 0, 0x22, 0x10, 6, 3, 0x76, 0x10, 0x06, 0x16, 3,
        4, 0x77, 0x20, 0x06, 0,
    ];
    let fde = [&[0; 4][..], &0x1000_u64.to_le_bytes(), &0x400_u64.to_le_bytes(), &rules].concat();
    let part = |bytes: &[u8]| [&(bytes.len() as u32).to_le_bytes()[..], bytes].concat();
    [part(&cie), part(&fde)].concat()
}

pub(super) fn cfi(input: &[u8]) -> Result<(), String> {
    let Some((&[kind, low, high], rest)) = input.split_first_chunk::<3>() else { return Ok(()) };
    let (stack, table) = rest.split_at(usize::from(u16::from_le_bytes([low, high])).min(rest.len()));
    let arch = if kind & 2 == 0 { Arch::X86_64 } else { Arch::Aarch64 };
    // Where a table describes code at all, the first functions are near its own beginning or at small addresses.
    let addresses = [0, 0x1000, 0x1004, 0x1010, 0x1100, 0x10_000, 0x9000, 0x40_1000, 0x40_1010, u64::MAX];
    doors::unwind(arch, table, kind & 1 == 1, stack, &addresses);
    Ok(())
}

pub(super) fn go_table_seeds() -> Vec<Vec<u8>> {
    let mut found = sections(&[".gopclntab"]);
    found.extend([[0xfb, 0xff], [0xfa, 0xff], [0xf0, 0xff], [0xf1, 0xff]].map(small_go_table));
    found
}

/// A table of two functions as Go 1.2, 1.16, 1.18 or 1.20 lays it out (`runtime/symtab.go`), by hand.
fn small_go_table(magic: [u8; 2]) -> Vec<u8> {
    let modern = matches!(magic, [0xf0 | 0xf1, _]);
    let mut table = vec![magic[0], magic[1], 0xff, 0xff, 0, 0, 1, 8];
    let fields: &[u64] = match magic {
        [0xfb, _] => &[2],
        [0xfa, _] => &[2, 1, 0x60, 0x80, 0x90, 0xa0, 0xc0],
        _ => &[2, 1, 0, 0x60, 0x80, 0x90, 0xa0, 0xc0],
    };
    put(&mut table, fields);
    if magic[0] == 0xfb {
        put(&mut table, &[0_u64, 0x50, 0x1000, 0x78, 0x2000]);
        table.extend(0xa0_u32.to_le_bytes());
    }
    table.resize(0x60, 0);
    table.extend(b"\0main.main\0runtime.sigpanic\0");
    table.resize(0x80, 0);
    table.extend([0; 16]);
    table.extend(b"/srv/main.go\0");
    table.resize(0xa0, 0);
    table.extend([2, 16, 1, 8, 0, 4, 8, 2, 4, 0]);
    table.resize(0xc0, 0);
    if modern {
        put_short(&mut table, &[0_u32, 0x20, 0x1000, 0x50, 0x2000]);
    } else {
        put(&mut table, &[0_u64, 0x28, 0x1000, 0x50, 0x2000]);
    }
    for _ in 0..2 {
        put_short(&mut table, &[0_u32, 1, 0, 0, 1, 3, 5, 4, 0, 0, 0x0400_0000, 0, 1, 2, 3]);
    }
    table
}

fn put(table: &mut Vec<u8>, words: &[u64]) {
    table.extend(words.iter().flat_map(|word| word.to_le_bytes()));
}

fn put_short(table: &mut Vec<u8>, words: &[u32]) {
    table.extend(words.iter().flat_map(|word| word.to_le_bytes()));
}

pub(super) fn go_table(input: &[u8]) -> Result<(), String> {
    doors::go_table(input, &[0, 1, 0x800, 0x1000, 0x1003, 0x1fff, 0x2000, 0x40_1000, 0x46_0000, u64::MAX]);
    Ok(())
}

pub(super) fn mini_seeds() -> Vec<Vec<u8>> {
    sections(&[".gnu_debugdata"])
}

pub(super) fn mini(input: &[u8]) -> Result<(), String> {
    doors::mini(input);
    Ok(())
}

pub(super) fn section_seeds() -> Vec<Vec<u8>> {
    let mut found = sections(&[".debug_info", ".debug_str", ".debug_line", ".symtab"]);
    // The beginning is what is looked at.
    for bytes in &mut found {
        bytes.truncate(8 << 10);
    }
    found
}

pub(super) fn section(input: &[u8]) -> Result<(), String> {
    let unpacked = necropsy_debuginfod::unpacked_section(input);
    let most = input.len().saturating_mul(1100).max(input.len());
    if unpacked.is_some_and(|bytes| bytes.len() > most) { Err("a section that grew".to_owned()) } else { Ok(()) }
}
