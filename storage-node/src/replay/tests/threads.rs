//! The threads together do what one thread does record by record ([`super::model`]), whatever the log
//! holds.

use std::path::Path;
use std::sync::Arc;

use common::ids::{Epoch, Lane, LogicGroup, Lsn, ServerIndex};
use proptest::prelude::*;

use super::bench::{Bench, GROUPS, SERVERS, Written};
use crate::files::MemFs;
use crate::lane::DedupWindow;
use crate::replay::crew::CrewOptions;

/// What is written to the log next.
#[derive(Clone, Debug)]
enum Step {
    /// The next record of a lane's last stream, or of an older one.
    Append { lane: usize, older: bool, open: u32, key: u8 },
    /// A new stream that counts each older one but for so many records at its end.
    Begin { lane: usize, cut: u64 },
    /// What was written goes to the log, and is made durable, which a mark says.
    Turn { sync: bool },
    /// What no node writes.
    Wrong(Wrong),
}

#[derive(Clone, Copy, Debug)]
enum Wrong {
    Gap { lane: usize },
    Group,
    Server,
    Bytes,
    Key { lane: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let lanes = usize::from(GROUPS) * usize::from(SERVERS);
    let append = (0..lanes, prop::bool::weighted(0.1), 0..4u32, any::<u8>());
    prop_oneof![
        40 => append.prop_map(|(lane, older, open, key)| Step::Append { lane, older, open, key }),
        3 => (0..lanes, 0..3u64).prop_map(|(lane, cut)| Step::Begin { lane, cut }),
        6 => any::<bool>().prop_map(|sync| Step::Turn { sync }),
    ]
}

fn wrong() -> impl Strategy<Value = Wrong> {
    let lanes = usize::from(GROUPS) * usize::from(SERVERS);
    prop_oneof![
        (0..lanes).prop_map(|lane| Wrong::Gap { lane }),
        Just(Wrong::Group),
        Just(Wrong::Server),
        Just(Wrong::Bytes),
        (0..lanes).prop_map(|lane| Wrong::Key { lane }),
    ]
}

fn written(steps: &[Step]) -> Written {
    let mut written = Written::new();
    for step in steps {
        match *step {
            Step::Append { lane, older, open, key } => written.append(lane, older, open, key),
            Step::Begin { lane, cut } => written.begin(lane, cut),
            Step::Turn { sync } => written.turn(sync),
            Step::Wrong(Wrong::Gap { lane }) => written.gap(lane),
            Step::Wrong(Wrong::Group) => written.of_lane(GROUPS, 0),
            Step::Wrong(Wrong::Server) => written.of_lane(0, SERVERS),
            Step::Wrong(Wrong::Bytes) => written.put(b"no record"),
            Step::Wrong(Wrong::Key { lane }) => written.wrong_key(lane),
        }
    }
    written.turn(false);
    written
}

/// Few records at a time, so that there is much to mix up.
fn options(threads: usize, chunk_records: usize, memory_bytes: usize) -> CrewOptions {
    CrewOptions { threads, chunk_records, memory_bytes }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_log_gives_the_same_as_record_by_record(
        mut steps in prop::collection::vec(step(), 20..400),
        wrongs in prop::collection::vec((0..400usize, wrong()), 0..3),
        refused in prop::bool::weighted(0.4),
        (threads, chunk_records) in (1..5usize, 1..40usize),
        memory_bytes in prop_oneof![Just(usize::MAX), 0..20_000usize],
    ) {
        for (place, wrong) in wrongs.into_iter().filter(|_| refused) {
            steps.insert(place.min(steps.len()), Step::Wrong(wrong));
        }
        let written = written(&steps);
        let expected = Bench::new().by_model(&written);
        let options = options(threads, chunk_records, memory_bytes);
        let found = Bench::new().by_crew(&written.after_kill(), options);
        prop_assert_eq!(found, expected);
    }
}

/// I6: no file is ahead of the durable log, whenever the power fails, also where the log was only in
/// the page cache when the replay began.
#[test]
fn a_flush_during_replay_waits_until_the_log_is_durable() {
    for sync_every in [1, 7, 1_000] {
        let mut written = Written::new();
        for number in 0..600u32 {
            let lane = usize::try_from(number % 6).unwrap();
            written.append(lane, false, 0, u8::try_from(number % 251).unwrap());
            written.turn(number % sync_every == 0 && number < 400);
        }
        written.put(b"refused");
        written.turn(false);
        let (mut bench, disk) = (Bench::new(), written.after_kill());
        let refused = bench.by_crew(&disk, options(2, 3, 0)).unwrap_err();
        assert!(refused.contains("record kind"), "{refused}");
        let covered = bench.covered();
        assert!(covered.segment > 1, "it was flushed on the way: {covered}");
        let durable = written.last_after_power_cut(&disk);
        assert!(covered <= durable, "sync every {sync_every}: {covered} of {durable}");
    }
}

#[test]
fn memtables_stay_within_the_budget() {
    let mut written = Written::new();
    for number in 0..1_200u32 {
        let lane = usize::try_from(number % 6).unwrap();
        written.append(lane, false, 0, u8::try_from(number % 251).unwrap());
        written.turn(number % 3 == 0);
    }
    let disk = written.after_kill();
    let mut unbounded = Bench::new();
    unbounded.by_crew(&disk, options(2, 5, usize::MAX)).unwrap();
    let budget = unbounded.memory_bytes() / 2;
    for threads in 1..4 {
        let mut bench = Bench::new();
        bench.by_crew(&disk, options(threads, 5, budget)).unwrap();
        // What a thread gets at once comes on top.
        let most = budget + 5 * threads * 1_024;
        assert!(bench.memory_bytes() <= most, "{threads} threads: {}", bench.memory_bytes());
    }
}

/// What cannot be flushed is replayed into memory all the same, and the others keep to the budget.
#[test]
fn a_group_whose_disk_is_full_does_not_let_the_others_take_more() {
    let mut written = Written::new();
    for number in 0..1_200u32 {
        let lane = usize::try_from(number % 6).unwrap();
        // More than a new file has room for.
        written.value_bytes = if lane % 3 == 0 { 20_000 } else { 20 };
        written.append(lane, false, 0, u8::try_from(number % 251).unwrap());
        written.turn(number % 3 == 0);
    }
    let log = written.after_kill();
    let expected = Bench::new().by_model(&written).unwrap();
    let mut unbounded = Bench::new();
    unbounded.by_crew(&log, options(1, 5, usize::MAX)).unwrap();
    let budget = (unbounded.group(1).0 + unbounded.group(2).0) / 2;
    for threads in [1, 3] {
        let disk = MemFs::new();
        let mut bench = Bench::on(&(Arc::new(disk.clone()) as _), Path::new("/"));
        disk.faults_below(Path::new("/0"));
        disk.limit_space(Some(0));
        assert_eq!(bench.by_crew(&log, options(threads, 5, budget)).unwrap(), expected);
        let [(kept, failed), one, other] = [0, 1, 2].map(|id| bench.group(id));
        assert_eq!((failed, one.1, other.1), (true, false, false));
        assert!(kept > 0, "it goes on into memory");
        let others = one.0 + other.0;
        assert!(others <= budget + 5 * threads * 1_024, "{threads} threads: {others} of {budget}");
    }
}

#[test]
fn without_need_nothing_is_flushed() {
    let mut written = Written::new();
    for number in 0..100 {
        written.append(usize::from(number % 6), false, 0, number);
        written.turn(true);
    }
    let mut bench = Bench::new();
    bench.by_crew(&written.after_kill(), options(2, 10, 10 << 20)).unwrap();
    assert_eq!(bench.covered(), crate::binlog::LogPosition::default());
}

/// I7: what left the log may have been a request of any worker.
#[test]
fn all_windows_begin_behind_what_left_the_log() {
    let mut written = Written::new();
    for number in 0..200 {
        written.append(usize::from(number % 6), false, 0, number);
        written.turn(true);
    }
    written.turn(true);
    let mut bench = Bench::new();
    bench.by_crew(&written.after_kill(), options(2, 10, usize::MAX)).unwrap();
    bench.flush();
    let begins_ms = written.release();
    let windows = (0..3).map(|_| DedupWindow::new(1 << 20)).collect();
    let windows = bench.replay(&written.after_kill(), options(2, 10, usize::MAX), windows).unwrap();
    assert!(begins_ms > 0);
    for (worker, window) in windows.iter().enumerate() {
        assert_eq!(window.begins_ms(), begins_ms, "worker {worker}");
    }
}

#[test]
fn a_record_is_kept_for_its_request_by_the_worker_of_its_group() {
    let mut written = Written::new();
    for lane in 0..6 {
        written.append(lane, false, 0, 1);
    }
    written.turn(true);
    let windows = (0..3).map(|_| DedupWindow::new(1 << 20)).collect();
    let windows = Bench::new().replay(&written.after_kill(), options(2, 10, usize::MAX), windows);
    let mut windows = windows.unwrap();
    for group in 0..GROUPS {
        for server in 0..SERVERS {
            let lane = Lane { group: LogicGroup(group), server: ServerIndex(server) };
            // A start, and the write behind it.
            let (request, at) = written.last_request(lane);
            assert_eq!((at.epoch, at.lsn), (Epoch(1), Lsn(2)));
            for (worker, window) in windows.iter_mut().enumerate() {
                let kept = window.find(request).map(|kept| (kept.lane, kept.at));
                let own = usize::from(group) == worker;
                assert_eq!(kept.collect::<Vec<_>>(), [(lane, at)][..usize::from(own)]);
            }
        }
    }
}
