//! Lengths and counts that lie, and values at their limits.

use common::address::Object;
use common::codec::{DecodeError, Put};
use common::hash::POSITION_MAX;
use common::key::{PhysicalKey, slot_of_suffix};
use common::limits::{
    BATCH_ITEMS_MAX, FIELD_BYTES_MAX, FRAME_BYTES_MAX, NAMESPACE_BYTES_MAX, OBJECT_BYTES_MAX,
    PHYSICAL_KEY_BYTES_MAX, VALUE_BYTES_MAX,
};
use common::log_record::{self, LogRecord};
use common::op::{Op, Write};
use common::wire::frame::{self, Decoded, FRAME_HEADER_BYTES, FrameType};
use common::wire::{reply, request};

/// A request body with the head of any request and this operation.
fn request_with(op: &[u8]) -> Vec<u8> {
    let mut body = vec![0; 4 + 8 + 2 + 1];
    body.extend_from_slice(&[1, 1]);
    body.resize(body.len() + 8 + 16 + 4 + 4 + 1, 0);
    body.extend_from_slice(op);
    body
}

fn request_error(op: &[u8]) -> Option<DecodeError> {
    request::decode(&request_with(op)).err()
}

/// Every place of a request and a reply that a count stands at: what comes before it, and its name.
const REQUEST_COUNTS: [(&[u8], &str); 3] = [
    (&[2, 0, 0, 0, 0], "address count"),
    (&[4], "condition count"),
    (&[4, 0, 0, 0, 0], "write count"),
];
const REPLY_COUNTS: [(&[u8], &str); 4] = [
    (&[2], "lookup count"),
    (&[4, 0, 0, 0, 0, 0], "written count"),
    (&[5, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0], "field count"),
    (&[7, 0, 0, 0, 0, 0, 0, 0, 0, 0], "object count"),
];

#[test]
fn a_count_over_its_limit_is_refused_whatever_follows() {
    for count in [u32::MAX, 65_537] {
        for padding in [0, 100_000] {
            let bytes = |before: &[u8]| [before, &count.to_le_bytes(), &vec![0; padding]].concat();
            for (before, name) in REQUEST_COUNTS {
                let over = DecodeError::OverLimit(name, u64::from(count), 65_536);
                assert_eq!(request_error(&bytes(before)), Some(over));
            }
            for (before, name) in REPLY_COUNTS {
                let over = DecodeError::OverLimit(name, u64::from(count), 65_536);
                assert_eq!(reply::decode(&bytes(before)).err(), Some(over));
            }
        }
    }
}

#[test]
fn a_count_of_more_items_than_there_are_bytes_is_refused_at_once() {
    for (before, name) in REQUEST_COUNTS {
        let bytes = [before, &65_536_u32.to_le_bytes(), &[0; 1_000]].concat();
        assert_eq!(request_error(&bytes), Some(DecodeError::Truncated(name)));
    }
    for (before, name) in REPLY_COUNTS {
        let bytes = [before, &65_536_u32.to_le_bytes(), &[0; 1_000]].concat();
        assert_eq!(reply::decode(&bytes).err(), Some(DecodeError::Truncated(name)));
    }
}

#[test]
fn conditions_and_writes_of_a_batch_share_one_limit() {
    let condition = [0, 0, 0, 0, 1];
    let write = [0, 0, 0, 0, 2, 1, 0];
    let batch = |conditions: usize, writes: usize| {
        let mut op = vec![4];
        op.put_len(conditions);
        op.extend(condition.repeat(conditions));
        op.put_len(writes);
        op.extend(write.repeat(writes));
        op
    };
    assert_eq!(request_error(&batch(BATCH_ITEMS_MAX - 1, 1)), None);
    assert_eq!(
        request_error(&batch(BATCH_ITEMS_MAX - 1, 2)),
        Some(DecodeError::OverLimit("write count", 2, 1))
    );
}

#[test]
fn lengths_longer_than_the_input_are_refused() {
    let namespace = [8, 255, b'x'];
    assert_eq!(request_error(&namespace), Some(DecodeError::Truncated("namespace")));
    let object = [1, 0, 255, 255, b'x'];
    assert_eq!(request_error(&object), Some(DecodeError::Truncated("object")));
    let value = [3, 0, 0, 0, 0, 1, 255, 255, 255, 255, b'x'];
    assert_eq!(request_error(&value), Some(DecodeError::Truncated("value")));
}

#[test]
fn a_log_record_whose_counts_and_lengths_lie_is_refused() {
    let mut head = vec![1];
    head.resize(52, 0);
    let count = [&head, u32::MAX.to_le_bytes().as_slice()].concat();
    let over = DecodeError::OverLimit("mutation count", u64::from(u32::MAX), 131_072);
    assert_eq!(LogRecord::decode(&count), Err(over));
    let count = [&head, 131_072_u32.to_le_bytes().as_slice(), &[0; 100]].concat();
    assert_eq!(LogRecord::decode(&count), Err(DecodeError::Truncated("mutation count")));
    let stored = [&head, [1, 0, 0, 0, 0, 0, 255, 255, 255, 255].as_slice()].concat();
    assert_eq!(LogRecord::decode(&stored), Err(DecodeError::Truncated("stored")));
    let answer = [&head, [0, 0, 0, 0, 255, 255, 255, 255].as_slice()].concat();
    assert_eq!(LogRecord::decode(&answer), Err(DecodeError::Truncated("answer")));
    assert_eq!(log_record::answer(&answer), Err(DecodeError::Truncated("answer")));
}

#[test]
fn the_answer_alone_is_found_without_a_look_at_the_mutations_and_refused_by_the_same_lies() {
    let mut head = vec![1];
    head.resize(52, 0);
    let count = [&head, u32::MAX.to_le_bytes().as_slice()].concat();
    let over = DecodeError::OverLimit("mutation count", u64::from(u32::MAX), 131_072);
    assert_eq!(log_record::answer(&count), Err(over));
    // One mutation of the key "k" and of a stored value with a tag that nobody knows.
    let mutation = [1, 0, 0, 0, 1, 0, b'k', 1, 0, 0, 0, 9];
    let whole = [head.as_slice(), &mutation, &[2, 0, 0, 0, b'o', b'k']].concat();
    assert_eq!(log_record::answer(&whole), Ok(b"ok".as_slice()));
    assert!(LogRecord::decode(&whole).is_err());
    let more = [whole.as_slice(), b"!"].concat();
    assert_eq!(log_record::answer(&more), Err(DecodeError::Trailing(1)));
}

#[test]
fn a_start_whose_count_of_ends_lies_is_refused() {
    let mut head = vec![2];
    head.resize(52, 0);
    let over = DecodeError::OverLimit("end count", 65_537, 65_536);
    let lies = [
        ([&head, 65_537_u32.to_le_bytes().as_slice(), &[0; 100]].concat(), over),
        (
            [&head, 65_536_u32.to_le_bytes().as_slice(), &[0; 100]].concat(),
            DecodeError::Truncated("end count"),
        ),
        ([&head, [1, 0, 0, 0].as_slice(), &[0; 15]].concat(), DecodeError::Truncated("end lsn")),
        ([&head, [1, 0, 0, 0].as_slice(), &[0; 17]].concat(), DecodeError::Trailing(1)),
    ];
    for (bytes, error) in lies {
        assert_eq!(LogRecord::decode(&bytes), Err(error));
        assert_eq!(log_record::decode_ends(&bytes), Err(error));
        assert_eq!(log_record::answer(&bytes), Err(error));
    }
}

#[test]
fn a_frame_over_the_limit_is_refused_by_its_header_alone() {
    let header = |length: usize| {
        let mut bytes = Vec::new();
        bytes.put_len(length);
        bytes.extend_from_slice(&[4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        bytes
    };
    assert_eq!(
        frame::decode(&header(FRAME_BYTES_MAX)),
        Ok(Decoded::Incomplete(FRAME_HEADER_BYTES + FRAME_BYTES_MAX))
    );
    assert_eq!(
        frame::decode(&header(FRAME_BYTES_MAX + 1)),
        Err(DecodeError::OverLimit("frame length", 64 * 1024 * 1024 + 1, 64 * 1024 * 1024))
    );
}

#[test]
fn a_frame_of_no_known_type_is_refused_before_its_body_arrives() {
    let mut bytes = vec![16, 0, 0, 0, 15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(frame::decode(&bytes), Err(DecodeError::Unknown("frame type", 15)));
    bytes.splice(4..8, [4, 0, 2, 0]);
    assert_eq!(frame::decode(&bytes), Err(DecodeError::Unknown("frame reserved bytes", 2)));
    assert_eq!(
        frame::decode(b"GET / HTTP/1.1\r\n"),
        Err(DecodeError::OverLimit("frame length", 0x2054_4547, 64 * 1024 * 1024))
    );
}

#[test]
fn frames_are_taken_off_the_front_one_by_one() {
    let mut input = Vec::new();
    frame::encode(&mut input, FrameType::Announce, 1, |body| body.put(b"one"));
    frame::encode(&mut input, FrameType::Announce, 2, |body| body.put(b"three"));
    let Ok(Decoded::Frame(first, length)) = frame::decode(&input) else { panic!("no frame") };
    assert_eq!((first.id, first.body, length), (1, b"one".as_slice(), 19));
    let rest = input.split_off(length);
    let Ok(Decoded::Frame(second, length)) = frame::decode(&rest) else { panic!("no frame") };
    assert_eq!((second.id, second.body, length), (2, b"three".as_slice(), rest.len()));
}

#[test]
fn a_position_has_48_bits() {
    let scan = |from: u64| {
        let mut op = vec![7, 0];
        op.put_u64(from);
        op.put_u32(10);
        request_error(&op)
    };
    assert_eq!(scan(POSITION_MAX), None);
    assert_eq!(scan(1 << 48), Some(DecodeError::OverLimit("position", 1 << 48, POSITION_MAX)));
}

#[test]
fn the_longest_write_fits_in_one_frame_and_one_key() {
    let namespace = vec![b'n'; NAMESPACE_BYTES_MAX];
    let (name, field) = (vec![b'o'; OBJECT_BYTES_MAX], vec![b'f'; FIELD_BYTES_MAX]);
    let at = Object { namespace: &namespace, name: &name }.field(&field);
    assert_eq!(at.check(), Ok(()));
    let value = vec![7; VALUE_BYTES_MAX];
    let op = Op::Write(Write::put(at, &value, true));
    let mut bytes = Vec::new();
    frame::encode(&mut bytes, FrameType::Request, 1, |body| {
        body.extend_from_slice(&request_with(&[]));
        request::encode_op(body, &op);
    });
    let Ok(Decoded::Frame(frame, _)) = frame::decode(&bytes) else { panic!("no frame") };
    assert!(request::decode(frame.body).is_ok_and(|(_, decoded)| decoded == op));
    let mut key = Vec::new();
    common::key::put_key(&mut key, at);
    assert_eq!(key.len(), PHYSICAL_KEY_BYTES_MAX);
    assert!(PhysicalKey::decode(&key).is_ok_and(|decoded| decoded.object == at.object));
}

#[test]
fn names_over_their_limits_travel_and_are_refused_by_whoever_executes() {
    let long = vec![b'x'; FIELD_BYTES_MAX + 1];
    let at = Object { namespace: b"", name: b"k" }.field(&long);
    let error = at.check().unwrap_err();
    assert_eq!(error.to_string(), "field has 8193 bytes, max 8192");
    let suffix = [[2].as_slice(), &long].concat();
    assert_eq!(slot_of_suffix(&suffix), Err(DecodeError::OverLimit("field", 8_193, 8_192)));
    let namespace = [65; 100];
    assert_eq!(PhysicalKey::decode(&namespace), Err(DecodeError::OverLimit("namespace", 65, 64)));
}
