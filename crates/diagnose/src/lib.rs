//! Snapshot and groups to findings and a verdict: judgement only. One file per rule, one line per rule in [`RULES`].
//!
//! A rule sees a [`Case`] and nothing else: it opens no file and parses no text, so that it can be tested with a literal
//! snapshot.

#![forbid(unsafe_code)]

pub mod advice;
mod confidence;
mod crash;
mod go;
mod headline;
mod jvm;
mod noise;
mod numbers;
mod origin;
pub mod pair;
mod rules;
mod suitability;
mod symptom;
mod wait_graph;

use necropsy_model::{Finding, Groups, Snapshot, Verdict};

pub use jvm::series;
pub use noise::{BadLine, Noise};
pub use rules::RULES;

/// What a rule may look at.
#[derive(Clone, Copy)]
pub struct Case<'a, 'data> {
    /// The dump.
    pub snapshot: &'a Snapshot<'data>,
    /// Its groups.
    pub groups: &'a Groups,
    /// Code that is seldom to blame.
    pub noise: &'a Noise,
}

/// A rule: what it is called, what it means, and how it judges a case.
pub struct Rule {
    /// Stable id in kebab-case, which users can cite.
    pub id: &'static str,
    /// Its page in Markdown, under fixed headings: What it means, Why it matters, How it can be wrong, What to do.
    pub doc: &'static str,
    /// What it finds in a case.
    pub check: for<'a, 'data> fn(&Case<'a, 'data>) -> Vec<Finding<'data>>,
}

/// Judges a snapshot.
pub fn diagnose<'data>(snapshot: &Snapshot<'data>, groups: &Groups) -> Verdict<'data> {
    diagnose_with(snapshot, groups, &Noise::default())
}

/// Judges a snapshot; `noise` has further code that is seldom to blame.
pub fn diagnose_with<'data>(snapshot: &Snapshot<'data>, groups: &Groups, noise: &Noise) -> Verdict<'data> {
    let verdict = judge(&Case { snapshot, groups, noise });
    Verdict { evidence: symptom::evidence(snapshot, verdict.symptom), ..verdict }
}

fn judge<'data>(case: &Case<'_, 'data>) -> Verdict<'data> {
    let snapshot = case.snapshot;
    let mut findings: Vec<_> = RULES.iter().flat_map(|rule| (rule.check)(case)).collect();
    if let Some(go) = go::Go::of(case) {
        return go::verdict::verdict(&go, findings);
    }
    if let Some(hs) = jvm::hs_err::Hs::of(case) {
        return jvm::hs_verdict::verdict(&hs, findings);
    }
    // Equal findings keep the order of the registry.
    findings.sort_by_key(|finding| std::cmp::Reverse((finding.severity, finding.confidence)));
    let symptom = jvm::symptom(case, &findings).unwrap_or_else(|| symptom::of(case));
    let quiet = if findings.is_empty() { jvm::quiet(case) } else { None };
    let headline = quiet.unwrap_or_else(|| headline::of(snapshot, &findings, symptom));
    let confidence = confidence::of_verdict(case, findings.first(), symptom);
    let own = |crash: &crash::Crash<'_, '_>| crash.kind() != Some(crash::Kind::SignalSent) || crash.raised_itself();
    let crash = crash::Crash::of(case).filter(own);
    let crash_site = crash.and_then(|crash| crash.victim());
    let origin = crash.and_then(|crash| origin::of(&crash));
    let suitability = jvm::suitability(case, symptom, &findings).unwrap_or_else(|| suitability::of(case, symptom));
    let deadlocks = wait_graph::WaitGraph::of(snapshot).deadlocks();
    Verdict {
        symptom,
        headline,
        confidence,
        suitability,
        crash_site,
        origin,
        findings,
        deadlocks,
        ..Verdict::default()
    }
}

/// The rule called `id`.
pub fn explain(id: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.id == id).copied()
}
