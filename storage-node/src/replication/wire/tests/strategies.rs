//! Random values of everything that travels.

use common::ids::{Epoch, Lane, LogicGroup, Lsn, NodeId, ServerIndex, StoreId};
use common::limits::SERVERS_PER_GROUP_MAX;
use common::register::VoterSet;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::replication::message::{Message, Pull, Records, RegisterMessage, RunningLease, Term};
use crate::replication::position::Position;
use crate::replication::register::voter::Slot;
use crate::replication::register::{
    Ballot, LaneLeader, Member, MovePlan, Register, VoterGeneration,
};
use crate::replication::wire::{Incoming, NUMBER_MAX};

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..9_u64, 0..=NUMBER_MAX, Just(NUMBER_MAX)]
}

fn epoch() -> impl Strategy<Value = Epoch> {
    number().prop_map(Epoch)
}

fn lsn() -> impl Strategy<Value = Lsn> {
    number().prop_map(Lsn)
}

fn group() -> impl Strategy<Value = LogicGroup> {
    any::<u16>().prop_map(LogicGroup)
}

fn node() -> impl Strategy<Value = NodeId> {
    any::<u32>().prop_map(NodeId)
}

fn generation() -> impl Strategy<Value = VoterGeneration> {
    any::<u32>().prop_map(VoterGeneration)
}

fn server() -> impl Strategy<Value = ServerIndex> {
    any::<u8>().prop_map(ServerIndex)
}

fn term() -> impl Strategy<Value = Term> {
    (group(), server(), epoch())
        .prop_map(|(group, server, since)| Term { lane: Lane { group, server }, since })
}

fn position() -> impl Strategy<Value = Position> {
    (epoch(), lsn()).prop_map(|(epoch, lsn)| Position { epoch, lsn })
}

fn ballot() -> impl Strategy<Value = Ballot> {
    (number(), node(), any::<u64>()).prop_map(|(round, node, life)| Ballot { round, node, life })
}

fn members() -> impl Strategy<Value = Vec<Member>> {
    let member =
        (node(), any::<u128>()).prop_map(|(node, store)| Member { node, store: StoreId(store) });
    vec(member, 0..=usize::from(SERVERS_PER_GROUP_MAX))
}

fn register() -> impl Strategy<Value = Register> {
    let servers_max = usize::from(SERVERS_PER_GROUP_MAX);
    let leader = (node(), epoch()).prop_map(|(node, since)| LaneLeader { node, since });
    let moving = (any::<u64>(), members()).prop_map(|(id, target)| MovePlan { id, target });
    let head = (group(), generation(), epoch());
    let lists = (members(), vec(node(), 0..=servers_max), vec(leader, 0..=servers_max));
    let options = (prop::option::of(node()), prop::option::of(moving));
    (head, lists, options).prop_map(
        |((group, generation, epoch), (servers, in_step, lanes), (leaving, moving))| Register {
            group,
            generation,
            epoch,
            servers,
            in_step,
            lanes,
            leaving,
            moving,
        },
    )
}

fn consent() -> impl Strategy<Value = Vec<(ServerIndex, Epoch)>> {
    vec((server(), epoch()), 0..9)
}

fn step() -> impl Strategy<Value = RegisterMessage> {
    let lease = (server(), epoch(), number())
        .prop_map(|(lane, since, remaining_ms)| RunningLease { lane, since, remaining_ms });
    let promised = (prop::option::of((ballot(), register())), vec(lease, 0..9));
    prop_oneof![
        Just(RegisterMessage::Prepare),
        promised.prop_map(|(accepted, leases)| RegisterMessage::Promised { accepted, leases }),
        ballot().prop_map(|promised| RegisterMessage::Outbid { promised }),
        (register(), consent())
            .prop_map(|(value, consent)| RegisterMessage::Accept { value, consent }),
        Just(RegisterMessage::Accepted),
        number().prop_map(|remaining_ms| RegisterMessage::LeaseRuns { remaining_ms }),
        register().prop_map(|value| RegisterMessage::Chosen { value }),
    ]
}

fn pull() -> impl Strategy<Value = Pull> {
    (term(), any::<u64>(), vec(position(), 0..9), lsn(), lsn(), any::<bool>()).prop_map(
        |(term, life, have, written, durable, leaving)| Pull {
            term,
            life,
            have,
            written,
            durable,
            leaving,
        },
    )
}

/// Every message but [`Message::Records`].
fn message() -> impl Strategy<Value = Message> {
    let of_groups = prop_oneof![
        (group(), ballot(), step()).prop_map(|(group, ballot, step)| Message::Register {
            group,
            ballot,
            step
        }),
        (number(), vec(term(), 0..9))
            .prop_map(|(sent_ms, terms)| Message::Renew { sent_ms, terms }),
        (number(), vec(term(), 0..9), vec(term(), 0..9))
            .prop_map(|(sent_ms, granted, refused)| Message::Granted { sent_ms, granted, refused }),
        (group(), epoch()).prop_map(|(group, known)| Message::AskRegister { group, known }),
        register().prop_map(|value| Message::TellRegister { value }),
        (group(), epoch(), consent()).prop_map(|(group, known, consent)| Message::Depart {
            group,
            known,
            consent
        }),
    ];
    let of_lanes = prop_oneof![
        term().prop_map(Message::Seal),
        (term(), position(), any::<bool>()).prop_map(|(term, last, kept)| Message::Sealed {
            term,
            last,
            kept
        }),
        (term(), epoch()).prop_map(|(term, promised)| Message::Superseded { term, promised }),
        (term(), vec(position(), 0..9)).prop_map(|(term, have)| Message::Copy { term, have }),
        pull().prop_map(Message::Pull),
        (term(), epoch()).prop_map(|(term, known)| Message::NotLeading { term, known }),
    ];
    prop_oneof![of_groups, of_lanes]
}

fn records() -> impl Strategy<Value = Incoming<'static>> {
    let head = (term(), any::<u64>(), lsn(), prop::option::of(epoch()));
    // Decoded bodies borrow from their input, and tests are short: leaked.
    let body = vec(any::<u8>(), 0..50).prop_map(|bytes| &*bytes.leak());
    (head, any::<u64>(), any::<bool>(), vec(body, 0..9)).prop_map(
        |((term, life, official, confirmed), safe_ms, sync, bodies)| {
            let records = Records { term, life, spans: Vec::new(), official, confirmed };
            Incoming::Records { records, safe_ms, sync, bodies }
        },
    )
}

pub(super) fn incoming() -> impl Strategy<Value = Incoming<'static>> {
    let voters = (generation(), vec(node(), 0..=5))
        .prop_map(|(generation, voters)| VoterSet { generation, voters });
    prop_oneof![
        6 => message().prop_map(Incoming::Message),
        2 => records(),
        1 => voters.prop_map(Incoming::Voters),
        1 => term().prop_map(Incoming::NeedsReseed),
    ]
}

pub(super) fn slot() -> impl Strategy<Value = Slot> {
    let accepted = prop::option::of((ballot(), register()));
    (ballot(), accepted, prop::option::of(register()))
        .prop_map(|(promised, accepted, chosen)| Slot { promised, accepted, chosen })
}
