//! `necropsy explain`: the page of a rule.

use std::io::Write;

use necropsy_diagnose::{RULES, Rule, pair};

use super::Failure;
use crate::terminal::{self, Look};

/// Explain a rule: what it means, why it matters, how it can be wrong, what to do
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Rule as a report names it, such as `null-pointer`; without one, all rules are listed
    #[arg(value_name = "RULE")]
    rule: Option<String>,

    #[command(flatten)]
    look: Look,
}

/// Writes the page of a rule, or the list of all.
pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<(), Failure> {
    let style = terminal::plain(args.look);
    let Some(id) = args.rule.as_deref() else {
        let rules = RULES.iter().map(|rule| (rule.id, rule.doc));
        let rules: Vec<(&str, &str)> = rules.chain(pair::RULES.iter().map(|rule| (rule.id, rule.doc))).collect();
        return Ok(necropsy_report::rules(&rules, style, out)?);
    };
    if let Some(page) = pair::explain(id) {
        return Ok(necropsy_report::rule(id, page, style, out)?);
    }
    let rule = necropsy_diagnose::explain(id).ok_or_else(|| Failure::Said(unknown(id)))?;
    Ok(necropsy_report::rule(rule.id, rule.doc, style, out)?)
}

/// Names those that hold a word of what was typed: nobody remembers an id to the letter.
fn unknown(id: &str) -> String {
    let words: Vec<String> = id.split(['-', '_', ' ']).map(str::to_lowercase).filter(|word| word.len() > 2).collect();
    let shared =
        |rule: &&&Rule| words.iter().filter(|word| rule.id.split('-').any(|part| part == word.as_str())).count();
    let mut near: Vec<_> = RULES.iter().filter(|rule| shared(rule) > 0).collect();
    near.sort_by_key(|rule| std::cmp::Reverse(shared(rule)));
    let near: Vec<&str> = near.iter().take(5).map(|rule| rule.id).collect();
    let hint = match near.as_slice() {
        [] => "`necropsy explain` lists all".to_owned(),
        near => format!("did you mean {}?", near.join(", ")),
    };
    format!("there is no rule {}; {hint}", id.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_rules_have_neighbours() {
        assert!(unknown("null pointer").contains("null-pointer"), "{}", unknown("null pointer"));
        assert!(unknown("deadlok").contains("lists all"));
        assert!(!unknown("\x1b[2J").contains('\x1b'));
    }
}
