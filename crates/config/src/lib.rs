//! What a configuration file says: `~/.config/necropsy/config.toml`. Nothing here opens a file.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use necropsy_model::Place;
use serde::Deserialize;

/// What a configuration file may say. Every key is optional; one that is not here is an error.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// As `--redact`.
    pub redact: Option<bool>,
    /// As `--debug-dir`, searched after those of the command line. Relative ones are relative to the file's own directory.
    pub debug_dirs: Vec<PathBuf>,
    /// As the lines of a file for `--noise`.
    pub noise: Vec<String>,
    /// As `--in-app`.
    pub in_app: Vec<String>,
    /// As `--debuginfod-url`, where neither that nor the environment names a server.
    pub symbol_servers: Vec<String>,
    /// Who owns which modules: `"libledger.so" = "payments"`.
    pub owners: BTreeMap<String, String>,
}

impl Config {
    /// What a text says, or the number of a line, from 1, and what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, (usize, String)> {
        toml::from_str(text).map_err(|error: toml::de::Error| {
            let at = error.span().map_or(0, |span| span.start);
            let line = text.bytes().take(at).filter(|&byte| byte == b'\n').count() + 1;
            (line, error.message().replace('\n', " "))
        })
    }
}

/// Who owns which modules, the most specific first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owners(Vec<(String, String)>);

impl Owners {
    /// Sorted.
    pub fn new(owners: BTreeMap<String, String>) -> Self {
        let mut owners: Vec<_> = owners.into_iter().collect();
        // An exact name before a beginning, a longer beginning before a shorter one.
        owners.sort_by_key(|(pattern, _)| (pattern.ends_with('*'), std::cmp::Reverse(pattern.len())));
        Self(owners)
    }

    /// The owner of the module of a place; where a dump names no modules, of its function's package.
    pub fn of(&self, place: &Place<'_>) -> Option<&str> {
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
    use necropsy_model::Role;

    use super::*;

    #[test]
    fn wrong_keys_and_values_are_told_with_their_line() {
        let config = Config::parse("redact = true\ndebug-dirs = ['a']\n[owners]\n'lib*' = 'team'\n").unwrap();
        assert_eq!(config.redact, Some(true));
        let (line, message) = Config::parse("redact = true\n\nredcat = false\n").unwrap_err();
        assert!(line == 3 && message.contains("redcat"), "{line}: {message}");
        let (line, message) = Config::parse("redact = 'yes'\n").unwrap_err();
        assert!(line == 1 && message.contains("boolean"), "{line}: {message}");
        assert_eq!(Config::parse("[owners]\na = 'b'\nredact =").unwrap_err().0, 3);
        assert!(Config::parse("").is_ok());
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
                svma: None,
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
