//! The stop, explained: the faulting instruction, last words in memory, the signal below a handler. Facts only.

mod exception;
mod fault;
mod go;
mod go_fault;
mod handler;
mod heap;
mod messages;
pub(crate) mod printed;
mod rust_panic;
mod values_facts;

pub(crate) use heap::is_freed;
use necropsy_model::{AddressState, Avma, Fault, FrameKind, Signal, Snapshot, Stop, Trust};

use crate::space::AddressSpace;
use crate::trail;
use crate::unwind::Walk;
use crate::values::{FieldPath, Operand, Values};

/// Adds to the walk of the stopped thread what the runtime noted of its fault, before values are read.
pub(crate) fn recall(snapshot: &Snapshot<'_>, walks: &mut [Walk], space: &AddressSpace<'_, '_>) {
    let stopped = snapshot.stop.as_ref().and_then(|stop| stop.thread);
    let thread = stopped.and_then(|index| snapshot.threads.get(index).zip(walks.get_mut(index)));
    if let Some((thread, walk)) = thread {
        go_fault::recall(walk, thread, space);
    }
}

/// Completes the stop of a snapshot. Stacks are in place; walks and threads have the same order.
pub(crate) fn explain<'data>(snapshot: &mut Snapshot<'data>, walks: &[Walk], space: &AddressSpace<'_, 'data>) {
    let Some(mut stop) = snapshot.stop.take() else { return };
    if let Some((thread, walk)) = stop.thread.and_then(|index| snapshot.threads.get(index).zip(walks.get(index))) {
        let thread_pointer = thread.detail.as_ref().and_then(|detail| detail.thread_pointer);
        let at = Place { walk, thread_pointer, space };
        if is_fault(&stop) {
            let told = stop.fault.take();
            stop.fault = match (at.fault(0, stop.signal, stop.address), told) {
                (Some(found), Some(told)) => Some(completed(found, told)),
                (found, told) => found.or(told),
            };
        }
        let made_a_panic = go_fault::find(&at, stop.thread);
        let handled = handler::find(&at, stop.thread);
        // Of a handler on top of a panic and a panic on top of a handler, the one that was there first.
        let told = made_a_panic.into_iter().chain(handled).max_by_key(|original| original.frame);
        let told = told.or_else(|| handler::pending(&at, &stop, snapshot.process.pid));
        let raw = told.as_ref().map_or(0, |original| original.frame);
        stop.original = told.map(|mut original| {
            let frames =
                stop.thread.and_then(|index| snapshot.threads.get(index)).map(|thread| snapshot.frames_of(thread));
            original.frame = frames.map_or(original.frame, |frames| stack_index(frames, original.frame));
            Box::new(original)
        });
        stop.messages.extend(messages::find(&stop, snapshot, &at));
        let first = stop.original.as_deref().unwrap_or(&stop);
        let index = stop.thread.unwrap_or_default();
        let scene = trail::Scene {
            snapshot,
            stop: first,
            messages: &stop.messages,
            thread: index,
            frame: raw,
            walk,
            walks,
            space,
        };
        let found = trail::follow(&scene).map(Box::new);
        match &mut stop.original {
            Some(original) => original.trail = found,
            None => stop.trail = found,
        }
    }
    snapshot.stop = Some(stop);
}

/// What was found of a fault, with what the dump itself says of it: a kernel's log knows the page table, and not the registers.
fn completed<'data>(found: Fault<'data>, told: Fault<'data>) -> Fault<'data> {
    let unknown = matches!(found.state, None | Some(AddressState::NotListed));
    let mut value_facts = found.value_facts;
    value_facts.extend(told.value_facts);
    Fault {
        access: found.access.or(told.access),
        address: found.address.or(told.address),
        state: if unknown { told.state.or(found.state) } else { found.state },
        permissions: found.permissions.or(told.permissions),
        below_stack_pointer: found.below_stack_pointer.or(told.below_stack_pointer),
        value_facts,
        ..found
    }
}

/// The stopped thread.
pub(super) struct Place<'a, 'b, 'data> {
    pub walk: &'a Walk,
    pub thread_pointer: Option<u64>,
    pub space: &'a AddressSpace<'b, 'data>,
}

impl<'data> Place<'_, '_, 'data> {
    /// Explains the instruction of a raw frame.
    fn fault(
        &self,
        frame: usize,
        signal: Option<Signal>,
        address: Option<Avma>,
    ) -> Option<necropsy_model::Fault<'data>> {
        let registers = &self.walk.frames.get(frame)?.registers;
        let (signal, thread_pointer, space) = (signal?, self.thread_pointer, self.space);
        let mut fault = fault::explain(&fault::Scene { registers, thread_pointer, signal, address, space })?;
        // A call through a bad pointer stands in the caller.
        let frame = if fault.via.is_some() { frame.saturating_add(1) } else { frame };
        if let Some(path) = self.expression(frame, &fault) {
            (fault.expression, fault.pointer) = (Some(path.expression), Some(path.pointer));
        }
        Some(fault)
    }

    /// The operand of a fault in the words of the source.
    fn expression(&self, frame: usize, fault: &necropsy_model::Fault<'_>) -> Option<FieldPath> {
        let operand = fault.operand.as_ref()?;
        let (name, value) = operand.base?;
        let register = self.walk.frames.first()?.registers.arch().register(name)?;
        let index = operand.index.map_or(0, |(_, index, scale)| index.wrapping_mul(scale)).cast_signed();
        let displacement = operand.displacement.checked_add(index)?;
        let operand = Operand { at: fault.via.unwrap_or(fault.pc), base: (register, value), displacement };
        Values::new(*self.space).field_at(&self.walk.frames, frame, &operand)
    }
}

/// The signal tells of a fault: the processor or the kernel raised it, or nobody says who did (qemu-user keeps no siginfo).
fn is_fault(stop: &Stop<'_>) -> bool {
    let Some(signal) = stop.signal else { return false };
    let kind = matches!(signal.number, Signal::SEGV | Signal::BUS | Signal::FPE | Signal::ILL | Signal::TRAP);
    kind && signal.code.is_none_or(|code| code > 0)
}

/// Index in the finished stack of the innermost frame that a raw frame became: inlined functions are frames of their own.
fn stack_index<'a, 'data: 'a>(frames: impl Iterator<Item = &'a necropsy_model::Frame<'data>>, raw: usize) -> usize {
    let mut groups = 0;
    for (index, frame) in frames.enumerate() {
        if groups == raw {
            return index;
        }
        groups += usize::from(!frame.inlined);
    }
    raw
}

/// Raw frames that a signal interrupted: index of the frame below each trampoline.
fn interrupted(walk: &Walk) -> impl Iterator<Item = usize> + '_ {
    let trampolines = walk.frames.iter().enumerate().filter(|(_, frame)| frame.kind == FrameKind::SignalTrampoline);
    let below = trampolines.map(|(index, _)| index.saturating_add(1));
    below.filter(|&index| {
        walk.frames.get(index).is_some_and(|frame| frame.trust == Trust::Context || frame.trust == Trust::Cfi)
    })
}
