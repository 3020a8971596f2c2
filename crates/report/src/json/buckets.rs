//! Many dumps for machines: `docs/json-group.md` is the contract.

use necropsy_model as model;
use serde::Serialize;

use crate::BucketReport;

/// Name and version of the contract.
pub(super) const SCHEMA: &str = "necropsy-group/1";

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Document<'a> {
    /// Name and version of this contract
    schema: &'static str,
    /// Id of the signature: kind and frames, the same on every machine and after a rebuild that moves lines
    id: &'a str,
    /// Kind, what was done, where, and from where
    title: &'a str,
    /// Kind of end
    kind: &'a str,
    /// Crash-relevant frames, innermost first
    frames: Vec<Frame<'a>>,
    /// How many of them name what was done; the one behind names the bug
    prefix: usize,
    /// Dumps in the bucket
    count: usize,
    /// Dumps that have exactly these frames
    exact: usize,
    /// Different signatures in the bucket
    signatures: usize,
    /// First time seen
    first_seen: Option<Seen>,
    /// Last time seen
    last_seen: Option<Seen>,
    /// Rules that explain the dumps, most first
    rules: Vec<Counted<'a>>,
    /// Machines, as far as the dumps say
    hosts: Vec<Counted<'a>>,
    /// Build ids of the executables, or versions of the runtimes
    builds: Vec<Counted<'a>>,
    /// Programs
    programs: Vec<Counted<'a>>,
    /// Who owns the places that the verdicts name, by the configuration file
    owners: Vec<Counted<'a>>,
    /// Headlines of the dumps' verdicts
    headlines: Vec<Counted<'a>>,
    /// The same stack at other lines or with other callers, most dumps first
    variants: Vec<Variant<'a>>,
    /// The dumps
    dumps: Vec<Dump<'a>>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Frame<'a> {
    /// Name without what changes from build to build; library+offset where there is none
    name: &'a str,
    /// File and line in the first of the dumps
    at: Option<&'a str>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Seen {
    /// Time: YYYY-MM-DD HH:MM:SS, in the zone of the dump, UTC for a file
    time: String,
    /// Where it is known from: dump or file
    basis: &'static str,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Counted<'a> {
    /// The value
    value: &'a str,
    /// Dumps that say so
    count: usize,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Variant<'a> {
    /// The frame and position that tells it from the first variant
    at: &'a str,
    /// Dumps
    count: usize,
    /// Path of one of them
    example: &'a str,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Dump<'a> {
    /// Path
    path: &'a str,
    /// Number of the dump in its file, from 0
    index: usize,
}

impl<'a> Document<'a> {
    pub(super) fn new(bucket: &'a model::Bucket, report: &BucketReport<'a>) -> Self {
        let counted = |values: &'a [(String, usize)]| {
            values.iter().map(|(value, count)| Counted { value, count: *count }).collect()
        };
        let seen = |seen: &model::Seen| Seen { time: seen.to_string(), basis: seen.basis.name() };
        let dump = |at: u32| report.occurrences.get(at as usize);
        let variant = |variant: &'a model::Variant| Variant {
            at: &variant.at,
            count: variant.count,
            example: dump(variant.example).map_or("", |it| &it.path),
        };
        let frame = |frame: &'a model::SignatureFrame| Frame { name: &frame.name, at: frame.at.as_deref() };
        Self {
            schema: SCHEMA,
            id: &bucket.id,
            title: &bucket.title,
            kind: &bucket.signature.kind,
            frames: bucket.signature.frames.iter().map(frame).collect(),
            prefix: bucket.signature.prefix,
            count: bucket.members.len(),
            exact: bucket.exact,
            signatures: bucket.alike,
            first_seen: bucket.first.as_ref().map(seen),
            last_seen: bucket.last.as_ref().map(seen),
            rules: counted(&bucket.rules),
            hosts: counted(&bucket.hosts),
            builds: counted(&bucket.builds),
            programs: counted(&bucket.programs),
            owners: counted(&bucket.owners),
            headlines: counted(&bucket.headlines),
            variants: bucket.variants.iter().map(variant).collect(),
            dumps: bucket
                .members
                .iter()
                .filter_map(|&at| dump(at))
                .map(|it| Dump { path: &it.path, index: it.index })
                .collect(),
        }
    }
}
