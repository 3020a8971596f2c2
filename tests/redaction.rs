//! `--redact`: nothing that must not leave the house is in any output, and the judgement stays what it was.

#[path = "support/stage.rs"]
mod stage;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use necropsy_model::go::{GoFacts, GoForm, GoLine, GoPanic};
use necropsy_model::jvm::JvmFacts;
use necropsy_model::oom::{OomKill, OomTask};
use necropsy_model::{
    Access, Arch, Avma, Bias, Chain, CodeAddress, Evidenced, Fault, Field, Frame, Identity, Location, Lock, Message,
    MessageKind, Module, ModuleId, Place, Process, Registers, Role, Signal, Snapshot, Source, Stack, StackEnd, State,
    Stop, SymbolStatus, Symbols, Thread, ThreadId, Trail, TrailStep, Trust, Value, Variable, VariableKind, Wait,
    WaitKind, Warning,
};
use necropsy_redact::{Filter, Redactor};
use necropsy_report::{Input, Report, Style};
use rayon::prelude::*;
use serde_json::Value as Json;
use stage::Staged;

fn cases() -> Vec<PathBuf> {
    let repository = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folders = |path: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
        entries.filter(|path| path.is_dir()).collect()
    };
    let all = folders(&repository.join("fixtures")).into_iter().flat_map(|format| folders(&format));
    let mut cases: Vec<_> = all.filter(|case| stage::dump_of(case).is_some()).collect();
    cases.sort();
    cases
}

fn reports(staged: &Staged, arguments: &[&str]) -> Vec<Json> {
    staged.run(arguments).lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The part of a report that is judgement and structure.
fn judgement(report: &Json) -> Vec<String> {
    let all = |list: &Json, paths: &[&str]| -> String {
        let items = list.as_array().into_iter().flatten();
        let values = items.flat_map(|item| paths.iter().map(|path| item.pointer(path).cloned().unwrap_or(Json::Null)));
        values.map(|value| value.to_string()).collect::<Vec<_>>().join(" ")
    };
    let place =
        |place: &Json| all(&Json::Array(vec![place.clone()]), &["/function", "/line", "/frame", "/thread", "/role"]);
    let frames = |groups: &Json| {
        groups
            .as_array()
            .into_iter()
            .flatten()
            .map(|group| all(&group["frames"], &["/function", "/line"]))
            .collect::<String>()
    };
    vec![
        report["verdict"]["symptom"].to_string(),
        report["verdict"]["confidence"].to_string(),
        report["verdict"]["suitability"]["status"].to_string(),
        all(&report["findings"], &["/rule", "/severity", "/confidence"]),
        all(&report["groups"], &["/signature", "/count", "/activity"]),
        frames(&report["groups"]),
        place(&report["crash_site"]),
        place(&report["origin"]),
        report["origin"]["grade"].to_string(),
        report["deadlocks"].as_array().map_or(0, Vec::len).to_string(),
        report["thread_count"].to_string(),
        all(&report["modules"], &["/build_id", "/symbols/status"]),
    ]
}

/// `Till$$Lambda/0x0000000013040210.run`: the number of a class made at run time is an address, and goes.
fn without_lambdas(text: &str) -> String {
    let cut = |part: &str| {
        let rest = part.strip_prefix("0x").map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_hexdigit()));
        let rest = rest.or_else(|| part.strip_prefix("<addr-")?.split_once('>').map(|(_, rest)| rest));
        rest.unwrap_or(part).to_owned()
    };
    text.split('/').map(cut).collect::<Vec<_>>().join("/")
}

#[test]
fn the_judgement_stays_and_the_secrets_go() {
    let failures: Vec<String> = cases().par_iter().flat_map_iter(|case| check(case)).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn check(case: &Path) -> Vec<String> {
    let staged = Staged::new(case);
    let name = case.display();
    let plain = reports(&staged, &["--json", "--locals", "--threads"]);
    let redacted = reports(&staged, &["--json", "--locals", "--threads", "--redact"]);
    if plain.len() != redacted.len() {
        return vec![format!("{name}: {} reports, redacted {}", plain.len(), redacted.len())];
    }
    let mut failures = Vec::new();
    for (was, is) in plain.iter().zip(&redacted) {
        for (was, is) in
            judgement(was).iter().zip(judgement(is)).filter(|(was, is)| without_lambdas(was) != without_lambdas(is))
        {
            failures.push(format!("{name}: the judgement changed\n  - {was}\n  + {is}"));
        }
    }
    let secrets: BTreeSet<String> = plain.iter().flat_map(secrets).collect();
    for arguments in [
        &["--json", "--locals", "--threads"][..],
        &["--threads", "--locals", "--all", "--explain"],
        &[],
        &["--brief"],
        &["--folded"],
    ] {
        let output = staged.run(&[arguments, &["--redact"]].concat());
        for secret in secrets.iter().filter(|secret| holds(&output, secret)) {
            let at = output.find(secret.as_str()).unwrap_or_default();
            let from = output.floor_char_boundary(at.saturating_sub(60));
            let to = output.ceil_char_boundary((at + secret.len() + 40).min(output.len()));
            failures.push(format!("{name} {arguments:?}: {secret:?} is still there: …{}…", &output[from..to]));
        }
        if output.contains("\u{fffd}") {
            failures.push(format!("{name}: not UTF-8"));
        }
    }
    failures
}

/// Whether a text stands in another, and not as a part of a longer word.
fn holds(output: &str, secret: &str) -> bool {
    let is_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    output.match_indices(secret).any(|(at, _)| {
        // Offsets in modules and in the dump are no addresses.
        let offset = ["+", "offset ", "\"module_offset\":\""].iter().any(|mark| output[..at].ends_with(mark));
        !offset && !is_word(output[..at].chars().next_back()) && !is_word(output[at + secret.len()..].chars().next())
    })
}

/// What of a report must not be in a redacted one.
fn secrets(report: &Json) -> Vec<String> {
    let mut found = Vec::new();
    walk(report, "", &mut found);
    let names = kept(report);
    found.retain(|secret| !names.contains(secret.as_str()));
    found
}

fn walk(value: &Json, key: &str, found: &mut Vec<String>) {
    match value {
        Json::Object(fields) => fields.iter().for_each(|(key, value)| walk(value, key, found)),
        Json::Array(items) => items.iter().for_each(|value| walk(value, key, found)),
        Json::String(text) => match key {
            // Every address that a debugger would show.
            "address" | "base" | "bias" => {
                found.extend((text.len() > 6 && text.starts_with("0x")).then(|| text.clone()));
            }
            "path" | "file" | "module" | "exe" => found.extend(directory(text)),
            "command_line" => {
                // Switches of a virtual machine that are numbers or truths stay; an argument may be a word of ours, `unsafe`.
                let own = |word: &&str| word.starts_with("-X") || word.bytes().all(|byte| byte.is_ascii_lowercase());
                let words = text.split_whitespace().skip(1).filter(|word| word.len() > 5 && !own(word));
                found.extend(words.map(str::to_owned));
            }
            // Strings of values.
            "value" => found.extend(
                text.split('"')
                    .skip(1)
                    .step_by(2)
                    .filter(|text| text.len() > 5 && !text.bytes().all(|byte| byte.is_ascii_lowercase()))
                    .map(str::to_owned),
            ),
            "line_text" => found.push(text.trim().to_owned()),
            _ => {}
        },
        _ => {}
    }
}

/// A directory that is not the same on every machine.
fn directory(path: &str) -> Option<String> {
    let (directory, _) = path.rsplit_once('/')?;
    let system = ["/usr", "/lib", "/bin", "/rustc", "/dev", "/proc", "/sys", "/tmp", "./nptl"];
    let shared = directory.contains("/pkg/mod") || directory.contains("/registry/src");
    // A relative one is often the package of a function beside it: `net/http`.
    let plain = directory.len() > 4
        && directory.starts_with('/')
        && !shared
        && !system.iter().any(|system| directory.starts_with(system));
    plain.then(|| directory.to_owned())
}

/// Names that stay, whatever else they may be.
fn kept(report: &Json) -> BTreeSet<&str> {
    fn collect<'a>(value: &'a Json, kept: &mut BTreeSet<&'a str>) {
        match value {
            Json::Object(fields) => {
                for (key, value) in fields {
                    if let (true, Some(text)) =
                        (matches!(key.as_str(), "function" | "name" | "type" | "file" | "path"), value.as_str())
                    {
                        kept.insert(text);
                        kept.insert(text.rsplit('/').next().unwrap_or(text));
                    }
                    collect(value, kept);
                }
            }
            Json::Array(items) => items.iter().for_each(|value| collect(value, kept)),
            _ => {}
        }
    }
    let mut kept = BTreeSet::new();
    collect(report, &mut kept);
    kept
}

/// A secret in every text of a snapshot that does not stay.
struct Planter(usize);

impl Planter {
    /// The next secret. Letters only: nothing but its place tells that it is one.
    fn secret<T: From<String>>(&mut self) -> T {
        self.0 += 1;
        format!("zq{}secret", letters(self.0)).into()
    }

    /// The next secret where a sentence of a tool quotes it.
    fn sentence<T: From<String>>(&mut self) -> T {
        let mut next = || self.secret::<String>();
        let (quoted, path, user, password, query) = (next(), next(), next(), next(), next());
        format!(
            "saw \"{quoted}\" in /srv/{path}/x of {user}@corp.example, password={password}, http://corp.example/{query} at \
             0x7fabcdef1234 from 10.11.12.13"
        )
        .into()
    }

    /// A path with a secret directory.
    fn path<T: From<String>>(&mut self, name: &str) -> T {
        format!("/srv/{}/{name}", self.secret::<String>()).into()
    }
}

fn letters(number: usize) -> String {
    [number / 26, number % 26].map(|digit| char::from(b'a' + u8::try_from(digit).unwrap())).iter().collect()
}

fn planted(planter: &mut Planter) -> Snapshot<'static> {
    let p = planter;
    let mut snapshot = Snapshot { format: "elf-core", ..Snapshot::default() };
    snapshot.process = Process {
        exe: Some(p.path("server")),
        command_line: Some(
            format!("{} --user {} -Dkey={}", p.path::<String>("server"), p.secret::<String>(), p.secret::<String>())
                .into(),
        ),
        os: Some(p.sentence()),
        arch: Some(Arch::X86_64),
        ..Process::default()
    };
    snapshot.modules = vec![Module {
        path: p.path("server"),
        deleted: false,
        build_id: None,
        base: Avma(0x5555_0000_0000),
        size: 0x1000,
        bias: Some(Bias(0x5555_0000_0000)),
        stated: None,
        is_executable: true,
        symbols: Symbols {
            status: SymbolStatus::Full,
            from: Some(p.sentence()),
            verified: None,
            reason: Some(p.sentence()),
            fetched: vec![necropsy_model::Fetched {
                what: "debug file".to_owned(),
                outcome: "fetched",
                server: Some(p.secret()),
                bytes: None,
                milliseconds: 1,
                why: Some(p.sentence()),
            }],
        },
        identity: Some(Identity {
            soname: None,
            needed: Vec::new(),
            interpreter: Some(p.path("ld.so")),
            runpaths: vec![p.path("lib")],
        }),
    }];
    snapshot.oom = Some(Box::new(OomKill {
        killed: Some(OomTask { pid: 7, name: p.path("server"), resident: None, score: None, source: Source::DUMP }),
        cgroup: Some(p.path("group")),
        ..OomKill::default()
    }));
    let location = |p: &mut Planter| Location { file: p.path("a.c"), line: Some(7), text: Some(p.secret()) };
    let place = |p: &mut Planter| Place {
        thread: Some(ThreadId(1)),
        frame: Some(0),
        function: Some("run".into()),
        module: Some(p.path("server")),
        svma: None,
        location: Some(location(p)),
        inlined: false,
        trust: Some(Trust::Context),
        role: Role::Origin,
    };
    let text = |p: &mut Planter| Value::Text { text: p.secret(), cut: true };
    let values = vec![
        Value::Int(424_242),
        Value::Uint(535_353),
        Value::Float(646.125),
        Value::Char(7_777_777),
        Value::Enum { name: Some(p.secret()), value: 1 },
        Value::Pointer { address: 0x7fab_cdef_5678, symbol: None, target: Some(Box::new(text(p))) },
        text(p),
        Value::Struct { variant: None, fields: vec![Field { name: Some("name".into()), value: text(p) }] },
        Value::Array { elements: vec![text(p)], length: None },
        Value::Printed(p.secret()),
    ];
    let mut frame = Frame::at(Some(CodeAddress::Instruction(Avma(0x5555_0000_0123))), Trust::Context);
    frame.function = Some("run".into());
    frame.module = ModuleId::new(0);
    frame.location = Some(location(p));
    frame.variables = values
        .into_iter()
        .enumerate()
        .map(|(at, value)| Variable {
            name: Some("v".into()),
            type_name: Some("T".into()),
            kind: if at == 0 { VariableKind::Argument } else { VariableKind::Local },
            value,
        })
        .collect();
    let frame = snapshot.add_frame(frame).unwrap();
    let stack = snapshot.add_stack(Stack { frames: vec![frame], gap: None, end: StackEnd::Broken(p.sentence()) });
    snapshot.labels = vec![vec![("tenant".into(), p.secret())]];
    snapshot.states = vec![State { text: p.sentence(), activity: necropsy_model::Activity::Lock }];
    for id in 1..3 {
        let mut thread = Thread::new(ThreadId(id), Source::offset(64));
        thread.stack = stack;
        thread.state = necropsy_model::StateId::new(0);
        thread.labels = necropsy_model::LabelsId::new(0);
        let mut registers = Registers::new(Arch::X86_64);
        registers.set(0, 0x7fab_cdef_9abc);
        let detail = thread.detail_mut();
        detail.name = Some(p.secret());
        detail.registers = Some(registers);
        detail.holds = vec![Lock { id: 0x7fab_cdef_0000 + id, name: Some(p.sentence()) }];
        let lock = Some(Lock { id: 0x7fab_cdef_0003 - id, name: Some(p.sentence()) });
        detail.waits_on =
            Some(Wait { kind: WaitKind::Lock, lock, owner: None, limited: false, source: Source::offset(64) });
        snapshot.threads.push(thread);
    }
    let kinds =
        [MessageKind::Assert, MessageKind::Terminate, MessageKind::RustPanic, MessageKind::GoPanic, MessageKind::Other];
    let mut messages: Vec<_> =
        kinds.iter().map(|&kind| Message { text: p.secret(), kind, source: Source::offset(64) }).collect();
    messages.push(Message { text: p.sentence(), kind: MessageKind::Heap, source: Source::offset(64) });
    let step = |p: &mut Planter| TrailStep { place: place(p), step: "read", text: p.sentence(), source: Source::DUMP };
    snapshot.stop = Some(Stop {
        signal: Some(Signal { number: Signal::SEGV, code: Some(1) }),
        thread: Some(0),
        address: Some(Avma(0x7fab_cdef_dead)),
        fault: Some(Fault {
            pc: Avma(0x5555_0000_0123),
            instruction: Some("mov rax, [0x7fabcdef1234]".to_owned()),
            access: Some(Access::Read),
            address: Some(Avma(0x7fab_cdef_dead)),
            file: Some(p.path("data.bin")),
            value_facts: vec![Evidenced { kind: "text", text: p.sentence(), source: Source::DUMP }],
            ..Fault::default()
        }),
        trail: Some(Box::new(Trail {
            subject: p.sentence(),
            value: Some(0x7fab_cdef_dead),
            chains: vec![Chain {
                kind: necropsy_model::BirthKind::ReturnedConstant,
                birth: place(p),
                what: p.sentence(),
                gate: Some(place(p)),
                handed_through: vec![place(p)],
                steps: vec![step(p)],
                sole: true,
                doubts: Vec::new(),
            }],
            limit_hit: false,
            not_checked: Vec::new(),
        })),
        messages,
        ..Stop::default()
    });
    snapshot.jvm = Some(Box::new(JvmFacts {
        reported_deadlocks: vec![vec![p.secret()]],
        lists_synchronizers: true,
        ..JvmFacts::default()
    }));
    snapshot.warnings = vec![Warning::new(p.sentence::<String>(), Source::DUMP)];
    snapshot
}

/// All that necropsy writes of a snapshot.
fn written(mut snapshot: Snapshot<'static>) -> String {
    let mut redactor = Redactor::new();
    redactor.snapshot(&mut snapshot);
    let groups = necropsy_group::group(&snapshot, necropsy_model::Similarity::default());
    let by_label = necropsy_group::Options { by: necropsy_model::GroupBy::Label, ..necropsy_group::Options::default() };
    let labels = necropsy_group::group_with(&snapshot, &by_label);
    let verdict = necropsy_diagnose::diagnose(&snapshot, &groups);
    let input = Input { path: "<file-1>".to_owned(), ..Input::default() };
    let mut out = Vec::new();
    let mut filter = Filter::new(&mut redactor, &mut out);
    for groups in [&groups, &labels] {
        let report = Report { input: &input, snapshot: &snapshot, groups, verdict: &verdict, owner: None };
        for (threads, explain) in [(true, true), (false, false)] {
            let style = Style { color: false, width: 100, threads, all: true, locals: true, explain };
            necropsy_report::text(&report, style, &mut filter).unwrap();
        }
        necropsy_report::json(&report, true, &mut filter).unwrap();
        necropsy_report::brief(&report, &mut filter).unwrap();
        necropsy_report::folded(&snapshot, groups, &mut filter).unwrap();
    }
    filter.finish().unwrap();
    String::from_utf8(out).unwrap()
}

fn assert_clean(output: &str) {
    for secret in
        ["secret", "424242", "535353", "646.125", "7777777", "7fabcdef", "555500000", "corp.example", "10.11.12.13"]
    {
        let at = output.find(secret).unwrap_or_default();
        let from = output.floor_char_boundary(at.saturating_sub(200));
        assert!(!output.contains(secret), "{secret}: …{}", &output[from..output.len().min(at + 100)]);
    }
}

#[test]
fn no_field_of_a_core_is_forgotten() {
    let mut planter = Planter(0);
    let output = written(planted(&mut planter));
    assert!(planter.0 > 60, "{} secrets", planter.0);
    assert_clean(&output);
    for kept in
        ["run", "a.c", "server", "tenant=<label-1>", "<string-1>", "<addr-1>", "<thread-1>", "<message-1>", "<int-1>"]
    {
        assert!(output.contains(kept), "{kept} is gone:\n{output}");
    }
}

#[test]
fn no_field_of_a_goroutine_dump_is_forgotten() {
    let mut planter = Planter(0);
    let mut snapshot = planted(&mut planter);
    let p = &mut planter;
    snapshot.modules = Vec::new();
    snapshot.process.runtime = Some(necropsy_model::Runtime::Go);
    snapshot.go = Some(Box::new(GoFacts {
        form: GoForm::Panic,
        panics: vec![GoPanic { value: p.secret(), recovered: false, repanicked: false, source: Source::line(1) }],
        fatal: Some(GoLine { text: p.sentence(), source: Source::line(2) }),
        remarks: vec![GoLine { text: p.sentence(), source: Source::line(3) }],
        running_tests: vec![(format!("TestPay/{}", p.secret::<String>()).into(), Some(3))],
        ..GoFacts::default()
    }));
    assert_clean(&written(snapshot));
}

#[test]
fn the_same_thing_has_the_same_placeholder() {
    let mut snapshot = Snapshot::default();
    for (id, name) in [(1, "alice"), (2, "bob"), (3, "alice")] {
        let mut thread = Thread::new(ThreadId(id), Source::DUMP);
        thread.detail_mut().name = Some(name.into());
        snapshot.threads.push(thread);
    }
    Redactor::new().snapshot(&mut snapshot);
    let names: Vec<_> = snapshot.threads.iter().filter_map(Thread::name).collect();
    assert_eq!(names, ["<thread-1>", "<thread-2>", "<thread-1>"]);
}
