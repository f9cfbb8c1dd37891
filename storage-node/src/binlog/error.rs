//! What can go wrong with the log, by what the caller can do about it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::position::LogPosition;

/// An error of the log. The text says what is wrong, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The disk is full. Nothing of the batch is in the log; a later append may succeed.
    #[error("no space left for the log at {}: free space there, writes then resume by themselves", path.display())]
    Full {
        /// The file that could not grow.
        path: PathBuf,
    },
    /// This write failed, so it is *unknown* whether the batch is in the log. The log is poisoned.
    #[error(
        "the log could not be written: {cause}; writes are refused from now on: check the disk, then restart the node"
    )]
    Failed {
        /// What failed.
        cause: Arc<str>,
    },
    /// An earlier write or fsync failed. Nothing of this batch is in the log. Ends with a restart.
    #[error(
        "the log refuses writes since an earlier error: {cause}; check the disk, then restart the node"
    )]
    Poisoned {
        /// What failed first.
        cause: Arc<str>,
    },
    /// A record body that cannot be stored. The batch is as it was before the record.
    #[error("a log record of {bytes} bytes is outside 1 to {bytes_max} bytes: send smaller writes")]
    BodySize {
        /// Its length.
        bytes: usize,
        /// Longest body.
        bytes_max: usize,
    },
    /// A reader asked for what retention has removed: the reader must be re-seeded.
    #[error("{wanted} is no longer in the log, which begins at {first}: copy the data instead")]
    Released {
        /// The position asked for.
        wanted: LogPosition,
        /// The first position that is left.
        first: LogPosition,
    },
    /// Bytes that were written are not what they were.
    #[error(
        "log file {} is damaged at offset {offset}: {what}; nothing was changed: restore the file from a copy of this node, or re-create the node from its peers",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Offset of the first bytes that are wrong.
        offset: u64,
        /// What is wrong, and how we know that it is not a torn tail.
        what: String,
    },
    /// A segment is not there although one after it, or the end of the one before, says it was.
    #[error(
        "log file {} is missing: put it back, or re-create the node from its peers", path.display()
    )]
    MissingSegment {
        /// The file.
        path: PathBuf,
    },
    /// A segment belongs to something else.
    #[error(
        "log file {} belongs to {what} {found}, expected {expected}: start the node with its own data directory",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Which part of the identity differs.
        what: &'static str,
        /// What this node is.
        expected: String,
        /// What the file says.
        found: String,
    },
    /// A segment of another version of this program.
    #[error(
        "log file {} has format {found}, this version reads format {known}: use the version that wrote it",
        path.display()
    )]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// A file that looks like a segment but is named like none.
    #[error("{} is not named like a log segment: move it out of the log's directory", path.display())]
    UnknownFile {
        /// The file.
        path: PathBuf,
    },
    /// A directory stands where a segment should.
    #[error("{} is a directory, not a log segment: move it out of the log's directory", path.display())]
    Directory {
        /// Its path.
        path: PathBuf,
    },
    /// There is no log, and none was to be created.
    #[error("{} holds no log: check the data directory, or create a new one explicitly", dir.display())]
    NoLog {
        /// The directory.
        dir: PathBuf,
    },
    /// The owner of the records refused one while they were replayed.
    #[error("log file {}, record at offset {offset}: {reason}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// Offset of the record.
        offset: u64,
        /// The owner's text.
        reason: String,
    },
    /// A file operation failed outside of the write path.
    #[error("could not {action} {}: {source}: check the disk and the permissions", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

impl LogError {
    /// An [`Io`](Self::Io) error, or [`Directory`](Self::Directory) if it is one, for `map_err`.
    pub(super) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| match source.kind() {
            io::ErrorKind::IsADirectory => Self::Directory { path },
            _ => Self::Io { action, path, source },
        }
    }
}
