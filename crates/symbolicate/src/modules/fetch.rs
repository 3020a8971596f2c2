//! What is asked of symbol servers, and in which order.
//!
//! The search itself never waits for anybody: it looks at what lies on this machine, fetched files among it. In between,
//! this step fetches what the frames so far show to be missing: first the files of modules without which a stack can not be
//! walked, then names for every module with a frame, then whole debug files where they are worth it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use necropsy_debuginfod::{Client, Miss, Use, What};
use necropsy_model::{BuildId, Module, ModuleId, Snapshot};
use rustc_hash::FxHashSet;

use super::Debug;
use crate::Options;
use crate::image::{Image, Images};
use crate::names::Depth;
use crate::unwind::Walk;

/// Requests at once.
const AT_ONCE: usize = 4;
/// A debug file above this size waits until the names of all modules are there: 4 MB of `/section/.symtab` and `.strtab`
/// name the functions of a libjvm whose debug file has 156 MB.
const SMALL: u64 = 32 << 20;

/// What a module wants.
struct Wish<'a, 'data> {
    id: BuildId,
    kind: Kind,
    /// Of the main executable; it goes first.
    main: bool,
    debug: Option<&'a Debug<'data>>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// The file itself.
    File,
    /// The file that `dwz` moved common parts to.
    Common,
    /// Lines, inlined functions, variables.
    Full,
    /// Names.
    Names,
}

/// What servers give to one who looks for files: a snapshot, or a text.
pub(crate) struct Supply {
    client: Arc<Client>,
    /// What was found so far. The same file a second time is no news.
    given: Mutex<FxHashSet<(BuildId, What)>>,
}

impl Supply {
    /// `None` where nobody may be asked.
    pub fn new(options: &Options) -> Option<Self> {
        let client = options.client.clone().filter(|client| client.has_servers())?;
        Some(Self { client, given: Mutex::default() })
    }

    /// How much the user wants of servers.
    pub fn mode(&self) -> Use {
        self.client.mode()
    }

    /// Fetches a file, up to so many bytes; says whether that is news. What comes out of the cache may be: the search has
    /// looked there before, but another process, or the next dump, may have put it there since.
    fn get(&self, id: &BuildId, what: What, most: Option<u64>) -> Result<bool, Miss> {
        self.client.fetch_up_to(id, &what, most)?;
        Ok(self.given.lock().unwrap_or_else(PoisonError::into_inner).insert((id.clone(), what)))
    }

    /// The same, of any size; what is not there is no news.
    fn arrived(&self, id: &BuildId, what: What) -> bool {
        self.get(id, what, None).unwrap_or(false)
    }
}

/// Fetches what the frames show to be missing; says whether anything arrived.
pub(crate) fn fetch<'data>(
    snapshot: &Snapshot<'data>,
    images: &Images<'data>,
    walks: &[Walk],
    supply: &Supply,
) -> bool {
    let needed = needed(snapshot, images, walks);
    let files = files(snapshot, images, &needed);
    // A stack that is walked with the right tables has other frames: nothing else is fetched for those of this round.
    if in_parallel(&files, |wish| supply.arrived(&wish.id, What::Executable)) {
        return true;
    }
    let mut wishes = Vec::new();
    for (&id, &in_stopped) in &needed {
        let (Some(module), Some(image)) = (snapshot.modules.get(id.index()), images.of(id)) else { continue };
        wishes.extend(lacking(module, image, supply.mode(), in_stopped));
    }
    all(supply, wishes)
}

/// Fetches what files lack of symbols, of which somebody asks for addresses; says whether anything arrived.
pub(crate) fn fetch_symbols<'a, 'data: 'a>(
    supply: &Supply,
    files: impl Iterator<Item = (&'a Module<'data>, &'a Image<'data>)>,
    depth: Depth,
) -> bool {
    let mode = if depth == Depth::Names { Use::Names } else { supply.mode() };
    all(supply, files.flat_map(|(module, image)| lacking(module, image, mode, true)).collect())
}

/// Fetches files of modules of which there is none, with `full` debug files where there is no other; says whether anything
/// arrived.
pub(crate) fn fetch_files(supply: &Supply, files: impl Iterator<Item = BuildId>, full: bool) -> bool {
    let wish = |id| Wish { id, kind: Kind::File, main: false, debug: None };
    in_parallel(&sorted(files.map(wish).collect()), |wish| match supply.get(&wish.id, What::Executable, None) {
        Err(_) if full => supply.arrived(&wish.id, What::DebugInfo),
        outcome => outcome.unwrap_or(false),
    })
}

/// Fetches symbols, large files last.
fn all(supply: &Supply, wishes: Vec<Wish<'_, '_>>) -> bool {
    let wishes = sorted(wishes);
    let large = Mutex::new(Vec::new());
    let mut any = in_parallel(&wishes, |wish| match wish.kind {
        Kind::File | Kind::Common => supply.arrived(&wish.id, What::DebugInfo),
        Kind::Names => names(supply, wish),
        Kind::Full => match supply.get(&wish.id, What::DebugInfo, Some(SMALL)) {
            Ok(news) => news,
            Err(Miss::TooLarge { .. }) => {
                large.lock().unwrap_or_else(PoisonError::into_inner).push(wish.id.clone());
                names(supply, wish)
            }
            Err(_) => names(supply, wish),
        },
    });
    let large = large.into_inner().unwrap_or_else(PoisonError::into_inner);
    let wishes: Vec<_> = wishes.into_iter().filter(|wish| large.contains(&wish.id)).collect();
    any |= in_parallel(&wishes, |wish| supply.arrived(&wish.id, What::DebugInfo));
    any
}

/// Modules with a frame, each with whether it has one in the stopped thread. Behind the first frame in a module without a
/// file the stack was guessed.
fn needed(snapshot: &Snapshot<'_>, images: &Images<'_>, walks: &[Walk]) -> BTreeMap<ModuleId, bool> {
    let stopped = snapshot.stop.as_ref().and_then(|stop| stop.thread);
    let mut needed = BTreeMap::new();
    for (thread, walk) in walks.iter().enumerate() {
        for frame in &walk.frames {
            let at = frame.address.lookup();
            let module = match images.at(at) {
                Some((_, image)) => Some(image.module),
                None => {
                    let covers = |module: &Module<'_>| module.covers(at);
                    snapshot.modules.iter().rposition(covers).and_then(ModuleId::new)
                }
            };
            let Some(module) = module else { continue };
            *needed.entry(module).or_insert(false) |= stopped == Some(thread);
            if !has_file(images, module) {
                break;
            }
        }
    }
    needed
}

fn has_file(images: &Images<'_>, module: ModuleId) -> bool {
    images.outcome(module).is_some_and(|outcome| outcome.verified.is_some())
}

/// Modules with a frame and without a file.
fn files<'a, 'data>(
    snapshot: &Snapshot<'data>,
    images: &'a Images<'data>,
    needed: &BTreeMap<ModuleId, bool>,
) -> Vec<Wish<'a, 'data>> {
    let missing = needed.keys().filter(|&&module| !has_file(images, module));
    let wish = |module: &Module<'_>| {
        let id = module.build_id.clone().filter(|_| !module.path.starts_with('['))?;
        Some(Wish { id, kind: Kind::File, main: module.is_executable, debug: None })
    };
    sorted(missing.filter_map(|&id| wish(snapshot.modules.get(id.index())?)).collect())
}

/// What a module with a frame, perhaps one of the stopped thread, lacks of symbols.
fn lacking<'a, 'data>(
    module: &Module<'data>,
    image: &'a Image<'data>,
    mode: Use,
    in_stopped: bool,
) -> Vec<Wish<'a, 'data>> {
    let Some(debug) = image.debug.get().map(|debug| &**debug) else { return Vec::new() };
    let main = module.is_executable;
    let found = debug.found();
    let common = found.supplementary_id.clone().filter(|_| found.supplementary.is_none() && mode == Use::Full);
    let common = common.map(|id| Wish { id, kind: Kind::Common, main, debug: None });
    let known = debug.build_id.clone().filter(|_| !debug.has_dwarf() && !module.path.starts_with('['));
    let own = known.map(|id| {
        // The system's own libraries, where other threads wait, are not what anybody debugs.
        let full = mode == Use::Full && (in_stopped || !debug.is_of_system());
        Wish { id, kind: if full { Kind::Full } else { Kind::Names }, main, debug: Some(debug) }
    });
    common.into_iter().chain(own).collect()
}

fn sorted<'a, 'data>(mut wishes: Vec<Wish<'a, 'data>>) -> Vec<Wish<'a, 'data>> {
    wishes.sort_by(|a, b| (!a.main, a.kind, &a.id).cmp(&(!b.main, b.kind, &b.id)));
    wishes.dedup_by(|a, b| (a.kind, &a.id) == (b.kind, &b.id));
    wishes
}

/// The symbol table alone.
fn names(supply: &Supply, wish: &Wish<'_, '_>) -> bool {
    if wish.debug.is_none_or(|debug| debug.has_names() || debug.sent_names().is_some()) {
        return false;
    }
    let section = |name: &str| supply.get(&wish.id, What::Section(name.to_owned()), None);
    let (Ok(symbols), Ok(strings)) = (section(".symtab"), section(".strtab")) else { return false };
    symbols || strings
}

/// Does some work for every wish, several at once, the first ones first; says whether any of it brought something.
///
/// With threads of its own: those of the pool count processors, and these only wait.
fn in_parallel<'a, 'data>(wishes: &[Wish<'a, 'data>], work: impl Fn(&Wish<'a, 'data>) -> bool + Sync) -> bool {
    let queue = Mutex::new(wishes.iter());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let worker = || {
        let mut any = false;
        while let Some(wish) = next() {
            any |= work(wish);
        }
        any
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE.min(wishes.len())).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().fold(false, |any, worker| worker.join().unwrap_or(false) | any)
    })
}
