//! Many dumps put together by what they died of.
//!
//! Exact first: equal signatures meet in a hash table. Similar second: of the signatures that are left, which are as many as there
//! are bugs and not as there are dumps, those of one kind that crash in one function are compared by how much of their stacks
//! agree. Both steps are linear in the number of dumps.

mod rules;
mod signature;

use std::collections::BTreeMap;

use necropsy_model::{Bucket, Occurrence, Seen, Signature, Variant};
use rustc_hash::FxHashMap;

use crate::hash::Fnv;

pub use rules::{FrameRules, RuleError};
pub use signature::{occurrence, signature};

/// Share of two stacks that must agree, each frame weighing less than the one inside it.
const ALIKE: f64 = 0.5;

/// Buckets of one kind and one function that a signature is compared with. A function with more different callers than that is one
/// that everybody calls and belongs into the rules as a prefix.
const MOST_COMPARED: usize = 32;

/// The id of a signature: the same for the same kind and frames, on every machine and in every release.
pub fn id(signature: &Signature) -> String {
    format!("{:016x}", key(signature))
}

fn key(signature: &Signature) -> u64 {
    let mut hash = Fnv::new();
    hash.text(&signature.kind);
    hash.number(signature.prefix as u64);
    for frame in &signature.frames {
        hash.text(&frame.name);
    }
    hash.value()
}

/// Puts dumps together, the biggest bucket first.
pub fn buckets(occurrences: &[Occurrence]) -> Vec<Bucket> {
    let mut by_key: FxHashMap<u64, usize> = FxHashMap::default();
    let mut exact: Vec<(u64, Vec<u32>)> = Vec::new();
    for (at, occurrence) in (0_u32..).zip(occurrences) {
        let key = key(&occurrence.signature);
        let slot = *by_key.entry(key).or_insert_with(|| {
            exact.push((key, Vec::new()));
            exact.len() - 1
        });
        if let Some((_, members)) = exact.get_mut(slot) {
            members.push(at);
        }
    }
    // The most frequent leads; which dump came first decides nothing.
    exact.sort_by_key(|(key, members)| (std::cmp::Reverse(members.len()), *key));
    let of = |members: &[u32]| members.first().and_then(|&at| occurrences.get(at as usize)).map(|it| &it.signature);
    let mut places: FxHashMap<u64, Vec<usize>> = FxHashMap::default();
    let mut led: Vec<Vec<usize>> = Vec::new();
    for (at, (_, members)) in exact.iter().enumerate() {
        let Some(signature) = of(members) else { continue };
        let leaders = places.entry(place(signature)).or_default();
        let share = |bucket: usize| {
            let leader = led.get(bucket).and_then(|exacts: &Vec<usize>| exact.get(*exacts.first()?));
            leader.and_then(|(_, members)| of(members)).map_or(0.0, |leader| alike(leader, signature))
        };
        let best = leaders.iter().take(MOST_COMPARED).map(|&bucket| (share(bucket), bucket));
        // Of equally good ones the bigger bucket, which stands first.
        let best = best.fold(None, |best: Option<(f64, usize)>, next| match best {
            Some(known) if known.0 >= next.0 => Some(known),
            _ => Some(next),
        });
        match best.filter(|(share, _)| *share >= ALIKE).and_then(|(_, bucket)| led.get_mut(bucket)) {
            Some(bucket) => bucket.push(at),
            None => {
                leaders.push(led.len());
                led.push(vec![at]);
            }
        }
    }
    let all = |indexes: &Vec<usize>| {
        indexes.iter().filter_map(|&at| exact.get(at)).map(|(_, members)| members.as_slice()).collect::<Vec<_>>()
    };
    let mut buckets: Vec<_> = led.iter().map(|indexes| bucket(occurrences, &all(indexes))).collect();
    buckets.sort_by(|a, b| b.members.len().cmp(&a.members.len()).then_with(|| a.id.cmp(&b.id)));
    buckets
}

/// Only signatures that agree in this can be alike: the kind, what was done, and the function that did it.
fn place(signature: &Signature) -> u64 {
    let mut hash = Fnv::new();
    hash.text(&signature.kind);
    for frame in signature.frames.iter().take(signature.prefix + 1) {
        hash.text(&frame.name);
    }
    hash.value()
}

/// How much of two stacks agrees, from 0 to 1: the frame at depth n weighs 1/n, where it stands less deep in the two.
fn alike(a: &Signature, b: &Signature) -> f64 {
    let own = |signature: &'_ Signature| -> BTreeMap<String, f64> {
        let frames = signature.frames.iter().skip(signature.prefix).enumerate();
        frames.map(|(at, frame)| (frame.name.clone(), 1.0 / (at + 1) as f64)).collect()
    };
    let (a, b) = (own(a), own(b));
    let mut shared = 0.0;
    let mut all = 0.0;
    for (name, weight) in &a {
        let other = b.get(name).copied().unwrap_or_default();
        shared += weight.min(other);
        all += weight.max(other);
    }
    all += b.iter().filter(|(name, _)| !a.contains_key(*name)).map(|(_, weight)| weight).sum::<f64>();
    if all > 0.0 { shared / all } else { 1.0 }
}

/// A bucket of these exact signatures, the most frequent first.
fn bucket(occurrences: &[Occurrence], exact: &[&[u32]]) -> Bucket {
    let mut members: Vec<u32> = exact.iter().copied().flatten().copied().collect();
    members.sort_unstable();
    let all = || members.iter().filter_map(|&at| occurrences.get(at as usize));
    let leader = exact.first().and_then(|members| occurrences.get(*members.first()? as usize));
    let signature = leader.map(|leader| leader.signature.clone()).unwrap_or_default();
    let seen = || all().filter_map(|it| it.seen.clone());
    Bucket {
        id: id(&signature),
        title: title(&signature),
        alike: exact.len(),
        exact: exact.first().map_or(0, |members| members.len()),
        variants: variants(occurrences, &members),
        first: seen().min(),
        last: seen().max_by_key(|seen: &Seen| seen.seconds),
        rules: counted(all().filter_map(|it| it.rule)),
        hosts: counted(all().filter_map(|it| it.host.as_deref())),
        builds: counted(all().filter_map(|it| it.build.as_deref())),
        programs: counted(all().filter_map(|it| it.program.as_deref())),
        owners: counted(all().filter_map(|it| it.owner.as_deref())),
        headlines: counted(all().map(|it| it.headline.as_str())),
        signature,
        members,
    }
}

/// `memory fault | memcpy | parse | handle`: kind, what was done, where, and from where.
fn title(signature: &Signature) -> String {
    let names = || signature.frames.iter().map(|frame| frame.name.as_str());
    let done = names().take(signature.prefix).take(2);
    let shown = done.chain(names().skip(signature.prefix).take(2));
    std::iter::once(signature.kind.as_str()).chain(shown).collect::<Vec<_>>().join(" | ")
}

/// How often each value is there, most first, equal ones by name.
fn counted<'a>(values: impl Iterator<Item = &'a str>) -> Vec<(String, usize)> {
    let mut counts: FxHashMap<&str, usize> = FxHashMap::default();
    for value in values {
        *counts.entry(value).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().map(|(value, count)| (value.to_owned(), count)).collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    counts
}

/// Members by the lines of their frames, most dumps first.
fn variants(occurrences: &[Occurrence], members: &[u32]) -> Vec<Variant> {
    type Lines<'a> = Vec<(&'a str, Option<&'a str>)>;
    let mut found: FxHashMap<Lines<'_>, (usize, u32)> = FxHashMap::default();
    for &at in members {
        let Some(occurrence) = occurrences.get(at as usize) else { continue };
        let frames = &occurrence.signature.frames;
        let lines = frames.iter().map(|frame| (frame.name.as_str(), frame.at.as_deref())).collect();
        found.entry(lines).or_insert((0, at)).0 += 1;
    }
    let mut found: Vec<_> = found.into_iter().collect();
    found.sort_by(|(_, a), (_, b)| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let first = found.first().map(|(lines, _)| lines.clone()).unwrap_or_default();
    let written = |(name, at): (&str, Option<&str>)| at.map_or_else(|| name.to_owned(), |at| format!("{name} {at}"));
    let told = |(number, (lines, (count, example))): (usize, (Lines<'_>, (usize, u32)))| {
        let differs = lines.iter().zip(first.iter().map(Some).chain(std::iter::repeat(None)));
        let other = differs.filter(|(line, known)| number > 0 && Some(*line) != *known).map(|(line, _)| *line).next();
        let at = other.or_else(|| lines.iter().find(|line| line.1.is_some()).or(lines.first()).copied());
        Variant { at: at.map(written).unwrap_or_default(), count, example }
    };
    found.into_iter().enumerate().map(told).collect()
}

#[cfg(test)]
mod tests;
