//! Why an import stopped.

use std::io;
use std::path::PathBuf;

use crate::ctl::error::client_status;
use crate::failure::{STATUS_PROBLEM, STATUS_UNREACHABLE, STATUS_USAGE};
use crate::record::{JsonError, TsvError};
use crate::resp::ClientError;

/// Why an import stopped. What was acknowledged until then stays.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImportError {
    /// The input cannot be read.
    #[error("cannot read {from}: {source}")]
    Read { from: String, source: io::Error },
    /// `--tree` of something that is no folder.
    #[error("--tree {}: not a folder", .0.display())]
    NotAFolder(PathBuf),
    /// A line that is too long to hold one record.
    #[error("line {line}: longer than {max} bytes")]
    LineTooLong { line: u64, max: u64 },
    /// A line that is no record.
    #[error("line {line}: {source}")]
    Json { line: u64, source: JsonError },
    /// A line that is no record.
    #[error("line {line}: {source}")]
    Tsv { line: u64, source: TsvError },
    /// The cluster refuses a record for good.
    #[error("{place} ({what}): {reply}")]
    Refused { place: String, what: String, reply: String },
    /// The connection failed for good.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A passing trouble did not pass in time.
    #[error(
        "{place} ({what}): gave up after {seconds} s without progress (--retry-for): {reason}; \
         the same command may be run again"
    )]
    Patience { place: String, what: String, seconds: u64, reason: String },
    /// The checkpoint file cannot be read or written.
    #[error("checkpoint {}: {source}", path.display())]
    Checkpoint { path: PathBuf, source: io::Error },
    /// The checkpoint file is not one.
    #[error("checkpoint {}: {reason}; remove it to start from the beginning", path.display())]
    CheckpointText { path: PathBuf, reason: String },
    /// The checkpoint is of another import.
    #[error(
        "checkpoint {} is of {found}, this import reads {wanted}; name another file or remove it",
        path.display()
    )]
    CheckpointOfOther { path: PathBuf, found: String, wanted: String },
    /// The input ended before the place where the checkpoint says to go on.
    #[error("the input has {has} records, but {skip} were imported before: is it the same input?")]
    Shrunk { has: u64, skip: u64 },
}

impl ImportError {
    /// The exit status.
    pub(crate) fn status(&self) -> u8 {
        match self {
            Self::NotAFolder(_) | Self::CheckpointOfOther { .. } => STATUS_USAGE,
            Self::Client(e) => client_status(e),
            Self::Patience { .. } => STATUS_UNREACHABLE,
            Self::Read { .. }
            | Self::LineTooLong { .. }
            | Self::Json { .. }
            | Self::Tsv { .. }
            | Self::Refused { .. }
            | Self::Checkpoint { .. }
            | Self::CheckpointText { .. }
            | Self::Shrunk { .. } => STATUS_PROBLEM,
        }
    }
}
