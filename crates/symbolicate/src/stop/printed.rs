//! The fault of a dump whose runtime printed stacks, registers and instruction bytes: a fatal error log of HotSpot.

use necropsy_model::hs_err::HsErr;
use necropsy_model::{AddressState, Avma, Memory, Signal, Snapshot, Stop};

use super::{fault, is_fault};
use crate::image::Images;
use crate::space::AddressSpace;

/// `SI_KERNEL`: the kernel raised the signal and knows no address.
const NO_ADDRESS: i32 = 0x80;
/// Trap 13 of AMD64, general protection: an address that is not canonical, which the processor does not tell.
const GENERAL_PROTECTION: u64 = 13;

/// Explains the faulting instruction of the thread that stopped.
pub(crate) fn explain<'data>(snapshot: &mut Snapshot<'data>, memory: &Memory<'data>) {
    let Some(mut stop) = snapshot.stop.take() else { return };
    let raised = raised(&stop, snapshot.hs_err.as_deref());
    let thread = stop.thread.and_then(|index| snapshot.threads.get(index));
    if let Some((signal, registers)) = raised.zip(thread.and_then(|thread| thread.registers())) {
        let images = Images::default();
        let space = AddressSpace::new(memory, &images);
        let scene = fault::Scene { registers, thread_pointer: None, signal, address: stop.address, space: &space };
        stop.fault = fault::explain(&scene);
        if let Some(fault) = &mut stop.fault {
            // The map may list only modules, but the kernel looked at the page tables.
            let unmapped = stop.signal == Some(Signal { number: Signal::SEGV, code: Some(1) });
            let told = unmapped && fault.address == stop.address;
            if told && fault.state == Some(AddressState::NotListed) {
                fault.state = Some(AddressState::NotMapped);
            }
        }
    }
    snapshot.stop = Some(stop);
}

/// The fault as a signal: Windows raises exceptions, and the log's own words tell more than the number alone.
fn raised(stop: &Stop<'_>, log: Option<&HsErr<'_>>) -> Option<Signal> {
    let protection = log.and_then(|log| log.machine.trap.as_ref()).is_some_and(|trap| trap.value == GENERAL_PROTECTION);
    if let Some(signal) = stop.signal {
        let fault = is_fault(stop).then_some(signal)?;
        return Some(if protection && signal.number == Signal::SEGV {
            Signal { code: Some(NO_ADDRESS), ..signal }
        } else {
            fault
        });
    }
    let code = log?.siginfo.as_ref()?.number?;
    // A bad address that is not canonical is reported as the last one.
    let known = stop.address.is_some_and(|address| address != Avma(u64::MAX));
    let by_exception = [
        (0xc000_0005, Signal::SEGV, if known { 1 } else { NO_ADDRESS }),
        (0xc000_0006, Signal::BUS, 2),
        (0xc000_001d, Signal::ILL, 1),
        (0xc000_0096, Signal::ILL, 5),
        (0xc000_0094, Signal::FPE, 1),
        (0xc000_0095, Signal::FPE, 2),
        (0xc000_00fd, Signal::SEGV, 1),
        (0x8000_0003, Signal::TRAP, 1),
    ];
    let &(_, number, code) = by_exception.iter().find(|&&(exception, ..)| exception == code)?;
    Some(Signal { number, code: Some(code) })
}
