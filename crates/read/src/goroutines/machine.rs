//! What machine threads print of themselves: the stack on which the runtime threw, and registers. `dopanic_m` of Go's
//! `runtime/panic.go`, `dumpregs` of `runtime/signal_amd64.go` and its siblings.

use necropsy_model::go::{GoFacts, GoRegisters};
use necropsy_model::{Snapshot, Source, ThreadId};

use super::frame::hex;
use super::stack::Interner;
use crate::text::{LineMap, lines};

/// Blocks of registers that are kept, and registers of one: a process has up to ten thousand machine threads.
const BLOCKS: usize = 64;
const REGISTERS: usize = 64;

/// Registers in a row that make a block: fewer may be words of a log.
const LEAST: usize = 8;

/// Reads the registers in a text, which are those of the machine thread that ran `goroutine`.
pub(super) fn registers<'d>(
    text: &'d [u8],
    first_line: u64,
    goroutine: Option<ThreadId>,
    map: &LineMap,
    facts: &mut GoFacts<'d>,
) {
    let mut open: Option<GoRegisters<'d>> = None;
    let mut close = |block: Option<GoRegisters<'d>>| {
        facts.registers.extend(block.filter(|block| block.values.len() >= LEAST));
        facts.registers.truncate(BLOCKS);
    };
    for (number, line) in lines(text) {
        let Some((name, value)) = register(line) else {
            close(open.take());
            continue;
        };
        let source = map.source(first_line + number);
        let block = open.get_or_insert_with(|| GoRegisters { goroutine, values: Vec::new(), source });
        if block.values.len() < REGISTERS {
            block.values.push((String::from_utf8_lossy(name), value));
        }
    }
    close(open);
}

/// `rax    0xca`; on arm64 the same with `r0`, `lr`.
fn register(line: &[u8]) -> Option<(&[u8], u64)> {
    let line = line.trim_ascii_end();
    let length = line.iter().take_while(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()).count();
    let (name, rest) = line.split_at_checked(length).filter(|(name, _)| (2..=6).contains(&name.len()))?;
    let value = rest.trim_ascii_start();
    let (value, rest) = hex(value).filter(|_| value.len() < rest.len())?;
    rest.is_empty().then_some((name, value))
}

/// Reads the stack behind `runtime stack:`.
pub(super) fn stack<'d>(
    text: &'d [u8],
    first_line: u64,
    map: &LineMap,
    interner: &mut Interner<'d>,
    snapshot: &mut Snapshot<'d>,
) -> Option<(necropsy_model::StackId, Source)> {
    const TITLE: &[u8] = b"runtime stack:";
    let mut start = 0;
    for (number, line) in lines(text) {
        start += line.len() + 1;
        if line.trim_ascii_end() == TITLE {
            let rest = text.get(start..)?;
            let end = memchr::memmem::find(rest, b"\n\n").unwrap_or(rest.len());
            let stack = interner.resolve(rest.get(..end)?, snapshot).stack?;
            return Some((stack, map.source(first_line + number)));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_registers() {
        let text = "exit status 2\nlr 0x1\n\nrax    0xca\nrbx    0x0\nrcx    0x1\nrdx    0x6\nrdi    0x5077\nrsi    0x5077\nrbp    0x7ff2\nr8     0xa83c80\nrflags 0x246\n";
        let mut facts = GoFacts::default();
        registers(text.as_bytes(), 10, Some(ThreadId(5)), &LineMap::identity(), &mut facts);
        let [block] = facts.registers.as_slice() else { panic!("{:?}", facts.registers) };
        assert_eq!((block.values.len(), block.goroutine, block.source), (9, Some(ThreadId(5)), Source::line(14)));
        assert_eq!((&*block.values[7].0, block.values[7].1), ("r8", 0xa8_3c80));
    }

    #[test]
    fn what_is_no_register() {
        for line in ["rax 0xca more", "rax 202", "rax0x1", "A 0x1", "averylongname 0x1", "0x1", "x 0x1"] {
            assert_eq!(register(line.as_bytes()), None, "{line}");
        }
    }
}
