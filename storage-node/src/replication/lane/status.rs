//! What an operator, and the driver, want to know of a lane.

use common::ids::{Lsn, NodeId};

use super::leading::Leading;
use super::replica::{LaneReplica, Role};

/// What a follower is for its leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// In R: its acknowledgement is needed.
    InStep,
    /// Its acknowledgement is needed already, since it is about to enter R.
    Returning,
    /// Nothing waits for it.
    Away,
}

/// A configured server as the leader of a lane sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowerStatus {
    /// The server.
    pub node: NodeId,
    /// Last record of the leader's stream that it handed to its kernel; 0 for none.
    pub written: Lsn,
    /// Last record of the leader's stream that is durable there; 0 for none.
    pub durable: Lsn,
    /// Milliseconds since it was heard in this term; `None` if it never was.
    pub heard_ms_ago: Option<u64>,
    /// What it is for the leader.
    pub standing: Standing,
    /// It needs records that have left the leader's log.
    pub needs_reseed: bool,
}

impl Leading {
    fn standing(&self, node: NodeId) -> Standing {
        if self.needed.contains(&node) {
            Standing::InStep
        } else if self.extra.contains(&node) {
            Standing::Returning
        } else {
            Standing::Away
        }
    }
}

impl LaneReplica {
    /// This server serves the lane, needs no acknowledgement but its own, and nobody waits for
    /// records: what it makes durable is official.
    #[must_use]
    pub fn alone(&self) -> bool {
        match &self.role {
            Role::Leading(leading) => {
                leading.serves() && leading.all_needed().next().is_none() && !leading.has_parked()
            }
            _ => false,
        }
    }

    /// The other configured servers, as this leader sees them; empty if it does not lead.
    #[must_use]
    pub fn follower_status(&self, now_ms: u64) -> Vec<FollowerStatus> {
        let Role::Leading(leading) = &self.role else {
            return Vec::new();
        };
        let status = |node: &NodeId| {
            let peer = leading.peers.get(node);
            FollowerStatus {
                node: *node,
                written: peer.map_or(Lsn(0), |peer| peer.written),
                durable: peer.map_or(Lsn(0), |peer| peer.durable),
                heard_ms_ago: peer.and_then(|peer| peer.heard_ms_ago(now_ms)),
                standing: leading.standing(*node),
                needs_reseed: peer.is_some_and(|peer| peer.gone),
            }
        };
        leading.servers.iter().map(status).collect()
    }
}
