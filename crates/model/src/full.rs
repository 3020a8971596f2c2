//! Lists that were full before everything was read.

use crate::{Source, Warning};

/// Lists that were full before everything was read, each with the most that it takes. Whatever finds no room is left out, and that
/// is told once for each list, not once for each entry.
///
/// ```
/// # use necropsy_model::{Full, Source};
/// let mut full = Full::default();
/// let mut names = Vec::new();
/// for name in ["a", "b", "c", "d"] {
///     if full.room("names", names.len(), 2) {
///         names.push(name);
///     }
/// }
/// let told: Vec<_> = full.warnings(Source::DUMP).collect();
/// assert_eq!(told[0].text, "there are more than 2 names; the others are left out");
/// assert_eq!(told.len(), 1);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Full(Vec<(&'static str, usize)>);

impl Full {
    /// Whether a list of `what` (a plural) that has `length` entries and takes `most` takes another one. That it does not is
    /// remembered.
    pub fn room(&mut self, what: &'static str, length: usize, most: usize) -> bool {
        let room = length < most;
        if !room && !self.0.iter().any(|&(known, _)| known == what) {
            self.0.push((what, most));
        }
        room
    }

    /// The first `most` of `list`.
    pub fn first<T>(&mut self, what: &'static str, most: usize, list: impl IntoIterator<Item = T>) -> Vec<T> {
        let mut kept = Vec::new();
        for one in list {
            if !self.room(what, kept.len(), most) {
                break;
            }
            kept.push(one);
        }
        kept
    }

    /// A warning for each list that was full.
    pub fn warnings<'d>(&self, source: Source) -> impl Iterator<Item = Warning<'d>> {
        self.0.iter().map(move |&(what, most)| Warning::full(what, most, source))
    }
}

impl Warning<'_> {
    /// Of a list of `what` (a plural) only the first `most` are in the report.
    #[must_use]
    pub fn full(what: &str, most: usize, source: Source) -> Self {
        Self::new(format!("there are more than {most} {what}; the others are left out"), source)
    }
}
