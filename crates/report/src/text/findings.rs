//! What the rules found, with evidence and what to do next.

use std::io;

use necropsy_model::{Evidence, Finding, Severity};

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
    if page.left().is_some() {
        return short(page, report);
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

/// Rows that the groups and what stands around them need at least.
const GROUPS: usize = 9;

/// Findings on a screen that is shared with the groups: what was found, then what to do, then why, as far as there is room.
fn short(page: &mut Page<'_>, report: &Report<'_, '_>) -> io::Result<()> {
    let findings = &report.verdict.findings;
    // The heading takes two rows, and what was left out another one.
    let mut room = page.left().unwrap_or_default().saturating_sub(GROUPS + 3).max(3);
    let serious = findings.iter().filter(|finding| finding.severity > Severity::Note).count();
    let mut shown = Vec::new();
    // What to do about the first one is worth more than one more title.
    let first = findings.first().and_then(|finding| finding.next.first()).filter(|_| serious > 0);
    let kept = first.map_or(0, |next| page.height(&advice(next), 10));
    for finding in findings.iter().take(serious.clamp(1, FINDINGS)) {
        let title = title(finding, finding.title == report.verdict.headline);
        let height = page.height(&title, 4);
        if height + kept > room && !shown.is_empty() {
            break;
        }
        room = room.saturating_sub(height);
        shown.push((finding, title, Vec::new()));
    }
    // Of a finding that stands above its advice and evidence, the first ones come first.
    for (finding, _, lines) in &mut shown {
        let advised = usize::from(finding.severity > Severity::Note);
        let (next, evidence) = (finding.next.iter().map(advice).take(advised), finding.evidence.iter().map(piece));
        for (line, hang) in next.map(|line| (line, 10)).chain(evidence.map(|line| (line, 6))) {
            let height = page.height(&line, hang);
            if height > room {
                break;
            }
            room -= height;
            lines.push((line, hang));
        }
        let told = if lines.is_empty() { 0 } else { advised.min(finding.next.len()) };
        lines.rotate_left(told);
    }
    page.heading("FINDINGS", Line::new())?;
    let left_out = |(finding, _, lines): &(&Finding<'_>, _, Vec<_>)| {
        lines.len() < finding.evidence.len() + finding.next.len() * usize::from(finding.severity > Severity::Note)
    };
    let (told, cut) = (shown.len(), shown.iter().any(left_out));
    for (_, title, lines) in shown {
        page.line(title, 4)?;
        lines.into_iter().try_for_each(|(line, hang)| page.line(line, hang))?;
    }
    let words = match findings.len() - told {
        0 if !cut => return Ok(()),
        0 => "… all evidence: --all".to_owned(),
        more => format!("… {}, and all evidence: --all", words::count(more, "more finding")),
    };
    page.line(Line::indented(2).put(Tone::Dim, words), 4)
}

fn write_one(page: &mut Page<'_>, finding: &Finding<'_>, is_headline: bool) -> io::Result<()> {
    page.line(title(finding, is_headline), 4)?;
    for evidence in finding.evidence.iter().take(EVIDENCE) {
        page.line(piece(evidence), 6)?;
    }
    if let Some(more @ 1..) = finding.evidence.len().checked_sub(EVIDENCE) {
        let words = format!("- … {more} more, all in --json");
        page.line(Line::indented(4).put(Tone::Dim, words), 6)?;
    }
    // What to do about a note is worth a line only to a machine that collects them.
    for next in finding.next.iter().filter(|_| finding.severity > Severity::Note) {
        page.line(advice(next), 10)?;
    }
    Ok(())
}

fn title(finding: &Finding<'_>, is_headline: bool) -> Line {
    let severity = finding.severity.name();
    let line = Line::indented(2).put(header::severity(finding.severity), severity).plain(" ");
    let line = line.put(Tone::Strong, finding.rule);
    let line = if is_headline { line.plain(", as the verdict says") } else { line.plain(": ").plain(&finding.title) };
    line.plain("  (").join(header::confidence(finding.confidence)).plain(")")
}

fn piece(evidence: &Evidence<'_>) -> Line {
    Line::indented(4).plain("- ").plain(&evidence.text).join(places::source(evidence.source))
}

pub(super) fn advice(next: &String) -> Line {
    Line::indented(4).put(Tone::Good, "next: ").plain(next)
}
