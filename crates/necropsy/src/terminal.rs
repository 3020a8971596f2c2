//! What standard output can show: its width, and whether colour is wanted; and lines on standard error.

use std::env;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::ColorChoice;
use necropsy_report::Style;

use crate::args::Args;

/// Columns where nothing says how many there are: a pipe, a file.
const PIPED: usize = 100;

/// Options of everything that is printed for people.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Look {
    /// Colour: `auto` is on a terminal, unless `NO_COLOR` is set
    #[arg(long, value_name = "WHEN", default_value = "auto", help_heading = "Output")]
    color: ColorChoice,
}

/// One line on standard error. Names of files and words of a dump in it can not steer the terminal.
pub(crate) fn say(text: &str) {
    // Nobody is left to tell when standard error is gone.
    let _ = writeln!(io::stderr(), "necropsy: {}", necropsy_report::clean(text));
}

/// Says why arguments were refused, or gives the help that was asked for. What was refused may be the name of a file that a
/// shell put there for `*`; only the lines of the message are its own.
pub(crate) fn refuse(refused: &clap::Error) -> ExitCode {
    if refused.use_stderr() {
        let message = refused.render().to_string();
        let lines: Vec<_> = message.lines().map(necropsy_report::clean).collect();
        let _ = writeln!(io::stderr(), "{}", lines.join("\n"));
    } else {
        let _ = refused.print();
    }
    ExitCode::from(u8::try_from(refused.exit_code()).unwrap_or(2))
}

/// How a text report on standard output looks.
pub(crate) fn style(args: &Args) -> Style {
    let Args { threads, all, locals, explain, .. } = *args;
    Style { threads, all, locals, explain, ..plain(args.look) }
}

/// How text on standard output looks.
pub(crate) fn plain(look: Look) -> Style {
    let terminal = terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0));
    let variable = |name: &str| env::var(name).ok();
    Style {
        color: color(look.color, io::stdout().is_terminal(), variable),
        width: width(terminal, variable("COLUMNS")),
        threads: false,
        all: false,
        locals: false,
        explain: false,
    }
}

/// `COLUMNS` wins: who sets it means it, and a test needs it.
fn width(terminal: Option<usize>, columns: Option<String>) -> usize {
    let asked = columns.and_then(|columns| columns.trim().parse().ok());
    asked.or(terminal).filter(|&width| width > 0).unwrap_or(PIPED)
}

/// `--color` wins over <https://no-color.org> (set and not empty), which wins over what the terminal says of itself.
fn color(choice: ColorChoice, is_terminal: bool, variable: impl Fn(&str) -> Option<String>) -> bool {
    let no_color = variable("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = variable("TERM").is_some_and(|value| value == "dumb");
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => is_terminal && !no_color && !dumb,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_is_for_terminals_unless_asked_for_or_refused() {
        let unset = |_: &str| None;
        let no_color = |name: &str| (name == "NO_COLOR").then(|| "1".to_owned());
        let empty = |name: &str| (name == "NO_COLOR").then(String::new);
        let dumb = |name: &str| (name == "TERM").then(|| "dumb".to_owned());
        assert!(color(ColorChoice::Auto, true, unset));
        assert!(!color(ColorChoice::Auto, false, unset));
        assert!(!color(ColorChoice::Auto, true, no_color));
        assert!(color(ColorChoice::Auto, true, empty));
        assert!(!color(ColorChoice::Auto, true, dumb));
        assert!(color(ColorChoice::Always, false, no_color));
        assert!(!color(ColorChoice::Never, true, unset));
    }

    #[test]
    fn the_width_asked_for_wins() {
        assert_eq!(width(Some(80), Some("60".to_owned())), 60);
        assert_eq!(width(Some(80), Some("wide".to_owned())), 80);
        assert_eq!(width(Some(0), None), PIPED);
        assert_eq!(width(None, None), PIPED);
    }
}
