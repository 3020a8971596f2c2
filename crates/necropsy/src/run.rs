//! The program: the order of the stages.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use necropsy_debuginfod::Client;
use necropsy_diagnose::series::{self, LogSite};
use necropsy_model::jvm::Joined;
use necropsy_model::{Arena, Snapshot};
use necropsy_redact::Redactor;
use necropsy_report::{Report, Several};

use crate::args::Args;
use crate::fail_on::Condition;
use crate::files::{self, Job};
use crate::many;
use crate::pairs::{self, Unit};
use crate::progress::Progress;
use crate::reading::{self, Shown};
use crate::tally::Tally;
use crate::terminal;

/// Triages every input, and says how it went: see [`Tally::status`].
pub(crate) fn main(args: &Args) -> ExitCode {
    let client = match args.reading.client() {
        Ok(client) => client,
        Err(why) => {
            terminal::say(&why);
            return ExitCode::from(2);
        }
    };
    let units = pairs::plan(files::expand(&args.files));
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut tally = Tally::default();
    let written = match units.as_slice() {
        // One report goes out as it is made; of several, each waits for those before it.
        [unit] => {
            let triaged = reports(unit, args, &client, &mut out);
            tally.add(triaged, &mut out)
        }
        units => together(units, args, &client, &mut tally, &mut out),
    };
    let written = written.and_then(|()| tally.end(&mut out));
    let written = written.and_then(|()| series(&tally.logs, args, &mut out)).and_then(|()| out.flush());
    tally.status(written)
}

/// Several inputs, some at a time; their reports come in the order in which they were named.
fn together(
    units: &[Unit],
    args: &Args,
    client: &Arc<Client>,
    tally: &mut Tally,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut progress = Progress::of(units.len());
    let mut done = |number: usize, (report, triaged): (Vec<u8>, _)| {
        progress.clear();
        out.write_all(&report)?;
        tally.add(triaged, out)?;
        progress.show(number, units.get(number).map(|unit| &*unit.job.path), out)
    };
    many::in_order(
        units,
        |unit| {
            let mut report = Vec::new();
            let triaged = reports(unit, args, client, &mut report);
            (report, triaged)
        },
        &mut done,
    )
}

/// The report of an input with its second listing; the listing has one of its own when it is of another process.
fn reports<'a>(
    unit: &'a Unit,
    args: &Args,
    client: &Arc<Client>,
    out: &mut dyn Write,
) -> Vec<(&'a Job, Result<Triaged, Failure>)> {
    let first = triage(&unit.job, unit.also.as_ref(), args, client, out);
    let left = unit.also.as_ref().filter(|_| !first.as_ref().is_ok_and(|triaged| triaged.joined));
    let second = left.map(|job| (job, triage(job, None, args, client, out)));
    std::iter::once((&unit.job, first)).chain(second).collect()
}

/// What became of an input.
#[derive(Default)]
pub(crate) struct Triaged {
    /// A condition of `--fail-on` was met.
    pub met: bool,
    /// What its fatal error logs add to those of other inputs.
    pub logs: Vec<LogSite>,
    /// The second listing is part of the report.
    joined: bool,
}

/// Read, symbolicate, redact if asked to, group, diagnose, report: one input.
fn triage(
    job: &Job,
    also: Option<&Job>,
    args: &Args,
    client: &Arc<Client>,
    out: &mut dyn Write,
) -> Result<Triaged, Failure> {
    let arena = Arena::new();
    let mut triaged = Triaged::default();
    let path = job.path().map_err(reading::Error::Open)?;
    let (mut input, mut snapshots) = args.reading.open(path, &arena)?;
    triaged.joined = also.is_some_and(|also| join(&mut snapshots, &also.path, args, &arena));
    for (index, mut snapshot) in snapshots.into_iter().enumerate() {
        input.index = index;
        let shown = Shown { locals: args.locals, sources: args.source };
        args.reading.name(&mut snapshot, &job.path, &arena, client, shown);
        let mut redactor = args.policy.redacts().then(Redactor::new);
        if let Some(redactor) = &mut redactor {
            redactor.snapshot(&mut snapshot);
            input.path = format!("<file-{}>", job.number);
        }
        let groups = necropsy_group::group(&snapshot, args.similarity());
        let mut verdict = necropsy_diagnose::diagnose_with(&snapshot, &groups, &args.policy.noise());
        let claim = args.symptom.map(|symptom| symptom.complaint(None));
        verdict.claim = claim.map(|claim| necropsy_diagnose::advice::claim(&snapshot, &verdict, claim));
        triaged.met |= args.fail_on.iter().any(|condition: &Condition| condition.is_met(&verdict));
        triaged.logs.extend(LogSite::of(&snapshot, &verdict));
        let view = args.view().map(|view| necropsy_group::group_with(&snapshot, &view));
        let groups = view.unwrap_or(groups);
        let owner = args.policy.owner(&verdict);
        let report = Report { input: &input, snapshot: &snapshot, groups: &groups, verdict: &verdict, owner };
        necropsy_redact::through(redactor.as_mut(), out, |out| write(&report, args, out))?;
    }
    Ok(triaged)
}

/// Puts the listing at `also` into the only dump that was read; `false` when it does not belong there or can not be read.
fn join<'data>(snapshots: &mut [Snapshot<'data>], also: &Path, args: &Args, arena: &'data Arena) -> bool {
    let others = args.reading.open(also, arena);
    let ([snapshot], Ok((_, [other]))) = (snapshots, others.as_ref().map(|(input, others)| (input, &**others))) else {
        return false;
    };
    let Some(joined) = necropsy_read::join(snapshot, other) else { return false };
    if let Some(jvm) = &mut snapshot.jvm {
        jvm.joined = Some(Joined { path: also.to_string_lossy().into_owned(), ..joined });
    }
    true
}

fn write(report: &Report<'_, '_>, args: &Args, out: &mut dyn Write) -> io::Result<()> {
    match args {
        Args { json: true, threads, .. } => necropsy_report::json(report, *threads, out),
        Args { folded: true, .. } => necropsy_report::folded(report.snapshot, report.groups, out),
        Args { brief: true, .. } => necropsy_report::brief(report, out),
        _ => necropsy_report::text(report, terminal::style(args), out),
    }
}

/// What several fatal error logs of a virtual machine say together. For people only: each line of the JSON is one dump.
fn series(logs: &[LogSite], args: &Args, out: &mut dyn Write) -> io::Result<()> {
    let Some(found) = series::verdict(logs).filter(|_| !args.json && !args.folded) else { return Ok(()) };
    let several = Several { headline: &found.headline, confidence: found.confidence, because: &found.because };
    necropsy_report::several(&several, (!args.brief).then(|| terminal::style(args)), out)
}

/// Why an input has no report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Reading(#[from] reading::Error),
    #[error("could not write the report: {0}")]
    Output(#[from] io::Error),
}

impl Failure {
    /// The file is no dump at all, which is no failure of a file that only lies in a directory.
    pub(crate) fn is_no_dump(&self) -> bool {
        matches!(self, Self::Reading(error) if error.is_no_dump())
    }
}
