//! Counts, lengths and numbers that lie, and values at their limits.

use common::codec::{DecodeError, Put};
use common::ids::{Epoch, Lane, LogicGroup, Lsn, ServerIndex};
use common::limits::FRAME_BYTES_MAX;

use super::super::{BODIES_MAX, Incoming, NUMBER_MAX, RecordsWriter, TERMS_MAX, take_slot};
use super::{decode, encode, whole};
use crate::replication::message::{Message, Records, Term};
use crate::replication::position::{Position, Span};

const TERM: Term =
    Term { lane: Lane { group: LogicGroup(1), server: ServerIndex(2) }, since: Epoch(3) };

fn error(bytes: &[u8]) -> Option<DecodeError> {
    decode(bytes).err()
}

fn records() -> Records {
    let span = Span { epoch: Epoch(3), first: Lsn(1), last: Lsn(9) };
    Records { term: TERM, life: 0, spans: vec![span], official: Lsn(4), confirmed: None }
}

/// A message up to its count: zeros but for the kind, and for the step of a round.
fn before(kind: u8, zeros: usize, step: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.resize(1 + zeros, 0);
    bytes.extend_from_slice(step);
    bytes
}

#[test]
fn a_long_count_over_its_limit_or_over_the_bytes_is_refused_at_once() {
    let counts = [
        (before(2, 8, &[]), "term count", TERMS_MAX),
        (before(3, 8, &[]), "granted count", TERMS_MAX),
        (before(3, 12, &[]), "refused count", TERMS_MAX),
        (before(12, 11 + 8 + 8 + 1 + 8 + 1, &[]), "record count", BODIES_MAX),
    ];
    for (before, name, max) in counts {
        for count in [u32::MAX, u32::try_from(max).unwrap() + 1] {
            let bytes = [before.as_slice(), &count.to_le_bytes(), &vec![0; 300_000]].concat();
            let over = DecodeError::OverLimit(name, u64::from(count), max as u64);
            assert_eq!(error(&bytes), Some(over));
        }
        let count = u32::try_from(max).unwrap().to_le_bytes();
        let bytes = [before.as_slice(), &count, &[0; 1_000]].concat();
        assert_eq!(error(&bytes), Some(DecodeError::Truncated(name)));
    }
}

#[test]
fn a_short_count_over_the_bytes_that_are_left_is_refused_at_once() {
    let counts = [
        (before(1, 22, &[2, 0]), "lease count", 17),
        (before(6, 10, &[]), "consent count", 9),
        (before(10, 11, &[]), "position count", 16),
        (before(11, 19, &[]), "position count", 16),
    ];
    for (before, name, item_bytes) in counts {
        for count in [u16::MAX, 100] {
            let bytes = vec![0; 100 * item_bytes - 1];
            let bytes = [before.as_slice(), &count.to_le_bytes(), &bytes].concat();
            assert_eq!(error(&bytes), Some(DecodeError::Truncated(name)));
        }
    }
}

#[test]
fn a_record_longer_than_the_input_is_refused() {
    let head = before(12, 11 + 8 + 8 + 1 + 8 + 1, &[1, 0, 0, 0]);
    let body = |length: u32| [head.as_slice(), &length.to_le_bytes(), b"abc"].concat();
    assert_eq!(error(&body(3)), None);
    assert_eq!(error(&body(4)), Some(DecodeError::Truncated("record")));
    assert_eq!(error(&body(u32::MAX)), Some(DecodeError::Truncated("record")));
}

#[test]
fn what_this_version_does_not_know_is_refused() {
    for kind in [0, 16, 255] {
        let unknown = DecodeError::Unknown("message kind", u64::from(kind));
        assert_eq!(error(&before(kind, 100, &[])), Some(unknown));
    }
    for step in [0, 8] {
        let unknown = DecodeError::Unknown("register step", u64::from(step));
        assert_eq!(error(&before(1, 22, &[step, 0, 0, 0])), Some(unknown));
    }
    let kept = before(8, 11 + 16, &[2]);
    assert_eq!(error(&kept), Some(DecodeError::Unknown("log kept", 2)));
    let sync = before(12, 11 + 8 + 8 + 1 + 8, &[2, 0, 0, 0, 0]);
    assert_eq!(error(&sync), Some(DecodeError::Unknown("sync wanted", 2)));
    for format in [0, 2] {
        let unknown = DecodeError::Unknown("slot format", u64::from(format));
        assert_eq!(whole(&[format; 100], take_slot), Err(unknown));
    }
}

#[test]
fn a_number_that_could_not_be_counted_on_from_is_refused() {
    let numbers = [
        (before(7, 3, &[]), vec![], "epoch"),
        (before(8, 11 + 8, &[]), vec![0], "lsn"),
        (before(1, 2, &[]), [vec![0; 12], vec![1]].concat(), "round"),
        (before(2, 0, &[]), vec![0; 4], "time of sending"),
        (before(1, 22, &[6]), vec![], "remaining time"),
        (before(5, 2 + 4, &[]), vec![0; 5], "epoch"),
        (before(5, 2 + 4 + 8 + 2, &[1, 0, 0, 0, 0]), vec![0; 2], "since-epoch"),
    ];
    for (before, after, name) in numbers {
        let bytes = |number: u64| [before.clone(), number.to_le_bytes().to_vec(), after.clone()];
        assert_eq!(error(&bytes(NUMBER_MAX).concat()), None, "{name}");
        for number in [NUMBER_MAX + 1, u64::MAX] {
            let over = DecodeError::OverLimit(name, number, NUMBER_MAX);
            assert_eq!(error(&bytes(number).concat()), Some(over));
        }
    }
}

#[test]
fn a_writer_counts_its_bytes_and_takes_no_more_records_than_a_reader() {
    let mut out = b"before".to_vec();
    let mut writer = RecordsWriter::new(&mut out, &records(), 5, true);
    let head = writer.bytes();
    for number in 0..BODIES_MAX {
        assert!(writer.body(&[7; 3]));
        assert_eq!(writer.bytes(), head + 7 * (number + 1));
    }
    assert!(!writer.body(b""), "over the limit");
    assert_eq!(writer.bytes(), head + 7 * BODIES_MAX);
    writer.finish();
    assert!(out.starts_with(b"before"));
    let bodies = vec![[7; 3].as_slice(); BODIES_MAX];
    let records = Records { spans: vec![], ..records() };
    assert_eq!(
        decode(&out[6..]),
        Ok(Incoming::Records { records, safe_ms: 5, sync: true, bodies })
    );
}

#[test]
fn a_record_that_no_frame_holds_is_left_out() {
    let mut out = Vec::new();
    let mut writer = RecordsWriter::new(&mut out, &records(), 0, false);
    let head = writer.bytes();
    assert!(!writer.body(&vec![0; FRAME_BYTES_MAX + 1]));
    assert_eq!(writer.bytes(), head);
}

#[test]
fn records_among_messages_are_written_without_spans_bodies_and_promise() {
    let bytes = encode(&Incoming::Message(Message::Records(records())));
    let records = Records { spans: vec![], ..records() };
    assert_eq!(
        decode(&bytes),
        Ok(Incoming::Records { records, safe_ms: 0, sync: false, bodies: vec![] })
    );
}

#[test]
fn a_renewal_of_all_lanes_there_can_be_fits_in_a_frame() {
    let renew = Message::Renew { sent_ms: 1, terms: vec![TERM; TERMS_MAX] };
    let bytes = encode(&Incoming::Message(renew.clone()));
    assert!(bytes.len() < FRAME_BYTES_MAX);
    assert_eq!(decode(&bytes), Ok(Incoming::Message(renew)));
}

#[test]
fn of_more_streams_than_a_count_holds_the_newest_are_named() {
    let have: Vec<_> =
        (1..=65_540).map(|epoch| Position { epoch: Epoch(epoch), lsn: Lsn(1) }).collect();
    let copy = |have| Incoming::Message(Message::Copy { term: TERM, have });
    let bytes = encode(&copy(have.clone()));
    assert_eq!(decode(&bytes), Ok(copy(have[5..].to_vec())));
}

#[test]
fn bytes_behind_a_message_are_the_next_one() {
    let mut bytes = encode(&Incoming::NeedsReseed(TERM));
    bytes.put_u8(0);
    assert_eq!(error(&bytes), Some(DecodeError::Trailing(1)));
}
