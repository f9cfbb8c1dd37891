//! What the pool tells people: why a request was given up, and how nodes and lanes are.

use std::collections::HashMap;

use common::failure::Failure;
use common::ids::{Epoch, LogicGroup};

use crate::pool::core::Pool;
use crate::pool::nodes::NodeStatus;
use crate::pool::outcome;
use crate::pool::requests::{About, LaneKey};
use crate::route::NodeIndex;

/// What the admin endpoints show of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LaneStatus {
    /// Its leader's place in the topology, and since when it leads.
    pub(crate) leader: Option<(NodeIndex, Epoch)>,
    /// Whether the leader is connected.
    pub(crate) connected: bool,
    /// Requests that wait to be sent or to be repeated.
    pub(crate) waiting: usize,
}

impl Pool {
    /// What the client of a request is told when it stops waiting.
    pub(super) fn failure_at_deadline(&self, about: &About) -> Failure {
        let group = about.ticket.group;
        let names: Vec<_> =
            self.route.servers_of(group).iter().map(|at| self.nodes.about(*at).0).collect();
        let servers = format!("{group} ({})", names.join(", "));
        outcome::at_deadline(about, &servers, &self.reasons(about))
    }

    /// Why each server of the group does not serve the request's lane.
    fn reasons(&self, about: &About) -> String {
        let queue = self.lanes.get(about.lane);
        let refused = queue.and_then(|queue| queue.reason());
        let waited_for = about.sent.and_then(|sent| self.nodes.index_of(sent.to));
        let mut reasons = String::new();
        for at in self.route.servers_of(about.ticket.group) {
            let (name, link) = self.nodes.about(*at);
            let reason = match refused {
                _ if !self.nodes.is_up(*at) => link,
                _ if waited_for == Some(*at) => "does not answer",
                Some((by, text)) if by == *at => text,
                _ => link,
            };
            if !reasons.is_empty() {
                reasons.push_str("; ");
            }
            reasons.extend([name, ": ", reason]);
        }
        if queue.is_none_or(|queue| queue.leader().is_none()) {
            reasons.push_str("; no server knows who leads it");
        }
        reasons
    }

    /// All nodes for the admin endpoints.
    pub(crate) fn node_status(&self) -> Vec<NodeStatus> {
        let mut in_flight: HashMap<u64, usize> = HashMap::new();
        for sent in self.requests.iter().filter_map(|(_, about)| about.sent) {
            *in_flight.entry(sent.to.node).or_default() += 1;
        }
        self.nodes.status(|node| in_flight.get(&node).copied().unwrap_or(0))
    }

    /// The lanes of every logic group by server index.
    pub(crate) fn lane_status(&self) -> Vec<Vec<LaneStatus>> {
        let group = |group| {
            self.route.lanes_of(LogicGroup(group)).into_iter().map(|lane| {
                let of = |large| self.lanes.get(LaneKey { lane, large });
                let leader = of(false).and_then(|queue| queue.target());
                LaneStatus {
                    leader,
                    connected: leader.is_some_and(|(at, _)| self.nodes.is_up(at)),
                    waiting: [false, true]
                        .into_iter()
                        .filter_map(of)
                        .map(|queue| queue.waiting())
                        .sum(),
                }
            })
        };
        (0..self.route.logic_groups()).map(|number| group(number).collect()).collect()
    }

    /// How many lanes are stalled: their requests wait for a leader.
    pub(crate) fn stalled(&self) -> usize {
        self.lanes.stalled().len()
    }
}
