//! Memory that is short: answers of writes wait, reads and evaluation do not.

use std::rc::Rc;
use std::time::Duration;

use common::durability::Acks;
use common::failure::FailureCode;
use common::ids::LogicGroup;
use rt::clock;

use super::answer::{Answer, DONE, value};
use super::client::Client;
use super::gate::WAIT_MAX;
use super::node::{Node, Setup};
use super::request::{get, get_start, set, set_for, swap};
use crate::memory::FlushView;
use crate::worker::{Core, connection};

const BUDGET: usize = 256 << 10;

/// A node whose memtable is as full as it may be: half of the budget, since a flush needs as much again.
fn full() -> (Node, Client) {
    let mut node = Node::new(Setup { memtable_bytes: BUDGET, ..Setup::default() });
    let mut client = node.connect();
    let [write] = node.turn(&mut client, [set("large", vec![7; BUDGET / 2])]);
    assert_eq!(client.answer(write), DONE, "there was room");
    node.tick();
    node.core_turn(Core::look_at_memory);
    (node, client)
}

/// What is longer than anybody may write at once without waiting then.
fn long() -> Vec<u8> {
    vec![1; 16 << 10]
}

#[test]
fn a_write_is_answered_later_and_seen_at_once() {
    let (mut node, mut client) = full();
    let [write, read] = node.turn(&mut client, [set("k", long()), get_start("k", 1)]);
    assert_eq!(client.answer(write), Answer::Nothing);
    assert_eq!(client.answer(read), value([1]), "reads are not held up");
    node.sync();
    assert_eq!(node.run_flush_thread(), [LogicGroup(0)]);
    node.core_turn(Core::look_at_memory);
    assert_eq!(client.answer(write), DONE, "there is room again");
    let [write] = node.turn(&mut client, [set("k", long())]);
    assert_eq!(client.answer(write), DONE);
}

#[test]
fn a_write_that_waits_for_more_is_answered_when_both_waits_are_over() {
    let (mut node, mut client) = full();
    node.gate.close();
    let request = || set("k", long()).always().acks(Acks::All);
    let [first] = node.turn(&mut client, [request()]);
    node.sync();
    assert_eq!(client.answer(first), Answer::Nothing, "its place has not passed");
    assert_eq!(node.run_flush_thread(), [LogicGroup(0)]);
    node.gate.close();
    let [second] = node.turn(&mut client, [request()]);
    node.core_turn(Core::look_at_memory);
    assert_eq!(client.answer(first), DONE);
    assert_eq!(client.answer(second), Answer::Nothing, "it is not durable");
    node.sync();
    assert_eq!(client.answer(second), DONE, "its place passed meanwhile");
}

#[test]
fn who_may_not_write_waits_for_nothing() {
    let (mut node, mut client) = full();
    let [write] = node.turn(&mut client, [set("k", long())]);
    assert_eq!(client.answer(write), Answer::Nothing);
    node.core.shared.set_disk_full(true);
    node.core_turn(Core::look_at_memory);
    assert_eq!(client.answer(write), DONE);
    let [write] = node.turn(&mut client, [set("k", long())]);
    assert_eq!(client.answer(write), Answer::Failed(FailureCode::DiskFull));
}

#[test]
fn a_stop_lets_every_answer_go() {
    let (mut node, mut client) = full();
    let [write] = node.turn(&mut client, [set("k", long())]);
    node.core_turn(Core::end_pace);
    assert_eq!(client.answer(write), DONE);
    node.core_turn(Core::look_at_memory);
    let [write] = node.turn(&mut client, [set("k", long())]);
    assert_eq!(client.answer(write), DONE, "timers go on until the end");
}

#[test]
fn an_answer_is_held_until_its_client_stops_waiting_at_most() {
    let (mut node, mut client) = full();
    let request = || set("k", long()).with(|head| head.remaining_ms = 300);
    node.turn(&mut client, [request(), request().always()]);
    // A tenth is left for the way.
    let until_ms = node.core.mono_ms + 270;
    node.sync();
    assert!(node.core.pace.pop(until_ms - 1).is_none());
    assert!(node.core.pace.pop(until_ms).is_some());
    assert!(node.core.pace.pop(until_ms).is_some(), "also where it waited for a sync");
}

#[test]
fn what_is_held_outlives_its_lane_and_whoever_waits_for_something_else() {
    let (mut node, mut client) = full();
    let mut gone = node.connect();
    node.turn(&mut gone, [set("k", long())]);
    let [write] = node.turn(&mut client, [set("k", long())]);
    gone.peer.end();
    node.group(0).lanes[0].lead = None;
    node.core_turn(Core::look_at_memory);
    assert_eq!(client.answer(write), Answer::Nothing);
    node.sync();
    assert_eq!(node.run_flush_thread(), [LogicGroup(0)]);
    node.core_turn(Core::look_at_memory);
    assert_eq!(client.answer(write), DONE, "it is official");
}

#[test]
fn a_peer_is_read_no_further_while_too_much_is_held_back_for_it() {
    let (mut node, mut client) = full();
    let (thread, peer) = (Rc::clone(&node.thread), Rc::clone(&client.peer));
    for _ in 0..40 {
        node.turn(&mut client, [swap("large", vec![7; BUDGET / 2])]);
    }
    assert!(peer.unsent() == 0 && peer.is_full());
    thread.run(async {
        let mut waiting = std::pin::pin!(peer.room());
        let waited = tokio::time::timeout(Duration::ZERO, waiting.as_mut()).await;
        assert!(waited.is_err());
        peer.end();
        node.core.end_pace();
        tokio::time::timeout(WAIT_MAX, waiting).await.unwrap();
    });
}

#[test]
fn writes_are_refused_while_memory_is_full_and_flushes_fail() {
    let (mut node, mut client) = full();
    node.core.shared.memory.flush_succeeded(false);
    let [write] = node.turn(&mut client, [set("k", vec![1; BUDGET])]);
    node.core_turn(Core::look_at_memory);
    assert_eq!(client.answer(write), DONE, "it was taken");
    let [refused, read] = node.turn(&mut client, [set("k", "2"), get("l")]);
    assert_eq!(client.answer(refused), Answer::Failed(FailureCode::DiskFull));
    assert!(client.failure(refused).detail.contains("no flush"), "{:?}", client.failure(refused));
    assert_eq!(client.answer(read), Answer::Missing);
    node.core.shared.memory.flush_succeeded(true);
    let [write] = node.turn(&mut client, [set("k", "2")]);
    assert_ne!(client.answer(write), Answer::Failed(FailureCode::DiskFull));
}

/// The disk may hang: a sync or a flush neither ends nor fails.
#[test]
fn writes_are_refused_while_memory_stays_full_and_reads_go_on() {
    let (mut node, mut client) = full();
    let [write] = node.turn(&mut client, [set("k", vec![1; BUDGET])]);
    let memory = |node: &Node, now_ms| node.core.shared.memory.look(now_ms);
    memory(&node, 1);
    let [next] = node.turn(&mut client, [set("l", "1")]);
    assert_ne!(client.answer(next), Answer::Failed(FailureCode::Busy), "not yet");
    memory(&node, 10_000);
    let [refused, read] = node.turn(&mut client, [set("l", "2"), get("l")]);
    assert_eq!(client.answer(refused), Answer::Failed(FailureCode::Busy));
    assert!(client.failure(refused).detail.contains("memory is full"));
    assert_eq!(client.answer(read), value("1"));
    for _ in 0..2 {
        node.sync();
        node.run_flush_thread();
    }
    node.core_turn(Core::look_at_memory);
    assert_eq!(client.answer(write), DONE);
    let [write] = node.turn(&mut client, [set("l", "3")]);
    assert_eq!(client.answer(write), DONE, "there is room again");
}

#[test]
fn a_connection_is_read_when_there_is_memory_or_writes_are_refused() {
    let node = Node::new(Setup { memtable_bytes: BUDGET, ..Setup::default() });
    let memory = &node.core.shared.memory;
    let use_bytes = |bytes| memory.measured(0, bytes, FlushView::default());
    let waits_until = |change: &dyn Fn()| {
        use_bytes(2 * BUDGET);
        node.thread.run(async {
            let mut waiting = std::pin::pin!(connection::memory(&node.core.shared));
            let waited = tokio::time::timeout(Duration::ZERO, waiting.as_mut()).await;
            assert!(waited.is_err(), "memory is full");
            change();
            tokio::time::timeout(WAIT_MAX, waiting).await.unwrap();
        });
    };
    waits_until(&|| use_bytes(BUDGET));
    waits_until(&|| node.core.shared.set_disk_full(true));
    node.core.shared.set_disk_full(false);
    waits_until(&|| [1, 10_000].into_iter().for_each(|now_ms| memory.look(now_ms)));
    node.thread.run(connection::memory(&node.core.shared));
}

/// Nothing could ever make room for them.
#[test]
fn memtables_of_a_group_that_stopped_do_not_count() {
    let (mut node, mut client) = full();
    node.group(0).stop("a test says so");
    node.tick();
    assert_eq!(node.core.shared.memory.used(), 0);
    node.core_turn(Core::look_at_memory);
    let [read] = node.turn(&mut client, [get_start("large", 1)]);
    assert_eq!(client.answer(read), value([7]));
}

#[test]
fn one_flush_at_a_time_in_the_node_whoever_has_the_turn() {
    let (mut node, _client) = full();
    let shared = std::sync::Arc::clone(&node.core.shared);
    let view = FlushView { largest: BUDGET, largest_group: BUDGET, ..FlushView::default() };
    shared.memory.measured(0, BUDGET, view);
    assert_eq!(shared.memory.take_turn(0, |_| true), None, "the tick took it");
    node.sync();
    assert_eq!(node.run_flush_thread(), [LogicGroup(0)]);
    shared.memory.measured(0, BUDGET, view);
    assert!(shared.memory.take_turn(0, |_| true).is_some(), "it was given back");
}

/// Its tombstones take memory that nothing could free.
#[test]
fn reclaim_rests_while_the_disk_is_full_or_memory_is_tight() {
    let mut node = Node::new(Setup { memtable_bytes: BUDGET, ..Setup::default() });
    let mut client = node.connect();
    let [write] = node.turn(&mut client, [set_for("gone", 1)]);
    assert_eq!(client.answer(write), DONE);
    // What expires in the present millisecond is not reclaimed in it.
    let is_due = |node: &mut Node| node.group(0).store.has_reclaim(clock::wall_ms() - 1);
    while !is_due(&mut node) {
        std::thread::yield_now();
    }
    node.core_turn(Core::look_for_reclaim);
    node.core.shared.set_disk_full(true);
    node.core_turn(Core::reclaim_slice);
    assert!(is_due(&mut node));
    node.core.shared.set_disk_full(false);
    node.core.shared.memory.measured(0, BUDGET, FlushView::default());
    node.core_turn(Core::reclaim_slice);
    assert!(is_due(&mut node));
    node.core.shared.memory.measured(0, 0, FlushView::default());
    // On a busy machine a slice may be over before it has done anything.
    while node.core_turn(Core::reclaim_slice) {}
    assert!(!is_due(&mut node));
}
