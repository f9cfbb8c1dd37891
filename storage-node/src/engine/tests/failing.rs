//! Reads while a flush fails: the database then refuses everybody, and is opened again.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use common::ids::ServerIndex;
use common::stored::Body;

use super::support::{Bench, OPTIONS, key, prefix};
use crate::engine::flush::{FlushDone, FlushJob};
use crate::engine::{ScanFrom, Slice, Store, View};
use crate::files::{MemFs, PowerCut};

const FILE: &str = "/3.redb";
const FIELDS: usize = 300;
const OBJECTS: usize = 400;

/// How the disk fails under the flush; whether the group goes on.
type Fault = (&'static str, fn(&MemFs), bool);

const FAULTS: [Fault; 5] = [
    ("no room", |disk| disk.limit_space(Some(0)), true),
    ("a write fails", |disk| disk.fail_writes(Path::new(FILE), 8192..u64::MAX), false),
    ("checksums are not written", |disk| disk.fail_writes(Path::new(FILE), 0..4096), false),
    ("a sync fails", |disk| disk.fail_sync(1), false),
    // Twice, as a read is repeated at once.
    ("a read fails", |disk| disk.fail_next_reads(2), true),
];

fn field(number: usize) -> String {
    format!("f{number:03}")
}

fn name(number: usize) -> String {
    format!("s{number:03}")
}

/// A hash and many strings in the file, some of each newer in memory.
fn filled(disk: &MemFs) -> Bench {
    let mut bench = Bench::on_disk(disk, OPTIONS);
    for number in 0..FIELDS {
        bench.hset("h", &field(number), &"old ".repeat(20));
    }
    for number in 0..OBJECTS {
        bench.set(&name(number), 1_000_000 + number as u64, &"old ".repeat(20));
    }
    bench.flush();
    for number in (0..FIELDS).step_by(3) {
        bench.hset("h", &field(number), &"new ".repeat(60));
    }
    for number in (0..OBJECTS + 20).step_by(3) {
        bench.set(&name(number), 1_000_000 + number as u64, &"new ".repeat(60));
    }
    bench
}

/// A flush that fails while something is read, on a disk that is well again behind it.
struct Failing<'d> {
    disk: &'d MemFs,
    job: Option<FlushJob>,
    done: Option<FlushDone>,
    fault: fn(&MemFs),
}

impl<'d> Failing<'d> {
    fn new(disk: &'d MemFs, bench: &mut Bench, fault: fn(&MemFs)) -> Self {
        bench.sync_log();
        let job = bench.store_mut().begin_flush();
        assert!(job.is_some());
        Self { disk, job, done: None, fault }
    }

    fn run(&mut self) {
        if let Some(job) = self.job.take() {
            (self.fault)(self.disk);
            self.done = Some(job.run());
            self.disk.limit_space(None);
            self.disk.repair();
        }
    }

    /// The flush failed, the group goes on or not, and if it does, the next flush is well.
    fn end(self, story: &str, bench: &mut Bench, goes_on: bool) {
        let done = self.done.unwrap_or_else(|| panic!("{story}: it ran"));
        assert!(done.error().is_some(), "{story}: it failed");
        drop(bench.store_mut().finish_flush(done));
        assert_eq!(bench.store().stopped().is_none(), goes_on, "{story}");
        if goes_on {
            assert!(bench.store_mut().begin_flush().is_none(), "{story}: not at once");
            bench.flush();
            assert_eq!(bench.store().oldest_unflushed(), None, "{story}");
            bench.check_file();
        }
    }
}

/// The values of the hash's fields. Something happens behind the tenth.
fn fields(store: &Store, mut then: impl FnMut()) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let mut all = BTreeMap::new();
    let read = store.fields(&prefix("h"), &[], &mut |suffix, stored| {
        let Body::Value { value, .. } = stored.body else { panic!("a value") };
        all.insert(String::from_utf8(suffix[1..].to_vec()).unwrap(), value.to_vec());
        if all.len() == 10 {
            then();
        }
        ControlFlow::Continue(())
    });
    read.map_err(|error| error.to_string()).map(|()| all)
}

/// The names in both lanes. Something happens behind the tenth.
fn names(store: &Store, mut then: impl FnMut()) -> Result<Vec<Vec<u8>>, String> {
    let mut all = Vec::new();
    for server in [ServerIndex(0), ServerIndex(1)] {
        let visit = &mut |_: u64, name: &[u8], _| {
            all.push(name.to_vec());
            if all.len() == 10 {
                then();
            }
        };
        let from = ScanFrom { namespace: b"ns", server, position: 0, max: 10_000 };
        let next = store.scan(&from, 0, &mut Slice::unbounded(), visit);
        assert_eq!(next.map_err(|error| error.to_string())?, None);
    }
    Ok(all)
}

#[test]
fn a_range_over_an_object_goes_on_while_a_flush_fails() {
    for (story, fault, goes_on) in FAULTS {
        let disk = MemFs::new();
        let mut bench = filled(&disk);
        let right = fields(bench.store(), || ()).unwrap();
        assert_eq!(right.len(), FIELDS);
        let mut flush = Failing::new(&disk, &mut bench, fault);
        let found = fields(bench.store(), || flush.run());
        assert_eq!(found.unwrap_or_else(|error| panic!("{story}: {error}")), right, "{story}");
        flush.end(story, &mut bench, goes_on);
        assert_eq!(fields(bench.store(), || ()).unwrap(), right, "{story}");
    }
}

#[test]
fn a_scan_and_a_count_go_on_while_a_flush_fails() {
    for (story, fault, goes_on) in FAULTS {
        let disk = MemFs::new();
        let mut bench = filled(&disk);
        let right = names(bench.store(), || ()).unwrap();
        assert_eq!(right.len(), 1 + OBJECTS + 6, "the hash, the strings, the new ones");
        let mut flush = Failing::new(&disk, &mut bench, fault);
        let found = names(bench.store(), || flush.run());
        assert_eq!(found.unwrap_or_else(|error| panic!("{story}: {error}")), right, "{story}");
        flush.end(story, &mut bench, goes_on);
        assert_eq!(bench.count(0), right.len() as u64, "{story}");
    }
}

/// Whoever had a reader before the flush failed.
#[test]
fn a_reader_of_a_file_that_is_opened_again_reads_on_in_every_table() {
    for (story, fault, goes_on) in FAULTS {
        let disk = MemFs::new();
        let mut bench = filled(&disk);
        let reader = bench.store().reader().unwrap();
        let due = |max| reader.expiry_after(&[], u64::MAX, max).map_err(|e| e.to_string());
        let right = due(usize::MAX).unwrap();
        let mut flush = Failing::new(&disk, &mut bench, fault);
        flush.run();
        assert!(!reader.is_live(), "{story}");
        let found = due(usize::MAX).unwrap_or_else(|error| panic!("{story}: {error}"));
        assert_eq!(found, right, "{story}");
        assert!(reader.garbage_after(&[], usize::MAX).is_ok(), "{story}");
        let suffix = common::address::Field::Named(b"f001");
        assert!(reader.get(&key("h", suffix)).unwrap().is_some(), "{story}");
        flush.end(story, &mut bench, goes_on);
    }
}

/// The disk fails a read of the worker's; the flush, which did nothing wrong, is tried again.
#[test]
fn a_flush_whose_file_was_opened_again_for_a_reader_is_tried_again() {
    for (story, fault, goes_on) in FAULTS {
        if !goes_on {
            continue;
        }
        let disk = MemFs::new();
        let mut bench = filled(&disk);
        let right = fields(bench.store(), || ()).unwrap();
        bench.sync_log();
        let job = bench.store_mut().begin_flush().unwrap();
        let order = job.table.sorted(0);
        let mut cursor = crate::engine::chunk::Cursor::new(&job.table, &order);
        let mut totals = job.totals.clone();
        fault(&disk);
        while let Ok(last) = job.write_commit(&mut cursor, &mut totals) {
            assert!(!last, "{story}: it fails");
        }
        disk.limit_space(None);
        // The reader opens the file again before the flush thread says what became of its job.
        assert_eq!(fields(bench.store(), || ()).unwrap(), right, "{story}");
        let done = job.run();
        assert!(done.error().is_some(), "{story}: its database was closed");
        drop(bench.store_mut().finish_flush(done));
        assert_eq!(bench.store().stopped(), None, "{story}");
        assert!(bench.store_mut().begin_flush().is_none());
        bench.flush();
        assert_eq!(bench.store().oldest_unflushed(), None, "{story}");
        bench.check_file();
    }
}

#[test]
fn a_file_that_flushes_cannot_read_stops_the_group_in_the_end() {
    let disk = MemFs::new();
    let mut bench = filled(&disk);
    let right = fields(bench.store(), || ()).unwrap();
    for round in 1.. {
        let Some(job) = bench.store_mut().begin_flush() else { continue };
        disk.fail_next_reads(2);
        let done = job.run();
        assert!(done.error().is_some());
        drop(bench.store_mut().finish_flush(done));
        if bench.store().stopped().is_some() {
            assert!(round > 2, "tried again before");
            break;
        }
        assert!(round < 20, "tried for ever");
    }
    assert_eq!(fields(bench.store(), || ()).unwrap(), right);
}

#[test]
fn a_flush_that_panics_stops_the_group_and_a_power_cut_loses_nothing() {
    let mut cuts = 0;
    for sync in 1.. {
        let disk = MemFs::new();
        let mut bench = filled(&disk);
        bench.sync_log();
        let right = fields(bench.store(), || ()).unwrap();
        disk.cut_power_at_sync(disk.syncs() + sync);
        let done = bench.store_mut().begin_flush().unwrap().run_watched(|_| panic!("in a commit"));
        drop(bench.store_mut().finish_flush(done));
        let stopped = bench.store().stopped().expect("it panicked");
        assert!(stopped.contains("in a commit") || disk.is_cut(), "{stopped}");
        bench.drop_store();
        if !disk.is_cut() {
            break;
        }
        cuts += 1;
        for seed in 0..20 {
            let after = bench.beside(&disk.after_power_cut(PowerCut::TornSectors(seed)));
            assert_eq!(fields(after.store(), || ()).unwrap(), right, "sync {sync}, seed {seed}");
            after.check_file();
        }
    }
    assert!(cuts > 2, "{cuts} cuts");
}
