//! Flushes: commits, crashes between them, and the size of the file.

use std::sync::Arc;

use common::address::Field;
use common::ids::{Epoch, Lane, ServerIndex, Stream};
use common::stored::Body;

use super::support::{Bench, OPTIONS, Put, header_key, key, stream};
use crate::engine::chunk::Cursor;
use crate::engine::{FlushDone, StoreOptions, View};

#[test]
fn a_crash_between_two_commits_of_a_flush_loses_nothing_and_counts_right() {
    for commits in 0..12 {
        let mut bench = Bench::new(OPTIONS);
        for n in 0..40 {
            bench.set(&format!("string {n}"), 0, &"x".repeat(100));
            bench.hset("hash", &format!("field {n}"), &"y".repeat(300));
        }
        bench.flush();
        for n in 0..40 {
            bench.set(&format!("string {}", n + 20), 0, &"z".repeat(100));
            bench.hset("hash", &format!("field {}", n + 20), &"z".repeat(300));
            if n % 3 == 0 {
                let key = key(&format!("string {n}"), Field::Unnamed);
                bench.write(vec![(key, Put::Tombstone)]);
            }
        }
        let count = bench.count(1);
        bench.flush_partly(commits);
        bench.reopen();
        assert_eq!(bench.count(1), count, "after {commits} commits, replayed");
        bench.flush();
        assert_eq!(bench.count(1), count, "after {commits} commits, flushed");
        bench.reopen();
        assert_eq!(bench.count(1), count, "after {commits} commits, reopened");
        assert_eq!(bench.records("hash").len(), 60);
    }
}

#[test]
fn an_object_larger_than_a_commit_is_written_in_several() {
    let mut bench = Bench::new(OPTIONS);
    for n in 0..300 {
        bench.hset("hash", &format!("field {n}"), &"y".repeat(200));
    }
    bench.flush();
    bench.reopen();
    assert_eq!(bench.records("hash").len(), 300);
    assert_eq!(bench.count(1), 1);
}

#[test]
fn the_file_does_not_grow_over_many_flushes_of_the_same_keys() {
    let options = StoreOptions { cache_bytes: 1 << 20, ..OPTIONS };
    let mut bench = Bench::new(options);
    let round = |bench: &mut Bench, round: usize| {
        for n in 0..500 {
            bench.set(&format!("object {n}"), 0, &format!("{round} {}", "x".repeat(100)));
        }
        // Reads before, during and after the flush leave no read transaction behind.
        let probe = key("object 7", Field::Unnamed);
        assert!(bench.store().record(&probe).unwrap().is_some());
        let _ = bench.count(1);
        let job = bench.store_mut().begin_flush().expect("something to flush");
        assert!(bench.store_mut().begin_flush().is_none(), "one flush at a time");
        bench.set(&format!("new {round}"), 0, "v");
        assert!(bench.store().record(&key("object 8", Field::Unnamed)).unwrap().is_some());
        assert!(bench.store().record(&key("absent", Field::Unnamed)).unwrap().is_none());
        assert_eq!(bench.count(1), 501 + round as u64);
        let done = job.run();
        drop(bench.store_mut().finish_flush(done));
        assert_eq!(bench.count(1), 501 + round as u64);
        bench.store().file_bytes()
    };
    let early = (0..5).map(|n| round(&mut bench, n)).max().unwrap();
    let late = (5..60).map(|n| round(&mut bench, n)).max().unwrap();
    assert!(late <= early * 2, "the file grew from {early} to {late} bytes");
}

/// A read transaction pins what the commits behind it replace.
#[test]
fn reads_between_the_commits_of_a_flush_do_not_make_the_file_grow() {
    let [with_reads, without] = [true, false].map(|reads| {
        let mut bench = Bench::new(StoreOptions { cache_bytes: 32 << 10, ..OPTIONS });
        bench.set("probe", 0, "v");
        for round in 0..12 {
            for n in 0..3_000 {
                bench.set(&format!("object {n}"), 0, &format!("{round} {}", "x".repeat(100)));
            }
            let job = bench.store_mut().begin_flush().expect("something to flush");
            if reads {
                assert_eq!(bench.records("probe").len(), 1);
            }
            let order = job.table.sorted(0);
            let (mut cursor, mut totals) = (Cursor::new(&job.table, &order), job.totals.clone());
            let mut commits = 1;
            while !job.write_commit(&mut cursor, &mut totals).expect("written") {
                commits += 1;
                // All but the first few commits find a reader that nobody has asked for since.
                if reads && commits < 4 {
                    assert_eq!(bench.records("probe").len(), 1);
                }
            }
            assert!(commits > 8, "{commits} commits");
            let done = FlushDone { checkpoint: job.checkpoint.clone(), result: Ok(totals) };
            drop(bench.store_mut().finish_flush(done));
            let record = bench.store().record(&key("object 9", Field::Unnamed)).unwrap();
            let record = record.expect("found");
            let Body::Value { value, .. } = record.stored().body else { panic!("a value") };
            assert!(value.starts_with(format!("{round} ").as_bytes()), "as the flush left it");
        }
        bench.store().file_bytes()
    });
    assert!(with_reads <= without + without / 4, "{with_reads} bytes instead of {without}");
}

#[test]
fn a_flushed_memtable_is_dropped_by_whoever_gets_the_garbage() {
    let mut bench = Bench::new(OPTIONS);
    bench.set("object", 0, "v");
    let job = bench.store_mut().begin_flush().expect("something to flush");
    let table = Arc::downgrade(&job.table);
    let done = job.run();
    assert!(table.upgrade().is_some(), "reads need it until the flush is finished");
    let garbage = bench.store_mut().finish_flush(done);
    assert!(table.upgrade().is_some(), "not by the worker");
    drop(garbage);
    assert!(table.upgrade().is_none());
}

#[test]
fn reads_see_the_newest_of_active_frozen_and_file() {
    let mut bench = Bench::new(OPTIONS);
    for name in ["file", "frozen", "active"] {
        bench.set(name, 0, "1");
    }
    bench.flush();
    bench.set("frozen", 0, "2");
    bench.set("active", 0, "2");
    let job = bench.store_mut().begin_flush().expect("something to flush");
    bench.set("active", 0, "3");
    let value = |bench: &Bench, name: &str| {
        let record = bench.store().record(&key(name, Field::Unnamed)).unwrap().expect("found");
        match record.stored().body {
            Body::Value { value, .. } => value.to_vec(),
            other => panic!("{other:?}"),
        }
    };
    for (name, expected) in [("file", b"1"), ("frozen", b"2"), ("active", b"3")] {
        assert_eq!(value(&bench, name), expected);
    }
    assert!(bench.store().flushing_bytes() > 0);
    let done = job.run();
    drop(bench.store_mut().finish_flush(done));
    assert_eq!(bench.store().flushing_bytes(), 0);
    for (name, expected) in [("file", b"1"), ("frozen", b"2"), ("active", b"3")] {
        assert_eq!(value(&bench, name), expected);
    }
}

/// What is written without looking at what was there: behind the last key, and where the file has
/// neither headers nor named values.
#[test]
fn counts_are_right_whatever_the_file_had_of_an_object() {
    for cache_bytes in [2 << 10, 32 << 10, 1 << 20] {
        let mut bench = Bench::new(StoreOptions { cache_bytes, ..OPTIONS });
        for n in 0..60 {
            bench.set(&format!("string {n}"), n % 2 * 900, &"x".repeat(60));
        }
        bench.flush();
        bench.check_file();
        assert_eq!(bench.count(1), 60, "appended to an empty file");
        for n in 0..60 {
            let key = key(&format!("string {}", n + 30), Field::Unnamed);
            bench.write(vec![(key, if n % 3 == 0 { Put::Tombstone } else { Put::value("y") })]);
        }
        let count = bench.count(1);
        bench.flush();
        bench.reopen();
        bench.check_file();
        assert_eq!((count, bench.count(1)), (70, 70), "old records are all there was");
        for n in 0..90 {
            let (string, hash) = (format!("string {n}"), format!("hash {}", n % 20));
            bench.hset(&hash, &format!("field {n}"), &"y".repeat(60));
            bench.hset(&string, "field", "under or over a string");
            let cleared = bench.next() - u64::from(n % 2 == 0);
            let header = Put::Header { expire_at: 500, cleared };
            bench.write(vec![(header_key(&string), header)]);
        }
        let count = bench.count(1);
        bench.flush();
        bench.reopen();
        bench.check_file();
        assert_eq!(bench.count(1), count, "a mix of all kinds");
        for n in 0..90 {
            bench.set(&format!("string {n}"), 0, "again");
            bench.set(&format!("hash {n}"), 0, "now a string");
        }
        let count = bench.count(1);
        bench.flush();
        bench.reopen();
        bench.check_file();
        assert_eq!((count, bench.count(1)), (180, 180), "over headers and fields");
        for n in 0..90 {
            let field = format!("field {n}");
            let field = key(&format!("hash {}", n % 20), Field::Named(field.as_bytes()));
            bench.write(vec![(field, Put::Tombstone)]);
        }
        bench.flush();
        bench.reopen();
        bench.check_file();
        assert_eq!(bench.count(1), 180, "their strings stay");
    }
}

/// What the flush found below an object counts, since by then the file has the object's own write.
#[test]
fn a_count_is_right_behind_any_commit_of_a_flush() {
    for stop_after in 0..8 {
        let mut bench = Bench::new(OPTIONS);
        for n in 0..40 {
            bench.set(&format!("string {n}"), 0, &"x".repeat(100));
        }
        bench.flush();
        for n in 20..60 {
            bench.set(&format!("string {n}"), 0, &"y".repeat(100));
        }
        for n in 30..35 {
            bench.write(vec![(key(&format!("string {n}"), Field::Unnamed), Put::Tombstone)]);
        }
        let job = bench.store_mut().begin_flush().expect("something to flush");
        let order = job.table.sorted(0);
        let (mut cursor, mut totals) = (Cursor::new(&job.table, &order), job.totals.clone());
        for _ in 0..stop_after {
            job.write_commit(&mut cursor, &mut totals).expect("written");
        }
        assert_eq!(bench.count(1), 55, "behind {stop_after} commits");
    }
}

#[test]
fn a_record_that_one_commit_writes_and_drops_is_not_in_the_expiry_index() {
    let mut bench = Bench::new(StoreOptions { cache_bytes: 1 << 20, ..OPTIONS });
    bench.write(vec![(header_key("nothing"), Put::Header { expire_at: 50, cleared: 0 })]);
    bench.set("stays", 50_000, "v");
    bench.reclaim_all(20_000);
    assert_eq!(bench.records("nothing").len(), 1, "until the flush");
    bench.flush();
    bench.reopen();
    bench.check_file();
    assert_eq!(bench.records("nothing").len(), 0);
}

#[test]
fn a_store_knows_whether_it_has_headers() {
    let mut bench = Bench::new(OPTIONS);
    bench.hset("hash", "field", "v");
    assert!(!bench.store().may_have_headers());
    let header = Put::Header { expire_at: 50, cleared: 0 };
    bench.write(vec![(header_key("hash"), header)]);
    assert!(bench.store().may_have_headers());
    bench.flush();
    bench.reopen();
    assert!(bench.store().may_have_headers());
    bench.write(vec![(header_key("hash"), Put::Tombstone)]);
    bench.flush();
    bench.reopen();
    assert!(!bench.store().may_have_headers());
}

#[test]
fn tombstones_stay_where_other_servers_hold_copies() {
    let mut bench = Bench::new(StoreOptions { purge_tombstones: false, ..OPTIONS });
    bench.set("gone", 0, "v");
    bench.flush();
    bench.write(vec![(key("gone", Field::Unnamed), Put::Tombstone)]);
    bench.flush();
    bench.reopen();
    let record = bench.store().record(&key("gone", Field::Unnamed)).unwrap().expect("found");
    assert_eq!(record.stored().body, Body::Tombstone);
    assert_eq!(bench.count(1), 0);
}

#[test]
fn the_log_is_kept_from_the_lowest_place_of_what_was_applied_late() {
    let lane = Lane { server: ServerIndex(1), ..stream().lane };
    let other = Stream { lane, epoch: Epoch(4) };
    let put = |name: &str| vec![(key(name, Field::Unnamed), Put::value("v"))];
    let mut bench = Bench::new(OPTIONS);
    bench.apply(stream(), 1, 50, &put("a"));
    bench.apply(other, 1, 20, &put("b"));
    bench.apply(stream(), 2, 60, &put("c"));
    assert_eq!(bench.store().oldest_unflushed(), Some((1, 20)));
    let job = bench.store_mut().begin_flush().expect("something to flush");
    assert_eq!(job.log_mark(), (1, 60), "the log is durable up to the greatest place first (I6)");
    bench.apply(other, 2, 10, &put("d"));
    assert_eq!(bench.store().oldest_unflushed(), Some((1, 10)), "of both memtables");
    let done = job.run();
    drop(bench.store_mut().finish_flush(done));
    assert_eq!(bench.store().oldest_unflushed(), Some((1, 10)));
    assert_eq!(bench.store().checkpoint().positions[&other].0, 1);
    bench.flush();
    assert_eq!(bench.store().oldest_unflushed(), None);
    assert_eq!(bench.store().checkpoint().log_mark, (1, 60), "it never falls");
}

#[test]
fn the_start_of_a_stream_moves_its_position_and_nothing_else() {
    let started = Stream { epoch: Epoch(9), ..stream() };
    let mut bench = Bench::new(OPTIONS);
    bench.apply(started, 1, 30, &[]);
    assert_eq!(bench.store().applied()[&started].0, 1);
    assert_eq!((bench.store().oldest_unflushed(), bench.store().hlc().0), (Some((1, 30)), 1));
    assert_eq!((bench.count(1), bench.store().memory_bytes()), (0, 0));
    bench.flush();
    assert_eq!(bench.store().oldest_unflushed(), None);
    let checkpoint = bench.store().checkpoint();
    assert_eq!((checkpoint.positions[&started].0, checkpoint.log_mark), (1, (1, 30)));
}
