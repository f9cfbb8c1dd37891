//! What the vectors do not show.

use common::address::Object;
use common::failure::FailureCode;
use proptest::prelude::*;

use super::client::{batch, exchange, only_answer, request, texts};
use crate::front::call::Submit as _;
use crate::front::fastdht::model::Model;
use crate::front::fastdht::{Counter, Counters};

const SET: u8 = 11;
const INC: u8 = 12;
const GET: u8 = 13;
const DELETE: u8 = 14;
const BATCH_SET: u8 = 15;
const BATCH_GET: u8 = 16;
const BATCH_DELETE: u8 = 17;
const SUB_KEYS: u8 = 19;
const NOW: u64 = 1_700_000_000_250;

fn ask(model: &mut Model, command: u8, expires: i32, body: &[u8]) -> (u8, i32, Vec<u8>) {
    only_answer(&exchange(model, &request(command, expires, body)))
}

fn plain(name: &[u8]) -> Object<'_> {
    Object { namespace: b"", name }
}

/// Names with their statuses, from the body of a BATCH_SET's or BATCH_DEL's answer.
fn statuses(mut body: &[u8]) -> Vec<u8> {
    body = &body[8..];
    let mut statuses = Vec::new();
    while !body.is_empty() {
        let length = u32::from_be_bytes(body[..4].try_into().unwrap()) as usize;
        statuses.push(body[4 + length]);
        body = &body[5 + length..];
    }
    statuses
}

#[test]
fn every_outcome_has_its_status_and_keeps_the_connection() {
    let mut model = Model::new(NOW);
    let body = texts(&[b"n", b"o", b"k"]);
    let lane = model.lane_of(Object { namespace: b"n", name: b"o" });
    for (code, status) in [
        (FailureCode::WrongKind, 22),
        (FailureCode::OverLimit, 22),
        (FailureCode::NoServer, 11),
        (FailureCode::Busy, 11),
        (FailureCode::Unknown, 5),
        (FailureCode::AcksShort, 5),
        (FailureCode::DiskFull, 28),
        (FailureCode::Stopped, 28),
    ] {
        model.failing.insert(lane, code);
        let set = [&body[..], &texts(&[b"v"])].concat();
        let inc = [&body[..], &[0, 0, 0, 1]].concat();
        let keys = batch(b"n", b"o", 1, &[b"k"]);
        for (command, body) in [(SET, &set), (INC, &inc), (GET, &body), (DELETE, &body)] {
            assert_eq!(ask(&mut model, command, 9, body), (status, 9, vec![]), "{code:?}");
        }
        for (command, body) in [(BATCH_GET, &keys), (BATCH_DELETE, &keys)] {
            assert_eq!(ask(&mut model, command, -1, body), (status, -1, vec![]), "{code:?}");
        }
        let object = texts(&[b"n", b"o"]);
        assert_eq!(ask(&mut model, SUB_KEYS, 0, &object), (status, 0, vec![]), "{code:?}");
        assert!(!exchange(&mut model, &request(GET, 0, &body)).closed);
    }
}

#[test]
fn an_object_of_the_other_kind_is_invalid() {
    let mut model = Model::new(NOW);
    model.put(plain(b"hash").field(b"f"), b"v");
    model.put(Object { namespace: b"n", name: b"text" }.unnamed(), b"v");
    for body in [texts(&[b"", b"", b"hash"]), texts(&[b"n", b"text", b"k"])] {
        for expires in [-1, 0] {
            assert_eq!(ask(&mut model, GET, expires, &body).0, 22);
        }
        assert_eq!(ask(&mut model, SET, 0, &[&body[..], &texts(&[b"v"])].concat()).0, 22);
    }
    assert_eq!(ask(&mut model, BATCH_GET, -1, &batch(b"n", b"text", 1, &[b"k"])).0, 22);
    assert_eq!(ask(&mut model, SUB_KEYS, 0, &texts(&[b"n", b"text"])).0, 22);
}

#[test]
fn a_plain_batch_is_one_batch_per_lane_and_one_object_per_key() {
    let mut model = Model::new(NOW);
    let names: Vec<_> = (0..40).map(|n| format!("key{n}").into_bytes()).collect();
    let parts: Vec<&[u8]> = names.iter().flat_map(|name| [&name[..], &b"v"[..]]).collect();
    let (status, _, body) = ask(&mut model, BATCH_SET, 0, &batch(b"", b"", 40, &parts));
    assert_eq!((status, statuses(&body)), (0, vec![0; 40]));
    let lanes: std::collections::BTreeSet<_> =
        names.iter().map(|name| model.lane_of(plain(name))).collect();
    assert_eq!(model.submitted.len(), lanes.len());
    assert!(lanes.len() > 3);
    let (status, _, body) = ask(&mut model, GET, -1, &texts(&[b"", b"", b"key7"]));
    assert_eq!((status, body), (0, texts(&[b"v"])));

    // One lane is down: its keys say so, the others are deleted.
    let down = model.lane_of(plain(b"key0"));
    model.failing.insert(down, FailureCode::NoServer);
    let parts: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
    let (status, _, body) = ask(&mut model, BATCH_DELETE, 0, &batch(b"", b"", 40, &parts));
    let expected: Vec<u8> =
        names.iter().map(|name| if model.lane_of(plain(name)) == down { 11 } else { 0 }).collect();
    assert_eq!((status, statuses(&body)), (0, expected));
}

#[test]
fn long_values_are_put_together_from_parts() {
    let mut model = Model::new(NOW);
    let object = Object { namespace: b"n", name: b"o" };
    let value: Vec<u8> = (0..=255).cycle().take(5_000).collect();
    model.put(object.field(b"long"), &value);
    model.put(object.field(b"short"), b"s");
    model.part_max = 600;
    for expires in [-1, 0] {
        let (status, expires, body) = ask(&mut model, GET, expires, &texts(&[b"n", b"o", b"long"]));
        assert_eq!((status, expires, body), (0, 0, texts(&[&value])));
    }
    let keys = batch(b"n", b"o", 4, &[b"short", b"long", b"none", b"short"]);
    let (status, _, body) = ask(&mut model, BATCH_GET, -1, &keys);
    let mut expected = vec![0, 0, 0, 4, 0, 0, 0, 3];
    for (name, status, value) in [
        (&b"short"[..], 0, Some(&b"s"[..])),
        (b"long", 0, Some(&value)),
        (b"none", 2, None),
        (b"short", 0, Some(b"s")),
    ] {
        expected.extend(texts(&[name]));
        expected.push(status);
        expected.extend(value.map(|value| texts(&[value])).unwrap_or_default());
    }
    assert_eq!((status, body), (0, expected));
}

#[test]
fn a_batch_get_that_touches_changes_only_what_it_found() {
    let mut model = Model::new(NOW);
    model.put(Object { namespace: b"n", name: b"o" }.field(b"a"), b"1");
    let keys = batch(b"n", b"o", 2, &[b"none", b"a"]);
    let at = 1_700_000_100;
    let sent = exchange(&mut model, &request(BATCH_GET, at, &keys));
    assert_eq!(only_answer(&sent).1, at);
    let counters = Counters {
        set: Counter { total: 1, success: 1 },
        get: Counter { total: 2, success: 1 },
        ..Counters::default()
    };
    assert_eq!(sent.counters, counters);
    assert_eq!(ask(&mut model, GET, -1, &texts(&[b"n", b"o", b"a"])).1, at);
    assert_eq!(ask(&mut model, BATCH_GET, -2, &keys).1, -2);
    assert_eq!(ask(&mut model, GET, -1, &texts(&[b"n", b"o", b"a"])).0, 2);
}

#[test]
fn a_key_list_keeps_the_originals_bounds_and_leaves_out_what_cannot_be_said() {
    let mut model = Model::new(NOW);
    let object = Object { namespace: b"n", name: b"o" };
    for name in [&b"b"[..], b"", b"*", b"a\x01b", &[b'x'; 129], b"a"] {
        model.put(object.field(name), b"v");
    }
    model.part_max = 10;
    let body = texts(&[b"n", b"o"]);
    assert_eq!(ask(&mut model, SUB_KEYS, 0, &body), (0, 0, b"a\x01b".to_vec()));
    model.part_max = usize::MAX;
    for number in 0..700 {
        model.put(object.field(format!("{number:0100}").as_bytes()), b"v");
    }
    let (status, _, list) = ask(&mut model, SUB_KEYS, 0, &body);
    assert_eq!((status, list.len()), (0, 648 * 101 - 1));
    for number in 0..5000 {
        model.put(object.field(format!("{number}").as_bytes()), b"v");
    }
    let (_, _, list) = ask(&mut model, SUB_KEYS, 0, &body);
    assert!(list.len() < 64 << 10);
    let short = Object { namespace: b"n", name: b"short" };
    for number in 0..5000 {
        model.put(short.field(format!("{number}").as_bytes()), b"v");
    }
    let (_, _, list) = ask(&mut model, SUB_KEYS, 0, &texts(&[b"n", b"short"]));
    assert_eq!(list.split(|&byte| byte == 1).count(), 4096);
}

#[test]
fn a_refused_batch_leaves_nothing_behind() {
    let mut model = Model::new(NOW);
    let keys = batch(b"n", b"o", 2, &[b"a", b"1", b"*", b"2"]);
    assert_eq!(ask(&mut model, BATCH_SET, 0, &keys).0, 22);
    assert!(model.submitted.is_empty());
}

proptest! {
    #[test]
    fn garbage_is_answered_or_closes_and_never_panics(
        packages in proptest::collection::vec(
            (any::<u8>(), any::<i32>(), proptest::collection::vec(prop_oneof![Just(0u8), 0u8..4, any::<u8>()], 0..40)),
            0..5,
        ),
        tail in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut input = Vec::new();
        for (command, expires, body) in &packages {
            input.extend(request(*command % 41, *expires, body));
        }
        input.extend(tail);
        let _sent = exchange(&mut Model::new(NOW), &input);
    }
}
