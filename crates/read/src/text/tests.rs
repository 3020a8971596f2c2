use super::*;

const MARKER: Marker = Marker { needle: b"goroutine ", accepts: |rest| rest.starts_with(b"goroutine 1 [running]:") };

fn prepared(data: &str) -> (String, Vec<String>) {
    let arena = Arena::new();
    let data = arena.keep_str(data.to_owned()).as_bytes();
    let prepared = prepare(data, &arena, &MARKER);
    let text = String::from_utf8(prepared.text.to_vec()).unwrap();
    let sources = (0..text.lines().count() as u64).map(|line| prepared.lines.source(line).to_string()).collect();
    (text, sources)
}

const PLAIN: &str = "panic: x\n\ngoroutine 1 [running]:\nmain.main()\n\t/a.go:1\n";

#[test]
fn plain_text_is_lent_as_it_is() {
    let arena = Arena::new();
    let text = prepare(PLAIN.as_bytes(), &arena, &MARKER).text;
    assert_eq!(text.as_ptr(), PLAIN.as_ptr());
}

#[test]
fn line_ends_of_windows() {
    assert_eq!(prepared(&PLAIN.replace('\n', "\r\n")).0, PLAIN);
}

#[test]
fn prefixes_go_from_the_lines_before_the_record_too() {
    let lines: Vec<_> = PLAIN.lines().map(|line| format!("Nov 21 02:00:01 web svc[7]: {line}\n")).collect();
    let log = lines.concat();
    let (text, sources) = prepared(&log);
    assert_eq!(text, PLAIN);
    assert_eq!(sources[4], "line 5");
}

#[test]
fn a_record_behind_words_on_its_line() {
    let (text, sources) = prepared("oops: goroutine 1 [running]:\nmain.main()\n\t/a.go:1\n");
    assert_eq!(text, "oops: \ngoroutine 1 [running]:\nmain.main()\n\t/a.go:1\n");
    assert_eq!(sources, ["line 1", "line 1", "line 2", "line 3"]);
}

#[test]
fn docker_keeps_one_json_object_for_each_line() {
    let lines: Vec<_> = PLAIN
        .lines()
        .map(|line| {
            format!("{}\n", "{\"log\":\"LINE\\n\",\"stream\":\"stderr\"}".replace("LINE", &line.replace('\t', "\\t")))
        })
        .collect();
    let log = lines.concat();
    let (text, sources) = prepared(&log);
    assert_eq!(text, PLAIN);
    assert_eq!(sources[2], "line 3");
}

#[test]
fn a_dump_in_one_json_string_in_logfmt_and_bare() {
    let escaped = PLAIN.replace('\n', "\\n").replace('\t', "\\t");
    for line in [
        format!("{{\"level\":\"error\",\"stack\":\"{escaped}\",\"n\":1}}\n"),
        format!("{{\"a\":{{\"stack\":\"{}\"}}}}\n", escaped.replace('\\', "\\\\")),
    ] {
        let (text, sources) = prepared(&line);
        assert_eq!(text, PLAIN, "{line}");
        assert!(sources.iter().all(|source| source == "line 1"));
    }
    let (text, _) = prepared(&format!("time=1 level=info msg=\"{escaped}\" x=1\n"));
    assert_eq!(text, format!("time=1 level=info msg=\n{PLAIN}"));
    let (text, _) = prepared("goroutine 1 [running]:\\nmain.main()\\n\\t/a.go:1\n");
    assert_eq!(text, "goroutine 1 [running]:\nmain.main()\n\t/a.go:1\n");
}

#[test]
fn every_cut_of_wrapped_text_is_read() {
    let escaped = PLAIN.replace('\n', "\\n").replace('\t', "\\t");
    let line = format!("{{\"level\":\"error\",\"stack\":\"{escaped}\"}}\n");
    for end in 0..line.len() {
        prepared(&line[..end]);
    }
}
