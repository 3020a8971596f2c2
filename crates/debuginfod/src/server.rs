//! One server, one request.

use std::fmt::Write;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use necropsy_model::BuildId;
use ureq::Agent;
use ureq::http::{Response, StatusCode};
use ureq::tls::{RootCerts, TlsConfig};

use crate::record::Failure;
use crate::{Settings, What, date, lock};

/// Redirects of one request, as curl follows them for elfutils.
const MOST_REDIRECTS: usize = 6;
/// Errors of the server's own (5xx) in a row, after which it is left alone.
const MOST_ERRORS: u32 = 3;
/// How often somebody who waits for another's first request looks whether it is still worth it.
const GLANCE: Duration = Duration::from_millis(50);

/// Where systems keep the certificates they trust; what the administrator put there holds, as for every other program.
const CERTIFICATES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// A server, and what is known of it.
pub(crate) struct Server {
    /// How it is called in reports: its URL without user and password.
    pub name: String,
    prefix: String,
    transport: Transport,
    headers: Vec<(String, String)>,
    silence: Duration,
    state: Mutex<State>,
    changed: Condvar,
}

enum Transport {
    Http(Box<Agent>),
    File(PathBuf),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nobody has asked yet.
    Unknown,
    /// Somebody is asking for the first time; the others wait, so that a server that never answers costs one wait.
    Asking,
    /// It answers. So many errors of its own in a row.
    Answers(u32),
    /// It failed for good.
    Dead,
}

/// A body that begins to arrive.
pub(crate) struct Opened {
    pub reader: Box<dyn Read + Send>,
    /// Its size, if the server says so.
    pub size: Option<u64>,
    /// When the file was last changed, if the server says so.
    pub modified: Option<SystemTime>,
}

/// The servers that may be asked, and those that may not, each with the reason.
pub(crate) fn all(settings: &Settings) -> (Vec<Arc<Server>>, Vec<String>) {
    let (mut servers, mut refused): (Vec<Arc<Server>>, Vec<String>) = (Vec::new(), Vec::new());
    let mut signed = false;
    for url in &settings.urls {
        // elfutils 0.192: a word holds for the servers behind it, until the next one.
        if let Some(policy) = url.strip_prefix("ima:") {
            signed = policy == "enforcing";
            continue;
        }
        let prefix = url.trim_end_matches('/');
        if servers.iter().any(|server| server.prefix == prefix) {
            continue;
        }
        if signed {
            refused.push(format!("{}: signatures are demanded of it, and they are not checked here", shown(prefix)));
            continue;
        }
        match Server::new(prefix, settings) {
            Some(server) => servers.push(Arc::new(server)),
            None => refused.push(format!("{}: not a URL of http, https or file", shown(prefix))),
        }
    }
    (servers, refused)
}

impl Server {
    fn new(prefix: &str, settings: &Settings) -> Option<Self> {
        let transport = match prefix.split_once("://")? {
            ("http" | "https", rest) if !rest.is_empty() => Transport::Http(Box::new(agent(rest, settings))),
            ("file", path) if path.starts_with('/') => Transport::File(PathBuf::from(unescape(path))),
            _ => return None,
        };
        let mut headers = settings.headers.clone();
        headers.extend(authorization(prefix));
        Some(Self {
            name: shown(prefix),
            prefix: visible(&shown(prefix)),
            transport,
            headers,
            silence: settings.silence,
            state: Mutex::new(State::Unknown),
            changed: Condvar::new(),
        })
    }

    /// It may be asked.
    pub fn is_alive(&self) -> bool {
        *lock(&self.state) != State::Dead
    }

    /// Asks for a file of at most so many bytes. `over` says that the answer is of no use any more.
    pub fn open(&self, id: &BuildId, what: &What, most: u64, over: &AtomicBool) -> Result<Opened, Failure> {
        let first = self.enter(over)?;
        let answer = match &self.transport {
            Transport::Http(agent) => self.open_http(agent, id, what, most),
            Transport::File(root) => open_file(root, id, what),
        };
        let note = answer.as_ref().map(|_| ());
        // Servers answer 503 when they fail over one section (elfutils 0.188); that says nothing of others.
        let own_error = matches!(note, Err(Failure::Status(500..)))
            && !(matches!(what, What::Section(_)) && note == Err(&Failure::Status(503)));
        self.leave(first, note.err(), own_error);
        answer
    }

    /// Waits while somebody else asks for the first time; says whether this is the first time.
    fn enter(&self, over: &AtomicBool) -> Result<bool, Failure> {
        let mut state = lock(&self.state);
        loop {
            match *state {
                State::Dead => return Err(Failure::LeftAlone),
                State::Answers(_) => return Ok(false),
                State::Unknown => {
                    *state = State::Asking;
                    return Ok(true);
                }
                State::Asking if over.load(Ordering::Relaxed) => return Err(Failure::LeftAlone),
                State::Asking => {
                    let waited = self.changed.wait_timeout(state, GLANCE);
                    state = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }

    fn leave(&self, first: bool, failure: Option<&Failure>, own_error: bool) {
        let mut state = lock(&self.state);
        *state = match (*state, failure) {
            (State::Dead, _) => State::Dead,
            (_, Some(failure)) if failure.is_final() => State::Dead,
            (State::Answers(errors), _) if own_error && errors + 1 >= MOST_ERRORS => State::Dead,
            (State::Answers(errors), _) if own_error => State::Answers(errors + 1),
            _ => State::Answers(u32::from(own_error)),
        };
        if first {
            self.changed.notify_all();
        }
    }

    /// Notes a failure in the middle of a body.
    pub fn failed(&self, failure: &Failure) {
        if failure.is_final() {
            *lock(&self.state) = State::Dead;
        }
    }

    fn open_http(&self, agent: &Agent, id: &BuildId, what: &What, most: u64) -> Result<Opened, Failure> {
        let mut url = format!("{}/{}", self.prefix, path_of(id, what));
        let home = authority(&url).map(str::to_owned);
        for _ in 0..=MOST_REDIRECTS {
            let mut request = agent.get(&url).header("X-DEBUGINFOD-MAXSIZE", most.to_string());
            // A token is for the server that the user named, not for wherever it points.
            if authority(&url) == home.as_deref() {
                for (name, value) in &self.headers {
                    request = request.header(name, value);
                }
            }
            let response = request.call().map_err(|error| self.failure(&error))?;
            let status = response.status();
            if status.is_redirection() {
                url = redirected(&url, &response).map_err(Failure::Redirect)?;
                continue;
            }
            return match status {
                StatusCode::OK => Ok(opened(response)),
                StatusCode::NOT_FOUND => Err(Failure::NotFound),
                StatusCode::NOT_ACCEPTABLE => Err(Failure::TooLarge(None)),
                status => Err(Failure::Status(status.as_u16())),
            };
        }
        Err(Failure::Redirect(format!("more than {MOST_REDIRECTS} times")))
    }

    fn failure(&self, error: &ureq::Error) -> Failure {
        use ureq::Timeout;
        match error {
            ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect) => {
                Failure::Unreachable("no connection in time".to_owned())
            }
            ureq::Error::Timeout(_) => Failure::Silent(self.silence),
            ureq::Error::Io(error) if error.kind() == io::ErrorKind::TimedOut => Failure::Silent(self.silence),
            ureq::Error::Io(error) if is_broken(error) => Failure::BrokeOff(0),
            error => {
                let text = error.to_string();
                // rustls has the reason in its words alone, inside an error of reading.
                let remedy = if text.contains("invalid peer certificate") {
                    "; SSL_CERT_FILE names a file with the certificate of an authority of your own"
                } else {
                    ""
                };
                Failure::Unreachable(text + remedy)
            }
        }
    }
}

/// The connection was there and went away.
fn is_broken(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), ConnectionReset | ConnectionAborted | BrokenPipe | UnexpectedEof)
}

/// What an error in the middle of a body means, of which so many bytes have arrived.
pub(crate) fn body_failure(error: io::Error, received: u64) -> Failure {
    let timed_out = error.kind() == io::ErrorKind::TimedOut;
    match ureq::Error::from(error) {
        ureq::Error::Timeout(_) => Failure::Stalled(received),
        _ if timed_out => Failure::Stalled(received),
        _ => Failure::BrokeOff(received),
    }
}

fn opened(response: Response<ureq::Body>) -> Opened {
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    let stated = header("x-debuginfod-size").and_then(|size| size.parse().ok());
    let packed = header("content-encoding").is_some_and(|encoding| encoding != "identity");
    let length = header("content-length").filter(|_| !packed).and_then(|length| length.parse().ok());
    let modified = header("last-modified").and_then(date::parse);
    Opened { size: length.or(stated), modified, reader: Box::new(response.into_body().into_with_config().reader()) }
}

fn open_file(root: &Path, id: &BuildId, what: &What) -> Result<Opened, Failure> {
    let (folder, name) = match what {
        What::DebugInfo => ("debuginfo", None),
        What::Executable => ("executable", None),
        What::Section(name) => ("section", Some(name)),
        What::Source(path) => ("source", Some(path)),
    };
    let mut path = root.join("buildid").join(id.to_string()).join(folder);
    if let Some(name) = name {
        path.extend(Path::new(&normal(name)).components().filter(|part| matches!(part, Component::Normal(_))));
    }
    let metadata = match std::fs::metadata(&path) {
        Ok(metadata) if metadata.is_file() => metadata,
        Err(_) if !root.is_dir() => return Err(Failure::Unreachable(format!("{} is no directory", root.display()))),
        _ => return Err(Failure::NotFound),
    };
    let file = File::open(&path).map_err(|error| Failure::Unreachable(error.to_string()))?;
    Ok(Opened { reader: Box::new(file), size: Some(metadata.len()), modified: metadata.modified().ok() })
}

fn agent(rest: &str, settings: &Settings) -> Agent {
    let limit = |time: Duration| (time != Duration::MAX).then_some(time);
    let of_system = std::env::var_os("SSL_CERT_FILE").is_some()
        || std::env::var_os("SSL_CERT_DIR").is_some()
        || CERTIFICATES.iter().any(|path| Path::new(path).exists());
    let roots = if of_system { RootCerts::PlatformVerifier } else { RootCerts::WebPki };
    let mut config = Agent::config_builder()
        .user_agent(concat!("necropsy/", env!("CARGO_PKG_VERSION")))
        .accept("*/*")
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_resolve(limit(settings.connect))
        .timeout_connect(limit(settings.connect))
        .timeout_per_read(limit(settings.silence))
        // A head that comes drop by drop is no answer either.
        .timeout_recv_response(limit(settings.silence))
        .tls_config(TlsConfig::builder().root_certs(roots).build());
    // A proxy of the environment is for the outside.
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    if ["localhost", "127.", "[::1]"].iter().any(|local| host.starts_with(local)) {
        config = config.proxy(None);
    }
    config.build().new_agent()
}

/// Where an answer points. Never from an encrypted connection to one that is not, and never to a file.
fn redirected(from: &str, response: &Response<ureq::Body>) -> Result<String, String> {
    let target = response.headers().get("location").and_then(|value| value.to_str().ok());
    let target = target.ok_or_else(|| "without saying where".to_owned())?;
    let (scheme, _) = from.split_once("://").unwrap_or(("http", ""));
    let origin = format!("{scheme}://{}", authority(from).unwrap_or_default());
    let target = match target {
        whole if whole.contains("://") => whole.to_owned(),
        host if host.starts_with("//") => format!("{scheme}:{host}"),
        path if path.starts_with('/') => format!("{origin}{path}"),
        path => format!("{}/{path}", from.rsplit_once('/').map_or(from, |(folder, _)| folder)),
    };
    let allowed = target.starts_with("https://") || scheme == "http" && target.starts_with("http://");
    if allowed { Ok(target) } else { Err(format!("to {}, which is not followed", shown(&target))) }
}

/// Host and port of a URL, with what stands before them.
fn authority(url: &str) -> Option<&str> {
    url.split_once("://")?.1.split(['/', '?', '#']).next()
}

/// User and password of a URL as a header, decoded first, as curl does it (RFC 7617).
fn authorization(url: &str) -> Option<(String, String)> {
    let (user, _) = authority(url)?.rsplit_once('@')?;
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    let credentials = BASE64.encode(format!("{}:{}", unescape(name), unescape(password)));
    Some(("Authorization".to_owned(), format!("Basic {credentials}")))
}

/// A URL in which what no URL may hold, spaces and letters of other alphabets, is escaped.
fn visible(url: &str) -> String {
    url.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_graphic() {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

/// A URL without user and password.
fn shown(url: &str) -> String {
    let Some(authority) = authority(url).filter(|authority| authority.contains('@')) else { return url.to_owned() };
    let host = authority.rsplit('@').next().unwrap_or_default();
    url.replacen(authority, host, 1)
}

/// The path of a request below a server's prefix.
fn path_of(id: &BuildId, what: &What) -> String {
    let kind = match what {
        What::DebugInfo => "debuginfo".to_owned(),
        What::Executable => "executable".to_owned(),
        What::Section(name) => format!("section/{}", escape(name)),
        What::Source(path) => format!("source/{}", escape(&normal(path))),
    };
    format!("buildid/{id}/{kind}")
}

/// An absolute path without `.`, `..` and its first slash. Servers do the same; a `file://` tree must not be left.
fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// All but the unreserved characters of RFC 3986 and `/` as `%XX`.
fn escape(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

fn unescape(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let pair = tail.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        let code = pair.filter(|_| byte == b'%').and_then(|pair| u8::from_str_radix(pair, 16).ok());
        bytes.push(code.unwrap_or(byte));
        rest = if code.is_some() { tail.get(2..).unwrap_or_default() } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> BuildId {
        BuildId::new(&[0xAB, 0x01]).expect("two bytes")
    }

    #[test]
    fn paths_of_requests() {
        let of = |what| path_of(&id(), &what);
        assert_eq!(of(What::DebugInfo), "buildid/ab01/debuginfo");
        assert_eq!(of(What::Section(".symtab".to_owned())), "buildid/ab01/section/.symtab");
        let source = What::Source("/usr/src/./c++ code/../a~b_(1).c".to_owned());
        assert_eq!(of(source), "buildid/ab01/source/usr/src/a~b_%281%29.c");
    }

    #[test]
    fn servers_of_a_list() {
        let urls = ["https://a/", "https://a", "ima:enforcing", "https://b", "ima:ignore", "ftp://c", "file:///d"];
        let settings = Settings { urls: urls.map(str::to_owned).to_vec(), ..Settings::default() };
        let (servers, refused) = all(&settings);
        let names: Vec<_> = servers.iter().map(|server| server.name.as_str()).collect();
        assert_eq!(names, ["https://a", "file:///d"]);
        assert_eq!(refused.len(), 2, "{refused:?}");
    }

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(shown("https://user:word@host:8002/path@x"), "https://host:8002/path@x");
        assert_eq!(shown("https://host/a@b"), "https://host/a@b");
    }

    #[test]
    fn escapes() {
        assert_eq!(escape("a b/ü"), "a%20b/%C3%BC");
        assert_eq!(unescape("/a%20b%2"), "/a b%2");
    }

    #[test]
    fn where_redirects_lead() {
        let to = |from: &str, target: &str| {
            let response =
                Response::builder().status(302).header("location", target).body(ureq::Body::builder().data(""));
            redirected(from, &response.expect("a response"))
        };
        let http = "http://h:80/p/buildid/ab/debuginfo";
        assert_eq!(to(http, "/x").as_deref(), Ok("http://h:80/x"));
        assert_eq!(to(http, "x").as_deref(), Ok("http://h:80/p/buildid/ab/x"));
        assert_eq!(to(http, "//other/x").as_deref(), Ok("http://other/x"));
        assert_eq!(to(http, "https://other/x").as_deref(), Ok("https://other/x"));
        assert!(to("https://h/x", "http://h/x").is_err(), "to an open connection");
        assert!(to(http, "file:///etc/passwd").is_err());
    }
}
