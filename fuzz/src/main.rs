//! `necropsy-fuzz`: runs targets, one process each, and says what was found.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use clap::Parser;
use necropsy_fuzz::campaign::{self, Until};
use necropsy_fuzz::coverage::Coverage;
use necropsy_fuzz::targets::{TARGETS, Target, named};
use necropsy_fuzz::{Counting, trial};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Damages inputs and runs parsers over them until the time is over.
#[derive(Parser)]
struct Args {
    /// A target, or `all`; without one, the targets are listed
    target: Option<String>,

    /// Seconds for each target
    #[arg(default_value_t = 60)]
    seconds: u64,

    /// At most so many runs for each target
    #[arg(long, default_value_t = u64::MAX)]
    runs: u64,

    /// Where the random numbers begin
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Run the target once, on this file, with whatever it prints
    #[arg(long)]
    repeat: Option<PathBuf>,

    /// Where findings, inputs and counts are kept
    #[arg(long, default_value = "target/fuzz-runs")]
    folder: PathBuf,

    /// This process is the one that runs the target
    #[arg(long, hide = true)]
    inner: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let Some(name) = &args.target else {
        for target in TARGETS {
            println!("{:18} {}", target.name, target.about);
        }
        return ExitCode::SUCCESS;
    };
    let targets: Vec<&Target> =
        if name == "all" { TARGETS.iter().collect() } else { named(name).into_iter().collect() };
    if targets.is_empty() {
        eprintln!("no target is called {name}");
        return ExitCode::from(2);
    }
    let done = match (&args.repeat, args.inner) {
        (Some(path), _) => targets.iter().try_fold(true, |clean, target| Ok(repeat(target, path)? && clean)),
        (None, true) => inner(&args, targets[0]).map(|()| true),
        (None, false) => targets.iter().try_fold(true, |clean, target| Ok(outer(&args, target)? && clean)),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

/// Everything on the thread that asks for it: a worker for every run would cost more than the run.
fn alone<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().map_err(io::Error::other)?;
    Ok(pool.install(work))
}

fn repeat(target: &Target, path: &Path) -> io::Result<bool> {
    let input = fs::read(path)?;
    let result = alone(|| trial::run(target, &input))?;
    match &result {
        Ok(()) => println!("{}: nothing wrong with {}", target.name, path.display()),
        Err(flaw) => println!("{}: {flaw}", target.name),
    }
    Ok(result.is_ok())
}

/// Runs a target and adds a line to the counts.
fn inner(args: &Args, target: &Target) -> io::Result<()> {
    let until = Until { time: Duration::from_secs(args.seconds), runs: args.runs };
    let outcome = alone(|| campaign::run(target, args.seed, until, &args.folder))??;
    for (flaw, path) in &outcome.findings {
        println!("FOUND {}: {flaw}", target.name);
        println!(
            "      again: cargo run --profile fuzz -p necropsy-fuzz -- {} --repeat {}",
            target.name,
            path.display()
        );
    }
    let edges = if Coverage::is_counted() { format!(", {} edges", outcome.edges) } else { String::new() };
    println!(
        "{:18} {:>10} runs{edges}, {} inputs, {} findings",
        target.name,
        outcome.runs,
        outcome.kept,
        outcome.findings.len()
    );
    let mut counts = OpenOptions::new().create(true).append(true).open(args.folder.join("counts.tsv"))?;
    writeln!(counts, "{}\t{}\t{}\t{}\t{}", target.name, outcome.runs, args.seed, outcome.edges, outcome.findings.len())
}

/// Runs a target in a process of its own, and keeps the input that killed it.
fn outer(args: &Args, target: &Target) -> io::Result<bool> {
    fs::create_dir_all(&args.folder)?;
    let output = Command::new(std::env::current_exe()?)
        .args(["--inner", "--folder"])
        .arg(&args.folder)
        .args([
            "--seed",
            &args.seed.to_string(),
            "--runs",
            &args.runs.to_string(),
            target.name,
            &args.seconds.to_string(),
        ])
        .output()?;
    io::stdout().write_all(&output.stdout)?;
    io::stderr().write_all(&output.stderr)?;
    if output.status.success() {
        return Ok(!output.stdout.starts_with(b"FOUND"));
    }
    let input = campaign::killer(&args.folder, target);
    println!("FOUND {}: the process died ({})", target.name, output.status);
    if let Some(input) = input {
        println!(
            "      again: cargo run --profile fuzz -p necropsy-fuzz -- {} --repeat {}",
            target.name,
            input.display()
        );
    }
    Ok(false)
}
