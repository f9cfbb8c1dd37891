//! The log in good weather: bytes on disk, rotation, reading, retention.

use std::sync::Arc;

use crate::support::{IDENTITY, OPTIONS, batch, bodies, body, dir, open, open_with, segment_path};
use storage_node::binlog::{
    Log, LogError, LogIdentity, LogOptions, LogPosition, MemFs, RealFs, WhenAbsent,
};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_bytes_of_a_segment_with_two_records_are_pinned() {
    let fs = MemFs::new();
    let opened = open(&fs).unwrap();
    opened.append(&["hello", "binlog"]).unwrap();
    drop(opened);
    let bytes = fs.bytes(&segment_path(1));
    assert_eq!(bytes.len(), 8192);
    assert_eq!(
        hex(&bytes[..44]),
        "46444854424c4f4701000000ffeeddccbbaa99887766554433221100c4c3c2c1a4a3a2a10100000000000000"
    );
    assert!(bytes[44..4092].iter().all(|byte| *byte == 0));
    assert_eq!(hex(&bytes[4092..4096]), "91c38c72");
    assert_eq!(
        hex(&bytes[4096..4096 + 27]),
        "050000000c312dee68656c6c6f06000000d220b44f62696e6c6f67"
    );
    assert!(bytes[4096 + 27..].iter().all(|byte| *byte == 0));
}

#[test]
fn records_come_back_in_order_with_their_positions_over_many_rotations() {
    let fs = MemFs::new();
    let mut expected = Vec::new();
    let mut opened = open(&fs).unwrap();
    for turn in 0..120 {
        let lengths = [20 + turn * 3, 700, 12];
        let bodies: Vec<_> = (0..3).map(|i| body(turn * 3 + i, lengths[i])).collect();
        let mut batch = batch(&bodies);
        let receipt = opened.log.append(&mut batch).unwrap();
        for (index, body) in bodies.into_iter().enumerate() {
            expected.push((batch.position(receipt.first, index), body));
        }
        assert_eq!(opened.log.appended(), receipt.end);
        if turn % 7 == 0 {
            assert!(opened.sync(receipt.end));
        }
        if turn % 25 == 24 {
            drop(opened);
            opened = open(&fs).unwrap();
            assert_eq!(opened.records, expected);
            assert_eq!(opened.report.cut, None);
        }
    }
    assert!(opened.log.appended().segment > 20);

    let mut reader = opened.log.reader(opened.log.first());
    for (at, body) in &expected {
        assert_eq!(reader.next_record().unwrap(), Some((*at, &body[..])));
    }
    assert_eq!(reader.next_record().unwrap(), None);
    // A reader at the end goes on when there is more, and one may begin anywhere.
    let more = opened.append(&["more"]).unwrap();
    assert_eq!(reader.next_record().unwrap(), Some((more.first, &b"more"[..])));
    let (at, middle) = &expected[200];
    assert_eq!(opened.log.reader(*at).next_record().unwrap(), Some((*at, &middle[..])));
}

#[test]
fn a_record_longer_than_a_segment_gets_a_longer_segment() {
    let fs = MemFs::new();
    let opened = open(&fs).unwrap();
    let long = body(1, 3_000_000);
    opened.append(&["before"]).unwrap();
    let receipt = opened.append(&[&long]).unwrap();
    assert_eq!(receipt.first.segment, 2);
    opened.append(&["after"]).unwrap();
    let mut reader = opened.log.reader(LogPosition::new(2, 4096));
    assert_eq!(reader.next_record().unwrap(), Some((receipt.first, &long[..])));
    drop(opened);
    let opened = open(&fs).unwrap();
    assert_eq!(bodies(&opened.records), [b"before".to_vec(), long, b"after".to_vec()]);
}

#[test]
fn released_segments_are_gone_for_readers_and_after_a_restart() {
    let fs = MemFs::new();
    let opened = open(&fs).unwrap();
    let receipts: Vec<_> = (0..40).map(|i| opened.append(&[body(i, 1000)]).unwrap()).collect();
    assert_eq!(opened.log.release(receipts[39].first).unwrap(), 0, "nothing is durable yet");
    assert!(opened.sync(receipts[39].end));
    let needed = receipts[20].first;
    let before = opened.log.stats();
    let count = opened.log.release(needed).unwrap();
    let after = opened.log.stats();
    assert_eq!(opened.log.first(), LogPosition::new(needed.segment, 4096));
    assert_eq!(after.segments, before.segments - count);
    assert!(after.bytes < before.bytes && after.bytes >= after.segments as u64 * 8192);

    let refused = opened.log.reader(receipts[0].first).next_record().map(|_| ()).unwrap_err();
    assert!(matches!(refused, LogError::Released { first, .. } if first == opened.log.first()));
    drop(opened);
    let opened = open(&fs).unwrap();
    assert!(opened.records.iter().any(|(at, _)| *at == needed));
    assert_eq!(opened.records[0].0.segment, needed.segment);
    assert_eq!(opened.report.end, receipts[39].end);
}

#[test]
fn an_absent_log_is_created_only_when_asked_for() {
    let fs = MemFs::new();
    let refuse = LogOptions { when_absent: WhenAbsent::Refuse, ..OPTIONS };
    let error = open_with(Arc::new(fs.clone()), &dir(), refuse).err().unwrap();
    assert!(matches!(error, LogError::NoLog { .. }), "{error}");
    drop(open(&fs).unwrap());
    open_with(Arc::new(fs), &dir(), refuse).unwrap();
}

#[test]
fn the_owner_of_the_records_can_refuse_one() {
    let fs = MemFs::new();
    open(&fs).unwrap().append(&["good", "strange"]).unwrap();
    let mut visit = |_: LogPosition, body: &[u8]| {
        if body == b"strange" { Err("op 77 is unknown".to_owned()) } else { Ok(()) }
    };
    let error = Log::open(Arc::new(fs), &dir(), IDENTITY, OPTIONS, &mut visit).err().unwrap();
    let text = error.to_string();
    assert!(text.contains("offset 4108") && text.contains("op 77 is unknown"), "{text}");
}

#[test]
fn a_log_of_another_node_is_refused() {
    let fs = MemFs::new();
    open(&fs).unwrap().append(&["mine"]).unwrap();
    let other = LogIdentity { node: common::ids::NodeId(5), ..IDENTITY };
    let opened = Log::open(Arc::new(fs), &dir(), other, OPTIONS, &mut |_, _| Ok(()));
    assert!(matches!(opened.err().unwrap(), LogError::Foreign { what: "node", .. }));
}

#[test]
fn the_real_file_system_keeps_a_log_over_rotations_and_restarts() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("log");
    let options = LogOptions { segment_bytes: 3 << 20, ..OPTIONS };
    let mut expected = Vec::new();
    for round in 0..3 {
        let opened = open_with(Arc::new(RealFs), &dir, options).unwrap();
        assert_eq!(bodies(&opened.records), expected);
        for i in 0..40 {
            expected.push(body(round * 100 + i, 100_000 + i));
            let receipt = opened.append(&expected[expected.len() - 1..]).unwrap();
            if i % 10 == 0 {
                assert!(opened.sync(receipt.end));
            }
        }
    }
    let opened = open_with(Arc::new(RealFs), &dir, options).unwrap();
    assert_eq!(bodies(&opened.records), expected);
    assert!(opened.report.end.segment >= 4);
    opened.log.release(opened.report.end).unwrap();
    let left = std::fs::read_dir(&dir).unwrap().count();
    assert_eq!(left, opened.log.stats().segments);
}
