//! `necropsy diff`: two dumps of one process.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use necropsy_debuginfod::Client;
use necropsy_diagnose::pair::{PairCase, Told};
use necropsy_group::pair::Side;
use necropsy_model::{Arena, Order, SameProcess, Snapshot};
use necropsy_redact::Redactor;
use necropsy_report::{Input, PairReport, Style};

use super::Failure;
use crate::config::Policy;
use crate::reading::{About, Dump, Reading};
use crate::symbols;
use crate::terminal::{self, Look};

/// Compare two dumps of one process: what is moving and what is not
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The two dumps, or one file that holds both; `-` is standard input
    #[arg(required = true, num_args = 1..=2, value_name = "FILE")]
    files: Vec<String>,

    /// One JSON object on one line; docs/json-diff.md says what is in it
    #[arg(long)]
    json: bool,

    /// One line: paths, symptom, headline, confidence
    #[arg(long, conflicts_with = "json")]
    brief: bool,

    /// List everything that moved; without it, the first of each
    #[arg(long)]
    all: bool,

    /// With --json: list the threads that did not move too
    #[arg(long, requires = "json")]
    threads: bool,

    #[command(flatten)]
    look: Look,

    #[command(flatten)]
    pub(super) reading: Reading,

    #[command(flatten)]
    pub(super) policy: Policy,
}

/// Reads both dumps, lays one over the other, and says what that means.
pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<(), Failure> {
    let arena = Arena::new();
    let client = args.reading.client().map_err(Failure::Said)?;
    let mut redactor = args.policy.redacts().then(Redactor::new);
    let (first, second) = both(args, &arena, &client, redactor.as_mut())?;
    symbols::say_what_failed(&client);
    let order = necropsy_group::pair::order(&first.snapshot, &second.snapshot);
    let (before, after) = if order == Order::Turned { (second, first) } else { (first, second) };
    let comparison = necropsy_group::pair::compare(
        Side { snapshot: &before.snapshot, groups: &before.groups },
        Side { snapshot: &after.snapshot, groups: &after.groups },
        order,
    );
    let verdict = necropsy_diagnose::pair::diagnose(&PairCase {
        before: Told { snapshot: &before.snapshot, verdict: &before.verdict },
        after: Told { snapshot: &after.snapshot, verdict: &after.verdict },
        comparison: &comparison,
    });
    let places = verdict.findings.iter().flat_map(|finding| &finding.places);
    let report = PairReport {
        owner: args.policy.owner_of(places).or_else(|| args.policy.owner(&after.verdict)),
        before: (&before.input, &before.snapshot),
        after: (&after.input, &after.snapshot),
        comparison: &comparison,
        verdict: &verdict,
    };
    let write = |out: &mut dyn Write| match args {
        Args { json: true, threads, .. } => necropsy_report::json_pair(&report, *threads, out),
        Args { brief: true, .. } => necropsy_report::brief_pair(&report, out),
        _ => necropsy_report::text_pair(&report, Style { all: args.all, ..terminal::plain(args.look) }, out),
    };
    necropsy_redact::through(redactor.as_mut(), out, write)?;
    if comparison.identity.same == SameProcess::No {
        out.flush()?;
        return Err(Failure::Said(verdict.headline.clone()));
    }
    Ok(())
}

/// The two dumps. Of a file that holds more than its share, the first and the last are what is furthest apart.
fn both<'data>(
    args: &Args,
    arena: &'data Arena,
    client: &Arc<Client>,
    mut redactor: Option<&mut Redactor>,
) -> Result<(Dump<'data>, Dump<'data>), Failure> {
    let noise = args.policy.noise();
    let mut found: Vec<(Input, usize, Snapshot<'data>, usize)> = Vec::new();
    for (number, path) in (1..).zip(&args.files) {
        let failed = |error| Failure::Said(format!("{}: {error}", path.escape_debug()));
        let (input, snapshots) = args.reading.open(Path::new(path), arena).map_err(failed)?;
        let dumps = snapshots.into_iter().enumerate();
        found.extend(dumps.map(|(index, snapshot)| (input.clone(), index, snapshot, number)));
    }
    if found.len() < 2 {
        let path = args.files.first().map(|path| path.escape_debug().to_string()).unwrap_or_default();
        return Err(Failure::Said(format!("{path} holds one dump; give a second one of the same process")));
    }
    if found.len() > 2 {
        let count = found.len();
        let _ = writeln!(io::stderr(), "necropsy: there are {count} dumps; the first and the last are compared");
    }
    let last = found.pop();
    let first = found.into_iter().next();
    let mut told = [first, last].into_iter().flatten().map(|(input, index, snapshot, number)| {
        let about = About { arena, client, noise: &noise, number };
        args.reading.tell(input, index, snapshot, about, redactor.as_deref_mut())
    });
    let pair = told.next().zip(told.next());
    pair.ok_or_else(|| Failure::Said("there are no two dumps".to_owned()))
}
