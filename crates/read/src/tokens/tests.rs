use necropsy_model::{Meant, Offset};

use super::*;

/// Each token of a line in words: kind, its bytes, file, place, whether the call before it is meant.
fn said(previous: &str, line: &str) -> Vec<String> {
    let line = Line { bytes: line.as_bytes(), previous: previous.as_bytes() };
    let words = |(kind, token): (&Kind, Token)| {
        let bytes = String::from_utf8_lossy(&line.bytes[token.range.clone()]).into_owned();
        let file = token.address.file.as_ref().map(|(file, offset)| {
            let id = file.build_id.as_ref().map(|id| format!("{id} ")).unwrap_or_default();
            let offset = match offset {
                Offset::Stated(at) => format!("{at}"),
                Offset::Loaded(at) => format!("loaded+{at:#x}"),
                Offset::InFile(at) => format!("file+{at:#x}"),
                Offset::InMapping { offset, size } => format!("mapping+{offset:#x} of {size:#x}"),
                Offset::Symbol { name, offset } => format!("{name}+{offset:#x}"),
            };
            format!("{id}{} {offset}", file.path.as_deref().unwrap_or("-"))
        });
        let process = token.address.process.map(|at| format!("@{at}"));
        let meant = match token.address.meant {
            Meant::Instruction => "exact",
            Meant::Return => "return",
            Meant::Unknown => "?",
        };
        let place = file.into_iter().chain(process).collect::<Vec<_>>().join(" ");
        format!("{}: {bytes} -> {place} {meant}", kind.name)
    };
    find(&line, true, &mut Full::default()).into_iter().map(words).collect()
}

/// The first token that is more than a plain address.
fn first(line: &str) -> String {
    said("", line).into_iter().find(|token| !token.starts_with("address:")).unwrap_or_default()
}

#[test]
fn linux_says_where_in_the_file_or_in_the_mapping() {
    assert_eq!(
        first(
            "[ 1.5] w[48]: segfault at 8 ip 00007f13754b2335 sp 00007f13625fe480 error 4 in libx.so.1[8b2335,7f1374c00000+e9c000] likely on CPU 1"
        ),
        "kernel: libx.so.1[8b2335,7f1374c00000+e9c000] -> libx.so.1 file+0x8b2335 @0x7f13754b2335 exact"
    );
    assert_eq!(
        first(
            "traps: plain[14] general protection fault ip:555f17bb232f sp:7ffeb1454a78 error:0 in plain[555f17bb2000+1000]"
        ),
        "kernel: plain[555f17bb2000+1000] -> plain mapping+0x32f of 0x1000 @0x555f17bb232f exact"
    );
}

#[test]
fn stacks_of_the_c_library() {
    assert_eq!(
        first("./lib.so(+0x1b2c)[0x7f0011223344]"),
        "backtrace: ./lib.so(+0x1b2c)[0x7f0011223344] -> ./lib.so 0x1b2c @0x7f0011223344 return"
    );
    assert_eq!(
        first("2026-11-21 ERR prog(main+0x1d) [0x401136]"),
        "backtrace: prog(main+0x1d) [0x401136] -> prog main+0x1d @0x401136 return"
    );
    assert_eq!(first("./prog() [0x401136]"), "backtrace: ./prog() [0x401136] -> ./prog 0x401136 @0x401136 return");
}

#[test]
fn stacks_of_systemd_and_of_sanitizers() {
    assert_eq!(
        first("                #0  0x00007f3c8a4f2e9b n/a (libc.so.6 + 0x8ce9b)"),
        "coredumpctl: (libc.so.6 + 0x8ce9b) -> libc.so.6 loaded+0x8ce9b @0x7f3c8a4f2e9b exact"
    );
    assert_eq!(
        first("#12 0x000055d0c3a2b1a9 main (prog + 0x11a9)"),
        "coredumpctl: (prog + 0x11a9) -> prog loaded+0x11a9 @0x55d0c3a2b1a9 return"
    );
    assert_eq!(
        first("    #1 0x7f00112 in f(int) (/lib/libx.so+0x1139) (BuildId: 89c3cb85f9e55046776471fed05ec441581d1969)"),
        "sanitizer: (/lib/libx.so+0x1139) (BuildId: 89c3cb85f9e55046776471fed05ec441581d1969) -> \
         89c3cb85f9e55046776471fed05ec441581d1969 /lib/libx.so 0x1139 @0x7f00112 exact"
    );
    assert_eq!(
        first("    #5 0x563349e6f180 in _start (/opt/asan+0x1180)"),
        "sanitizer: (/opt/asan+0x1180) -> /opt/asan 0x1180 @0x563349e6f180 exact"
    );
}

#[test]
fn stacks_of_runtimes() {
    assert_eq!(
        first("  Binary file \"/lib/libc.so.6\", at +0x406b0 [0x7f2bbb4af6b0]"),
        "faulthandler: Binary file \"/lib/libc.so.6\", at +0x406b0 [0x7f2bbb4af6b0] -> /lib/libc.so.6 0x406b0 \
         @0x7f2bbb4af6b0 return"
    );
    assert_eq!(
        first("  Binary file \"python3.15\", at _Py_DumpStack+0x4a [0x4a12b9]"),
        "faulthandler: Binary file \"python3.15\", at _Py_DumpStack+0x4a [0x4a12b9] -> python3.15 _Py_DumpStack+0x4a \
         @0x4a12b9 return"
    );
    assert_eq!(
        first("  Binary file \"python3.15\" [0x564ea1]"),
        "faulthandler: Binary file \"python3.15\" [0x564ea1] -> python3.15 0x564ea1 @0x564ea1 return"
    );
    assert_eq!(said("", "   3:     0x55d0c3a2b1a9 - <unknown>"), ["rust: 0x55d0c3a2b1a9 -> @0x55d0c3a2b1a9 return"]);
    assert_eq!(
        said("", "[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x45f2a1]"),
        ["address: 0x1 -> @0x1 ?", "address: 0x0 -> @0x0 ?", "go: 0x45f2a1 -> @0x45f2a1 exact"]
    );
}

#[test]
fn only_the_first_native_frame_of_hotspot_is_where_the_thread_was() {
    let frame = "C  [libc.so.6+0x45320]";
    let place = "hs-err: [libc.so.6+0x45320] -> libc.so.6 loaded+0x45320";
    assert_eq!(said("Native frames: (J=compiled Java code)", frame), [format!("{place} exact")]);
    assert_eq!(said("C  [libjvm.so+0x1]", frame), [format!("{place} return")]);
    assert_eq!(first("# C  [libc.so.6+0x45320]  abort+0x10"), format!("{place} exact"));
}

#[test]
fn plain_forms() {
    assert_eq!(first("at libx.so+0x1139, called"), "module-offset: libx.so+0x1139 -> libx.so loaded+0x1139 ?");
    assert_eq!(
        first("id=89c3cb85f9e55046776471fed05ec441581d1969:0x29d8f."),
        "build-id: 89c3cb85f9e55046776471fed05ec441581d1969:0x29d8f -> 89c3cb85f9e55046776471fed05ec441581d1969 - 0x29d8f ?"
    );
    assert_eq!(said("", "0000000000401136 T main"), ["address: 0000000000401136 -> @0x401136 ?"]);
}

#[test]
fn what_is_no_address_is_left_alone() {
    for line in [
        "",
        "12:30:45.123 GET /index (took +0xzz) [0x]",
        "face:beef deadbeef0 a_8 0xg",
        "#0 (x + 0x",
        "Binary file \"x",
        "segfault at 8 ip 0 in [",
        "C  [",
        "(+)[12",
    ] {
        assert_eq!(said("", line), [""; 0], "{line}");
    }
}

#[test]
fn no_bytes_make_it_panic() {
    let lines = [
        "w[48]: segfault at 8 ip 00007f13754b2335 sp 0 error 4 in libx.so.1[8b2335,7f1374c00000+e9c000]",
        "    #1 0x7f00112 in f(int) (/lib/libx.so+0x1139) (BuildId: 89c3cb85f9e55046776471fed05ec441581d1969)",
        "  Binary file \"python3.15\", at _Py_DumpStack+0x4a [0x4a12b9]",
        "prog(main+0x1d) [0x401136] #1 0x1 main (prog + 0x11a9)",
        "C  [libc.so.6+0x45320]  abort+0x10",
    ];
    for line in lines {
        for cut in 0..line.len() {
            let _ = said("", &line[..cut]);
            for byte in [b'(', b'+', b'[', b'"', 0xff, b' ', b':'] {
                let mut bytes = line.as_bytes().to_vec();
                bytes[cut] = byte;
                let _ = find(&Line { bytes: &bytes, previous: b"" }, true, &mut Full::default());
            }
        }
    }
}
