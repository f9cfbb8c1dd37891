//! The values of `tests/golden/peer.hex`.

use common::ids::{Epoch, Lane, LogicGroup, Lsn, NodeId, ServerIndex, StoreId};
use common::register::VoterSet;

use crate::replication::message::{Message, Pull, Records, RegisterMessage, RunningLease, Term};
use crate::replication::position::Position;
use crate::replication::register::voter::Slot;
use crate::replication::register::{
    Ballot, LaneLeader, Member, MovePlan, Register, VoterGeneration,
};
use crate::replication::wire::Incoming;

const GROUP: LogicGroup = LogicGroup(12);
const A1: NodeId = NodeId(0xacd6_3234);
const A2: NodeId = NodeId(7);
const TERM: Term = Term { lane: Lane { group: GROUP, server: ServerIndex(1) }, since: Epoch(6) };
const OTHER: Term = Term {
    lane: Lane { group: LogicGroup(0x0103), server: ServerIndex(0) },
    since: Epoch(0x0102_0304_0506_0708),
};
const FIRST: Ballot = Ballot { round: 3, node: A1, life: 0x1122_3344_5566_7788 };
const SECOND: Ballot = Ballot { round: 4, node: A2, life: 9 };
const SENT_MS: u64 = 123_456;
const LIFE: u64 = 0x0193_0000_0000_0001;
const SAFE_MS: u64 = 1_700_000_000_123;

fn at(epoch: u64, lsn: u64) -> Position {
    Position { epoch: Epoch(epoch), lsn: Lsn(lsn) }
}

fn member(node: NodeId, store: u128) -> Member {
    Member { node, store: StoreId(store) }
}

/// A register with every field set.
fn moving() -> Register {
    Register {
        group: GROUP,
        generation: VoterGeneration(2),
        epoch: Epoch(6),
        servers: vec![member(A1, 0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10), member(A2, 5)],
        in_step: vec![A2],
        lanes: vec![
            LaneLeader { node: A2, since: Epoch(6) },
            LaneLeader { node: A2, since: Epoch(1) },
        ],
        leaving: Some(A1),
        moving: Some(MovePlan { id: 77, target: vec![member(A2, 5)] }),
    }
}

/// A register of one server.
fn small() -> Register {
    Register {
        group: LogicGroup(0),
        generation: VoterGeneration(1),
        epoch: Epoch(1),
        servers: vec![member(A2, 5)],
        in_step: vec![A2],
        lanes: vec![LaneLeader { node: A2, since: Epoch(1) }],
        leaving: None,
        moving: None,
    }
}

fn round(step: RegisterMessage) -> Incoming<'static> {
    Incoming::Message(Message::Register { group: GROUP, ballot: FIRST, step })
}

fn steps() -> Vec<(&'static str, Incoming<'static>)> {
    let lease = RunningLease { lane: ServerIndex(1), since: Epoch(6), remaining_ms: 1_500 };
    let consent = vec![(ServerIndex(0), Epoch(6)), (ServerIndex(1), Epoch(1))];
    let promised =
        RegisterMessage::Promised { accepted: Some((SECOND, small())), leases: vec![lease] };
    vec![
        ("prepare", round(RegisterMessage::Prepare)),
        ("promised", round(promised)),
        (
            "promised-nothing-accepted",
            round(RegisterMessage::Promised { accepted: None, leases: vec![] }),
        ),
        ("outbid", round(RegisterMessage::Outbid { promised: SECOND })),
        ("accept", round(RegisterMessage::Accept { value: moving(), consent })),
        ("accepted", round(RegisterMessage::Accepted)),
        ("lease-runs", round(RegisterMessage::LeaseRuns { remaining_ms: 700 })),
        ("chosen", round(RegisterMessage::Chosen { value: small() })),
    ]
}

fn of_groups() -> Vec<(&'static str, Incoming<'static>)> {
    let consent = vec![(ServerIndex(1), Epoch(1))];
    let messages = vec![
        ("renew", Message::Renew { sent_ms: SENT_MS, terms: vec![TERM, OTHER] }),
        ("granted", Message::Granted { sent_ms: SENT_MS, granted: vec![TERM], refused: vec![] }),
        ("ask-register", Message::AskRegister { group: GROUP, known: Epoch(6) }),
        ("tell-register", Message::TellRegister { value: small() }),
        ("depart", Message::Depart { group: GROUP, known: Epoch(6), consent }),
    ];
    messages.into_iter().map(|(name, message)| (name, Incoming::Message(message))).collect()
}

fn of_lanes() -> Vec<(&'static str, Incoming<'static>)> {
    let pull = |have, leaving| {
        Message::Pull(Pull {
            term: TERM,
            life: LIFE,
            have,
            written: Lsn(41),
            durable: Lsn(40),
            leaving,
        })
    };
    let messages = vec![
        ("seal", Message::Seal(TERM)),
        ("sealed", Message::Sealed { term: TERM, last: at(1, 40), kept: true }),
        ("superseded", Message::Superseded { term: TERM, promised: Epoch(8) }),
        ("copy", Message::Copy { term: OTHER, have: vec![at(1, 40), at(6, 2)] }),
        ("pull", pull(vec![at(6, 41)], true)),
        ("pull-of-one-that-holds-nothing", pull(vec![], false)),
        ("not-leading", Message::NotLeading { term: TERM, known: Epoch(5) }),
    ];
    messages.into_iter().map(|(name, message)| (name, Incoming::Message(message))).collect()
}

fn records(confirmed: Option<Epoch>, sync: bool, bodies: Vec<&'static [u8]>) -> Incoming<'static> {
    let records =
        Records { term: TERM, life: LIFE, spans: Vec::new(), official: Lsn(40), confirmed };
    Incoming::Records { records, safe_ms: SAFE_MS, sync, bodies }
}

pub(super) fn messages() -> Vec<(&'static str, Incoming<'static>)> {
    let voters = VoterSet { generation: VoterGeneration(2), voters: vec![A1, A2, NodeId(8)] };
    let drivers = vec![
        ("records", records(Some(Epoch(6)), true, vec![b"one", b"", b"three"])),
        ("records-none-and-not-confirmed", records(None, false, vec![])),
        ("voters", Incoming::Voters(voters)),
        ("voters-none-known", Incoming::Voters(VoterSet::default())),
        ("needs-reseed", Incoming::NeedsReseed(TERM)),
    ];
    [steps(), of_groups(), of_lanes(), drivers].concat()
}

pub(super) fn slots() -> Vec<(&'static str, Slot)> {
    let full = Slot { promised: SECOND, accepted: Some((FIRST, moving())), chosen: Some(small()) };
    vec![("blank", Slot::default()), ("with-everything", full)]
}

pub(super) fn frame() -> (VoterGeneration, Vec<Incoming<'static>>) {
    let seal = Incoming::Message(Message::Seal(TERM));
    (VoterGeneration(2), vec![seal, Incoming::NeedsReseed(OTHER)])
}
