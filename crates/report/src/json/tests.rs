//! The contract is held three ways: what the code writes, the schema, and the words of docs/json.md.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde_json::{Map, Value};

use super::{Document, json};
use crate::sample::{self, Sample};

pub(super) fn docs(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name)
}

fn emitted(sample: &Sample, threads: bool) -> Value {
    let mut out = Vec::new();
    json(&sample.report(), threads, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text.matches('\n').count(), 1, "one object on one line");
    serde_json::from_str(&text).unwrap()
}

/// The schema as the types say it, without the promise that a field is there: any field may be missing.
fn schema() -> Value {
    schema_of::<Document<'static>>("necropsy/1: one dump", super::SCHEMA)
}

/// The schema of a contract by the type that is written, its title and its name.
pub(super) fn schema_of<T: schemars::JsonSchema>(title: &str, name: &str) -> Value {
    let schema = schemars::generate::SchemaSettings::draft2020_12().for_serialize().into_generator();
    let mut schema = serde_json::to_value(schema.into_root_schema_for::<T>()).unwrap();
    strip(&mut schema);
    let object = schema.as_object_mut().unwrap();
    object.insert("title".to_owned(), title.into());
    object.insert("required".to_owned(), serde_json::json!(["schema"]));
    let property = object.get_mut("properties").and_then(|it| it.get_mut("schema")).unwrap();
    property.as_object_mut().unwrap().insert("const".to_owned(), name.into());
    schema
}

fn strip(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if object.get("required").is_some_and(Value::is_array) {
                object.remove("required");
            }
            // Widths of Rust's integers are no part of the contract.
            if object.get("format").is_some_and(Value::is_string) {
                object.remove("format");
            }
            object.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}

/// A small judge of values by a schema: the keywords that the schema uses, and no others.
pub(super) struct Judge<'s> {
    definitions: &'s Map<String, Value>,
}

impl<'s> Judge<'s> {
    pub(super) fn new(schema: &'s Value) -> Self {
        Self { definitions: schema["$defs"].as_object().unwrap() }
    }

    pub(super) fn follow(&self, schema: &'s Value) -> &'s Value {
        match schema.get("$ref").and_then(Value::as_str) {
            Some(name) => &self.definitions[name.strip_prefix("#/$defs/").unwrap()],
            None => schema,
        }
    }

    pub(super) fn judge(&self, value: &Value, schema: &'s Value, path: &str) {
        let schema = self.follow(schema);
        for keyword in schema.as_object().into_iter().flat_map(Map::keys) {
            let known = [
                "$schema",
                "$defs",
                "title",
                "description",
                "type",
                "properties",
                "items",
                "anyOf",
                "const",
                "pattern",
                "required",
                "additionalProperties",
                "minimum",
                "maximum",
                "$ref",
            ];
            assert!(known.contains(&keyword.as_str()), "{path}: the judge does not know the keyword {keyword}");
        }
        if let Some(choices) = schema.get("anyOf").and_then(Value::as_array) {
            let choice = choices.iter().find(|choice| (self.follow(choice)["type"] == "null") == value.is_null());
            return self.judge(value, choice.unwrap_or_else(|| panic!("{path}: no choice for {value}")), path);
        }
        let actual = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() => "number",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let types: Vec<_> = match &schema["type"] {
            Value::String(one) => vec![one.as_str()],
            Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
            other => panic!("{path}: no type but {other}"),
        };
        let fits = types.contains(&actual) || actual == "integer" && types.contains(&"number");
        assert!(fits, "{path}: {value} is not {types:?}");
        if let Some(constant) = schema.get("const") {
            assert_eq!(value, constant, "{path}");
        }
        if schema.get("pattern").is_some() && value.is_string() {
            let digits = value.as_str().unwrap().strip_prefix("0x").unwrap_or_else(|| panic!("{path}: {value}"));
            assert!(!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit()), "{path}: {value}");
        }
        for item in value.as_array().into_iter().flatten() {
            self.judge(item, &schema["items"], &format!("{path}[]"));
        }
        for (key, member) in value.as_object().into_iter().flatten() {
            let inner = match schema.get("properties").and_then(|properties| properties.get(key)) {
                Some(inner) => inner,
                None => {
                    schema.get("additionalProperties").unwrap_or_else(|| panic!("{path}.{key} is not in the schema"))
                }
            };
            self.judge(member, inner, &format!("{path}.{key}"));
        }
    }

    /// Every path of the schema with the name of the type it belongs to, each type once: `frame.args[].name`.
    fn paths(&self, schema: &'s Value, prefix: &str, out: &mut BTreeSet<String>, depth: usize) {
        let schema = self.follow(schema);
        for choice in schema.get("anyOf").and_then(Value::as_array).into_iter().flatten() {
            self.paths(choice, prefix, out, depth);
        }
        if let Some(items) = schema.get("items") {
            self.paths(items, &format!("{prefix}[]"), out, depth);
        }
        if schema.get("additionalProperties").is_some_and(Value::is_object) {
            out.insert(format!("{prefix}.*"));
        }
        for (key, inner) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            out.insert(path.clone());
            // `stop.original` is a stop again.
            if depth < 12 && path != "stop.original" {
                self.paths(inner, &path, out, depth + 1);
            }
        }
    }
}

/// Paths that a value holds; a null is there, but says nothing of what would be below it.
fn paths_of(value: &Value, prefix: &str, out: &mut BTreeSet<String>) {
    for item in value.as_array().into_iter().flatten() {
        paths_of(item, &format!("{prefix}[]"), out);
    }
    let is_map = prefix.ends_with(".labels") || prefix.ends_with(".registers");
    for (key, member) in value.as_object().into_iter().flatten() {
        let key = if is_map { "*" } else { key.as_str() };
        let path = if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
        if !member.is_null() {
            out.insert(path.clone());
        }
        if path != "stop.original" {
            paths_of(member, &path, out);
        }
    }
}

/// Shared shapes are documented once: `threads[].frames[].file` is `frame.file`.
fn documented_as(path: &str) -> String {
    const SHARED: [(&str, &str); 13] = [
        ("threads[].frames[]", "frame"),
        ("groups[].frames[]", "frame"),
        ("groups[].creator", "frame"),
        ("frame.locals[]", "frame.args[]"),
        ("crash_site", "place"),
        ("origin.gate", "place"),
        ("origin.handed_through[]", "place"),
        ("origin.alternatives[]", "place"),
        ("origin.trail[].place", "place"),
        ("findings[].places[]", "place"),
        ("deadlocks[].threads[].at", "place"),
        ("groups[].gap", "threads[].gap"),
        ("groups[].stack_broken", "threads[].stack_broken"),
    ];
    let mut path = path.to_owned();
    for (from, to) in SHARED {
        if let Some(rest) = path.strip_prefix(from).filter(|rest| rest.starts_with('.')) {
            path = format!("{to}{rest}");
        }
    }
    path
}

#[test]
fn the_schema_file_is_what_the_types_say() {
    let path = docs("necropsy-1.schema.json");
    let current = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    if std::env::var_os("NECROPSY_BLESS").is_some() {
        fs::write(&path, &current).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == current, "docs/necropsy-1.schema.json is stale: run the tests with NECROPSY_BLESS=1");
}

#[test]
fn what_is_written_fits_the_schema() {
    let schema = schema();
    let judge = Judge::new(&schema);
    let empty = Sample {
        input: crate::Input::default(),
        snapshot: necropsy_model::Snapshot::default(),
        groups: necropsy_model::Groups::default(),
        verdict: necropsy_model::Verdict::default(),
    };
    let samples =
        [empty, sample::full(), sample::crash(), sample::hang(), sample::deadlock(), sample::goroutines(7, 100)];
    for sample in samples {
        judge.judge(&emitted(&sample, true), &schema, "");
        judge.judge(&emitted(&sample, false), &schema, "");
    }
}

#[test]
fn the_full_sample_fills_every_path_of_the_schema() {
    let (mut promised, mut written) = (BTreeSet::new(), BTreeSet::new());
    let schema = schema();
    Judge::new(&schema).paths(&schema, "", &mut promised, 0);
    let sample = sample::full();
    let mut out = Vec::new();
    crate::json(&crate::Report { owner: Some("team payments"), ..sample.report() }, true, &mut out).unwrap();
    paths_of(&serde_json::from_slice(&out).unwrap(), "", &mut written);
    // One frame need not show everything that a frame can.
    let [promised, written] = [promised, written].map(|paths| paths.iter().map(|path| documented_as(path)).collect());
    let (promised, written): (BTreeSet<String>, BTreeSet<String>) = (promised, written);
    let missing: Vec<_> = promised.difference(&written).collect();
    assert!(missing.is_empty(), "no sample shows {missing:#?}");
    let unknown: Vec<_> = written.difference(&promised).collect();
    assert!(unknown.is_empty(), "not in the schema: {unknown:#?}");
}

#[test]
fn every_path_is_documented_and_nothing_else_is() {
    let mut promised = BTreeSet::new();
    let schema = schema();
    Judge::new(&schema).paths(&schema, "", &mut promised, 0);
    let page = fs::read_to_string(docs("json.md")).unwrap_or_default();
    let cell = |line: &str| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned());
    let documented: BTreeSet<_> = page.lines().filter_map(cell).collect();
    let promised: BTreeSet<_> = promised.iter().map(|path| documented_as(path)).collect();
    // The birth of the value is a place, spelled out in the origin itself.
    let promised: BTreeSet<_> = promised
        .into_iter()
        .filter(|path| {
            let of_place =
                path.strip_prefix("origin.").is_some_and(|rest| documented.contains(&format!("place.{rest}")));
            !of_place || documented.contains(path)
        })
        .collect();
    let missing: Vec<_> = promised.difference(&documented).collect();
    assert!(missing.is_empty(), "docs/json.md does not say what these are: {missing:#?}");
    let gone: Vec<_> = documented.difference(&promised).collect();
    assert!(gone.is_empty(), "docs/json.md describes what is not written: {gone:#?}");
}

#[test]
fn threads_are_listed_for_cores_always_and_for_text_dumps_on_request() {
    assert!(emitted(&sample::goroutines(7, 100), false)["threads"].is_null());
    assert_eq!(emitted(&sample::goroutines(7, 100), true)["threads"].as_array().map(Vec::len), Some(100));
    assert_eq!(emitted(&sample::full(), false)["threads"].as_array().map(Vec::len), Some(9));
}

#[test]
fn addresses_are_strings_and_values_are_as_a_reader_expects() {
    let report = emitted(&sample::full(), false);
    assert_eq!(report["threads"][0]["registers"]["rax"], "0xffffffffffffffff");
    assert_eq!(report["stop"]["fault"]["address"], "0x8");
    let frame = &report["threads"][0]["frames"][0];
    assert_eq!(
        frame["args"][0],
        serde_json::json!({
            "name": "acct", "type": "struct account *", "value": "NULL", "absent": null
        })
    );
    assert_eq!(frame["locals"][0]["absent"], "optimized out");
    assert_eq!(frame["module_offset"], "0x1136");
}

#[test]
fn hostile_names_stay_valid_json() {
    let mut sample = sample::crash();
    sample.snapshot.frames[0].function = Some("\u{1b}[2J\u{202e}\"\\\n\u{0}".into());
    let report = emitted(&sample, true);
    assert_eq!(report["threads"][0]["frames"][0]["function"], "\u{1b}[2J\u{202e}\"\\\n\u{0}");
}
