//! Other threads: who of them wrote the memory that the bad value was read from.

use necropsy_model::{BirthKind, Trail};

use super::Tracer;
use super::definition::Loc;
use super::lead::{Path, Spot};
use super::subject::Scene;

/// Threads that are asked.
const MOST_THREADS: usize = 64;

/// Memory that was read, and whose writer was not found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unwritten {
    pub address: u64,
    pub size: u8,
    pub value: u64,
}

impl Tracer<'_, '_, '_> {
    /// Remembers memory whose writer was not found in the thread.
    pub fn unwritten(&mut self, address: u64, size: u8, value: Option<u64>) {
        if let Some(value) = value.filter(|_| !self.on_stack(address)) {
            self.unwritten.get_or_insert(Unwritten { address, size, value });
        }
    }
}

/// Looks for the writer in the other threads. One that is found stands first in the trail.
pub(super) fn look<'data>(scene: &Scene<'_, '_, 'data>, memory: Unwritten, trail: &mut Trail<'data>) {
    let lost =
        |kind| matches!(kind, BirthKind::Loaded | BirthKind::Unknown | BirthKind::Arithmetic | BirthKind::NeverSet);
    let Some(first) = trail.chains.first().filter(|chain| lost(chain.kind)).cloned() else { return };
    let others = scene.walks.iter().enumerate().filter(|&(index, _)| index != scene.thread).take(MOST_THREADS);
    let mut found = Vec::new();
    for (index, walk) in others {
        let Some(mut tracer) = Tracer::new(walk, 0, scene.space) else { continue };
        let Some((ctx, at)) = tracer.of_frame(0).and_then(|ctx| Some((ctx, tracer.live(ctx)?))) else { continue };
        let path =
            Path::default().with(Spot { ctx, at }, "thread", "another thread, back from where it stands".to_owned());
        let loc = Loc::Mem { address: memory.address, size: memory.size };
        tracer.trace(ctx, at, loc, Some(memory.value), &path);
        tracer.leads.retain(|lead| lead.kind == BirthKind::Stored && lead.path.doubts.is_empty());
        let leads = std::mem::take(&mut tracer.leads);
        for lead in &leads {
            let mut chain = tracer.chain(lead, scene.snapshot, index);
            let steps = std::mem::take(&mut chain.steps);
            chain.steps = first.steps.iter().cloned().chain(steps).collect();
            chain.gate.clone_from(&first.gate);
            chain.handed_through.clone_from(&first.handed_through);
            chain.doubts.push("another thread stored it; whether before or after the check is not known");
            found.push(chain);
        }
    }
    let names = |at: usize| found.get(at).and_then(|chain: &necropsy_model::Chain<'_>| chain.birth.function.clone());
    let sole = (0..found.len()).all(|at| names(at) == names(0));
    if let Some(first) = found.first_mut() {
        first.sole = sole;
    }
    found.append(&mut trail.chains);
    trail.chains = found;
    trail.not_checked.retain(|&what| what != Trail::OTHER_THREADS);
}
