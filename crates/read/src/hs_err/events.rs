//! Rings of events: `Compilation events (20 events):`, then `Event: 0.123 Thread 0x… text`.

use std::borrow::Cow;

use necropsy_model::Full;
use necropsy_model::hs_err::{Event, EventRing};

use super::words::{Line, leading_decimal, leading_hex, milliseconds};

/// Rings at most; JDK 25 has sixteen.
const MAX_RINGS: usize = 64;
/// Events of one ring at most; `LogEventsBufferEntries` is 20 unless somebody asks for more.
const MAX_EVENTS: usize = 10_000;

/// The header of a ring.
pub(super) fn header(line: Line<'_>) -> Option<EventRing<'_>> {
    let (name, count) = line.text.trim_end().strip_suffix(" events):")?.rsplit_once(" (")?;
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b' ' | b'-' | b'/'));
    let count = leading_decimal(count).filter(|_| plain && !name.is_empty())?;
    Some(EventRing { name: Cow::Borrowed(name), count, events: Vec::new(), source: line.source })
}

/// Takes a ring.
pub(super) fn push<'d>(rings: &mut Vec<EventRing<'d>>, ring: EventRing<'d>, full: &mut Full) {
    if full.room("rings of events", rings.len(), MAX_RINGS) {
        rings.push(ring);
    }
}

/// Takes a line of the last ring.
pub(super) fn event<'d>(rings: &mut [EventRing<'d>], line: Line<'d>, full: &mut Full) {
    let (Some(ring), Some(rest)) = (rings.last_mut(), line.text.strip_prefix("Event: ")) else { return };
    if !full.room("events of one ring", ring.events.len(), MAX_EVENTS) {
        return;
    }
    let (time, text) = rest.trim_start().split_once(' ').unwrap_or((rest, ""));
    let (thread, text) = match text.trim_start().strip_prefix("Thread 0x") {
        Some(rest) => (leading_hex(rest), rest.trim_start_matches(|c: char| c.is_ascii_hexdigit()).trim_start()),
        None => (None, text.trim_start()),
    };
    ring.events.push(Event { at_ms: milliseconds(time), thread, text: Cow::Borrowed(text), source: line.source });
}

#[cfg(test)]
mod tests {
    use necropsy_model::Source;

    use super::*;

    #[test]
    fn rings_and_their_events() {
        let line = |text| Line { text, source: Source::line(1) };
        let (mut rings, mut full) = (Vec::new(), Full::default());
        push(&mut rings, header(line("Deoptimization events (250 events):")).unwrap(), &mut full);
        event(
            &mut rings,
            line("Event: 27639.184 Thread 0x000001da1b1ed800 Uncommon trap: reason=null_check"),
            &mut full,
        );
        event(&mut rings, line("Event: 0.5 Loaded shared library libnio.so"), &mut full);
        event(&mut rings, line("No events"), &mut full);
        let [first, second] = rings[0].events.as_slice() else { panic!("{rings:?}") };
        assert_eq!((rings[0].count, rings[0].name.as_ref()), (250, "Deoptimization events"));
        assert_eq!((first.at_ms, first.thread), (Some(27_639_184), Some(0x1da_1b1e_d800)));
        assert_eq!((second.at_ms, second.text.as_ref()), (Some(500), "Loaded shared library libnio.so"));
        assert!(header(line("x = f(3 events):")).is_none());
    }
}
