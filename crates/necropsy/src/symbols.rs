//! Symbol servers: what the user and the environment say of them.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use necropsy_debuginfod::{Client, Failure, Miss, Settings, Use};

use crate::terminal;

/// How much of symbol servers to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Mode {
    /// Nothing, not even what was fetched before
    Off,
    /// What was fetched before
    Cache,
    /// Executables and names of functions
    Names,
    /// Debug files too
    Full,
}

/// Heading of `--help`.
pub(crate) const HEADING: &str = "Symbol servers (debuginfod)";

/// Where symbols come from that are not on this machine. Without a server nothing leaves it.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = HEADING)]
pub(crate) struct SymbolArgs {
    /// How much of symbol servers to use [default: full where a server is named, else cache]
    #[arg(long, value_name = "HOW", hide_default_value = true)]
    debuginfod: Option<Mode>,

    /// Ask this server, beside those of `DEBUGINFOD_URLS`; may be repeated; `system` is those in /etc/debuginfod
    #[arg(long = "debuginfod-url", value_name = "URL")]
    debuginfod_urls: Vec<String>,

    /// Ask no server, whatever else is said; what was fetched before is used
    #[arg(long)]
    offline: bool,

    /// Most seconds of a run that are spent waiting for servers
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    symbol_budget: u64,

    /// Most bytes of a run that are fetched: 500M, 2G
    #[arg(long, value_name = "BYTES", default_value = "1G", value_parser = bytes)]
    symbol_max_bytes: u64,

    /// Ask again for what no server had a short while ago
    #[arg(long)]
    symbol_refresh: bool,

    /// Servers of the configuration file.
    #[arg(skip)]
    configured: Vec<String>,
}

impl SymbolArgs {
    /// The client of this run; or what is wrong with what the user said.
    pub(crate) fn client(&self) -> Result<Arc<Client>, String> {
        let settings = self.settings(Settings::from_environment(|name| std::env::var_os(name)))?;
        let client = Client::new(settings);
        if !client.has_servers() {
            return Ok(Arc::new(client));
        }
        let client = if io::stderr().is_terminal() {
            client.with_progress(progress())
        } else if std::env::var_os("DEBUGINFOD_PROGRESS").is_some_and(|value| !value.is_empty()) {
            client.with_progress(Arc::new(|line: &str| {
                if !line.is_empty() {
                    terminal::say(line);
                }
            }))
        } else {
            client
        };
        let client = Arc::new(client);
        // Only now may Ctrl-C mean something else than the end.
        end_in_order(&client);
        Ok(client)
    }

    /// Adds the servers of the configuration file, which are asked where neither flags nor environment name any.
    pub(crate) fn configure(&mut self, urls: &[String]) {
        self.configured = urls.to_vec();
    }

    fn settings(&self, of_environment: Settings) -> Result<Settings, String> {
        let mut settings = of_environment;
        let named = !self.debuginfod_urls.is_empty() || !settings.urls.is_empty();
        let urls = if named { &self.debuginfod_urls } else { &self.configured };
        for url in urls {
            match url.as_str() {
                "system" => {
                    let of_system = necropsy_debuginfod::system_urls();
                    if of_system.is_empty() {
                        settings.complaints.push("no symbol server is named in /etc/debuginfod/*.urls".to_owned());
                    }
                    settings.urls.extend(of_system);
                }
                url => settings.urls.insert(0, url.to_owned()),
            }
        }
        let default = if settings.urls.is_empty() { Use::Cache } else { Use::Full };
        settings.mode = self.debuginfod.map_or(default, |mode| match mode {
            Mode::Off => Use::Off,
            Mode::Cache => Use::Cache,
            Mode::Names => Use::Names,
            Mode::Full => Use::Full,
        });
        if self.offline {
            settings.mode = settings.mode.min(Use::Cache);
        }
        if settings.mode > Use::Cache && settings.urls.is_empty() {
            return Err("no symbol server is named: set DEBUGINFOD_URLS, or give --debuginfod-url".to_owned());
        }
        settings.budget = Duration::from_secs(self.symbol_budget);
        settings.max_bytes = self.symbol_max_bytes;
        settings.refresh = self.symbol_refresh;
        Ok(settings)
    }
}

/// Says on standard error what servers failed, and which budget is used up; for output that has no table of modules.
pub(crate) fn say_what_failed(client: &Client) {
    let mut said = BTreeSet::new();
    for record in client.records() {
        match record.outcome {
            Err(Miss::Failed(failures)) => {
                let told = failures.iter().filter(|(_, failure)| *failure != Failure::LeftAlone);
                said.extend(told.map(|(server, failure)| format!("symbol server {server} {failure}")));
            }
            Err(Miss::Stopped(stop)) => drop(said.insert(format!("not all symbols were fetched: {stop}"))),
            Ok(_) | Err(_) => {}
        }
    }
    let complaints = client.complaints().iter().cloned();
    let refused = client.refused().iter().map(|server| format!("symbol server {server}"));
    said.into_iter().chain(complaints).chain(refused).for_each(|line| terminal::say(&line));
}

/// The first Ctrl-C or SIGTERM while something is being fetched ends the fetching; the report comes with what there is. The next
/// one, or one at any other time, ends the program as always, and no temporary file of it stays.
fn end_in_order(client: &Arc<Client>) {
    #[cfg(unix)]
    {
        use std::sync::atomic::Ordering;

        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
        use signal_hook::iterator::Signals;
        use signal_hook::low_level::emulate_default_handler;

        let wanted = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|&signal| !is_ignored(signal));
        let Ok(mut signals) = Signals::new(wanted) else { return };
        let (client, idle, interrupted) = (Arc::downgrade(client), client.idle(), client.interrupted());
        std::thread::spawn(move || {
            for signal in &mut signals {
                let fetching = !idle.load(Ordering::SeqCst) && client.strong_count() > 0;
                if fetching && signal != SIGHUP && !interrupted.swap(true, Ordering::SeqCst) {
                    continue;
                }
                if let Some(client) = client.upgrade() {
                    client.abandon();
                }
                let _ = emulate_default_handler(signal);
            }
        });
    }
    #[cfg(not(unix))]
    let _ = client;
}

/// Whoever started the program wants it to live on: `nohup`, and a shell's jobs in the background. Where there is no `/proc`, nobody does.
#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask >> (signal - 1) & 1 == 1
}

/// One line on the terminal that is overwritten and taken away again.
fn progress() -> necropsy_debuginfod::Progress {
    let columns = terminal_size::terminal_size_of(io::stderr()).map_or(80, |(width, _)| usize::from(width.0));
    let last = Mutex::new(());
    Arc::new(move |line: &str| {
        let _turn = last.lock().unwrap_or_else(PoisonError::into_inner);
        // The name of a server is the user's own; a control character in it would still be no use.
        let line: String = line.chars().filter(|c| !c.is_control()).take(columns.saturating_sub(1)).collect();
        let _ = write!(io::stderr(), "\r\x1b[K{line}");
    })
}

/// A number of bytes such as `500M`, `2G` or `4096`.
fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text.get(digits.len()..).unwrap_or_default() {
        "" => 0,
        "K" | "k" => 10,
        "M" | "m" => 20,
        "G" | "g" => 30,
        _ => return Err("a size is a number with K, M or G".to_owned()),
    };
    let number: u64 = digits.parse().map_err(|_| "a size is a number with K, M or G".to_owned())?;
    number.checked_mul(1 << shift).ok_or_else(|| "too large".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        symbols: SymbolArgs,
    }

    fn mode(line: &[&str], urls: &[&str]) -> Option<Use> {
        let line = Line::try_parse_from([&["necropsy"], line].concat()).expect("a command line");
        let urls: Vec<_> = urls.iter().map(|&url| url.to_owned()).collect();
        line.symbols.settings(Settings { urls, ..Settings::default() }).ok().map(|settings| settings.mode)
    }

    #[test]
    fn sizes() {
        assert_eq!(["500M", "2g", "4096", "1K"].map(bytes), [Ok(500 << 20), Ok(2 << 30), Ok(4096), Ok(1024)]);
        assert!(bytes("M").is_err() && bytes("1T").is_err() && bytes("99999999999999999G").is_err());
    }

    #[test]
    fn a_system_that_names_no_server_is_told() {
        let line = Line::try_parse_from(["necropsy", "--debuginfod-url", "system"]).expect("a command line");
        let settings = line.symbols.settings(Settings::default()).expect("it goes on without");
        let of_system = necropsy_debuginfod::system_urls();
        assert_eq!(settings.urls, of_system);
        assert_eq!(settings.complaints.len(), usize::from(of_system.is_empty()), "{settings:?}");
    }

    #[test]
    fn the_network_needs_a_server_and_can_be_forbidden() {
        assert_eq!(mode(&[], &[]), Some(Use::Cache));
        assert_eq!(mode(&[], &["https://a"]), Some(Use::Full));
        assert_eq!(mode(&["--debuginfod-url", "https://a"], &[]), Some(Use::Full));
        assert_eq!(mode(&["--debuginfod", "names"], &["https://a"]), Some(Use::Names));
        assert_eq!(mode(&["--debuginfod", "full"], &[]), None, "asked for, and there is nobody to ask");
        assert_eq!(mode(&["--debuginfod", "full", "--offline"], &["https://a"]), Some(Use::Cache));
        assert_eq!(mode(&["--debuginfod", "off", "--offline"], &["https://a"]), Some(Use::Off));
    }
}
