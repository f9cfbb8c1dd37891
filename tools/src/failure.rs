//! How a command ends when it does not end well: the line to print and the exit status.

use crate::bench::BenchError;
use crate::ctl::CtlError;
use crate::dev::DevError;
use crate::roles::RoleError;

/// Exit status of a command that found or met a problem.
pub(crate) const STATUS_PROBLEM: u8 = 1;
/// Exit status of a command that was called wrongly.
pub(crate) const STATUS_USAGE: u8 = 2;
/// Exit status of a command that could not reach what it was to talk to.
pub(crate) const STATUS_UNREACHABLE: u8 = 3;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// A server role ended with an error.
    #[error("fdht {0}")]
    Role(#[from] RoleError),
    /// `fdht dev`.
    #[error("fdht dev: {0}")]
    Dev(#[from] DevError),
    /// An operator command, by its name.
    #[error("fdht {0}: {1}")]
    Ctl(&'static str, CtlError),
    /// `fdht bench`.
    #[error("fdht bench: {0}")]
    Bench(#[from] BenchError),
}

impl Failure {
    /// The exit status: 1 a problem, 2 wrong usage, 3 could not reach.
    pub(crate) fn status(&self) -> u8 {
        match self {
            Self::Role(e) => e.status(),
            Self::Dev(e) => e.status(),
            Self::Ctl(_, e) => e.status(),
            Self::Bench(e) => e.status(),
        }
    }
}
