//! How the workers together reach the nodes and know the leaders: what the admin endpoints show.

use std::collections::BTreeMap;

use common::ids::{LogicGroup, NodeId};
use config::{PhysicalGroup, Topology};

use crate::pool::{LaneStatus, LinkState, NodeStatus};
use crate::worker::WorkerStatus;

/// Merged over the workers: connections and leaders are as well as they are for the worker that is
/// worst off, a node's topology is the greatest that any worker was told, and numbers are added up.
#[derive(Debug, Default)]
pub(crate) struct Status {
    /// By name.
    pub(crate) nodes: BTreeMap<String, NodeStatus>,
    /// For each logic group its lanes by server index.
    lanes: Vec<Vec<LaneStatus>>,
}

impl Status {
    /// Adds what a worker says.
    pub(crate) fn add(&mut self, worker: WorkerStatus) {
        for status in worker.nodes {
            match self.nodes.get_mut(&status.name) {
                None => drop(self.nodes.insert(status.name.clone(), status)),
                Some(all) => add_node(all, status),
            }
        }
        if self.lanes.is_empty() {
            self.lanes = worker.lanes;
            return;
        }
        let all = self.lanes.iter_mut().flatten();
        for (all, lane) in all.zip(worker.lanes.into_iter().flatten()) {
            let since = |lane: &LaneStatus| lane.leader.map(|(_, since)| since);
            if since(&lane) < since(all) {
                all.leader = lane.leader;
            }
            all.connected &= lane.connected;
            all.waiting += lane.waiting;
        }
    }

    /// The lanes of a logic group by server index.
    pub(crate) fn lanes(&self, group: u16) -> Vec<LaneStatus> {
        self.lanes.get(usize::from(group)).cloned().unwrap_or_default()
    }

    /// The groups with a lane that nobody is known to lead, or whose leader is not connected.
    pub(crate) fn not_served(&self, topology: &Topology) -> Vec<String> {
        let served = |group: &LogicGroup| {
            let lanes = self.lanes(group.0);
            !lanes.is_empty() && lanes.iter().all(|lane| lane.leader.is_some() && lane.connected)
        };
        let line = |group: &PhysicalGroup| {
            let missing: Vec<_> =
                group.logic_groups.iter().filter(|logic| !served(logic)).collect();
            let first = missing.first()?;
            let more = match missing.len() - 1 {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let name = &group.name;
            Some(format!("group {name}: no leader is connected for logic {first}{more}"))
        };
        topology.physical_groups().iter().filter_map(line).collect()
    }

    /// The servers of groups, and the file's voters, that are not connected.
    pub(crate) fn not_connected(&self, topology: &Topology) -> Vec<String> {
        let away = |id: &NodeId| {
            let server = topology.server_by_id(*id)?;
            let why = match self.nodes.get(&server.name).map(|status| &status.state) {
                Some(LinkState::Up) => return None,
                Some(LinkState::Down { error }) => error.as_str(),
                Some(LinkState::Connecting) | None => "connecting",
            };
            Some(format!("{}: {why}", server.name))
        };
        let mut lines = Vec::new();
        for group in topology.physical_groups() {
            let away = group.servers.iter().filter_map(away);
            lines.extend(away.map(|line| format!("group {}: {line}", group.name)));
        }
        let has_data = |id: &&NodeId| topology.place_of_server(**id).is_some();
        let without_data = topology.voters().iter().filter(|id| !has_data(id));
        lines.extend(without_data.filter_map(away).map(|line| format!("voter {line}")));
        lines
    }
}

fn add_node(all: &mut NodeStatus, status: NodeStatus) {
    all.in_flight += status.in_flight;
    all.connections += status.connections;
    all.requests += status.requests;
    all.failures += status.failures;
    all.topology = all.topology.max(status.topology);
    if all.state == LinkState::Up {
        all.state = status.state;
    }
}

#[cfg(test)]
mod tests {
    use common::ids::{Epoch, NodeId};

    use super::*;

    const TOPOLOGY: &str = "format: 1
cluster: demo
epoch: 1
logic_groups: 2
servers:
  a1: { address: \"h:1\", admin: \"h:2\" }
  a2: { address: \"h:3\", admin: \"h:4\" }
  w1: { address: \"h:5\", admin: \"h:6\" }
voters: [a1, a2, w1]
physical_groups:
  a: { servers: [a1, a2], logic_groups: \"0-1\" }
";

    fn lane(leader: Option<(&str, u64)>, connected: bool) -> LaneStatus {
        let leader = leader.map(|(node, since)| (NodeId::of_name(node), Epoch(since)));
        LaneStatus { leader, connected, waiting: 1 }
    }

    fn worker(a2: LinkState, lanes: [LaneStatus; 4]) -> WorkerStatus {
        let node = |name: &str, state| NodeStatus {
            name: name.to_owned(),
            state,
            topology: None,
            in_flight: 2,
            connections: 1,
            requests: 3,
            failures: 0,
        };
        let nodes = vec![node("a1", LinkState::Up), node("a2", a2), node("w1", LinkState::Up)];
        WorkerStatus { nodes, lanes: lanes.chunks(2).map(<[_]>::to_vec).collect() }
    }

    #[test]
    fn a_voter_without_data_that_is_away_is_told() {
        let topology = Topology::parse(TOPOLOGY).unwrap();
        let mut status = Status::default();
        status.add(worker(LinkState::Up, [lane(None, false); 4]));
        assert!(status.not_connected(&topology).is_empty());
        status.nodes.get_mut("w1").unwrap().state = LinkState::Down { error: "refused".to_owned() };
        assert_eq!(status.not_connected(&topology), ["voter w1: refused"]);
    }

    #[test]
    fn a_node_that_is_down_is_told_but_only_a_lane_without_leader_is_not_ready() {
        let topology = Topology::parse(TOPOLOGY).unwrap();
        let down = || LinkState::Down { error: "refused".to_owned() };
        let led = lane(Some(("a1", 2)), true);
        let mut status = Status::default();
        assert_eq!(status.not_served(&topology).len(), 1, "nothing is known yet");
        status.add(worker(LinkState::Up, [led; 4]));
        assert!(status.not_served(&topology).is_empty());
        assert!(status.not_connected(&topology).is_empty());
        status.add(worker(down(), [led; 4]));
        assert!(status.not_served(&topology).is_empty());
        assert_eq!(status.not_connected(&topology), ["group a: a2: refused"]);
        assert_eq!((status.nodes["a1"].requests, status.lanes(0)[0].waiting), (6, 2));
        status.add(worker(down(), [led, lane(Some(("a2", 1)), false), led, lane(None, false)]));
        let lines = status.not_served(&topology);
        assert_eq!(lines, ["group a: no leader is connected for logic group 0 and 1 more"]);
        let leaders: Vec<_> = status.lanes(1).iter().map(|lane| lane.leader.is_some()).collect();
        assert_eq!(leaders, [true, false]);
    }
}
