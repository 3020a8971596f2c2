//! What one run may cost: seconds with a request under way, bytes received, and the user's patience.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::lock;
use crate::record::Stop;

/// The budget of a run.
#[derive(Debug)]
pub(crate) struct Budget {
    time: Duration,
    bytes: u64,
    received: AtomicU64,
    interrupted: Arc<AtomicBool>,
    idle: Arc<AtomicBool>,
    clock: Mutex<Clock>,
}

/// Runs while at least one request is under way: several at once are waited for once.
#[derive(Debug, Default)]
struct Clock {
    running: usize,
    since: Option<Instant>,
    spent: Duration,
}

impl Clock {
    fn spent(&self) -> Duration {
        self.spent + self.since.map(|since| since.elapsed()).unwrap_or_default()
    }
}

impl Budget {
    pub fn new(time: Duration, bytes: u64) -> Self {
        Self {
            time,
            bytes,
            received: AtomicU64::new(0),
            interrupted: Arc::default(),
            idle: Arc::new(AtomicBool::new(true)),
            clock: Mutex::default(),
        }
    }

    pub fn interrupted(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.interrupted)
    }

    pub fn idle(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.idle)
    }

    /// Why nothing more may be asked for.
    pub fn stop(&self) -> Option<Stop> {
        let bytes = self.received.load(Ordering::Relaxed) >= self.bytes;
        self.end().or_else(|| bytes.then_some(Stop::Bytes(self.bytes)))
    }

    /// Why what is under way must end now.
    pub fn end(&self) -> Option<Stop> {
        if self.interrupted.load(Ordering::SeqCst) {
            return Some(Stop::Interrupted);
        }
        (lock(&self.clock).spent() >= self.time).then_some(Stop::Time(self.time))
    }

    /// Bytes that may still be received.
    pub fn left(&self) -> u64 {
        self.bytes.saturating_sub(self.received.load(Ordering::Relaxed))
    }

    /// Counts bytes that were received; false when they are too many.
    pub fn take(&self, bytes: u64) -> bool {
        self.received.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) <= self.bytes
    }

    /// The clock runs until what is returned is dropped.
    pub fn run(&self) -> Running<'_> {
        let mut clock = lock(&self.clock);
        clock.running += 1;
        clock.since.get_or_insert_with(Instant::now);
        self.idle.store(false, Ordering::SeqCst);
        Running(self)
    }
}

/// A request is under way.
pub(crate) struct Running<'a>(&'a Budget);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut clock = lock(&self.0.clock);
        clock.running = clock.running.saturating_sub(1);
        if clock.running == 0 {
            clock.spent = clock.spent();
            clock.since = None;
            self.0.idle.store(true, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_up_says_so() {
        let budget = Budget::new(Duration::from_hours(1), 10);
        assert_eq!(budget.stop(), None);
        assert!(budget.take(10));
        assert_eq!((budget.left(), budget.stop()), (0, Some(Stop::Bytes(10))));
        assert!(!budget.take(1));
        let budget = Budget::new(Duration::ZERO, 10);
        assert_eq!(budget.stop(), Some(Stop::Time(Duration::ZERO)));
        budget.interrupted().store(true, Ordering::SeqCst);
        assert_eq!(budget.stop(), Some(Stop::Interrupted));
    }

    #[test]
    fn requests_side_by_side_are_one_wait() {
        let budget = Budget::new(Duration::from_hours(1), 10);
        let first = budget.run();
        let second = budget.run();
        assert!(!budget.idle().load(Ordering::SeqCst));
        drop(first);
        assert!(!budget.idle().load(Ordering::SeqCst), "one is still under way");
        drop(second);
        assert!(budget.idle().load(Ordering::SeqCst));
        assert!(lock(&budget.clock).since.is_none(), "the clock stands");
    }
}
