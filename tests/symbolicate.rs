//! `necropsy symbolicate` through the real binary, on the library of the fixture `dynamic-musl`.

#[path = "symbolicate/files.rs"]
mod files;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Build id of the library.
const BUILD_ID: &str = "e60600ec81778772cbb9b51ee6b7e32b2d2d70c7";
const LIBRARY: &str = "dynamic-musl/root/srv/ledger/lib/libledger.so";

fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/elf-core").join(path)
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_necropsy"));
    command.arg("symbolicate").args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(args: &[&str], input: &[u8]) -> Output {
    let mut child = command(args).spawn().expect("the program runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("the writer ends");
    output
}

fn text(args: &[&str], input: &str) -> String {
    let output = run(args, input.as_bytes());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn library() -> String {
    fixture(LIBRARY).to_str().expect("a path of text").to_owned()
}

#[test]
fn names_stand_behind_the_addresses_and_everything_else_is_as_it_came() {
    let library = library();
    let input = format!(
        "12:00 boot\r\n\
         {library}(+0x111f)[0x7f0000001f1f] tail\n\
         w[4]: segfault at 0 ip 00007f0000001145 sp 0 error 4 in libledger.so[1145,7f0000001000+1000] likely\n\
         w[4]: segfault at 0 ip 00007f0000001145 sp 0 error 4 in libledger.so[7f0000001000+1000]\n\
         #0  0x00007f0000001145 n/a (libledger.so + 0x1145)\n\
         at {BUILD_ID}:0x1145\n\
         \x07 no newline at the end"
    );
    let module = ["-q", "-s", "--module", &library];
    let convert = " {ledger_convert at libledger.c:21}";
    let expected = input
        .replace("[0x7f0000001f1f]", "[0x7f0000001f1f] {ledger_currency at libledger.c:14}")
        .replace("1000+1000]", &format!("1000+1000]{convert}"))
        .replace("(libledger.so + 0x1145)", &format!("(libledger.so + 0x1145){convert}"))
        .replace(&format!("{BUILD_ID}:0x1145"), &format!("{BUILD_ID}:0x1145{convert}"));
    assert_eq!(text(&module, &input), expected);
}

#[test]
fn bytes_that_are_no_text_pass_unchanged() {
    let bytes: Vec<u8> = (0..=255_u8).cycle().take(700_000).collect();
    let output = run(&["-q", "--module", &library()], &bytes);
    assert!(output.status.success());
    assert!(output.stdout == bytes, "the output differs from the input");
}

#[test]
fn a_return_address_stands_for_the_call_before_it() {
    // The first instruction of a function is not what a return address there means.
    let asked = |which: &str| text(&["-q", "-s", "--addresses", which, "--module", &library()], "0x1140\n");
    assert!(asked("exact").contains("{ledger_convert at "), "{}", asked("exact"));
    assert!(asked("return").contains("{ledger_currency at "), "{}", asked("return"));
}

#[test]
fn names_only_reads_no_lines_and_another_build_is_not_used() {
    let library = library();
    assert_eq!(text(&["-q", "--names-only", "--module", &library], "0x1145\n"), "0x1145 {ledger_convert}\n");
    let other = BUILD_ID.replace('e', "f");
    let line = format!("{other}:0x1145\n");
    let output = run(&["--module", &library], line.as_bytes());
    assert_eq!(String::from_utf8_lossy(&output.stdout), line);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(&other) && said.contains("0 of 1"), "{said}");
}

#[test]
fn json_says_where_a_name_came_from_and_why_there_is_none() {
    let library = library();
    let input = format!("x {library}+0x111f y\n{library}+0xffff\n");
    let output = text(&["--json", "--addresses", "return"], &input);
    let records: Vec<serde_json::Value> =
        output.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let [found, missing] = records.as_slice() else { panic!("{output}") };
    assert_eq!(found["line"], 1);
    assert_eq!(found["column"], 2);
    assert_eq!(found["address"], "0x111f");
    assert_eq!(found["looked_up"], "0x111e");
    assert_eq!(found["build_id"], BUILD_ID);
    assert_eq!(found["frames"][0]["function"], "ledger_currency");
    assert_eq!(found["frames"][0]["symbol"], "dwarf");
    assert_eq!(found["frames"][0]["line"], 14);
    assert_eq!(missing["frames"].as_array().map(Vec::len), Some(0));
    assert!(missing["reason"].as_str().is_some_and(|why| why.contains("no code")), "{missing}");
}

#[test]
fn absolute_addresses_by_a_copy_of_proc_maps() {
    let directory = tempfile::tempdir().expect("a directory");
    let maps = directory.path().join("maps");
    let library = library();
    let lines = format!(
        "7f0000000000-7f0000001000 r--p 00000000 fe:00 1 {library}\n7f0000001000-7f0000002000 r-xp 00001000 fe:00 1 {library}\n"
    );
    std::fs::write(&maps, lines).expect("a file");
    let maps = maps.to_str().expect("text");
    let output =
        text(&["-q", "-s", "--map", maps], "pc 0x7f0000001145 sp 0x7ffd00001000\n   2: 0x7f0000001140 - <unknown>\n");
    assert_eq!(
        output,
        "pc 0x7f0000001145 {ledger_convert at libledger.c:21} sp 0x7ffd00001000\n   \
         2: 0x7f0000001140 {ledger_currency at libledger.c:17} - <unknown>\n"
    );
}

#[test]
fn a_path_that_is_relative_is_one_of_the_working_directory() {
    let library = PathBuf::from(library());
    let name = "./libledger.so(+0x111f)[0x7f0000001f1f]";
    let there = |folder: &Path, further: &[&str]| {
        let mut child =
            command(&[&["-q", "-s"], further].concat()).current_dir(folder).spawn().expect("the program runs");
        child.stdin.take().expect("a pipe").write_all(name.as_bytes()).expect("a pipe");
        String::from_utf8(child.wait_with_output().expect("it ends").stdout).expect("text")
    };
    let folder = library.parent().expect("a folder");
    assert_eq!(there(folder, &[]), format!("{name} {{ledger_currency at libledger.c:14}}"));
    assert_eq!(there(Path::new("/"), &[]), name);
    let elsewhere = tempfile::tempdir().expect("a directory");
    let sysroot = elsewhere.path().to_str().expect("text");
    assert_eq!(there(folder, &["--sysroot", sysroot]), name, "the text is of another machine");
}

#[test]
fn a_fatal_error_log_of_a_jvm_by_its_own_table() {
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("hs_err_pid1.log");
    let library = library();
    let text_of_log = format!(
        "#\n# A fatal error has been detected by the Java Runtime Environment:\n#\n\
         #  SIGSEGV (0xb) at pc=0x00007f0000001145, pid=1, tid=1\n#\n# Java VM: OpenJDK 64-Bit Server VM (25+36-LTS, mixed mode, g1 gc, linux-amd64)\n\
         # Problematic frame:\n# C  [libledger.so+0x1145]\n#\n\
         RIP=0x00007f0000001145, RSP=0x00007ffd00001000\n\nDynamic libraries:\n\
         7f0000000000-7f0000001000 r--p 00000000 fe:00 1    {library}\n\
         7f0000001000-7f0000002000 r-xp 00001000 fe:00 1    {library}\n\n"
    );
    std::fs::write(&log, &text_of_log).expect("a file");
    let log = log.to_str().expect("text");
    let convert = " {ledger_convert at libledger.c:21}";
    let expected = text_of_log
        .replace("pc=0x00007f0000001145", &format!("pc=0x00007f0000001145{convert}"))
        .replace("[libledger.so+0x1145]", &format!("[libledger.so+0x1145]{convert}"))
        .replace("RIP=0x00007f0000001145", &format!("RIP=0x00007f0000001145{convert}"));
    assert_eq!(text(&["-q", "-s", "--map", log, log], ""), expected);
    assert_eq!(text(&["-q", "-s", "--core", log], "7f0000001145\n"), "7f0000001145\n", "no word of 8 or 16 digits");
}

#[test]
fn a_line_is_answered_while_the_pipe_stays_open() {
    let mut child = command(&["-q", "-s", "--module", &library()]).spawn().expect("the program runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    for _ in 0..3 {
        stdin.write_all(b"ip 0x1145 here\npart").expect("a pipe");
        let mut line = String::new();
        // This waits for ever if the answer is held back: the pipe is open.
        stdout.read_line(&mut line).expect("a line");
        assert!(line.ends_with("ip 0x1145 {ledger_convert at libledger.c:21} here\n"), "{line}");
    }
    drop(stdin);
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).expect("the rest");
    assert_eq!(rest, "part");
    assert!(child.wait().expect("it ends").success());
}

#[test]
fn a_file_that_is_not_there_is_an_error() {
    for args in [
        &["--module", "/no/such/file"][..],
        &["--core", "/no/such/core"],
        &["/no/such/log"],
        &["--debug-dir", "/no/such"],
    ] {
        let output = run(args, b"");
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(!output.stderr.is_empty());
    }
}

#[test]
fn addresses_of_a_stripped_go_program() {
    let packed = fixture("go-stripped/root/srv/ledger/ledger.zst");
    let directory = tempfile::tempdir().expect("a directory");
    let program = directory.path().join("ledger");
    let bytes = zstd::decode_all(std::fs::File::open(packed).expect("the fixture")).expect("sound");
    std::fs::write(&program, bytes).expect("a file");
    let program = program.to_str().expect("text");
    let line = "[signal SIGSEGV: segmentation violation code=0x1 addr=0x8 pc=0xPC]\n";
    let truth = std::fs::read_to_string(fixture("go-stripped/truth.json")).expect("the truth");
    let truth: serde_json::Value = serde_json::from_str(&truth).expect("JSON");
    let line = line.replace("0xPC", truth["pc"].as_str().expect("pc"));
    let output = text(&["-q", "-s", "--exe", program], &line);
    assert!(output.contains("{main.(*account).refund at book.go:19 < main.process at main.go:13}"), "{output}");
}

/// What is left out of names is said on standard error; the text itself is whole.
#[test]
fn more_addresses_files_and_builds_than_are_looked_at() {
    let said = |input: &str| {
        let output = run(&[], input.as_bytes());
        assert_eq!(String::from_utf8_lossy(&output.stdout), input);
        String::from_utf8(output.stderr).expect("text")
    };
    let line = |count: usize| "/no/x.so(+0x1)[0x7f0000000001] ".repeat(count) + "\n";
    let full = "there are more than 4096 addresses on one line; the others are left out";
    assert!(!said(&line(4096)).contains("left out"));
    assert!(said(&line(4097)).contains(full));
    let files: Vec<_> = (0..201).map(|at| format!("/no/{at}.so(+0x1)[0x7f0000000001]\n")).collect();
    assert!(said(&files.concat()).contains("there are more than 200 files with addresses; the others are left out"));
    let table: String = (16..(1 << 16) + 17)
        .fold(String::new(), |text, at| text + &format!("{at:x}000-{at:x}fff r-xp 00000000 fe:00 12 /no/{at}.so\n"));
    let folder = tempfile::tempdir().expect("a directory");
    let map = folder.path().join("maps");
    std::fs::write(&map, table).expect("a file");
    let output = run(&["--map", map.to_str().expect("a path of text")], b"");
    let told = String::from_utf8(output.stderr).expect("text");
    assert!(told.contains("there are more than 65536 modules; the others are left out"), "{told}");
}
