//! What can go wrong with a group's file, told with the file's path.

use std::path::{Path, PathBuf};

use common::codec::DecodeError;
use thiserror::Error;

use crate::engine::layout::StoreIdentity;

/// Why a group's file cannot be created, opened, read or written.
#[derive(Debug, Error)]
pub enum EngineError {
    /// A new file was asked for where one is.
    #[error("{}: the file exists already; it is not overwritten", .file.display())]
    Exists {
        /// The file.
        file: PathBuf,
    },
    /// The file system refused.
    #[error("{}: cannot {doing}: {source}", .file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What was tried, as a verb.
        doing: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// The database in the file refused, or the disk below it.
    #[error("{}: cannot {doing}: {source}", .file.display())]
    Database {
        /// The file.
        file: PathBuf,
        /// What was tried, as a verb.
        doing: &'static str,
        /// Why. Boxed, as it is large and rare.
        source: Box<redb::Error>,
    },
    /// The file holds bytes that this program never writes.
    #[error("{}: damaged: {what}; see `Errors at start` in docs/OPERATIONS.md", .file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What was found.
        what: String,
    },
    /// Another version of the program wrote the file.
    #[error(
        "{}: written in format {found}, this program reads format {known}; start the version that wrote it",
        .file.display()
    )]
    Format {
        /// The file.
        file: PathBuf,
        /// The format in the file.
        found: u16,
        /// The format this program knows.
        known: u16,
    },
    /// The file belongs elsewhere.
    #[error(
        "{}: the file is of {found}, but {expected} was opened; put the right file back in its place",
        .file.display()
    )]
    Identity {
        /// The file.
        file: PathBuf,
        /// Whose file it is.
        found: Box<StoreIdentity>,
        /// Whose file was expected.
        expected: Box<StoreIdentity>,
    },
    /// The lanes in the file are not those of the topology.
    #[error(
        "{}: written for {found} servers of the group, but the topology lists {expected}; \
         the number of servers of a group with data cannot change, list {found} servers again",
        .file.display()
    )]
    Servers {
        /// The file.
        file: PathBuf,
        /// Servers of the group when the file was created.
        found: u8,
        /// Servers of the group now.
        expected: u8,
    },
    /// A log record names a key that is no physical key.
    #[error("a log record names a key that is no physical key: {0}")]
    Key(#[from] DecodeError),
}

impl EngineError {
    /// The database layer failed while `doing` something.
    pub(super) fn database(
        file: &Path,
        doing: &'static str,
        source: impl Into<redb::Error>,
    ) -> Self {
        Self::Database { file: file.to_owned(), doing, source: Box::new(source.into()) }
    }

    /// The file system failed while `doing` something.
    pub(super) fn io(file: &Path, doing: &'static str, source: std::io::Error) -> Self {
        Self::Io { file: file.to_owned(), doing, source }
    }

    /// The file holds `what` where something else belongs.
    pub(super) fn damaged(file: &Path, what: impl Into<String>) -> Self {
        Self::Damaged { file: file.to_owned(), what: what.into() }
    }
}
