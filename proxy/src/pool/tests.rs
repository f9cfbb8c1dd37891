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

use super::core::UNSENT_BYTES_MAX;
use super::nodes::LaneClass;
use super::*;
use crate::route::RouteTable;

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
    }

    fn submit(&mut self, read: bool) {
        self.submit_sized(read, false);
    }

    fn submit_sized(&mut self, read: bool, large: bool) {
        self.submitted += 1;
        let at = Object { namespace: b"", name: b"k" }.unnamed();
        let action = Action::Put { value: b"v", replace: true };
        let op = if read {
            Op::Get(Get { at, part: Part { offset: 0, limit: 1 } })
        } else {
            Op::Write(Write { at, action, expiry: Expiry::Never, want: Want::Nothing })
        };
        let head = RequestHead {
            cluster: self.pool.route.cluster,
            file_epoch: self.pool.route.file_epoch,
            lane: LANE,
            acks: Acks::Step,
            sync: Sync::EverySecond,
            since: Epoch(0),
            request: RequestId(u128::from(self.submitted)),
            age_ms: 0,
            remaining_ms: u32::try_from(DEADLINE_MS).unwrap(),
            attempt: 0,
        };
        let sequence = self.submitted;
        let ticket = Ticket { owner: 0, serial: 1, sequence, part: 0, group: GROUP };
        let deadline_ms = self.now_ms + DEADLINE_MS;
        let request = Request { ticket, head, op: &op, deadline_ms, large };
        self.pool.submit(&request, self.now_ms).unwrap();
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
    }

    /// The sequence number of the request that a reply ends.
    fn reply(&mut self, id: u64) -> Option<u64> {
        self.pool.on_reply(id, self.now_ms).map(|ticket| ticket.sequence)
    }
}

#[test]
fn a_node_that_dies_costs_time_only_and_order_is_kept() {
    let mut bench = Bench::led();
    (0..3).for_each(|_| bench.submit(false));
    let first = bench.received(0);
    assert_eq!(
        first.iter().map(|r| (r.request, r.attempt)).collect::<Vec<_>>(),
        [(1, 0), (2, 0), (3, 0)]
    );
    assert_eq!(bench.reply(first[1].id), Some(2));
    bench.down(0);
    bench.submit(false);
    assert!(bench.pass(1_000).is_empty());
    assert!(bench.received(1).is_empty(), "nothing is guessed");
    bench.view(2, "a2", 2);
    let probe = bench.one(1);
    assert_eq!((probe.request, probe.attempt, probe.since), (1, 1, 2));
    assert_eq!(probe.remaining_ms, 4_000, "the client waits no longer for it");
    assert_eq!(bench.reply(probe.id), Some(1));
    let rest: Vec<_> = bench.received(1).iter().map(|r| (r.request, r.attempt, r.since)).collect();
    assert_eq!(rest, [(3, 1, 2), (4, 0, 2)], "in their order, under their ids");
    assert_eq!(bench.reply(first[2].id), None, "only the last attempt's answer counts");
    bench.pass(10);
    assert!(!bench.pool.is_stalled());
    assert_eq!(bench.pool.take_counts(), (2, 2));
}

#[test]
fn a_planned_hand_over_goes_on_at_once_by_the_view_in_the_refusal() {
    let mut bench = Bench::led();
    (0..3).for_each(|_| bench.submit(false));
    let sent = bench.received(0);
    assert_eq!(bench.reply(sent[0].id), Some(1));
    bench.refuse(sent[1].id, FailureCode::NotLeader, Some((2, "a2", 2)));
    assert!(bench.received(1).is_empty(), "the third may still be answered");
    bench.refuse(sent[2].id, FailureCode::NotLeader, Some((2, "a2", 2)));
    let probe = bench.one(1);
    assert_eq!((probe.request, probe.attempt), (2, 1));
    bench.refuse(probe.id, FailureCode::NotYet, Some((2, "a2", 2)));
    assert!(bench.received(1).is_empty(), "after a pause");
    bench.pass(15);
    let probe = bench.one(1);
    assert_eq!((probe.request, probe.attempt), (2, 2));
    // An older view changes nothing.
    bench.view(1, "a1", 1);
    assert_eq!(bench.reply(probe.id), Some(2));
    assert_eq!(bench.one(1).request, 3);
}

#[test]
fn an_idle_pool_learns_of_leaders_too() {
    let mut bench = Bench::new();
    let all = |bench: &mut Bench| bench.take_questions().iter().sum::<usize>();
    (0..3).for_each(|node| bench.up(node));
    assert_eq!(all(&mut bench), 3, "once each, when they are connected");
    // The groups are created later: no request waits, and still somebody is asked.
    bench.pass(3_000);
    assert_eq!(all(&mut bench), 3);
    (0..3).for_each(|group| bench.view_of(LogicGroup(group), 1, "a1", 1));
    bench.pass(3_000);
    assert_eq!(all(&mut bench), 0, "everything is known");
    bench.down(0);
    bench.pass(1_000);
    assert_eq!(all(&mut bench), 1, "the leader is away: there may be another");
    (0..3).for_each(|group| bench.view_of(LogicGroup(group), 2, "a2", 2));
    bench.pass(3_000);
    assert_eq!(all(&mut bench), 0);
}

#[test]
fn a_connection_that_takes_nothing_holds_a_bounded_number_of_bytes() {
    let mut bench = Bench::led();
    let connection = bench.pool.connection(bench.keys[0]).unwrap();
    connection.out().end().resize(UNSENT_BYTES_MAX + 1, 0);
    bench.submit(false);
    let unsent = |bench: &mut Bench| {
        let connection = bench.pool.connection(bench.keys[0]).unwrap();
        connection.out().unsent().len()
    };
    assert_eq!(unsent(&mut bench), UNSENT_BYTES_MAX + 1, "I14");
    bench.pool.connection(bench.keys[0]).unwrap().out().clear();
    bench.pass(500);
    assert_eq!(bench.one(0).request, 1, "it goes out once there is room");
}

#[test]
fn requests_to_a_stopped_leader_are_taken_back_once_there_is_another() {
    let mut bench = Bench::led();
    bench.submit(false);
    bench.submit(true);
    bench.pass(500);
    assert!(bench.take_questions().iter().sum::<usize>() >= 2, "it asks who else leads");
    bench.view(2, "a2", 2);
    bench.pass(50);
    assert!(bench.received(1).is_empty(), "a living one answers within the grace time");
    bench.pass(60);
    let probe = bench.one(1);
    assert_eq!((probe.request, probe.attempt), (1, 1));
    bench.reply(probe.id);
    assert_eq!(bench.one(1).request, 2);
}

#[test]
fn at_the_deadline_only_writes_that_may_have_been_applied_are_unknown() {
    let mut bench = Bench::led();
    bench.submit(false);
    bench.submit(true);
    let sent = bench.received(0);
    bench.down(0);
    bench.submit(false);
    let ended = bench.pass(DEADLINE_MS + 50);
    let codes: Vec<_> = ended.iter().map(|(sequence, code, _)| (*sequence, *code)).collect();
    assert_eq!(
        codes,
        [(1, FailureCode::Unknown), (2, FailureCode::NoServer), (3, FailureCode::NoServer)]
    );
    let text = "group 1 (a1, a2): no leader serves it: a1: connection refused; a2: connected";
    assert_eq!(ended[2].2, text);
    assert_eq!(bench.reply(sent[0].id), None);
    bench.pass(200);
    assert!(!bench.pool.is_stalled() && bench.pool.unanswered() == 0);
}

#[test]
fn a_refusal_after_an_interrupted_write_is_unknown_and_a_reply_always_wins() {
    let mut bench = Bench::led();
    bench.submit(false);
    let sent = bench.one(0);
    bench.refuse(sent.id, FailureCode::Interrupted, Some((2, "a2", 2)));
    let again = bench.one(1);
    let full = Failure::new(FailureCode::DiskFull, "disk full");
    let (_, failure) = bench.pool.on_failure(again.id, full, 0).unwrap();
    assert_eq!((failure.code, failure.detail.as_str()), (FailureCode::Unknown, "disk full"));
    bench.submit(false);
    let sent = bench.one(1);
    bench.refuse(sent.id, FailureCode::Interrupted, Some((3, "a1", 3)));
    let again = bench.one(0);
    assert_eq!(again.attempt, 1);
    assert_eq!(bench.reply(again.id), Some(2));
}

#[test]
fn without_any_view_requests_wait_and_voters_are_asked_in_turn() {
    let mut bench = Bench::new();
    bench.submit(true);
    for node in 0..3 {
        bench.up(node);
    }
    assert_eq!(bench.take_questions(), [1, 1, 1], "each new connection is asked");
    bench.pass(700);
    let asked = bench.take_questions();
    assert!(asked.iter().all(|count| *count >= 2), "{asked:?}");
    bench.pass(4_300);
    bench.now_ms -= 50;
    let ended = bench.pass(50);
    assert!(ended.is_empty(), "given up at the deadline before");
    bench.submit(true);
    bench.view(1, "a2", 1);
    assert_eq!(bench.one(1).attempt, 0);
}

#[test]
fn large_requests_go_by_their_own_connection_and_hold_no_small_one_up() {
    let mut bench = Bench::led();
    bench.submit_sized(false, true);
    let [large] = bench.pool.take_wanted()[..] else { panic!("one more connection") };
    assert_eq!(large.lane_class, LaneClass::Large(0));
    bench.submit(false);
    assert_eq!(bench.one(0).request, 2);
    bench.pool.on_up(large, 1, TopologyVersion::default(), bench.now_ms);
    assert_eq!(bench.frames(large).len(), 1);
}

#[test]
fn a_node_with_more_workers_gets_each_group_by_its_own_connection() {
    let mut bench = Bench::new();
    bench.submit(false);
    bench.view(1, "a1", 1);
    bench.pool.on_up(bench.keys[0], 2, TopologyVersion::default(), 0);
    let wanted = bench.pool.take_wanted();
    assert_eq!(wanted.len(), 1, "{wanted:?}");
    assert_eq!(wanted[0].lane_class, LaneClass::Worker(1), "group 1 is worker 1's");
    bench.pool.on_up(wanted[0], 2, TopologyVersion::default(), 0);
    assert_eq!(bench.frames(wanted[0]).len(), 1);
    assert!(bench.received(0).is_empty());
}

#[test]
fn a_leader_that_moves_to_another_address_gets_its_requests_there() {
    let mut bench = Bench::led();
    bench.submit(false);
    bench.one(0);
    let moved = TOPOLOGY.replace("h:1", "h:9").replace("epoch: 1", "epoch: 2");
    let route = Rc::new(RouteTable::new(&Topology::parse(&moved).unwrap()));
    bench.pool.apply(route, bench.now_ms);
    let wanted = bench.pool.take_wanted();
    assert_eq!(wanted.len(), 1);
    bench.pool.on_up(wanted[0], 1, TopologyVersion::default(), bench.now_ms);
    bench.keys[0] = wanted[0];
    let again = bench.one(0);
    assert_eq!((again.request, again.attempt), (1, 1));
}
