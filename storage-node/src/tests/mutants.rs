//! Rules that are broken on purpose: the suite must notice each. `docs/TESTING.md` has the list.

use common::address::Field;
use common::log_record::LogRecord;
use common::stored::Body;

use super::lying::Lie;
use super::rig::Rig;
use super::script::{LATE, key, record};
use super::story::{Fault, Rules, sweep};
use crate::engine::rules::{Rule, break_rule};
use crate::engine::{Slice, View};
use crate::files::MemFs;

/// Runs the suite without a rule; it must find a reason to complain.
#[track_caller]
fn noticed(what: &str, rules: Rules, fault: Fault) {
    let story = sweep(rules, fault).expect_err(what);
    println!("{what}: {story}");
}

fn lie(lie: Lie) -> Rules {
    Rules { lie, ..Rules::default() }
}

#[test]
fn a_sync_that_does_nothing_is_noticed() {
    noticed("sync does nothing", lie(Lie::NoSync), Fault::PowerCut);
}

#[test]
fn a_directory_that_is_not_synced_is_noticed() {
    noticed("directory sync dropped", lie(Lie::NoDirSync), Fault::PowerCut);
}

#[test]
fn an_older_segment_that_is_not_synced_is_noticed() {
    noticed("older segment not synced", lie(Lie::OlderSegmentNotSynced), Fault::PowerCut);
}

#[test]
fn a_torn_tail_that_is_not_zeroed_is_noticed() {
    noticed("tail not zeroed", lie(Lie::TailNotZeroed), Fault::PowerCut);
}

#[test]
fn a_failed_sync_that_is_tried_again_is_noticed() {
    noticed("sync retried", lie(Lie::SyncRetried), Fault::SyncError);
}

#[test]
fn a_flush_before_the_log_is_durable_is_noticed() {
    let rules = Rules { flush_early: true, ..Rules::default() };
    noticed("flush before the log", rules, Fault::PowerCut);
}

#[test]
fn a_checkpoint_in_the_first_commit_of_a_flush_is_noticed() {
    break_rule(Some(Rule::CheckpointLast));
    noticed("checkpoint first", Rules::default(), Fault::PowerCut);
    break_rule(None);
}

#[test]
fn counts_in_another_commit_are_noticed() {
    break_rule(Some(Rule::CountsWithRecords));
    noticed("counts in another commit", Rules::default(), Fault::PowerCut);
    break_rule(None);
}

#[test]
fn a_copy_that_takes_the_place_of_a_file_before_it_is_durable_is_noticed() {
    break_rule(Some(Rule::CopyDurable));
    noticed("copy not durable", Rules::default(), Fault::PowerCut);
    break_rule(None);
}

#[test]
fn a_flush_into_a_file_that_is_copied_is_noticed() {
    break_rule(Some(Rule::FlushWaitsForCopy));
    noticed("flush during a copy", Rules::default(), Fault::PowerCut);
    break_rule(None);
}

/// A record that expired and was reclaimed comes once more from the log, as after a crash.
fn comes_back() -> bool {
    let (mut rig, _) = Rig::open(&MemFs::new(), Lie::Honest).unwrap();
    // Record 3 expires.
    assert!((1..=3).all(|number| rig.append(&record(number, 0))));
    rig.store.reclaim(|_| LATE, &mut Slice::unbounded()).unwrap();
    let body = record(3, 0);
    let mut again = LogRecord::decode(&body).unwrap();
    again.head.stream.epoch.0 += 1;
    rig.store.apply(&again.head, &again.mutations, (1, 1 << 20)).unwrap();
    let found = rig.store.record(&key("s3", Field::Unnamed)).unwrap().unwrap();
    found.stored().body != Body::Tombstone
}

#[test]
fn a_record_of_the_same_version_changes_nothing_and_it_is_noticed_when_it_does() {
    assert!(!comes_back());
    break_rule(Some(Rule::EqualChangesNothing));
    assert!(comes_back());
    break_rule(None);
}
