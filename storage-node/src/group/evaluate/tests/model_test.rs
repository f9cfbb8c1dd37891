//! Random operations against the naive model, with time moving, writes pending and hidden records
//! reclaimed.

use common::address::{Address, Field, Object};
use common::op::{
    Action, AddStyle, Batch, Condition, Describe, Expiry, ExpiryRule, Get, GetMany, Op, Part,
    Range, Test, Want, Write,
};
use common::reply::{Existed, Reply, Written};
use common::wire::response;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::lane::{Lane, version};
use super::model::Model;

const START_MS: u64 = 10_000;
const NAMES: [&[u8]; 3] = [b"", b"k", b"other"];
const FIELDS: [&[u8]; 4] = [b"", b"a", b"a\0", b"b"];
const VALUES: [&[u8]; 7] = [b"", b"0", b"5", b"-17", b"9223372036854775807", b"x1", b"-0"];

/// One event of a run.
#[derive(Clone, Debug)]
enum Event {
    Op(Op<'static>),
    /// Time goes on.
    Wait(u64),
    /// Pending writes become official.
    Settle,
    /// The engine reclaims what nobody sees.
    Reclaim,
}

fn objects() -> impl Strategy<Value = Object<'static>> {
    select(&NAMES[..]).prop_map(|name| Object { namespace: b"n", name })
}

fn fields() -> impl Strategy<Value = Field<'static>> {
    prop_oneof![Just(Field::Unnamed), select(&FIELDS[..]).prop_map(Field::Named)]
}

fn addresses() -> impl Strategy<Value = Address<'static>> {
    (objects(), fields()).prop_map(|(object, field)| Address { object, field })
}

fn values() -> impl Strategy<Value = &'static [u8]> {
    select(&VALUES[..])
}

fn expiries() -> impl Strategy<Value = Expiry> {
    prop_oneof![
        2 => Just(Expiry::Keep),
        2 => Just(Expiry::Never),
        1 => (START_MS - 10..START_MS + 300).prop_map(Expiry::At),
        2 => (0u64..40).prop_map(Expiry::After),
        1 => (-1i32..2).prop_map(Expiry::AfterSeconds),
    ]
}

fn actions() -> impl Strategy<Value = Action<'static>> {
    use ExpiryRule::{Always, IfEarlier, IfExpiring, IfLater, IfNever};
    let rule = || select(vec![Always, Always, IfNever, IfExpiring, IfLater, IfEarlier]);
    prop_oneof![
        4 => (values(), any::<bool>()).prop_map(|(value, replace)| Action::Put { value, replace }),
        2 => Just(Action::Delete),
        2 => Just(Action::DeleteObject),
        2 => (
            prop_oneof![-9i64..9, Just(i64::MAX)],
            select(vec![AddStyle::Strict, AddStyle::Lenient]),
        )
            .prop_map(|(delta, style)| Action::Add { delta, style }),
        1 => values().prop_map(|bytes| Action::Append { bytes }),
        1 => rule().prop_map(|rule| Action::Touch { rule }),
        2 => rule().prop_map(|rule| Action::TouchObject { rule }),
    ]
}

fn writes() -> impl Strategy<Value = Write<'static>> {
    let want = select(vec![Want::Nothing, Want::Existed, Want::Value]);
    (addresses(), actions(), expiries(), want).prop_map(|(at, action, expiry, want)| Write {
        at,
        action,
        expiry,
        want,
    })
}

fn conditions() -> impl Strategy<Value = Condition<'static>> {
    let test = prop_oneof![
        select(vec![
            Test::Exists,
            Test::Absent,
            Test::ObjectExists,
            Test::ObjectAbsent,
            Test::NotHash,
            Test::NotString,
        ]),
        (1u64..40).prop_map(|tick| Test::VersionIs(version(2 * tick))),
        values().prop_map(Test::ValueIs),
    ];
    (addresses(), test).prop_map(|(at, test)| Condition { at, test })
}

fn ops() -> impl Strategy<Value = Op<'static>> {
    let range = (objects(), proptest::option::of(select(&FIELDS[..])), 1u32..6, any::<bool>());
    let many = vec(addresses(), 0..4);
    prop_oneof![
        8 => writes().prop_map(Op::Write),
        6 => (vec(conditions(), 0..2), vec(writes(), 0..7))
            .prop_map(|(conditions, writes)| Op::Batch(Batch { conditions, writes })),
        1 => many.prop_map(|at| Op::GetMany(GetMany { at, bytes_max: 1 << 20 })),
        1 => range.prop_map(|(object, after, count_max, values)| {
            Op::Range(Range { object, after, count_max, bytes_max: 1 << 20, values })
        }),
    ]
}

fn events() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => ops().prop_map(Event::Op),
        2 => (1u64..40).prop_map(Event::Wait),
        1 => Just(Event::Settle),
        1 => Just(Event::Reclaim),
    ]
}

/// A blind write may leave open whether something existed.
fn fill_unknown(actual: &mut Written<'_>, expected: &Written<'_>, write: &Write<'_>) {
    let may_be_blind = matches!(write.action, Action::Put { .. }) && write.want == Want::Nothing;
    if actual.existed == Existed::Unknown && may_be_blind {
        actual.existed = expected.existed;
    }
}

fn compare(lane: &mut Lane, model: &mut Model, op: &Op<'_>) {
    let body = lane.run(op);
    let mut actual = response::decode(&body).unwrap().map_err(|failure| failure.code);
    let expected = model.run(op, lane.now_ms, version(lane.ticks));
    match (&mut actual, &expected, op) {
        (Ok(Reply::Written(actual)), Ok(Reply::Written(expected)), Op::Write(write)) => {
            fill_unknown(actual, expected, write);
        }
        (Ok(Reply::Batch(actual)), Ok(Reply::Batch(expected)), Op::Batch(batch)) => {
            for (index, write) in batch.writes.iter().enumerate() {
                fill_unknown(&mut actual.written[index], &expected.written[index], write);
            }
        }
        _ => {}
    }
    assert_eq!(actual, expected, "{op:?} at {}", lane.now_ms);
}

/// Everything that can be read is as the model says.
fn compare_all(lane: &mut Lane, model: &mut Model) {
    let part = Part { offset: 0, limit: u32::MAX };
    for name in NAMES {
        let object = Object { namespace: b"n", name };
        compare(lane, model, &Op::Describe(Describe { object, count: true }));
        let page = Range { object, after: None, count_max: 9, bytes_max: 1 << 20, values: true };
        compare(lane, model, &Op::Range(page));
        compare(lane, model, &Op::Get(Get { at: object.unnamed(), part }));
        for field in FIELDS {
            compare(lane, model, &Op::Get(Get { at: object.field(field), part }));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn evaluation_answers_as_a_naive_model_does(
        pending in any::<bool>(),
        events in vec(events(), 1..40),
    ) {
        let mut lane = Lane::at(START_MS);
        lane.pending = pending;
        let mut model = Model::default();
        for event in &events {
            match event {
                Event::Op(op) => compare(&mut lane, &mut model, op),
                Event::Wait(ms) => lane.now_ms += ms,
                Event::Settle => lane.settle(lane.ticks / 2),
                Event::Reclaim => {
                    lane.settle_all();
                    lane.view.reclaim(lane.now_ms);
                }
            }
            compare_all(&mut lane, &mut model);
        }
    }
}
