//! Flushes follow the log (I6), and the log is released behind them.

use std::path::Path;

use common::failure::FailureCode;
use common::ids::LogicGroup;

use super::answer::{Answer, DONE, value};
use super::node::{LOG, Node, Setup};
use super::request::{count, delete, get, get_start, set};
use crate::binlog::PowerCut;
use crate::error::StartError;

/// Every tick flushes.
fn eager() -> Setup {
    Setup { memtable_bytes: 0, ..Setup::default() }
}

#[test]
fn a_flush_starts_only_when_the_log_is_durable_past_the_memtable() {
    let mut node = Node::new(eager());
    let mut client = node.connect();
    node.gate.close();
    let [write] = node.turn(&mut client, [set("k", "1")]);
    assert_eq!(client.answer(write), DONE);
    node.tick();
    node.gate.wait_for_a_sync();
    node.tick();
    assert_eq!(node.run_flush_thread(), [], "its record is not durable");
    node.end_one_sync();
    assert_eq!(node.run_flush_thread(), [LogicGroup(0)]);
    assert_eq!(node.group(0).store.memory_bytes(), 0);
    let [read] = node.turn(&mut client, [get("k")]);
    assert_eq!(client.answer(read), value("1"));
}

#[test]
fn a_sync_that_covers_only_a_part_of_the_memtable_starts_no_flush() {
    let mut node = Node::new(eager());
    let mut client = node.connect();
    node.gate.close();
    node.turn(&mut client, [set("a", "1").always()]);
    node.gate.wait_for_a_sync();
    node.turn(&mut client, [set("b", "2")]);
    // What is official by then is `a` and `b`, of which only `a` is durable.
    node.end_one_sync();
    node.tick();
    assert_eq!(node.run_flush_thread(), []);
    node.sync();
    assert_eq!(node.run_flush_thread(), [LogicGroup(0)]);
}

#[test]
fn on_a_failed_log_no_flush_starts() {
    let mut node = Node::new(eager());
    let mut client = node.connect();
    node.gate.close();
    let [everysec, always] = node.turn(&mut client, [set("l", "1"), set("k", "1").always()]);
    assert_eq!(client.answer(everysec), DONE);
    node.fail_sync();
    assert_eq!(client.answer(always), Answer::Failed(FailureCode::Unknown));
    node.tick();
    node.tick();
    assert_eq!(node.run_flush_thread(), [], "the file would know more than the log");
    let mut node = node.restart_after_power_cut(PowerCut::LoseUnsynced);
    let [read] = node.turn(&mut client, [get("k")]);
    assert_eq!(client.answer(read), Answer::Missing, "nobody was told that it is there");
}

#[test]
fn a_log_that_lost_what_a_file_has_is_refused() {
    let mut node = Node::new(eager());
    let mut client = node.connect();
    node.turn(&mut client, [set("a", "1")]);
    // It ends where the record of `b` begins.
    let too_old = node.disk.after_power_cut(PowerCut::KeepAll);
    node.turn(&mut client, [set("b", "2")]);
    node.tick();
    node.sync();
    assert_eq!(node.run_flush_thread(), [LogicGroup(0)]);
    let disk = node.disk.after_kill();
    disk.take_dir(&too_old, Path::new(LOG));
    let refused = node.restart_on(disk).err().unwrap();
    assert!(matches!(refused, StartError::LogBehind(..)), "{refused}");
}

#[test]
fn what_was_flushed_leaves_the_log_and_the_rest_is_replayed() {
    let mut node = Node::new(Setup { segment_bytes: 16 << 10, ..eager() });
    let mut client = node.connect();
    // The last 64 MiB of the log are kept in any case.
    let large = vec![7; 4 << 20];
    for round in 0..24 {
        let name = format!("k{}", round % 7);
        let [write] = node.turn(&mut client, [set(&name, &large).always()]);
        node.sync();
        assert_eq!(client.answer(write), DONE);
        node.tick();
        node.sync();
        node.run_flush_thread();
    }
    let [deleted] = node.turn(&mut client, [delete("k0")]);
    assert_ne!(client.answer(deleted), Answer::NotWritten);
    let first = node.core.shared.log.first();
    assert!(first.segment > 5, "segments were released: {first}");
    let mut node = node.restart_after_kill();
    assert_eq!(node.core.shared.log.first(), first);
    let [counted, gone, read] = node.turn(&mut client, [count(), get("k0"), get_start("k6", 16)]);
    assert_eq!((client.answer(counted), client.answer(gone)), (Answer::Count(6), Answer::Missing));
    assert_eq!(client.answer(read), value([7; 16]));
}

#[test]
fn the_log_of_pending_records_is_not_released() {
    let mut node = Node::new(eager());
    let mut client = node.connect();
    let flush = |node: &mut Node| {
        node.tick();
        node.sync();
        assert_eq!(node.run_flush_thread(), [LogicGroup(0)]);
        assert_eq!(node.group(0).oldest_needed(), None);
    };
    node.turn(&mut client, [set("before", "1")]);
    flush(&mut node);
    node.gate.close();
    node.turn(&mut client, [set("a", "1").always(), set("b", "2")]);
    let oldest = node.group(0).lanes[0].backlog.front().unwrap().log;
    assert_eq!(node.group(0).oldest_needed(), Some(oldest));
    node.sync();
    assert_eq!(node.group(0).oldest_needed(), Some(oldest), "it is in the memtable now");
    flush(&mut node);
}

#[test]
fn a_full_disk_begins_no_flush() {
    let mut node = Node::new(eager());
    let mut client = node.connect();
    node.turn(&mut client, [set("k", "1")]);
    node.core.shared.set_disk_full(true);
    node.tick();
    node.sync();
    assert_eq!(node.run_flush_thread(), []);
    node.core.shared.set_disk_full(false);
    node.tick();
    node.sync();
    assert_eq!(node.run_flush_thread(), [LogicGroup(0)]);
}
