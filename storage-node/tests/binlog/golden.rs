//! `tests/golden/segment.hex`, from both sides: these records become these bytes, and these bytes
//! are read as these frames.

use std::sync::Arc;

use common::address::{Field, Object};
use common::ids::{Epoch, Lane, LogicGroup, Lsn, NodeId, RequestId, ServerIndex, Stream};
use common::key;
use common::log_record::{LogHead, LogRecord, LogRecordWriter, Mutation};
use common::stored::{Body, Stored};
use common::version::{Hlc, Version};

use crate::support::{IDENTITY, Seen, body, dir, open, segment_path};
use storage_node::binlog::{Content, Found, Inspector, LogFs, LogPosition, MemFs};

const FILE: &str = include_str!("../golden/segment.hex");
const BYTES: usize = 8192;
const HLC: Hlc = Hlc(1_767_323_045_678 << 16);

/// The file's bytes: each case at its offset, zeros elsewhere.
fn golden() -> Vec<u8> {
    let mut bytes = vec![0; BYTES];
    let mut at = 0;
    for line in FILE.lines() {
        let line = line.split('#').next().unwrap().trim();
        if let Some(name) = line.strip_prefix('[') {
            at = name.split(' ').next().unwrap().parse().unwrap();
            continue;
        }
        for byte in line.split_whitespace() {
            bytes[at] = u8::from_str_radix(byte, 16).unwrap();
            at += 1;
        }
    }
    bytes
}

fn head(lsn: u64, request: u128, open: u32) -> LogHead {
    let lane = Lane { group: LogicGroup(12), server: ServerIndex(1) };
    LogHead {
        stream: Stream { lane, epoch: Epoch(9) },
        lsn: Lsn(lsn),
        hlc: Hlc(HLC.0 + lsn - 1),
        node: NodeId::of_name("a1"),
        request: RequestId(request),
        open,
    }
}

fn key_of(namespace: &[u8], name: &[u8], suffix: &[u8]) -> Vec<u8> {
    let mut key = Vec::new();
    key::put_object_prefix(&mut key, Object { namespace, name });
    key.extend_from_slice(suffix);
    key
}

fn field(field: Field<'_>) -> Vec<u8> {
    let mut suffix = Vec::new();
    key::put_field_suffix(&mut suffix, field);
    suffix
}

fn start() -> Vec<u8> {
    let mut out = Vec::new();
    LogRecord::encode_start(&mut out, &head(1, 0, 0), &[(Epoch(1), Lsn(42)), (Epoch(4), Lsn(7))]);
    out
}

fn write(head: &LogHead, changes: &[(Vec<u8>, Body<'_>)], answer: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = LogRecordWriter::new(&mut out, head);
    for (key, body) in changes {
        writer.mutation(&Mutation { key, stored: Stored { version: head.version(), body: *body } });
    }
    writer.finish(answer);
    out
}

fn records() -> [Vec<u8>; 3] {
    let ago = Hlc(HLC.0 - (1000 << 16));
    let cleared = Version { epoch: Epoch(4), hlc: ago, node: NodeId::of_name("a1") };
    let object = [
        (key_of(b"files", b"/usr/bin", key::HEADER_SUFFIX), Body::Header { expire_at: 0, cleared }),
        (
            key_of(b"files", b"/usr/bin", &field(Field::Named(b"ls"))),
            Body::Value { expire_at: 1_893_456_000_000, value: b"a \"b\"\n" },
        ),
    ];
    let binary = [
        (key_of(b"", b"k1", &field(Field::Unnamed)), Body::Tombstone),
        (
            key_of(&[0, 255], &[255, 0], &field(Field::Named(&[0, 1, 255]))),
            Body::Value { expire_at: 0, value: &[0, 255] },
        ),
    ];
    let request = 0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10;
    [
        start(),
        write(&head(2, request, 0), &object, b"ok"),
        write(&head(3, request + 1, 1), &binary, b""),
    ]
}

#[test]
fn the_bytes_of_a_segment_are_as_documented() {
    let fs = MemFs::new();
    let opened = open(&fs).unwrap();
    let [start, object, binary] = records();
    let receipt = opened.append(&[start]).unwrap();
    assert!(opened.sync(receipt.end));
    opened.append(&[object, binary]).unwrap();
    // Has no room any more, so that the segment gets its seal.
    opened.append(&[body(0, 3900)]).unwrap();
    assert_eq!(fs.bytes(&segment_path(1)), golden());
}

#[test]
fn the_documented_bytes_are_read_as_these_frames() {
    let fs = MemFs::new();
    fs.create_dir(&dir()).unwrap();
    let copy = dir().join("copy of a segment");
    fs.put_bytes(&copy, golden());
    let look = || Inspector::of_files(Arc::new(fs.clone()), [copy.clone()]);
    let seen = Seen::of(look());
    let found: Vec<Vec<u8>> = seen.records.iter().map(|(_, body)| body.clone()).collect();
    assert_eq!(found, records());
    assert_eq!((&seen.segments[..], seen.seals, seen.end), (&[1][..], 1, None));
    assert_eq!((seen.refused, seen.torn, seen.stray), (Vec::new(), None, None));

    let durable = LogPosition::new(1, 4192);
    let mut places = Vec::new();
    for found in look() {
        match found {
            Found::Segment(file) => assert_eq!(file.identity, Some(IDENTITY)),
            Found::Frame(frame) => {
                if let Content::Mark(at) | Content::Seal(at) = frame.content {
                    assert_eq!(at, durable);
                }
                places.push((frame.at.offset, frame.bytes));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(places.len(), 5);
    assert!(places.windows(2).all(|pair| pair[0].0 + pair[0].1 == pair[1].0), "{places:?}");
}
