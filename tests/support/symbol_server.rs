//! A symbol server on this machine that plays what real ones do: it serves, has nothing, fails, is silent, stalls, lies.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What is played for a path.
#[derive(Clone, Debug)]
#[allow(dead_code, reason = "not every test plays everything")]
pub(crate) enum Play {
    /// 200 and these bytes.
    Serve(Vec<u8>),
    /// The same in chunks, without a length.
    Chunked(Vec<u8>),
    /// Another status.
    Status(u16),
    /// Nothing, for ever.
    Silence,
    /// The head and so many of the bytes, then nothing, for ever.
    Stall(Vec<u8>, usize),
    /// The same, then the connection ends.
    BreakOff(Vec<u8>, usize),
    /// These bytes, head and all, then the connection ends.
    Raw(Vec<u8>),
    /// These bytes, head and all, and then one of these after the other, for ever, each after a short pause.
    Drip(Vec<u8>, Vec<u8>),
    /// To this place.
    Redirect(String),
    /// First this, and from the second request on that.
    Then(Box<Play>, Box<Play>),
}

/// A request: its path and its headers, in lower case.
#[derive(Clone, Debug)]
#[allow(dead_code, reason = "not every test looks at everything")]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
}

/// The server; it ends when it is dropped.
pub(crate) struct SymbolServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    plays: HashMap<String, Play>,
    otherwise: Play,
    asked: Mutex<Vec<Asked>>,
    connections: AtomicUsize,
    ends: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

#[allow(dead_code, reason = "not every test that starts a server asks it everything")]
impl SymbolServer {
    /// A server that plays these, by path, and `otherwise` for every other path.
    pub(crate) fn start(plays: impl IntoIterator<Item = (String, Play)>, otherwise: Play) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), plays, otherwise)
    }

    /// The same, at another address.
    pub(crate) fn on(listener: TcpListener, plays: impl IntoIterator<Item = (String, Play)>, otherwise: Play) -> Self {
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            plays: plays.into_iter().collect(),
            otherwise,
            asked: Mutex::default(),
            connections: AtomicUsize::new(0),
            ends: AtomicBool::new(false),
            open: Mutex::default(),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if accepting.ends.load(Ordering::SeqCst) {
                    break;
                }
                accepting.connections.fetch_add(1, Ordering::SeqCst);
                accepting.open.lock().unwrap().extend(stream.try_clone());
                let serving = Arc::clone(&accepting);
                thread::spawn(move || while serving.answer(&stream).is_some() {});
            }
        });
        Self { address, shared }
    }

    /// Its URL, with a path below it.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What it was asked.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// The paths that it was asked for, sorted.
    pub(crate) fn paths(&self) -> Vec<String> {
        let mut paths: Vec<_> = self.asked().into_iter().map(|asked| asked.path).collect();
        paths.sort();
        paths
    }

    /// How many connections it accepted.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl Drop for SymbolServer {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::SeqCst);
        for stream in self.shared.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    /// Answers one request; `None` when the connection is over.
    fn answer(&self, stream: &TcpStream) -> Option<()> {
        let mut lines = BufReader::new(stream).lines();
        let line = lines.next()?.ok()?;
        let path = line.split(' ').nth(1)?.to_owned();
        let headers = lines.map_while(Result::ok).take_while(|line| !line.is_empty());
        let headers = headers.filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        });
        let asked = Asked { path: path.clone(), headers: headers.collect() };
        let before = {
            let mut all = self.asked.lock().unwrap();
            let before = all.iter().filter(|asked| asked.path == path).count();
            all.push(asked);
            before
        };
        self.play(self.plays.get(&path).unwrap_or(&self.otherwise), before, stream)
    }

    fn play(&self, play: &Play, before: usize, mut stream: &TcpStream) -> Option<()> {
        let date = "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
        match play {
            Play::Serve(bytes) => {
                write!(stream, "HTTP/1.1 200 OK\r\n{date}Content-Length: {}\r\n\r\n", bytes.len()).ok()?;
                stream.write_all(bytes).ok()
            }
            Play::Chunked(bytes) => {
                let size = bytes.len();
                write!(stream, "HTTP/1.1 200 OK\r\n{date}X-DEBUGINFOD-SIZE: {size}\r\n").ok()?;
                write!(stream, "Transfer-Encoding: chunked\r\n\r\n{size:x}\r\n").ok()?;
                stream.write_all(bytes).ok()?;
                stream.write_all(b"\r\n0\r\n\r\n").ok()
            }
            Play::Status(status) => {
                let body = "not found";
                write!(stream, "HTTP/1.1 {status} x\r\nContent-Length: {}\r\n\r\n{body}", body.len()).ok()
            }
            Play::Silence => self.wait(),
            Play::Stall(bytes, sent) | Play::BreakOff(bytes, sent) => {
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len()).ok()?;
                stream.write_all(&bytes[..*sent]).ok()?;
                if matches!(play, Play::Stall(..)) {
                    self.wait()?;
                }
                let _ = stream.shutdown(Shutdown::Both);
                None
            }
            Play::Raw(bytes) => {
                stream.write_all(bytes).ok()?;
                let _ = stream.shutdown(Shutdown::Write);
                None
            }
            Play::Drip(bytes, drops) => {
                stream.write_all(bytes).ok()?;
                for drop in drops.iter().cycle() {
                    if self.ends.load(Ordering::SeqCst) {
                        break;
                    }
                    stream.write_all(&[*drop]).ok()?;
                    thread::sleep(Duration::from_millis(10));
                }
                None
            }
            Play::Redirect(target) => {
                write!(stream, "HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n").ok()
            }
            Play::Then(first, _) if before == 0 => self.play(first, before, stream),
            Play::Then(_, second) => self.play(second, before, stream),
        }
    }

    fn wait(&self) -> Option<()> {
        while !self.ends.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(10));
        }
        None
    }
}
