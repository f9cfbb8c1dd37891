//! Random operations.

use common::hash::POSITION_MAX;
use common::limits::FIELD_BYTES_MAX;
use common::op::{
    Action, AddStyle, Batch, Condition, Describe, Expiry, ExpiryRule, Get, GetMany, Op, Part,
    Range, Scan, Test, Want, Write,
};
use proptest::prelude::*;
use proptest::sample::select;

use crate::strategies::{address, bytes, name, namespace, object, version};

/// Any operation.
pub(crate) fn op() -> impl Strategy<Value = Op<'static>> {
    let get = (address(), any::<(u32, u32)>())
        .prop_map(|(at, (offset, limit))| Op::Get(Get { at, part: Part { offset, limit } }));
    let get_many = (prop::collection::vec(address(), 0..4), any::<u32>())
        .prop_map(|(at, bytes_max)| Op::GetMany(GetMany { at, bytes_max }));
    let batch = (prop::collection::vec(condition(), 0..4), prop::collection::vec(write(), 0..4))
        .prop_map(|(conditions, writes)| Op::Batch(Batch { conditions, writes }));
    let describe = (object(), any::<bool>())
        .prop_map(|(object, count)| Op::Describe(Describe { object, count }));
    let scan = (namespace(), 0..=POSITION_MAX, any::<u32>())
        .prop_map(|(namespace, from, count_max)| Op::Scan(Scan { namespace, from, count_max }));
    prop_oneof![
        get,
        get_many,
        write().prop_map(Op::Write),
        batch,
        range(),
        describe,
        scan,
        namespace().prop_map(|namespace| Op::Count { namespace }),
    ]
}

fn range() -> impl Strategy<Value = Op<'static>> {
    let after = prop::option::of(name(FIELD_BYTES_MAX));
    (object(), after, any::<(u32, u32, bool)>()).prop_map(
        |(object, after, (count_max, bytes_max, values))| {
            Op::Range(Range { object, after, count_max, bytes_max, values })
        },
    )
}

fn write() -> impl Strategy<Value = Write<'static>> {
    let want = select(vec![Want::Nothing, Want::Existed, Want::Value]);
    (address(), action(), expiry(), want).prop_map(|(at, action, expiry, want)| Write {
        at,
        action,
        expiry,
        want,
    })
}

fn action() -> impl Strategy<Value = Action<'static>> {
    let style = select(vec![AddStyle::Strict, AddStyle::Lenient]);
    prop_oneof![
        (bytes(40), any::<bool>()).prop_map(|(value, replace)| Action::Put { value, replace }),
        Just(Action::Delete),
        Just(Action::DeleteObject),
        (any::<i64>(), style).prop_map(|(delta, style)| Action::Add { delta, style }),
        bytes(40).prop_map(|bytes| Action::Append { bytes }),
        rule().prop_map(|rule| Action::Touch { rule }),
        rule().prop_map(|rule| Action::TouchObject { rule }),
    ]
}

fn rule() -> impl Strategy<Value = ExpiryRule> {
    select(vec![
        ExpiryRule::Always,
        ExpiryRule::IfNever,
        ExpiryRule::IfExpiring,
        ExpiryRule::IfLater,
        ExpiryRule::IfEarlier,
    ])
}

fn expiry() -> impl Strategy<Value = Expiry> {
    prop_oneof![
        Just(Expiry::Keep),
        Just(Expiry::Never),
        any::<u64>().prop_map(Expiry::At),
        any::<u64>().prop_map(Expiry::After),
        any::<i32>().prop_map(Expiry::AfterSeconds),
    ]
}

fn condition() -> impl Strategy<Value = Condition<'static>> {
    let test = prop_oneof![
        Just(Test::Exists),
        Just(Test::Absent),
        Just(Test::ObjectExists),
        Just(Test::ObjectAbsent),
        Just(Test::NotHash),
        Just(Test::NotString),
        version().prop_map(Test::VersionIs),
        bytes(40).prop_map(Test::ValueIs),
    ];
    (address(), test).prop_map(|(at, test)| Condition { at, test })
}
