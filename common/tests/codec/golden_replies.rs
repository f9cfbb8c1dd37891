//! Every reply and every failure against `golden/replies.hex` and `golden/failures.hex`.

use common::codec::DecodeError;
use common::failure::{Failure, FailureCode};
use common::ids::{Epoch, NodeId};
use common::reply::{
    BatchReply, Described, Existed, Found, Lookup, ObjectKind, RangeField, RangeReply, Reply,
    ScanObject, ScanReply, Written,
};
use common::version::{Hlc, Version};
use common::view::GroupView;
use common::wire::{reply, response};

use crate::golden_file;

type Cases = Vec<(&'static str, Reply<'static>)>;

const FIRST: Version =
    Version { epoch: Epoch(1), hlc: Hlc(0x0193_0000_0000_0001), node: NodeId(0xacd6_3234) };
const SECOND: Version =
    Version { epoch: Epoch(2), hlc: Hlc(0x0193_0000_0001_0000), node: NodeId(7) };
const AT_MS: u64 = 1_700_000_000_123;
const NEW: Written<'static> = Written {
    applied: true,
    existed: Existed::No,
    version: FIRST,
    expire_at: 0,
    total: 4,
    value: None,
};
const NOTHING: Written<'static> = Written {
    applied: false,
    existed: Existed::No,
    version: Version { epoch: Epoch(0), hlc: Hlc(0), node: NodeId(0) },
    expire_at: 0,
    total: 0,
    value: None,
};

fn found(version: Version, total: u32, value: &'static [u8]) -> Found<'static> {
    Found { version, expire_at: 0, total, value }
}

fn record_replies() -> Cases {
    let first = Found { expire_at: AT_MS, ..found(FIRST, 4_096, b"first") };
    let over = Written {
        existed: Existed::Yes,
        version: SECOND,
        expire_at: AT_MS,
        value: Some(b"old"),
        ..NEW
    };
    let lookups = vec![Lookup::Missing, Lookup::Found(found(SECOND, 2, b"v2")), Lookup::WrongKind];
    let done = vec![Written { existed: Existed::Yes, value: Some(b""), ..NEW }, NOTHING];
    let refused = Written { applied: false, total: 2, value: Some(b"v2"), expire_at: 0, ..over };
    vec![
        ("lookup-found", Reply::Lookup(Lookup::Found(first))),
        ("lookup-missing", Reply::Lookup(Lookup::Missing)),
        ("lookup-wrong-kind", Reply::Lookup(Lookup::WrongKind)),
        ("lookups", Reply::Lookups(lookups)),
        ("written-new", Reply::Written(NEW)),
        ("written-over-another", Reply::Written(over)),
        ("written-blindly", Reply::Written(Written { existed: Existed::Unknown, ..NEW })),
        ("not-written", Reply::Written(NOTHING)),
        ("batch-done", Reply::Batch(BatchReply { refused: None, written: done })),
        ("batch-refused", Reply::Batch(BatchReply { refused: Some(3), written: vec![refused] })),
    ]
}

fn object_replies() -> Cases {
    let fields = vec![
        RangeField { name: b"cp", found: found(FIRST, 4, b"1024") },
        RangeField { name: b"ls", found: found(SECOND, 0, b"") },
    ];
    let range = RangeReply { kind: ObjectKind::Hash, expire_at: AT_MS, fields, more: true };
    let missing =
        RangeReply { kind: ObjectKind::Missing, expire_at: 0, fields: vec![], more: false };
    let described =
        Described { kind: ObjectKind::String, expire_at: 0, version: FIRST, size: 1_024 };
    let objects = vec![
        ScanObject { position: 3, name: b"k1", kind: ObjectKind::String },
        ScanObject { position: 0x4189_a57c_c76b, name: b"/usr/bin", kind: ObjectKind::Hash },
    ];
    vec![
        ("range", Reply::Range(range)),
        ("range-of-a-missing-object", Reply::Range(missing)),
        ("described", Reply::Described(described)),
        ("scan", Reply::Scan(ScanReply { objects, next: Some(0x4189_a57c_c76c) })),
        ("scan-at-its-end", Reply::Scan(ScanReply { objects: vec![], next: None })),
        ("count", Reply::Count(100_000)),
    ]
}

#[test]
fn every_reply_has_the_documented_bytes() {
    let encode = |value: &Reply<'static>| {
        let mut out = Vec::new();
        reply::encode(&mut out, value);
        out
    };
    let cases = [record_replies(), object_replies()].concat();
    golden_file::check("replies.hex", &cases, encode, reply::decode);
}

#[test]
fn every_failure_has_the_documented_bytes() {
    let cases = [
        ("wrong-kind", FailureCode::WrongKind),
        ("over-limit", FailureCode::OverLimit),
        ("not-integer", FailureCode::NotInteger),
        ("overflow", FailureCode::Overflow),
        ("not-leader", FailureCode::NotLeader),
        ("not-yet", FailureCode::NotYet),
        ("wrong-cluster", FailureCode::WrongCluster),
        ("unknown-group", FailureCode::UnknownGroup),
        ("deadline-passed", FailureCode::DeadlinePassed),
        ("no-server", FailureCode::NoServer),
        ("busy", FailureCode::Busy),
        ("disk-full", FailureCode::DiskFull),
        ("stopped", FailureCode::Stopped),
        ("acks-short", FailureCode::AcksShort),
        ("unknown", FailureCode::Unknown),
        ("interrupted", FailureCode::Interrupted),
        ("malformed", FailureCode::Malformed),
    ]
    .map(|(name, code)| (name, Err(Failure::new(code, "group 12 (a1)"))));
    let view =
        GroupView { epoch: Epoch(9), leaders: vec![(NodeId(7), Epoch(5)), (NodeId(8), Epoch(9))] };
    let with = |code, view| Err(Failure::with_view(code, "group 12 (a1)", view));
    let views = [
        ("not-leader-with-a-view", with(FailureCode::NotLeader, view.clone())),
        ("not-yet-with-an-empty-view", with(FailureCode::NotYet, GroupView::default())),
        ("interrupted-with-a-view", with(FailureCode::Interrupted, view)),
    ];
    let cases: Vec<_> = cases.into_iter().chain(views).collect();
    golden_file::check("failures.hex", &cases, encode_response, response::decode);
}

#[test]
fn a_view_crosses_the_wire_with_the_codes_that_name_one_only() -> Result<(), DecodeError> {
    let view = GroupView { epoch: Epoch(9), leaders: vec![] };
    for code in (0..=u8::MAX).filter_map(FailureCode::from_u8) {
        let value = Err(Failure::with_view(code, "", view.clone()));
        let decoded = response::decode(encode_response(&value).leak())?;
        let arrives =
            matches!(code, FailureCode::NotLeader | FailureCode::NotYet | FailureCode::Interrupted);
        let expected = if arrives { value } else { Err(Failure::new(code, "")) };
        assert_eq!(decoded, expected);
    }
    Ok(())
}

fn encode_response(value: &Result<Reply<'static>, Failure>) -> Vec<u8> {
    let mut out = Vec::new();
    match value {
        Ok(reply) => response::encode_reply(&mut out, reply),
        Err(failure) => response::encode_failure(&mut out, failure),
    }
    out
}

#[test]
fn a_response_with_a_reply_is_a_zero_and_the_reply() -> Result<(), DecodeError> {
    let value = Ok(Reply::Count(5));
    let bytes = encode_response(&value).leak();
    assert_eq!(bytes, [0, 8, 5, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(response::decode(bytes)?, value);
    Ok(())
}

#[test]
fn a_long_detail_is_cut_between_characters() {
    // 1 + 341 * 3 = 1024: the last of 342 three-byte characters does not fit.
    let detail = format!("x{}", "\u{20ac}".repeat(342));
    let value = Err(Failure::new(FailureCode::Busy, detail.clone()));
    let decoded = response::decode(encode_response(&value).leak());
    let Ok(Err(failure)) = decoded else { panic!("{decoded:?}") };
    assert_eq!(failure.detail.len(), 1_024);
    assert!(detail.starts_with(&failure.detail));
}
