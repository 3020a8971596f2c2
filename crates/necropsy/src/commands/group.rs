//! `necropsy group`: many dumps put together by what they died of.

use std::ffi::OsStr;
use std::io::{self, BufRead, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::UNIX_EPOCH;

use necropsy_debuginfod::Client;
use necropsy_group::bucket::{self, FrameRules};
use necropsy_model::{Arena, Occurrence, Seen, SeenBasis};
use necropsy_redact::Redactor;
use necropsy_report::{BucketReport, Style};

use super::Failure;
use crate::config::{Policy, small_text};
use crate::reading::{About, Error, Reading};
use crate::symbols;
use crate::terminal::{self, Look};

/// Folders within folders that are looked into: deeper ones are a loop of mounts.
const DEEPEST: usize = 64;

/// Put many dumps together by what they died of: how many, since when, where
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Dumps, and directories with dumps in them; `-` reads such paths from standard input, one a line
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// One JSON object for each bucket, on one line; docs/json-group.md says what is in it
    #[arg(long)]
    json: bool,

    /// One line for each bucket: count, id, title, last seen, an example
    #[arg(long, conflicts_with = "json")]
    brief: bool,

    /// List all buckets and variants
    #[arg(long)]
    all: bool,

    /// Further rules for frames: skip, prefix, root or own; docs/GROUP.md has the form
    #[arg(long, value_name = "FILE")]
    frame_rules: Option<PathBuf>,

    #[command(flatten)]
    look: Look,

    #[command(flatten)]
    pub(super) reading: Reading,

    #[command(flatten)]
    pub(super) policy: Policy,
}

/// A file to read.
struct Item {
    path: PathBuf,
    /// The user named it; files of a directory that are no dumps are not worth a word each.
    named: bool,
}

/// Reads all dumps, each worker one at a time, and puts them together.
pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<(), Failure> {
    let rules = rules(args.frame_rules.as_deref())?;
    let client = args.reading.client().map_err(Failure::Said)?;
    let (items, absent) = items(&args.files)?;
    let mut results = read_all(&items, args, &rules, &client);
    symbols::say_what_failed(&client);
    results.sort_by_key(|(at, _)| *at);
    let (mut occurrences, mut failed, mut no_dumps) = (Vec::new(), absent, 0_usize);
    for (at, result) in results {
        let item = items.get(at);
        match result {
            Ok(found) => occurrences.extend(found),
            Err(error) if error.is_no_dump() && item.is_some_and(|item| !item.named) => no_dumps += 1,
            Err(error) => {
                failed += 1;
                let path = item.map(|item| item.path.display());
                terminal::say(&path.map_or_else(|| error.to_string(), |path| format!("{path}: {error}")));
            }
        }
    }
    if no_dumps > 0 {
        terminal::say(&format!("{no_dumps} files in directories are no dumps"));
    }
    let buckets = bucket::buckets(&occurrences);
    let report = BucketReport { buckets: &buckets, occurrences: &occurrences, failed };
    let write = |out: &mut dyn Write| match args {
        Args { json: true, .. } => necropsy_report::json_buckets(&report, out),
        Args { brief: true, .. } => necropsy_report::brief_buckets(&report, out),
        _ => necropsy_report::text_buckets(&report, Style { all: args.all, ..terminal::plain(args.look) }, out),
    };
    let mut redactor = args.policy.redacts().then(Redactor::new);
    necropsy_redact::through(redactor.as_mut(), out, write)?;
    match (failed, occurrences.len()) {
        (0, 1..) => Ok(()),
        (0, 0) => Err(Failure::Said("there is no dump in what was given".to_owned())),
        (failed, _) => {
            out.flush()?;
            Err(Failure::Said(format!("{failed} of {} files could not be read", items.len() + absent)))
        }
    }
}

fn rules(path: Option<&Path>) -> Result<FrameRules, Failure> {
    let Some(path) = path else { return Ok(FrameRules::default()) };
    let shown = path.to_string_lossy().escape_debug().to_string();
    let text = small_text(path).map_err(|error| Failure::Said(format!("{shown}: {error}")))?;
    FrameRules::with(&text).map_err(|error| Failure::Said(format!("{shown}: {error}")))
}

/// All files, in the order they were given, those of a directory by name; and how many were not there.
fn items(given: &[PathBuf]) -> Result<(Vec<Item>, usize), Failure> {
    let mut items = Vec::new();
    let mut absent = 0;
    let mut add = |path: &Path| match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => absent += walk(path, 0, &mut items),
        Ok(_) => items.push(Item { path: path.to_owned(), named: true }),
        Err(error) => {
            absent += 1;
            terminal::say(&format!("{}: {error}", path.display()));
        }
    };
    for path in given {
        if path.as_os_str() == "-" {
            for line in io::stdin().lock().split(b'\n') {
                let line = line?;
                // A path is bytes, as `find` writes it.
                add(Path::new(OsStr::from_bytes(line.strip_suffix(b"\r").unwrap_or(&line))));
            }
        } else {
            add(path);
        }
    }
    Ok((items, absent))
}

/// The files of a directory. Links to directories are not followed, so that there is no loop. How many directories could not be read.
fn walk(directory: &Path, depth: usize, items: &mut Vec<Item>) -> usize {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) if depth <= DEEPEST => entries,
        Ok(_) => {
            terminal::say(&format!("{}: more than {DEEPEST} folders deep, and not looked into", directory.display()));
            return 1;
        }
        Err(error) => {
            terminal::say(&format!("{}: {error}", directory.display()));
            return 1;
        }
    };
    let mut unread = 0;
    let mut entries: Vec<_> = entries.flatten().collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let Ok(kind) = entry.file_type() else { continue };
        let path = entry.path();
        if kind.is_dir() {
            unread += walk(&path, depth + 1, items);
        } else if kind.is_file() || kind.is_symlink() && path.is_file() {
            items.push(Item { path, named: false });
        }
    }
    unread
}

type Found = (usize, Result<Vec<Occurrence>, Error>);

/// What each file holds. A worker reads one file at a time, so that memory is bounded by the largest dumps, one for each worker.
fn read_all(items: &[Item], args: &Args, rules: &FrameRules, client: &Arc<Client>) -> Vec<Found> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(items.len()).max(1);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut found: Vec<Found> = Vec::new();
        while let Some((at, item)) = take(&next, items) {
            found.push((at, read(item, at + 1, args, rules, client)));
        }
        found
    };
    if workers == 1 {
        return work();
    }
    let alone = || {
        // The stages share work among threads. Within a worker they must not take another file meanwhile.
        match rayon::ThreadPoolBuilder::new().num_threads(1).build() {
            Ok(pool) => pool.install(work),
            Err(_) => work(),
        }
    };
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..workers).map(|_| scope.spawn(alone)).collect();
        handles.into_iter().filter_map(|handle| handle.join().ok()).flatten().collect()
    })
}

fn take<'a>(next: &AtomicUsize, items: &'a [Item]) -> Option<(usize, &'a Item)> {
    let at = next.fetch_add(1, Ordering::Relaxed);
    items.get(at).map(|item| (at, item))
}

/// What one file holds.
fn read(
    item: &Item,
    number: usize,
    args: &Args,
    rules: &FrameRules,
    client: &Arc<Client>,
) -> Result<Vec<Occurrence>, Error> {
    let arena = Arena::new();
    let noise = args.policy.noise();
    let about = About { arena: &arena, client, noise: &noise, number };
    let (input, snapshots) = args.reading.open(&item.path, &arena)?;
    let mut found = Vec::new();
    for (index, snapshot) in snapshots.into_iter().enumerate() {
        // Each dump by itself: they are read at the same time, and a placeholder must not depend on which was first.
        let mut redactor = args.policy.redacts().then(Redactor::new);
        let dump = args.reading.tell(input.clone(), index, snapshot, about, redactor.as_mut());
        let told = bucket::occurrence(&dump.snapshot, &dump.verdict, rules);
        let seen = told.seen.clone().or_else(|| written(&item.path));
        let owner = args.policy.owner(&dump.verdict).map(str::to_owned);
        found.push(Occurrence { path: dump.input.path, index, seen, owner, ..told });
    }
    Ok(found)
}

/// When a file was last written.
fn written(path: &Path) -> Option<Seen> {
    let modified = std::fs::metadata(path).ok()?.modified().ok()?;
    let seconds = i64::try_from(modified.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()?;
    Some(Seen { seconds, basis: SeenBasis::File })
}
