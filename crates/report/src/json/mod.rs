//! The report for machines: one JSON object on one line. `docs/json.md` is its contract, word for word.
//!
//! The structures here are the contract and nothing else: they borrow the model and add no judgement.

mod advice;
mod buckets;
mod escape;
mod frame;
mod hs_err;
mod pair;
mod parts;
mod stop;
mod thread;
mod verdict;

#[cfg(test)]
mod several_tests;
#[cfg(test)]
mod tests;

use std::io::{self, Write};

use serde::Serialize;

pub use advice::advice;

use crate::{BucketReport, PairReport, Report};
use parts::{Input, Module, Process, Warning};
use thread::{Groups, Threads};

/// Name and version of the contract. The version grows only when a path changes its meaning or goes away.
const SCHEMA: &str = "necropsy/1";

/// Writes the report for machines: one JSON object on one line.
///
/// `threads` asks for the list of threads where it is left out otherwise: in dumps that hold neither memory nor registers.
pub fn json(report: &Report<'_, '_>, threads: bool, out: &mut dyn Write) -> io::Result<()> {
    json_line(&Document::new(report, threads), out)
}

/// Writes one JSON object on one line. What would steer a terminal is written as `\u…`: JSON is looked at on terminals too.
pub fn json_line(object: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    let mut serializer = serde_json::Serializer::with_formatter(&mut *out, escape::Escape);
    object.serialize(&mut serializer)?;
    out.write_all(b"\n")
}

/// Writes what two dumps say together for machines: one JSON object on one line. `all` also lists the threads that did not move.
pub fn json_pair(report: &PairReport<'_, '_>, all: bool, out: &mut dyn Write) -> io::Result<()> {
    json_line(&pair::Document::new(report, all), out)
}

/// Writes buckets for machines: one JSON object a line for each.
pub fn json_buckets(report: &BucketReport<'_>, out: &mut dyn Write) -> io::Result<()> {
    for bucket in report.buckets {
        json_line(&buckets::Document::new(bucket, report), out)?;
    }
    Ok(())
}

/// The whole object.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Document<'a> {
    /// Name and version of this contract
    schema: &'static str,
    input: Input<'a>,
    process: Process<'a>,
    stop: Option<stop::Stop<'a>>,
    /// What only a fatal error log of a Java virtual machine says
    hs_err: Option<hs_err::Log<'a>>,
    verdict: verdict::Verdict<'a>,
    /// Where it crashed: the victim
    crash_site: Option<verdict::Place<'a>>,
    origin: Option<verdict::Origin<'a>>,
    /// Who owns the module of the crash site, or of the origin, as the configuration file says; missing when it says nothing
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<&'a str>,
    /// What the rules found, in rank order
    findings: Vec<verdict::Finding<'a>>,
    /// Cycles of threads that wait for each other
    deadlocks: Vec<verdict::Deadlock<'a>>,
    /// How alike the members of a group are: exact, same-lines or same-functions
    similarity: &'static str,
    /// What members of a group have in common: stack, state, function, creator or label
    group_by: &'static str,
    /// Threads that a filter left out of the groups
    filtered_out: usize,
    /// Threads with one signature, biggest first; idle background last
    #[cfg_attr(test, schemars(with = "Vec<thread::Group<'a>>"))]
    groups: Groups<'a>,
    /// Threads in the dump
    thread_count: usize,
    /// Threads in the order of the dump; for dumps without memory and registers only with --threads
    #[cfg_attr(test, schemars(with = "Option<Vec<thread::Thread<'a>>>"))]
    threads: Option<Threads<'a>>,
    /// Files mapped as code
    modules: Vec<Module<'a>>,
    /// What could not be read
    warnings: Vec<Warning<'a>>,
}

impl<'a> Document<'a> {
    fn new(report: &Report<'a, '_>, threads: bool) -> Self {
        let Report { input, snapshot, groups, verdict, owner } = *report;
        let threads = (threads || crate::lists_threads(snapshot)).then(|| Threads::new(snapshot, groups));
        Self {
            schema: SCHEMA,
            input: Input::new(input, snapshot),
            process: Process::new(&snapshot.process),
            stop: snapshot.stop.as_ref().map(|stop| stop::Stop::new(stop, snapshot)),
            hs_err: hs_err::Log::of(snapshot),
            verdict: verdict::Verdict::new(verdict),
            crash_site: verdict.crash_site.as_ref().map(verdict::Place::new),
            origin: verdict.origin.as_ref().map(verdict::Origin::new),
            owner,
            findings: verdict.findings.iter().map(verdict::Finding::new).collect(),
            deadlocks: verdict.deadlocks.iter().map(verdict::Deadlock::new).collect(),
            similarity: groups.similarity.name(),
            group_by: groups.by.name(),
            filtered_out: groups.filtered_out,
            groups: Groups::new(snapshot, groups),
            thread_count: snapshot.threads.len(),
            threads,
            modules: snapshot.modules.iter().map(Module::new).collect(),
            warnings: snapshot.warnings.iter().map(Warning::new).collect(),
        }
    }
}
