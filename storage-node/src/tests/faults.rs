//! A disk that is full, cannot be read or written, or changes bytes, under a group's file.

use std::path::Path;
use std::sync::Arc;

use common::address::Field;
use common::stored::Body;

use super::lying::Lie;
use super::rig::{OPTIONS, Rig, file, identity};
use super::script::{EARLY, expected, key, record, shown};
use crate::engine::{RecordRef, Store, View};
use crate::files::{Fs, MemFs};

/// A store with so many records in memory, none in the file.
fn filled(disk: &MemFs, records: u64) -> (Rig, Vec<u32>) {
    let (mut rig, _) = Rig::open(disk, Lie::Honest).unwrap();
    assert!((1..=records).all(|number| rig.append(&record(number, 0))));
    assert!(rig.sync());
    let lives = vec![0; usize::try_from(records).unwrap()];
    (rig, lives)
}

#[test]
fn a_flush_that_finds_the_disk_full_is_tried_again_and_reads_and_counts_go_on() {
    let mut failed = 0;
    for space in (0..40).map(|step| step * (16 << 10)) {
        let disk = MemFs::new();
        let (mut rig, mut lives) = filled(&disk, 55);
        // Something is counted before, so that it must be counted anew.
        assert_eq!(shown(&rig.store, EARLY).unwrap(), expected(&lives, EARLY));
        disk.faults_below(Path::new("/groups"));
        disk.limit_space(Some(space));
        let job = rig.store.begin_flush().unwrap();
        if rig.run(job) {
            continue;
        }
        failed += 1;
        assert_eq!(rig.store.stopped(), None, "with {space} bytes");
        assert_eq!(shown(&rig.store, EARLY).unwrap(), expected(&lives, EARLY));
        // Writes go on, too.
        for number in 56..=58 {
            assert!(rig.append(&record(number, 0)));
            lives.push(0);
        }
        assert!(rig.store.wants_retry());
        assert!(rig.store.begin_flush().is_none(), "not at once");
        let job = rig.store.begin_flush().unwrap();
        assert!(!rig.run(job), "there is no more room than before");
        assert_eq!(shown(&rig.store, EARLY).unwrap(), expected(&lives, EARLY));
        disk.limit_space(None);
        assert!(rig.store.begin_flush().is_none());
        let job = rig.store.begin_flush().unwrap();
        assert!(rig.run(job), "with {space} bytes");
        assert_eq!(shown(&rig.store, EARLY).unwrap(), expected(&lives, EARLY));
        assert!(rig.flush(false));
        drop(rig);
        let (rig, found) = Rig::open(&disk, Lie::Honest).unwrap();
        assert!(found.len() <= 58);
        assert_eq!(shown(&rig.store, EARLY).unwrap(), expected(&lives, EARLY));
    }
    assert!(failed > 0, "some flushes had too little room");
}

#[test]
fn a_write_error_in_a_flush_stops_the_group_and_reads_go_on() {
    let disk = MemFs::new();
    let (mut rig, lives) = filled(&disk, 40);
    disk.fail_writes(&file(), 8192..u64::MAX);
    let job = rig.store.begin_flush().unwrap();
    assert!(!rig.run(job));
    let stopped = rig.store.stopped().unwrap();
    assert!(stopped.contains("3.redb") && stopped.contains("restart the node"), "{stopped}");
    disk.repair();
    assert_eq!(shown(&rig.store, EARLY).unwrap(), expected(&lives, EARLY));
    assert!(rig.store.begin_flush().is_none());
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_with_its_name_until_it_can_be_read_again() {
    let disk = MemFs::new();
    let (mut rig, lives) = filled(&disk, 55);
    assert!(rig.flush(false));
    // A fresh store has nothing in its cache.
    drop(rig);
    let (rig, _) = Rig::open(&disk, Lie::Honest).unwrap();
    disk.fail_reads(&file(), 8192..u64::MAX);
    for _ in 0..2 {
        let error = shown(&rig.store, EARLY).unwrap_err();
        assert!(error.contains("3.redb: cannot"), "{error}");
    }
    disk.repair();
    assert_eq!(shown(&rig.store, EARLY).unwrap(), expected(&lives, EARLY));
}

#[test]
fn a_flipped_bit_anywhere_in_a_group_file_is_noticed_or_without_effect() {
    let disk = MemFs::new();
    let (mut rig, lives) = filled(&disk, 55);
    assert!(rig.flush(false));
    drop(rig);
    let names: Vec<String> = (0..7).map(|n| format!("s{n}")).collect();
    let right = expected(&lives, EARLY);
    let bytes = disk.bytes(&file());
    // The checksums and the header, and what is used of the pages: each byte of a sample.
    let used = (0..bytes.len()).filter(|at| bytes[at / 512 * 512..][..512].iter().any(|b| *b != 0));
    let (mut refused, mut served) = (0, 0);
    for at in (0..64).chain(4096..4608).chain(used.step_by(61)) {
        let disk = disk.after_kill();
        disk.flip(&file(), at as u64, 1 << (at % 8));
        let fs: Arc<dyn Fs> = Arc::new(disk);
        let Ok(store) = Store::open(&fs, &file(), identity(), OPTIONS) else {
            refused += 1;
            continue;
        };
        for name in &names {
            let expected = right.get(name).map(|shown| shown[""].as_slice());
            let Ok(found) = store.record(&key(name, Field::Unnamed)) else { continue };
            let found = found.as_ref().map(RecordRef::stored);
            let value = found.and_then(|found| match found.body {
                Body::Value { value, .. } => Some(value),
                _ => None,
            });
            assert_eq!(value, expected, "{name} after byte {at} changed");
            served += 1;
        }
    }
    assert!(refused > 500 && served > 500, "{refused} starts refused, {served} records served");
}
