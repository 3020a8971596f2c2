//! One input through one target: what a user must never see.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, Once, PoisonError};

use crate::memory::peak_of;
use crate::targets::{MOST_THREADS_SHOWN, Target};

/// What the first line of a profile of goroutines ends in, but for the number.
const PROFILE: &[u8] = b" profile: total ";
/// Bytes that a goroutine may take that is counted and not printed, with its rows in every output.
const PER_GOROUTINE: usize = 2 << 10;
/// Bytes of its stack, where every stack is printed.
const PER_STACK: usize = 24 << 10;
/// Goroutines that the reader lists of such counts.
const MOST_COUNTED: usize = 1 << 20;

/// Where the last panic was.
static PANIC: Mutex<Option<String>> = Mutex::new(None);

/// Runs a target; what went wrong in one phrase that is the same for the same fault.
pub fn run(target: &Target, input: &[u8]) -> Result<(), String> {
    note_panics();
    let mut outcome = Ok(Ok(()));
    let peak = peak_of(|| outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(input))));
    match outcome {
        Ok(done) => done?,
        Err(_) => {
            let place = PANIC.lock().unwrap_or_else(PoisonError::into_inner).take();
            return Err(place.unwrap_or_else(|| "a panic".to_owned()));
        }
    }
    let most = target.floor + target.per_byte * input.len() + counted(input);
    if peak > most {
        return Err(format!("about {} MiB of memory", (peak >> 20).next_power_of_two()));
    }
    Ok(())
}

/// Bytes for goroutines that profiles in an input count: `300 @ 0x48468e 0x416d2e`. They are listed one by one, up to a bound.
fn counted(input: &[u8]) -> usize {
    if !input.windows(PROFILE.len()).any(|window| window == PROFILE) {
        return 0;
    }
    let count = |line: &[u8]| {
        let at = line.windows(2).position(|pair| pair == b" @")?;
        let digits = line.get(..at)?.rsplit(|byte| !byte.is_ascii_digit()).next()?;
        std::str::from_utf8(digits).ok()?.parse::<usize>().ok()
    };
    let all = input.split(|&byte| byte == b'\n').filter_map(count).fold(0, usize::saturating_add);
    all.min(MOST_COUNTED) * PER_GOROUTINE + all.min(MOST_THREADS_SHOWN) * (PER_STACK + 8 * input.len())
}

/// From now on a panic is kept with its place instead of printed.
fn note_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|info| {
            let message: String = info.payload_as_str().unwrap_or_default().chars().take(100).collect();
            let message: String = message.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect();
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            *PANIC.lock().unwrap_or_else(PoisonError::into_inner) = Some(format!("panic at {place}: {message}"));
        }));
    });
}
