//! I1 for the log: whatever a sync confirmed is there after a power cut at any sync, in every mode,
//! and what is there is a prefix of what was appended.

use crate::support::{Opened, agree, bodies, body, inspect, open};
use storage_node::binlog::{MemFs, PowerCut};

/// What a script that the power cut short had done.
struct Script {
    appended: Vec<Vec<u8>>,
    /// Number of records that a sync confirmed.
    confirmed: usize,
}

/// Appends, rotates, syncs now and then, releases once; ends early when the power is cut.
fn run(opened: &Opened, script: &mut Script, from: usize) {
    for turn in from..from + 24 {
        let lengths = [40, 900 + turn * 10, 300, 2500];
        let bodies: Vec<_> =
            (0..1 + turn % 4).map(|i| body(turn * 10 + i, lengths[(turn + i) % 4])).collect();
        // Before the append: it may fail and still leave some of it.
        script.appended.extend(bodies.iter().cloned());
        let Ok(receipt) = opened.append(&bodies) else {
            return;
        };
        if turn % 3 == 2 {
            if !opened.sync(receipt.end) {
                return;
            }
            script.confirmed = script.appended.len();
        }
    }
}

fn modes(sync: u64) -> impl Iterator<Item = PowerCut> {
    let torn = (0..12).map(move |seed| PowerCut::TornSectors(sync * 1000 + seed));
    [PowerCut::LoseUnsynced, PowerCut::KeepAll].into_iter().chain(torn)
}

#[test]
fn a_power_cut_at_any_sync_loses_no_confirmed_record_and_invents_none() {
    let mut cuts = 0;
    for sync in 1.. {
        let fs = MemFs::new();
        fs.cut_power_at_sync(sync);
        let mut script = Script { appended: Vec::new(), confirmed: 0 };
        if let Ok(opened) = open(&fs) {
            run(&opened, &mut script, 0);
        }
        if !fs.is_cut() {
            assert!(sync > 20, "the script syncs often");
            break;
        }
        for mode in modes(sync) {
            let found = fs.after_power_cut(mode);
            check(&found, &script, &format!("cut at sync {sync}, {mode:?}"));
            cuts += 1;
        }
    }
    assert!(cuts > 200);
}

/// Opens what the power cut left, goes on, cuts again, and looks once more: what recovery wrote and
/// what it cut must not come back.
fn check(found: &MemFs, script: &Script, story: &str) {
    let seen = inspect(found);
    let start = open(found);
    agree(&seen, &start, story);
    let opened = start.unwrap_or_else(|error| panic!("{story}: {error}"));
    let recovered = bodies(&opened.records);
    assert!(recovered.len() >= script.confirmed, "{story}: lost a confirmed record");
    assert_eq!(recovered[..], script.appended[..recovered.len()], "{story}");

    let mut again = Script { confirmed: recovered.len(), appended: recovered };
    run(&opened, &mut again, 100);
    found.cut_power();
    drop(opened);
    for mode in [PowerCut::LoseUnsynced, PowerCut::TornSectors(7), PowerCut::KeepAll] {
        let opened = open(&found.after_power_cut(mode)).unwrap();
        let recovered = bodies(&opened.records);
        assert!(recovered.len() >= again.confirmed, "{story}, then {mode:?}");
        assert_eq!(recovered[..], again.appended[..recovered.len()], "{story}, then {mode:?}");
    }
}

#[test]
fn a_power_cut_during_recovery_changes_nothing() {
    // A log with a torn tail over two segments.
    let fs = MemFs::new();
    let opened = open(&fs).unwrap();
    let mut script = Script { appended: Vec::new(), confirmed: 0 };
    run(&opened, &mut script, 0);
    fs.cut_power();
    drop(opened);
    for seed in 0..40 {
        for sync in 1..8 {
            let found = fs.after_power_cut(PowerCut::TornSectors(seed));
            found.cut_power_at_sync(sync);
            if open(&found).is_ok() && !found.is_cut() {
                break;
            }
            let found = found.after_power_cut(PowerCut::TornSectors(seed + 99));
            let recovered = bodies(&open(&found).unwrap().records);
            assert!(recovered.len() >= script.confirmed, "seed {seed}, sync {sync}");
            assert_eq!(recovered[..], script.appended[..recovered.len()]);
        }
    }
}

#[test]
fn a_crash_during_release_leaves_a_log_without_a_gap() {
    for sync in 1..12 {
        let fs = MemFs::new();
        let opened = open(&fs).unwrap();
        let receipts: Vec<_> = (0..30).map(|i| opened.append(&[body(i, 1500)]).unwrap()).collect();
        let last = receipts[29];
        assert!(opened.sync(last.end));
        fs.cut_power_at_sync(fs.syncs() + sync);
        let released = opened.log.release(last.first);
        assert!(released.is_ok() || fs.is_cut());
        fs.cut_power();
        drop(opened);
        for mode in modes(sync) {
            let opened = open(&fs.after_power_cut(mode)).unwrap();
            let (at, _) = opened.records.last().unwrap();
            assert_eq!(*at, last.first);
        }
    }
}

#[test]
fn dropping_the_log_makes_all_of_it_durable() {
    let fs = MemFs::new();
    let opened = open(&fs).unwrap();
    opened.append(&["never asked for a sync"]).unwrap();
    drop(opened);
    let found = fs.after_power_cut(PowerCut::LoseUnsynced);
    assert_eq!(open(&found).unwrap().records.len(), 1);
}

#[test]
fn what_a_killed_process_left_unsynced_is_durable_once_the_log_is_open_again() {
    let fs = MemFs::new();
    let killed = open(&fs).unwrap();
    let mut script = Script { appended: Vec::new(), confirmed: 0 };
    run(&killed, &mut script, 0);
    let last = killed.append(&["in the page cache only"]).unwrap();
    script.appended.push(b"in the page cache only".to_vec());
    // A killed process does not sync on its way out.
    std::mem::forget(killed);

    let opened = open(&fs).unwrap();
    assert_eq!(opened.log.durable(), last.end);
    let found = fs.after_power_cut(PowerCut::LoseUnsynced);
    assert_eq!(bodies(&open(&found).unwrap().records), script.appended);
}
