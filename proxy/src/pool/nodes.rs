//! All connections of a worker: for each node one per node worker, and one for large requests.

use common::failure::Failure;
use common::ids::LogicGroup;
use common::op::Op;
use common::wire::frame::{self, FrameType};
use common::wire::request::{self, RequestHead};

use crate::pool::connection::{Connection, LinkState};
use crate::pool::in_flight::Ticket;
use crate::route::{NodeAddress, NodeIndex, RouteTable};

/// Requests above this size go by a connection of their own, so that small ones do not wait behind
/// them.
pub(crate) const LARGE_BYTES: usize = 256 << 10;

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

impl LaneClass {
    /// The node's worker at the other end.
    pub(crate) fn worker(self) -> u16 {
        let (Self::Worker(worker) | Self::Large(worker)) = self;
        worker
    }

    fn is_large(self) -> bool {
        matches!(self, Self::Large(_))
    }
}

#[derive(Debug)]
struct Node {
    number: u64,
    at: NodeAddress,
    /// Number of the node's workers, 1 until it said so.
    workers: u16,
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

    fn in_flight(&self) -> usize {
        self.connections.iter().map(|(_, link)| link.in_flight()).sum()
    }
}

/// One request on its way into the pool.
pub(crate) struct Request<'r, 'a> {
    pub(crate) ticket: Ticket,
    pub(crate) head: RequestHead,
    pub(crate) op: &'r Op<'a>,
    /// When the client stops waiting, in milliseconds of the worker's clock.
    pub(crate) deadline_ms: u64,
    /// Whether the request is large (see [`LARGE_BYTES`]).
    pub(crate) large: bool,
}

/// What the admin endpoints show of a node.
#[derive(Clone, Debug)]
pub(crate) struct NodeStatus {
    pub(crate) name: String,
    pub(crate) state: LinkState,
    pub(crate) in_flight: usize,
    pub(crate) connections: usize,
    pub(crate) requests: u64,
    pub(crate) failures: u64,
}

/// The connections of one worker.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    nodes: Vec<Node>,
    next_number: u64,
    wanted: Vec<ConnectionKey>,
    dirty: Vec<ConnectionKey>,
}

impl Pool {
    /// Takes over the nodes of a route table; nodes are told apart by name and address. Requests on
    /// connections that are closed by this are given up. New connections are in
    /// [`Self::take_wanted`].
    pub(crate) fn apply(&mut self, route: &RouteTable, given_up: &mut Vec<(Ticket, Failure)>) {
        let mut old = std::mem::take(&mut self.nodes);
        for at in route.nodes() {
            if let Some(place) = old.iter().position(|node| node.at == *at) {
                self.nodes.push(old.swap_remove(place));
                continue;
            }
            self.next_number += 1;
            let number = self.next_number;
            self.nodes.push(Node {
                number,
                at: at.clone(),
                workers: 1,
                connections: Vec::new(),
                requests: 0,
                failures: 0,
            });
            self.open(self.nodes.len() - 1, LaneClass::Worker(0));
        }
        for mut node in old {
            for (_, connection) in &mut node.connections {
                connection.on_down("the node left the topology".to_owned(), given_up);
                connection.expire(u64::MAX, given_up);
            }
        }
    }

    fn open(&mut self, place: usize, lane_class: LaneClass) {
        if let Some(node) = self.nodes.get_mut(place) {
            node.connections.push((lane_class, Connection::new()));
            self.wanted.push(ConnectionKey { node: node.number, lane_class });
        }
    }

    /// Whether connections need a task.
    pub(crate) fn wants_tasks(&self) -> bool {
        !self.wanted.is_empty()
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

    /// Takes a request for a node.
    ///
    /// # Errors
    /// Too much waits for that node already, or the node is unknown; nothing was taken.
    pub(crate) fn send(&mut self, to: NodeIndex, request: &Request<'_, '_>) -> Result<(), Failure> {
        let Some(node) = self.nodes.get_mut(to.0) else {
            return Err(Failure::new(
                common::failure::FailureCode::NoServer,
                "the server is not in the topology",
            ));
        };
        let worker = worker_of(request.head.lane.group, node.workers);
        let lane_class =
            if request.large { LaneClass::Large(worker) } else { LaneClass::Worker(worker) };
        node.requests += 1;
        if node.get(lane_class).is_none() {
            self.open(to.0, lane_class);
        }
        let Some(node) = self.nodes.get_mut(to.0) else { return Ok(()) };
        let Some(connection) = node.get_mut(lane_class) else { return Ok(()) };
        let idle = connection.out().is_empty();
        let encode = |id, out: &mut Vec<u8>| {
            frame::encode(out, FrameType::Request, id, |body| {
                request.head.encode(body);
                request::encode_op(body, request.op);
            });
        };
        let (ticket, read) = (request.ticket, request.op.is_read());
        let taken = connection.send(ticket, request.deadline_ms, read, encode);
        if taken.is_ok() && idle && !connection.out().is_empty() {
            self.dirty.push(ConnectionKey { node: node.number, lane_class });
        }
        taken
    }

    /// The connection, unless its node left.
    pub(crate) fn connection(&mut self, key: ConnectionKey) -> Option<&mut Connection> {
        self.node(key)?.get_mut(key.lane_class)
    }

    /// Where the connection's node is, unless it left.
    pub(crate) fn address(&mut self, key: ConnectionKey) -> Option<NodeAddress> {
        self.node(key).map(|node| node.at.clone())
    }

    /// The node said how many workers it has. Requests that waited for it were sorted by what was
    /// known before.
    pub(crate) fn on_workers(&mut self, key: ConnectionKey, workers: u16) {
        let Some(place) = self.nodes.iter().position(|node| node.number == key.node) else {
            return;
        };
        let Some(node) = self.nodes.get_mut(place) else { return };
        if std::mem::replace(&mut node.workers, workers) == workers {
            return;
        }
        let mut moved = Vec::new();
        for (lane_class, connection) in &mut node.connections {
            let belongs = |group| lane_class.worker() == worker_of(group, workers);
            let of_class = connection.take_waiting(|group| !belongs(group));
            moved.extend(of_class.into_iter().map(|moved| (lane_class.is_large(), moved)));
        }
        for (large, moved) in moved {
            let worker = worker_of(moved.group(), workers);
            let lane_class =
                if large { LaneClass::Large(worker) } else { LaneClass::Worker(worker) };
            if self.nodes.get(place).is_some_and(|node| node.get(lane_class).is_none()) {
                self.open(place, lane_class);
            }
            let connection = self.nodes.get_mut(place).and_then(|node| node.get_mut(lane_class));
            if let Some(connection) = connection {
                connection.take_over(moved);
            }
        }
    }

    /// Tells every connected node the text of a topology file.
    pub(crate) fn announce(&mut self, text: &str) {
        let key =
            |node: &Node| ConnectionKey { node: node.number, lane_class: LaneClass::Worker(0) };
        let keys: Vec<_> = self.nodes.iter().map(key).collect();
        keys.into_iter().for_each(|key| self.announce_to(key, text));
    }

    /// Tells one node, if it is connected.
    pub(crate) fn announce_to(&mut self, key: ConnectionKey, text: &str) {
        let Some(connection) = self.connection(key) else { return };
        connection.tell(|out| {
            frame::encode(out, FrameType::Announce, 0, |body| {
                body.extend_from_slice(text.as_bytes());
            });
        });
        self.dirty.push(key);
    }

    /// The connection broke or was not made.
    pub(crate) fn on_down(
        &mut self,
        key: ConnectionKey,
        error: &str,
        given_up: &mut Vec<(Ticket, Failure)>,
    ) {
        let Some(node) = self.node(key) else { return };
        node.failures += 1;
        let from = given_up.len();
        if let Some(connection) = node.get_mut(key.lane_class) {
            connection.on_down(error.to_owned(), given_up);
        }
        name_server(&node.at, given_up, from);
    }

    /// Gives up the requests of all connections whose clients stop waiting.
    pub(crate) fn expire(&mut self, now_ms: u64, given_up: &mut Vec<(Ticket, Failure)>) {
        for node in &mut self.nodes {
            let from = given_up.len();
            for (_, connection) in &mut node.connections {
                connection.expire(now_ms, given_up);
            }
            name_server(&node.at, given_up, from);
        }
    }

    /// Requests that are not answered yet.
    pub(crate) fn in_flight(&self) -> usize {
        let of_node = |node: &Node| node.in_flight();
        self.nodes.iter().map(of_node).sum()
    }

    /// All nodes for the admin endpoints.
    pub(crate) fn status(&self) -> Vec<NodeStatus> {
        let status = |node: &Node| NodeStatus {
            name: node.at.name.clone(),
            state: node
                .get(LaneClass::Worker(0))
                .map_or(LinkState::Connecting, |connection| connection.state().clone()),
            in_flight: node.in_flight(),
            connections: node
                .connections
                .iter()
                .filter(|(_, link)| *link.state() == LinkState::Up)
                .count(),
            requests: node.requests,
            failures: node.failures,
        };
        self.nodes.iter().map(status).collect()
    }

    fn node(&mut self, key: ConnectionKey) -> Option<&mut Node> {
        self.nodes.iter_mut().find(|node| node.number == key.node)
    }
}

/// Failures say which group and server they are about.
fn name_server(at: &NodeAddress, failures: &mut [(Ticket, Failure)], from: usize) {
    for (ticket, failure) in failures.iter_mut().skip(from) {
        failure.detail = format!("{} ({}): {}", ticket.group, at.name, failure.detail);
    }
}

fn worker_of(group: LogicGroup, workers: u16) -> u16 {
    group.0 % workers.max(1)
}
