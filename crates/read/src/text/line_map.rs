//! From lines of rewritten text to lines of the file.

use necropsy_model::Source;

/// Where lines of the text stand in the file.
#[derive(Clone, Debug, Default)]
pub(crate) struct LineMap {
    /// Runs by first line of the text; empty when the text is the file.
    runs: Vec<Run>,
}

#[derive(Clone, Copy, Debug)]
struct Run {
    /// First line of the run in the text, from 0.
    text: u64,
    /// Its line in the file, from 0.
    file: u64,
    /// All lines of the run stand in that one line, as a record in a JSON string does.
    folded: bool,
}

impl LineMap {
    /// The text is the file.
    pub(crate) fn identity() -> Self {
        Self::default()
    }

    /// Says that line `text` of the text, and those after it, come from line `file` of the file.
    pub(crate) fn push(&mut self, text: u64, file: u64, folded: bool) {
        if let Some(last) = self.runs.last() {
            let same =
                last.folded == folded && (folded && last.file == file || !folded && self.file_line(text) == file);
            if same {
                return;
            }
        }
        self.runs.push(Run { text, file, folded });
    }

    /// The source of a line of the text, both counted from 0.
    pub(crate) fn source(&self, line: u64) -> Source {
        Source::line(self.file_line(line).saturating_add(1))
    }

    fn file_line(&self, line: u64) -> u64 {
        let behind = self.runs.partition_point(|run| run.text <= line);
        match behind.checked_sub(1).and_then(|at| self.runs.get(at)) {
            Some(run) if run.folded => run.file,
            Some(run) => run.file.saturating_add(line - run.text),
            None => line,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_lead_back() {
        let mut map = LineMap::default();
        map.push(0, 0, false);
        map.push(1, 1, false);
        map.push(2, 2, true);
        map.push(3, 2, true);
        map.push(4, 3, false);
        assert_eq!(map.runs.len(), 3);
        let lines: Vec<_> = (0..6).map(|line| map.file_line(line)).collect();
        assert_eq!(lines, [0, 1, 2, 2, 3, 4]);
        assert_eq!(LineMap::identity().source(6), Source::line(7));
    }
}
