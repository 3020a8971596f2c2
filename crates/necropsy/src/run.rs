//! The program: the order of the stages.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use necropsy_debuginfod::Client;
use necropsy_diagnose::series::{self, LogSite};
use necropsy_model::jvm::Joined;
use necropsy_model::{Arena, Snapshot, Source, Warning};
use necropsy_report::{Report, Several};
use necropsy_symbolicate::Options;

use crate::args::Args;
use crate::input::{self, Opened};
use crate::pairs::{self, Unit};
use crate::terminal;

/// Triages every input. Exit status 0: all triaged; 2: at least one could not be.
pub(crate) fn main(args: &Args) -> ExitCode {
    let mut out = io::BufWriter::new(io::stdout().lock());
    if let Some(absent) = absent(args) {
        let _ = writeln!(io::stderr(), "necropsy: {absent}");
        return ExitCode::from(2);
    }
    let client = match args.symbols.client() {
        Ok(client) => client,
        Err(why) => {
            let _ = writeln!(io::stderr(), "necropsy: {why}");
            return ExitCode::from(2);
        }
    };
    let mut failed = false;
    let mut logs = Vec::new();
    let mut units: VecDeque<_> = pairs::plan(&args.files).into();
    while let Some(unit) = units.pop_front() {
        let path = unit.path;
        match triage(&unit, args, &client, &mut logs, &mut out) {
            Ok(Also::Joined) => {}
            // It is of another process, or can not be read: then it has a report, or an error, of its own.
            Ok(Also::Left) => {
                if let Some(path) = unit.also {
                    units.push_front(Unit { path, also: None });
                }
            }
            Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => return ExitCode::SUCCESS,
            Err(error) => {
                let _ = out.flush();
                let _ = writeln!(io::stderr(), "necropsy: {}: {error}", path.escape_debug());
                failed = true;
            }
        }
    }
    if together(&logs, args, &mut out).is_err() {
        return ExitCode::SUCCESS;
    }
    match out.flush() {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::from(2),
        _ if failed => ExitCode::from(2),
        _ => ExitCode::SUCCESS,
    }
}

/// A place to look for files that is not there: a report without its names would only puzzle.
fn absent(args: &Args) -> Option<String> {
    let folders = args
        .sysroot
        .iter()
        .map(|path| ("--sysroot", path))
        .chain(args.debug_dirs.iter().map(|path| ("--debug-dir", path)));
    let folder = folders.into_iter().find(|(_, path)| !path.is_dir());
    if let Some((flag, path)) = folder {
        return Some(format!("{flag} {}: there is no such directory", path.to_string_lossy().escape_debug()));
    }
    let exe = args.exe.as_ref().filter(|path| !path.is_file())?;
    Some(format!("--exe {}: there is no such file", exe.to_string_lossy().escape_debug()))
}

/// What became of the second listing of a unit.
enum Also {
    /// It is part of the report; or there was none.
    Joined,
    /// It is not in the report.
    Left,
}

/// Read, symbolicate, group, diagnose, report: one input.
fn triage(
    unit: &Unit<'_>,
    args: &Args,
    client: &Arc<Client>,
    logs: &mut Vec<LogSite>,
    out: &mut dyn Write,
) -> Result<Also, Failure> {
    let (arena, path) = (Arena::new(), unit.path);
    let Opened { data, mut input, warnings } = input::open(path, args.limit(), &arena)?;
    let mut snapshots = necropsy_read::read(data, &arena, args.format.as_deref())?;
    let joined = unit.also.is_none_or(|also| join(&mut snapshots, also, args, &arena));
    for (index, mut snapshot) in snapshots.into_iter().enumerate() {
        input.index = index;
        snapshot.warnings.extend(warnings.iter().map(|text| Warning::new(text.clone(), Source::DUMP)));
        necropsy_symbolicate::symbolicate(&mut snapshot, &arena, &symbols(path, args, client));
        let groups = necropsy_group::group(&snapshot, args.similarity());
        let mut verdict = necropsy_diagnose::diagnose_with(&snapshot, &groups, &args.noise.clone().unwrap_or_default());
        let claim = args.symptom.map(|symptom| symptom.complaint(None));
        verdict.claim = claim.map(|claim| necropsy_diagnose::advice::claim(&snapshot, &verdict, claim));
        logs.extend(LogSite::of(&snapshot, &verdict));
        let view = args.view().map(|view| necropsy_group::group_with(&snapshot, &view));
        let groups = view.unwrap_or(groups);
        let report = Report { input: &input, snapshot: &snapshot, groups: &groups, verdict: &verdict };
        match args {
            Args { json: true, threads, .. } => necropsy_report::json(&report, *threads, out)?,
            Args { folded: true, .. } => necropsy_report::folded(&snapshot, &groups, out)?,
            Args { brief: true, .. } => necropsy_report::brief(&report, out)?,
            _ => necropsy_report::text(&report, terminal::style(args), out)?,
        }
    }
    Ok(if joined { Also::Joined } else { Also::Left })
}

/// Puts the listing at `also` into the only dump that was read; `false` when it does not belong there or can not be read.
fn join<'data>(snapshots: &mut [Snapshot<'data>], also: &str, args: &Args, arena: &'data Arena) -> bool {
    let read = |opened: Opened<'data>| necropsy_read::read(opened.data, arena, args.format.as_deref()).ok();
    let others = input::open(also, args.limit(), arena).ok().and_then(read);
    let ([snapshot], Some([other])) = (snapshots, others.as_deref()) else { return false };
    let Some(joined) = necropsy_read::join(snapshot, other) else { return false };
    if let Some(jvm) = &mut snapshot.jvm {
        jvm.joined = Some(Joined { path: also.to_owned(), ..joined });
    }
    true
}

/// What several fatal error logs of a virtual machine say together. For people only: each line of the JSON is one dump.
fn together(logs: &[LogSite], args: &Args, out: &mut dyn Write) -> io::Result<()> {
    let Some(found) = series::verdict(logs).filter(|_| !args.json && !args.folded) else { return Ok(()) };
    let several = Several { headline: &found.headline, confidence: found.confidence, because: &found.because };
    necropsy_report::several(&several, (!args.brief).then(|| terminal::style(args)), out)
}

fn symbols(dump: &str, args: &Args, client: &Arc<Client>) -> Options {
    Options {
        dump_dir: Path::new(dump).parent().filter(|_| dump != "-").map(Path::to_owned),
        exe: args.exe.clone(),
        sysroot: args.sysroot.clone(),
        debug_dirs: args.debug_dirs.clone(),
        locals: args.locals,
        client: Some(Arc::clone(client)),
    }
}

/// Why an input has no report.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Open(#[from] input::Error),
    #[error(transparent)]
    Read(#[from] necropsy_read::Error),
    #[error("could not write the report: {0}")]
    Output(#[from] io::Error),
}
