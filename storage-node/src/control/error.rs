//! What can go wrong with the control file, told with its path.

use std::path::{Path, PathBuf};

use thiserror::Error;

use super::layout::NodeIdentity;

/// Why the control file cannot be created, opened or written.
#[derive(Debug, Error)]
pub enum ControlError {
    /// A new file was asked for where one is.
    #[error("{}: the file exists already; it is not overwritten", .file.display())]
    Exists {
        /// The file.
        file: PathBuf,
    },
    /// The file is gone, and with it what this server promised.
    #[error(
        "{}: the file is missing, and with it what this server promised; put it back, or start \
         the server with an empty data directory, as a new member",
        .file.display()
    )]
    Missing {
        /// The file.
        file: PathBuf,
    },
    /// The file system refused.
    #[error(
        "{}: cannot {doing}: {source}; check the disk, its free space and who may write there",
        .file.display()
    )]
    Io {
        /// The file.
        file: PathBuf,
        /// What was tried, as a verb.
        doing: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// The database in the file refused.
    #[error("{}: cannot {doing}: {source}; restart the node, and check the disk", .file.display())]
    Database {
        /// The file.
        file: PathBuf,
        /// What was tried, as a verb.
        doing: &'static str,
        /// Why. Boxed, as it is large and rare.
        source: Box<redb::Error>,
    },
    /// The file holds bytes that this program never writes. A backup does not help: an older file
    /// has forgotten promises.
    #[error(
        "{}: damaged: {what}; what this server promised is lost with it: start the server with an \
         empty data directory, as a new member",
        .file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What was found.
        what: String,
    },
    /// Another version of the program wrote the file.
    #[error(
        "{}: written in format {found}, this program reads format {known}; start the version that \
         wrote it",
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
        found: Box<NodeIdentity>,
        /// Whose file was expected.
        expected: Box<NodeIdentity>,
    },
}

impl ControlError {
    /// Whether the disk had no room.
    pub(super) fn is_no_space(&self) -> bool {
        matches!(self, Self::Io { source, .. } if crate::files::is_no_space(source))
    }

    /// The file system failed while `doing` something.
    pub(super) fn io(file: &Path, doing: &'static str, source: std::io::Error) -> Self {
        Self::Io { file: file.to_owned(), doing, source }
    }

    /// The file holds `what` where something else belongs.
    pub(super) fn damaged(file: &Path, what: impl Into<String>) -> Self {
        Self::Damaged { file: file.to_owned(), what: what.into() }
    }

    /// The database layer failed while `doing` something.
    pub(super) fn database(file: &Path, doing: &'static str, error: redb::Error) -> Self {
        match error {
            redb::Error::Corrupted(what) => Self::damaged(file, what),
            // What redb says about a file that is none of its own.
            redb::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                Self::damaged(file, error.to_string())
            }
            redb::Error::Io(error) => Self::io(file, doing, error),
            // A table of another kind under this name, or none: no file of this program.
            error @ (redb::Error::TableDoesNotExist(_)
            | redb::Error::TableTypeMismatch { .. }
            | redb::Error::TypeDefinitionChanged { .. }) => Self::damaged(file, error.to_string()),
            other => Self::Database { file: file.to_owned(), doing, source: Box::new(other) },
        }
    }
}
