//! Creating, opening, reopening and refusing control files.

use common::ids::{ClusterId, Epoch, NodeId, StoreId};

use super::support::{
    Bench, GROUP, ballot, crash_image, generation, identity, lane, register, set,
};
use crate::control::{Change, ControlError, ControlStore, Kept, NodeIdentity};
use crate::files::RealFs;
use crate::replication::register::voter::Slot;

fn slot() -> Slot {
    let value = register(GROUP, 3, 4);
    Slot { promised: ballot(9), accepted: Some((ballot(8), value.clone())), chosen: Some(value) }
}

fn everything() -> Vec<Change> {
    vec![
        Change::Slot(GROUP, Box::new(slot())),
        Change::Promise(lane(0), Epoch(6)),
        Change::Promise(lane(1), Epoch(7)),
        Change::Voters(set(4)),
        Change::Admitted(generation(4)),
    ]
}

#[test]
fn what_was_stored_is_there_after_a_stop_and_after_a_crash() {
    let bench = Bench::new();
    let (mut store, kept) = bench.create();
    assert_eq!(kept, Kept::default(), "a new node has promised nothing");
    store.start_life("boot one", [lane(0)], 0).unwrap();
    store.commit(&everything()).unwrap();
    let expected = Kept {
        life: 1,
        voters: set(4),
        admitted: Some(generation(4)),
        slots: [(GROUP, slot())].into(),
        promises: [(lane(0), Epoch(6)), (lane(1), Epoch(7))].into(),
        forgot: [].into(),
    };
    let crashed = bench.dir.path().join("crashed.redb");
    assert_eq!(crash_image(&bench.path(), &crashed), expected);
    drop(store);
    assert_eq!(bench.open().1, expected);
}

#[test]
fn a_crash_between_two_commits_leaves_the_state_of_the_first() {
    let bench = Bench::new();
    let (mut store, _) = bench.create();
    store.commit(&everything()).unwrap();
    let crashed = bench.dir.path().join("crashed.redb");
    let acknowledged = crash_image(&bench.path(), &crashed);
    let newer = Slot { promised: ballot(20), ..slot() };
    store
        .commit(&[Change::Slot(GROUP, Box::new(newer)), Change::Promise(lane(0), Epoch(60))])
        .unwrap();
    let (_, after) = ControlStore::open(&RealFs, &crashed, &identity()).unwrap();
    assert_eq!(after, acknowledged);
    drop(store);
    assert_eq!(bench.open().1.promises[&lane(0)], Epoch(60));
}

#[test]
fn a_promise_and_a_life_never_fall() {
    let bench = Bench::new();
    let (mut store, _) = bench.create();
    let promise = |epoch| Change::Promise(lane(0), Epoch(epoch));
    store.commit(&[promise(6)]).unwrap();
    store.commit(&[promise(5)]).unwrap();
    assert_eq!(store.start_life("one", [], 0).unwrap().life, 1);
    assert_eq!(store.start_life("one", [], 0).unwrap().life, 2);
    drop(store);
    let (mut store, kept) = bench.open();
    assert_eq!((kept.life, kept.promises[&lane(0)]), (2, Epoch(6)));
    assert_eq!(store.start_life("one", [], 0).unwrap().life, 3);
}

#[test]
fn a_power_cut_puts_all_lanes_held_in_doubt_until_they_caught_up() {
    let bench = Bench::new();
    let (mut store, _) = bench.create();
    let forgot = |store: &mut ControlStore, boot: &str| {
        let started = store.start_life(boot, [lane(0), lane(1)], 0).unwrap();
        started.forgot.into_iter().collect::<Vec<_>>()
    };
    assert_eq!(forgot(&mut store, "one"), [], "the first start");
    assert_eq!(forgot(&mut store, "one"), [], "killed, but the kernel went on");
    assert_eq!(forgot(&mut store, "two"), [lane(0), lane(1)], "guarantees 4.2");
    store.commit(&[Change::CaughtUp(lane(1))]).unwrap();
    assert_eq!(forgot(&mut store, "two"), [lane(0)], "as long as it did not catch up");
    drop(store);
    let (mut store, kept) = bench.open();
    assert_eq!(kept.forgot, [lane(0)].into());
    store.commit(&[Change::CaughtUp(lane(0)), Change::CleanStop]).unwrap();
    assert_eq!(forgot(&mut store, "three"), [], "everything was durable before that boot");
    assert_eq!(forgot(&mut store, "four"), [lane(0), lane(1)], "the clean stop counts once");
}

#[test]
fn a_lane_that_lost_its_whole_log_is_in_doubt_too() {
    let bench = Bench::new();
    let (mut store, _) = bench.create();
    store.start_life("one", [], 0).unwrap();
    store.commit(&[Change::Promise(lane(2), Epoch(6))]).unwrap();
    assert_eq!(store.start_life("two", [], 0).unwrap().forgot, [lane(2)].into());
}

#[test]
fn a_file_of_another_owner_is_refused_and_both_are_named() {
    let bench = Bench::new();
    drop(bench.create());
    let right = identity();
    let wrong = [
        NodeIdentity { node: NodeId::of_name("a2"), ..right },
        NodeIdentity { store: StoreId(8), ..right },
        NodeIdentity { cluster: ClusterId::of_name("other"), ..right },
    ];
    for expected in wrong {
        let error = ControlStore::open(&RealFs, &bench.path(), &expected).expect_err("refused");
        assert!(matches!(error, ControlError::Identity { .. }));
        let error = error.to_string();
        for part in ["control.redb".into(), right.to_string(), expected.to_string()] {
            assert!(error.contains(&part), "{error} does not name {part}");
        }
    }
    bench.open();
}

#[test]
fn an_existing_file_is_not_overwritten_and_a_missing_one_not_made_up() {
    let bench = Bench::new();
    let error = ControlStore::open(&RealFs, &bench.path(), &identity()).expect_err("refused");
    assert!(matches!(error, ControlError::Missing { .. }));
    assert!(error.to_string().contains("control.redb"), "{error}");
    drop(bench.create());
    let error = ControlStore::create(&RealFs, &bench.path(), &identity()).expect_err("refused");
    assert!(matches!(error, ControlError::Exists { .. }));
}

#[test]
fn a_creation_that_was_interrupted_is_begun_anew() {
    let bench = Bench::new();
    std::fs::write(bench.dir.path().join("control.new"), "half").unwrap();
    assert!(matches!(
        ControlStore::open(&RealFs, &bench.path(), &identity()),
        Err(ControlError::Missing { .. })
    ));
    drop(bench.create());
    bench.open();
    assert!(!bench.dir.path().join("control.new").exists());
}
