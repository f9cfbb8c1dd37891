//! Random replies.

use common::limits::{FIELD_BYTES_MAX, OBJECT_BYTES_MAX};
use common::reply::{
    BatchReply, Described, Existed, Found, Lookup, ObjectKind, RangeField, RangeReply, Reply,
    ScanObject, ScanReply, Written,
};
use proptest::prelude::*;
use proptest::sample::select;

use crate::strategies::{bytes, name, version};

/// Any reply.
pub(crate) fn reply() -> impl Strategy<Value = Reply<'static>> {
    let batch = (any::<Option<u32>>(), prop::collection::vec(written(), 0..4))
        .prop_map(|(refused, written)| Reply::Batch(BatchReply { refused, written }));
    prop_oneof![
        lookup().prop_map(Reply::Lookup),
        prop::collection::vec(lookup(), 0..4).prop_map(Reply::Lookups),
        written().prop_map(Reply::Written),
        batch,
        range(),
        described(),
        scan(),
        any::<u64>().prop_map(Reply::Count),
    ]
}

fn kind() -> impl Strategy<Value = ObjectKind> {
    select(vec![ObjectKind::Missing, ObjectKind::String, ObjectKind::Hash])
}

fn found() -> impl Strategy<Value = Found<'static>> {
    (version(), any::<(u64, u32)>(), bytes(40))
        .prop_map(|(version, (expire_at, total), value)| Found { version, expire_at, total, value })
}

fn lookup() -> impl Strategy<Value = Lookup<'static>> {
    prop_oneof![found().prop_map(Lookup::Found), Just(Lookup::Missing), Just(Lookup::WrongKind)]
}

fn written() -> impl Strategy<Value = Written<'static>> {
    let existed = select(vec![Existed::No, Existed::Yes, Existed::Unknown]);
    (existed, version(), any::<(bool, u64, u32)>(), prop::option::of(bytes(40))).prop_map(
        |(existed, version, (applied, expire_at, total), value)| Written {
            applied,
            existed,
            version,
            expire_at,
            total,
            value,
        },
    )
}

fn range() -> impl Strategy<Value = Reply<'static>> {
    let field =
        (name(FIELD_BYTES_MAX), found()).prop_map(|(name, found)| RangeField { name, found });
    (kind(), any::<(u64, bool)>(), prop::collection::vec(field, 0..4)).prop_map(
        |(kind, (expire_at, more), fields)| {
            Reply::Range(RangeReply { kind, expire_at, fields, more })
        },
    )
}

fn described() -> impl Strategy<Value = Reply<'static>> {
    (kind(), version(), any::<(u64, u64)>()).prop_map(|(kind, version, (expire_at, size))| {
        Reply::Described(Described { kind, expire_at, version, size })
    })
}

fn scan() -> impl Strategy<Value = Reply<'static>> {
    let object = (any::<u64>(), name(OBJECT_BYTES_MAX), kind())
        .prop_map(|(position, name, kind)| ScanObject { position, name, kind });
    (prop::collection::vec(object, 0..4), any::<Option<u64>>())
        .prop_map(|(objects, next)| Reply::Scan(ScanReply { objects, next }))
}
