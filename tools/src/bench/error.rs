//! Why a measurement failed.

use std::io;
use std::path::PathBuf;

use crate::failure::{STATUS_PROBLEM, STATUS_UNREACHABLE, STATUS_USAGE};
use crate::resp::CodecError;

/// Why a measurement failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// Nobody answers there.
    #[error("cannot connect to {address}: {source}")]
    Connect { address: String, source: io::Error },
    /// A connection broke.
    #[error("lost a connection to {address}: {source}")]
    Lost { address: String, source: io::Error },
    /// No answer came at all.
    #[error("{address} owes answers since {seconds} s")]
    Silent { address: String, seconds: u64 },
    /// The other side speaks something else.
    #[error("{address} does not speak RESP2: {source}")]
    Garbage { address: String, source: CodecError },
    /// An address that cannot be listened on.
    #[error("cannot listen on {address} (--listen): {source}")]
    Listen { address: String, source: io::Error },
    /// A process whose CPU time is unknown.
    #[error("cannot read the CPU time of process {pid}: {source}; does it run?")]
    Process { pid: u32, source: io::Error },
    /// A folder without pid files.
    #[error("{} has no pid files: is it the --dir of a running `fdht dev`?", .0.display())]
    NoPids(PathBuf),
    /// The floor needs to know how many nodes it stands for.
    #[error("say whose CPU time counts with --dev DIR, or with --pid and --nodes")]
    WhoseCpu,
    /// A relay or echo process did not come up.
    #[error("cannot start the {what}: {source}")]
    Child { what: &'static str, source: io::Error },
    /// A local cluster does not do what it was asked.
    #[error("the local cluster: cannot {what}: {reason}")]
    Cluster { what: String, reason: String },
    /// The measurement is there, and it found what must not be.
    #[error("found {0}")]
    Found(String),
    /// The engine or what it is compared with does not do what it was asked.
    #[error("cannot {what}: {reason}")]
    Engine { what: String, reason: String },
    /// Flags that do not go together.
    #[error("{0}")]
    Usage(String),
    /// Threads or a runtime.
    #[error("cannot start a thread or its event loop: {0}")]
    System(#[from] io::Error),
}

impl BenchError {
    /// The exit status.
    pub(crate) fn status(&self) -> u8 {
        match self {
            Self::Connect { .. } | Self::Lost { .. } | Self::Silent { .. } => STATUS_UNREACHABLE,
            Self::WhoseCpu | Self::Usage(_) => STATUS_USAGE,
            Self::Garbage { .. }
            | Self::Listen { .. }
            | Self::Process { .. }
            | Self::NoPids(_)
            | Self::Child { .. }
            | Self::Cluster { .. }
            | Self::Engine { .. }
            | Self::Found(_)
            | Self::System(_) => STATUS_PROBLEM,
        }
    }
}
