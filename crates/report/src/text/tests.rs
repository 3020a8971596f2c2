//! Whole reports of literal snapshots against files; `NECROPSY_BLESS=1` rewrites them.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use necropsy_model::{Finding, Frame, Location, Message, MessageKind, Place, Role, Source, Warning};
use unicode_width::UnicodeWidthStr;

use super::{brief, text};
use crate::Style;
use crate::sample::{self, Sample};

const PLAIN: Style = Style { color: false, width: 100, threads: false, all: false, locals: false, explain: false };

fn written(sample: &Sample, style: Style) -> String {
    let mut out = Vec::new();
    text(&sample.report(), style, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn holds(name: &str, sample: &Sample, style: Style) {
    let actual = written(sample, style);
    for row in actual.lines() {
        assert!(!row.ends_with(' '), "{name}: a row ends in a space: {row:?}");
    }
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/text/golden").join(name).with_extension("txt");
    if std::env::var_os("NECROPSY_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &actual).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        actual == expected,
        "the report {name} changed; if that is right, run the tests with NECROPSY_BLESS=1\n--- was\n{expected}\n--- is\n{actual}"
    );
}

#[test]
fn a_native_crash() {
    holds("crash", &sample::crash(), PLAIN);
    holds("crash-40", &sample::crash(), Style { width: 40, ..PLAIN });
    holds("crash-80", &sample::crash(), Style { width: 80, ..PLAIN });
    holds("crash-200", &sample::crash(), Style { width: 200, ..PLAIN });
    holds("crash-color", &sample::crash(), Style { color: true, ..PLAIN });
    holds("crash-threads-locals", &sample::crash(), Style { threads: true, locals: true, ..PLAIN });
}

#[test]
fn a_crash_with_its_origin() {
    holds("origin", &sample::crash_with_origin(), Style { explain: true, ..PLAIN });
    holds("origin-80", &sample::crash_with_origin(), Style { width: 80, ..PLAIN });
}

#[test]
fn a_hang() {
    holds("hang", &sample::hang(), PLAIN);
}

#[test]
fn goroutines() {
    holds("goroutines", &sample::goroutines(9, 10_113), PLAIN);
    holds("goroutines-threads", &sample::goroutines(3, 40), Style { threads: true, ..PLAIN });
    holds("goroutines-80", &sample::goroutines(2, 10_000), Style { width: 80, ..PLAIN });
}

#[test]
fn a_deadlock() {
    holds("deadlock", &sample::deadlock(), PLAIN);
}

#[test]
fn every_fact() {
    holds("full", &sample::full(), PLAIN);
}

#[test]
fn ten_thousand_goroutines_fit_on_a_screen() {
    for groups in [1, 3, 9, 40] {
        let rows = written(&sample::goroutines(groups, 10_113), PLAIN).lines().count();
        assert!(rows < 25, "{groups} groups take {rows} rows");
    }
    // However much there is to say.
    let mut sample = sample::goroutines(40, 10_113);
    let finding = &sample.verdict.findings[0];
    let more = (0..6).map(|number| Finding {
        title: format!("{number}, {}", finding.title.repeat(2)),
        evidence: vec![finding.evidence[0].clone(); 5],
        ..finding.clone()
    });
    let more: Vec<_> = more.collect();
    sample.verdict.findings.extend(more);
    for width in [80, 100, 200] {
        let report = written(&sample, Style { width, ..PLAIN });
        assert!(report.lines().count() < 25, "{report}");
        assert!(
            report.contains("more finding") && report.contains("more group") && report.contains("next: "),
            "{report}"
        );
        assert!(written(&sample, Style { all: true, width, ..PLAIN }).lines().count() > 80);
    }
}

#[test]
fn a_view_of_its_own_lists_what_was_asked_for() {
    let mut sample = sample::goroutines(12, 10_113);
    sample.groups.by = necropsy_model::GroupBy::Label;
    for (number, group) in sample.groups.groups.iter_mut().enumerate() {
        group.title = Some(if number == 0 { String::new() } else { format!("tenant=t{number}") });
    }
    let report = written(&sample, PLAIN);
    assert!(report.contains(" ×  no label, 99.2 %") && report.contains(" ×  tenant=t9, "), "{report}");
    assert!(!report.contains("main.worker"), "{report}");
}

#[test]
fn goroutines_of_the_standard_library_are_background_where_there_are_many() {
    let mut sample = sample::goroutines(3, 10_113);
    let stack = sample.snapshot.stacks.len() - 1;
    let frames = sample.snapshot.stacks[stack].frames.clone();
    for id in frames {
        sample.snapshot.frames[id.index()].function = Some("net/http.(*conn).serve".into());
    }
    let creator = sample.snapshot.add_frame(Frame::printed("net/http.(*Server).Serve", None));
    sample.groups.groups[2].created_by = creator;
    let background = "background, idle or in the standard library only: 7 goroutines in 1 group";
    assert!(written(&sample, PLAIN).contains(background));
    // Not when a finding names one of them.
    let thread = sample.snapshot.threads[sample.groups.groups[2].threads[0] as usize].id;
    let place = Place { thread: Some(thread), ..sample.snapshot.place(0, 0, Role::Waiter).unwrap() };
    sample.verdict.findings[0].places.push(place);
    assert!(!written(&sample, PLAIN).contains(background));
}

#[test]
fn no_row_is_wider_than_the_page() {
    let samples = [sample::full(), sample::hang(), sample::goroutines(9, 10_113), sample::deadlock()];
    for (sample, width) in samples.iter().flat_map(|sample| [20, 40, 60, 80, 100, 200].map(|width| (sample, width))) {
        for threads in [false, true] {
            let report = written(sample, Style { width, threads, ..PLAIN });
            let command = |row: &&str| row.contains("gcore");
            for row in report.lines().filter(|row| !command(row)) {
                assert!(row.width() <= width, "{} columns of {width}: {row}", row.width());
            }
        }
    }
}

#[test]
fn colour_changes_nothing_but_colour() {
    for sample in [sample::full(), sample::hang(), sample::goroutines(9, 100), sample::deadlock()] {
        let mut colored = written(&sample, Style { color: true, ..PLAIN });
        assert!(colored.contains("\x1b[1m"));
        for code in ["0", "1", "2", "1;31", "33", "32", "36"] {
            colored = colored.replace(&format!("\x1b[{code}m"), "");
        }
        assert_eq!(colored, written(&sample, PLAIN));
    }
}

#[test]
fn nothing_hostile_passes() {
    const HOSTILE: &str = "x\u{1b}[2J\u{9b}31m\u{202e}\u{2066}\r\n\u{7}\u{200b}y";
    fn hostile<T: From<&'static str>>() -> T {
        HOSTILE.into()
    }
    for mut sample in [sample::full(), sample::deadlock(), sample::goroutines(5, 50)] {
        sample.input.path = hostile();
        let snapshot = &mut sample.snapshot;
        let process = &mut snapshot.process;
        process.exe = Some(hostile());
        process.command_line = Some(hostile());
        process.runtime_version = Some(hostile());
        process.taken_at = Some(hostile());
        process.os = Some(hostile());
        for frame in &mut snapshot.frames {
            frame.function = frame.function.is_some().then(hostile::<necropsy_model::Text<'static>>);
            frame.location = Some(Location { text: Some(hostile()), ..Location::new(HOSTILE, Some(1)) });
            for variable in &mut frame.variables {
                variable.name = Some(hostile());
            }
        }
        for state in &mut snapshot.states {
            state.text = hostile();
        }
        for thread in &mut snapshot.threads {
            thread.detail_mut().name = Some(hostile());
        }
        for module in &mut snapshot.modules {
            module.path = hostile();
            module.symbols.reason = Some(hostile());
        }
        if let Some(stop) = &mut snapshot.stop {
            stop.original = None;
            stop.messages = vec![Message { text: hostile(), kind: MessageKind::Other, source: Source::DUMP }];
        }
        snapshot.warnings = vec![Warning::new(HOSTILE, Source::DUMP)];
        sample.verdict.headline = hostile();
        for finding in &mut sample.verdict.findings {
            finding.title = hostile();
            finding.next = vec![hostile()];
        }
        let mut report = written(&sample, Style { locals: true, ..PLAIN });
        report += &written(&sample, Style { threads: true, ..PLAIN });
        let mut line = Vec::new();
        brief(&sample.report(), &mut line).unwrap();
        report += &String::from_utf8(line).unwrap();
        let raw = |character: &char| {
            (character.is_control() && *character != '\n') || "\u{202e}\u{2066}\u{200b}".contains(*character)
        };
        assert_eq!(report.chars().find(raw), None);
        assert!(report.contains(r"x\x1b[2J\x9b31m\u{202e}\u{2066}\r\n\x07\u{200b}y"));
    }
}

#[test]
fn one_line_for_many_dumps() {
    let mut sample = sample::crash();
    sample.input.index = 1;
    let mut out = Vec::new();
    brief(&sample.report(), &mut out).unwrap();
    let line = "core.4242 (dump 2): native-crash: apply_refund read acct->balance through a NULL pointer \
                (SIGSEGV, address 0x8) [high]\n";
    assert_eq!(String::from_utf8(out).unwrap(), line);
}

/// Eight times the threads take about eight times as long; quadratic work would take sixty-four times.
#[test]
fn a_million_threads_take_linear_time() {
    let time = |sample: &Sample| {
        let best = (0..3).map(|_| {
            let start = Instant::now();
            let rows = written(sample, PLAIN).lines().count();
            assert!(rows < 25);
            crate::json(&sample.report(), false, &mut std::io::sink()).unwrap();
            start.elapsed()
        });
        best.min().unwrap()
    };
    let (small, large) = (sample::goroutines(21, 125_000), sample::goroutines(21, 1_000_000));
    let (short, long) = (time(&small), time(&large));
    assert!(long < short * 32, "{short:?} for 125,000 threads, {long:?} for a million");
}
