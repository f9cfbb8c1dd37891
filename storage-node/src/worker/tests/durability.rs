//! When writes are answered: `sync: always` with the log, everything else at once, but never before
//! a record in front of it is official.

use common::ids::Lsn;
use common::reply::Existed;

use super::answer::{Answer, DONE, value};
use super::node::{Node, Setup};
use super::request::{delete, get, set};

#[test]
fn an_always_write_is_answered_only_when_the_log_is_durable() {
    let mut node = Node::new(Setup::default());
    let mut client = node.connect();
    node.gate.close();
    let [write] = node.turn(&mut client, [set("k", "1").always()]);
    node.gate.wait_for_a_sync();
    node.tick();
    assert_eq!(client.answer(write), Answer::Nothing);
    assert!(node.core.has_pending());
    node.end_one_sync();
    assert_eq!(client.answer(write), DONE);
    assert!(!node.core.has_pending());
}

#[test]
fn an_everysec_write_is_answered_at_once_and_nobody_syncs_for_it() {
    let mut node = Node::new(Setup::default());
    let mut client = node.connect();
    let before = node.core.shared.log.durable();
    let [write, read] = node.turn(&mut client, [set("k", "1"), get("k")]);
    assert_eq!((client.answer(write), client.answer(read)), (DONE, value("1")));
    assert_eq!(node.core.shared.log.durable(), before);
}

#[test]
fn a_sync_that_began_before_a_write_does_not_answer_it() {
    let mut node = Node::new(Setup::default());
    let mut client = node.connect();
    node.gate.close();
    let [first] = node.turn(&mut client, [set("a", "1").always()]);
    node.gate.wait_for_a_sync();
    let [second] = node.turn(&mut client, [set("b", "2").always()]);
    node.end_one_sync();
    assert_eq!((client.answer(first), client.answer(second)), (DONE, Answer::Nothing));
    node.sync();
    assert_eq!(client.answer(second), DONE);
}

#[test]
fn an_everysec_write_behind_an_always_write_is_answered_and_applied_in_order() {
    let mut node = Node::new(Setup::default());
    let mut client = node.connect();
    node.gate.close();
    let [always, later] = node.turn(&mut client, [set("k", "1").always(), set("k", "2")]);
    let [other] = node.turn(&mut client, [set("other", "3")]);
    for id in [always, later, other] {
        assert_eq!(
            client.answer(id),
            Answer::Nothing,
            "official is only what is so from the first on"
        );
    }
    let applied = node.group(0).store.applied().values().copied().collect::<Vec<_>>();
    assert_eq!(applied, [Lsn(1)], "the stream's first record: nothing overtakes the one behind it");
    node.sync();
    for id in [always, later, other] {
        assert_eq!(client.answer(id), DONE);
    }
    let [read, read_other] = node.turn(&mut client, [get("k"), get("other")]);
    assert_eq!((client.answer(read), client.answer(read_other)), (value("2"), value("3")));
}

#[test]
fn an_everysec_write_behind_an_always_write_survives_a_kill_before_the_sync() {
    let mut node = Node::new(Setup::default());
    let mut client = node.connect();
    node.gate.close();
    let [_, later, gone] =
        node.turn(&mut client, [set("k", "1").always(), set("k", "2"), delete("x")]);
    assert_eq!((client.answer(later), client.answer(gone)), (Answer::Nothing, Answer::NotWritten));
    let mut node = node.restart_after_kill();
    let mut client = node.connect();
    let [read] = node.turn(&mut client, [get("k")]);
    assert_eq!(client.answer(read), value("2"));
}

#[test]
fn one_sync_answers_the_writes_of_all_connections() {
    let mut node = Node::new(Setup::default());
    let (mut one, mut two) = (node.connect(), node.connect());
    node.gate.close();
    let [a] = node.turn(&mut one, [set("a", "1").always()]);
    node.gate.wait_for_a_sync();
    let [b] = node.turn(&mut two, [set("b", "2").always()]);
    let [c] = node.turn(&mut one, [delete("b").always()]);
    assert_eq!((one.answer(a), two.answer(b)), (Answer::Nothing, Answer::Nothing));
    let syncs = node.core.shared.log.stats().syncs;
    node.sync();
    assert_eq!((one.answer(a), two.answer(b)), (DONE, DONE));
    assert_eq!(one.answer(c), Answer::Written(Existed::Yes));
    assert_eq!(node.core.shared.log.stats().syncs, syncs + 2, "the one that waited, and one more");
}
