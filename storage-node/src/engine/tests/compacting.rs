//! Copies of a group's file without its free space, while the group serves.

use common::address::Field;
use common::stored::Body;

use super::support::{Bench, OPTIONS, Put, key};
use crate::engine::{CompactEnd, CompactJob, CompactStep, StoreOptions, View};
use crate::files::{Fs, MemFs};

/// Copies in pieces of 2 KiB.
const SMALL: StoreOptions = StoreOptions { cache_bytes: 4 << 10, ..OPTIONS };

/// Runs a copy to its end, or so many steps of it.
fn steps(mut job: CompactJob, most: usize) -> Result<CompactJob, CompactEnd> {
    for _ in 0..most {
        match job.step() {
            CompactStep::More(more) => job = more,
            CompactStep::Done(end) => return Err(end),
        }
    }
    Ok(job)
}

fn finish(bench: &mut Bench, job: CompactJob) -> CompactEnd {
    let Err(end) = steps(job, 10_000) else { panic!("it never ends") };
    bench.store_mut().finish_compaction(&end);
    end
}

fn compact(bench: &mut Bench) -> CompactEnd {
    let job = bench.store_mut().begin_compaction().unwrap();
    finish(bench, job)
}

/// A store that has 200 strings, 20 of which expire, and had 1800 more.
fn shrunk(bench: &mut Bench) {
    for number in 0..2_000 {
        let expire_at = if number % 100 == 0 { 900_000 } else { 0 };
        bench.set(&name(number), expire_at, &"v".repeat(100));
    }
    bench.flush();
    for number in (0..2_000).filter(|number| number % 10 != 0) {
        bench.write(vec![(key(&name(number), Field::Unnamed), Put::Tombstone)]);
    }
    bench.hset("hash", "one", "1");
    bench.hset("hash", "two", "2");
    bench.flush();
}

fn name(number: u32) -> String {
    format!("name {number:06}")
}

fn value_of(bench: &Bench, name: &str) -> Option<Vec<u8>> {
    let found = bench.store().record(&key(name, Field::Unnamed)).unwrap()?;
    match found.stored().body {
        Body::Value { value, .. } => Some(value.to_vec()),
        _ => None,
    }
}

/// Looks at everything that [`shrunk`] left.
fn check(bench: &Bench) {
    for number in 0..2_000 {
        let expected = (number % 10 == 0).then(|| vec![b'v'; 100]);
        assert_eq!(value_of(bench, &name(number)), expected, "{number}");
    }
    assert_eq!(bench.records("hash").len(), 2);
    assert_eq!(bench.count(0), 201);
    bench.check_file();
}

#[test]
fn a_copy_has_everything_and_less_space_and_is_what_is_opened_again() {
    for options in [SMALL, StoreOptions { cache_bytes: 1 << 20, ..OPTIONS }] {
        let mut bench = Bench::on_disk(&MemFs::new(), options);
        shrunk(&mut bench);
        let before = bench.store().space();
        let end = compact(&mut bench);
        let after = bench.store().space();
        assert!(matches!(end, CompactEnd::Replaced { stored } if stored == after.stored));
        assert_eq!(before.stored, after.stored);
        assert!(after.file * 3 < before.file, "{before:?} {after:?}");
        check(&bench);
        bench.reopen();
        assert_eq!(bench.store().space().stored, before.stored);
        check(&bench);
        // It is written as any other.
        bench.set("later", 0, "1");
        bench.flush();
        bench.reopen();
        assert_eq!(value_of(&bench, "later"), Some(b"1".to_vec()));
        bench.check_file();
    }
}

#[test]
fn reads_and_writes_go_on_while_a_file_is_copied() {
    let mut bench = Bench::on_disk(&MemFs::new(), SMALL);
    shrunk(&mut bench);
    let mut job = bench.store_mut().begin_compaction().unwrap();
    let mut rounds = 0;
    let end = loop {
        let written = format!("during {rounds}");
        bench.set(&written, 0, "1");
        assert_eq!(value_of(&bench, &written), Some(b"1".to_vec()));
        assert_eq!(value_of(&bench, &name(10 * (rounds % 200))), Some(vec![b'v'; 100]));
        rounds += 1;
        match job.step() {
            CompactStep::More(more) => job = more,
            CompactStep::Done(end) => break end,
        }
    };
    assert!(rounds > 10, "{rounds} steps");
    // What was being read when the file was replaced is read to its end.
    bench.store_mut().finish_compaction(&end);
    assert_eq!(bench.count(0), 201 + u64::from(rounds));
    bench.flush();
    bench.reopen();
    assert_eq!(bench.count(0), 201 + u64::from(rounds));
    bench.check_file();
}

#[test]
fn a_reader_of_before_the_swap_reads_to_its_end() {
    let mut bench = Bench::on_disk(&MemFs::new(), SMALL);
    shrunk(&mut bench);
    let reader = bench.store().reader().unwrap();
    let mut records = reader.records_from(b"").unwrap();
    assert!(records.next().unwrap().is_some());
    compact(&mut bench);
    bench.set("later", 0, "1");
    bench.flush();
    let mut found = 1;
    while records.next().unwrap().is_some() {
        found += 1;
    }
    assert_eq!(found, 202);
}

#[test]
fn a_flush_that_is_wanted_ends_the_copy_and_then_goes_on() {
    let disk = MemFs::new();
    let mut bench = Bench::on_disk(&disk, SMALL);
    shrunk(&mut bench);
    bench.set("later", 0, "1");
    let job = bench.store_mut().begin_compaction().unwrap();
    assert!(bench.store_mut().begin_compaction().is_none(), "one at a time");
    let Ok(job) = steps(job, 3) else { panic!("it has only begun") };
    assert!(bench.store_mut().begin_flush().is_none(), "the file is being copied");
    assert!(matches!(finish(&mut bench, job), CompactEnd::Stopped));
    let held = bench.store_mut().begin_flush().unwrap();
    assert!(bench.store_mut().begin_compaction().is_none(), "the file is being written");
    drop(bench.store_mut().finish_flush(held.run()));
    assert!(!disk.exists(&bench.path().with_extension("new")).unwrap());
    bench.reopen();
    assert_eq!(value_of(&bench, "later"), Some(b"1".to_vec()));
}

#[test]
fn a_page_that_changed_ends_the_copy_with_the_name_of_the_file_and_nothing_else() {
    let disk = MemFs::new();
    let mut bench = Bench::on_disk(&disk, SMALL);
    shrunk(&mut bench);
    // In all pages that have the record, or had it.
    let (bytes, changed) = (disk.bytes(&bench.path()), name(1_500));
    let found = bytes.windows(changed.len()).enumerate();
    for (at, _) in found.filter(|(_, window)| *window == changed.as_bytes()) {
        disk.flip(&bench.path(), (at + 60) as u64, 1);
    }
    let CompactEnd::NotRead(error) = compact(&mut bench) else { panic!("it is damaged") };
    let error = error.to_string();
    assert!(error.contains("3.redb") && error.contains("not what was written"), "{error}");
    assert!(!disk.exists(&bench.path().with_extension("new")).unwrap());
    assert_eq!(bench.store().stopped(), None);
}

#[test]
fn a_disk_that_is_full_or_fails_leaves_the_file_as_it_was() {
    let disk = MemFs::new();
    let mut bench = Bench::on_disk(&disk, SMALL);
    shrunk(&mut bench);
    let (mut failed, mut replaced) = (0, 0);
    for space in (0..30).map(|step| step * (16 << 10)) {
        let disk = disk.after_kill();
        let mut bench = bench.beside(&disk);
        disk.limit_space(Some(space));
        match compact(&mut bench) {
            CompactEnd::NotWritten(error) => {
                assert!(error.to_string().contains("3.new"), "{error}");
                failed += 1;
            }
            CompactEnd::Replaced { .. } => replaced += 1,
            other => panic!("{other:?}"),
        }
        disk.limit_space(None);
        assert!(!disk.exists(&bench.path().with_extension("new")).unwrap());
        check(&bench);
        bench.set("later", 0, "1");
        bench.flush();
        bench.reopen();
        assert_eq!(value_of(&bench, "later"), Some(b"1".to_vec()));
    }
    assert!(failed > 3 && replaced > 3, "{failed} {replaced}");
}

#[test]
fn a_name_that_is_not_durable_stops_the_group() {
    let disk = MemFs::new();
    let mut stops = 0;
    let mut bench = Bench::on_disk(&disk, SMALL);
    shrunk(&mut bench);
    for sync in 1.. {
        let disk = disk.after_kill();
        let mut bench = bench.beside(&disk);
        disk.fail_sync(sync);
        match compact(&mut bench) {
            CompactEnd::Replaced { .. } => break,
            CompactEnd::NotWritten(_) => assert_eq!(bench.store().stopped(), None),
            CompactEnd::NotDurable(_) => {
                stops += 1;
                assert!(bench.store().stopped().unwrap().contains("restart the node"));
                assert!(bench.store_mut().begin_flush().is_none());
            }
            other => panic!("{other:?}"),
        }
        check(&bench);
        bench.reopen();
        check(&bench);
    }
    assert_eq!(stops, 1, "the sync of the directory");
}
