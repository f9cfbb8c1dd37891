//! Reclaim of expired records, expired objects and hidden fields.

use common::address::Field;
use common::ids::ServerIndex;

use super::support::{Bench, OPTIONS, Put, count, header_key, key, prefix};
use crate::engine::store::server_of;
use crate::engine::{ScanFrom, Slice, Store, StoreOptions, View, VisitObject};

#[test]
fn ten_thousand_expired_keys_are_reclaimed_in_slices() {
    let options = StoreOptions { cache_bytes: 1 << 20, ..OPTIONS };
    let mut bench = Bench::new(options);
    for n in 0..10_000 {
        bench.set(&format!("session {n}"), 1_000 + n, "v");
        if n == 6_000 {
            bench.flush();
        }
    }
    bench.set("stays", 0, "v");
    assert_eq!(bench.count(999), 10_001);
    let (mut slices, mut handled) = (0, 0);
    loop {
        let slice = bench.reclaim(20_000, 256);
        assert!(slice <= 256, "a slice of {slice}");
        if slice == 0 {
            break;
        }
        slices += 1;
        handled += slice;
    }
    assert_eq!((slices, handled), (40, 10_000));
    assert_eq!(bench.count(20_000), 1);
    bench.flush();
    bench.reopen();
    assert_eq!(bench.count(20_000), 1);
    assert_eq!(bench.reclaim(20_000, 256), 0, "nothing is due twice");
    assert!(bench.store().record(&key("session 1", Field::Unnamed)).unwrap().is_none());
    assert!(bench.store().record(&key("stays", Field::Unnamed)).unwrap().is_some());
}

#[test]
fn a_count_leaves_out_what_is_due_before_it_is_reclaimed() {
    let mut bench = Bench::new(OPTIONS);
    bench.set("a", 100, "v");
    bench.set("b", 200, "v");
    bench.hset("hash", "field", "v");
    bench.write(vec![(header_key("hash"), Put::Header { expire_at: 150, cleared: 0 })]);
    for _ in 0..2 {
        for (now, expected) in [(99, 3), (100, 2), (150, 1), (200, 0)] {
            assert_eq!(bench.count(now), expected, "at {now}");
        }
        bench.flush();
    }
}

#[test]
fn a_record_that_was_renewed_is_not_reclaimed() {
    let mut bench = Bench::new(OPTIONS);
    bench.set("a", 100, "v");
    bench.flush();
    bench.set("a", 300, "v");
    bench.reclaim_all(200);
    assert_eq!(bench.records("a").len(), 1);
    bench.flush();
    bench.reclaim_all(200);
    assert_eq!((bench.records("a").len(), bench.count(200)), (1, 1));
    bench.reclaim_all(300);
    assert_eq!((bench.records("a").len(), bench.count(300)), (0, 0));
}

#[test]
fn fields_that_a_header_hides_go_in_slices_and_the_header_goes_last() {
    let mut bench = Bench::new(OPTIONS);
    for n in 0..300 {
        bench.hset("hash", &format!("field {n}"), "v");
    }
    bench.flush();
    let now = bench.next();
    bench.write(vec![(header_key("hash"), Put::Header { expire_at: 0, cleared: now })]);
    bench.hset("hash", "new", "v");
    assert_eq!(bench.reclaim(1, 100), 100);
    bench.reclaim_all(1);
    assert_eq!(bench.records("hash").len(), 2, "the header and the new field");
    bench.reclaim_all(1);
    bench.flush();
    bench.reclaim_all(1);
    assert_eq!(bench.records("hash").len(), 2, "the header stays until it is durably gone");
    bench.flush();
    assert_eq!(bench.records("hash"), [b"\x02new".to_vec()]);
    bench.flush();
    bench.reopen();
    assert_eq!(bench.reclaim(1, 100), 0, "the object is clean");
    assert!(!bench.store().may_have_headers());
    assert_eq!(bench.count(1), 1);
}

#[test]
fn an_expired_object_goes_wholly() {
    let mut bench = Bench::new(OPTIONS);
    for n in 0..30 {
        bench.hset("hash", &format!("field {n}"), "v");
    }
    bench.write(vec![(header_key("hash"), Put::Header { expire_at: 500, cleared: 0 })]);
    bench.flush();
    bench.reclaim_all(499);
    assert_eq!(bench.records("hash").len(), 31);
    bench.reclaim_all(500);
    assert_eq!((bench.records("hash").len(), bench.count(500)), (1, 0));
    bench.flush();
    bench.reclaim_all(600);
    bench.flush();
    assert_eq!(bench.records("hash").len(), 1, "the header has its time of grace");
    bench.reclaim_all(20_000);
    bench.flush();
    assert_eq!(bench.records("hash").len(), 0);
}

#[test]
fn an_object_that_expires_during_a_pass_over_it_is_not_counted() {
    let mut bench = Bench::new(OPTIONS);
    bench.hset("hash", "b", "v");
    let now = bench.next();
    bench.write(vec![(header_key("hash"), Put::Header { expire_at: 0, cleared: now })]);
    bench.hset("hash", "a", "v");
    bench.write(vec![(header_key("hash"), Put::Header { expire_at: 50, cleared: now })]);
    assert_eq!(bench.reclaim(1, 1), 1, "the pass stands behind field a");
    assert_eq!(bench.count(49), 1);
    while bench.reclaim(50, 1) > 0 {
        assert_eq!(bench.count(50), 0);
    }
    assert_eq!((bench.count(50), bench.records("hash").len()), (0, 1));
}

#[test]
fn fields_under_an_expired_string_never_come_back() {
    let mut bench = Bench::new(OPTIONS);
    bench.hset("mixed", "old", "v");
    bench.flush();
    bench.set("mixed", 100, "blind");
    assert_eq!(bench.count(99), 1);
    bench.reclaim_all(100);
    assert_eq!(bench.records("mixed").len(), 2, "the string still hides the field");
    assert_eq!(bench.count(100), 0);
    bench.flush_partly(1);
    bench.reopen();
    bench.reclaim_all(100);
    bench.flush();
    bench.reclaim_all(100);
    assert_eq!(bench.records("mixed").len(), 0);
    bench.flush();
    bench.reopen();
    assert_eq!(bench.count(100), 0);
}

#[test]
fn a_string_over_a_hash_hides_it_until_reclaim_removes_it() {
    let mut bench = Bench::new(OPTIONS);
    for n in 0..5 {
        bench.hset("mixed", &format!("field {n}"), "v");
    }
    bench.flush();
    bench.set("mixed", 0, "blind");
    assert_eq!(bench.count(1), 1);
    bench.flush();
    bench.reclaim_all(1);
    bench.flush();
    assert_eq!(bench.records("mixed"), [b"\x01".to_vec()]);
    bench.reclaim_all(1);
    bench.flush();
    bench.reopen();
    assert_eq!(bench.reclaim(1, 100), 0);
    assert_eq!(bench.count(1), 1);
}

fn page(
    store: &Store,
    namespace: &[u8],
    position: u64,
    server: ServerIndex,
    visit: &mut VisitObject<'_>,
) -> Option<u64> {
    let from = ScanFrom { namespace, server, position, max: 7 };
    store.scan(&from, 1, &mut Slice::unbounded(), visit).unwrap()
}

#[test]
fn a_scan_ends_between_positions_and_goes_on_where_it_ended() {
    let mut bench = Bench::new(OPTIONS);
    for n in 0..500 {
        bench.set(&format!("object {n}"), 0, "v");
        if n == 200 {
            bench.flush();
        }
    }
    let mut names = Vec::new();
    for server in [ServerIndex(0), ServerIndex(1)] {
        let mut from = Some(0);
        while let Some(position) = from {
            let visit = &mut |at: u64, name: &[u8], _: common::reply::ObjectKind| {
                assert!(at >= position);
                names.push(name.to_vec());
            };
            from = page(bench.store(), b"ns", position, server, visit);
        }
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 500);
    let none = &mut |_: u64, _: &[u8], _: common::reply::ObjectKind| panic!("another namespace");
    assert_eq!(page(bench.store(), b"n", 0, ServerIndex(0), none), None);
    assert_eq!(page(bench.store(), b"ns", 1 << 48, ServerIndex(0), none), None);
}

/// A server that follows a lane must not decide that something of it has expired: its leader may
/// have given it a later expiry just before.
#[test]
fn only_what_the_lane_has_decided_is_reclaimed() {
    let (mut bench, mut lanes) = (Bench::new(OPTIONS), [Vec::new(), Vec::new()]);
    for n in 0..400_u64 {
        // The lane depends on what stands far from the end of a name.
        let name = format!("{n} is the number of an object");
        bench.set(&name, 1_000 + n, "v");
        lanes[usize::from(server_of(&prefix(&name), 2).0)].push((name, 1_000 + n));
        if n == 100 {
            bench.flush();
        }
    }
    assert!(lanes.iter().all(|names| names.len() > 100), "both lanes have some");
    // Its header hides a field, so a pass looks at it long before it expires.
    let hash = "2 is a hash of the other lane";
    assert_eq!(server_of(&prefix(hash), 2), ServerIndex(1));
    bench.hset(hash, "old", "v");
    let cleared = bench.next();
    bench.write(vec![(header_key(hash), Put::Header { expire_at: 1_000, cleared })]);
    bench.hset(hash, "field", "v");
    let reclaim = |bench: &mut Bench, safe: [u64; 2]| {
        let safe = |server: ServerIndex| safe[usize::from(server.0)];
        loop {
            let mut slice = Slice::steps(50);
            bench.store_mut().reclaim(safe, &mut slice).unwrap();
            if !slice.is_over() {
                return;
            }
            assert_eq!(slice.taken(), 50);
        }
    };
    for safe in [[2_000, 0], [2_000, 1_199], [2_000, 1_200], [900, 1_300], [2_000, 2_000]] {
        reclaim(&mut bench, safe);
        for (lane, names) in lanes.iter().enumerate() {
            let done = if lane == 0 { 2_000 } else { safe[1] };
            for (name, expire_at) in names {
                let left = bench.records(name).len();
                assert_eq!(left, usize::from(*expire_at > done), "{name} at {safe:?}");
            }
            let server = ServerIndex(u8::try_from(lane).unwrap());
            // A count has a now of its own, whatever was reclaimed.
            for now in [999, 1_150, 1_250, 5_000].into_iter().filter(|now| *now >= done) {
                let live = names.iter().filter(|(_, expire_at)| *expire_at > now).count();
                let live = live + usize::from(lane == 1 && now < 1_000);
                let count = count(bench.store(), server, now);
                assert_eq!(count, live as u64, "lane {lane} at {now}, {safe:?}");
            }
        }
        let left = if safe[1] < 1_000 { 2 } else { 1 };
        assert_eq!(bench.records(hash).len(), left, "a header's expiry is the lane's too");
        if safe == [2_000, 1_200] {
            bench.flush();
        }
    }
}

#[test]
fn a_lane_whose_time_stands_still_does_not_hold_up_another() {
    let mut bench = Bench::new(StoreOptions { cache_bytes: 1 << 20, ..OPTIONS });
    let of_lane = |lane: u8| {
        let names = (0..).map(|n| format!("{n} is the number of an object"));
        names.filter(move |name| server_of(&prefix(name), 2) == ServerIndex(lane))
    };
    for name in of_lane(1).take(1_000) {
        bench.set(&name, 1_000, "v");
    }
    let safe = |server: ServerIndex| if server.0 == 0 { 5_000 } else { 0 };
    let mut slices = 0;
    for (n, name) in (0_u64..).zip(of_lane(0).take(200)) {
        bench.set(&name, 2_000 - n, "v");
        let mut slice = Slice::steps(50);
        bench.store_mut().reclaim(safe, &mut slice).unwrap();
        slices += usize::from(slice.taken() > 0);
        if n >= 20 {
            assert_eq!(bench.records(&name).len(), 0, "{name} went in its slice");
        }
    }
    assert!(slices <= 200, "{slices}");
    assert_eq!(count(bench.store(), ServerIndex(1), 999), 1_000);
}
