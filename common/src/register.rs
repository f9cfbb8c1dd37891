//! The agreed state of a group, as its voters keep it (guarantees 3), and the set of voters.

use crate::ids::{Epoch, Lane, LogicGroup, NodeId, ServerIndex, StoreId, VoterGeneration};
use crate::view::GroupView;

/// A round in which voters agree on a register. The greater one wins; no two rounds of any node, over
/// restarts too, have the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ballot {
    /// Above every round its proposer has seen.
    pub round: u64,
    /// The proposer.
    pub node: NodeId,
    /// Its process start (`life`): what a process forgot it cannot use again.
    pub life: u64,
}

/// A server with its data directory: with another store id it is another member (guarantees 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member {
    /// The server.
    pub node: NodeId,
    /// Its data directory.
    pub store: StoreId,
}

/// Who leads a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneLeader {
    /// The leader.
    pub node: NodeId,
    /// The register epoch at which it became so: the epoch of its stream.
    pub since: Epoch,
}

/// A move of the group to other servers that is under way (guarantees 5).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MovePlan {
    /// Tells moves of one group apart.
    pub id: u64,
    /// Where to.
    pub target: Vec<Member>,
}

/// The agreed state of a group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Register {
    /// The group.
    pub group: LogicGroup,
    /// The voter set that keeps it.
    pub generation: VoterGeneration,
    /// Raised by every change.
    pub epoch: Epoch,
    /// The configured servers; the place is the server index, so also the home of that lane.
    pub servers: Vec<Member>,
    /// R: the servers that hold every official record.
    pub in_step: Vec<NodeId>,
    /// Leader of each lane, by server index.
    pub lanes: Vec<LaneLeader>,
    /// A server whose renewals voters refuse, because it is to leave R.
    pub leaving: Option<NodeId>,
    /// The move under way.
    pub moving: Option<MovePlan>,
}

impl Register {
    /// The leader of a lane, if the group has that lane.
    #[must_use]
    pub fn leader(&self, lane: ServerIndex) -> Option<LaneLeader> {
        self.lanes.get(usize::from(lane.0)).copied()
    }

    /// The lane's preferred leader.
    #[must_use]
    pub fn home(&self, lane: ServerIndex) -> Option<NodeId> {
        self.servers.get(usize::from(lane.0)).map(|member| member.node)
    }

    /// Whether a server is in R.
    #[must_use]
    pub fn is_in_step(&self, node: NodeId) -> bool {
        self.in_step.contains(&node)
    }

    /// Whether this server, with this data directory, is one of the group's.
    #[must_use]
    pub fn has_server(&self, member: Member) -> bool {
        self.servers.contains(&member)
    }

    /// All lanes with their leaders.
    pub fn leaders(&self) -> impl Iterator<Item = (ServerIndex, LaneLeader)> + '_ {
        (0u8..).zip(&self.lanes).map(|(index, leader)| (ServerIndex(index), *leader))
    }

    /// The name of a lane of this group.
    #[must_use]
    pub fn lane(&self, server: ServerIndex) -> Lane {
        Lane { group: self.group, server }
    }

    /// Whether a server leads any lane.
    #[must_use]
    pub fn leads_any(&self, node: NodeId) -> bool {
        self.lanes.iter().any(|leader| leader.node == node)
    }

    /// What a proxy needs of it.
    #[must_use]
    pub fn view(&self) -> GroupView {
        let leaders = self.lanes.iter().map(|leader| (leader.node, leader.since)).collect();
        GroupView { epoch: self.epoch, leaders }
    }
}

/// The nodes that keep the registers. A set of another generation is another set, even of the same
/// nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VoterSet {
    /// Raised by every change; the set with the greater one is in force. 0: no set is known.
    pub generation: VoterGeneration,
    /// The nodes, at most [`VOTERS_MAX`](crate::limits::VOTERS_MAX); empty when none is known.
    pub voters: Vec<NodeId>,
}
