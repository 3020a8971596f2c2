//! Counts of answers and how they are printed.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use crate::answer::{Answer, Claim};

/// Counts over some answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    total: usize,
    function: usize,
    line: usize,
    gates: usize,
    gate: usize,
    false_blame: usize,
    unknown: usize,
    frame_0: usize,
    in_app: usize,
    times: Vec<Duration>,
    grades: BTreeMap<String, (usize, usize)>,
    kinds: BTreeMap<String, (usize, usize)>,
}

/// What a set has to reach, as parts of 1.
pub(crate) struct Aims {
    pub(crate) function: f64,
    pub(crate) line: f64,
    pub(crate) trusted: f64,
    /// At most.
    pub(crate) false_blame: f64,
}

impl Aims {
    /// Nothing is asked for.
    pub(crate) const NONE: Self = Self { function: 0.0, line: 0.0, trusted: 0.0, false_blame: 1.0 };
}

impl Tally {
    pub(crate) fn add(&mut self, answer: &Answer, time: Duration) {
        self.total += 1;
        self.function += usize::from(answer.function);
        self.line += usize::from(answer.line);
        self.gates += usize::from(answer.gate.is_some());
        self.gate += usize::from(answer.gate == Some(true));
        self.false_blame += usize::from(answer.is_false_blame());
        self.unknown += usize::from(answer.claim != Claim::Made);
        self.frame_0 += usize::from(answer.frame_0);
        self.in_app += usize::from(answer.in_app);
        self.times.push(time);
        if answer.claim == Claim::Made {
            let (right, total) = self.kinds.entry(answer.kind.clone()).or_default();
            *right += usize::from(answer.function);
            *total += 1;
        }
        if let Some(grade) = answer.grade.as_ref().filter(|_| answer.claim != Claim::None) {
            let (right, total) = self.grades.entry(grade.clone()).or_default();
            *right += usize::from(answer.function);
            *total += 1;
        }
    }

    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// What falls short of the aims, in words.
    pub(crate) fn misses(&self, aims: &Aims) -> Vec<String> {
        let (right, sure) = self.of_grades(&["A", "A-", "B"]);
        let trusted = if sure == 0 { 1.0 } else { part(right, sure) };
        let least = [
            ("top-1 function", part(self.function, self.total), aims.function),
            ("line", part(self.line, self.total), aims.line),
            ("A, A- and B right", trusted, aims.trusted),
            ("not blamed wrongly", 1.0 - part(self.false_blame, self.total), 1.0 - aims.false_blame),
        ];
        let missed = least.into_iter().filter(|(_, found, aim)| found < aim);
        missed
            .map(|(what, found, aim)| format!("{what}: {:.1}%, the aim is {:.0}%", found * 100.0, aim * 100.0))
            .collect()
    }

    /// It found fewer births than the first frame of the program is.
    pub(crate) fn is_worse_than_in_app(&self) -> bool {
        self.function < self.in_app
    }

    /// Half of the reports took no longer.
    pub(crate) fn median(&self) -> Duration {
        let mut times = self.times.clone();
        times.sort_unstable();
        times.get(times.len() / 2).copied().unwrap_or_default()
    }

    /// Right and all answers of these grades.
    fn of_grades(&self, grades: &[&str]) -> (usize, usize) {
        let counts = grades.iter().filter_map(|grade| self.grades.get(*grade));
        counts.fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1))
    }

    pub(crate) const HEADER: &'static str = concat!(
        "                                              cores  top-1  line  gate  A/A-/B right  false  unknown  median",
        "  frame 0  in-app"
    );

    /// One row of a table.
    pub(crate) fn row(&self, name: &str) -> String {
        let percent = |count: usize, of: usize| match of {
            0 => "-".to_owned(),
            _ => format!("{:.0}%", part(count, of) * 100.0),
        };
        let (right, sure) = self.of_grades(&["A", "A-", "B"]);
        let worse = if self.is_worse_than_in_app() { "  worse than in-app" } else { "" };
        format!(
            "{name:<45} {:>6} {:>6} {:>5} {:>5} {:>14} {:>6} {:>8} {:>6}ms {:>8} {:>7}{worse}",
            self.total,
            percent(self.function, self.total),
            percent(self.line, self.total),
            percent(self.gate, self.gates),
            if sure == 0 { "-".to_owned() } else { format!("{right}/{sure}") },
            percent(self.false_blame, self.total),
            percent(self.unknown, self.total),
            self.median().as_millis(),
            percent(self.frame_0, self.total),
            percent(self.in_app, self.total),
        )
    }

    /// Precision of each kind of evidence with its grade, of the answers that blame somebody.
    pub(crate) fn kinds(&self) -> String {
        self.kinds.iter().fold(String::new(), |mut out, (kind, &(right, total))| {
            let _ = writeln!(out, "  {kind:<32} {right:>4}/{total:<4}");
            out
        })
    }

    /// Precision of each grade, with the 95 % interval.
    pub(crate) fn precision(&self) -> String {
        let mut out = String::new();
        let single = ["A", "A-", "B", "C", "D"].map(|grade| (grade, vec![grade]));
        for (name, grades) in single.into_iter().chain([("A, A- and B", vec!["A", "A-", "B"])]) {
            let (right, total) = self.of_grades(&grades);
            if total > 0 {
                let (low, high) = wilson(right, total);
                let (low, high, exact) = (low * 100.0, high * 100.0, part(right, total) * 100.0);
                let _ = writeln!(out, "  {name:<12} {right:>4}/{total:<4} {exact:>5.1}%   {low:.1} to {high:.1}%");
            }
        }
        out
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts of some hundred programs")]
fn part(count: usize, of: usize) -> f64 {
    if of == 0 { 0.0 } else { count as f64 / of as f64 }
}

/// Wilson's score interval at 95 % (Wilson 1927): unlike the normal one it is sane for few answers and for all right.
#[allow(clippy::cast_precision_loss, reason = "counts of some hundred programs")]
fn wilson(right: usize, total: usize) -> (f64, f64) {
    const Z: f64 = 1.959_964;
    let n = total as f64;
    let p = part(right, total);
    let centre = p + Z * Z / (2.0 * n);
    let spread = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    (((centre - spread) / scale).max(0.0), ((centre + spread) / scale).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(grade: &str, function: bool) -> Answer {
        let grade = Some(grade.to_owned());
        let claim = if grade.as_deref() == Some("D") { Claim::Unknown } else { Claim::Made };
        let (gate, said) = (Some(function), String::new());
        let kind = "freed".to_owned();
        Answer { claim, grade, kind, function, line: false, gate, frame_0: false, in_app: true, crash_site: true, said }
    }

    #[test]
    fn the_interval_of_wilson() {
        // Published example: 81 of 263 gives 0.2553 to 0.3662 (Newcombe 1998).
        let (low, high) = wilson(81, 263);
        assert!((low - 0.2553).abs() < 1e-4 && (high - 0.3662).abs() < 1e-4, "{low} {high}");
        let (low, high) = wilson(20, 20);
        assert!((low - 0.8389).abs() < 1e-4 && (high - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_row_counts_what_was_added() {
        let mut tally = Tally::default();
        for (grade, right) in [("A", true), ("B", false), ("D", false), ("D", true)] {
            tally.add(&answer(grade, right), Duration::from_millis(3));
        }
        let aims = Aims { function: 0.5, false_blame: 0.2, ..Aims::NONE };
        assert_eq!(tally.misses(&aims), ["not blamed wrongly: 75.0%, the aim is 80%"]);
        assert!(tally.misses(&Aims::NONE).is_empty());
        assert!(tally.is_worse_than_in_app());
        let row = tally.row("all");
        assert!(row.contains("1/2") && row.contains("50%") && row.contains("25%"), "{row}");
        assert_eq!(tally.kinds().split_whitespace().collect::<Vec<_>>(), ["freed", "1/2"]);
        assert!(tally.precision().contains("A, A- and B     1/2"), "{}", tally.precision());
    }
}
