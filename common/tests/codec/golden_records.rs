//! Stored values, physical keys and log records against their golden files.

use common::address::{Field, Object};
use common::hash;
use common::ids::{Epoch, Lane, LogicGroup, Lsn, NodeId, RequestId, ServerIndex, Stream};
use common::key::{self, PhysicalKey, Slot};
use common::log_record::{self, LogHead, LogRecord, LogRecordWriter, Mutation};
use common::reply::{Existed, Reply, Written};
use common::stored::{Body, Stored};
use common::version::{Hlc, Version};
use common::wire::reply;

use crate::formats;
use crate::golden_file;

const FIRST: Version =
    Version { epoch: Epoch(1), hlc: Hlc(0x0193_0000_0000_0001), node: NodeId(0xacd6_3234) };
const SECOND: Version =
    Version { epoch: Epoch(2), hlc: Hlc(0x0193_0000_0001_0000), node: NodeId(7) };
const AT_MS: u64 = 1_700_000_000_123;
const FOLDER: Object<'static> = Object { namespace: b"files", name: b"/usr/bin" };

#[test]
fn every_stored_value_has_the_documented_bytes() {
    let value =
        |version, expire_at, value| Stored { version, body: Body::Value { expire_at, value } };
    let header = |expire_at, cleared| Body::Header { expire_at, cleared };
    let cases = [
        ("value", value(FIRST, 0, b"1024".as_slice())),
        ("empty-value", value(SECOND, 0, b"")),
        ("expiring-value", value(FIRST, AT_MS, b"1024")),
        ("tombstone", Stored { version: SECOND, body: Body::Tombstone }),
        ("header", Stored { version: SECOND, body: header(AT_MS, FIRST) }),
        (
            "header-that-clears-nothing",
            Stored { version: SECOND, body: header(0, Version::default()) },
        ),
    ];
    golden_file::check("stored.hex", &cases, formats::encode_stored, Stored::decode);
}

fn physical_key(object: Object<'static>, slot: Slot<'static>) -> PhysicalKey<'static> {
    let prefix_bytes = 1 + object.namespace.len() + 6 + 2 + object.name.len();
    PhysicalKey { object, position: hash::position(object), slot, prefix_bytes }
}

/// The way the storage node makes keys.
fn put_physical_key(key: &PhysicalKey<'static>) -> Vec<u8> {
    let mut out = Vec::new();
    match key.slot {
        Slot::Header => {
            key::put_object_prefix(&mut out, key.object);
            out.extend_from_slice(key::HEADER_SUFFIX);
        }
        Slot::Field(Field::Unnamed) => key::put_key(&mut out, key.object.unnamed()),
        Slot::Field(Field::Named(name)) => key::put_key(&mut out, key.object.field(name)),
    }
    out
}

#[test]
fn every_kind_of_physical_key_has_the_documented_bytes() {
    let named = |name| Slot::Field(Field::Named(name));
    let unnamed = Slot::Field(Field::Unnamed);
    let plain = Object { namespace: b"", name: b"k1" };
    let empty = Object { namespace: b"files", name: b"" };
    let binary = Object { namespace: b"\0\xff", name: b"\xff\0" };
    let cases = [
        ("header", physical_key(FOLDER, Slot::Header)),
        ("unnamed-field", physical_key(plain, unnamed)),
        ("named-field", physical_key(FOLDER, named(b"ls"))),
        ("field-with-an-empty-name", physical_key(FOLDER, named(b""))),
        ("object-with-an-empty-name", physical_key(empty, unnamed)),
        ("binary-names", physical_key(binary, named(b"\0\x01\xff"))),
    ];
    golden_file::check("keys.hex", &cases, put_physical_key, PhysicalKey::decode);
    golden_file::check("keys.hex", &cases, formats::encode_key, PhysicalKey::decode);
}

fn log_head() -> LogHead {
    let lane = Lane { group: LogicGroup(12), server: ServerIndex(1) };
    LogHead {
        stream: Stream { lane, epoch: Epoch(1) },
        lsn: Lsn(42),
        hlc: FIRST.hlc,
        node: FIRST.node,
        request: RequestId(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10),
        open: 3,
    }
}

fn log_records() -> [(&'static str, LogRecord<'static>); 4] {
    let written = Written {
        applied: true,
        existed: Existed::Yes,
        version: FIRST,
        expire_at: 0,
        total: 4,
        value: None,
    };
    let mut answer = Vec::new();
    reply::encode(&mut answer, &Reply::Written(written));
    let cleared = Version { epoch: Epoch(0), hlc: Hlc(9), node: NodeId(9) };
    let header = Body::Header { expire_at: 0, cleared };
    let value = Body::Value { expire_at: 0, value: b"1024" };
    let mutation = |slot, body| Mutation {
        key: put_physical_key(&physical_key(FOLDER, slot)).leak(),
        stored: Stored { version: FIRST, body },
    };
    let mutations =
        vec![mutation(Slot::Header, header), mutation(Slot::Field(Field::Named(b"ls")), value)];
    let empty = LogRecord { head: log_head(), ends: None, mutations: vec![], answer: b"" };
    let first = LogHead { lsn: Lsn(1), request: RequestId(0), open: 0, ..log_head() };
    let first = LogHead { stream: Stream { epoch: Epoch(9), ..first.stream }, ..first };
    let start = |ends| LogRecord { head: first, ends: Some(ends), ..empty.clone() };
    let answer = answer.leak();
    [
        ("two-mutations", LogRecord { mutations, answer, ..empty.clone() }),
        ("no-mutation", empty.clone()),
        ("start", start(vec![(Epoch(1), Lsn(42)), (Epoch(4), Lsn(7))])),
        ("start-of-the-first-stream", start(vec![])),
    ]
}

#[test]
fn a_log_record_has_the_documented_bytes() {
    let cases = log_records();
    golden_file::check("log_record.hex", &cases, formats::encode_log_record, LogRecord::decode);
    assert_eq!(log_head().version(), FIRST);
}

#[test]
fn a_log_record_can_be_written_behind_others_and_skipped_by_its_head() {
    let mut out = b"before".to_vec();
    LogRecordWriter::new(&mut out, &log_head()).finish(b"");
    assert_eq!(out.len(), 6 + LogRecord::overhead_bytes());
    assert_eq!(log_record::decode_head(&out[6..]), Ok(log_head()));
    let [_, (_, empty), ..] = log_records();
    assert_eq!(out[6..], formats::encode_log_record(&empty));
}
