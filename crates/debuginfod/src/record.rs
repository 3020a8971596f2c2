//! What became of a request, in facts and in words.

use std::fmt;
use std::time::Duration;

use necropsy_model::BuildId;

use crate::{Found, What};

/// Where a file came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was fetched before, by this or another program.
    Cache,
    /// This server sent it in this run.
    Server(String),
}

/// One request and what became of it.
#[derive(Clone, Debug)]
pub struct Record {
    /// Whose file.
    pub id: BuildId,
    /// Which file.
    pub what: What,
    /// The file, or why there is none.
    pub outcome: Result<Found, Miss>,
    /// How long it took.
    pub took: Duration,
}

/// Why there is no file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Miss {
    /// The user wants none of this.
    Off,
    /// It is in no cache, and no server may be asked.
    NotCached,
    /// Somebody asked a short while ago, and no server had it.
    NegativeEntry {
        /// How long ago.
        age: Duration,
    },
    /// Every server said that it does not have it.
    NotFound {
        /// How many were asked.
        servers: usize,
    },
    /// It is larger than was allowed.
    TooLarge {
        /// Its size, if the server said so.
        bytes: Option<u64>,
    },
    /// The fetching had to end.
    Stopped(Stop),
    /// No server delivered, and at least one for another reason than not having it: server and reason.
    Failed(Vec<(String, Failure)>),
}

/// Why all fetching ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The seconds of the run are used up.
    Time(Duration),
    /// The bytes of the run are used up.
    Bytes(u64),
    /// The user pressed Ctrl-C.
    Interrupted,
}

/// Why a server did not deliver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It does not have it.
    NotFound,
    /// It is larger than was allowed.
    TooLarge(Option<u64>),
    /// No connection, in the words of the system.
    Unreachable(String),
    /// It accepted, and then was silent for this long.
    Silent(Duration),
    /// It sent so many bytes, and then next to nothing for too long.
    Stalled(u64),
    /// It answered with this HTTP status.
    Status(u16),
    /// It sent so many bytes and broke off.
    BrokeOff(u64),
    /// It redirected to where nobody follows.
    Redirect(String),
    /// It sent something else: its build id, if it has any.
    WrongBuild(Option<BuildId>),
    /// It sent what is no file of the kind that was asked for.
    Malformed(&'static str),
    /// It failed before, and is not asked again in this run.
    LeftAlone,
    /// The file could not be kept.
    NotKept(String),
}

impl Failure {
    /// After this it makes no sense to ask the server for anything else.
    pub(crate) fn is_final(&self) -> bool {
        match self {
            // 401, 403: a token is missing; 407: a proxy wants one; 429: it asks to be left alone.
            Self::Status(status) => matches!(status, 401 | 403 | 407 | 429),
            Self::Unreachable(_) | Self::Silent(_) | Self::Stalled(_) | Self::Redirect(_) => true,
            _ => false,
        }
    }

    /// It may be gone the next second.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::BrokeOff(_))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("does not have it"),
            Self::TooLarge(Some(bytes)) => write!(f, "has {bytes} bytes of it, more than is allowed"),
            Self::TooLarge(None) => f.write_str("says it is larger than is allowed"),
            Self::Unreachable(why) => write!(f, "can not be reached: {why}"),
            Self::Silent(after) => write!(f, "accepted and did not answer within {} s", after.as_secs()),
            Self::Stalled(bytes) => write!(f, "sent {bytes} bytes and stalled"),
            Self::Status(status @ (401 | 403)) => {
                write!(f, "answered {status}: does it want a token (DEBUGINFOD_HEADERS_FILE)?")
            }
            Self::Status(status) => write!(f, "answered {status}"),
            Self::BrokeOff(bytes) => write!(f, "broke off after {bytes} bytes"),
            Self::Redirect(why) => write!(f, "redirects {why}"),
            Self::WrongBuild(Some(id)) => write!(f, "sent the file of another build, {id}; it was discarded"),
            Self::WrongBuild(None) => f.write_str("sent a file without a build id; it was discarded"),
            Self::Malformed(why) => write!(f, "sent {why}; it was discarded"),
            Self::LeftAlone => f.write_str("failed before and was left alone"),
            Self::NotKept(why) => write!(f, "delivered, but the file could not be kept: {why}"),
        }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(limit) => write!(f, "the {} s of --symbol-budget are used up", limit.as_secs()),
            Self::Bytes(limit) => write!(f, "the {limit} bytes of --symbol-max-bytes are used up"),
            Self::Interrupted => f.write_str("fetching was interrupted"),
        }
    }
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("not looked for"),
            Self::NotCached => f.write_str("not in the cache, and no server may be asked"),
            Self::NegativeEntry { age } => write!(
                f,
                "no server had it {} ago, says the cache; --symbol-refresh asks again",
                match age.as_secs() {
                    seconds @ ..120 => format!("{seconds} s"),
                    seconds => format!("{} min", seconds / 60),
                }
            ),
            Self::NotFound { servers: 1 } => f.write_str("the server does not have it"),
            Self::NotFound { servers } => write!(f, "none of {servers} servers has it"),
            Self::TooLarge { bytes: Some(bytes) } => write!(f, "{bytes} bytes, more than is allowed"),
            Self::TooLarge { bytes: None } => f.write_str("larger than is allowed"),
            Self::Stopped(stop) => stop.fmt(f),
            Self::Failed(failures) => {
                for (index, (server, failure)) in failures.iter().enumerate() {
                    write!(f, "{}{server} {failure}", if index == 0 { "" } else { "; " })?;
                }
                Ok(())
            }
        }
    }
}

impl Miss {
    /// The word in the JSON contract.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::NotCached => "not-cached",
            Self::NegativeEntry { .. } => "negative-entry",
            Self::NotFound { .. } => "not-found",
            Self::TooLarge { .. } => "too-large",
            Self::Stopped(Stop::Time(_)) => "over-time",
            Self::Stopped(Stop::Bytes(_)) => "over-bytes",
            Self::Stopped(Stop::Interrupted) => "interrupted",
            Self::Failed(_) => "failed",
        }
    }
}
