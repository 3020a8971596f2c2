//! Frames as they are found, with a deep recursion folded while it is walked: memory does not grow with its depth.

use std::collections::VecDeque;

use necropsy_model::Gap;

use super::RawFrame;

/// Frames kept from the innermost on. A stack of up to [`HEAD`] + [`TAIL`] frames is kept whole; the deepest stacks of
/// healthy programs (interpreters, debug builds of parsers) have some hundred.
const HEAD: usize = 512;
/// Frames kept before the outermost.
const TAIL: usize = 256;
/// Longest turn of a recursion that is recognised.
const MAX_PERIOD: usize = 64;
/// Frames at the end of the head that must repeat for a recursion to be recognised.
const REPEATED: usize = 2 * MAX_PERIOD;

/// Collects the frames of one stack.
#[derive(Debug, Default)]
pub(super) struct Folder {
    head: Vec<RawFrame>,
    tail: VecDeque<RawFrame>,
    /// Addresses of one turn, as long as every omitted frame has followed them.
    turn: Option<Vec<u64>>,
    omitted: u64,
}

impl Folder {
    /// The next frame outwards.
    pub fn push(&mut self, frame: RawFrame) {
        if self.head.len() < HEAD {
            self.head.push(frame);
            return;
        }
        self.tail.push_back(frame);
        if self.tail.len() <= TAIL {
            return;
        }
        if self.omitted == 0 {
            self.turn =
                period(&self.head).map(|period| self.head.iter().skip(self.head.len() - period).map(address).collect());
        }
        let follows = self.tail.pop_front().is_some_and(|frame| self.expected(self.omitted) == Some(address(&frame)));
        if !follows {
            self.turn = None;
        }
        self.omitted += 1;
    }

    /// What the frame `place` places behind the head should be.
    fn expected(&self, place: u64) -> Option<u64> {
        let turn = self.turn.as_ref()?;
        turn.get(usize::try_from(place % turn.len() as u64).ok()?).copied()
    }

    /// All frames that are kept, and where others were left out.
    pub fn finish(mut self) -> (Vec<RawFrame>, Option<Gap>) {
        let mut gap = (self.omitted > 0).then_some(Gap { after: self.head.len(), omitted: self.omitted, period: None });
        if let (Some(gap), Some(turn)) = (&mut gap, &self.turn) {
            let period = turn.len();
            let repeats = |index: usize| {
                let behind = self.head.get(index + period);
                behind.is_some_and(|behind| self.head.get(index).map(address) == Some(address(behind)))
            };
            // One turn is kept before the gap, and at most one behind it: where the recursion was entered.
            let mut first = self.head.len() - period;
            while first > 0 && repeats(first - 1) {
                first -= 1;
            }
            gap.after = first + period;
            gap.omitted += (self.head.len() - gap.after) as u64;
            gap.period = Some(period);
            let same = (self.omitted..).zip(&self.tail);
            let same = same.take_while(|&(place, frame)| self.expected(place) == Some(address(frame))).count();
            let dropped = same.saturating_sub(period);
            gap.omitted += dropped as u64;
            self.tail.drain(..dropped);
            self.head.truncate(gap.after);
        }
        self.head.extend(self.tail);
        self.head.shrink_to_fit();
        (self.head, gap)
    }
}

fn address(frame: &RawFrame) -> u64 {
    frame.address.address().0
}

/// Frames of one turn of the recursion at the end of `frames`.
fn period(frames: &[RawFrame]) -> Option<usize> {
    let last = frames.get(frames.len().checked_sub(REPEATED)?..)?;
    (1..=MAX_PERIOD)
        .find(|&period| last.iter().zip(last.get(period..).unwrap_or_default()).all(|(a, b)| address(a) == address(b)))
}

#[cfg(test)]
mod tests {
    use necropsy_model::{Arch, Avma, CodeAddress, FrameKind, Registers, Trust};

    use super::*;

    fn folded(addresses: impl IntoIterator<Item = u64>) -> (Vec<u64>, Option<Gap>) {
        let mut folder = Folder::default();
        for pc in addresses {
            folder.push(RawFrame {
                address: CodeAddress::Return(Avma(pc)),
                registers: Registers::new(Arch::X86_64),
                cfa: None,
                trust: Trust::Cfi,
                kind: FrameKind::Normal,
                saved: Vec::new(),
                vectors: necropsy_model::Vectors::default(),
            });
            assert!(folder.head.len() + folder.tail.len() <= HEAD + TAIL + 1);
        }
        let (frames, gap) = folder.finish();
        (frames.iter().map(address).collect(), gap)
    }

    #[test]
    fn a_recursion_of_three_functions_is_folded_to_one_turn() {
        let turns = (0..99_999).map(|index| 100 + index % 3);
        let (frames, gap) = folded([1, 2].into_iter().chain(turns).chain([7, 8]));
        let gap = gap.expect("folded");
        assert_eq!(gap.after, 5);
        assert_eq!(gap.period, Some(3));
        assert_eq!(frames[..5], [1, 2, 100, 101, 102]);
        assert_eq!(frames[5..], [100, 101, 102, 7, 8]);
        assert_eq!(gap.omitted, 99_999 - 6);
    }

    #[test]
    fn a_deep_stack_without_a_period_keeps_both_ends() {
        let (frames, gap) = folded(0..10_000);
        let gap = gap.expect("cut");
        assert_eq!((gap.after, gap.period), (HEAD, None));
        assert_eq!(gap.omitted as usize + frames.len(), 10_000);
        assert_eq!(frames.last(), Some(&9_999));
    }

    #[test]
    fn a_recursion_that_changes_on_the_way_has_no_period() {
        let (_, gap) = folded(std::iter::repeat_n(5, 5_000).chain([6]).chain(std::iter::repeat_n(5, 5_000)));
        assert_eq!(gap.expect("cut").period, None);
    }

    #[test]
    fn an_ordinary_stack_is_kept_whole() {
        let (frames, gap) = folded(0..(HEAD + TAIL) as u64);
        assert_eq!((frames.len(), gap), (HEAD + TAIL, None));
    }
}
