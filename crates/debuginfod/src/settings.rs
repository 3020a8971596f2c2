//! What the environment and the user say: servers, limits, directories.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How much of symbol servers a run uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Use {
    /// Nothing, not even what was fetched before.
    Off,
    /// What was fetched before.
    #[default]
    Cache,
    /// Executables and names.
    Names,
    /// Debug files too.
    Full,
}

/// Longest wait for a connection. A server in reach takes a tenth of it from the other side of the world.
const CONNECT: Duration = Duration::from_secs(3);
/// Longest silence. A server that has to unpack a package first takes some seconds.
const SILENCE: Duration = Duration::from_secs(15);
/// Seconds of a run.
const BUDGET: Duration = Duration::from_mins(1);
/// Bytes of a run.
const MAX_BYTES: u64 = 1 << 30;
/// Most bytes of a file of headers or of server names.
const MOST_TEXT: u64 = 64 << 10;

/// Where distributions write which servers they run.
const SYSTEM_URLS: &str = "/etc/debuginfod";

/// What a client may do, and where.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How much of symbol servers to use.
    pub mode: Use,
    /// Prefixes of URLs, in the order of the user; also the words `ima:…` of `DEBUGINFOD_URLS`.
    pub urls: Vec<String>,
    /// Longest wait for a connection.
    pub connect: Duration,
    /// Longest wait for the first and for each further byte.
    pub silence: Duration,
    /// How often a download that broke off is tried again.
    pub retries: u32,
    /// Seconds of the run with a request under way.
    pub budget: Duration,
    /// Bytes of the run.
    pub max_bytes: u64,
    /// Most bytes of one file.
    pub max_file: Option<u64>,
    /// Longest time of one download.
    pub max_time: Option<Duration>,
    /// Headers to send to the servers that were named, not to where they redirect.
    pub headers: Vec<(String, String)>,
    /// The directory that elfutils and gdb use too.
    pub shared_cache: Option<PathBuf>,
    /// The directory of kinds whose file names differ between versions of elfutils.
    pub own_cache: Option<PathBuf>,
    /// Ask again for what no server had a short while ago.
    pub refresh: bool,
    /// What of the environment could not be used, one phrase each.
    pub complaints: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mode: Use::default(),
            urls: Vec::new(),
            connect: CONNECT,
            silence: SILENCE,
            retries: 1,
            budget: BUDGET,
            max_bytes: MAX_BYTES,
            max_file: None,
            max_time: None,
            headers: Vec::new(),
            shared_cache: None,
            own_cache: None,
            refresh: false,
            complaints: Vec::new(),
        }
    }
}

impl Settings {
    /// Reads the variables of debuginfod-find(1). With a server in `DEBUGINFOD_URLS` everything may be fetched, without one
    /// only what is in the cache is used.
    pub fn from_environment(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let text = |name: &str| variable(name)?.into_string().ok().filter(|text| !text.trim().is_empty());
        let number = |name: &str| text(name)?.trim().parse::<i64>().ok();
        let positive =
            |name: &str| number(name).and_then(|number| u64::try_from(number).ok()).filter(|&number| number > 0);
        let path = |name: &str| variable(name).filter(|path| !path.is_empty()).map(PathBuf::from);
        let mut settings = Self::default();
        settings
            .urls
            .extend(text("DEBUGINFOD_URLS").iter().flat_map(|urls| urls.split_whitespace()).map(str::to_owned));
        if !settings.urls.is_empty() {
            settings.mode = Use::Full;
        }
        match number("DEBUGINFOD_TIMEOUT") {
            // No limit of its own: that of the run holds.
            Some(..=0) => (settings.connect, settings.silence) = (Duration::MAX, Duration::MAX),
            Some(seconds) => {
                settings.silence = Duration::from_secs(seconds.unsigned_abs());
                settings.connect = CONNECT.min(settings.silence);
            }
            None => {}
        }
        if let Some(retries) = number("DEBUGINFOD_RETRY_LIMIT") {
            settings.retries = u32::try_from(retries.clamp(0, 10)).unwrap_or(0);
        }
        settings.max_time = positive("DEBUGINFOD_MAXTIME").map(Duration::from_secs);
        settings.max_file = positive("DEBUGINFOD_MAXSIZE");
        if let Some(file) = path("DEBUGINFOD_HEADERS_FILE") {
            match read_text(&file) {
                Some(text) => settings.headers = headers(&text),
                None => {
                    settings.complaints.push(format!("{} (DEBUGINFOD_HEADERS_FILE) can not be read", file.display()));
                }
            }
        }
        let home = path("HOME");
        let of_user = path("XDG_CACHE_HOME").or_else(|| Some(home.as_ref()?.join(".cache")));
        let old = home.map(|home| home.join(".debuginfod_client_cache")).filter(|path| path.is_dir());
        settings.shared_cache = path("DEBUGINFOD_CACHE_PATH")
            .or(old)
            .or_else(|| of_user.as_ref().map(|directory| directory.join("debuginfod_client")));
        settings.own_cache = of_user.map(|directory| directory.join("necropsy").join("debuginfod"));
        settings
    }
}

/// The servers that the distribution names, from `/etc/debuginfod/*.urls`; login shells put them into `DEBUGINFOD_URLS`.
pub fn system_urls() -> Vec<String> {
    urls_in(Path::new(SYSTEM_URLS))
}

fn urls_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|ending| ending == "urls")).collect();
    files.sort();
    let texts = files.iter().filter_map(|path| read_text(path));
    texts.flat_map(|text| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// A small text file.
fn read_text(path: &Path) -> Option<String> {
    use std::io::Read;
    let metadata = fs::metadata(path).ok()?;
    if !metadata.is_file() || metadata.len() > MOST_TEXT {
        return None;
    }
    let mut text = String::new();
    fs::File::open(path).ok()?.take(MOST_TEXT).read_to_string(&mut text).ok()?;
    Some(text)
}

/// `Name: value` on each line, as curl reads it from elfutils.
fn headers(text: &str) -> Vec<(String, String)> {
    let is_token = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
    };
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs
        .map(|(name, value)| (name.trim(), value.trim()))
        .filter(|(name, value)| {
            is_token(name) && value.bytes().all(|byte| byte == b'\t' || (b' '..0x7f).contains(&byte))
        })
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Settings {
        Settings::from_environment(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn the_network_is_used_only_where_a_server_is_named() {
        assert_eq!(settings(&[]).mode, Use::Cache);
        assert_eq!(settings(&[("DEBUGINFOD_URLS", "  ")]).mode, Use::Cache);
        let named = settings(&[("DEBUGINFOD_URLS", "https://a/ ima:enforcing http://b")]);
        assert_eq!((named.mode, named.urls.len()), (Use::Full, 3));
    }

    #[test]
    fn the_cache_is_where_elfutils_looks() {
        let home = tempfile::tempdir().expect("a directory");
        let text = home.path().to_str().expect("text");
        let shared = |variables: &[(&str, &str)]| settings(variables).shared_cache;
        assert_eq!(shared(&[]), None);
        assert_eq!(shared(&[("HOME", text)]), Some(home.path().join(".cache/debuginfod_client")));
        assert_eq!(shared(&[("HOME", text), ("XDG_CACHE_HOME", "/x")]), Some("/x/debuginfod_client".into()));
        fs::create_dir(home.path().join(".debuginfod_client_cache")).expect("a directory");
        assert_eq!(
            shared(&[("HOME", text), ("XDG_CACHE_HOME", "/x")]),
            Some(home.path().join(".debuginfod_client_cache")),
            "the old place, where it exists"
        );
        assert_eq!(shared(&[("HOME", text), ("DEBUGINFOD_CACHE_PATH", "/c")]), Some("/c".into()));
        assert_eq!(settings(&[("XDG_CACHE_HOME", "/x")]).own_cache, Some("/x/necropsy/debuginfod".into()));
    }

    #[test]
    fn limits() {
        let of = |seconds| settings(&[("DEBUGINFOD_TIMEOUT", seconds)]);
        assert_eq!((of("90").connect, of("90").silence), (CONNECT, Duration::from_secs(90)));
        assert_eq!((of("2").connect, of("2").silence), (Duration::from_secs(2), Duration::from_secs(2)));
        assert_eq!(of("0").silence, Duration::MAX);
        assert_eq!(of("soon").silence, SILENCE);
        let sizes =
            settings(&[("DEBUGINFOD_MAXSIZE", "7"), ("DEBUGINFOD_MAXTIME", "0"), ("DEBUGINFOD_RETRY_LIMIT", "-1")]);
        assert_eq!((sizes.max_file, sizes.max_time, sizes.retries), (Some(7), None, 0));
    }

    #[test]
    fn headers_come_from_a_file_and_nonsense_in_it_is_left_out() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), "X-Token: abc\n\nno header\nbad name: x\nA: b\rc\n").expect("a file");
        let path = file.path().to_str().expect("text");
        let read = settings(&[("DEBUGINFOD_HEADERS_FILE", path)]);
        assert_eq!(read.headers, [("X-Token".to_owned(), "abc".to_owned())]);
        assert_eq!(settings(&[("DEBUGINFOD_HEADERS_FILE", "/no/such/file")]).complaints.len(), 1);
    }

    #[test]
    fn files_of_the_distribution() {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("b.urls"), "https://b\n").expect("a file");
        fs::write(directory.path().join("a.urls"), "https://a1 https://a2\n").expect("a file");
        fs::write(directory.path().join("c.certpath"), "/etc\n").expect("a file");
        assert_eq!(urls_in(directory.path()), ["https://a1", "https://a2", "https://b"]);
    }
}
