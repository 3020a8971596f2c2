//! A report about goroutines or Java threads against the truth that was written before the dump was made.

use serde_json::Value;

/// Whether a truth is told in the terms of this file: it names the release of Go or of the JDK.
pub(crate) fn is_of_runtime(truth: &Value) -> bool {
    truth["go"].is_string() || truth["jdk"].is_string()
}

/// Every fact that the report contradicts, with what it says instead.
pub(crate) fn compare(truth: &Value, report: &Value) -> Vec<(&'static str, String)> {
    let mut wrong = Vec::new();
    let mut fact = |name, holds: bool, wanted: &Value, actual: &Value| {
        if !holds {
            wrong.push((name, format!("it is {wanted}, the report says {actual}")));
        }
    };
    let verdict = &report["verdict"];
    let headline = &verdict["headline"];
    for (key, name, actual) in [
        ("symptom", "symptom", &verdict["symptom"]),
        ("confidence", "confidence", &verdict["confidence"]),
        ("suitability", "suitability", &verdict["suitability"]["status"]),
        ("threads", "threads", &report["thread_count"]),
        ("crash", "crash", &report["crash_site"]["function"]),
        ("origin", "origin", &report["origin"]["function"]),
        ("gate", "gate", &report["origin"]["gate"]["function"]),
        ("rule", "rule", &report["findings"][0]["rule"]),
    ] {
        fact(name, truth[key].is_null() || truth[key] == *actual, &truth[key], actual);
    }
    for words in all(&truth["headline"]) {
        let said = headline.as_str().is_some_and(|said| words.as_str().is_some_and(|words| said.contains(words)));
        fact("headline", said, words, headline);
    }
    let rules: Value = all(&report["findings"]).map(|finding| finding["rule"].clone()).collect();
    for rule in all(&truth["also"]) {
        fact("also", all(&rules).any(|said| said == rule), rule, &rules);
    }
    for rule in all(&truth["absent"]) {
        fact("absent", all(&rules).all(|said| said != rule), rule, &rules);
    }
    let holders: Value = all(&report["findings"])
        .flat_map(|finding| all(&finding["places"]))
        .filter(|place| place["role"] == "holder")
        .map(|place| place["function"].clone())
        .collect();
    if let Some(holder) = truth["holder"].as_str() {
        let named = all(&holders).any(|said| said.as_str().is_some_and(|said| said.starts_with(holder)));
        fact("holder", named, &truth["holder"], &holders);
    }
    let evidence: Value = all(&report["findings"][0]["evidence"]).map(|evidence| evidence["text"].clone()).collect();
    for words in all(&truth["evidence"]) {
        let said = |text: &Value| text.as_str().zip(words.as_str()).is_some_and(|(text, words)| text.contains(words));
        fact("evidence", all(&evidence).any(said), words, &evidence);
    }
    for stand in all(&truth["stands"]) {
        let in_state = |group: &&Value| stand["state"].is_null() || group["state"] == stand["state"];
        let in_function = |group: &&Value| all(&group["frames"]).any(|frame| frame["function"] == stand["function"]);
        let groups = all(&report["groups"]).filter(in_state).filter(in_function);
        let count: u64 = groups.filter_map(|group| group["count"].as_u64()).sum();
        fact("stands", stand["count"] == count, stand, &count.into());
    }
    wrong
}

fn all(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}
