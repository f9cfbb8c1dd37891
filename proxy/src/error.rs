//! Why a proxy does not start.

use config::LoadError;
use rt::logging::BadLevel;
use rt::net::ListenError;
use rt::secret::SecretError;
use thiserror::Error;

/// One line that says what is wrong, where, and what to do.
#[derive(Debug, Error)]
pub enum StartError {
    /// The topology file is missing or refused.
    #[error("--topology: {0}")]
    Topology(#[from] LoadError),
    /// `--listen` or `--admin`.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// `--secret-file`.
    #[error("--secret-file: {0}")]
    Secret(#[from] SecretError),
    /// `--log-level`.
    #[error(transparent)]
    Level(#[from] BadLevel),
    /// The system refuses a thread, an event queue or a file watch.
    #[error("{0}: {1}")]
    System(&'static str, std::io::Error),
    /// `--fastdht-package-max` is out of range.
    #[error(
        "--fastdht-package-max: {0} bytes is more than the protocols on one port allow; write less than 32MiB"
    )]
    PackageMax(u64),
}
