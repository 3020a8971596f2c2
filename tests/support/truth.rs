//! A report against the truth that was written before the dump was made.

use serde_json::Value;

/// Kinds of stops as the lab calls them, and the rules that say so.
const KINDS: [(&str, &[&str]); 18] = [
    ("abort-assert", &["assertion-failed"]),
    ("abort-heap", &["double-free", "heap-corruption"]),
    ("abort-terminate", &["uncaught-cpp-exception"]),
    ("bus-file", &["bus-error-truncated-file"]),
    ("call-null", &["call-through-null"]),
    ("division", &["division-by-zero"]),
    ("execute-data", &["execute-of-data"]),
    ("hang", &["not-a-crash", "deadlock", "busy-thread"]),
    ("illegal-instruction", &["illegal-instruction", "compiler-trap"]),
    ("misaligned", &["misaligned-access"]),
    ("non-canonical", &["non-canonical-pointer"]),
    ("null-pointer", &["null-pointer"]),
    ("null-pointer-offset", &["null-pointer-offset"]),
    ("rust-panic", &["rust-panic"]),
    ("sent-signal", &["signal-sent"]),
    ("stack-overflow", &["stack-overflow"]),
    ("stack-smash", &["stack-smashing", "return-to-bad-address"]),
    ("write-read-only", &["write-to-read-only"]),
];

/// Kinds of hangs that are findings of their own.
const HANGS: [&str; 3] = ["lock-owner-gone", "lock-in-signal-handler", "lock-convoy"];

/// Every fact that the report contradicts, with what it says instead.
pub(crate) fn compare(truth: &Value, report: &Value) -> Vec<(&'static str, String)> {
    if report.is_null() {
        return vec![("report", "there is none".to_owned())];
    }
    let mut wrong = Vec::new();
    let mut fact = |name, holds: bool, wanted: &Value, actual: &Value| {
        if !holds {
            wrong.push((name, format!("it is {wanted}, the report says {actual}")));
        }
    };
    let stop = first_stop(&report["stop"]);
    fact("signal", stop["signal"] == truth["signal"], &truth["signal"], &stop["signal"]);
    let threads = &report["thread_count"];
    fact("threads", *threads == truth["threads"], &truth["threads"], threads);
    fact("arch", report["process"]["arch"] == truth["arch"], &truth["arch"], &report["process"]["arch"]);

    let rules: Value = report["findings"].as_array().into_iter().flatten().map(|it| it["rule"].clone()).collect();
    let kind = truth["kind"].as_str().unwrap_or_default();
    let accepted = KINDS.iter().find(|(name, _)| *name == kind).map_or(std::slice::from_ref(&kind), |(_, rules)| rules);
    let said = rules.as_array().into_iter().flatten().any(|rule| accepted.iter().any(|name| rule == name));
    fact("kind", said, &truth["kind"], &rules);

    if let Some(message) = truth["message"].as_str() {
        let said = &stop["message"];
        fact("message", said.as_str().is_some_and(|said| said.contains(message)), &truth["message"], said);
    }
    fact("deadlock", cycles(truth) == reported_cycles(report), &truth["deadlock"], &report["deadlocks"]);
    stacks(truth, report, &mut fact);
    if HANGS.contains(&kind) {
        // No value is to blame for a hang: the finding names who holds what the others wait for.
        let function = truth["origin"]["function"].as_str().unwrap_or_default();
        let findings = report["findings"].as_array().into_iter().flatten();
        let named =
            findings.filter(|finding| finding["rule"] == kind).any(|finding| has_word(&finding.to_string(), function));
        fact("origin", named, &truth["origin"], &report["findings"]);
    } else if truth["symbols"].is_null() && truth["stacks"].is_null() && kind != "hang" {
        origin(truth, report, &mut fact);
    }
    wrong
}

/// Birth and gate. `origin`, `gate`: not found, which may be a gap. `blame`: somebody else is blamed, which never is one.
fn origin(truth: &Value, report: &Value, fact: &mut impl FnMut(&'static str, bool, &Value, &Value)) {
    let (wanted, origin) = (&truth["origin"], &report["origin"]);
    let grade = origin["grade"].as_str();
    let claims = grade.is_some_and(|grade| grade != "D") && origin["kind"] != "unknown";
    let right = if wanted.is_null() { !claims } else { claims && is_called(&origin["function"], &wanted["function"]) };
    let sure = claims && matches!(grade, Some("A" | "A-" | "B"));
    fact("blame", right || !sure, wanted, origin);
    fact("origin", right, wanted, &origin["function"]);
    let gate = &truth["gate"];
    fact("gate", gate.is_null() || is_called(&origin["gate"]["function"], &gate["function"]), gate, &origin["gate"]);
}

/// A text names a function.
fn has_word(text: &str, word: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|found| found == word)
}

/// The signal that counts: one that came while a handler ran hides it.
fn first_stop(stop: &Value) -> &Value {
    let original = &stop["original"];
    if original.is_null() { stop } else { first_stop(original) }
}

/// Crash site and frames, as far as names can be had at all.
fn stacks(truth: &Value, report: &Value, fact: &mut impl FnMut(&'static str, bool, &Value, &Value)) {
    let stacks: Vec<Vec<&Value>> = frames_of(report);
    let names = |stack: &[&Value]| stack.iter().map(|frame| frame["function"].clone()).collect::<Value>();
    let own = |frame: &&Value| frame["module"] == truth["exe"] && frame["symbol"] == "dwarf";
    match (truth["symbols"].as_str(), truth["stacks"].as_str()) {
        (_, Some("refused")) => {
            let named = stacks.iter().flatten().filter(|frame| !frame["function"].is_null()).count();
            return fact("stacks", named == 0, &truth["stacks"], &named.into());
        }
        (Some("none" | "mismatch"), _) => {
            // No name may come from a file that is not the one that ran.
            let named: Vec<_> = stacks.iter().flatten().copied().filter(own).collect();
            return fact("symbols", named.is_empty(), &truth["symbols"], &names(&named));
        }
        _ => {}
    }
    let table_only = truth["symbols"] == "table";
    let (crash, site) = (&truth["crash"], &report["crash_site"]);
    let same_line = site["line"] == crash["line"] && file_name(&site["file"]) == file_name(&crash["file"]);
    let same_place = is_called(&site["function"], &crash["function"]) && (table_only || same_line);
    fact("crash", if crash.is_null() { site.is_null() } else { same_place }, crash, site);

    let wanted: Vec<_> = truth["frames"].as_array().into_iter().flatten().filter(|name| *name != "…").collect();
    let stopped =
        report["threads"].as_array().into_iter().flatten().position(|it| it["id"] == report["stop"]["thread"]);
    let holds = wanted.is_empty() || stacks.iter().any(|stack| in_order(stack, &wanted));
    let shown = stopped.and_then(|index| stacks.get(index)).or(stacks.first());
    fact("frames", holds, &truth["frames"], &shown.map(|stack| names(stack)).unwrap_or_default());

    for (key, name, holds) in [
        ("tail_calls", "tail-calls", (|frame| frame["trust"] == "tail-call") as fn(&Value) -> bool),
        ("inlined", "inlined", |frame| frame["inlined"] == true),
    ] {
        for function in truth[key].as_array().into_iter().flatten() {
            let found = stacks.iter().flatten().any(|frame| is_called(&frame["function"], function) && holds(frame));
            fact(name, found, function, &Value::Null);
        }
    }
}

/// The stacks of all threads.
fn frames_of(report: &Value) -> Vec<Vec<&Value>> {
    let threads = report["threads"].as_array().into_iter().flatten();
    threads.map(|thread| thread["frames"].as_array().into_iter().flatten().collect()).collect()
}

/// The functions stand in the stack in this order; others may stand between them.
fn in_order(stack: &[&Value], functions: &[&Value]) -> bool {
    let mut rest = stack.iter();
    functions.iter().all(|function| match function.as_str() {
        Some("<signal handler called>") => rest.any(|frame| frame["kind"] == "signal-trampoline"),
        _ => rest.any(|frame| is_called(&frame["function"], function)),
    })
}

/// A function with or without its parameters.
fn is_called(actual: &Value, wanted: &Value) -> bool {
    let (Some(actual), Some(wanted)) = (actual.as_str(), wanted.as_str()) else { return false };
    actual.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('('))
}

fn file_name(path: &Value) -> Option<&str> {
    path.as_str()?.rsplit('/').next()
}

fn cycles(truth: &Value) -> Vec<Vec<u64>> {
    let cycles = truth["deadlock"].as_array().into_iter().flatten();
    sorted(cycles.map(|cycle| cycle.as_array().into_iter().flatten().filter_map(Value::as_u64).collect()))
}

fn reported_cycles(report: &Value) -> Vec<Vec<u64>> {
    let cycles = report["deadlocks"].as_array().into_iter().flatten();
    let threads =
        |cycle: &Value| cycle["threads"].as_array().into_iter().flatten().filter_map(|it| it["id"].as_u64()).collect();
    sorted(cycles.map(threads))
}

fn sorted(cycles: impl Iterator<Item = Vec<u64>>) -> Vec<Vec<u64>> {
    let mut cycles: Vec<_> = cycles
        .map(|mut cycle| {
            cycle.sort_unstable();
            cycle
        })
        .collect();
    cycles.sort();
    cycles
}
