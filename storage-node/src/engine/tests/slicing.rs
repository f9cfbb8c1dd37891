//! Long duties in slices: they end by the clock, go on where they ended, and leave nothing out.

use std::cell::Cell;
use std::time::Duration;

use common::address::Field;
use common::ids::ServerIndex;

use super::support::{Bench, OPTIONS, Put, header_key, key, prefix};
use crate::engine::reclaim::FRESH_MAX;
use crate::engine::store::server_of;
use crate::engine::{ScanFrom, Slice, StoreOptions};

const HOUR: u64 = 3_600_000;

/// One slice of 10 ms by a clock that goes on by so much at each look.
fn timed<T>(each_ms: u64, work: impl FnOnce(&mut Slice<'_>) -> T) -> (T, usize) {
    thread_local!(static NOW: Cell<u64> = const { Cell::new(0) });
    let clock = move || Duration::from_millis(NOW.replace(NOW.get() + each_ms));
    let mut slice = Slice::timed(Duration::from_millis(10), usize::MAX, &clock);
    (work(&mut slice), slice.taken())
}

fn delete(bench: &mut Bench, n: u64) {
    bench.write(vec![(key(&format!("key {n}"), Field::Unnamed), Put::Tombstone)]);
}

fn large() -> Bench {
    Bench::new(StoreOptions { cache_bytes: 1 << 20, ..OPTIONS })
}

#[test]
fn a_slice_of_reclaim_ends_by_the_clock_and_the_next_goes_on() {
    let mut bench = large();
    let mut expected = 0;
    for n in 0..900_u64 {
        bench.set(&format!("key {n}"), 1_000 + n % 7, "v");
        expected += usize::from(n % 7 <= 4);
        match n {
            300 => bench.flush(),
            600 => {
                bench.sync_log();
                // Frozen until the end of the test.
                drop(bench.store_mut().begin_flush());
            }
            _ => {}
        }
    }
    let mut gone = 0;
    for slice in 0.. {
        let reclaim = |slice: &mut Slice<'_>| {
            bench.store_mut().reclaim(|_| 1_004, slice).unwrap();
            slice.is_over()
        };
        let (more, steps) = timed(3, reclaim);
        assert!(steps <= 4, "{steps} steps in slice {slice}");
        gone += steps;
        if !more {
            break;
        }
        assert_eq!(steps, 4);
    }
    assert_eq!(gone, expected, "each is looked at once");
    let live = |n: &u64| !bench.records(&format!("key {n}")).is_empty();
    let live: Vec<u64> = (0..900).filter(live).collect();
    assert!(live.iter().all(|n| n % 7 > 4), "nothing due is left");
    assert_eq!(live.len(), 900 - expected, "and nothing else is gone");
    assert!(!bench.store().has_reclaim(1_004) && bench.store().has_reclaim(1_005));
}

#[test]
fn a_store_knows_from_when_on_there_is_something_to_reclaim() {
    let mut bench = large();
    bench.set("a", 500, "v");
    bench.reclaim_all(400);
    assert!(!bench.store().has_reclaim(499) && bench.store().has_reclaim(500));
    bench.set("b", 450, "v");
    assert!(!bench.store().has_reclaim(449) && bench.store().has_reclaim(450), "an earlier one");
    bench.reclaim_all(450);
    assert!(!bench.store().has_reclaim(499) && bench.store().has_reclaim(500));
    bench.flush();
    bench.reclaim_all(460);
    assert!(!bench.store().has_reclaim(499) && bench.store().has_reclaim(500), "in the file");
    bench.reclaim_all(500);
    assert!(!bench.store().has_reclaim(u64::MAX - 1));
    assert!(bench.records("a").is_empty() && bench.records("b").is_empty());
    bench.reopen();
    assert!(bench.store().has_reclaim(500), "it has to look once");
    let hash = |bench: &mut Bench| {
        let cleared = bench.next();
        bench.write(vec![(header_key("hash"), Put::Header { expire_at: 0, cleared })]);
    };
    bench.reclaim_all(500);
    bench.hset("hash", "field", "v");
    assert!(!bench.store().has_reclaim(500));
    hash(&mut bench);
    assert!(bench.store().has_reclaim(500), "hidden fields");
}

/// What the clock said when it was wrong is over when it is right: earlier expiries are met again.
#[test]
fn a_clock_that_jumps_ahead_and_back_neither_holds_anything_back_nor_reclaims_what_it_did_not_reach()
 {
    for flushed in [false, true] {
        let mut bench = large();
        let (now, settle) = (10 * HOUR, |bench: &mut Bench| {
            if flushed {
                bench.flush();
            }
        });
        bench.set("soon", now + 1_000, "v");
        bench.set("in half an hour", now + HOUR / 2, "v");
        bench.set("in two hours", now + 2 * HOUR, "v");
        settle(&mut bench);
        bench.reclaim_all(now);
        assert_eq!(bench.count(now), 3);
        // An hour ahead, and back.
        bench.reclaim_all(now + HOUR);
        assert_eq!(bench.count(now), 1, "gone by what the clock said, and no more");
        assert_eq!(bench.records("in two hours").len(), 1);
        bench.set("new", now + 2_000, "v");
        bench.set("older", now + HOUR / 3, "v");
        settle(&mut bench);
        bench.reclaim_all(now + 1_999);
        assert_eq!(bench.count(now + 1_999), 3, "not before its time");
        bench.reclaim_all(now + 2_000);
        assert_eq!(bench.records("new").len(), 0, "not held back by what the clock once said");
        // An hour back, where it stays.
        bench.reclaim_all(now - HOUR);
        assert_eq!(bench.count(now - HOUR), 2);
        bench.set("now", now - HOUR + 5, "v");
        settle(&mut bench);
        bench.reclaim_all(now - HOUR + 4);
        assert_eq!(bench.records("now").len(), 1);
        bench.reclaim_all(now - HOUR + 5);
        assert_eq!(bench.records("now").len(), 0);
        bench.reclaim_all(now + 2 * HOUR);
        assert_eq!((bench.count(0), bench.store().has_reclaim(now + 9 * HOUR)), (0, false));
    }
}

#[test]
fn hidden_fields_go_although_there_is_always_something_due() {
    let mut bench = large();
    for n in 0..40 {
        bench.hset("hash", &format!("field {n}"), "v");
    }
    let cleared = bench.next();
    bench.write(vec![(header_key("hash"), Put::Header { expire_at: 0, cleared })]);
    for n in 0..200 {
        for each in 0..4 {
            bench.set(&format!("key {n} {each}"), 100, "v");
        }
        bench.reclaim(100, 4);
    }
    assert_eq!(bench.records("hash").len(), 1, "the header");
}

/// Where tombstones are kept, an object may have any number of them.
#[test]
fn an_expired_string_over_many_tombstones_is_looked_at_in_slices() {
    let mut bench =
        Bench::new(StoreOptions { purge_tombstones: false, cache_bytes: 1 << 20, ..OPTIONS });
    for n in 0..500 {
        bench.write(vec![(
            key("mixed", Field::Named(format!("field {n}").as_bytes())),
            Put::Tombstone,
        )]);
    }
    bench.set("mixed", 100, "v");
    bench.hset("other", "field", "v");
    bench.flush();
    bench.reclaim_all(99);
    bench.reclaim(100, 20);
    assert_eq!(bench.records("mixed").len(), 1, "not in one slice");
    assert_eq!(bench.count(100), 1);
    bench.reclaim_all(100);
    assert_eq!(bench.records("mixed").len(), 0);
    assert_eq!((bench.count(100), bench.store().has_reclaim(100)), (1, false));
}

#[test]
fn a_large_object_that_was_deleted_goes_in_slices() {
    let mut bench = large();
    for n in 0..2_000 {
        bench.hset("hash", &format!("field {n}"), "v");
        if n == 1_000 {
            bench.flush();
        }
    }
    bench.reclaim_all(1);
    let cleared = bench.next();
    bench.write(vec![(header_key("hash"), Put::Header { expire_at: 0, cleared })]);
    let mut left = 2_001;
    while left > 1 {
        let reclaim = |slice: &mut Slice<'_>| bench.store_mut().reclaim(|_| 1, slice).unwrap();
        let ((), steps) = timed(1, reclaim);
        assert!(steps <= 10, "{steps}");
        let now = bench.records("hash").len();
        assert!(now < left && now + 11 > left, "{now} of {left} are left");
        left = now;
    }
}

#[test]
fn a_count_in_slices_is_what_it_is_at_the_end() {
    let mut bench = large();
    for n in 0..100 {
        bench.set(&format!("key {n}"), 0, "v");
    }
    bench.flush();
    for n in 50..400 {
        bench.set(&format!("key {n}"), 0, "v");
    }
    let mut changes = 0_u64;
    let counts = [ServerIndex(0), ServerIndex(1)].map(|server| {
        loop {
            let count = |slice: &mut Slice<'_>| bench.store().count(b"ns", server, 1, slice);
            let (count, steps) = timed(1, count);
            assert!(steps <= 10, "{steps}");
            if let Some(count) = count.unwrap() {
                return count;
            }
            // Of both what was looked at and what was not, in turns.
            match changes % 3 {
                0 => bench.set(&format!("new {changes}"), 0, "v"),
                1 => delete(&mut bench, 50 + changes),
                _ => delete(&mut bench, changes / 3),
            }
            changes += 1;
        }
    });
    assert!(changes > 30, "{changes}");
    let all: u64 = [ServerIndex(0), ServerIndex(1)]
        .map(|server| super::support::count(bench.store(), server, 1))
        .iter()
        .sum();
    let live = |name: String| u64::from(!bench.records(&name).is_empty());
    let expected: u64 = (0..400).map(|n| live(format!("key {n}"))).sum::<u64>()
        + (0..changes).map(|n| live(format!("new {n}"))).sum::<u64>();
    assert_eq!(all, expected);
    assert!(counts[1] <= expected);
}

#[test]
fn a_scan_page_ends_by_the_clock_and_the_scan_shows_everything() {
    let mut bench = large();
    for n in 0..300 {
        bench.set(&format!("key {n}"), 0, "v");
        if n == 100 {
            bench.flush();
        }
    }
    let prepare = |slice: &mut Slice<'_>| bench.store().prepare_scan(slice);
    let mut slices = 1;
    while !timed(1, prepare).0 {
        slices += 1;
    }
    assert_eq!(slices, 20, "199 objects in memory, 10 in each");
    let mut names = Vec::new();
    for server in [ServerIndex(0), ServerIndex(1)] {
        let mut next = Some(0);
        while let Some(position) = next {
            let from = ScanFrom { namespace: b"ns", server, position, max: 1_000 };
            let before = names.len();
            let page = |slice: &mut Slice<'_>| {
                let visit = &mut |_: u64, name: &[u8], _| names.push(name.to_vec());
                bench.store().scan(&from, 1, slice, visit).unwrap()
            };
            let (page, steps) = timed(1, page);
            assert!(steps <= 10 && names.len() <= before + 10, "{steps}");
            assert!(page.is_none_or(|page| page > position), "it gets somewhere");
            next = page;
        }
    }
    names.sort();
    assert_eq!(names.len(), 300, "each once");
    names.dedup();
    assert_eq!(names.len(), 300);
    assert!(names.iter().all(|name| server_of(&prefix(str::from_utf8(name).unwrap()), 2).0 < 2));
}

/// I14: what waits for the garbage pass is in no memory budget.
#[test]
fn a_bounded_number_of_objects_waits_for_the_garbage_pass_and_none_is_forgotten() {
    let (mut bench, hashes) = (large(), FRESH_MAX + 300);
    let name = |n: usize| format!("{n} hash");
    for n in 0..hashes {
        bench.hset(&name(n), "field", "v");
    }
    // Half of them are deleted, the others expire, all before anything is reclaimed.
    let cleared = bench.next();
    for n in 0..hashes {
        bench.write(vec![(header_key(&name(n)), Put::Header { expire_at: 0, cleared })]);
    }
    assert_eq!(bench.store().reclaim.fresh.len(), FRESH_MAX);
    for n in 0..hashes {
        let name = format!("{n} other");
        bench.hset(&name, "field", "v");
        bench.write(vec![(header_key(&name), Put::Header { expire_at: HOUR, cleared: 0 })]);
    }
    let (mut slices, mut most) = (0, 0);
    while bench.reclaim(HOUR, 1_000) > 0 {
        slices += 1;
        most = most.max(bench.store().reclaim.fresh.len());
    }
    assert!(slices > 10 && most <= FRESH_MAX + 100, "{most} after {slices} slices");
    for _ in 0..3 {
        bench.flush();
        bench.reclaim_all(2 * HOUR);
    }
    bench.flush();
    for n in 0..hashes {
        assert_eq!(bench.records(&name(n)).len(), 0, "{n}");
        assert_eq!(bench.records(&format!("{n} other")).len(), 0, "{n}");
    }
    assert_eq!(bench.count(2 * HOUR), 0);
}
