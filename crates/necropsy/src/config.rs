//! The configuration file, and what wins: flags over environment over file.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use necropsy_config::{Config, Owners};
use necropsy_diagnose::Noise;
use necropsy_model::{Place, Verdict};

use crate::args::{SCRIPTS, SHOWN};
use crate::reading::Places;

/// Largest file of a configuration, of rules or of noise that is read. One that is larger was named by mistake.
const LARGEST: u64 = 1 << 20;

/// Heading of `--help`.
const CONFIGURATION: &str = "Configuration";

/// Which configuration file is read.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct ConfigFile {
    /// Read this configuration file instead of `~/.config/necropsy/config.toml`
    #[arg(help_heading = CONFIGURATION, long, value_name = "FILE", conflicts_with = "no_config")]
    config: Option<PathBuf>,

    /// Read no configuration file
    #[arg(help_heading = CONFIGURATION, long)]
    no_config: bool,
}

/// What a house wants of every report: whose code is whose, and what must not be shown.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Policy {
    /// Further code that is seldom to blame, one `module NAME` or `function NAME*` a line
    #[arg(help_heading = SHOWN, long, value_name = "FILE", value_parser = noise)]
    noise: Option<Noise>,

    /// Code of your own, a module or function such as `libledger*` or `main.*`: the first such frame is shown as the victim
    #[arg(help_heading = SHOWN, long, value_name = "NAME", value_delimiter = ',')]
    in_app: Vec<String>,

    /// Replace values, strings, arguments, directories, hosts, tokens and addresses by placeholders such as `<string-1>`
    ///
    /// Within one report the same thing has the same placeholder. Functions, types and names of variables, modules and source
    /// files, line numbers, build ids, times and the verdict stay: docs/redaction.md lists what does.
    #[arg(help_heading = SCRIPTS, long, overrides_with = "no_redact")]
    redact: bool,

    /// Show everything, where the configuration file says `redact = true`
    #[arg(help_heading = SCRIPTS, long, overrides_with = "redact")]
    no_redact: bool,

    /// Which file says the same.
    #[command(flatten)]
    file: ConfigFile,

    /// Who owns which modules: from the configuration file only.
    #[arg(skip)]
    owners: Owners,
}

impl Policy {
    /// Whether the report is for others; after [`Policy::apply`].
    pub(crate) fn redacts(&self) -> bool {
        self.redact
    }

    /// Which code is seldom to blame, and which is the user's own; after [`Policy::apply`].
    pub(crate) fn noise(&self) -> Noise {
        self.noise.clone().unwrap_or_default()
    }

    /// Who owns the place that a verdict names: where it crashed, else where the bad value was born.
    pub(crate) fn owner(&self, verdict: &Verdict<'_>) -> Option<&str> {
        let born = verdict.origin.as_ref().map(|origin| &origin.birth);
        self.owner_of(verdict.crash_site.as_ref().into_iter().chain(born))
    }

    /// Who owns the first of some places that has an owner.
    pub(crate) fn owner_of<'p, 'd: 'p>(&self, places: impl IntoIterator<Item = &'p Place<'d>>) -> Option<&str> {
        places.into_iter().find_map(|place| self.owners.of(place))
    }

    /// Adds what environment and configuration file say.
    pub(crate) fn apply(&mut self, places: &mut Places) -> Result<(), Error> {
        let config = self.file.apply(places)?;
        let flag = self.redact.then_some(true).or(self.no_redact.then_some(false));
        let by_environment = match variable("NECROPSY_REDACT").map(|value| value.to_string_lossy().into_owned()) {
            None => None,
            Some(value) if value == "1" => Some(true),
            Some(value) if value == "0" => Some(false),
            Some(value) => return Err(Error::Redact(value)),
        };
        self.redact = flag.or(by_environment).or(config.redact).unwrap_or(false);
        let listed = Noise::with(&config.noise.join("\n")).map_err(|bad| Error::Noise(bad.text))?;
        let own = if self.in_app.is_empty() { config.in_app } else { std::mem::take(&mut self.in_app) };
        self.noise = Some(self.noise.take().unwrap_or_default().and(listed).with_own(own));
        self.owners = Owners::new(config.owners);
        Ok(())
    }
}

/// A list that a user wrote. It may come through a pipe; a device has no end.
pub(crate) fn small_text(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::other("it is larger than 1 MiB"));
    }
    String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// A list of code that is seldom to blame.
fn noise(path: &str) -> Result<Noise, String> {
    let text = small_text(Path::new(path)).map_err(|error| error.to_string())?;
    Noise::with(&text).map_err(|bad| bad.to_string())
}

fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

impl ConfigFile {
    /// Adds to the places what the file says of them; the rest of what it says.
    pub(crate) fn apply(&self, places: &mut Places) -> Result<Config, Error> {
        let Some((path, named)) = place(self, variable) else { return Ok(Config::default()) };
        let Some(config) = read(&path, named)? else { return Ok(Config::default()) };
        for folder in &config.debug_dirs {
            let folder = path.parent().unwrap_or(Path::new(".")).join(folder);
            if !folder.is_dir() {
                return Err(Error::NoFolder { path, folder });
            }
            places.debug_dirs.push(folder);
        }
        places.symbols.configure(&config.symbol_servers);
        Ok(config)
    }
}

/// Why there is no configuration: one sentence.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{}: the configuration could not be read: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{}: line {line}: {message}", path.display())]
    Wrong { path: PathBuf, line: usize, message: String },
    #[error("{}: debug-dirs: {}: there is no such directory", path.display(), folder.display())]
    NoFolder { path: PathBuf, folder: PathBuf },
    #[error("noise: neither `module NAME` nor `function NAME`: {0}")]
    Noise(String),
    #[error("NECROPSY_REDACT is {0}; it may be 1 or 0")]
    Redact(String),
}

/// Where the file is, and whether somebody named it, so that it has to be there.
fn place(args: &ConfigFile, variable: impl Fn(&str) -> Option<OsString>) -> Option<(PathBuf, bool)> {
    if args.no_config {
        return None;
    }
    if let Some(path) = args.config.clone().or_else(|| variable("NECROPSY_CONFIG").map(PathBuf::from)) {
        return Some((path, true));
    }
    // XDG Base Directory Specification: a relative path in the variable is to be ignored.
    let base = variable("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let base = base.or_else(|| Some(PathBuf::from(variable("HOME")?).join(".config")))?;
    Some((base.join("necropsy/config.toml"), false))
}

/// Reads the file; `None` when there is none and nobody named it.
fn read(path: &Path, named: bool) -> Result<Option<Config>, Error> {
    let unreadable = |source| Error::Unreadable { path: path.to_owned(), source };
    let metadata = match fs::metadata(path) {
        // A home that is not there, or another user's (`sudo -u`, `setpriv` keep HOME), is none.
        Err(_) if !named => return Ok(None),
        other => other.map_err(unreadable)?,
    };
    if !metadata.is_file() || metadata.len() > LARGEST {
        return Err(unreadable(io::Error::other("it is no file of at most 1 MiB")));
    }
    let text = fs::read_to_string(path).map_err(unreadable)?;
    Config::parse(&text).map(Some).map_err(|(line, message)| Error::Wrong { path: path.to_owned(), line, message })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[test]
    fn the_file_that_is_named_wins() {
        let args = |arguments: &[&str]| {
            crate::args::Cli::parse_from([&["necropsy", "x"], arguments].concat()).triage.policy.file
        };
        let variables = |set: &'static [(&'static str, &'static str)]| {
            move |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
        };
        let all: &[_] = &[("NECROPSY_CONFIG", "/env"), ("XDG_CONFIG_HOME", "/xdg"), ("HOME", "/home/a")];
        let at = |path: &str, named| Some((PathBuf::from(path), named));
        assert_eq!(place(&args(&["--config", "f"]), variables(all)), at("f", true));
        assert_eq!(place(&args(&["--no-config"]), variables(all)), None);
        assert_eq!(place(&args(&[]), variables(all)), at("/env", true));
        assert_eq!(place(&args(&[]), variables(&all[1..])), at("/xdg/necropsy/config.toml", false));
        assert_eq!(place(&args(&[]), variables(&all[2..])), at("/home/a/.config/necropsy/config.toml", false));
        let relative: &[_] = &[("XDG_CONFIG_HOME", "xdg"), ("HOME", "/h")];
        assert_eq!(place(&args(&[]), variables(relative)), at("/h/.config/necropsy/config.toml", false));
        assert_eq!(place(&args(&[]), variables(&[])), None);
    }
}
