//! Stacks of native processes as tools print them: gdb's `bt` and `thread apply all bt` (also `pstack` and `gstack`, which
//! are gdb), elfutils' `eu-stack`, and the stack traces of `coredumpctl info`.
//!
//! [`heading`] knows the lines between stacks, [`frame`] a line of a stack, [`arguments`] what gdb prints in parentheses,
//! [`build`] makes a snapshot of all. The tools resolved the names; whether the symbols were of the build that ran, only they
//! could have said.

mod arguments;
mod build;
mod frame;
mod heading;

use necropsy_model::{Arena, Snapshot};

use crate::text::{self, Marker};
use crate::{Error, Probe, Reader};

/// Name of the reader.
const NAME: &str = "native-stacks";

/// The innermost frame of a stack.
const FIRST: Marker = Marker { needle: b"#0 ", accepts: is_first };

/// The reader of printed native stacks.
pub(crate) struct NativeStacks;

impl Reader for NativeStacks {
    fn name(&self) -> &'static str {
        NAME
    }

    fn probe(&self, head: &[u8]) -> Probe {
        if first(head).is_some() { Probe::Maybe } else { Probe::No }
    }

    fn find(&self, data: &[u8]) -> Option<usize> {
        first(data)
    }

    fn read<'data>(&self, data: &'data [u8], arena: &'data Arena) -> Result<Vec<Snapshot<'data>>, Error> {
        let text = text::decoded(data, arena);
        let snapshot = build::snapshot(text);
        if snapshot.threads.is_empty() {
            return Err(Error::Unreadable { reason: "there is no stack in it".to_owned() });
        }
        Ok(vec![snapshot])
    }
}

/// The stacks of a text that somebody else found.
pub(crate) fn of_text(text: &str) -> Snapshot<'_> {
    build::snapshot(text)
}

/// Where the first stack begins: at the start of a line, but for the spaces of `coredumpctl`. Sanitizers indent by four
/// and are no stacks of a dump.
fn first(data: &[u8]) -> Option<usize> {
    let at = text::find(data, &FIRST)?;
    let before = data.get(..at)?;
    let line = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    let indent = before.get(line..)?;
    let of_coredumpctl = || text::find(data, &COREDUMPCTL).is_some();
    (indent.is_empty() || indent.iter().all(|&byte| byte == b' ') && of_coredumpctl()).then_some(line)
}

/// What stands above each stack of `coredumpctl info`.
const COREDUMPCTL: Marker = Marker { needle: b"Stack trace of thread ", accepts: |_| true };

fn is_first(line: &[u8]) -> bool {
    std::str::from_utf8(line).is_ok_and(|line| frame::parse(line).is_some())
}

#[cfg(test)]
mod tests;
