//! The pool itself: brings requests to the leaders of their lanes, and again until they are answered
//! or their clients stop waiting.

use std::collections::HashSet;
use std::rc::Rc;

use common::failure::{Failure, FailureCode};
use common::ids::{LogicGroup, NodeId, TopologyVersion};
use common::op::Op;
use common::view::{GroupView, ViewCache};
use common::wire::frame::FrameType;
use common::wire::request::{self, RequestHead};
use common::wire::views::Views;

use crate::pool::asker::Asker;
use crate::pool::connection::Connection;
use crate::pool::lane_queue::{Leader, Step};
use crate::pool::lanes::Lanes;
use crate::pool::nodes::{ConnectionKey, LaneClass, Nodes};
use crate::pool::outcome;
use crate::pool::requests::{About, Key, LaneKey, Requests, Sent, Ticket};
use crate::route::{NodeAddress, RouteTable};

/// Requests above this size go by a connection of their own, so that small ones do not wait behind
/// them.
pub(crate) const LARGE_BYTES: usize = 256 << 10;
/// Most bytes of unanswered requests.
const KEPT_BYTES_MAX: usize = 128 << 20;
/// A request that is on its way for longer makes the pool ask whether there is another leader.
const PATIENCE_MS: u64 = 200;
/// How often the pool looks for lanes without a leader, also those that nobody asks for.
const LOOK_MS: u64 = 1_000;

/// One request on its way into the pool.
pub(crate) struct Request<'r, 'a> {
    pub(crate) ticket: Ticket,
    /// Its since-epoch and attempt are filled in whenever it is sent.
    pub(crate) head: RequestHead,
    pub(crate) op: &'r Op<'a>,
    /// When the client stops waiting, in milliseconds of the worker's clock.
    pub(crate) deadline_ms: u64,
    /// Whether the request is large (see [`LARGE_BYTES`]).
    pub(crate) large: bool,
}

/// Requests that ended without a reply.
pub(crate) type GivenUp = Vec<(Ticket, Failure)>;

/// The unanswered requests of a worker, its connections, and its picture of who leads which lane.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(super) route: Rc<RouteTable>,
    pub(super) nodes: Nodes,
    pub(super) lanes: Lanes,
    pub(super) requests: Requests,
    pub(super) views: ViewCache,
    asker: Asker,
    look_ms: u64,
    /// Requests that had to be repeated, since the last [`Self::take_retries`].
    retries: u64,
    views_adopted: u64,
    /// Keys for a loop, kept for their memory.
    scratch: Vec<Key>,
}

impl Pool {
    /// The pool of a route table; connections that need a task are in [`Self::take_wanted`].
    pub(crate) fn new(route: Rc<RouteTable>) -> Self {
        let mut pool = Self {
            route: Rc::clone(&route),
            nodes: Nodes::default(),
            lanes: Lanes::default(),
            requests: Requests::default(),
            views: ViewCache::default(),
            asker: Asker::default(),
            look_ms: 0,
            retries: 0,
            views_adopted: 0,
            scratch: Vec::new(),
        };
        pool.apply(route, 0);
        pool
    }

    /// Takes over a route table. Requests on their way to nodes that left are repeated elsewhere.
    pub(crate) fn apply(&mut self, route: Rc<RouteTable>, now_ms: u64) {
        for closed in self.nodes.apply(&route) {
            self.lose(closed, "the node left the topology", now_ms);
        }
        self.lanes.resize(route.logic_groups(), route.servers_max());
        let groups = route.logic_groups();
        self.route = route;
        for group in (0..groups).map(LogicGroup) {
            self.follow_view(group, now_ms);
        }
    }

    /// Takes a request: sends it, or keeps it until it can be sent.
    ///
    /// # Errors
    /// Too many wait already, or there is no such lane; nothing was taken.
    pub(crate) fn submit(&mut self, request: &Request<'_, '_>, now_ms: u64) -> Result<(), Failure> {
        let Request { ticket, head, op, deadline_ms, large } = *request;
        let lane = LaneKey { lane: head.lane, large };
        if self.requests.bytes() > KEPT_BYTES_MAX {
            let most = KEPT_BYTES_MAX >> 20;
            return Err(outcome::too_much(
                ticket.group,
                &format!("more than {most} MiB of requests"),
            ));
        }
        let Some(queue) = self.lanes.get_mut(lane) else {
            let text = format!("{}: not in the topology", head.lane);
            return Err(Failure::new(FailureCode::NoServer, text));
        };
        let read = op.is_read();
        let about = About { ticket, lane, deadline_ms, read, sent: None, maybe_applied: false };
        let encode = |out: &mut Vec<u8>| request::encode_op(out, op);
        let Some(key) = self.requests.add(about, head, encode) else {
            let many = format!("{} requests", self.requests.len());
            return Err(outcome::too_much(ticket.group, &many));
        };
        if queue.on_submit(key, now_ms) {
            self.transmit(key, lane, now_ms);
        } else {
            self.lanes.note(lane);
        }
        Ok(())
    }

    /// Sends a request that the lane counts as on its way, or gives it back to the lane.
    fn transmit(&mut self, key: Key, lane: LaneKey, now_ms: u64) {
        let Some(queue) = self.lanes.get_mut(lane) else { return };
        let target = queue.target();
        let link = target.and_then(|(at, since)| {
            let (to, connection) = self.nodes.link(at, lane.lane.group, lane.large)?;
            Some((to, connection, since))
        });
        let Some((to, connection, since)) = link else {
            queue.on_returned(key, None, now_ms, rt::random::u64);
            return self.lanes.note(lane);
        };
        let sent = Sent { to, at_ms: now_ms };
        let end = connection.out().end();
        if !self.requests.send(key, sent, end, |head| head.since = since) {
            // It left while it waited.
            queue.on_given_up(now_ms, rt::random::u64);
        }
    }

    /// Does what the lane's state asks for.
    fn step(&mut self, lane: LaneKey, now_ms: u64) {
        while let Some(queue) = self.lanes.get_mut(lane) {
            match queue.step(now_ms) {
                Step::Wait => return,
                Step::Send(key) => self.transmit(key, lane, now_ms),
                Step::TakeBack => self.take_back_deposed(lane, now_ms),
            }
        }
    }

    /// Takes back what was sent to deposed leaders that had their time, of this lane and all others
    /// together: a server that freezes may have led thousands of them, and every request is looked at.
    fn take_back_deposed(&mut self, lane: LaneKey, now_ms: u64) {
        let mut due = HashSet::new();
        let stalled = self.lanes.stalled().to_vec();
        for lane in stalled.into_iter().chain([lane]) {
            let queue = self.lanes.get_mut(lane);
            if queue.is_some_and(|queue| queue.begin_taking_back(now_ms)) {
                due.insert(lane);
            }
        }
        let reason = "deposed, and does not answer";
        self.take_back(|about| due.contains(&about.lane), reason, now_ms);
    }

    /// Requests on their way get no answer any more: they are repeated.
    fn take_back(&mut self, lost: impl Fn(&About) -> bool, reason: &str, now_ms: u64) {
        let mut keys = std::mem::take(&mut self.scratch);
        let on_way = |about: &About| about.sent.is_some() && lost(about);
        keys.extend(self.requests.iter().filter(|(_, about)| on_way(about)).map(|(key, _)| key));
        for key in keys.drain(..) {
            let Some(about) = self.requests.get(key).copied() else { continue };
            let maybe = outcome::may_be_applied_unanswered(&about);
            self.repeat(key, about, maybe, reason, now_ms);
        }
        self.scratch = keys;
    }

    /// Gives a request that was on its way back to its lane.
    fn repeat(&mut self, key: Key, about: About, maybe_applied: bool, reason: &str, now_ms: u64) {
        let by = about.sent.and_then(|sent| self.nodes.id_of(sent.to));
        if let Some(about) = self.requests.get_mut(key) {
            about.sent = None;
            about.maybe_applied |= maybe_applied;
        }
        if let Some(queue) = self.lanes.get_mut(about.lane) {
            queue.on_returned(key, by.map(|by| (by, reason)), now_ms, rt::random::u64);
        }
        self.retries += 1;
        self.lanes.note(about.lane);
    }

    /// A node replied. Whose reply it is; `None` if nobody waits for it any more.
    pub(crate) fn on_reply(&mut self, id: u64, now_ms: u64) -> Option<Ticket> {
        let key = self.requests.of_id(id)?;
        self.end(key, now_ms).map(|about| about.ticket)
    }

    /// A node refused. What its owner is to be told; `None` if nobody waits for it any more, or if
    /// the request is repeated.
    pub(crate) fn on_failure(
        &mut self,
        id: u64,
        mut failure: Failure,
        now_ms: u64,
    ) -> Option<(Ticket, Failure)> {
        let key = self.requests.of_id(id)?;
        let about = *self.requests.get(key)?;
        let view = failure.view.take();
        // The request's own books first: following the view steps its lane, which may take back what
        // is on its way, and this request is not on its way any more.
        let ended = if outcome::is_retryable(failure.code) {
            let maybe = outcome::may_be_applied(&about, failure.code);
            self.repeat(key, about, maybe, &failure.detail, now_ms);
            None
        } else {
            self.end(key, now_ms).map(|about| (about.ticket, outcome::definitive(&about, failure)))
        };
        if let Some(view) = view {
            self.on_view(about.ticket.group, *view, now_ms);
        }
        self.step(about.lane, now_ms);
        ended
    }

    fn end(&mut self, key: Key, now_ms: u64) -> Option<About> {
        let about = self.requests.remove(key)?;
        if let Some(queue) = self.lanes.get_mut(about.lane) {
            queue.on_answered();
            if queue.is_stalled() {
                self.step(about.lane, now_ms);
            }
        }
        Some(about)
    }

    /// A connection is made. Requests that waited for it go out; the first one of a node also asks
    /// for its views.
    pub(crate) fn on_up(
        &mut self,
        key: ConnectionKey,
        workers: u16,
        topology: TopologyVersion,
        now_ms: u64,
    ) {
        self.nodes.on_up(key, workers, topology);
        if key.lane_class == LaneClass::Worker(0) {
            self.nodes.tell(key, FrameType::AskViews, &[]);
        }
        let Some(at) = self.nodes.index_of(key) else { return };
        for lane in self.lanes.stalled().to_vec() {
            if let Some(queue) = self.lanes.get_mut(lane)
                && queue.target().is_some_and(|(leader, _)| leader == at)
            {
                queue.on_connected(now_ms);
                self.step(lane, now_ms);
            }
        }
    }

    /// A connection broke or was not made. What was on its way is repeated under its request id.
    pub(crate) fn on_down(&mut self, key: ConnectionKey, error: &str, now_ms: u64) {
        self.nodes.on_down(key, error);
        self.lose(key, error, now_ms);
    }

    fn lose(&mut self, key: ConnectionKey, error: &str, now_ms: u64) {
        self.take_back(|about| about.sent.is_some_and(|sent| sent.to == key), error, now_ms);
    }

    /// A node told what it knows. Whether the voters are others than before.
    pub(crate) fn on_views(&mut self, views: Views, now_ms: u64) -> bool {
        for register in views.chosen() {
            self.on_view(register.group, register.view(), now_ms);
        }
        self.views.adopt_voters(views.voters)
    }

    fn on_view(&mut self, group: LogicGroup, view: GroupView, now_ms: u64) {
        if self.views.adopt(group, view) {
            self.views_adopted += 1;
            self.follow_view(group, now_ms);
        }
    }

    /// Points the lanes of a group to their leaders.
    fn follow_view(&mut self, group: LogicGroup, now_ms: u64) {
        for lane in self.lanes.keys_of(group) {
            let leader = self.views.leader(lane.lane);
            let leader = leader.map(|(node, since)| Leader { node, since });
            let place = leader.and_then(|leader| self.nodes.place_of(leader.node));
            let Some(queue) = self.lanes.get_mut(lane) else { continue };
            queue.on_leader(leader, place, now_ms);
            if queue.is_stalled() {
                self.lanes.note(lane);
                self.step(lane, now_ms);
            }
        }
    }

    /// Whether [`Self::retry`] is wanted soon.
    pub(crate) fn is_stalled(&self) -> bool {
        !self.lanes.stalled().is_empty()
    }

    /// Repeats what is due, and asks for views while requests wait.
    pub(crate) fn retry(&mut self, now_ms: u64) {
        for lane in self.lanes.stalled().to_vec() {
            self.step(lane, now_ms);
        }
        self.lanes.sweep();
        if self.is_stalled() {
            self.ask(now_ms);
        }
    }

    fn ask(&mut self, now_ms: u64) {
        let nodes = &self.nodes;
        let voters = || {
            let known = self.views.voters();
            let voters = if known.is_empty() { self.route.voters() } else { known };
            voters.iter().filter_map(|voter| nodes.connected_to(*voter)).collect()
        };
        if let Some(key) = self.asker.ask(now_ms, voters, || nodes.connected().collect()) {
            self.nodes.tell(key, FrameType::AskViews, &[]);
        }
    }

    /// From time to time: whether the leader of some lane is not known or not connected. A proxy that
    /// is not ready is sent no requests, so none of them would make it ask.
    fn misses_a_leader(&mut self, now_ms: u64) -> bool {
        if now_ms < self.look_ms {
            return false;
        }
        self.look_ms = now_ms + LOOK_MS;
        let is_led = |lane| {
            let queue = self.lanes.get(LaneKey { lane, large: false });
            queue.and_then(|queue| queue.target()).is_some_and(|(at, _)| self.nodes.is_up(at))
        };
        let mut groups = (0..self.route.logic_groups()).map(LogicGroup);
        groups.any(|group| !self.route.lanes_of(group).into_iter().all(is_led))
    }

    /// Gives up the requests whose clients stop waiting, and asks for views if others wait long or a
    /// lane has no leader.
    pub(crate) fn expire(&mut self, now_ms: u64, given_up: &mut GivenUp) {
        let mut keys = std::mem::take(&mut self.scratch);
        let mut slow = false;
        for (key, about) in self.requests.iter() {
            slow |= about.sent.is_some_and(|sent| sent.at_ms + PATIENCE_MS <= now_ms);
            if about.deadline_ms <= now_ms {
                keys.push(key);
            }
        }
        let some = !keys.is_empty();
        // Told before any of them leaves: one may be what the others waited for.
        let abouts = keys.iter().filter_map(|key| self.requests.get(*key));
        given_up.extend(abouts.map(|about| (about.ticket, self.failure_at_deadline(about))));
        for key in keys.drain(..) {
            let Some(about) = self.requests.remove(key) else { continue };
            if about.sent.is_some()
                && let Some(queue) = self.lanes.get_mut(about.lane)
            {
                queue.on_given_up(now_ms, rt::random::u64);
            }
        }
        self.scratch = keys;
        if some {
            for lane in self.lanes.stalled().to_vec() {
                if let Some(queue) = self.lanes.get_mut(lane) {
                    queue.retain(|key| self.requests.holds(key));
                }
            }
        }
        if self.misses_a_leader(now_ms) || slow {
            self.ask(now_ms);
        }
    }

    /// The next connected node, by turns, is asked for its topology and for its views: a pool whose
    /// requests are all answered would not learn of other voters, and refuse a file that names them.
    pub(crate) fn ask_what_is_in_force(&mut self, turn: usize) {
        let connected: Vec<_> = self.nodes.connected().collect();
        if let Some(key) = connected.get(turn % connected.len().max(1)) {
            self.nodes.tell(*key, FrameType::AskViews, &[]);
            self.nodes.tell(*key, FrameType::AskTopology, &[]);
        }
    }

    /// Tells every connected node the text of a topology file.
    pub(crate) fn announce(&mut self, text: &str) {
        for key in self.nodes.connected().collect::<Vec<_>>() {
            self.nodes.tell(key, FrameType::Announce, text.as_bytes());
        }
    }

    /// Puts a frame that is no request on a connection, if it is up.
    pub(crate) fn tell(&mut self, key: ConnectionKey, kind: FrameType, body: &[u8]) {
        self.nodes.tell(key, kind, body);
    }

    /// A node said what topology it knows.
    pub(crate) fn on_topology(&mut self, key: ConnectionKey, version: TopologyVersion) {
        self.nodes.on_topology(key, version);
    }

    /// The connection, unless its node left.
    pub(crate) fn connection(&mut self, key: ConnectionKey) -> Option<&mut Connection> {
        self.nodes.get_mut(key)
    }

    /// Where the connection's node is, unless it left.
    pub(crate) fn address(&self, key: ConnectionKey) -> Option<NodeAddress> {
        self.nodes.address(key).cloned()
    }

    /// Connections that need a task.
    pub(crate) fn take_wanted(&mut self) -> Vec<ConnectionKey> {
        self.nodes.take_wanted()
    }

    /// Connections that have something to write since the last call.
    pub(crate) fn take_dirty(&mut self, into: &mut Vec<ConnectionKey>) {
        self.nodes.take_dirty(into);
    }

    /// Whether somebody has to write, or to start a task.
    pub(crate) fn is_dirty(&self) -> bool {
        self.nodes.is_dirty()
    }

    /// Requests that are not answered yet.
    pub(crate) fn unanswered(&self) -> usize {
        self.requests.len()
    }

    /// The voters in force as far as known.
    pub(crate) fn voters(&self) -> &[NodeId] {
        self.views.voters()
    }

    /// Requests that were repeated and views that were adopted since the last call.
    pub(crate) fn take_counts(&mut self) -> (u64, u64) {
        (std::mem::take(&mut self.retries), std::mem::take(&mut self.views_adopted))
    }
}
