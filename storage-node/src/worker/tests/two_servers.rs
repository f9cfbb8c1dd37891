//! A group of two: what the other server has to say before a write is answered.

use common::durability::Acks;
use common::failure::FailureCode;
use common::ids::{Lsn, NodeId};

use super::answer::{Answer, DONE, value};
use super::node::{Node, Setup, other};
use super::request::{count, get, set};

/// A key whose home is the first lane.
const KEY: &str = "kk";

fn two() -> Setup {
    Setup { servers: 2, ..Setup::default() }
}

#[test]
fn a_write_waits_for_the_other_server_in_step() {
    for acks in [Acks::Step, Acks::Majority, Acks::All] {
        let mut node = Node::new(two());
        let mut client = node.connect();
        node.hear_other();
        let [write, read, counted] =
            node.turn(&mut client, [set(KEY, "1").acks(acks), get(KEY), count()]);
        let last = node.last(0);
        for id in [write, read, counted] {
            assert_eq!(client.answer(id), Answer::Nothing);
        }
        node.hear_pull(Lsn(last.0 - 1), Lsn(last.0 - 1));
        assert_eq!(client.answer(write), Answer::Nothing);
        node.hear_pull(last, Lsn(0));
        assert_eq!((client.answer(write), client.answer(read)), (DONE, value("1")));
        assert_eq!(client.answer(counted), Answer::Count(1));
    }
}

#[test]
fn an_always_write_waits_for_both_disks() {
    let mut node = Node::new(two());
    let mut client = node.connect();
    node.hear_other();
    node.gate.close();
    let [write] = node.turn(&mut client, [set("k", "1").always()]);
    let last = node.last(0);
    node.hear_pull(last, last);
    assert_eq!(client.answer(write), Answer::Nothing, "not durable here");
    node.sync();
    assert_eq!(client.answer(write), DONE);
    let [write] = node.turn(&mut client, [set("k", "2").always()]);
    node.sync();
    let last = node.last(0);
    node.hear_pull(last, Lsn(0));
    assert_eq!(client.answer(write), Answer::Nothing, "not durable there");
    node.hear_pull(last, last);
    assert_eq!(client.answer(write), DONE);
}

#[test]
fn a_server_out_of_step_is_not_waited_for() {
    let mut node = Node::new(two());
    let mut client = node.connect();
    node.hear_other();
    let [write] = node.turn(&mut client, [set("k", "1")]);
    assert_eq!(client.answer(write), Answer::Nothing);
    node.let_other_depart();
    assert_eq!(client.answer(write), DONE);
    let me = NodeId::of_name("a1");
    assert!(node.register(0).unwrap().lanes.iter().all(|leader| leader.node == me));
    let second = get("missing").with(|head| head.lane.server.0 = 1);
    let [write, read, second] = node.turn(&mut client, [set("l", "1"), get("l"), second]);
    assert_eq!((client.answer(write), client.answer(read)), (DONE, value("1")));
    assert_eq!(client.answer(second), Answer::Missing, "the second lane is served here too");
}

#[test]
fn a_write_for_more_copies_than_there_are_is_applied_and_answered_so_at_its_deadline() {
    let mut node = Node::new(two());
    let mut client = node.connect();
    node.let_other_depart();
    for (acks, key) in [(Acks::All, "all"), (Acks::Majority, "majority")] {
        let request = set(key, "1").acks(acks).with(|head| head.remaining_ms = 30);
        let [short, read] = node.turn(&mut client, [request, get(key)]);
        assert_eq!(client.answer(short), Answer::Nothing);
        assert_eq!(client.answer(read), value("1"), "it is official");
        node.until("no answer at the deadline", |_| client.answer(short) != Answer::Nothing);
        assert_eq!(client.answer(short), Answer::Failed(FailureCode::AcksShort));
        assert!(client.failure(short).detail.contains("1 of 2"), "{:?}", client.failure(short));
    }
    for acks in [Acks::One, Acks::Step] {
        let [enough] = node.turn(&mut client, [set("k", "1").acks(acks)]);
        assert_eq!(client.answer(enough), DONE);
    }
    let mut node = node.restart_after_kill();
    let [read] = node.turn(&mut client, [get("all")]);
    assert_eq!(client.answer(read), value("1"));
}

#[test]
fn a_write_for_more_copies_waits_for_the_log_as_any_other_and_then_for_the_copy() {
    let mut node = Node::new(two());
    let mut client = node.connect();
    node.let_other_depart();
    node.gate.close();
    let [write] = node.turn(&mut client, [set("k", "1").always().acks(Acks::All)]);
    node.sync();
    assert_eq!(client.answer(write), Answer::Nothing);
    let [read] = node.turn(&mut client, [get("k")]);
    assert_eq!(client.answer(read), value("1"));
    // It is out of R, but it pulls.
    let last = node.last(0);
    node.hear_pull(last, Lsn(0));
    node.until("a tick", |node| node.group(0).next_ms > 0);
    assert_eq!(client.answer(write), Answer::Nothing, "not durable there");
    node.hear_pull(last, last);
    node.until("it is not answered", |_| client.answer(write) != Answer::Nothing);
    assert_eq!(client.answer(write), DONE);
}

/// The answer to a repetition promises as much as the first one would have.
#[test]
fn a_repetition_of_a_write_for_more_copies_than_there_are_is_answered_so_too() {
    let mut node = Node::new(two());
    let mut client = node.connect();
    node.let_other_depart();
    let request = set("k", "1").acks(Acks::All).with(|head| head.remaining_ms = 30);
    let [short] = node.turn(&mut client, [request.clone()]);
    node.until("no answer at the deadline", |_| client.answer(short) != Answer::Nothing);
    let [again] = node.turn(&mut client, [request.again()]);
    assert_eq!(client.answer(again), Answer::Nothing);
    node.until("no answer at the deadline", |_| client.answer(again) != Answer::Nothing);
    assert_eq!(client.answer(again), Answer::Failed(FailureCode::AcksShort));
    let last = node.last(0);
    let patient = request.again().again().with(|head| head.remaining_ms = 5_000);
    let [patient] = node.turn(&mut client, [patient]);
    node.hear_pull(last, last);
    node.until("it is not answered", |_| client.answer(patient) != Answer::Nothing);
    assert_eq!(client.answer(patient), DONE);
    assert!(!node.register(0).unwrap().is_in_step(other()));
}

#[test]
fn requests_wait_while_a_lane_is_handed_over_and_are_told_where_to_go_on() {
    let mut node = Node::new(two());
    let mut client = node.connect();
    node.hear_other();
    let [before] = node.turn(&mut client, [set("k", "1")]);
    let last = node.last(0);
    node.core_turn(crate::worker::Core::depart);
    let [write, read] = node.turn(&mut client, [set("l", "1"), get("k")]);
    for id in [before, write, read] {
        assert_eq!(client.answer(id), Answer::Nothing);
    }
    node.hear_pull(last, last);
    assert_eq!(client.answer(before), DONE);
    node.until("the lane is not given up", |node| node.group(0).lanes[0].lead.is_none());
    for id in [write, read] {
        let failure = client.failure(id);
        assert_eq!(failure.code, FailureCode::NotLeader);
        assert_eq!(*failure.view.unwrap(), node.register(0).unwrap().view());
    }
    assert_eq!(node.last(0), last, "nothing was written");
}
