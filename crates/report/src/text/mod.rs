//! The report for people: verdict first, then where, then who else, then what could not be read.

mod advice;
mod buckets;
mod clean;
mod deadlocks;
mod families;
mod findings;
mod groups;
mod header;
mod machine;
mod modules;
mod page;
mod pair;
mod places;
mod rules;
mod several;
mod stack;
mod threads;
mod words;

#[cfg(test)]
mod tests;

use std::io::{self, Write};

use necropsy_model::{Runtime, Snapshot, Stop, Symptom};

pub use advice::{advice, brief_advice};
pub use buckets::{brief as brief_buckets, text as text_buckets};
pub use clean::clean;
pub(crate) use clean::is_hostile;
pub use modules::fetched;
use page::Page;
pub(crate) use pair::example_of;
pub use pair::{brief as brief_pair, text as text_pair};
pub use rules::{rule, rules};
pub use several::{Several, several};

use crate::{Report, Style};

/// Threads that are many: their report is to fit on a screen, and counts tell more than stacks.
const MANY: usize = 100;

/// Rows of a screen, less the one for the prompt.
const SCREEN: usize = 24;

/// Writes the report for people.
pub fn text(report: &Report<'_, '_>, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let mut page = Page::new(out, style);
    if report.snapshot.threads.len() >= MANY && !style.all && !style.threads {
        page = page.limited(SCREEN);
    }
    header::write(&mut page, report)?;
    header::verdict(&mut page, report)?;
    places::write(&mut page, report)?;
    deadlocks::write(&mut page, report)?;
    if !hangs(report) && !style.threads {
        stack::stopped(&mut page, report)?;
    }
    findings::write(&mut page, report)?;
    if style.threads {
        threads::write(&mut page, report)?;
    } else {
        groups::write(&mut page, report)?;
    }
    modules::write(&mut page, report)?;
    modules::warnings(&mut page, report)
}

/// Writes one line: path, symptom, headline, confidence.
pub fn brief(report: &Report<'_, '_>, out: &mut dyn Write) -> io::Result<()> {
    let Report { input, verdict, .. } = report;
    write!(out, "{}", clean(&input.path))?;
    if input.index > 0 {
        write!(out, " (dump {})", input.index + 1)?;
    }
    writeln!(out, ": {}: {} [{}]", verdict.symptom.name(), clean(header::headline(report)), verdict.confidence.name())
}

/// A hang is told by its groups; everything else by the stack that stopped.
fn hangs(report: &Report<'_, '_>) -> bool {
    matches!(report.verdict.symptom, Symptom::HangIdle | Symptom::HangBusy)
}

/// What the runtime calls its threads.
fn noun(snapshot: &Snapshot<'_>) -> &'static str {
    // A core lists the threads of the kernel; only a dump that Go printed lists goroutines.
    let goroutines = snapshot.process.runtime == Some(Runtime::Go) && snapshot.memory.is_empty();
    if goroutines { "goroutine" } else { "thread" }
}

/// The stop that counts: a handler that was running when a second signal came hides the first.
fn first_stop<'a, 'data>(snapshot: &'a Snapshot<'data>) -> Option<&'a Stop<'data>> {
    let mut stop = snapshot.stop.as_ref()?;
    while let Some(original) = &stop.original {
        stop = original;
    }
    Some(stop)
}
