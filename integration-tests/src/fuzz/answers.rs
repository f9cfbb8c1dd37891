//! Nodes for the fronts: every operation is one that a node would understand, and is answered at
//! once, with whatever comes next in a list.

use std::collections::VecDeque;

use common::address::Object;
use common::durability::{Acks, Sync};
use common::failure::{Failure, FailureCode};
use common::ids::{ClusterId, Epoch, FileEpoch, Lane, LogicGroup, NodeId, RequestId, ServerIndex};
use common::op::Op;
use common::reply::{
    BatchReply, Described, Existed, Found, Lookup, ObjectKind, RangeField, RangeReply, Reply,
    ScanObject, ScanReply, Written,
};
use common::version::{Hlc, Version};
use common::wire::request::{self, RequestHead};
use proxy::front::call::{Answer, Durability, Submit};

/// Whoever asks more often than this walks for ever.
const ANSWERS_MAX: usize = 100_000;
const GROUPS: u16 = 3;
const VERSION: Version = Version { epoch: Epoch(1), hlc: Hlc(2), node: NodeId(3) };
const FOUND: Found<'static> = Found { version: VERSION, expire_at: 1, total: 3, value: b"one" };

/// Takes operations and gives answers.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    unanswered: VecDeque<u32>,
    answered: usize,
}

impl Nodes {
    /// Nodes whose answers begin somewhere in the list.
    pub(super) fn beginning_with(answer: usize) -> Self {
        Self { unanswered: VecDeque::new(), answered: answer % 16 }
    }

    /// The next answer and its part; `None` when nothing was asked that is not answered.
    pub(super) fn next(&mut self) -> Option<(u32, Answer<'static>)> {
        let part = self.unanswered.pop_front()?;
        self.answered += 1;
        assert!(self.answered < ANSWERS_MAX, "a command asks without end");
        Some((part, answer(self.answered)))
    }

    fn take(&mut self, part: u32, lane: Lane, op: &Op<'_>) {
        let head = RequestHead {
            cluster: ClusterId(1),
            file_epoch: FileEpoch(1),
            lane,
            acks: Acks::Step,
            sync: Sync::None,
            since: Epoch(1),
            request: RequestId(1),
            age_ms: 0,
            remaining_ms: 1_000,
            attempt: 0,
        };
        let mut body = Vec::new();
        head.encode(&mut body);
        request::encode_op(&mut body, op);
        assert!(request::decode(&body).is_ok_and(|(_, read)| read == *op), "no node reads {op:?}");
        self.unanswered.push_back(part);
    }
}

fn answer(number: usize) -> Answer<'static> {
    let name = b"name".as_slice();
    let written = Written {
        applied: true,
        existed: Existed::Yes,
        version: VERSION,
        expire_at: 0,
        total: 1,
        value: Some(b"7"),
    };
    let (kind, version) = (ObjectKind::Hash, VERSION);
    Ok(match number % 16 {
        0 | 1 => Reply::Lookup(Lookup::Found(FOUND)),
        2 => Reply::Lookup(Lookup::Missing),
        3 => Reply::Lookup(Lookup::WrongKind),
        4 => Reply::Lookups(vec![Lookup::Found(FOUND), Lookup::Missing]),
        5 | 6 => Reply::Written(written),
        7 => Reply::Batch(BatchReply { refused: None, written: vec![written] }),
        8 => Reply::Batch(BatchReply { refused: Some(0), written: Vec::new() }),
        9 => {
            let fields = vec![RangeField { name, found: FOUND }];
            Reply::Range(RangeReply { kind, expire_at: 0, fields, more: false })
        }
        10 => {
            let fields = Vec::new();
            Reply::Range(RangeReply { kind: ObjectKind::Missing, expire_at: 0, fields, more: true })
        }
        11 => Reply::Described(Described { kind, expire_at: u64::MAX, version, size: u64::MAX }),
        12 => {
            let objects = vec![ScanObject { position: 1, name, kind }];
            Reply::Scan(ScanReply { objects, next: None })
        }
        13 => Reply::Count(u64::MAX),
        14 => return Err(Failure::new(FailureCode::Unknown, "nobody knows")),
        _ => return Err(Failure::new(FailureCode::Stopped, "not now")),
    })
}

impl Submit for Nodes {
    fn submit(&mut self, part: u32, op: &Op<'_>, _durability: Durability) {
        let lane = Lane { group: LogicGroup(0), server: ServerIndex(0) };
        self.take(part, lane, op);
    }

    fn submit_to(&mut self, part: u32, lane: Lane, op: &Op<'_>) {
        assert!(lane.group.0 < GROUPS, "{lane:?} does not exist");
        self.take(part, lane, op);
    }

    fn lane_of(&self, object: Object<'_>) -> Lane {
        let group = u16::from(object.name.first().copied().unwrap_or(0)) % GROUPS;
        Lane { group: LogicGroup(group), server: ServerIndex(0) }
    }

    fn logic_groups(&self) -> u16 {
        GROUPS
    }

    fn lanes_of(&self, group: LogicGroup) -> Vec<Lane> {
        (0..2).map(|server| Lane { group, server: ServerIndex(server) }).collect()
    }

    fn now_ms(&self) -> u64 {
        1_700_000_000_123
    }
}
