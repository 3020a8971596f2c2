//! A nil pointer was used, and how far into it.

use necropsy_model::go::GoForm;
use necropsy_model::{Evidence, Finding};

use crate::go::panics::NIL_PAGE;
use crate::go::{Go, panics};
use crate::{Case, Rule};

pub(crate) static RULE: Rule = Rule { id: "go-nil-dereference", doc: include_str!("nil_dereference.md"), check };

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(go) = Go::of(case).filter(|go| panics::is_panic(go) && panics::is_nil(go)) else { return Vec::new() };
    let raised = panics::Raised::of(&go);
    let at = raised.at().map(|at| format!(" in {at}")).unwrap_or_default();
    let address = go.facts.signal.as_ref().and_then(|signal| signal.address);
    let offset = match address.filter(|&address| address < NIL_PAGE) {
        Some(0) => ", at its first word".to_owned(),
        Some(offset) => format!(", {offset} bytes into it"),
        None => String::new(),
    };
    let comma = if offset.is_empty() || at.is_empty() { "" } else { "," };
    let recovered = if go.facts.form == GoForm::Recovered { "; the panic was recovered and logged" } else { "" };
    let again = match go.facts.panics.last().filter(|_| go.facts.panics.len() > 1) {
        Some(last) => format!("; the process ended with: {}", last.value.lines().next().unwrap_or_default()),
        None => String::new(),
    };
    let title = format!("a nil pointer was used{offset}{comma}{at}{recovered}{again}");
    let mut finding = panics::found(&go, RULE.id, &raised, title);
    if let Some((signal, address)) = go.facts.signal.as_ref().zip(address) {
        let text = match address {
            0 => "the address is 0: the first word of a nil pointer was used".to_owned(),
            1..NIL_PAGE => format!("the address is {address:#x}: the field {address} bytes into a nil pointer"),
            _ => format!(
                "the address is {address:#x}: too far from 0 for a plain nil, so look for a large offset or index"
            ),
        };
        finding.evidence.push(Evidence::new(text, signal.source));
    }
    finding.next.push(
        "find who made the pointer nil: look at the calls before this line whose result was not checked".to_owned(),
    );
    vec![finding]
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::go::samples::Dump;

    const WORDS: &str = "runtime error: invalid memory address or nil pointer dereference";

    #[test]
    fn fires() {
        let dump = |address| Dump::panic(WORDS).signal("SIGSEGV", address, false).add(1, "running", &["main.refund"]);
        let title = |address| dump(address).findings(&RULE)[0].title.clone();
        assert_eq!(title(0), "a nil pointer was used, at its first word, in main.refund at jobs.go:1");
        assert_eq!(title(8), "a nil pointer was used, 8 bytes into it, in main.refund at jobs.go:1");
        assert_eq!(title(0x4_0000), "a nil pointer was used in main.refund at jobs.go:1");
    }

    #[test]
    fn keeps_quiet() {
        assert!(!Dump::panic("assignment to entry in nil map").add(1, "running", &["main.refund"]).fires(&RULE));
        assert!(!Dump::fatal("fault").signal("SIGSEGV", 8, false).add(1, "running", &["main.refund"]).fires(&RULE));
    }
}
