//! How often the origin is right: every seed program, built by every compiler at every level, through the real binary.
//!
//! `just score-origin` runs it; it takes some minutes and compiles hundreds of programs, so that it is no part of `cargo test`.
//! Three sets are told apart: the corpus's seeds (where `NECROPSY_CORPUS` names it), the project's own in
//! `fixtures/origin/lab`, and those in `fixtures/origin/frozen`, on which nothing is ever tuned: their failures are counted
//! and not listed. The corpus's cores of another project make a fourth. `NECROPSY_ORIGIN_SETS` takes some sets only, by the
//! first words of their names; `NECROPSY_ORIGIN_CONFIGS` takes other configurations than the eight usual ones,
//! `NECROPSY_ORIGIN_SEED` one seed only. `NECROPSY_ORIGIN_FOLDER` names a folder of further seeds, the set `folder`: to score
//! programs that were just written, before anybody has looked at how they fail. `NECROPSY_ORIGIN_BINARY` names another build of
//! necropsy than the one at hand.
//!
//! `NECROPSY_ORIGIN_AARCH64=1` adds the same sets built for aarch64 and run by qemu-user, as sets of their own: "own lab, aarch64".
//! Their configurations are `aarch64.gcc-O2` and such. Without the cross compiler or the emulator they are left out, with a message.

#![allow(clippy::print_stdout, reason = "the table is the result")]

#[path = "score/answer.rs"]
mod answer;
#[path = "score/seeds.rs"]
mod seeds;
#[path = "score/tally.rs"]
mod tally;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use answer::Answer;
use object::{Object, ObjectSymbol};
use seeds::{Mark, Seed};
use serde_json::Value;
use tally::{Aims, Tally};

const CONFIGS: &str = "gcc-O0 gcc-O1 gcc-O2 gcc-O3 clang-O0 clang-O1 clang-O2 clang-O3";
/// The same built for aarch64; qemu-user is slow.
const CROSS_CONFIGS: &str = "aarch64.gcc-O0 aarch64.gcc-O2 aarch64.clang-O0 aarch64.clang-O2";
/// Where the cross compiler's libraries are, as its packages put them.
const CROSS_SYSROOT: &str = "/usr/aarch64-linux-gnu";
/// What builds and runs programs for aarch64.
const CROSS_TOOLS: [&str; 2] = ["aarch64-linux-gnu-gcc", "qemu-aarch64"];
/// What each set has to reach, by the first word of its name. Of the frozen programs, which nobody tunes on, less is asked.
const AIMS: [(&str, Aims); 4] = [
    ("corpus", SEEDS),
    ("own", SEEDS),
    ("frozen", Aims { function: 0.75, ..Aims::NONE }),
    ("cores", Aims { function: 10.0 / 12.0, ..Aims::NONE }),
];
const SEEDS: Aims = Aims { function: 0.80, line: 0.65, trusted: 0.95, false_blame: 0.08 };

/// A seed in one configuration, and how its report did.
struct Run {
    seed: Seed,
    config: String,
    answer: Answer,
    time: Duration,
    /// The compiler left no function of that name, so that no report can name it by the symbol table alone.
    inlined_away: bool,
}

/// A set of seeds with its runs.
struct Suite {
    name: String,
    runs: Vec<Run>,
    without_core: Vec<String>,
    lists_failures: bool,
}

#[test]
#[ignore = "compiles several hundred programs: just score-origin"]
fn score_origin() {
    let repository = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let corpus = std::env::var_os("NECROPSY_CORPUS").map(PathBuf::from);
    let sets = std::env::var("NECROPSY_ORIGIN_SETS").unwrap_or_else(|_| "folder corpus own frozen cores".to_owned());
    let wanted = |name: &str| sets.split_whitespace().any(|set| name.starts_with(set));
    let mut suites = Vec::new();
    let crosses = wants_cross();
    let folder = std::env::var_os("NECROPSY_ORIGIN_FOLDER").map(PathBuf::from);
    for (name, sources, lists_failures) in [
        ("folder", folder, true),
        ("corpus seeds", corpus.as_ref().map(|corpus| corpus.join("origin-seeds/src")), true),
        ("own lab", Some(repository.join("fixtures/origin/lab")), true),
        ("frozen lab", Some(repository.join("fixtures/origin/frozen")), false),
    ] {
        let Some(sources) = sources.filter(|_| wanted(name)) else { continue };
        suites.extend(suite(name.to_owned(), &repository, &sources, lists_failures, false));
        if crosses {
            suites.extend(suite(format!("{name}, aarch64"), &repository, &sources, lists_failures, true));
        }
    }
    if let Some(corpus) = corpus.filter(|_| wanted("cores")) {
        suites.push(Suite::of_cores(&corpus.join("cores/origin")));
    }
    let mut failures = String::new();
    for suite in &suites {
        println!("{}", suite.table());
        failures += &suite.failures();
    }
    let all = tally(suites.iter().flat_map(|suite| &suite.runs).filter(|run| !run.inlined_away));
    println!("all sets together: {} cores, median {} ms", all.total(), all.median().as_millis());
    for suite in &suites {
        println!(
            "{}: classes in which the first own frame is right more often: {}",
            suite.name,
            suite.worse_than_in_app()
        );
    }
    let path = scratch().join("failures.txt");
    fs::write(&path, &failures).unwrap();
    println!("failures, those of the frozen lab left out: {}", path.display());
    for suite in &suites {
        assert!(!suite.runs.is_empty(), "{}: no core to look at", suite.name);
        let aims = AIMS.iter().filter(|(set, _)| suite.name.starts_with(set) && !suite.name.ends_with("aarch64"));
        let missed: Vec<String> = aims.flat_map(|(_, aims)| suite.standing().misses(aims)).collect();
        assert!(missed.is_empty(), "{}: {}", suite.name, missed.join("; "));
    }
}

/// Whether the seeds are built for aarch64 too.
fn wants_cross() -> bool {
    if std::env::var_os("NECROPSY_ORIGIN_AARCH64").is_none_or(|value| value == "0") {
        return false;
    }
    let missing = |tool: &&str| Command::new(tool).arg("--version").output().is_err();
    let missing: Vec<_> = CROSS_TOOLS.into_iter().filter(missing).collect();
    if !missing.is_empty() {
        println!("no sets for aarch64: {} not found", missing.join(" and "));
    }
    missing.is_empty()
}

/// Where programs and cores go: they stay, so that a second run builds only what changed.
fn scratch() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("origin")
}

/// Builds and runs the seeds of a folder; `None` where all configurations that were asked for are of the other machine.
fn suite(name: String, repository: &Path, sources: &Path, lists_failures: bool, crosses: bool) -> Option<Suite> {
    let out = scratch().join(name.replace(", ", "-").replace(' ', "-"));
    let (usual, further) = if crosses {
        (CROSS_CONFIGS, vec![Path::new("--sysroot"), Path::new(CROSS_SYSROOT)])
    } else {
        (CONFIGS, vec![])
    };
    // Configurations that are named are those of one machine or of the other.
    let configs = std::env::var("NECROPSY_ORIGIN_CONFIGS").unwrap_or_else(|_| usual.to_owned());
    let mut configs: Vec<&str> = configs.split_whitespace().collect();
    configs.retain(|config| config.starts_with("aarch64.") == crosses);
    if configs.is_empty() {
        return None;
    }
    let mut build = Command::new("sh");
    build.arg(repository.join("fixtures/origin/build.sh")).arg(sources).arg(&out).args(&configs);
    assert!(build.status().unwrap().success(), "{name}: build.sh failed");
    let only = std::env::var("NECROPSY_ORIGIN_SEED").ok();
    let mut suite = Suite { name, runs: Vec::new(), without_core: Vec::new(), lists_failures };
    for seed in seeds::seeds_of(sources) {
        if only.as_ref().is_some_and(|only| *only != seed.name) {
            continue;
        }
        for &config in &configs {
            let program = out.join(config).join(&seed.name);
            let core = program.with_extension("core");
            if core.exists() {
                let (answer, time) = ask(&seed, &core, &further);
                let inlined_away = is_inlined_away(&seed, &program);
                suite.runs.push(Run { seed: seed.clone(), config: config.to_owned(), answer, time, inlined_away });
            } else if let Ok(reason) = fs::read_to_string(program.with_extension("none")) {
                let reason = reason.lines().next().unwrap_or_default();
                suite.without_core.push(format!("{} {config}: {reason}", seed.name));
            }
        }
    }
    Some(suite)
}

/// The program's report of a core, judged, and how long it took.
fn ask(seed: &Seed, core: &Path, further: &[&Path]) -> (Answer, Duration) {
    let started = Instant::now();
    let built = || env!("CARGO_BIN_EXE_necropsy").into();
    let mut command = Command::new(std::env::var_os("NECROPSY_ORIGIN_BINARY").unwrap_or_else(built));
    let output = command.arg("--json").arg(core).args(further).output().unwrap();
    let time = started.elapsed();
    let report = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (answer::judge(seed, &report), time)
}

/// No symbol of the program is called like any function of birth.
fn is_inlined_away(seed: &Seed, program: &Path) -> bool {
    let full = program.with_extension("full");
    let bytes = fs::read(if full.exists() { &full } else { program }).unwrap_or_default();
    let Ok(file) = object::File::parse(bytes.as_slice()) else { return false };
    let stands = |function: &str| {
        let mangled = format!("{}{function}", function.len());
        function.starts_with('<')
            || file.symbols().filter_map(|symbol| symbol.name().ok()).any(|name| {
                name.split('.').next() == Some(function) || (name.starts_with('_') && name.contains(&mangled))
            })
    };
    !seed.birth_functions().any(stands)
}

impl Suite {
    /// The cores of another project's tests, with the function that those tests blame.
    fn of_cores(folder: &Path) -> Self {
        let mut suite = Self {
            name: "cores of a peer".to_owned(),
            runs: Vec::new(),
            without_core: Vec::new(),
            lists_failures: true,
        };
        let table = fs::read_to_string(folder.join("EXPECTED.tsv")).unwrap_or_default();
        for row in table.lines().skip(1) {
            let cells: Vec<_> = row.split('\t').collect();
            let [case, core, program, function, place, ..] = cells[..] else { continue };
            let mut place = place.split(':');
            let file = place.next().unwrap_or_default().to_owned();
            let line = place.next().and_then(|line| line.parse().ok()).unwrap_or_default();
            let birth = Mark { line, functions: vec![function.to_owned()], symbol: None };
            let (name, class) = (case.to_owned(), "peer".to_owned());
            let seed = Seed { name, file, class, births: vec![birth], ..Seed::default() };
            let folder = folder.join(case);
            let (program, core) = (folder.join(program), folder.join(format!("{core}.zst")));
            let (answer, time) = ask(&seed, &core, &[Path::new("--exe"), &program]);
            suite.runs.push(Run { seed, config: "as found".to_owned(), answer, time, inlined_away: false });
        }
        suite
    }

    /// Over all seeds whose function of birth was not inlined away.
    fn standing(&self) -> Tally {
        tally(self.runs.iter().filter(|run| !run.inlined_away))
    }

    fn table(&self) -> String {
        let mut out = format!("\n== {} ==\n{}\n", self.name, Tally::HEADER);
        let standing = self.standing();
        let _ = writeln!(out, "{}", standing.row("all, not inlined away"));
        let away = tally(self.runs.iter().filter(|run| run.inlined_away));
        if away.total() > 0 {
            let _ = writeln!(out, "{}", away.row("all, inlined away"));
        }
        let _ = write!(out, "precision by grade, 95% interval\n{}", standing.precision());
        // Of what nobody may look at, only the sums are shown.
        if !self.lists_failures {
            return out;
        }
        let _ = write!(out, "precision by kind of evidence, of those that blame\n{}", standing.kinds());
        for by in [(|run: &Run| run.config.clone()) as fn(&Run) -> String, |run| run.seed.class.clone()] {
            let mut parts: BTreeMap<String, Vec<&Run>> = BTreeMap::new();
            for run in self.runs.iter().filter(|run| !run.inlined_away) {
                parts.entry(by(run)).or_default().push(run);
            }
            out.push('\n');
            for (name, runs) in &parts {
                let cut: String = name.chars().take(45).collect();
                let _ = writeln!(out, "{}", tally(runs.iter().copied()).row(&cut));
            }
        }
        let elsewhere = self.runs.iter().filter(|run| !run.answer.crash_site);
        let elsewhere: Vec<_> = elsewhere.map(|run| format!("{} {}", run.seed.name, run.config)).collect();
        let _ = writeln!(out, "\ncrash site is not the marked line: {}", listed(&elsewhere));
        let _ = writeln!(out, "no core: {}", listed(&self.without_core));
        out
    }

    /// Classes in which the first frame of the program itself is right more often; of frozen seeds only how many.
    fn worse_than_in_app(&self) -> String {
        let mut parts: BTreeMap<&str, Vec<&Run>> = BTreeMap::new();
        for run in self.runs.iter().filter(|run| !run.inlined_away) {
            parts.entry(&run.seed.class).or_default().push(run);
        }
        let worse = parts.iter().filter(|(_, runs)| tally(runs.iter().copied()).is_worse_than_in_app());
        let names: Vec<_> = worse.map(|(&name, _)| name.to_owned()).collect();
        if self.lists_failures { listed(&names) } else { names.len().to_string() }
    }

    /// One line for each run whose origin is not the marked one.
    fn failures(&self) -> String {
        let failed = self.runs.iter().filter(|run| self.lists_failures && !run.answer.function);
        failed.fold(String::new(), |mut out, run| {
            let (seed, away) = (&run.seed, if run.inlined_away { " (inlined away)" } else { "" });
            let verdict = if run.answer.is_false_blame() { "WRONG" } else { "unknown" };
            let _ = writeln!(
                out,
                "{verdict}\t{}\t{}{away}\t{}\texpected {}\tgot {}",
                seed.name,
                run.config,
                seed.class,
                seed.expected(),
                run.answer.said
            );
            out
        })
    }
}

fn tally<'a>(runs: impl Iterator<Item = &'a Run>) -> Tally {
    let mut tally = Tally::default();
    for run in runs {
        tally.add(&run.answer, run.time);
    }
    tally
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { format!("{}: {}", names.len(), names.join(", ")) }
}
