//! The registry of rules as a set: each has a fixture whose expected output holds its finding, or tests with a literal dump that
//! fires it; and each keeps quiet somewhere. A rule that is only registered fails here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use necropsy_diagnose::{RULES, pair};
use serde_json::Value;

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Files below a folder whose names end like this, in order.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Rules by the fixtures that fire them. Another test holds the expected outputs to what the program says.
fn fired() -> (BTreeMap<String, BTreeSet<PathBuf>>, usize) {
    let outputs = files(&repository().join("fixtures"), "expected.json");
    let mut fired: BTreeMap<String, BTreeSet<PathBuf>> = BTreeMap::new();
    for output in &outputs {
        let text = fs::read_to_string(output).unwrap();
        let reports = serde_json::Deserializer::from_str(&text).into_iter::<Value>().map(Result::unwrap);
        let findings = reports.flat_map(|report| report["findings"].as_array().cloned().unwrap_or_default());
        for rule in findings.filter_map(|finding| finding["rule"].as_str().map(str::to_owned)) {
            fired.entry(rule).or_default().insert(output.clone());
        }
    }
    (fired, outputs.len())
}

/// The static that an id stands in, and the tests of its file without white space. Other files may name the id too.
fn literal(id: &str, sources: &[String]) -> Option<(String, String)> {
    let quoted = format!("\"{id}\",");
    sources.iter().find_map(|source| {
        let name = source.match_indices(&quoted).find_map(|(at, _)| name_of(source.get(..at)?.trim_end()))?;
        let tests = source.split("#[cfg(test)]").nth(1).unwrap_or_default();
        Some((name.to_owned(), tests.split_whitespace().collect()))
    })
}

/// The name of the rule that begins like this: `static NAME: Rule = Rule { id:` or `rule!(NAME,`.
fn name_of(before: &str) -> Option<&str> {
    let name = match before.strip_suffix("id:") {
        Some(head) => head.rsplit("static ").next()?.split(':').next()?,
        None => before.strip_suffix(',')?.rsplit_once("rule!(")?.1,
    };
    Some(name.trim()).filter(|name| name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'))
}

#[test]
fn every_rule_fires_somewhere_and_keeps_quiet_somewhere() {
    let (fired, outputs) = fired();
    assert!(outputs > 100, "only {outputs} expected outputs were found");
    let sources = repository().join("crates/diagnose/src");
    let sources: Vec<_> = files(&sources, ".rs").iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let ids = RULES.iter().map(|rule| rule.id).chain(pair::RULES.iter().map(|rule| rule.id));
    let mut wrong = Vec::new();
    let mut by_fixture = 0;
    for id in ids {
        let Some((name, tests)) = literal(id, &sources) else {
            wrong.push(format!("{id}: no file has its id"));
            continue;
        };
        // A list of rules that one literal dump must not fire is called `rule` in the loop over it.
        let listed = tests.contains(&format!("&{name}"));
        let quiet = [format!("!fired(&{name}"), "!fired(rule".to_owned(), format!("found(&{name}).is_empty()")];
        let go_quiet = tests.contains("assert!(!") && tests.contains(&format!(".fires(&{name}"));
        let fires = ["fired(", "found(", "findings(", ".fires("].map(|call| format!("{call}&{name}"));
        let in_fixture = fired.get(id);
        by_fixture += usize::from(in_fixture.is_some());
        if in_fixture.is_none() && !(listed && fires.iter().any(|call| tests.contains(call))) {
            wrong.push(format!("{id}: neither a fixture nor a literal dump fires it"));
        }
        let silent = in_fixture.is_some_and(|cases| cases.len() < outputs);
        if !(silent || go_quiet || listed && quiet.iter().any(|call| tests.contains(call))) {
            wrong.push(format!("{id}: it is not shown to keep quiet anywhere"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(by_fixture > 80, "only {by_fixture} rules have a fixture");
}

#[test]
fn no_fixture_names_a_rule_that_is_not_there() {
    let known: BTreeSet<_> = RULES.iter().map(|rule| rule.id).chain(pair::RULES.iter().map(|rule| rule.id)).collect();
    let (fired, _) = fired();
    let unknown: Vec<_> = fired.keys().filter(|rule| !known.contains(rule.as_str())).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}
