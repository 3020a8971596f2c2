//! Many dumps for people: how many of what, since when, where.

use std::io::{self, Write};

use necropsy_model::{Bucket, Occurrence, Seen, SeenBasis};

use super::page::{Line, Page, Tone};
use super::{clean, words};
use crate::{BucketReport, Style};

/// Buckets, and variants of each, that are shown; `--all` shows all, and the JSON holds them.
const BUCKETS: usize = 15;
const VARIANTS: usize = 4;
const FRAMES: usize = 5;

/// Writes the report for people.
pub fn text(report: &BucketReport<'_>, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let BucketReport { buckets, occurrences, failed } = *report;
    let mut page = Page::new(out, style);
    let line = Line::new().put(Tone::Strong, "necropsy group").plain("  ·  ");
    let line = line.plain(words::count(occurrences.len(), "dump")).plain(" in ");
    let line = line.plain(words::count(buckets.len(), "bucket"));
    let line =
        if failed > 0 { line.plain(format!(", {} could not be read", words::count(failed, "file"))) } else { line };
    page.line(line, 2)?;
    let shown = if style.all { buckets.len() } else { BUCKETS };
    for bucket in buckets.iter().take(shown) {
        one(&mut page, bucket, occurrences)?;
    }
    let rest = buckets.get(shown..).unwrap_or_default();
    if rest.is_empty() {
        return Ok(());
    }
    let dumps: usize = rest.iter().map(|bucket| bucket.members.len()).sum();
    let words = format!("… {} with {}: --all", words::count(rest.len(), "more bucket"), words::count(dumps, "dump"));
    page.line(Line::indented(2).put(Tone::Dim, words), 4)
}

/// Writes one line a bucket: count, id, title, last seen, an example.
pub fn brief(report: &BucketReport<'_>, out: &mut dyn Write) -> io::Result<()> {
    for bucket in report.buckets {
        let last = bucket.last.as_ref().map_or_else(|| "-".to_owned(), Seen::to_string);
        let example = example(bucket, report.occurrences).map(path).unwrap_or_default();
        writeln!(
            out,
            "{}\t{}\t{}\t{last}\t{}",
            bucket.members.len(),
            bucket.id,
            clean(&bucket.title),
            clean(&example)
        )?;
    }
    Ok(())
}

/// The first dump of a bucket.
pub(crate) fn example<'a>(bucket: &Bucket, occurrences: &'a [Occurrence]) -> Option<&'a Occurrence> {
    occurrences.get(*bucket.members.first()? as usize)
}

fn path(occurrence: &Occurrence) -> String {
    match occurrence.index {
        0 => occurrence.path.clone(),
        index => format!("{} (dump {})", occurrence.path, index + 1),
    }
}

fn one(page: &mut Page<'_>, bucket: &Bucket, occurrences: &[Occurrence]) -> io::Result<()> {
    let count = format!("{} ×", words::number(bucket.members.len() as u64));
    page.heading(&count, Line::new().put(Tone::Strong, &bucket.title).plain("  ").put(Tone::Dim, &bucket.id))?;
    if let Some((headline, times)) = bucket.headlines.first() {
        let line = Line::indented(2).plain(headline);
        let others = bucket.headlines.len() - 1;
        let words = format!("  ({} of them say so, {} in other words)", words::number(*times as u64), others);
        page.line(if others > 0 { line.put(Tone::Dim, words) } else { line }, 4)?;
    }
    let mut line = Line::indented(2);
    for (at, frame) in bucket.signature.frames.iter().take(FRAMES).enumerate() {
        line = if at > 0 { line.plain(" < ") } else { line };
        line = line.put(Tone::Name, super::clean::middle(&clean(&necropsy_model::spoken(&frame.name, 60)), 60));
        line = frame.at.iter().fold(line, |line, at| line.plain(" ").plain(at));
    }
    if bucket.signature.frames.len() > FRAMES {
        line = line.plain(" < …");
    }
    page.line(line, 4)?;
    if let (Some(first), Some(last)) = (&bucket.first, &bucket.last) {
        let by = |seen: &Seen| if seen.basis == SeenBasis::File { ", by its file" } else { "" };
        let words = if first.seconds == last.seconds {
            format!("seen {first}{}", by(first))
        } else {
            format!("first seen {first}{}, last {last}{}", by(first), by(last))
        };
        page.line(Line::indented(2).plain(words), 4)?;
    }
    for (what, values) in
        [("owner", &bucket.owners), ("host", &bucket.hosts), ("program", &bucket.programs), ("build", &bucket.builds)]
    {
        values_of(page, what, values)?;
    }
    if bucket.alike > 1 {
        let words = format!(
            "{} alike but not the same; {} have exactly this stack",
            words::count(bucket.alike, "signature"),
            words::count(bucket.exact, "dump")
        );
        page.line(Line::indented(2).put(Tone::Caution, words), 4)?;
    }
    if bucket.variants.len() > 1 {
        let words = format!("{} differ only in lines or callers:", words::count(bucket.variants.len(), "variant"));
        page.line(Line::indented(2).plain(words), 4)?;
        for variant in bucket.variants.iter().take(if page.style.all { usize::MAX } else { VARIANTS }) {
            let line =
                Line::indented(4).plain(format!("{} ×  ", words::number(variant.count as u64))).plain(&variant.at);
            let example = occurrences.get(variant.example as usize).map(path).unwrap_or_default();
            page.line(line.plain("  ").put(Tone::Dim, format!("e.g. {example}")), 6)?;
        }
    }
    let example = example(bucket, occurrences).map(path).unwrap_or_default();
    page.line(Line::indented(2).put(Tone::Dim, "e.g. ").plain(example), 4)
}

/// `builds: 12 × abc, 3 × def`; nothing when nobody says it.
fn values_of(page: &mut Page<'_>, what: &str, values: &[(String, usize)]) -> io::Result<()> {
    const SHOWN: usize = 4;
    let line = match values {
        [] => return Ok(()),
        [(one, _)] => Line::indented(2).plain(format!("{what} ")).plain(one),
        several => {
            let told =
                several.iter().take(SHOWN).map(|(value, count)| format!("{} × {value}", words::number(*count as u64)));
            let more = several.len().saturating_sub(SHOWN);
            let more = if more > 0 { format!(" and {} more", words::number(more as u64)) } else { String::new() };
            Line::indented(2).plain(format!("{what}s: {}{more}", told.collect::<Vec<_>>().join(", ")))
        }
    };
    page.line(line, 4)
}
