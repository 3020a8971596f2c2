//! What `necropsy advise` says, for machines. `docs/json.md` describes it.

use std::io::{self, Write};

use necropsy_model::advice as model;
use serde::Serialize;

use super::verdict::Command;

/// Name and version of the contract.
const SCHEMA: &str = "necropsy-advice/1";

/// Writes advice for machines: one JSON object on one line.
pub fn advice(advice: &model::Advice, out: &mut dyn Write) -> io::Result<()> {
    super::json_line(&Document::new(advice), out)
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    headline: &'a str,
    facts: Vec<Fact<'a>>,
    take: Vec<Command<'a>>,
    next_time: Vec<Command<'a>>,
    notes: &'a [String],
    choices: Vec<Choice<'a>>,
}

#[derive(Serialize)]
struct Fact<'a> {
    text: &'a str,
    source: &'a str,
}

#[derive(Serialize)]
struct Choice<'a> {
    flag: &'static str,
    values: Vec<Named>,
    how: &'a str,
}

#[derive(Serialize)]
struct Named {
    value: &'static str,
    meaning: &'static str,
}

impl<'a> Document<'a> {
    fn new(advice: &'a model::Advice) -> Self {
        let named = |&(value, meaning): &(&'static str, &'static str)| Named { value, meaning };
        let choice = |it: &'a model::Choice| Choice {
            flag: it.flag,
            values: it.values.iter().map(named).collect(),
            how: &it.how,
        };
        Self {
            schema: SCHEMA,
            headline: &advice.headline,
            facts: advice.facts.iter().map(|fact| Fact { text: &fact.text, source: &fact.source }).collect(),
            take: Command::all(&advice.take),
            next_time: Command::all(&advice.next_time),
            notes: &advice.notes,
            choices: advice.choices.iter().map(choice).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_is_in_the_page() {
        let advice = model::Advice {
            headline: "a hang".to_owned(),
            facts: vec![model::Fact::new("3 threads", "task")],
            take: vec![necropsy_model::Command::default()],
            choices: vec![model::Choice { flag: "--cpu", values: vec![("0", "it waits")], how: "top".to_owned() }],
            ..model::Advice::default()
        };
        let mut out = Vec::new();
        super::advice(&advice, &mut out).unwrap();
        let object: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let page = include_str!("../../../../docs/json.md");
        let page = page.split("# Advice").nth(1).unwrap();
        for name in object.as_object().unwrap().keys() {
            assert!(page.contains(&format!("`{name}`")), "docs/json.md does not say what {name} is");
        }
        assert_eq!(object["choices"][0]["values"][0]["value"], "0");
    }
}
