//! What `necropsy advise` says, for people.

use std::io::{self, Write};

use necropsy_model::Command;
use necropsy_model::advice::Advice;

use super::clean::clean;
use super::page::{Line, Page, Tone};
use crate::Style;

/// Writes advice for people.
pub fn advice(advice: &Advice, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let mut page = Page::new(out, style);
    page.heading("ADVICE", Line::new().put(Tone::Strong, &advice.headline))?;
    for fact in &advice.facts {
        let line = Line::indented(2).plain("- ").plain(&fact.text);
        page.line(line.plain("  ").put(Tone::Dim, format!("({})", fact.source)), 4)?;
    }
    commands(&mut page, "TAKE NOW", &advice.take)?;
    commands(&mut page, "FOR THE NEXT TIME", &advice.next_time)?;
    if !advice.notes.is_empty() {
        page.heading("MIND", Line::new())?;
        for note in &advice.notes {
            page.line(Line::indented(2).plain("- ").plain(note), 4)?;
        }
    }
    for choice in &advice.choices {
        page.heading("SAY MORE", Line::new().put(Tone::Name, choice.flag))?;
        for (value, meaning) in &choice.values {
            let line = Line::indented(2).put(Tone::Name, format!("{} {value}", choice.flag)).fill_to(24);
            page.line(line.plain(meaning), 24)?;
        }
        page.verbatim(Line::indented(2).put(Tone::Dim, "how to find out: ").plain(&choice.how))?;
    }
    Ok(())
}

/// Commands under a heading, numbered in the order in which to take them.
fn commands(page: &mut Page<'_>, heading: &str, commands: &[Command]) -> io::Result<()> {
    if commands.is_empty() {
        return Ok(());
    }
    page.heading(heading, Line::new())?;
    for (number, command) in (1..).zip(commands) {
        page.line(Line::indented(2).plain(format!("{number}. ")).plain(&command.what), 5)?;
        page.verbatim(Line::indented(5).put(Tone::Name, &command.command))?;
        cost(page, command, 5)?;
    }
    Ok(())
}

/// What a command costs, below it.
pub(super) fn cost(page: &mut Page<'_>, command: &Command, indent: usize) -> io::Result<()> {
    if command.cost.is_empty() {
        return Ok(());
    }
    page.line(Line::indented(indent).put(Tone::Dim, &command.cost), indent + 2)
}

/// Writes one line: the headline, then the first command.
pub fn brief_advice(advice: &Advice, out: &mut dyn Write) -> io::Result<()> {
    write!(out, "{}", clean(&advice.headline))?;
    match (advice.take.first(), advice.choices.first()) {
        (Some(first), _) => writeln!(out, ": {}", clean(&first.command)),
        (None, Some(choice)) => {
            let values: Vec<_> = choice.values.iter().map(|(value, _)| *value).collect();
            writeln!(out, ": {} {}", choice.flag, values.join("|"))
        }
        (None, None) => writeln!(out),
    }
}

#[cfg(test)]
mod tests {
    use necropsy_model::advice::{Choice, Fact};

    use super::*;

    fn sample() -> Advice {
        Advice {
            headline: "a hang".to_owned(),
            facts: vec![Fact::new("3 threads", "task/*/stat")],
            take: vec![Command {
                what: "the stacks".to_owned(),
                command: "gdb -p 4".to_owned(),
                cost: "pause: a second".to_owned(),
            }],
            notes: vec!["before you restart".to_owned()],
            choices: vec![Choice { flag: "--cpu", values: vec![("0", "it waits")], how: "top".to_owned() }],
            ..Advice::default()
        }
    }

    #[test]
    fn sections_stand_in_order_and_hostile_text_is_cleaned() {
        let style = Style { color: false, width: 80, threads: false, all: false, locals: false, explain: false };
        let mut advised = sample();
        advised.facts.push(Fact::new("named \x1b[31mred", "comm"));
        let mut out = Vec::new();
        advice(&advised, style, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part}: {text}"));
        assert!(at("ADVICE  a hang") < at("(task/*/stat)") && at("TAKE NOW") < at("gdb -p 4"));
        assert!(at("pause: a second") < at("MIND") && at("MIND") < at("--cpu 0"));
        assert!(!text.contains('\x1b'));
    }

    #[test]
    fn one_line_is_the_first_command_or_the_first_question() {
        let line = |advice: &Advice| {
            let mut out = Vec::new();
            brief_advice(advice, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(line(&sample()), "a hang: gdb -p 4\n");
        assert_eq!(line(&Advice { take: Vec::new(), ..sample() }), "a hang: --cpu 0\n");
    }
}
