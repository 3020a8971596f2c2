//! A debuginfod client: debug files, executables, sections and sources by build id.
//!
//! ```text
//! settings   what the environment and the user say: servers, limits, directories
//! cache      files that were fetched before, in the directory that elfutils and gdb use too
//! server     one request: HTTP by ureq, or a `file://` tree; a server that failed is left alone
//! race       all servers at once, the first that sends bytes wins
//! check      is it what was asked for
//! budget     seconds and bytes of the run, and the user's Ctrl-C
//! ```
//!
//! The protocol and the cache are those of elfutils (`debuginfod/debuginfod-client.c`, debuginfod(8)). Nothing here is fatal:
//! what was not found is a [`Miss`] that says why, and everything that was asked for stands in [`Client::records`].

mod budget;
mod cache;
mod check;
mod date;
mod race;
mod record;
mod server;
mod settings;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use necropsy_model::BuildId;

use budget::Budget;
use cache::{Cache, Lookup};
pub use check::unpacked_section;
pub use record::{Failure, Miss, Origin, Record, Stop};
use server::Server;
pub use settings::{Settings, Use, system_urls};

/// Something that belongs to a build id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum What {
    /// An ELF file with `.debug_…` sections.
    DebugInfo,
    /// The executable or library itself.
    Executable,
    /// The stored bytes of one section, by its name.
    Section(String),
    /// A source file, by its absolute path in the debug information.
    Source(String),
}

impl What {
    /// The word for it in a report.
    pub fn name(&self) -> String {
        match self {
            Self::DebugInfo => "debug file".to_owned(),
            Self::Executable => "executable".to_owned(),
            Self::Section(name) => name.clone(),
            Self::Source(path) => format!("source {path}"),
        }
    }
}

/// What was found, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The file, in a cache directory.
    pub path: PathBuf,
    /// Where it came from.
    pub origin: Origin,
    /// Its size.
    pub bytes: u64,
}

/// Called with a line that says what is being waited for, and with an empty one when that is over.
pub type Progress = Arc<dyn Fn(&str) + Send + Sync>;

/// Finds files by build id, in caches and on servers. One client per run: it counts the budget and remembers failures.
pub struct Client {
    settings: Settings,
    servers: Vec<Arc<Server>>,
    /// Servers that were named and are not asked, with the reason.
    refused: Vec<String>,
    cache: Arc<Cache>,
    budget: Arc<Budget>,
    progress: Option<Progress>,
    records: Mutex<Vec<Record>>,
    missed: Mutex<HashMap<(BuildId, What), Miss>>,
}

impl Client {
    /// A client; nothing is read or asked yet.
    pub fn new(settings: Settings) -> Self {
        let (servers, refused) = server::all(&settings);
        let cache = Arc::new(Cache::new(settings.shared_cache.clone(), settings.own_cache.clone()));
        let budget = Arc::new(Budget::new(settings.budget, settings.max_bytes));
        Self {
            settings,
            servers,
            refused,
            cache,
            budget,
            progress: None,
            records: Mutex::default(),
            missed: Mutex::default(),
        }
    }

    /// The same, telling somebody what is being waited for.
    #[must_use]
    pub fn with_progress(mut self, progress: Progress) -> Self {
        self.progress = Some(progress);
        self
    }

    /// Ends all fetching once it is set. Set by a signal handler.
    pub fn interrupted(&self) -> Arc<AtomicBool> {
        self.budget.interrupted()
    }

    /// True while nothing is being fetched.
    pub fn idle(&self) -> Arc<AtomicBool> {
        self.budget.idle()
    }

    /// Ends all fetching and removes what is half written and what was kept for this run only. For a process that is about to be
    /// ended by a signal, where nothing is dropped.
    pub fn abandon(&self) {
        self.budget.interrupted().store(true, Ordering::SeqCst);
        self.cache.remove_temporary();
    }

    /// How much of this the user wants.
    pub fn mode(&self) -> Use {
        self.settings.mode
    }

    /// There is a server that may be asked.
    pub fn has_servers(&self) -> bool {
        self.settings.mode >= Use::Names && !self.servers.is_empty()
    }

    /// Servers that were named and are not asked, each with the reason.
    pub fn refused(&self) -> &[String] {
        &self.refused
    }

    /// What of the environment could not be used, one phrase each.
    pub fn complaints(&self) -> &[String] {
        &self.settings.complaints
    }

    /// What was fetched before, without asking anybody.
    pub fn cached(&self, id: &BuildId, what: &What) -> Option<PathBuf> {
        if self.settings.mode == Use::Off {
            return None;
        }
        match self.cache.find(id, what) {
            Lookup::Hit { path, .. } => Some(path),
            Lookup::Absent { .. } | Lookup::None => None,
        }
    }

    /// What was fetched before, or what a server sends now. The file is checked before anybody sees it.
    pub fn fetch(&self, id: &BuildId, what: &What) -> Result<Found, Miss> {
        self.fetch_up_to(id, what, None)
    }

    /// The same, but what is larger than so many bytes stays where it is ([`Miss::TooLarge`]), and may be asked for again.
    pub fn fetch_up_to(&self, id: &BuildId, what: &What, most: Option<u64>) -> Result<Found, Miss> {
        let started = Instant::now();
        let key = (id.clone(), what.clone());
        if let Some(miss) = lock(&self.missed).get(&key) {
            return Err(miss.clone());
        }
        let outcome = self.look(id, what, most);
        if let Err(miss) = &outcome {
            if matches!(miss, Miss::TooLarge { .. }) && most.is_some() {
                return outcome;
            }
            lock(&self.missed).insert(key, miss.clone());
        }
        let record = Record { id: id.clone(), what: what.clone(), outcome: outcome.clone(), took: started.elapsed() };
        lock(&self.records).push(record);
        outcome
    }

    /// Everything that was asked for, in the order of build ids.
    pub fn records(&self) -> Vec<Record> {
        let mut records = lock(&self.records).clone();
        records.sort_by(|a, b| (&a.id, &a.what).cmp(&(&b.id, &b.what)));
        records
    }

    fn look(&self, id: &BuildId, what: &What, most: Option<u64>) -> Result<Found, Miss> {
        if self.settings.mode == Use::Off {
            return Err(Miss::Off);
        }
        match self.cache.find(id, what) {
            Lookup::Hit { path, bytes } => return Ok(Found { path, origin: Origin::Cache, bytes }),
            Lookup::Absent { age } if !self.settings.refresh => return Err(Miss::NegativeEntry { age }),
            Lookup::Absent { .. } | Lookup::None => {}
        }
        if !self.has_servers() {
            return Err(Miss::NotCached);
        }
        self.download(id, what, most)
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Requests that are still waiting belong to nobody: their files must not stay behind in a shared directory.
        self.budget.interrupted().store(true, Ordering::SeqCst);
        self.cache.sweep();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
