//! Random values of everything that has an encoding.

use common::address::{Address, Field, Object};
use common::durability::{Acks, Sync};
use common::failure::{Failure, FailureCode};
use common::hash::{self, POSITION_MAX};
use common::ids::{
    ClusterId, Epoch, FileEpoch, Lane, LogicGroup, Lsn, NodeId, RequestId, ServerIndex, StoreId,
    Stream, TopologyVersion,
};
use common::key::{PhysicalKey, Slot};
use common::limits::{FIELD_BYTES_MAX, NAMESPACE_BYTES_MAX, OBJECT_BYTES_MAX};
use common::log_record::{LogHead, LogRecord, Mutation};
use common::stored::{Body, Stored};
use common::version::{Hlc, Version};
use common::wire::hello::{Greeting, Hello, HelloAnswer, Role, Welcome};
use common::wire::request::RequestHead;
use proptest::prelude::*;
use proptest::sample::select;

use crate::message::{Body as MessageBody, Message};

pub(crate) use crate::strategies_op::op;
pub(crate) use crate::strategies_register::{command, register, view, views, voter_set};
pub(crate) use crate::strategies_reply::reply;

/// Bytes that live for ever: values of the formats borrow, and tests are short.
pub(crate) fn bytes(max: usize) -> impl Strategy<Value = &'static [u8]> {
    prop::collection::vec(any::<u8>(), 0..=max).prop_map(|bytes| &*bytes.leak())
}

/// A name, now and then of the greatest length.
pub(crate) fn name(max: usize) -> impl Strategy<Value = &'static [u8]> {
    let longest = any::<u8>().prop_map(move |byte| &*vec![byte; max].leak());
    prop_oneof![40 => bytes(12), 1 => longest]
}

fn text() -> impl Strategy<Value = &'static str> {
    any::<String>().prop_map(|text| {
        let end = text.floor_char_boundary(60);
        &*text.get(..end).unwrap_or_default().to_owned().leak()
    })
}

pub(crate) fn namespace() -> impl Strategy<Value = &'static [u8]> {
    name(NAMESPACE_BYTES_MAX)
}

pub(crate) fn object() -> impl Strategy<Value = Object<'static>> {
    (namespace(), name(OBJECT_BYTES_MAX)).prop_map(|(namespace, name)| Object { namespace, name })
}

pub(crate) fn field() -> impl Strategy<Value = Field<'static>> {
    prop_oneof![Just(Field::Unnamed), name(FIELD_BYTES_MAX).prop_map(Field::Named)]
}

pub(crate) fn address() -> impl Strategy<Value = Address<'static>> {
    (object(), field()).prop_map(|(object, field)| Address { object, field })
}

pub(crate) fn version() -> impl Strategy<Value = Version> {
    any::<(u64, u64, u32)>().prop_map(|(epoch, hlc, node)| Version {
        epoch: Epoch(epoch),
        hlc: Hlc(hlc),
        node: NodeId(node),
    })
}

fn lane() -> impl Strategy<Value = Lane> {
    any::<(u16, u8)>()
        .prop_map(|(group, server)| Lane { group: LogicGroup(group), server: ServerIndex(server) })
}

pub(crate) fn slot() -> impl Strategy<Value = Slot<'static>> {
    prop_oneof![Just(Slot::Header), field().prop_map(Slot::Field)]
}

pub(crate) fn physical_key() -> impl Strategy<Value = PhysicalKey<'static>> {
    let position = prop_oneof![Just(None), (0..=POSITION_MAX).prop_map(Some)];
    (object(), position, slot()).prop_map(|(object, position, slot)| PhysicalKey {
        object,
        position: position.unwrap_or_else(|| hash::position(object)),
        slot,
        prefix_bytes: 1 + object.namespace.len() + 6 + 2 + object.name.len(),
    })
}

pub(crate) fn stored() -> impl Strategy<Value = Stored<'static>> {
    let expire_at = prop_oneof![Just(0), any::<u64>()].boxed();
    let body = prop_oneof![
        (expire_at.clone(), bytes(40))
            .prop_map(|(expire_at, value)| Body::Value { expire_at, value }),
        Just(Body::Tombstone),
        (expire_at, version()).prop_map(|(expire_at, cleared)| Body::Header { expire_at, cleared }),
    ];
    (version(), body).prop_map(|(version, body)| Stored { version, body })
}

pub(crate) fn log_record() -> impl Strategy<Value = LogRecord<'static>> {
    let head = (lane(), any::<(u64, u64, u64, u32, u128, u32)>()).prop_map(
        |(lane, (epoch, lsn, hlc, node, request, open))| LogHead {
            stream: Stream { lane, epoch: Epoch(epoch) },
            lsn: Lsn(lsn),
            hlc: Hlc(hlc),
            node: NodeId(node),
            request: RequestId(request),
            open,
        },
    );
    let mutation = (bytes(40), stored()).prop_map(|(key, stored)| Mutation { key, stored });
    let write = (prop::collection::vec(mutation, 0..4), bytes(40))
        .prop_map(|(mutations, answer)| (None, mutations, answer));
    let end = any::<(u64, u64)>().prop_map(|(epoch, lsn)| (Epoch(epoch), Lsn(lsn)));
    let start =
        prop::collection::vec(end, 0..4).prop_map(|ends| (Some(ends), Vec::new(), [].as_slice()));
    (head, prop_oneof![3 => write, 1 => start])
        .prop_map(|(head, (ends, mutations, answer))| LogRecord { head, ends, mutations, answer })
}

pub(crate) fn request_head() -> impl Strategy<Value = RequestHead> {
    let acks = select(vec![Acks::One, Acks::Step, Acks::Majority, Acks::All]);
    let sync = select(vec![Sync::None, Sync::EverySecond, Sync::Always]);
    (lane(), acks, sync, any::<(u32, u64, u64, u128, u32, u32, u8)>()).prop_map(
        |(
            lane,
            acks,
            sync,
            (cluster, file_epoch, since, request, age_ms, remaining_ms, attempt),
        )| {
            RequestHead {
                cluster: ClusterId(cluster),
                file_epoch: FileEpoch(file_epoch),
                lane,
                acks,
                sync,
                since: Epoch(since),
                request: RequestId(request),
                age_ms,
                remaining_ms,
                attempt,
            }
        },
    )
}

pub(crate) fn response() -> impl Strategy<Value = Result<common::reply::Reply<'static>, Failure>> {
    let code = any::<u8>().prop_filter_map("no code", FailureCode::from_u8);
    let failure = (code, text(), prop::option::of(view())).prop_map(|(code, detail, view)| {
        let view = view.filter(|_| code.names_view()).map(Box::new);
        Failure { view, ..Failure::new(code, detail) }
    });
    prop_oneof![4 => reply().prop_map(Ok), 1 => failure.prop_map(Err)]
}

fn topology() -> impl Strategy<Value = TopologyVersion> {
    any::<(u64, u64)>().prop_map(|(epoch, hash)| TopologyVersion { epoch: FileEpoch(epoch), hash })
}

fn hello() -> impl Strategy<Value = Hello<'static>> {
    let role = select(vec![Role::Proxy, Role::Node, Role::Tool]);
    (role, text(), text(), topology(), any::<(u16, [u8; 32], u16, u128, u16, u16, u64)>()).prop_map(
        |(
            role,
            cluster,
            name,
            topology,
            (protocol, proof, worker, store, workers, from_worker, life),
        )| Hello {
            protocol,
            role,
            cluster,
            name,
            proof,
            topology,
            worker,
            store: StoreId(store),
            workers,
            from_worker,
            life,
        },
    )
}

fn hello_answer() -> impl Strategy<Value = HelloAnswer<'static>> {
    let welcome = (text(), topology(), any::<(u128, u16, u64)>()).prop_map(
        |(node, topology, (store, workers, life))| {
            HelloAnswer::Taken(Welcome { node, store: StoreId(store), workers, topology, life })
        },
    );
    prop_oneof![welcome, text().prop_map(HelloAnswer::Refused)]
}

pub(crate) fn message() -> impl Strategy<Value = Message> {
    let greeting = any::<(u16, [u8; 16], bool)>().prop_map(|(protocol, nonce, secret)| Greeting {
        protocol,
        nonce,
        secret,
    });
    let body = prop_oneof![
        greeting.prop_map(MessageBody::Greeting),
        hello().prop_map(MessageBody::Hello),
        hello_answer().prop_map(MessageBody::HelloAnswer),
        (request_head(), op()).prop_map(|(head, op)| MessageBody::Request(head, op)),
        response().prop_map(MessageBody::Response),
        bytes(100).prop_map(MessageBody::Announce),
        bytes(100).prop_map(MessageBody::AnnounceAnswer),
        bytes(100).prop_map(MessageBody::Peer),
        Just(MessageBody::AskViews),
        views().prop_map(MessageBody::Views),
        Just(MessageBody::AskTopology),
        bytes(100).prop_map(MessageBody::Topology),
        command().prop_map(MessageBody::Command),
        bytes(100).prop_map(MessageBody::CommandAnswer),
    ];
    (any::<u64>(), body).prop_map(|(id, body)| Message { id, body })
}
