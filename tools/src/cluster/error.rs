//! Why a command for the whole cluster did nothing, or not all.

use std::io;

use config::LoadError;
use rt::secret::SecretError;

use super::connection::Trouble;
use crate::failure::{STATUS_PROBLEM, STATUS_UNREACHABLE, STATUS_USAGE};

/// Why a command for the whole cluster failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClusterError {
    /// The topology file.
    #[error(transparent)]
    Topology(#[from] LoadError),
    /// The secret file.
    #[error(transparent)]
    Secret(SecretError),
    /// No runtime.
    #[error("cannot start: {0}")]
    Runtime(io::Error),
    /// Servers that all have to answer do not.
    #[error("no answer from {}; start them and repeat the command", list(.0))]
    Missing(Vec<(String, Trouble)>),
    /// Servers answer, and want nothing to do with this file or this tool.
    #[error("refused by {}; correct that and repeat the command", list(.0))]
    AllRefused(Vec<(String, Trouble)>),
    /// A server does not do what it was told.
    #[error("{server} did not do its part: {why}; correct that and repeat the command")]
    Refused { server: String, why: Trouble },
    /// The file names no voters.
    #[error(
        "the topology file names no voters, and without them no group can be created; add for \
         example `voters: [{0}]`"
    )]
    NoVoters(String),
    /// The cluster goes on with a newer file.
    #[error("{server} knows the newer topology {known}, this file is {file}; use the newer file")]
    OldFile { server: String, known: String, file: String },
    /// A group exists on another data directory.
    #[error(
        "{groups}: {server} is a member with store id {member}, but the data directory that it \
         runs on has {present}: it lost its data, or runs on a wrong directory; start it on its \
         own"
    )]
    OtherStore { groups: String, server: String, member: String, present: String },
    /// A group exists on other servers.
    #[error(
        "{groups}: the servers are [{members}], but the file says [{file}]; use the cluster's own file"
    )]
    OtherServers { groups: String, members: String, file: String },
    /// The groups did not appear.
    #[error("not created within {seconds} s: {groups}: {reason}")]
    NotCreated { groups: String, seconds: u64, reason: String },
    /// A name that is no server of the file.
    #[error("{flag} {name}: the topology file has no such server; it has {servers}")]
    NoSuchServer { flag: &'static str, name: String, servers: String },
    /// A number of voters without a majority.
    #[error("--voters names {0} servers; a majority needs 1, 3 or 5 different ones")]
    VoterCount(usize),
    /// A lost server among the new voters.
    #[error("--voters {0}: it is said to be lost; name another server")]
    LostVoter(String),
    /// Nobody knows voters.
    #[error(
        "no server that answers knows a voter set: was the cluster created (`fdht topology init`)?"
    )]
    NoVoterSet,
    /// What is said to be lost is no voter.
    #[error("{lost} is no voter, so nothing is lost by it; the voters are {voters}")]
    NotAVoter { lost: String, voters: String },
    /// What is said to be lost is there.
    #[error("{server} is still running ({how}): stop it first")]
    StillRunning { server: String, how: String },
    /// Others are away too, and might go on without us.
    #[error(
        "{0} do not answer either, and are enough to decide on their own; start one of them, or \
         make sure that they are off for good and name them with --lost too"
    )]
    MayDecide(String),
    /// A new voter is away.
    #[error("{0} cannot become a voter: it does not answer; start it, or name another server")]
    VoterAway(String),
    /// An old voter was stopped and is away now.
    #[error(
        "{server} was stopped as a voter and then gave no answer ({why}), so what it agreed on last \
         is not known: the old voters are stopped, no new ones began, and nothing is served until \
         they do; start {server} and repeat the command now, with {server} in --lost if it is gone \
         for good"
    )]
    StoppedThenAway { server: String, why: String },
    /// An old voter goes on.
    #[error(
        "{server} was told to stop voting, but {known} are in force there: no new voters begin \
         before; see that no other `fdht failover` runs, then repeat the command"
    )]
    NotStopped { server: String, known: String },
    /// Not enough servers.
    #[error(
        "{wanted} voters are needed and only {found} can be found; add a server to the topology \
         file and start it, or choose fewer with --voters"
    )]
    TooFewServers { wanted: usize, found: String },
    /// Data without a register would be invented.
    #[error(
        "no server that answers knows the register of {0}; start the servers that hold it first"
    )]
    Unknown(String),
    /// Nothing was done without consent.
    #[error("nothing was changed; repeat with --yes to do this")]
    NotConfirmed,
}

impl ClusterError {
    /// The exit status.
    pub(crate) fn status(&self) -> u8 {
        match self {
            Self::Missing(_) => STATUS_UNREACHABLE,
            Self::NoSuchServer { .. }
            | Self::VoterCount(_)
            | Self::LostVoter(_)
            | Self::NotConfirmed => STATUS_USAGE,
            Self::Topology(_)
            | Self::Secret(_)
            | Self::Runtime(_)
            | Self::AllRefused(_)
            | Self::Refused { .. }
            | Self::NoVoters(_)
            | Self::OldFile { .. }
            | Self::OtherStore { .. }
            | Self::OtherServers { .. }
            | Self::NotCreated { .. }
            | Self::NoVoterSet
            | Self::NotAVoter { .. }
            | Self::StillRunning { .. }
            | Self::MayDecide(_)
            | Self::VoterAway(_)
            | Self::StoppedThenAway { .. }
            | Self::NotStopped { .. }
            | Self::TooFewServers { .. }
            | Self::Unknown(_) => STATUS_PROBLEM,
        }
    }
}

fn list(missing: &[(String, Trouble)]) -> String {
    let one = |(server, why): &(String, Trouble)| format!("{server} ({why})");
    missing.iter().map(one).collect::<Vec<_>>().join(", ")
}
