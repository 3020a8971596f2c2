//! The property suite: every target over its seeds whole, cut and damaged. A report or one error, output that steers no terminal,
//! memory within a bound that the allocator counts. The numbers are small because this runs in a debug build; `just fuzz` goes on.

use std::collections::BTreeMap;
use std::time::Duration;

use necropsy_fuzz::campaign::{self, Until};
use necropsy_fuzz::targets::{TARGETS, Target};
use necropsy_fuzz::{Counting, Random, mutate, trial};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Cuts of each seed, evenly over its length.
const CUTS: usize = 5;
/// Seeds of one target that are cut; of more, each so-manieth.
const MOST_SEEDS: usize = 10;
/// Damaged inputs of each target.
const DAMAGED: usize = 50;

/// One test for all targets: they share the count of bytes.
#[test]
fn every_target_survives_cuts_and_damage() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let flaws: Vec<String> = pool.install(|| TARGETS.iter().flat_map(flaws_of).collect());
    assert!(flaws.is_empty(), "{} findings:\n{}", flaws.len(), flaws.join("\n"));
}

fn flaws_of(target: &'static Target) -> Vec<String> {
    let seeds = (target.seeds)();
    assert!(!seeds.is_empty(), "{} has nothing to begin with", target.name);
    let mut flaws: BTreeMap<String, String> = BTreeMap::new();
    let mut runs = 0;
    let mut attempt = |case: String, input: &[u8]| {
        runs += 1;
        if let Err(flaw) = trial::run(target, input) {
            flaws.entry(flaw).or_insert(case);
        }
    };
    for (number, seed) in seeds.iter().enumerate().step_by(seeds.len() / MOST_SEEDS + 1) {
        for cut in (0..seed.len()).step_by(seed.len() / CUTS + 1).chain([seed.len()]) {
            attempt(format!("seed {number} cut at {cut}"), &seed[..cut]);
        }
    }
    // The same damage on every machine.
    let mut random = Random(7);
    for number in 0..DAMAGED {
        let (seed, other) = (random.pick(&seeds).clone(), random.below(seeds.len()));
        let input = mutate::mutate(target.shape, &seed, &seeds[other], &mut random);
        attempt(format!("damage {number}"), &input);
    }
    assert!(runs > DAMAGED);
    flaws.into_iter().map(|(flaw, case)| format!("{}: {flaw} (first: {case})", target.name)).collect()
}

#[test]
fn names_of_targets_are_unique_and_kebab_case() {
    let mut names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), TARGETS.len());
    let plain = |name: &&str| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    assert!(names.iter().all(plain), "{names:?}");
}

#[test]
fn what_fails_is_kept_and_can_be_repeated() {
    let broken = Target {
        name: "broken",
        about: "fails on every input that holds a seven",
        shape: mutate::Shape::Text,
        floor: 1 << 20,
        per_byte: 0,
        seeds: || vec![b"1234567".to_vec()],
        run: |input| if input.contains(&b'7') { panic!("a seven") } else { Ok(()) },
    };
    let folder = tempfile::tempdir().unwrap();
    let until = Until { time: Duration::from_mins(1), runs: 50 };
    let outcome = campaign::run(&broken, 1, until, folder.path()).unwrap();
    assert_eq!((outcome.runs, outcome.findings.len()), (50, 1));
    let (flaw, path) = outcome.findings.iter().next().unwrap();
    assert!(flaw.contains("a seven") && flaw.contains("survive.rs"), "{flaw}");
    assert!(trial::run(&broken, &std::fs::read(path).unwrap()).is_err());
}
