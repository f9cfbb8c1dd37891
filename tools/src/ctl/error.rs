//! Why an operator command failed, and the exit status that says so.

use std::io;
use std::path::PathBuf;

use super::import::ImportError;
use crate::cluster::ClusterError;
use crate::failure::{STATUS_PROBLEM, STATUS_UNREACHABLE, STATUS_USAGE};
use crate::resp::ClientError;

/// Why an operator command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CtlError {
    /// Nobody answers on the admin port.
    #[error("cannot reach {address}: {reason}; is it running, and is this its --admin address?")]
    Unreachable { address: String, reason: String },
    /// The admin port answered with an error.
    #[error("{url} answered {status}: {text}")]
    Answer { url: String, status: u16, text: String },
    /// The admin port answered with something else than expected.
    #[error("{url} did not answer with JSON: is it a FastDHT admin port?")]
    NotJson { url: String },
    /// A file cannot be read or written.
    #[error("cannot {what} {}: {source}", path.display())]
    File { what: &'static str, path: PathBuf, source: io::Error },
    /// Standard output is gone for another reason than a closed pipe.
    #[error("cannot write to standard output: {0}")]
    Stdout(io::Error),
    /// The RESP side failed.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A reply that this command cannot use.
    #[error("{command} was answered with {reply}")]
    Reply { command: String, reply: String },
    /// A passing trouble did not pass in time.
    #[error("gave up after {seconds} s without progress (--retry-for): {reason}")]
    Patience { seconds: u64, reason: String },
    /// `import` failed in its own way.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// A command for the whole cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

impl CtlError {
    /// The exit status: 1 a problem, 2 wrong usage, 3 could not reach.
    pub(crate) fn status(&self) -> u8 {
        match self {
            Self::Unreachable { .. } => STATUS_UNREACHABLE,
            Self::Answer { .. }
            | Self::NotJson { .. }
            | Self::File { .. }
            | Self::Stdout(_)
            | Self::Reply { .. }
            | Self::Patience { .. } => STATUS_PROBLEM,
            Self::Client(e) => client_status(e),
            Self::Import(e) => e.status(),
            Self::Cluster(e) => e.status(),
        }
    }
}

/// The exit status for a failed RESP connection.
pub(crate) fn client_status(error: &ClientError) -> u8 {
    match error {
        ClientError::Connect { .. } | ClientError::Lost { .. } => STATUS_UNREACHABLE,
        ClientError::Address { .. } => STATUS_USAGE,
        ClientError::Garbage { .. } | ClientError::Namespace { .. } => STATUS_PROBLEM,
    }
}
