//! `necropsy symbolicate`: text in, the same text out, with names behind the addresses in it.

mod record;
mod source;

use std::fmt::Write as _;
use std::io::{self, Write};
use std::ops::Range;
use std::path::PathBuf;

use necropsy_model::{Arena, Avma, BuildId, Full, Meant, StatedAddress, StatedFile, Svma, Symbol, SymbolSource};
use necropsy_read::tokens::{self, Kind, Line, Stated};
use necropsy_symbolicate::{Depth, FileId, Named, Resolver, Unresolved};
use rustc_hash::FxHashMap;

use super::Failure;
use crate::config::ConfigFile;
use crate::input;
use crate::reading::Places;
use crate::{symbols, terminal};
use source::Source;

/// One example per form of input.
const EXAMPLES: &str = "\
Examples:
  journalctl -f | necropsy symbolicate            names in a log as it grows: kernel lines, backtraces
  necropsy symbolicate --module ./server log.txt  the file that ran, when it is not at its path here
  necropsy symbolicate --core core.4242 log.txt   absolute addresses, by the modules of a core
  necropsy symbolicate --map maps.txt < log.txt   … of a copy of /proc/PID/maps or of an hs_err log
  necropsy symbolicate --module libjvm.so=libjvm.debug --names-only < addresses
                                                  functions only: no debug information is read

A line without an address that can be named is written as it came. Behind the others stand the names, the innermost
inlined function first: {find at book.c:12 < serve at main.c:40}; {~near} is the nearest symbol, which does not cover
the address. A table of the files, and why addresses have no names, goes to standard error.

Exit status: 0 all input was read; 2 bad usage, or a file could not be read.";

/// Write names behind the addresses in a text: logs, stacks, lists of addresses
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Texts to read; none or `-` is standard input
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,

    /// A file that addresses lie in, under its own name or another: `libx.so=./libx.debug`; may be repeated. With only one,
    /// plain addresses are its own
    #[arg(long = "module", visible_alias = "exe", value_name = "[NAME=]FILE")]
    modules: Vec<String>,

    /// Absolute addresses belong to the process of this core
    #[arg(long, value_name = "FILE", conflicts_with = "map")]
    core: Option<String>,

    /// Absolute addresses belong to the process of this copy of /proc/PID/maps, or of this fatal error log of a JVM
    #[arg(long, value_name = "FILE")]
    map: Option<String>,

    /// Which instruction is meant: a return address stands behind the call
    #[arg(long, value_name = "WHICH", default_value = "auto")]
    addresses: Addresses,

    /// Functions only, from symbol tables: no debug information is read
    #[arg(long)]
    names_only: bool,

    /// File names without their directories
    #[arg(short = 's', long)]
    basenames: bool,

    /// One JSON object per address, on one line, instead of the text
    #[arg(long)]
    json: bool,

    /// No table of files on standard error
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    pub(super) places: Places,

    #[command(flatten)]
    pub(super) config: ConfigFile,
}

/// Which instruction an address stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Addresses {
    /// As the program that printed it means it; the instruction itself where that is not known.
    Auto,
    /// The instruction itself.
    Exact,
    /// The call before it.
    Return,
}

/// Names that are kept from batch to batch: a log repeats itself.
const MOST_KNOWN: usize = 1 << 16;
/// Builds of modules that are remembered of one process; a browser lists a hundred.
const MOST_BUILDS: usize = 4096;
/// The kind that is as well a function and a distance.
const MODULE_OFFSET: &str = "module-offset";
/// Longest text that is written behind one address.
const LONGEST: usize = 16 << 10;

/// Reads every input and writes it with names.
pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<(), Failure> {
    let arena = Arena::new();
    let client = args.places.client().map_err(Failure::Said)?;
    let options = args.places.options(&client);
    let depth = if args.names_only { Depth::Names } else { Depth::Full };
    let mut resolver = Resolver::new(&arena, options, depth);
    for given in &args.modules {
        let (name, file) = given.split_once('=').unwrap_or((given, given));
        if !resolver.give(name, file.as_ref()) {
            return Err(said("--module", file, "not an ELF file of x86-64 or aarch64 that can be read"));
        }
    }
    if let Some((flag, path)) =
        args.core.as_ref().map(|it| ("--core", it)).or(args.map.as_ref().map(|it| ("--map", it)))
    {
        let failed = |error: &dyn std::fmt::Display| said(flag, path, &error.to_string());
        let opened =
            input::open(std::path::Path::new(path), input::DEFAULT_LIMIT, &arena).map_err(|error| failed(&error))?;
        let dump = match necropsy_read::read(opened.data, &arena, None) {
            Ok(dumps) => dumps.into_iter().next(),
            Err(error) => Some(necropsy_read::maps(opened.data).ok_or_else(|| failed(&error))?),
        };
        for warning in dump.iter().filter(|_| !args.quiet).flat_map(|dump| &dump.warnings) {
            terminal::say(&format!("{flag} {path}: {}", warning.text));
        }
        if !dump.is_some_and(|dump| resolver.with_table(dump)) {
            return Err(said(flag, path, "it lists no modules"));
        }
    }
    let mut pass = Pass {
        args,
        resolver,
        known: FxHashMap::default(),
        builds: FxHashMap::default(),
        asked: Vec::new(),
        line: 0,
        previous: Vec::new(),
        full: Full::default(),
    };
    let inputs = if args.files.is_empty() { vec![PathBuf::from("-")] } else { args.files.clone() };
    for path in inputs {
        let failed = |error: io::Error| said("", &path.to_string_lossy(), &error.to_string());
        pass.line = 0;
        let mut source = Source::open(&path).map_err(failed)?;
        while let Some(lines) = source.next().map_err(failed)? {
            pass.batch(&lines, out)?;
            out.flush()?;
        }
    }
    if !args.quiet && !args.json {
        pass.report(&mut io::stderr().lock())?;
    }
    if !args.quiet {
        for warning in pass.full.warnings(necropsy_model::Source::DUMP) {
            terminal::say(&warning.text);
        }
        symbols::say_what_failed(&client);
    }
    Ok(())
}

fn said(flag: &str, path: &str, what: &str) -> Failure {
    let flag = if flag.is_empty() { String::new() } else { format!("{flag} ") };
    Failure::Said(format!("{flag}{}: {what}", path.escape_debug()))
}

/// What is asked of one place, and what became of it.
type Place = (FileId, Svma, Meant);

/// Addresses of one file, or of none.
struct Asked {
    file: Result<FileId, (Option<StatedFile>, Unresolved)>,
    addresses: u64,
    named: u64,
}

/// Files that the table at the end lists.
const MOST_LISTED: usize = 200;

struct Pass<'a, 'data> {
    args: &'a Args,
    resolver: Resolver<'data>,
    /// What stands behind an address, by its place.
    known: FxHashMap<Place, (String, bool)>,
    /// Builds of modules, by their names, as the text states them.
    builds: FxHashMap<String, BuildId>,
    asked: Vec<Asked>,
    line: u64,
    previous: Vec<u8>,
    /// Lists that found no room for all.
    full: Full,
}

/// An address of a batch.
struct Found {
    /// Number of its line in the batch.
    line: usize,
    kind: &'static Kind,
    /// Bytes of the line.
    range: Range<usize>,
    process: Option<Avma>,
    file: Option<Box<StatedFile>>,
    place: Result<Place, Unresolved>,
}

impl Pass<'_, '_> {
    /// Writes lines, each with its end, with the names of their addresses.
    fn batch(&mut self, text: &[u8], out: &mut dyn Write) -> Result<(), Failure> {
        let lines: Vec<&[u8]> = text.split_inclusive(|&byte| byte == b'\n').collect();
        let found = self.find(&lines);
        let mut places: Vec<Place> = found.iter().filter_map(|found| found.place.ok()).collect();
        places.sort_unstable();
        places.dedup();
        self.resolver.fetch_symbols(places.iter().map(|&(file, ..)| file));
        if self.args.json {
            let named = self.resolver.names(&places);
            for found in &found {
                let line = self.line + u64::try_from(found.line).unwrap_or(u64::MAX) + 1;
                let names = found.place.map_or(&[][..], |place| named.of(place));
                let bytes = lines.get(found.line).and_then(|line| line.get(found.range.clone())).unwrap_or_default();
                record::write(&self.resolver, line, bytes, found, names, out)?;
            }
        } else {
            if self.known.len() > MOST_KNOWN {
                self.known.clear();
            }
            places.retain(|place| !self.known.contains_key(place));
            let named = self.resolver.names(&places);
            for place in places {
                let names = named.of(place);
                let named = names.iter().any(|name| name.function.is_some());
                self.known.insert(place, (self.render(names), named));
            }
            self.write(&lines, &found, out)?;
        }
        self.line += u64::try_from(lines.len()).unwrap_or(u64::MAX);
        self.previous.clear();
        self.previous.extend_from_slice(lines.last().copied().unwrap_or_default());
        Ok(())
    }

    /// The addresses of lines, in their order.
    fn find(&mut self, lines: &[&[u8]]) -> Vec<Found> {
        let plain = self.resolver.names_plain_addresses();
        let mut tokens = Vec::new();
        let before = std::mem::take(&mut self.previous);
        let mut previous: &[u8] = &before;
        for (number, &bytes) in lines.iter().enumerate() {
            let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
            match tokens::stated_build(bytes) {
                Some(Stated::Process) => self.builds.clear(),
                Some(Stated::Module(name, id))
                    if self.full.room("builds of modules of one process", self.builds.len(), MOST_BUILDS) =>
                {
                    self.builds.insert(name, id);
                }
                Some(Stated::Module(..)) | None => {}
            }
            for (kind, mut token) in tokens::find(&Line { bytes, previous }, plain, &mut self.full) {
                if kind.name == MODULE_OFFSET && !self.is_module(&token.address) {
                    continue;
                }
                self.say_build(&mut token.address);
                tokens.push((number, kind, token));
            }
            previous = bytes;
        }
        self.previous = before;
        self.resolver.fetch_files(tokens.iter().map(|(.., token)| &token.address));
        let found = tokens.into_iter().map(|(line, kind, token)| {
            let place = self.place(&token.address);
            let StatedAddress { process, file, .. } = token.address;
            Found { line, kind, range: token.range, process, file: file.map(|(file, _)| Box::new(file)), place }
        });
        found.collect()
    }

    /// Adds the build id that the text stated above for a file of this name.
    fn say_build(&self, address: &mut StatedAddress) {
        let Some((file, _)) = &mut address.file else { return };
        if let (Some(path), None) = (&file.path, &file.build_id) {
            file.build_id = self.builds.get(path.rsplit('/').next().unwrap_or(path)).cloned();
        }
    }

    /// What stands before a `+0x…` is a file, not a function.
    fn is_module(&self, address: &StatedAddress) -> bool {
        let name = address.file.as_ref().and_then(|(file, _)| file.path.as_deref()).unwrap_or_default();
        name.contains('/') || name.contains(".so") || self.resolver.knows(name)
    }

    fn place(&mut self, address: &StatedAddress) -> Result<Place, Unresolved> {
        let (file, at) = self.resolver.place(address)?;
        let meant = match (self.args.addresses, address.meant) {
            (Addresses::Exact, _) => Meant::Instruction,
            (Addresses::Return, _) => Meant::Return,
            (Addresses::Auto, meant) => meant,
        };
        Ok((file, at, meant))
    }

    fn write(&mut self, lines: &[&[u8]], found: &[Found], out: &mut dyn Write) -> io::Result<()> {
        let mut found = found.iter().peekable();
        for (number, line) in lines.iter().enumerate() {
            let mut written = 0;
            while let Some(one) = found.next_if(|one| one.line == number) {
                let known = one.place.ok().and_then(|place| self.known.get(&place));
                let (text, named) = known.map_or(("", false), |(text, named)| (text.as_str(), *named));
                let text = text.to_owned();
                self.count(one, named);
                let end = one.range.end;
                out.write_all(line.get(written..end).unwrap_or_default())?;
                out.write_all(text.as_bytes())?;
                written = end;
            }
            out.write_all(line.get(written..).unwrap_or_default())?;
        }
        Ok(())
    }

    fn count(&mut self, found: &Found, named: bool) {
        let file = match found.place {
            Ok((file, ..)) => Ok(file),
            // A plain number that is no address of the process says nothing.
            Err(Unresolved::NoModule | Unresolved::NotCode) if found.file.is_none() => return,
            Err(why) => Err((found.file.as_deref().cloned(), why)),
        };
        let known = self.asked.iter_mut().rfind(|asked| asked.file == file);
        if let Some(asked) = known {
            asked.addresses += 1;
            asked.named += u64::from(named);
        } else if self.full.room("files with addresses", self.asked.len(), MOST_LISTED) {
            self.asked.push(Asked { file, addresses: 1, named: u64::from(named) });
        }
    }

    /// ` {inner at a.h:3 < outer at b.c:40}`; nothing where there is neither a name nor a line.
    fn render(&self, names: &[Named<'_>]) -> String {
        let mut text = String::new();
        for name in names.iter().filter(|name| name.function.is_some() || name.location.is_some()) {
            text.push_str(if text.is_empty() { " {" } else { " < " });
            if name.symbol == Symbol::Found(SymbolSource::Nearest) {
                text.push('~');
            }
            push_clean(&mut text, name.function.as_deref().unwrap_or("?"));
            if let Some(at) = &name.location {
                text.push_str(" at ");
                push_clean(&mut text, if self.args.basenames { at.file_name() } else { &at.file });
                if let Some(line) = at.line {
                    let _ = write!(text, ":{line}");
                }
            }
            if text.len() > LONGEST {
                text.push_str(" …");
                break;
            }
        }
        if !text.is_empty() {
            text.push('}');
        }
        text
    }

    /// The table of files.
    fn report(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let asked = std::mem::take(&mut self.asked);
        for asked in &asked {
            let (report, why) = match &asked.file {
                Ok(file) => (self.resolver.report(*file), None),
                Err((file, why)) => (file.as_ref().and_then(|file| self.resolver.report_of(file)), Some(why.reason())),
            };
            let stated = asked.file.as_ref().err().and_then(|(file, _)| file.clone()).unwrap_or_default();
            let named = report.as_ref().map(|report| report.path.clone()).filter(|path| !path.is_empty());
            let id = stated.build_id.as_ref().map(|id| format!("build id {id}"));
            let mut line = String::from("necropsy: ");
            push_clean(&mut line, &named.or(stated.path).or(id).unwrap_or_else(|| "addresses".to_owned()));
            let _ = write!(line, ": {} of {} addresses named", asked.named, asked.addresses);
            let fetched = match &asked.file {
                Ok(file) => self.resolver.fetched(*file),
                Err((file, _)) => file.as_ref().map(|file| self.resolver.fetched_of(file)).unwrap_or_default(),
            };
            if let Some(report) = &report {
                if let Some(from) = &report.symbols.from {
                    line.push_str(", from ");
                    push_clean(&mut line, from);
                }
                if let Some(verified) = report.symbols.verified {
                    let _ = write!(line, " (by {})", verified.name());
                }
                if let Some(reason) = &report.symbols.reason {
                    line.push_str("; ");
                    push_clean(&mut line, reason);
                }
            } else if let Some(why) = why {
                let _ = write!(line, "; {why}");
            }
            writeln!(out, "{line}")?;
            for problem in report.iter().flat_map(|report| &report.problems) {
                let mut line = "necropsy:   ".to_owned();
                push_clean(&mut line, problem);
                writeln!(out, "{line}")?;
            }
            for fetched in &fetched {
                let mut line = format!("necropsy:   {}: ", fetched.what);
                push_clean(&mut line, &necropsy_report::fetched(fetched));
                writeln!(out, "{line}")?;
            }
        }
        Ok(())
    }
}

/// Adds text of a file: what would end the line, drive a terminal or turn the text around is shown as an escape.
fn push_clean(text: &mut String, part: &str) {
    text.push_str(&necropsy_report::clean(part));
}
