//! A request that is repeated under its id (I7, guarantees 2.9).

use common::failure::FailureCode;
use common::ids::Lsn;
use common::version::HLC_AHEAD_MS_MAX;

use super::answer::{Answer, DONE, number, value};
use super::node::{Node, Setup};
use super::request::{add, get, set, set_new};
use crate::binlog::PowerCut;

#[test]
fn a_repeated_request_is_answered_as_before_and_not_applied_again() {
    let mut node = Node::new(Setup::default());
    let mut client = node.connect();
    let request = add("n", 5);
    let [first, other] = node.turn(&mut client, [request.clone(), add("n", 5)]);
    assert_eq!((client.answer(first), client.answer(other)), (number(5), number(10)));
    let last = node.last(0);
    // Twice in one turn, over another connection.
    let mut second = node.connect();
    let [once, twice] = node.turn(&mut second, [request.again(), request.again().again()]);
    assert_eq!((second.answer(once), second.answer(twice)), (number(5), number(5)));
    assert_eq!(node.last(0), last, "nothing was written");
    let [read] = node.turn(&mut client, [get("n")]);
    assert_eq!(client.answer(read), value("10"));
}

#[test]
fn a_repetition_of_what_is_pending_waits_for_it() {
    let mut node = Node::new(Setup::default());
    let (mut client, mut again) = (node.connect(), node.connect());
    node.gate.close();
    let request = add("n", 5).always();
    let [first] = node.turn(&mut client, [request.clone()]);
    let [repeated, condition] =
        node.turn(&mut again, [request.again(), set_new("lock", "1").always()]);
    let [repeated_later] = node.turn(&mut again, [request.again()]);
    assert_eq!(client.answer(first), Answer::Nothing);
    for id in [repeated, condition, repeated_later] {
        assert_eq!(again.answer(id), Answer::Nothing);
    }
    node.sync();
    assert_eq!((client.answer(first), again.answer(repeated)), (number(5), number(5)));
    assert_eq!(
        (again.answer(condition), again.answer(repeated_later)),
        (Answer::Batch(1), number(5))
    );
    let [read] = node.turn(&mut client, [get("n")]);
    assert_eq!(client.answer(read), value("5"));
}

#[test]
fn a_repetition_that_arrives_in_the_same_turn_is_not_applied_again() {
    let mut node = Node::new(Setup::default());
    let mut client = node.connect();
    let request = add("n", 5);
    let [first, repeated] = node.turn(&mut client, [request.clone(), request.again()]);
    assert_eq!((client.answer(first), client.answer(repeated)), (number(5), number(5)));
    let [read] = node.turn(&mut client, [get("n")]);
    assert_eq!(client.answer(read), value("5"));
}

#[test]
fn a_write_that_was_taken_back_is_done_when_it_is_repeated() {
    let mut node = Node::new(Setup::default());
    let mut client = node.connect();
    node.disk.fill_up_writes(Some(0));
    let request = add("n", 5);
    let [full] = node.turn(&mut client, [request.clone()]);
    assert_eq!(client.answer(full), Answer::Failed(FailureCode::DiskFull));
    node.disk.fill_up_writes(None);
    let [again] = node.turn(&mut client, [request.again()]);
    assert_eq!(client.answer(again), number(5));
}

#[test]
fn a_restarted_node_knows_the_requests_of_its_log() {
    for flush in [false, true] {
        let mut node = Node::new(Setup { memtable_bytes: 0, ..Setup::default() });
        let mut client = node.connect();
        let (official, pending) = (add("n", 5), add("n", 7).always());
        let [first] = node.turn(&mut client, [official.clone()]);
        assert_eq!(client.answer(first), number(5));
        if flush {
            node.tick();
            node.sync();
            assert_eq!(node.run_flush_thread().len(), 1);
        }
        node.gate.close();
        let [unanswered] = node.turn(&mut client, [pending.clone()]);
        assert_eq!(client.answer(unanswered), Answer::Nothing);
        let mut node = node.restart_after_kill();
        let [first, second] = node.turn(&mut client, [official.again(), pending.again()]);
        assert_eq!((client.answer(first), client.answer(second)), (number(5), number(12)));
        assert_eq!(node.last(0), Lsn(1), "only the stream's first record was written");
        let [read] = node.turn(&mut client, [get("n")]);
        assert_eq!(client.answer(read), value("12"));
    }
}

#[test]
fn what_a_power_cut_took_is_done_when_it_is_repeated() {
    let mut node = Node::new(Setup::default());
    let mut client = node.connect();
    node.gate.close();
    let request = add("n", 5).always();
    let [first] = node.turn(&mut client, [request.clone()]);
    assert_eq!(client.answer(first), Answer::Nothing);
    let mut node = node.restart_after_power_cut(PowerCut::LoseUnsynced);
    let [again, more] = node.turn(&mut client, [request.again(), request.again().again()]);
    node.sync();
    assert_eq!((client.answer(again), client.answer(more)), (number(5), number(5)));
}

#[test]
fn a_repetition_older_than_the_window_is_unknown_and_never_applied() {
    let mut node = Node::new(Setup { dedup_bytes: 16 << 10, ..Setup::default() });
    let mut client = node.connect();
    let forgotten = add("n", 5);
    let [first] = node.turn(&mut client, [forgotten.clone()]);
    assert_eq!(client.answer(first), number(5));
    while node.core.dedup.begins_ms() == 0 {
        let ids = node.turn(&mut client, [(); 64].map(|()| set("k", "1")));
        assert_eq!(client.answer(ids[0]), DONE);
    }
    let aged = |age_ms| move |head: &mut common::wire::request::RequestHead| head.age_ms = age_ms;
    let last = node.last(0);
    let [old] = node.turn(&mut client, [forgotten.again().with(aged(60_000))]);
    assert_eq!(client.answer(old), Answer::Failed(FailureCode::Unknown));
    assert!(client.failure(old).detail.contains("remembers"), "{:?}", client.failure(old));
    assert_eq!(node.last(0), last);
    let known_ms = node.core.dedup.begins_ms() + HLC_AHEAD_MS_MAX;
    node.until("no time passes", |node| node.core.wall_ms > known_ms);
    // Whether a first attempt, and a young request, were seen before is known.
    let [new, young] =
        node.turn(&mut client, [add("n", 1).with(aged(60_000)), add("n", 1).again().with(aged(0))]);
    assert_eq!((client.answer(new), client.answer(young)), (number(6), number(7)));
}
