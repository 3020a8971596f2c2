//! Inputs without end: a seed, damage, a trial; what reaches new code becomes a seed, what fails becomes a file.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::coverage::Coverage;
use crate::mutate::mutate;
use crate::mutation::Random;
use crate::targets::Target;
use crate::trial;

/// No input takes as long. A clock only for what never ends; what is merely slow is another matter.
const HANGS: Duration = Duration::from_secs(20);
/// Inputs kept in memory for one target.
const MOST_KEPT: usize = 4000;
/// Inputs that are damaged copies of one seed before the next seed's turn.
const IN_A_ROW: u64 = 16;

/// When to end.
#[derive(Clone, Copy, Debug)]
pub struct Until {
    /// After so much time.
    pub time: Duration,
    /// After so many runs.
    pub runs: u64,
}

/// What a campaign did.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Runs.
    pub runs: u64,
    /// Edges of code that were reached; 0 where nothing counts them.
    pub edges: usize,
    /// Inputs in the pool.
    pub kept: usize,
    /// What went wrong, each once, with the file of the first input.
    pub findings: BTreeMap<String, PathBuf>,
}

/// Milliseconds since the start of the program at which the running input began; 0 while none runs.
static BEGAN: AtomicU64 = AtomicU64::new(0);
/// The input that runs, for whoever finds this process dead.
static RUNNING: Mutex<Option<File>> = Mutex::new(None);

/// Runs a target until the time or the number of runs is over. `folder` keeps findings and what reached new code.
pub fn run(target: &Target, seed: u64, until: Until, folder: &Path) -> io::Result<Outcome> {
    let findings = folder.join("findings");
    let corpus = folder.join("corpus").join(target.name);
    fs::create_dir_all(&findings)?;
    fs::create_dir_all(&corpus)?;
    *RUNNING.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(File::create(running(folder, target))?);
    let start = Instant::now();
    watch(start);
    let mut coverage = Coverage::default();
    let mut pool = (target.seeds)();
    pool.extend(kept(&corpus));
    if pool.is_empty() {
        pool.push(Vec::new());
    }
    let mut outcome = Outcome::default();
    let mut random = Random(seed);
    let mut trial = |input: &[u8], outcome: &mut Outcome| -> io::Result<bool> {
        note(input)?;
        BEGAN.store(start.elapsed().as_millis() as u64 + 1, Ordering::Relaxed);
        let result = trial::run(target, input);
        BEGAN.store(0, Ordering::Relaxed);
        outcome.runs += 1;
        if let Err(flaw) = result
            && !outcome.findings.contains_key(&flaw)
        {
            let path = keep(&findings, target, input)?;
            outcome.findings.insert(flaw, path);
        }
        Ok(coverage.take())
    };
    for input in pool.clone() {
        if start.elapsed() >= until.time || outcome.runs >= until.runs {
            break;
        }
        trial(&input, &mut outcome)?;
    }
    while start.elapsed() < until.time && outcome.runs < until.runs {
        // New inputs stand at the end, and are what is worth most.
        let at = if random.below(2) == 0 {
            random.below(pool.len())
        } else {
            pool.len() - 1 - random.below(pool.len().min(32))
        };
        for _ in 0..IN_A_ROW.min(until.runs - outcome.runs) {
            let input = mutate(target.shape, &pool[at], &pool[random.below(pool.len())], &mut random);
            if trial(&input, &mut outcome)? && pool.len() < MOST_KEPT {
                fs::write(corpus.join(format!("{:016x}", hash(&input))), &input)?;
                pool.push(input);
            }
        }
    }
    outcome.edges = coverage.edges();
    outcome.kept = pool.len();
    let _ = fs::remove_file(running(folder, target));
    Ok(outcome)
}

/// Where the input stands that runs.
fn running(folder: &Path, target: &Target) -> PathBuf {
    folder.join(format!("running-{}", target.name))
}

/// The input that a process was running when it died, moved to the findings.
pub fn killer(folder: &Path, target: &Target) -> Option<PathBuf> {
    let path = running(folder, target);
    let mut bytes = Vec::new();
    File::open(&path).ok()?.read_to_end(&mut bytes).ok()?;
    let length = u64::from_le_bytes(*bytes.first_chunk()?);
    let input = bytes.get(8..usize::try_from(length).ok()?.checked_add(8)?)?;
    let kept = keep(&folder.join("findings"), target, input).ok();
    let _ = fs::remove_file(path);
    kept
}

/// Writes the input down before it runs: if the process dies of it, it is known.
fn note(input: &[u8]) -> io::Result<()> {
    let mut file = RUNNING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let Some(file) = file.as_mut() else { return Ok(()) };
    file.rewind()?;
    file.write_all(&[&(input.len() as u64).to_le_bytes()[..], input].concat())
}

fn keep(findings: &Path, target: &Target, input: &[u8]) -> io::Result<PathBuf> {
    let path = findings.join(format!("{}-{:016x}", target.name, hash(input)));
    fs::write(&path, input)?;
    Ok(path)
}

fn kept(folder: &Path) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths.iter().filter_map(|path| fs::read(path).ok()).take(MOST_KEPT).collect()
}

/// FNV-1a.
fn hash(bytes: &[u8]) -> u64 {
    let step = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

/// Ends the process when an input does not end.
fn watch(start: Instant) {
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_millis(500));
            let began = BEGAN.load(Ordering::Relaxed);
            let now = start.elapsed().as_millis() as u64;
            if began > 0 && now.saturating_sub(began) > HANGS.as_millis() as u64 {
                let _ = writeln!(io::stderr(), "an input still runs after {} s", HANGS.as_secs());
                std::process::abort();
            }
        }
    });
}
