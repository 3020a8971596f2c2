//! Many dumps put together by what they died of: a crash signature, and the dumps that have it. Everything is owned, because dumps
//! are read one after the other and a signature outlives its dump.

use crate::Confidence;

/// What a dump died of, in terms that are the same in another run, another process and another build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signature {
    /// Kind of end: `memory fault`, `abort`, `go panic: index out of range`, `deadlock`, …
    pub kind: String,
    /// Crash-relevant frames, innermost first.
    pub frames: Vec<SignatureFrame>,
    /// How many of them, from the innermost, name what was done; the one behind names the bug.
    pub prefix: usize,
}

/// A frame of a signature.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignatureFrame {
    /// Name without what changes from build to build; `library+0x1234` where there is no name.
    pub name: String,
    /// Source position as the dump says it: `file.c:12`.
    pub at: Option<String>,
}

/// One dump among many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Occurrence {
    /// Path as given, or as found in a directory.
    pub path: String,
    /// Number of the dump in its file, from 0.
    pub index: usize,
    /// What it died of.
    pub signature: Signature,
    /// Id of the rule that explains it, where one does.
    pub rule: Option<&'static str>,
    /// The headline of its verdict.
    pub headline: String,
    /// How sure the headline is.
    pub confidence: Confidence,
    /// When it died.
    pub seen: Option<Seen>,
    /// The machine, where the dump says it.
    pub host: Option<String>,
    /// The build: build id of the executable, or version of the runtime.
    pub build: Option<String>,
    /// The program: file name of the executable, or main class.
    pub program: Option<String>,
    /// Who owns the place that its verdict names, where the user said who owns what.
    pub owner: Option<String>,
}

/// When something was seen. Ordered by time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    /// Seconds since 1970; of a time without a zone as if it were UTC.
    pub seconds: i64,
    /// Where it is known from.
    pub basis: SeenBasis,
}

/// A time as people and `sort` like it: `2026-11-21 01:42:57`.
impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (days, clock) = (self.seconds.div_euclid(86_400), self.seconds.rem_euclid(86_400));
        // Years are counted from March, so that the leap day comes last.
        let days = days.saturating_add(719_468);
        let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let year = year_of_era + era * 400 + i64::from(month >= 10);
        let month = if month < 10 { month + 3 } else { month - 9 };
        write!(f, "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", clock / 3600, clock / 60 % 60, clock % 60)
    }
}

/// Where a time is known from, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SeenBasis {
    /// The dump prints it.
    Dump,
    /// When its file was last written.
    File,
}

impl SeenBasis {
    /// The word in the JSON contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dump => "dump",
            Self::File => "file",
        }
    }
}

/// Dumps that died of the same.
#[derive(Clone, Debug, Default)]
pub struct Bucket {
    /// Stable id: 16 hex digits, of kind and frames alone.
    pub id: String,
    /// Kind, what was done, where.
    pub title: String,
    /// The signature that most of its dumps have.
    pub signature: Signature,
    /// Dumps in it: indexes of occurrences, ascending.
    pub members: Vec<u32>,
    /// Signatures in it that are alike but not the same: 1 when all are the same.
    pub alike: usize,
    /// Dumps that have [`Bucket::signature`] itself.
    pub exact: usize,
    /// The same frames at other lines, most dumps first; one entry when all agree.
    pub variants: Vec<Variant>,
    /// First time seen.
    pub first: Option<Seen>,
    /// Last time seen.
    pub last: Option<Seen>,
    /// Rules, hosts, builds, programs and headlines with the number of dumps that say so, most first.
    pub rules: Vec<(String, usize)>,
    /// Hosts.
    pub hosts: Vec<(String, usize)>,
    /// Builds.
    pub builds: Vec<(String, usize)>,
    /// Programs.
    pub programs: Vec<(String, usize)>,
    /// Who owns the places that the verdicts name.
    pub owners: Vec<(String, usize)>,
    /// Headlines.
    pub headlines: Vec<(String, usize)>,
}

/// Dumps of a bucket that agree in their lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variant {
    /// The position that tells it from the others.
    pub at: String,
    /// Dumps.
    pub count: usize,
    /// One of them, by its index.
    pub example: u32,
}
