//! What the rules found, with evidence and what to do next.

use std::io;

use necropsy_model::{Finding, Severity};

use super::page::{Line, Page, Tone};
use super::{header, places, words};
use crate::Report;

/// Findings, and pieces of evidence of each, that are shown; the rest is in the JSON.
const FINDINGS: usize = 8;
const EVIDENCE: usize = 6;

pub(super) fn write(page: &mut Page<'_>, report: &Report<'_, '_>) -> io::Result<()> {
    let findings = &report.verdict.findings;
    if findings.is_empty() {
        return Ok(());
    }
    page.heading("FINDINGS", Line::new())?;
    for finding in findings.iter().take(FINDINGS) {
        write_one(page, finding, finding.title == report.verdict.headline)?;
    }
    match findings.len().checked_sub(FINDINGS) {
        Some(more @ 1..) => {
            let words = format!("… {}, all in --json", words::count(more, "more finding"));
            page.line(Line::indented(2).put(Tone::Dim, words), 4)
        }
        _ => Ok(()),
    }
}

fn write_one(page: &mut Page<'_>, finding: &Finding<'_>, is_headline: bool) -> io::Result<()> {
    let severity = finding.severity.name();
    let mut line = Line::indented(2).put(header::severity(finding.severity), severity).plain(" ");
    line = line.put(Tone::Strong, finding.rule);
    line = if is_headline { line.plain(", as the verdict says") } else { line.plain(": ").plain(&finding.title) };
    page.line(line.plain("  (").join(header::confidence(finding.confidence)).plain(")"), 4)?;
    for evidence in finding.evidence.iter().take(EVIDENCE) {
        let line = Line::indented(4).plain("- ").plain(&evidence.text);
        page.line(line.join(places::source(evidence.source)), 6)?;
    }
    if let Some(more @ 1..) = finding.evidence.len().checked_sub(EVIDENCE) {
        let words = format!("- … {more} more, all in --json");
        page.line(Line::indented(4).put(Tone::Dim, words), 6)?;
    }
    // What to do about a note is worth a line only to a machine that collects them.
    for next in finding.next.iter().filter(|_| finding.severity > Severity::Note) {
        page.line(Line::indented(4).put(Tone::Good, "next: ").plain(next), 10)?;
    }
    Ok(())
}
