//! Numbers of the register's rounds.

use common::ids::NodeId;

/// A round. The greater one wins; no two rounds of any node, over restarts too, have the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ballot {
    /// Above every round its proposer has seen.
    pub round: u64,
    /// The proposer.
    pub node: NodeId,
    /// Its process start (`life`): what a process forgot it cannot use again.
    pub life: u64,
}
