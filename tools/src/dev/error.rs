//! Why `fdht dev` did not do what it was asked.

use std::io;
use std::path::PathBuf;

use config::LoadError;

use crate::cluster::ClusterError;
use crate::failure::{STATUS_PROBLEM, STATUS_UNREACHABLE, STATUS_USAGE};

/// Why `fdht dev` failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DevError {
    /// A file or folder of the cluster.
    #[error("cannot {what} {}: {source}", path.display())]
    File { what: &'static str, path: PathBuf, source: io::Error },
    /// A file of the cluster that was damaged.
    #[error("{}: {reason}; restore it, or remove the folder to start anew", path.display())]
    Settings { path: PathBuf, reason: String },
    /// The topology file.
    #[error(transparent)]
    Topology(#[from] LoadError),
    /// Another process holds the lock.
    #[error(
        "another `fdht dev` runs on {}: stop it first, or name another folder with --dir",
        .0.display()
    )]
    AlreadyRuns(PathBuf),
    /// Flags for a new cluster that do not fit the one that exists.
    #[error(
        "{} has {has}, but {flag} was given: leave {flag} out to use the cluster as it is, or \
         name another folder with --dir for another one",
        path.display()
    )]
    Contradiction { path: PathBuf, has: String, flag: String },
    /// More physical groups than logic groups.
    #[error("--groups {groups} needs at least as many --logic-groups, not {logic_groups}")]
    TooFewLogicGroups { groups: u16, logic_groups: u16 },
    /// The same port twice.
    #[error("--port and --admin-port are both {0}: choose two different ports")]
    SamePort(u16),
    /// An address is taken.
    #[error("{address} ({of}) cannot be used: {source}; {todo}")]
    Port { address: String, of: String, source: io::Error, todo: String },
    /// No free ports at all.
    #[error("found no {0} free ports on 127.0.0.1")]
    NoPorts(usize),
    /// Processes of an earlier run do not end.
    #[error("process {pid} ({id}) of an earlier run is still there: stop it first (kill {pid})")]
    StillThere { id: String, pid: i32 },
    /// A process cannot be started at all.
    #[error("cannot start {id}: {source}")]
    Spawn { id: String, source: io::Error },
    /// A process ended while the cluster was starting.
    #[error("{id} ended while starting ({status}); the end of {}:\n{last}", log.display())]
    Ended { id: String, status: String, log: PathBuf, last: String },
    /// A process did not become ready.
    #[error(
        "{id} was not ready after {seconds} s (--ready-within): {reason}; the end of {}:\n{last}",
        log.display()
    )]
    NotReady { id: String, seconds: u64, reason: String, log: PathBuf, last: String },
    /// The logic groups cannot be created.
    #[error("creating the logic groups: {0}")]
    Cluster(#[from] ClusterError),
    /// Signals or the control port cannot be set up.
    #[error("cannot {what}: {source}")]
    System { what: &'static str, source: io::Error },
    /// `start` or `stop` without a running `dev`.
    #[error("no `fdht dev` runs on {dir}: start it with `fdht dev --dir {dir}`", dir = .0.display())]
    NotRunning(PathBuf),
    /// The running `dev` could not do it.
    #[error("{0}")]
    Refused(String),
}

impl DevError {
    /// The exit status.
    pub(crate) fn status(&self) -> u8 {
        match self {
            Self::Contradiction { .. } | Self::TooFewLogicGroups { .. } | Self::SamePort(_) => {
                STATUS_USAGE
            }
            Self::NotRunning(_) => STATUS_UNREACHABLE,
            Self::Cluster(e) => e.status(),
            Self::File { .. }
            | Self::Settings { .. }
            | Self::Topology(_)
            | Self::AlreadyRuns(_)
            | Self::Port { .. }
            | Self::NoPorts(_)
            | Self::StillThere { .. }
            | Self::Spawn { .. }
            | Self::Ended { .. }
            | Self::NotReady { .. }
            | Self::System { .. }
            | Self::Refused(_) => STATUS_PROBLEM,
        }
    }
}
