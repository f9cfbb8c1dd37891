//! The pool as a whole: frames in and out, without sockets.

use std::rc::Rc;

use common::address::Object;
use common::durability::{Acks, Sync};
use common::failure::{Failure, FailureCode};
use common::ids::{
    Epoch, Lane, LogicGroup, NodeId, RequestId, ServerIndex, TopologyVersion, VoterGeneration,
};
use common::op::{Action, Expiry, Get, Op, Part, Want, Write};
use common::register::{LaneLeader, Register, VoterSet};
use common::view::GroupView;
use common::wire::frame::{self, Decoded, FrameType};
use common::wire::request::{self, RequestHead};
use common::wire::views::Views;
use config::Topology;

use super::*;
use crate::route::RouteTable;

mod connections;
mod repeating;

const TOPOLOGY: &str = "format: 1
cluster: demo
epoch: 1
logic_groups: 3
servers:
  a1: { address: \"h:1\", admin: \"h:2\" }
  a2: { address: \"h:3\", admin: \"h:4\" }
  v1: { address: \"h:5\", admin: \"h:6\" }
voters: [a1, a2, v1]
physical_groups:
  a: { servers: [a1, a2], logic_groups: \"0-2\" }
";
const GROUP: LogicGroup = LogicGroup(1);
const LANE: Lane = Lane { group: GROUP, server: ServerIndex(0) };
const DEADLINE_MS: u64 = 5_000;

/// A request as a node receives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Received {
    id: u64,
    request: u128,
    attempt: u8,
    since: u64,
    remaining_ms: u32,
}

struct Bench {
    pool: Pool,
    keys: Vec<ConnectionKey>,
    now_ms: u64,
    submitted: u64,
}

impl Bench {
    /// Both servers and the voter are connected; a1 leads every lane since epoch 1.
    fn led() -> Self {
        let mut bench = Self::new();
        (0..3).for_each(|node| bench.up(node));
        bench.view(1, "a1", 1);
        bench.take_questions();
        bench
    }

    fn new() -> Self {
        let route = Rc::new(RouteTable::new(&Topology::parse(TOPOLOGY).unwrap()));
        let mut pool = Pool::new(route);
        let keys = pool.take_wanted();
        assert_eq!(keys.len(), 3);
        Self { pool, keys, now_ms: 0, submitted: 0 }
    }

    fn up(&mut self, node: usize) {
        self.pool.on_up(self.keys[node], 1, TopologyVersion::default(), self.now_ms);
    }

    fn down(&mut self, node: usize) {
        self.pool.on_down(self.keys[node], "connection refused", self.now_ms);
    }

    fn view(&mut self, epoch: u64, leader: &str, since: u64) {
        self.view_of(GROUP, epoch, leader, since);
    }

    fn view_of(&mut self, group: LogicGroup, epoch: u64, leader: &str, since: u64) {
        let lane = LaneLeader { node: NodeId::of_name(leader), since: Epoch(since) };
        let register = Register {
            group,
            generation: VoterGeneration(1),
            epoch: Epoch(epoch),
            servers: Vec::new(),
            in_step: Vec::new(),
            lanes: vec![lane; 2],
            leaving: None,
            moving: None,
        };
        let views = Views {
            voters: VoterSet::default(),
            groups: vec![common::agreed::KnownRegister::chosen(register)],
        };
        self.pool.on_views(views, self.now_ms);
        self.check();
    }

    fn submit(&mut self, read: bool) {
        self.submit_to(LANE, read, false);
    }

    fn submit_to(&mut self, lane: Lane, read: bool, large: bool) {
        self.try_submit(lane, read, large, b"v").unwrap();
    }

    fn try_submit(
        &mut self,
        lane: Lane,
        read: bool,
        large: bool,
        value: &[u8],
    ) -> Result<(), Failure> {
        self.submitted += 1;
        let at = Object { namespace: b"", name: b"k" }.unnamed();
        let action = Action::Put { value, replace: true };
        let op = if read {
            Op::Get(Get { at, part: Part { offset: 0, limit: 1 } })
        } else {
            Op::Write(Write { at, action, expiry: Expiry::Never, want: Want::Nothing })
        };
        let head = RequestHead {
            cluster: self.pool.route.cluster,
            file_epoch: self.pool.route.file_epoch,
            lane,
            acks: Acks::Step,
            sync: Sync::EverySecond,
            since: Epoch(0),
            request: RequestId(u128::from(self.submitted)),
            age_ms: 0,
            remaining_ms: u32::try_from(DEADLINE_MS).unwrap(),
            attempt: 0,
        };
        let sequence = self.submitted;
        let ticket = Ticket { owner: 0, serial: 1, sequence, part: 0, group: lane.group };
        let deadline_ms = self.now_ms + DEADLINE_MS;
        let request = Request { ticket, head, op: &op, deadline_ms, large };
        self.pool.submit(&request, self.now_ms)
    }

    /// The lanes count what is on its way as the requests themselves say it.
    fn check(&self) {
        for group in (0..3).map(LogicGroup) {
            for lane in self.pool.lanes.keys_of(group) {
                let sent = self.pool.requests.iter().filter(|(_, about)| about.lane == lane);
                let sent = sent.filter(|(_, about)| about.sent.is_some()).count();
                let counted = self.pool.lanes.get(lane).map_or(0, |queue| queue.in_flight());
                assert_eq!(counted, sent, "{lane:?}");
            }
        }
    }

    /// Passes time in steps of the retry task's and the worker's ticks.
    fn pass(&mut self, ms: u64) -> Vec<(u64, FailureCode, String)> {
        let mut given_up = Vec::new();
        for _ in 0..ms {
            self.now_ms += 1;
            if self.now_ms.is_multiple_of(5) {
                self.pool.retry(self.now_ms);
            }
            if self.now_ms.is_multiple_of(50) {
                self.pool.expire(self.now_ms, &mut given_up);
            }
            self.check();
        }
        given_up.into_iter().map(|(t, f)| (t.sequence, f.code, f.detail)).collect()
    }

    fn frames(&mut self, key: ConnectionKey) -> Vec<(FrameType, u64, Vec<u8>)> {
        let mut frames = Vec::new();
        let Some(connection) = self.pool.connection(key) else { return frames };
        let bytes = connection.out().unsent().to_vec();
        connection.out().clear();
        let mut rest = bytes.as_slice();
        while let Ok(Decoded::Frame(frame, length)) = frame::decode(rest) {
            frames.push((frame.kind, frame.id, frame.body.to_vec()));
            rest = &rest[length..];
        }
        frames
    }

    /// The requests that a node received since the last call.
    fn received(&mut self, node: usize) -> Vec<Received> {
        let frames = self.frames(self.keys[node]);
        let requests = frames.into_iter().filter(|(kind, ..)| *kind == FrameType::Request);
        requests
            .map(|(_, id, body)| {
                let (head, _) = request::decode(&body).unwrap();
                let RequestHead { request, attempt, since, remaining_ms, .. } = head;
                Received { id, request: request.0, attempt, since: since.0, remaining_ms }
            })
            .collect()
    }

    fn one(&mut self, node: usize) -> Received {
        let received = self.received(node);
        assert_eq!(received.len(), 1, "{received:?}");
        received[0]
    }

    /// How many questions for views each node received; requests are lost.
    fn take_questions(&mut self) -> [usize; 3] {
        [0, 1, 2].map(|node| {
            let frames = self.frames(self.keys[node]);
            frames.iter().filter(|(kind, ..)| *kind == FrameType::AskViews).count()
        })
    }

    fn refuse(&mut self, id: u64, code: FailureCode, view: Option<(u64, &str, u64)>) {
        let mut failure = Failure::new(code, "refused");
        failure.view = view.map(|(epoch, leader, since)| {
            let leaders = vec![(NodeId::of_name(leader), Epoch(since)); 2];
            Box::new(GroupView { epoch: Epoch(epoch), leaders })
        });
        assert_eq!(self.pool.on_failure(id, failure, self.now_ms), None);
        self.check();
    }

    /// The sequence number of the request that a reply ends.
    fn reply(&mut self, id: u64) -> Option<u64> {
        self.pool.on_reply(id, self.now_ms).map(|ticket| ticket.sequence)
    }
}
