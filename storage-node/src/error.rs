//! Why a node does not start.

use std::net::SocketAddr;
use std::path::PathBuf;

use common::ids::LogicGroup;
use rt::logging::BadLevel;
use rt::net::ListenError;
use rt::secret::SecretError;
use thiserror::Error;

use crate::binlog::{LogError, LogPosition};
use crate::control::ControlError;
use crate::engine::EngineError;

/// One line that says what is wrong, where, and what to do.
#[derive(Debug, Error)]
pub enum StartError {
    /// `--listen` or `--admin`.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// `--secret-file`.
    #[error("--secret-file: {0}")]
    Secret(#[from] SecretError),
    /// Peers from other machines without a secret.
    #[error(
        "--listen {0}: other machines can reach this address, so peers must prove a secret; give --secret-file, or listen on a loopback address"
    )]
    SecretMissing(SocketAddr),
    /// `--log-level`.
    #[error(transparent)]
    Level(#[from] BadLevel),
    /// The data directory is not there and `--create` was not given.
    #[error(
        "--dir {0}: holds no data of a node; give --create to make a new, empty one, or check the path"
    )]
    NoStore(PathBuf),
    /// `--create` on a directory that is not empty.
    #[error(
        "--dir {0}: --create wants a new or empty directory, but it holds {1}; start without --create to use what is there"
    )]
    NotEmpty(PathBuf, String),
    /// Another process has the directory.
    #[error("--dir {0}: another process uses this data directory; stop it first")]
    InUse(PathBuf),
    /// The directory belongs to something else.
    #[error(
        "--dir {path}: the data belongs to {what} `{found}`, not to `{expected}`; check --dir, --id and --cluster"
    )]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// `node` or `cluster`.
        what: &'static str,
        /// What the directory says.
        found: String,
        /// What the flags say.
        expected: String,
    },
    /// The directory was written by another version.
    #[error(
        "--dir {0}: data format {1}, this program knows format {2}; start the version that wrote it"
    )]
    Format(PathBuf, u32, u32),
    /// A file of the directory cannot be read or written.
    #[error(
        "{0}: {1}; check that the directory exists on a healthy disk and that this user may write there"
    )]
    Io(PathBuf, std::io::Error),
    /// A file of the directory holds what no node writes.
    #[error("{0}: damaged: {1}; see `Errors at start` in docs/OPERATIONS.md")]
    Damaged(PathBuf, String),
    /// A group's file is gone.
    #[error("{0}: the file of {1} is missing; see `Errors at start` in docs/OPERATIONS.md")]
    GroupMissing(PathBuf, LogicGroup),
    /// A group's file cannot be used.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The control file cannot be used.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The binlog cannot be used.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The log ends before what a group's file covers: it is not the log that belongs here (I6).
    #[error(
        "{0}: the log ends at {1}, but the file of {2} was written up to {3}; see `Errors at start` in docs/OPERATIONS.md"
    )]
    LogBehind(PathBuf, LogPosition, LogicGroup, LogPosition),
    /// The system refuses a thread or an event queue.
    #[error("{0}: {1}")]
    System(&'static str, std::io::Error),
}
