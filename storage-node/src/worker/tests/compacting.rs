//! When a worker lets a group's file be copied, and that its clients do not notice.

use common::ids::LogicGroup;

use super::answer::{Answer, DONE, value};
use super::client::Client;
use super::node::{Node, Setup};
use super::request::{delete, get, set};
use crate::memory::FlushView;

/// Every tick flushes, and any file may be copied.
fn setup() -> Setup {
    Setup { memtable_bytes: 0, compact_bytes: 0, ..Setup::default() }
}

/// A node whose file has 10 keys and had 100.
fn shrunk() -> (Node, Client) {
    let mut node = Node::new(setup());
    let mut client = node.connect();
    shrink(&mut node, &mut client, 0, 100);
    node.core.shared.set_disk_room(1 << 30);
    (node, client)
}

fn shrink(node: &mut Node, client: &mut Client, group: u16, keys: u32) {
    for number in 0..keys {
        let request = set(&format!("k{number}"), [b'v'; 4_000]).to(group);
        let [write] = node.turn(client, [request]);
        assert_eq!(client.answer(write), DONE);
    }
    flush_of(node, group);
    for number in 10..keys {
        node.turn(client, [delete(&format!("k{number}")).to(group)]);
    }
    flush_of(node, group);
}

fn flush(node: &mut Node) {
    flush_of(node, 0);
}

fn flush_of(node: &mut Node, group: u16) {
    node.tick();
    node.sync();
    assert_eq!(node.run_flush_thread(), [LogicGroup(group)]);
}

/// A tick that looks for a file to copy, and what the flush thread makes of it. Whether one is copied.
fn look(node: &mut Node) -> bool {
    let before = file_bytes(node);
    node.core.compact_next_ms = 0;
    node.tick();
    node.run_flush_thread();
    file_bytes(node) < before
}

fn file_bytes(node: &mut Node) -> u64 {
    node.group(0).store.space().file
}

fn check(node: &mut Node, client: &mut Client) {
    for number in 0..100 {
        let [read] = node.turn(client, [get(&format!("k{number}"))]);
        let expected = if number < 10 { value([b'v'; 4_000]) } else { Answer::Missing };
        assert_eq!(client.answer(read), expected, "{number}");
    }
}

#[test]
fn a_file_of_mostly_free_space_is_copied_and_serves_on() {
    let (mut node, mut client) = shrunk();
    let before = file_bytes(&mut node);
    assert!(look(&mut node));
    assert!(file_bytes(&mut node) * 3 < before);
    assert!(!look(&mut node), "there is nothing more to gain");
    check(&mut node, &mut client);
    let mut node = node.restart_after_kill();
    let mut client = node.connect();
    check(&mut node, &mut client);
}

#[test]
fn nothing_is_copied_while_disk_or_memory_is_short_or_another_copy_is_under_way() {
    let (mut node, mut client) = shrunk();
    node.core.shared.set_disk_room(20_000);
    assert!(!look(&mut node), "no room for the copy");
    node.core.shared.set_disk_room(1 << 30);
    node.core.shared.set_disk_full(true);
    assert!(!look(&mut node));
    // Memory is short as long as the full disk keeps this from being flushed.
    node.core.shared.set_disk_full(false);
    node.turn(&mut client, [set("k0", [b'v'; 4_000])]);
    node.core.shared.set_disk_full(true);
    node.tick();
    node.core.shared.set_disk_full(false);
    node.core.compact_next_ms = 0;
    node.core.plan_compaction();
    assert!(node.core.shared.claim_compaction(), "none has begun");
    assert!(!look(&mut node), "another worker's file is being copied");
    node.core.shared.release_compaction();
    node.sync();
    node.run_flush_thread();
    assert!(look(&mut node));
    check(&mut node, &mut client);
}

#[test]
fn a_flush_that_is_due_ends_the_copy_and_the_file_waits() {
    let (mut node, mut client) = shrunk();
    node.core.compact_next_ms = 0;
    node.tick();
    // The flush thread has not come to it.
    node.turn(&mut client, [set("k0", [b'v'; 4_000])]);
    node.tick();
    assert_eq!(node.run_flush_thread(), [], "the copy is given up first");
    flush(&mut node);
    assert!(!look(&mut node), "not at once");
    assert!(node.core.shared.claim_compaction(), "another one may begin");
    check(&mut node, &mut client);
}

/// It would be the first one every time, and nothing would be copied.
#[test]
fn a_file_that_waits_for_a_flush_does_not_hold_up_another_one() {
    let mut node = Node::new(Setup { groups: 2, ..setup() });
    let mut client = node.connect();
    shrink(&mut node, &mut client, 0, 200);
    shrink(&mut node, &mut client, 1, 100);
    node.core.shared.set_disk_room(1 << 30);
    node.turn(&mut client, [set("k0", [b'v'; 4_000])]);
    let flush = node.group(0).store.begin_flush();
    assert!(flush.is_some());
    node.core.shared.memory.measured(0, 0, FlushView::default());
    let space = |node: &mut Node| [0, 1].map(|group| node.group(group).store.space().file);
    let before = space(&mut node);
    node.core.compact_next_ms = 0;
    node.core.plan_compaction();
    node.run_flush_thread();
    let after = space(&mut node);
    assert_eq!(after[0], before[0]);
    assert!(after[1] < before[1]);
}
