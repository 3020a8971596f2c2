//! How far a run over many inputs is: a line on standard error, only where somebody watches it.

use std::env;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use necropsy_report::clean;

/// A terminal is not written more often than this.
const PAUSE: Duration = Duration::from_millis(100);
/// Columns of a file's name.
const NAME: usize = 40;

/// The line.
pub(crate) struct Progress {
    total: usize,
    /// When it was last written.
    last: Option<Instant>,
    /// It stands on the screen.
    shown: bool,
    enabled: bool,
    /// Reports go to the same screen.
    shares: bool,
}

impl Progress {
    /// For so many inputs. CI systems give terminals to programs that nobody watches, and say so by `CI`.
    pub(crate) fn of(total: usize) -> Self {
        let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        let enabled = io::stderr().is_terminal() && env::var_os("CI").is_none() && !dumb;
        Self { total, last: None, shown: false, enabled, shares: io::stdout().is_terminal() }
    }

    /// Takes it away before something else is written.
    pub(crate) fn clear(&mut self) {
        if self.shown && self.shares {
            let _ = write!(io::stderr(), "\r\x1b[K");
            self.shown = false;
        }
    }

    /// Shows it behind the input of that number, from 0; what was reported before is on the screen by then.
    pub(crate) fn show(&mut self, number: usize, path: Option<&Path>, out: &mut dyn Write) -> io::Result<()> {
        let number = number + 1;
        let soon = self.last.is_some_and(|last| last.elapsed() < PAUSE) && number < self.total;
        if !self.enabled || soon {
            return Ok(());
        }
        out.flush()?;
        let _ = if number < self.total {
            write!(io::stderr(), "\r\x1b[K{}", line(number, path, self.total))
        } else {
            write!(io::stderr(), "\r\x1b[K")
        };
        self.last = Some(Instant::now());
        self.shown = true;
        Ok(())
    }
}

fn line(number: usize, path: Option<&Path>, total: usize) -> String {
    let percent = number * 100 / total.max(1);
    let name = path.and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    let name: String = clean(&name).chars().take(NAME).collect();
    format!("necropsy: {number} of {total} ({percent} %)  {name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_how_far_and_shows_no_hostile_name() {
        let path = Path::new("x\x1b[2J\u{202e}y");
        assert_eq!(line(2, Some(path), 4), r"necropsy: 2 of 4 (50 %)  x\x1b[2J\u{202e}y");
    }
}
