//! Rules for fatal error logs of HotSpot. Their order in [`super::RULES`] is the order in which an expert asks: first what is no
//! crash at all, then who refused memory, then who else is to blame than the frame on top. The first that fires is the verdict.

pub(crate) mod agents;
pub(crate) mod bit_flip;
pub(crate) mod damaged;
pub(crate) mod drivers;
pub(crate) mod emulation;
pub(crate) mod files;
pub(crate) mod jni;
pub(crate) mod memory;
pub(crate) mod native;
pub(crate) mod not_a_crash;
#[cfg(test)]
pub(crate) mod samples;
pub(crate) mod setup;
pub(crate) mod stack;
pub(crate) mod unsafe_memory;
pub(crate) mod vm;
