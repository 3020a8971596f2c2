//! The contracts of `diff` and `group`: what is written fits the schema files, and the pages' tables are what the schemas say.

use std::fmt::Write;
use std::fs;
use std::time::Duration;

use necropsy_model::{
    Bucket, Comparison, Confidence, Elapsed, ElapsedBasis, GroupChange, Identification, Motion, Occurrence, Pair,
    PairEvidence, PairFinding, PairVerdict, SameProcess, Seen, SeenBasis, Severity, Signature, SignatureFrame, Source,
    ThreadId, Variant,
};
use serde_json::Value;

use super::tests::{Judge, docs, schema_of};
use super::{buckets, json_buckets, json_pair, pair};
use crate::{BucketReport, PairReport, sample};

fn diff_schema() -> Value {
    schema_of::<pair::Document<'static>>("necropsy-diff/1: two dumps of one process", pair::SCHEMA)
}

fn group_schema() -> Value {
    schema_of::<buckets::Document<'static>>("necropsy-group/1: a bucket of dumps", buckets::SCHEMA)
}

/// Parts that the page of one dump describes.
const ELSEWHERE: [&str; 4] = ["input", "process", "suitability", "places"];

/// A row for each path: name, type, what it is.
fn table(judge: &Judge<'_>, schema: &Value, prefix: &str, out: &mut String) {
    for (key, inner) in schema["properties"].as_object().unwrap() {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        let choices = inner["anyOf"].as_array().cloned().unwrap_or_default();
        let inner_value = choices.iter().find(|choice| choice["type"] != "null").unwrap_or(inner);
        let list = judge.follow(inner_value)["type"] == "array";
        let shape = judge.follow(if list { &inner_value["items"] } else { inner_value }).clone();
        let words = inner["description"].as_str().unwrap_or_else(|| panic!("{path} has no words"));
        let kind = match &shape["type"] {
            Value::String(one) => one.clone(),
            Value::Array(several) => {
                several.iter().filter_map(Value::as_str).find(|kind| *kind != "null").unwrap_or_default().to_owned()
            }
            _ => String::new(),
        };
        let brackets = if list { "[]" } else { "" };
        writeln!(out, "| `{path}{brackets}` | {kind} | {words} |").unwrap();
        if shape.get("properties").is_some() && !ELSEWHERE.contains(&key.as_str()) {
            table(judge, &shape, &format!("{path}{brackets}"), out);
        }
    }
}

fn hold(name: &str, schema: &Value) {
    let bless = std::env::var_os("NECROPSY_BLESS").is_some();
    let file = docs(&format!("necropsy-{name}-1.schema.json"));
    let current = serde_json::to_string_pretty(schema).unwrap() + "\n";
    let page = docs(&format!("json-{name}.md"));
    let words = fs::read_to_string(&page).unwrap();
    let (head, _) = words.split_once("| path | type | what it is |").unwrap();
    let mut now = format!("{head}| path | type | what it is |\n|---|---|---|\n");
    table(&Judge::new(schema), schema, "", &mut now);
    if bless {
        fs::write(&file, &current).unwrap();
        fs::write(&page, &now).unwrap();
    }
    assert!(fs::read_to_string(&file).unwrap_or_default() == current, "{} is stale: NECROPSY_BLESS=1", file.display());
    assert!(bless || words == now, "{} is stale: NECROPSY_BLESS=1", page.display());
}

#[test]
fn schema_files_and_pages_are_what_the_types_say() {
    hold("diff", &diff_schema());
    hold("group", &group_schema());
}

#[test]
fn a_comparison_fits_its_schema() {
    let sample = sample::hang();
    let finding = PairFinding {
        rule: "busy-loop",
        severity: Severity::Critical,
        confidence: Confidence::High,
        title: "thread 7: busy loop".to_owned(),
        places: Vec::new(),
        evidence: vec![PairEvidence { text: "used CPU".to_owned(), before: Some(Source::line(3)), after: None }],
        threads: vec![ThreadId(7)],
        next: vec!["read the loop".to_owned()],
    };
    let cpu = Some(Duration::from_millis(1500));
    let pair = Pair { before: 0, after: 0, motion: Motion::Moved, common: 1, state_changed: false, cpu, woke: false };
    let change =
        GroupChange { signature: "0".repeat(16), before: 1, after: 0, stayed: 0, example: 0, background: false };
    let comparison = Comparison {
        elapsed: Some(Elapsed { time: Duration::from_secs(10), basis: ElapsedBasis::TimesTaken }),
        identity: Identification { same: SameProcess::Yes, because: vec!["both are of process 7".to_owned()] },
        by_thread: true,
        pairs: vec![pair],
        gone: vec![0],
        new: vec![0],
        groups: vec![change],
        cpu,
        ..Comparison::default()
    };
    let verdict = PairVerdict { headline: finding.title.clone(), findings: vec![finding], ..PairVerdict::default() };
    let schema = diff_schema();
    for (comparison, verdict) in [(&comparison, &verdict), (&Comparison::default(), &PairVerdict::default())] {
        let side = (&sample.input, &sample.snapshot);
        let mut out = Vec::new();
        json_pair(&PairReport { before: side, after: side, comparison, verdict, owner: Some("team") }, true, &mut out)
            .unwrap();
        Judge::new(&schema).judge(&serde_json::from_slice(&out).unwrap(), &schema, "");
    }
}

#[test]
fn a_bucket_fits_its_schema() {
    let frame = SignatureFrame { name: "parse".to_owned(), at: Some("shop.c:20".to_owned()) };
    let seen = Some(Seen { seconds: 1_795_225_377, basis: SeenBasis::Dump });
    let bucket = Bucket {
        id: "0".repeat(16),
        title: "memory fault | parse".to_owned(),
        signature: Signature { kind: "memory fault".to_owned(), frames: vec![frame], prefix: 0 },
        members: vec![0],
        variants: vec![Variant { at: "parse shop.c:20".to_owned(), count: 1, example: 0 }],
        first: seen.clone(),
        last: seen,
        rules: vec![("null-pointer".to_owned(), 1)],
        ..Bucket::default()
    };
    let occurrences = [Occurrence { path: "core.7".to_owned(), ..Occurrence::default() }];
    let schema = group_schema();
    let mut out = Vec::new();
    let report = BucketReport { buckets: &[bucket, Bucket::default()], occurrences: &occurrences, failed: 0 };
    json_buckets(&report, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text.lines().count(), 2);
    for line in text.lines() {
        Judge::new(&schema).judge(&serde_json::from_str(line).unwrap(), &schema, "");
    }
}
