//! Failing and full disks, and how often the log syncs.

use std::sync::Arc;
use std::time::Duration;

use crate::support::{OPTIONS, batch, bodies, body, dir, open, open_with};
use storage_node::binlog::{LogError, LogOptions, MemFs, PowerCut};

#[test]
fn a_failed_fsync_poisons_the_log_until_it_is_opened_again() {
    let fs = MemFs::new();
    let opened = open(&fs).unwrap();
    let good = opened.append(&["good"]).unwrap();
    assert!(opened.sync(good.end));
    let lost = opened.append(&["unconfirmed"]).unwrap();
    let syncs = fs.syncs();
    fs.fail_sync(1);
    assert!(!opened.sync(lost.end), "never confirmed");
    let cause = opened.events.wait_poisoned();
    assert!(cause.contains("injected sync error"), "{cause}");
    assert_eq!(opened.log.durable(), good.end);

    for _ in 0..3 {
        let error = opened.append(&["later"]).unwrap_err();
        assert!(matches!(error, LogError::Poisoned { .. }), "{error}");
        assert!(error.to_string().contains("injected sync error"), "{error}");
        opened.log.request_sync(lost.end);
    }
    assert_eq!(opened.log.poisoned(), Some(cause));
    drop(opened);
    assert_eq!(fs.syncs(), syncs + 1, "a failed fsync is not tried again");

    fs.cut_power();
    let opened = open(&fs.after_power_cut(PowerCut::LoseUnsynced)).unwrap();
    assert_eq!(bodies(&opened.records), [b"good".to_vec()]);
    opened.append(&["writes again"]).unwrap();
}

/// A name that may come back leaves a gap if the ones behind it go.
#[test]
fn a_failed_sync_of_the_directory_ends_the_release_for_good() {
    let fs = MemFs::new();
    let opened = open(&fs).unwrap();
    let receipts: Vec<_> = (0..30).map(|i| opened.append(&[body(i, 1500)]).unwrap()).collect();
    let last = receipts[29];
    assert!(opened.sync(last.end));
    fs.fail_sync(1);
    opened.log.release(last.first).unwrap_err();
    let first = opened.log.first();
    assert!(matches!(opened.append(&["later"]).unwrap_err(), LogError::Poisoned { .. }));
    assert!(matches!(opened.log.release(last.first).unwrap_err(), LogError::Poisoned { .. }));
    assert_eq!((opened.log.first(), first.segment), (first, 2), "one is gone, the others stay");
}

#[test]
fn a_failed_write_poisons_the_log_and_says_that_the_outcome_is_unknown() {
    let fs = MemFs::new();
    let opened = open(&fs).unwrap();
    opened.append(&["good"]).unwrap();
    fs.cut_power();
    assert!(matches!(opened.append(&["bad"]).unwrap_err(), LogError::Failed { .. }));
    assert!(matches!(opened.append(&["bad"]).unwrap_err(), LogError::Poisoned { .. }));
    opened.events.wait_poisoned();
}

#[test]
fn a_disk_without_room_for_a_segment_refuses_until_there_is_room() {
    let fs = MemFs::new();
    let opened = open(&fs).unwrap();
    fs.limit_space(Some(1000));
    let mut written = Vec::new();
    let error = loop {
        let next = body(written.len(), 600);
        match opened.append(&[&next]) {
            Ok(_) => written.push(next),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, LogError::Full { .. }), "{error}");
    assert!(matches!(opened.append(&[body(99, 600)]), Err(LogError::Full { .. })));
    assert!(opened.sync(opened.log.appended()), "what is there can be made durable");
    // Smaller writes still fit.
    opened.append(&["small"]).unwrap();
    written.push(b"small".to_vec());

    fs.limit_space(None);
    let receipt = opened.append(&["room again"]).unwrap();
    opened.append(&[body(7, 3000)]).unwrap();
    written.extend([b"room again".to_vec(), body(7, 3000)]);
    assert!(opened.sync(receipt.end));
    assert_eq!(opened.log.poisoned(), None);
    drop(opened);
    assert_eq!(bodies(&open(&fs).unwrap().records), written);
}

#[test]
fn a_write_that_the_full_disk_cut_short_leaves_nothing_behind() {
    for put in [0, 3, 8, 30, 33, 60, 98] {
        let fs = MemFs::new();
        let opened = open(&fs).unwrap();
        let before = opened.append(&["before"]).unwrap();
        fs.fill_up_writes(Some(put));
        // Records of equal length: what was left of the second would be valid behind a new first.
        let mut refused = batch(&[body(1, 25), body(2, 25), body(3, 25)]);
        assert!(matches!(opened.log.append(&mut refused), Err(LogError::Full { .. })));
        assert_eq!(opened.log.appended(), before.end);
        drop(opened);
        fs.fill_up_writes(None);
        let opened = open(&fs).unwrap();
        assert_eq!(bodies(&opened.records), [b"before".to_vec()], "{put} bytes were put");
        drop(opened);

        let fs = MemFs::new();
        let opened = open(&fs).unwrap();
        fs.fill_up_writes(Some(put));
        assert!(opened.log.append(&mut refused).is_err());
        fs.fill_up_writes(None);
        opened.append(&[body(4, 25)]).unwrap();
        drop(opened);
        assert_eq!(bodies(&open(&fs).unwrap().records), [body(4, 25)]);
        // The same batch can be offered again.
        let opened = open(&fs).unwrap();
        opened.log.append(&mut refused).unwrap();
        drop(opened);
        assert_eq!(open(&fs).unwrap().records.len(), 4);
    }
}

#[test]
fn writers_that_wait_for_their_sync_share_it() {
    const WRITERS: usize = 16;
    const RECORDS: usize = 25;
    let fs = MemFs::new();
    let options = LogOptions { segment_bytes: 1 << 20, ..OPTIONS };
    let opened = open_with(Arc::new(fs.clone()), &dir(), options).unwrap();
    fs.delay_syncs(Duration::from_millis(2));
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let opened = &opened;
            scope.spawn(move || {
                for record in 0..RECORDS {
                    let receipt = opened.append(&[body(writer * 100 + record, 150)]).unwrap();
                    assert!(opened.sync(receipt.end));
                    assert!(opened.log.durable() >= receipt.end);
                }
            });
        }
    });
    let syncs = opened.log.stats().syncs;
    assert!(syncs >= RECORDS as u64, "each writer waits for {RECORDS} syncs one by one");
    assert!(syncs <= (WRITERS * RECORDS / 4) as u64, "{syncs} syncs");
    drop(opened);
    assert_eq!(open(&fs).unwrap().records.len(), WRITERS * RECORDS);
}

#[test]
fn what_nobody_asked_to_sync_is_durable_after_the_interval() {
    let fs = MemFs::new();
    let options = LogOptions { sync_interval: Duration::from_millis(20), ..OPTIONS };
    let opened = open_with(Arc::new(fs.clone()), &dir(), options).unwrap();
    let receipt = opened.append(&["everysec"]).unwrap();
    assert!(opened.events.wait_durable(receipt.end));
    let syncs = opened.log.stats().syncs;
    let receipt = opened.append(&["again"]).unwrap();
    assert!(opened.events.wait_durable(receipt.end));
    assert_eq!(opened.log.stats().syncs, syncs + 1, "an idle log is not synced");
}

#[test]
fn the_next_segment_is_there_before_it_is_needed() {
    let fs = MemFs::new();
    let opened = open(&fs).unwrap();
    let half = opened.append(&[body(0, 3000)]).unwrap();
    // Two turns of the sync thread later, the first of which may have been under way.
    assert!(opened.sync(half.end));
    let more = opened.append(&["more"]).unwrap();
    assert!(opened.sync(more.end));
    assert_eq!(opened.log.stats().segments, 2);
    assert_eq!(opened.log.appended().segment, 1);
    drop(opened);
    // The one in waiting is still good after a restart.
    let opened = open(&fs).unwrap();
    assert_eq!(opened.log.stats().segments, 2);
    let receipt = opened.append(&[body(1, 3000)]).unwrap();
    assert_eq!(receipt.first.segment, 2);
}
