//! What the pool tells people: why a request was given up, and how nodes and lanes are.

use std::collections::HashMap;

use common::failure::Failure;
use common::ids::{Epoch, LogicGroup, NodeId};

use crate::pool::core::Pool;
use crate::pool::nodes::NodeStatus;
use crate::pool::outcome;
use crate::pool::requests::{About, LaneKey};
use crate::route::NodeIndex;

/// What the admin endpoints show of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LaneStatus {
    /// Its leader, if the topology has it, and since when it leads. Not its place: who looks may have
    /// a newer topology.
    pub(crate) leader: Option<(NodeId, Epoch)>,
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

    /// Why each server of the group does not serve the request's lane, and which of them leads it.
    fn reasons(&self, about: &About) -> String {
        let queue = self.lanes.get(about.lane);
        let leader = queue.and_then(|queue| queue.leader());
        let mut reasons = String::new();
        for at in self.route.servers_of(about.ticket.group) {
            if !reasons.is_empty() {
                reasons.push_str("; ");
            }
            let leads = leader.is_some_and(|leader| self.nodes.id_at(*at) == Some(leader.node));
            reasons.extend([self.nodes.about(*at).0, if leads { ": leads it: " } else { ": " }]);
            reasons.push_str(&self.reason(about, *at, leads));
        }
        match leader {
            None => reasons.push_str("; no server knows who leads it"),
            Some(leader) if self.nodes.place_of(leader.node).is_none() => {
                reasons.push_str("; its leader is not in this proxy's topology");
            }
            Some(_) => {}
        }
        reasons
    }

    /// Why one server does not serve the request's lane.
    fn reason(&self, about: &About, at: NodeIndex, leads: bool) -> String {
        let (_, link) = self.nodes.about(at);
        if !self.nodes.is_up(at) {
            return link.to_owned();
        }
        if about.sent.is_some_and(|sent| self.nodes.index_of(sent.to) == Some(at)) {
            return "does not answer".to_owned();
        }
        let LaneKey { lane, large } = about.lane;
        let queue = self.lanes.get(about.lane);
        let obstacle = leads.then(|| self.nodes.obstacle(at, lane.group, large)).flatten();
        let is_held = leads && queue.is_some_and(|queue| queue.in_flight() > 0);
        let refused = queue.and_then(|queue| queue.reason());
        let refused = refused.filter(|(by, _)| self.nodes.id_at(at) == Some(*by));
        match (obstacle, refused) {
            (Some(obstacle), _) => obstacle,
            (None, Some((_, text))) if is_held => {
                format!("does not answer a request before this one; it said: {text}")
            }
            (None, None) if is_held => "does not answer a request before this one".to_owned(),
            (None, Some((_, text))) => text.to_owned(),
            (None, None) => link.to_owned(),
        }
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
                let target = of(false).and_then(|queue| queue.target());
                LaneStatus {
                    leader: target.and_then(|(at, since)| Some((self.nodes.id_at(at)?, since))),
                    connected: target.is_some_and(|(at, _)| self.nodes.is_up(at)),
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
