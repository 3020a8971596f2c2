//! What a Go runtime prints beside the stacks: who made a goroutine, the stack on which the runtime threw, registers.

use std::io;

use necropsy_model::{Frame, Snapshot, StackId};

use super::groups::{flow, step};
use super::page::{Line, Page, Tone};
use crate::Report;

/// Ancestors of a goroutine that are shown.
const ANCESTORS: usize = 4;

/// Those that made a thread, nearest first.
pub(super) fn ancestors(page: &mut Page<'_>, snapshot: &Snapshot<'_>, thread: usize, start: usize) -> io::Result<()> {
    let all = snapshot.go.iter().flat_map(|go| &go.ancestors).filter(|one| one.thread as usize == thread);
    for one in all.take(ANCESTORS) {
        let line = Line::indented(start).put(Tone::Dim, format!("made by goroutine {}, which came by ", one.goroutine));
        let creator = one.created_by.and_then(|id| snapshot.frame(id));
        let end =
            creator.map(|frame| Line::new().put(Tone::Dim, "  created by ").join(step(frame, snapshot, page.width())));
        flow(page, snapshot, line, &frames(snapshot, one.stack), end, start + 2)?;
    }
    Ok(())
}

/// What the machine thread said that stopped the process; its registers only to those who ask for values.
pub(super) fn stopped(page: &mut Page<'_>, report: &Report<'_, '_>) -> io::Result<()> {
    let snapshot = report.snapshot;
    let Some(go) = &snapshot.go else { return Ok(()) };
    if let Some((stack, _)) = go.runtime_stack {
        let line = Line::indented(2).put(Tone::Dim, "the runtime threw in ");
        flow(page, snapshot, line, &frames(snapshot, Some(stack)), None, 4)?;
    }
    let id = snapshot.stopped_thread().map(|thread| thread.id);
    let Some(block) = go.registers.iter().find(|block| block.goroutine == id) else { return Ok(()) };
    if !page.style.locals {
        return Ok(());
    }
    let mut line = Line::indented(2).put(Tone::Dim, "registers:");
    for (name, value) in &block.values {
        line = line.plain(" ").keep(Tone::Plain, format!("{name} = {value:#x}"));
    }
    page.line(line, 4)
}

fn frames<'s, 'data>(snapshot: &'s Snapshot<'data>, stack: Option<StackId>) -> Vec<&'s Frame<'data>> {
    let stack = stack.and_then(|id| snapshot.stack(id));
    stack.iter().flat_map(|stack| &stack.frames).filter_map(|&id| snapshot.frame(id)).collect()
}

#[cfg(test)]
mod tests {
    use necropsy_model::go::{GoAncestor, GoFacts, GoRegisters};
    use necropsy_model::{Frame, Source, Stack, Stop, ThreadId};

    use super::*;
    use crate::{Style, sample};

    #[test]
    fn ancestors_the_runtime_s_stack_and_registers() {
        let mut sample = sample::goroutines(1, 3);
        let all = &mut sample.snapshot;
        let frame = all.add_frame(Frame::printed("main.start", None));
        let stack = all.add_stack(Stack { frames: frame.into_iter().collect(), ..Stack::default() });
        let ancestor = GoAncestor { thread: 0, goroutine: ThreadId(7), stack, created_by: frame };
        let values = vec![("rax".into(), 0xca), ("rip".into(), 0x40_f1ce)];
        let registers = GoRegisters { goroutine: Some(all.threads[0].id), values, source: Source::line(9) };
        all.go = Some(Box::new(GoFacts {
            ancestors: vec![ancestor],
            runtime_stack: stack.map(|stack| (stack, Source::line(3))),
            registers: vec![registers],
            ..GoFacts::default()
        }));
        all.stop = Some(Stop { thread: Some(0), ..Stop::default() });
        let written = |locals| {
            let mut out = Vec::new();
            let style = Style { color: false, width: 100, threads: false, all: false, locals, explain: false };
            let mut page = Page::new(&mut out, style);
            ancestors(&mut page, &sample.snapshot, 0, 2).unwrap();
            ancestors(&mut page, &sample.snapshot, 1, 2).unwrap();
            stopped(&mut page, &sample.report()).unwrap();
            String::from_utf8(out).unwrap()
        };
        let short = "  made by goroutine 7, which came by main.start  created by main.start\n  the runtime threw in main.start\n";
        assert_eq!(written(false), short);
        assert_eq!(written(true), format!("{short}  registers: rax = 0xca rip = 0x40f1ce\n"));
    }
}
