//! The configuration file, and what wins: flags over environment over file.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use necropsy_model::Place;
use serde::Deserialize;

use crate::args::Args;

/// Largest file that is read. One that is larger was named by mistake.
const LARGEST: u64 = 1 << 20;

/// What a configuration file may say. Every key is optional; one that is not here is an error.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Config {
    /// As `--redact`.
    redact: Option<bool>,
    /// As `--debug-dir`, searched after those of the command line. Relative ones are relative to the file's own directory.
    debug_dirs: Vec<PathBuf>,
    /// Who owns which modules: `"libledger.so" = "payments"`.
    owners: BTreeMap<String, String>,
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
    #[error("NECROPSY_REDACT is {0}; it may be 1 or 0")]
    Redact(String),
}

/// Adds to the arguments what environment and configuration file say.
pub(crate) fn apply(args: &mut Args) -> Result<(), Error> {
    let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    let config = match place(args, variable) {
        Some((path, named)) => read(&path, named)?.map(|config| (path, config)),
        None => None,
    };
    let flag = args.redact.then_some(true).or(args.no_redact.then_some(false));
    let by_environment = match variable("NECROPSY_REDACT").map(|value| value.to_string_lossy().into_owned()) {
        None => None,
        Some(value) if value == "1" => Some(true),
        Some(value) if value == "0" => Some(false),
        Some(value) => return Err(Error::Redact(value)),
    };
    let by_file = config.as_ref().and_then(|(_, config)| config.redact);
    args.redact = flag.or(by_environment).or(by_file).unwrap_or(false);
    let Some((path, config)) = config else { return Ok(()) };
    for folder in config.debug_dirs {
        let folder = path.parent().unwrap_or(Path::new(".")).join(folder);
        if !folder.is_dir() {
            return Err(Error::NoFolder { path, folder });
        }
        args.reading.places.debug_dirs.push(folder);
    }
    args.owners = Owners::new(config.owners);
    Ok(())
}

/// Where the file is, and whether somebody named it, so that it has to be there.
fn place(args: &Args, variable: impl Fn(&str) -> Option<std::ffi::OsString>) -> Option<(PathBuf, bool)> {
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
        Err(error) if error.kind() == io::ErrorKind::NotFound && !named => return Ok(None),
        other => other.map_err(unreadable)?,
    };
    if !metadata.is_file() || metadata.len() > LARGEST {
        return Err(unreadable(io::Error::other("it is no file of at most 1 MiB")));
    }
    let text = fs::read_to_string(path).map_err(unreadable)?;
    parse(&text).map(Some).map_err(|(line, message)| Error::Wrong { path: path.to_owned(), line, message })
}

/// The configuration, or a line and what is wrong with it.
fn parse(text: &str) -> Result<Config, (usize, String)> {
    toml::from_str(text).map_err(|error: toml::de::Error| {
        let at = error.span().map_or(0, |span| span.start);
        let line = text.bytes().take(at).filter(|&byte| byte == b'\n').count() + 1;
        (line, error.message().replace('\n', " "))
    })
}

/// Who owns which modules, the most specific first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Owners(Vec<(String, String)>);

impl Owners {
    fn new(owners: BTreeMap<String, String>) -> Self {
        let mut owners: Vec<_> = owners.into_iter().collect();
        // An exact name before a beginning, a longer beginning before a shorter one.
        owners.sort_by_key(|(pattern, _)| (pattern.ends_with('*'), std::cmp::Reverse(pattern.len())));
        Self(owners)
    }

    /// The owner of the module of a place; where a dump names no modules, of its function's package.
    pub(crate) fn of(&self, place: &Place<'_>) -> Option<&str> {
        let module = place.module.as_deref().map(|path| path.rsplit('/').next().unwrap_or(path));
        let names = [module, place.function.as_deref()];
        names.into_iter().flatten().find_map(|name| {
            let owner = self.0.iter().find(|(pattern, _)| match pattern.strip_suffix('*') {
                Some(start) => name.starts_with(start),
                None => name == pattern,
            });
            owner.map(|(_, owner)| owner.as_str())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use necropsy_model::Role;

    #[test]
    fn wrong_keys_and_values_are_told_with_their_line() {
        let config = parse("redact = true\ndebug-dirs = ['a']\n[owners]\n'lib*' = 'team'\n").unwrap();
        assert_eq!(config.redact, Some(true));
        let (line, message) = parse("redact = true\n\nredcat = false\n").unwrap_err();
        assert!(line == 3 && message.contains("redcat"), "{line}: {message}");
        let (line, message) = parse("redact = 'yes'\n").unwrap_err();
        assert!(line == 1 && message.contains("boolean"), "{line}: {message}");
        assert_eq!(parse("[owners]\na = 'b'\nredact =").unwrap_err().0, 3);
        assert!(parse("").is_ok());
    }

    #[test]
    fn the_file_that_is_named_wins() {
        let args = |arguments: &[&str]| crate::args::Cli::parse_from([&["necropsy", "x"], arguments].concat()).triage;
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

    #[test]
    fn the_most_specific_owner_is_told() {
        let owners = [("lib*", "platform"), ("libledger*", "payments"), ("libledger.so", "ledger"), ("main.*", "shop")];
        let owners = Owners::new(owners.map(|(pattern, owner)| (pattern.to_owned(), owner.to_owned())).into());
        let of = |module: Option<&'static str>, function: &'static str| {
            let place = Place {
                thread: None,
                frame: None,
                function: Some(function.into()),
                module: module.map(Into::into),
                location: None,
                inlined: false,
                trust: None,
                role: Role::Victim,
            };
            owners.of(&place).map(str::to_owned)
        };
        assert_eq!(of(Some("/srv/libledger.so"), "f").as_deref(), Some("ledger"));
        assert_eq!(of(Some("/srv/libledger-2.so"), "f").as_deref(), Some("payments"));
        assert_eq!(of(Some("/usr/lib/libc.so.6"), "f").as_deref(), Some("platform"));
        assert_eq!(of(None, "main.run").as_deref(), Some("shop"));
        assert_eq!(of(None, "other.run"), None);
    }
}
