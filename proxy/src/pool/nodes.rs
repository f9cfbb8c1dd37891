//! The nodes of a topology and the connections to them: for each node one per node worker, and as
//! many for large requests.

use std::collections::HashMap;
use std::fmt;

use common::ids::{LogicGroup, NodeId, TopologyVersion};
use common::wire::frame::{self, FrameType};

use crate::pool::connection::{Connection, LinkState, UNSENT_BYTES_MAX};
use crate::route::{NodeAddress, NodeIndex, RouteTable};

/// Names one connection. The number of a node is never used again, so the task of a node that left
/// the topology cannot touch its successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ConnectionKey {
    pub(crate) node: u64,
    pub(crate) lane_class: LaneClass,
}

/// Which of a node's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum LaneClass {
    /// Small requests for one of the node's workers.
    Worker(u16),
    /// Large requests for one of the node's workers.
    Large(u16),
}

/// The connection that every node has, and that questions go by.
const FIRST: LaneClass = LaneClass::Worker(0);

impl fmt::Display for LaneClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Worker(worker) => write!(f, "connection to its worker {worker}"),
            Self::Large(worker) => {
                write!(f, "connection to its worker {worker} for large requests")
            }
        }
    }
}

impl LaneClass {
    /// The node's worker at the other end.
    pub(crate) fn worker(self) -> u16 {
        let (Self::Worker(worker) | Self::Large(worker)) = self;
        worker
    }
}

#[derive(Debug)]
struct Node {
    number: u64,
    id: NodeId,
    at: NodeAddress,
    /// Number of the node's workers, 1 until it said so.
    workers: u16,
    /// The topology it knows, once it said so.
    topology: Option<TopologyVersion>,
    /// Few, so looked through.
    connections: Vec<(LaneClass, Connection)>,
    requests: u64,
    failures: u64,
}

impl Node {
    fn get(&self, lane_class: LaneClass) -> Option<&Connection> {
        self.connections.iter().find(|(class, _)| *class == lane_class).map(|(_, link)| link)
    }

    fn get_mut(&mut self, lane_class: LaneClass) -> Option<&mut Connection> {
        self.connections.iter_mut().find(|(class, _)| *class == lane_class).map(|(_, link)| link)
    }

    /// The connection for requests of a group, once there is one.
    fn lane_class(&self, group: LogicGroup, large: bool) -> LaneClass {
        let worker = group.0 % self.workers.max(1);
        if large { LaneClass::Large(worker) } else { LaneClass::Worker(worker) }
    }

    fn is_up(&self) -> bool {
        self.get(FIRST).is_some_and(Connection::is_up)
    }

    fn first(&self) -> ConnectionKey {
        ConnectionKey { node: self.number, lane_class: FIRST }
    }
}

/// What the admin endpoints show of a node.
#[derive(Clone, Debug)]
pub(crate) struct NodeStatus {
    pub(crate) name: String,
    pub(crate) state: LinkState,
    pub(crate) topology: Option<TopologyVersion>,
    pub(crate) in_flight: usize,
    pub(crate) connections: usize,
    pub(crate) requests: u64,
    pub(crate) failures: u64,
}

/// All nodes in the order of the route table.
#[derive(Debug, Default)]
pub(crate) struct Nodes {
    list: Vec<Node>,
    by_id: HashMap<NodeId, NodeIndex>,
    last_number: u64,
    wanted: Vec<ConnectionKey>,
    dirty: Vec<ConnectionKey>,
}

impl Nodes {
    /// Takes over the nodes of a route table; nodes are told apart by name and address. Returns the
    /// connections that are closed by this; new ones are in [`Self::take_wanted`].
    pub(crate) fn apply(&mut self, route: &RouteTable) -> Vec<ConnectionKey> {
        let mut old = std::mem::take(&mut self.list);
        self.by_id.clear();
        for (place, at) in route.nodes().iter().enumerate() {
            let id = NodeId::of_name(&at.name);
            self.by_id.insert(id, NodeIndex(place));
            if let Some(kept) = old.iter().position(|node| node.at == *at) {
                self.list.push(old.swap_remove(kept));
                continue;
            }
            self.last_number += 1;
            self.list.push(Node {
                number: self.last_number,
                id,
                at: at.clone(),
                workers: 1,
                topology: None,
                connections: Vec::new(),
                requests: 0,
                failures: 0,
            });
            self.open(place, FIRST);
        }
        let closed = old.iter().flat_map(|node| {
            let key = |&(lane_class, _): &_| ConnectionKey { node: node.number, lane_class };
            node.connections.iter().map(key)
        });
        closed.collect()
    }

    fn open(&mut self, place: usize, lane_class: LaneClass) {
        if let Some(node) = self.list.get_mut(place) {
            node.connections.push((lane_class, Connection::new()));
            self.wanted.push(ConnectionKey { node: node.number, lane_class });
        }
    }

    /// Where the topology has a server.
    pub(crate) fn place_of(&self, id: NodeId) -> Option<NodeIndex> {
        self.by_id.get(&id).copied()
    }

    /// A server's name and the reason why it cannot be sent to, or "connected".
    pub(crate) fn about(&self, at: NodeIndex) -> (&str, &str) {
        self.list.get(at.0).map_or(("?", "not in the topology"), |node| {
            (&node.at.name, node.get(FIRST).map_or("no connection yet", Connection::reason))
        })
    }

    /// Why a connected server takes no request of a group now, if it does not.
    pub(crate) fn obstacle(&self, at: NodeIndex, group: LogicGroup, large: bool) -> Option<String> {
        let node = self.list.get(at.0)?;
        let lane_class = node.lane_class(group, large);
        let Some(connection) = node.get(lane_class) else {
            return Some(format!("{lane_class}: no connection yet"));
        };
        if !connection.is_up() {
            return Some(format!("{lane_class}: {}", connection.reason()));
        }
        (!connection.takes_requests()).then(|| {
            let most = UNSENT_BYTES_MAX >> 20;
            format!("takes nothing: more than {most} MiB wait to be written to it")
        })
    }

    /// The server at a place.
    pub(crate) fn id_at(&self, at: NodeIndex) -> Option<NodeId> {
        self.list.get(at.0).map(|node| node.id)
    }

    /// The server of a connection, unless it left.
    pub(crate) fn id_of(&self, key: ConnectionKey) -> Option<NodeId> {
        self.node(key).map(|node| node.id)
    }

    /// Whether a server is connected.
    pub(crate) fn is_up(&self, at: NodeIndex) -> bool {
        self.list.get(at.0).is_some_and(Node::is_up)
    }

    /// The connection for a request, if it takes one; opens it if there is none. The request is counted
    /// as handed to it; what is appended is written at the end of the turn.
    pub(crate) fn link(
        &mut self,
        at: NodeIndex,
        group: LogicGroup,
        large: bool,
    ) -> Option<(ConnectionKey, &mut Connection)> {
        let node = self.list.get(at.0)?;
        let lane_class = node.lane_class(group, large);
        if node.get(lane_class).is_none() {
            self.open(at.0, lane_class);
            return None;
        }
        let node = self.list.get_mut(at.0)?;
        let key = ConnectionKey { node: node.number, lane_class };
        let Node { connections, requests, .. } = node;
        let (_, connection) = connections.iter_mut().find(|(class, _)| *class == lane_class)?;
        if !connection.takes_requests() {
            return None;
        }
        *requests += 1;
        if connection.out().is_empty() {
            self.dirty.push(key);
        }
        Some((key, connection))
    }

    /// The connection, unless its node left.
    pub(crate) fn get_mut(&mut self, key: ConnectionKey) -> Option<&mut Connection> {
        self.node_mut(key)?.get_mut(key.lane_class)
    }

    /// Where the connection's node is, unless it left.
    pub(crate) fn address(&self, key: ConnectionKey) -> Option<&NodeAddress> {
        self.node(key).map(|node| &node.at)
    }

    /// The place of the connection's server, unless it left.
    pub(crate) fn index_of(&self, key: ConnectionKey) -> Option<NodeIndex> {
        self.list.iter().position(|node| node.number == key.node).map(NodeIndex)
    }

    /// A connection is made, and its node said how many workers it has and what topology it knows.
    pub(crate) fn on_up(&mut self, key: ConnectionKey, workers: u16, topology: TopologyVersion) {
        let Some(node) = self.node_mut(key) else { return };
        node.workers = workers;
        node.topology = Some(topology);
        if let Some(connection) = node.get_mut(key.lane_class) {
            connection.on_up();
        }
    }

    /// A connection broke or was not made.
    pub(crate) fn on_down(&mut self, key: ConnectionKey, error: &str) {
        let Some(node) = self.node_mut(key) else { return };
        node.failures += 1;
        if let Some(connection) = node.get_mut(key.lane_class) {
            connection.on_down(error);
        }
    }

    /// A node said what topology it knows.
    pub(crate) fn on_topology(&mut self, key: ConnectionKey, version: TopologyVersion) {
        if let Some(node) = self.node_mut(key) {
            node.topology = Some(version);
        }
    }

    /// Puts a frame that is no request on a connection, if it is up.
    pub(crate) fn tell(&mut self, key: ConnectionKey, kind: FrameType, body: &[u8]) {
        let Some(connection) = self.get_mut(key).filter(|connection| connection.is_up()) else {
            return;
        };
        frame::encode(connection.out().end(), kind, 0, |out| out.extend_from_slice(body));
        self.dirty.push(key);
    }

    /// The connections that questions go by, of all nodes that are up.
    pub(crate) fn connected(&self) -> impl Iterator<Item = ConnectionKey> {
        self.list.iter().filter(|node| node.is_up()).map(Node::first)
    }

    /// The connection that questions to a server go by, if it is up.
    pub(crate) fn connected_to(&self, id: NodeId) -> Option<ConnectionKey> {
        let node = self.list.get(self.place_of(id)?.0)?;
        node.is_up().then(|| node.first())
    }

    /// Connections that need a task.
    pub(crate) fn take_wanted(&mut self) -> Vec<ConnectionKey> {
        std::mem::take(&mut self.wanted)
    }

    /// Connections that have something to write since the last call.
    pub(crate) fn take_dirty(&mut self, into: &mut Vec<ConnectionKey>) {
        into.clear();
        into.append(&mut self.dirty);
    }

    /// Whether somebody has to write, or to start a task.
    pub(crate) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty() || !self.wanted.is_empty()
    }

    /// All nodes for the admin endpoints. `in_flight` counts a node's unanswered requests.
    pub(crate) fn status(&self, in_flight: impl Fn(u64) -> usize) -> Vec<NodeStatus> {
        let status = |node: &Node| NodeStatus {
            name: node.at.name.clone(),
            state: node.get(FIRST).map_or(LinkState::Connecting, |link| link.state().clone()),
            topology: node.topology,
            in_flight: in_flight(node.number),
            connections: node.connections.iter().filter(|(_, link)| link.is_up()).count(),
            requests: node.requests,
            failures: node.failures,
        };
        self.list.iter().map(status).collect()
    }

    fn node(&self, key: ConnectionKey) -> Option<&Node> {
        self.list.iter().find(|node| node.number == key.node)
    }

    fn node_mut(&mut self, key: ConnectionKey) -> Option<&mut Node> {
        self.list.iter_mut().find(|node| node.number == key.node)
    }
}
