//! One file from several servers: all are asked at once, the first that sends bytes wins, and when it fails after all the
//! others get another chance.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use necropsy_model::BuildId;

use crate::budget::Budget;
use crate::cache::{Cache, Writing};
use crate::record::{Failure, Miss, Origin};
use crate::server::{Opened, Server, body_failure};
use crate::{Client, Found, What, check};

/// How often the one who waits looks at the clock and for the user's Ctrl-C.
const GLANCE: Duration = Duration::from_millis(50);
/// A wait shorter than this is not worth a word.
const SILENT: Duration = Duration::from_secs(1);
/// Bytes that a server must send within its limit of silence, as elfutils demands; less is a stall too.
const SLOWEST: u64 = 100 << 10;
/// Bytes that are read at once.
const CHUNK: usize = 64 << 10;
/// Nobody has won yet.
const NOBODY: usize = usize::MAX;

/// What all who are asked for one file share.
struct Job {
    id: BuildId,
    what: What,
    most: u64,
    silence: Duration,
    max_time: Option<Duration>,
    cache: Arc<Cache>,
    budget: Arc<Budget>,
    /// Index of the server that sent the first bytes.
    winner: AtomicUsize,
    /// Nobody waits for an answer any more.
    over: AtomicBool,
    received: AtomicU64,
}

enum Reply {
    Delivered(Box<Delivered>),
    Failed(Failure),
    /// Another server was faster.
    Slower,
}

struct Delivered {
    writing: Writing,
    bytes: u64,
    modified: Option<SystemTime>,
}

/// Sets the flag when nobody waits any more, on every way out.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Client {
    /// Downloads a file into the cache.
    pub(crate) fn download(&self, id: &BuildId, what: &What, most: Option<u64>) -> Result<Found, Miss> {
        if let Some(stop) = self.budget.stop() {
            return Err(Miss::Stopped(stop));
        }
        let _running = self.budget.run();
        let limits = [most, self.settings.max_file, Some(self.budget.left())];
        let most = limits.into_iter().flatten().min().unwrap_or(0);
        let mut failures: Vec<(usize, Failure)> = Vec::new();
        let mut tries = vec![0; self.servers.len()];
        let mut left: Vec<usize> = Vec::new();
        for (index, server) in self.servers.iter().enumerate() {
            if server.is_alive() { left.push(index) } else { failures.push((index, Failure::LeftAlone)) }
        }
        while !left.is_empty() {
            let round = self.round(id, what, most, &left)?;
            left.clear();
            for (index, reply) in round {
                match reply {
                    Reply::Delivered(delivered) => {
                        let Delivered { writing, bytes, modified } = *delivered;
                        let server = self.servers.get(index).map(|server| server.name.clone()).unwrap_or_default();
                        match self.cache.publish(writing, modified) {
                            Ok(path) => return Ok(Found { path, origin: Origin::Server(server), bytes }),
                            Err(failure) => return Err(Miss::Failed(vec![(server, failure)])),
                        }
                    }
                    Reply::Slower => left.push(index),
                    Reply::Failed(failure) => {
                        let tried = tries.get_mut(index);
                        let again =
                            failure.is_passing() && tried.as_ref().is_some_and(|tries| **tries < self.settings.retries);
                        if let Some(tries) = tried.filter(|_| again) {
                            *tries += 1;
                            left.push(index);
                        } else {
                            failures.push((index, failure));
                        }
                    }
                }
            }
        }
        Err(self.miss(id, what, failures))
    }

    /// What it means that no server delivered.
    fn miss(&self, id: &BuildId, what: &What, mut failures: Vec<(usize, Failure)>) -> Miss {
        if let Some(stop) = self.budget.stop() {
            return Miss::Stopped(stop);
        }
        if failures.iter().all(|(_, failure)| *failure == Failure::NotFound) {
            self.cache.note_absent(id, what);
            return Miss::NotFound { servers: failures.len() };
        }
        let too_large = failures.iter().find_map(|(_, failure)| match failure {
            Failure::TooLarge(bytes) => Some(Miss::TooLarge { bytes: *bytes }),
            _ => None,
        });
        failures.sort_by_key(|(index, _)| *index);
        let named = failures.into_iter().filter(|(_, failure)| *failure != Failure::NotFound);
        let named = named.filter_map(|(index, failure)| Some((self.servers.get(index)?.name.clone(), failure)));
        too_large.unwrap_or_else(|| Miss::Failed(named.collect()))
    }

    /// Asks these servers at once and returns what each of them replied, or with the file as soon as it is there.
    fn round(&self, id: &BuildId, what: &What, most: u64, servers: &[usize]) -> Result<Vec<(usize, Reply)>, Miss> {
        let job = Arc::new(Job {
            id: id.clone(),
            what: what.clone(),
            most,
            silence: self.settings.silence,
            max_time: self.settings.max_time,
            cache: Arc::clone(&self.cache),
            budget: Arc::clone(&self.budget),
            winner: AtomicUsize::new(NOBODY),
            over: AtomicBool::new(false),
            received: AtomicU64::new(0),
        });
        let _over = Over(&job.over);
        let (sender, replies) = mpsc::channel();
        for &index in servers {
            let Some(server) = self.servers.get(index).cloned() else { continue };
            let (job, replies) = (Arc::clone(&job), sender.clone());
            let work = move || {
                let reply = job.ask(index, &server);
                // When nobody waits any more, what was written goes with the reply.
                if let Err(mpsc::SendError((_, Reply::Delivered(delivered)))) = replies.send((index, reply)) {
                    job.cache.discard(delivered.writing);
                }
            };
            if let Err(error) = thread::Builder::new().name("debuginfod".to_owned()).spawn(work) {
                let failure = Failure::Unreachable(error.to_string());
                let _ = sender.send((index, Reply::Failed(failure)));
            }
        }
        drop(sender);
        self.wait(&job, servers, &replies)
    }

    fn wait(
        &self,
        job: &Job,
        servers: &[usize],
        replies: &mpsc::Receiver<(usize, Reply)>,
    ) -> Result<Vec<(usize, Reply)>, Miss> {
        let started = Instant::now();
        let mut told = None;
        let mut all = Vec::new();
        let outcome = loop {
            match replies.recv_timeout(GLANCE) {
                Ok((index, reply)) => {
                    let delivered = matches!(reply, Reply::Delivered(_));
                    all.push((index, reply));
                    if delivered {
                        break Ok(());
                    }
                }
                Err(RecvTimeoutError::Disconnected) => break Ok(()),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if let Some(stop) = self.budget.end() {
                break Err(Miss::Stopped(stop));
            }
            let seconds = started.elapsed().as_secs();
            if started.elapsed() >= SILENT && told != Some(seconds) {
                told = Some(seconds);
                self.tell(job, servers, seconds);
            }
        };
        if let Some(progress) = self.progress.as_ref().filter(|_| told.is_some()) {
            progress("");
        }
        outcome.map(|()| all)
    }

    /// Says what is being waited for.
    fn tell(&self, job: &Job, servers: &[usize], seconds: u64) {
        let Some(progress) = &self.progress else { return };
        let winner = job.winner.load(Ordering::Relaxed);
        let (server, more) = match self.servers.get(winner) {
            Some(server) => (Some(server), 0),
            None => (servers.first().and_then(|&first| self.servers.get(first)), servers.len().saturating_sub(1)),
        };
        let server = server.map(|server| server.name.as_str()).unwrap_or_default();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let received = job.received.load(Ordering::Relaxed) >> 20;
        let received = if received > 0 { format!(", {received} MiB") } else { String::new() };
        let id = job.id.to_string();
        let id = id.get(..12).unwrap_or(&id);
        progress(&format!(
            "{} of {id}: {server}{more} ({seconds} s{received}; Ctrl-C goes on without)",
            job.what.name()
        ));
    }
}

impl Job {
    /// Asks one server.
    fn ask(&self, index: usize, server: &Server) -> Reply {
        let opened = match server.open(&self.id, &self.what, self.most, &self.over) {
            Ok(opened) => opened,
            Err(failure) => return Reply::Failed(failure),
        };
        match self.receive(index, opened) {
            Ok(Some(delivered)) => Reply::Delivered(Box::new(delivered)),
            Ok(None) => Reply::Slower,
            Err(failure) => {
                server.failed(&failure);
                Reply::Failed(failure)
            }
        }
    }

    /// Writes a body into a file of the cache and checks it; nothing when another server was faster.
    fn receive(&self, index: usize, mut opened: Opened) -> Result<Option<Delivered>, Failure> {
        if let Some(size) = opened.size.filter(|&size| size > self.most) {
            return Err(Failure::TooLarge(Some(size)));
        }
        let mut chunk = vec![0; CHUNK];
        let mut length = opened.reader.read(&mut chunk).map_err(|error| body_failure(error, 0))?;
        let over = self.over.load(Ordering::SeqCst);
        if over || self.winner.compare_exchange(NOBODY, index, Ordering::SeqCst, Ordering::SeqCst).is_err() {
            return Ok(None);
        }
        let mut writing = self.cache.create(&self.id, &self.what)?;
        match self.copy(&mut opened, &mut chunk, &mut length, &mut writing) {
            Ok(Some(bytes)) => Ok(Some(Delivered { writing, bytes, modified: opened.modified })),
            Ok(None) => {
                self.cache.discard(writing);
                Ok(None)
            }
            Err(failure) => {
                self.cache.discard(writing);
                // The others may have it; this one is out of the race.
                self.winner.store(NOBODY, Ordering::SeqCst);
                Err(failure)
            }
        }
    }

    /// The rest of a body, behind the first bytes of it.
    fn copy(
        &self,
        opened: &mut Opened,
        chunk: &mut [u8],
        length: &mut usize,
        writing: &mut Writing,
    ) -> Result<Option<u64>, Failure> {
        let started = Instant::now();
        let (mut window, mut in_window) = (Instant::now(), 0_u64);
        let mut received = 0_u64;
        while *length > 0 {
            let bytes = *length as u64;
            received += bytes;
            in_window += bytes;
            self.received.store(received, Ordering::Relaxed);
            if received > self.most || !self.budget.take(bytes) {
                return Err(Failure::TooLarge(None));
            }
            let part = chunk.get(..*length).unwrap_or_default();
            writing.file.write_all(part).map_err(|error| Failure::NotKept(error.to_string()))?;
            if self.over.load(Ordering::Relaxed) || self.budget.end().is_some() {
                return Ok(None);
            }
            if window.elapsed() > self.silence {
                if in_window < SLOWEST {
                    return Err(Failure::Stalled(received));
                }
                (window, in_window) = (Instant::now(), 0);
            }
            if self.max_time.is_some_and(|most| started.elapsed() > most) {
                return Err(Failure::Stalled(received));
            }
            *length = opened.reader.read(chunk).map_err(|error| body_failure(error, received))?;
        }
        if opened.size.is_some_and(|size| size != received) {
            return Err(Failure::BrokeOff(received));
        }
        if received == 0 {
            // In the cache an empty file would say that nobody has it.
            return Err(Failure::Malformed("an empty file"));
        }
        writing.file.flush().map_err(|error| Failure::NotKept(error.to_string()))?;
        check::file(writing.file.as_file(), &self.id, &self.what)?;
        Ok(Some(received))
    }
}
