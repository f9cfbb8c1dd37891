//! `acks: 1`: answered by the leader alone, and visible before it is official.

use common::durability::Acks;
use common::failure::FailureCode;
use common::ids::Lsn;

use super::answer::{Answer, DONE, value};
use super::node::{Node, Setup, other};
use super::request::{Request, add, append, get, set, set_all, set_new};

fn weak(request: Request) -> Request {
    request.acks(Acks::One)
}

#[test]
fn counters_appends_and_conditional_writes_are_refused() {
    let mut node = Node::new(Setup::default());
    let mut client = node.connect();
    let before = node.last(0);
    let refused = [weak(add("n", 1)), weak(append("s", "x")), weak(set_new("k", "1"))];
    for id in node.turn(&mut client, refused) {
        assert_eq!(client.answer(id), Answer::Failed(FailureCode::AcksTooWeak));
    }
    assert_eq!(node.last(0), before);
    let two = [("a", &b"1"[..]), ("b", &b"2"[..])];
    let [one, batch] = node.turn(&mut client, [weak(set("k", "1")), weak(set_all(two))]);
    assert_eq!((client.answer(one), client.answer(batch)), (DONE, Answer::Batch(2)));
}

#[test]
fn a_weak_write_behind_a_pending_one_is_answered_and_read_at_once() {
    let mut node = Node::new(Setup::default());
    let mut client = node.connect();
    node.gate.close();
    let [always, write, read] =
        node.turn(&mut client, [set("k", "1").always(), weak(set("w", "2")), get("w")]);
    assert_eq!((client.answer(write), client.answer(read)), (DONE, value("2")));
    let [later, strong] = node.turn(&mut client, [get("w"), get("k")]);
    assert_eq!((client.answer(later), client.answer(strong)), (value("2"), Answer::Nothing));
    assert_eq!(client.answer(always), Answer::Nothing);
    node.sync();
    assert_eq!((client.answer(always), client.answer(strong)), (DONE, value("1")));
    let mut node = node.restart_after_kill();
    let [read] = node.turn(&mut client, [get("w")]);
    assert_eq!(client.answer(read), value("2"));
}

#[test]
fn a_weak_write_with_always_waits_for_this_disk_only() {
    let mut node = Node::new(Setup { servers: 2, ..Setup::default() });
    let mut client = node.connect();
    node.gate.close();
    node.hear_other();
    let [write, read] = node.turn(&mut client, [weak(set("w", "1")).always(), get("w")]);
    assert_eq!((client.answer(write), client.answer(read)), (Answer::Nothing, value("1")));
    node.sync();
    assert_eq!(client.answer(write), DONE);
    assert!(node.register(0).unwrap().is_in_step(other()));
    assert_eq!(node.lead(0).official, Lsn(node.lead(0).last.0 - 1), "the other does not have it");
}
