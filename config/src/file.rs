//! Reading a topology file from disk, whole and bounded.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::problem::Problems;
use crate::topology::Topology;

/// Largest topology file, in bytes.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// Why a topology file gives no topology.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be read.
    #[error(
        "cannot read the topology file {}: {source}; check that it exists and may be read",
        path.display()
    )]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is larger than [`FILE_BYTES_MAX`].
    #[error(
        "the topology file {} is larger than 1 MiB; check that it is the right file",
        path.display()
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// It is no text.
    #[error(
        "the topology file {} is not UTF-8 text (byte {offset}); check that it is the right file",
        path.display()
    )]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// How many bytes before the first wrong one.
        offset: usize,
    },
    /// Its text breaks rules.
    #[error("the topology file {} is refused:\n{problems}", path.display())]
    Problems {
        /// The file.
        path: PathBuf,
        /// Which rules and where.
        problems: Problems,
    },
}

impl Topology {
    /// Reads and checks a topology file.
    ///
    /// # Errors
    /// See [`LoadError`]; its text names the file.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        parse_text(path, &read_text(path)?)
    }
}

/// [`Topology::parse`] for the text of the file at `path`.
pub(crate) fn parse_text(path: &Path, text: &str) -> Result<Topology, LoadError> {
    Topology::parse(text)
        .map_err(|problems| LoadError::Problems { path: path.to_owned(), problems })
}

/// Reads the text of a file, never more than the limit.
pub(crate) fn read_text(path: &Path) -> Result<String, LoadError> {
    let io_error = |source| LoadError::Io { path: path.to_owned(), source };
    let limit = FILE_BYTES_MAX as u64 + 1;
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)).map_err(io_error)?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(LoadError::TooLarge { path: path.to_owned() });
    }
    String::from_utf8(bytes).map_err(|error| LoadError::NotUtf8 {
        path: path.to_owned(),
        offset: error.utf8_error().valid_up_to(),
    })
}
