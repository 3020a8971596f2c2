//! What a log lacks, in words. Every sentence is true of the log at hand: what a release never prints is not missed.

use necropsy_model::hs_err::{Completeness, DamageKind, ErrorKind, HsErr, Section, VmThreadKind};
use necropsy_model::{Signal, Source, Warning};

/// Steps that failed and are named; the others are counted.
const NAMED: usize = 3;

/// Sections that every crash has in every release, with the words of the report.
const EXPECTED: [(Section, &str); 6] = [
    (Section::NativeFrames, "native frames"),
    (Section::SigInfo, "siginfo"),
    (Section::Registers, "registers"),
    (Section::Instructions, "instruction bytes"),
    (Section::Threads, "thread list"),
    (Section::DynamicLibraries, "memory map"),
];

/// The warnings of a log.
pub(super) fn warnings<'d>(log: &HsErr<'d>) -> Vec<Warning<'d>> {
    let mut warnings = Vec::new();
    let last = log.sections.last();
    match log.completeness {
        Completeness::Complete => {}
        Completeness::HeaderOnly => warnings.push(Warning::new(
            "only the header is here: no stack, registers or memory map; the file that it was copied from has them",
            log.section(Section::Header).unwrap_or(Source::DUMP),
        )),
        Completeness::Cut => warnings.push(Warning::new(
            format!(
                "the log is cut: it ends in its section \"{}\" without the last line that a whole one has",
                last.map_or("header", |seen| seen.section.name())
            ),
            last.map_or(Source::DUMP, |seen| seen.source),
        )),
    }
    let crashed = matches!(log.header.kind, ErrorKind::Signal | ErrorKind::Exception);
    let native = log.thread.as_ref().is_some_and(|thread| thread.who.kind == VmThreadKind::Native);
    let missing: Vec<_> = EXPECTED
        .iter()
        // The VM lists its threads only when one of them reported.
        .filter(|(section, _)| *section != Section::Threads || !native)
        .filter(|(section, _)| crashed && log.completeness != Completeness::HeaderOnly && !log.has(*section))
        .map(|&(_, words)| words)
        .collect();
    if !missing.is_empty() {
        warnings.push(Warning::new(format!("the log has no {}", missing.join(", no ")), Source::DUMP));
    }
    damage(log, &mut warnings);
    warnings
}

fn damage<'d>(log: &HsErr<'d>, warnings: &mut Vec<Warning<'d>>) {
    let mut failed = 0_usize;
    for mark in &log.damage {
        let text = match &mark.kind {
            DamageKind::StepFailed { step, id } => {
                failed += 1;
                if failed > NAMED {
                    continue;
                }
                let signal = id.and_then(|id| signal(log, id)).map(|name| format!(" ({name})")).unwrap_or_default();
                let step = if step.is_empty() { "a part of the log" } else { step };
                format!("the VM failed itself{signal} while {step}: that part is missing")
            }
            DamageKind::Timeout => "the VM ran out of time while it wrote the log: parts are missing".to_owned(),
            DamageKind::TooManyErrors => "the VM gave up writing the log after too many errors of its own".to_owned(),
            DamageKind::OtherThreadFailed(thread) => {
                format!("a second thread ({thread}) crashed while this log was written; parts may be of either")
            }
            DamageKind::NulBytes(count) => format!(
                "{count} zero bytes stand where text was to be written: the file was never flushed, as after a reset of the machine"
            ),
            // The cut is told already.
            DamageKind::TornLine => continue,
        };
        warnings.push(Warning::new(text, mark.source));
    }
    if failed > NAMED {
        let more = failed - NAMED;
        warnings.push(Warning::new(format!("{more} more parts are missing for such failures"), Source::DUMP));
    }
}

fn signal(log: &HsErr<'_>, id: u64) -> Option<String> {
    let windows = log.build.platform.as_deref().is_some_and(|platform| platform.starts_with("windows"));
    if windows || id > 64 {
        return Some(format!("{id:#x}"));
    }
    let number = i32::try_from(id).ok()?;
    Signal { number, code: None }.name().map(str::to_owned)
}
