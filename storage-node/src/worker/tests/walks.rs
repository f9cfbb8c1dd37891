//! Scans and counts that take several slices.

use common::failure::FailureCode;
use common::ids::Epoch;

use super::answer::{Answer, DONE, value};
use super::client::Client;
use super::node::{Node, Setup};
use super::request::{count, get, scan, set, set_all};
use crate::worker::Core;

const KEYS: u64 = 100;

/// A node whose slices have ten steps, with keys that nobody has counted.
fn with_keys(setup: Setup) -> (Node, Client) {
    let mut node = Node::new(setup);
    let mut client = node.connect();
    for group in 0..setup.groups {
        let names: Vec<String> = (0..KEYS).map(|n| format!("key {n}")).collect();
        let all = names.iter().map(|name| (name.as_str(), &b"v"[..]));
        node.turn(&mut client, [set_all(all).to(group)]);
    }
    node.core.slice_steps = 10;
    node.walks_wait = true;
    (node, client)
}

fn slices(node: &mut Node) -> u32 {
    let mut slices = 1;
    while node.walk_slice() {
        slices += 1;
    }
    slices
}

#[test]
fn requests_are_served_while_a_count_waits_and_it_counts_what_they_did() {
    let (mut node, mut client) = with_keys(Setup::default());
    let [counted, read] = node.turn(&mut client, [count(), get("key 7")]);
    assert_eq!((client.answer(counted), client.answer(read)), (Answer::Nothing, value("v")));
    for n in 0..5 {
        assert!(node.walk_slice());
        let [written] = node.turn(&mut client, [set(&format!("new {n}"), "v")]);
        assert_eq!(client.answer(written), DONE);
        assert_eq!(client.answer(counted), Answer::Nothing, "it is not known yet");
    }
    assert!(slices(&mut node) < 8);
    assert_eq!(client.answer(counted), Answer::Count(KEYS + 5));
    let [again] = node.turn(&mut client, [count()]);
    assert_eq!(client.answer(again), Answer::Count(KEYS + 5), "at once: nothing has changed");
}

#[test]
fn walks_take_turns_so_a_long_one_does_not_hold_up_a_short_one() {
    let (mut node, mut client) = with_keys(Setup { groups: 2, ..Setup::default() });
    node.turn(&mut client, [count().to(1)]);
    slices(&mut node);
    let names: Vec<String> = (0..15).map(|n| format!("new {n}")).collect();
    let all = names.iter().map(|name| (name.as_str(), &b"v"[..]));
    node.turn(&mut client, [set_all(all).to(1)]);
    let [large, small, last] = node.turn(&mut client, [count(), count().to(1), scan()]);
    for _ in 0..5 {
        assert_eq!(client.answer(small), Answer::Nothing);
        node.walk_slice();
    }
    assert_eq!(client.answer(small), Answer::Count(KEYS + 15), "its second slice");
    assert_eq!([client.answer(large), client.answer(last)], [Answer::Nothing, Answer::Nothing]);
}

#[test]
fn what_nobody_waits_for_is_dropped() {
    let (mut node, mut client) = with_keys(Setup::default());
    node.turn(&mut client, [count(), scan()]);
    client.peer.end();
    assert!(!node.walk_slice());
}

#[test]
fn who_does_not_take_answers_gets_no_more_of_them_until_then() {
    let (mut node, mut slow) = with_keys(Setup::default());
    let mut other = node.connect();
    let [counted] = node.turn(&mut other, [count()]);
    slices(&mut node);
    assert_eq!(other.answer(counted), Answer::Count(KEYS));
    let filled = slow.fill();
    let [at_once] = node.turn(&mut slow, [count()]);
    assert!(!node.walk_slice(), "nothing is done for it");
    // But it does not wait for ever.
    let [late] = node.turn(&mut slow, [count().with(|head| head.remaining_ms = 1)]);
    node.turn(&mut other, [set("new", "v")]);
    let (unsent, came_ms) = (slow.peer.unsent(), node.core.mono_ms);
    node.until("time stands still", |node| node.core.mono_ms > came_ms + 1);
    assert!(!node.walk_slice());
    assert!(slow.peer.unsent() > unsent);
    slow.empty(&node.thread, filled);
    slices(&mut node);
    assert_eq!(slow.answer(late), Answer::Failed(FailureCode::DeadlinePassed));
    assert_eq!(slow.answer(at_once), Answer::Count(KEYS + 1), "counted now");
}

#[test]
fn a_scan_waits_until_what_is_in_memory_is_in_order_and_its_pages_are_slices_too() {
    let (mut node, mut client) = with_keys(Setup::default());
    let [scanned] = node.turn(&mut client, [scan()]);
    assert_eq!(client.answer(scanned), Answer::Nothing);
    assert_eq!(slices(&mut node), 9, "ten of ten, the first of them at once");
    let Answer::Names(names) = client.answer(scanned) else { panic!("a page") };
    assert_eq!(names.len(), 10);
}

#[test]
fn a_walk_whose_time_is_over_or_whose_lane_is_led_no_more_is_told_so() {
    let (mut node, mut client) = with_keys(Setup::default());
    let [late, other, good] = node.turn(
        &mut client,
        [
            count().with(|head| head.remaining_ms = 1),
            count().with(|head| head.since = Epoch(77)),
            count(),
        ],
    );
    let begun = node.core.mono_ms;
    node.until("time stands still", |node| node.core.mono_ms > begun + 1);
    slices(&mut node);
    assert_eq!(client.answer(late), Answer::Failed(FailureCode::DeadlinePassed));
    assert_eq!(client.answer(other), Answer::Failed(FailureCode::NotLeader));
    assert_eq!(client.answer(good), Answer::Count(KEYS));

    let (mut node, mut client) = with_keys(Setup::default());
    let [stopped] = node.turn(&mut client, [count()]);
    node.group(0).lanes[0].lead = None;
    node.core_turn(Core::walk_slice);
    assert_eq!(client.answer(stopped), Answer::Failed(FailureCode::NotLeader));
}

#[test]
fn more_walks_than_may_wait_are_refused() {
    let (mut node, mut client) = with_keys(Setup::default());
    let mut ids = Vec::new();
    for _ in 0..103 {
        ids.extend(node.turn(&mut client, [(); 10].map(|()| count())));
    }
    slices(&mut node);
    let answers: Vec<Answer> = ids.iter().map(|id| client.answer(*id)).collect();
    let refused = Answer::Failed(FailureCode::Busy);
    assert_eq!(answers.iter().filter(|answer| **answer == refused).count(), 6);
    assert_eq!(answers.iter().filter(|answer| **answer == Answer::Count(KEYS)).count(), 1_024);
}
