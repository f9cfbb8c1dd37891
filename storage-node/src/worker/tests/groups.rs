//! Two groups on one worker do not disturb each other (I17).

use common::failure::FailureCode;
use common::ids::{LogicGroup, Lsn};
use rt::clock;

use super::answer::{Answer, DONE, value};
use super::client::Client;
use super::node::{Node, Setup};
use super::request::{count, get, set, set_for};
use crate::worker::Core;

fn two() -> Setup {
    Setup { groups: 2, ..Setup::default() }
}

#[test]
fn the_same_key_in_two_groups_is_two_records_with_numbers_of_their_own() {
    let mut node = Node::new(two());
    let mut client = node.connect();
    node.turn(&mut client, [set("k", "0"), set("k", "1").to(1), set("l", "1").to(1)]);
    let [zero, one] = node.turn(&mut client, [get("k"), get("k").to(1)]);
    assert_eq!((client.answer(zero), client.answer(one)), (value("0"), value("1")));
    assert_eq!((node.last(0), node.last(1)), (Lsn(2), Lsn(3)));
    let mut node = node.restart_after_kill();
    let [zero, one] = node.turn(&mut client, [count(), count().to(1)]);
    assert_eq!((client.answer(zero), client.answer(one)), (Answer::Count(1), Answer::Count(2)));
}

#[test]
fn pending_records_of_one_group_hold_back_nothing_of_the_other() {
    let mut node = Node::new(two());
    let mut client = node.connect();
    node.gate.close();
    let [pending, write, read, counted] = node.turn(
        &mut client,
        [set("k", "0").always(), set("k", "1").to(1), get("k").to(1), count().to(1)],
    );
    assert_eq!(client.answer(pending), Answer::Nothing);
    assert_eq!((client.answer(write), client.answer(read)), (DONE, value("1")));
    assert_eq!(client.answer(counted), Answer::Count(1));
    node.sync();
    assert_eq!(client.answer(pending), DONE);
}

#[test]
fn a_stopped_group_leaves_the_other_running() {
    let mut node = Node::new(Setup { memtable_bytes: 0, ..two() });
    let mut client = node.connect();
    node.turn(&mut client, [set("k", "0"), set("k", "1").to(1)]);
    node.group(0).stop("its file is damaged");
    let [refused, write] = node.turn(&mut client, [set("k", "2"), set("k", "3").to(1)]);
    assert_eq!(client.answer(refused), Answer::Failed(FailureCode::Stopped));
    assert_eq!(client.answer(write), DONE);
    node.tick();
    node.sync();
    assert_eq!(node.run_flush_thread(), [LogicGroup(1)], "the stopped one is not flushed");
    let [zero, one] = node.turn(&mut client, [get("k"), get("k").to(1)]);
    assert_eq!((client.answer(zero), client.answer(one)), (value("0"), value("3")));
}

#[test]
fn a_full_log_takes_back_the_turn_in_both_groups_and_their_numbers_go_on() {
    let mut node = Node::new(two());
    let mut client = node.connect();
    node.turn(&mut client, [set("k", "0"), set("k", "1").to(1)]);
    node.disk.fill_up_writes(Some(0));
    let full = node.turn(&mut client, [set("k", "2"), set("k", "3").to(1), set("l", "4").to(1)]);
    for id in full {
        assert_eq!(client.answer(id), Answer::Failed(FailureCode::DiskFull));
    }
    assert_eq!((node.last(0), node.last(1)), (Lsn(2), Lsn(2)));
    node.disk.fill_up_writes(None);
    node.turn(&mut client, [set("l", "5").to(1)]);
    let mut node = node.restart_after_kill();
    let [zero, one, more] = node.turn(&mut client, [get("k"), get("k").to(1), get("l").to(1)]);
    assert_eq!((client.answer(zero), client.answer(one)), (value("0"), value("1")));
    assert_eq!(client.answer(more), value("5"));
}

#[test]
fn while_one_group_is_flushed_both_take_writes() {
    let mut node = Node::new(Setup { memtable_bytes: 0, ..two() });
    let mut client = node.connect();
    node.turn(&mut client, [set("k", "0"), set("m", "0"), set("k", "1").to(1)]);
    node.tick();
    let [zero, one] = node.turn(&mut client, [set("k", "2"), set("k", "3").to(1)]);
    assert_eq!((client.answer(zero), client.answer(one)), (DONE, DONE));
    let [zero, one, old] = node.turn(&mut client, [get("k"), get("k").to(1), get("m")]);
    assert_eq!((client.answer(zero), client.answer(one)), (value("2"), value("3")));
    assert_eq!(client.answer(old), value("0"));
    node.sync();
    let mut flushed = Vec::new();
    // Each flush begins the next one, whose records are durable by now.
    for _ in 0..3 {
        flushed.extend(node.run_flush_thread());
        node.sync();
    }
    assert!(flushed.contains(&LogicGroup(0)) && flushed.contains(&LogicGroup(1)), "{flushed:?}");
    assert_eq!(node.core.shared.memory.used(), 0);
}

#[test]
fn a_group_with_much_to_reclaim_does_not_hold_up_one_that_comes_later() {
    let mut node = Node::new(two());
    let mut client = node.connect();
    let expire = |node: &mut Node, client: &mut Client, group, keys| {
        for n in 0..keys {
            node.turn(client, [set_for(&format!("k{n}"), 1).to(group)]);
        }
        let last_ms = clock::wall_ms() + 1;
        while clock::wall_ms() <= last_ms {
            std::thread::yield_now();
        }
        node.core_turn(Core::look_for_reclaim);
    };
    let has =
        |node: &mut Node| [0, 1].map(|group| node.group(group).store.has_reclaim(clock::wall_ms()));
    node.core.slice_steps = 10;
    expire(&mut node, &mut client, 0, 60);
    assert!(node.core_turn(Core::reclaim_slice));
    expire(&mut node, &mut client, 1, 5);
    assert_eq!(has(&mut node), [true, true]);
    node.core_turn(Core::reclaim_slice);
    node.core_turn(Core::reclaim_slice);
    assert_eq!(has(&mut node), [true, false]);
    while node.core_turn(Core::reclaim_slice) {}
    assert_eq!(has(&mut node), [false, false]);
}
