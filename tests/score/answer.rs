//! A report's origin against the truth of its seed, and what the two simple guesses would have said.

use serde_json::Value;

use crate::seeds::{Mark, Seed};

/// What a report says of the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Claim {
    /// It blames somebody: an origin better than grade D.
    Made,
    /// It has evidence and blames nobody: grade D, or the birth is unknown.
    Unknown,
    /// It says nothing.
    None,
}

/// How a report did.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) claim: Claim,
    pub(crate) grade: Option<String>,
    /// The kind of evidence, and its grade.
    pub(crate) kind: String,
    /// The function it names is the one of birth, whatever the grade.
    pub(crate) function: bool,
    /// So is the line.
    pub(crate) line: bool,
    /// The gate is right; `None` where the truth has none.
    pub(crate) gate: Option<bool>,
    /// Frame 0 is the function of birth.
    pub(crate) frame_0: bool,
    /// The first frame of the program itself is.
    pub(crate) in_app: bool,
    /// The crash site is the marked one: else something else broke than was meant to.
    pub(crate) crash_site: bool,
    /// What it said, for a table.
    pub(crate) said: String,
}

impl Answer {
    /// It blames the wrong one.
    pub(crate) fn is_false_blame(&self) -> bool {
        self.claim == Claim::Made && !self.function
    }
}

/// Judges a report.
pub(crate) fn judge(seed: &Seed, report: &Value) -> Answer {
    let origin = &report["origin"];
    let kind = origin["kind"].as_str().unwrap_or_default();
    let grade = origin["grade"].as_str().map(str::to_owned);
    let claim = match grade.as_deref() {
        None => Claim::None,
        Some("D") => Claim::Unknown,
        _ if kind.starts_with("unknown") || seed.has_no_origin() && kind == "none" => Claim::Unknown,
        _ => Claim::Made,
    };
    let (function, line) = match claim {
        _ if seed.has_no_origin() => (claim != Claim::Made, claim != Claim::Made),
        Claim::None => (false, false),
        _ if kind.starts_with("unknown") => (false, false),
        _ => (is_born(seed, origin), stands_at(seed, origin, &seed.births)),
    };
    let gate = &origin["gate"];
    let right_gate = || !gate.is_null() && (stands_at(seed, gate, &seed.calls) || names_any(gate, &seed.calls));
    let frame_0 = &frame_at_fault(report)["function"];
    Answer {
        claim,
        kind: format!("{kind} {}", grade.as_deref().unwrap_or("-")),
        grade,
        function,
        line,
        gate: (!seed.calls.is_empty()).then(right_gate),
        frame_0: is_one_of(frame_0, &seed.births),
        in_app: is_one_of(&report["crash_site"]["function"], &seed.births),
        crash_site: seed.crashes.is_empty() || stands_at(seed, &report["crash_site"], &seed.crashes),
        said: said(origin),
    }
}

/// The frame of the faulting instruction in the thread that stopped; a handler may have run above it.
fn frame_at_fault(report: &Value) -> &Value {
    let stop = [&report["stop"]["original"], &report["stop"]].into_iter().find(|stop| !stop.is_null());
    let stop = stop.unwrap_or(&Value::Null);
    let mut threads = report["threads"].as_array().into_iter().flatten();
    let stopped = threads.find(|thread| thread["id"] == stop["thread"]).unwrap_or(&Value::Null);
    let index = stop["frame"].as_u64().and_then(|index| usize::try_from(index).ok()).unwrap_or_default();
    &stopped["frames"][index]
}

fn is_born(seed: &Seed, origin: &Value) -> bool {
    // A global that was never written is born nowhere: naming it is right.
    let symbols = seed.births.iter().filter_map(|mark| mark.symbol.as_deref());
    let named = |symbol: &str| {
        let text = |value: &Value| value.as_str().is_some_and(|text| has_word(text, symbol));
        let steps = origin["trail"].as_array().into_iter().flatten();
        text(&origin["kind"]) || text(&origin["value"]) || steps.last().is_some_and(|step| text(&step["text"]))
    };
    let initial = origin["kind"].as_str().is_some_and(|kind| kind.contains("initial"));
    is_one_of(&origin["function"], &seed.births)
        || symbols.into_iter().any(|symbol| named(symbol) && initial)
        || (seed.birth_functions().any(|function| function == "<global>") && stands_at(seed, origin, &seed.births))
}

fn has_word(text: &str, word: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|found| found == word)
}

fn stands_at(seed: &Seed, place: &Value, marks: &[Mark]) -> bool {
    let file = place["file"].as_str().and_then(|path| path.rsplit('/').next());
    file == Some(&seed.file) && marks.iter().any(|mark| place["line"].as_u64() == Some(mark.line))
}

fn names_any(place: &Value, marks: &[Mark]) -> bool {
    is_one_of(&place["function"], marks)
}

fn is_one_of(function: &Value, marks: &[Mark]) -> bool {
    let Some(function) = function.as_str().map(bare) else { return false };
    marks.iter().flat_map(|mark| &mark.functions).any(|wanted| *wanted == function)
}

/// The function's own name: without namespace, parameters, and what a compiler appends to its copies.
pub(crate) fn bare(function: &str) -> &str {
    let name = function.split(['(', '<']).next().unwrap_or(function);
    let name = name.split("::{").next().unwrap_or(name);
    // A mark of the ABI: `name[abi:cxx11]`.
    let name = name.split("[abi:").next().unwrap_or(name);
    let name = name.split('.').next().unwrap_or(name);
    name.rsplit("::").next().unwrap_or(name).trim()
}

fn said(origin: &Value) -> String {
    if origin.is_null() {
        return "no origin".to_owned();
    }
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let place = |place: &Value| {
        let file = place["file"].as_str().and_then(|path| path.rsplit('/').next()).unwrap_or("?");
        format!("{} {file}:{}", text(&place["function"]), place["line"])
    };
    let gate = if origin["gate"].is_null() { String::new() } else { format!("; gate {}", place(&origin["gate"])) };
    let steps = origin["trail"].as_array().into_iter().flatten();
    let trail: Vec<_> = steps.map(|step| format!("{}: {}", text(&step["step"]), text(&step["text"]))).collect();
    let (grade, kind) = (text(&origin["grade"]), text(&origin["kind"]));
    format!("{grade} {kind} {}{gate} | {}", place(origin), trail.join(" > "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn seed() -> Seed {
        let mark = |line, function: &str| Mark { line, functions: vec![function.to_owned()], symbol: None };
        Seed {
            file: "refund.c".to_owned(),
            births: vec![mark(9, "lookup")],
            crashes: vec![Mark { line: 12, ..Mark::default() }],
            calls: vec![mark(16, "process")],
            ..Seed::default()
        }
    }

    fn report(origin: &Value) -> Value {
        let frames = json!([{"function": "apply", "kind": "normal"}, {"function": "process", "kind": "normal"}]);
        let site = json!({"function": "apply", "file": "src/refund.c", "line": 12});
        json!({"origin": origin, "crash_site": site, "stop": {"thread": 7, "frame": 0}, "threads": [{"id": 7, "frames": frames}]})
    }

    #[test]
    fn a_right_answer_in_all_its_parts() {
        let gate = json!({"function": "process", "file": "refund.c", "line": 16});
        let function = "lookup(int) [clone .constprop.0]";
        let origin = json!({"function": function, "file": "/a/refund.c", "line": 9, "kind": "constant", "grade": "A", "gate": gate});
        let answer = judge(&seed(), &report(&origin));
        assert!(answer.function && answer.line && answer.crash_site && !answer.is_false_blame());
        assert_eq!((answer.claim, answer.gate), (Claim::Made, Some(true)));
        assert!(!answer.frame_0 && !answer.in_app);
    }

    #[test]
    fn a_wrong_blame_and_words_that_blame_nobody() {
        let wrong = |grade: &str, kind: &str| json!({"function": "process", "file": "refund.c", "line": 16, "kind": kind, "grade": grade});
        assert!(judge(&seed(), &report(&wrong("C", "constant"))).is_false_blame());
        let unsure = judge(&seed(), &report(&wrong("D", "constant")));
        assert!(!unsure.is_false_blame() && unsure.claim == Claim::Unknown && unsure.gate == Some(false));
        let unknown = judge(&seed(), &report(&wrong("B", "unknown")));
        assert!(!unknown.is_false_blame() && !unknown.function);
        let none = judge(&seed(), &report(&Value::Null));
        assert!(!none.function && none.claim == Claim::None);
    }

    #[test]
    fn nobody_is_to_blame_for_a_signal_from_outside() {
        let mut seed = seed();
        seed.births[0].functions[0] = "<none>".to_owned();
        assert!(judge(&seed, &report(&Value::Null)).function);
        let blame = json!({"function": "apply", "file": "refund.c", "line": 12, "kind": "constant", "grade": "B"});
        assert!(judge(&seed, &report(&blame)).is_false_blame());
    }

    #[test]
    fn names_without_what_surrounds_them() {
        for (function, name) in [
            ("ledger::Importer::add(int)", "add"),
            ("slab_key::slot", "slot"),
            ("shelf::total::{closure#0}", "total"),
            ("evict.part.0", "evict"),
            ("peek<int>", "peek"),
            ("label[abi:cxx11](int)", "label"),
        ] {
            assert_eq!(bare(function), name);
        }
    }

    #[test]
    fn a_global_is_named_by_its_initial_value() {
        let mut seed = seed();
        seed.births[0] = Mark { line: 3, functions: vec!["<global>".to_owned()], symbol: Some("table".to_owned()) };
        let trail = json!([{"step": "load", "text": "global table still has its initial value"}]);
        let origin = json!({"kind": "initial-value", "grade": "B", "trail": trail});
        assert!(judge(&seed, &report(&origin)).function);
        let other = json!({"kind": "constant", "grade": "B", "trail": trail, "function": "f"});
        assert!(!judge(&seed, &report(&other)).function);
    }
}
