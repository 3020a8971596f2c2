//! Several inputs at a time, their results in order.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Most inputs at a time. Each may hold a few hundred megabytes (a million goroutines), and each is parallel within.
const AT_ONCE: usize = 4;
/// Results that wait for one before them, per worker: one slow input must not fill the memory with reports behind it.
const AHEAD: usize = 4;

/// What the workers share.
struct Line<R> {
    /// The next item that nobody has taken.
    next: usize,
    /// Items whose result was handed on.
    handed_on: usize,
    /// Results that wait for their turn.
    ready: BTreeMap<usize, R>,
    /// Nobody wants more results.
    ended: bool,
}

/// Does `work` on every item and hands the results to `each` in the order of the items. An error of `each` ends it all.
pub(crate) fn in_order<'a, T: Sync, R: Send>(
    items: &'a [T],
    work: impl Fn(&'a T) -> R + Sync,
    mut each: impl FnMut(usize, R) -> io::Result<()>,
) -> io::Result<()> {
    let workers = thread::available_parallelism().map_or(1, usize::from).clamp(1, AT_ONCE).min(items.len());
    let line = Mutex::new(Line { next: 0, handed_on: 0, ready: BTreeMap::new(), ended: false });
    let moved = Condvar::new();
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some((index, item)) = take(items, &line, &moved, workers) {
                    let result = work(item);
                    lock(&line).ready.insert(index, result);
                    moved.notify_all();
                }
            });
        }
        let mut outcome = Ok(());
        for index in 0..items.len() {
            let mut state = lock(&line);
            let result = loop {
                match state.ready.remove(&index) {
                    Some(result) => break result,
                    None => state = moved.wait(state).unwrap_or_else(PoisonError::into_inner),
                }
            };
            drop(state);
            outcome = each(index, result);
            let mut state = lock(&line);
            state.handed_on = index + 1;
            state.ended = outcome.is_err();
            drop(state);
            moved.notify_all();
            if outcome.is_err() {
                break;
            }
        }
        outcome
    })
}

/// The next item for a worker, as soon as it is not too far ahead; `None` when there is none.
fn take<'a, T, R>(items: &'a [T], line: &Mutex<Line<R>>, moved: &Condvar, workers: usize) -> Option<(usize, &'a T)> {
    let mut state = lock(line);
    while !state.ended && state.next < items.len() && state.next >= state.handed_on + workers * AHEAD {
        state = moved.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
    let index = state.next;
    let item = items.get(index).filter(|_| !state.ended)?;
    state.next += 1;
    Some((index, item))
}

fn lock<R>(line: &Mutex<Line<R>>) -> MutexGuard<'_, Line<R>> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn results_come_in_order_whatever_takes_longest() {
        let items: Vec<u64> = (0..100).collect();
        let mut seen = Vec::new();
        let work = |item: &u64| {
            thread::sleep(Duration::from_millis((item * 7) % 5));
            item * 2
        };
        in_order(&items, work, |item, result| {
            assert_eq!(result, items[item] * 2);
            seen.push(items[item]);
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, items);
        in_order(&[], |(): &()| (), |_, ()| Ok(())).unwrap();
    }

    #[test]
    fn an_error_ends_it() {
        let items: Vec<u64> = (0..1000).collect();
        let begun = Mutex::new(0);
        let work = |_: &u64| *begun.lock().unwrap() += 1;
        let ended =
            in_order(&items, work, |item, ()| if item == 3 { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) });
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert!(*begun.lock().unwrap() <= 4 + AT_ONCE * AHEAD + AT_ONCE);
    }
}
