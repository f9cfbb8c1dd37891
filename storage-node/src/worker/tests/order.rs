//! Order: what reads, conditions and walks see of records that are not official yet.

use common::reply::Existed;

use super::answer::{Answer, DONE, names, value};
use super::node::{Node, Setup};
use super::request::{count, delete, get, scan, set, set_new};

#[test]
fn order_within_a_connection_holds_across_pending_records() {
    let mut node = Node::new(Setup::default());
    let mut client = node.connect();
    node.gate.close();
    let [set, refused, deleted] =
        node.turn(&mut client, [set("k", "1").always(), set_new("k", "2"), delete("k")]);
    assert_eq!(client.answer(set), Answer::Nothing);
    assert_eq!(client.answer(refused), Answer::Nothing, "it tells about a write that is not sure");
    node.sync();
    assert_eq!(client.answer(set), DONE);
    assert_eq!(client.answer(refused), Answer::Refused(0));
    assert_eq!(client.answer(deleted), Answer::Written(Existed::Yes));
    let [read, left] = node.turn(&mut client, [get("k"), count()]);
    assert_eq!((client.answer(read), client.answer(left)), (Answer::Missing, Answer::Count(0)));
    let mut node = node.restart_after_kill();
    let [read] = node.turn(&mut client, [get("k")]);
    assert_eq!(client.answer(read), Answer::Missing);
}

#[test]
fn a_read_between_two_writes_answers_the_first() {
    let mut node = Node::new(Setup::default());
    let mut client = node.connect();
    node.gate.close();
    let [_, read, second] =
        node.turn(&mut client, [set("k", "1").always(), get("k"), set("k", "2")]);
    assert_eq!((client.answer(read), client.answer(second)), (Answer::Nothing, Answer::Nothing));
    node.sync();
    assert_eq!((client.answer(read), client.answer(second)), (value("1"), DONE));
    let [read] = node.turn(&mut client, [get("k")]);
    assert_eq!(client.answer(read), value("2"));
}

#[test]
fn reads_of_other_keys_do_not_wait_for_pending_records() {
    let mut node = Node::new(Setup::default());
    let mut client = node.connect();
    let [old] = node.turn(&mut client, [set("old", "0")]);
    node.gate.close();
    let [write, read, missing] =
        node.turn(&mut client, [set("k", "1").always(), get("old"), get("missing")]);
    assert_eq!((client.answer(old), client.answer(write)), (DONE, Answer::Nothing));
    assert_eq!((client.answer(read), client.answer(missing)), (value("0"), Answer::Missing));
}

#[test]
fn a_read_of_a_hot_key_is_answered_with_the_sync_that_covers_what_it_saw() {
    let mut node = Node::new(Setup::default());
    let (mut writer, mut reader) = (node.connect(), node.connect());
    node.gate.close();
    let mut write = node.turn(&mut writer, [set("hot", "0").always()])[0];
    for round in 1..=20 {
        node.gate.wait_for_a_sync();
        let [read] = node.turn(&mut reader, [get("hot")]);
        // The stream of writes never stops: there is no moment without a pending one.
        let next = node.turn(&mut writer, [set("hot", round.to_string()).always()])[0];
        assert_eq!(reader.answer(read), Answer::Nothing);
        node.end_one_sync();
        assert_eq!(writer.answer(write), DONE);
        assert_eq!(writer.answer(next), Answer::Nothing);
        assert!(node.core.has_pending());
        assert_eq!(reader.answer(read), value((round - 1).to_string()));
        write = next;
    }
}

#[test]
fn scan_and_count_wait_for_what_was_pending_at_their_arrival_only() {
    let mut node = Node::new(Setup::default());
    let (mut writer, mut reader) = (node.connect(), node.connect());
    node.gate.close();
    let [_] = node.turn(&mut writer, [set("a", "1").always()]);
    node.gate.wait_for_a_sync();
    let [counted, scanned] = node.turn(&mut reader, [count(), scan()]);
    let [later] = node.turn(&mut writer, [set("b", "2").always()]);
    assert_eq!(reader.answer(counted), Answer::Nothing);
    assert_eq!(reader.answer(scanned), Answer::Nothing);
    node.end_one_sync();
    assert_eq!(writer.answer(later), Answer::Nothing);
    assert_eq!(reader.answer(counted), Answer::Count(1), "`b` is not official");
    assert_eq!(reader.answer(scanned), names(["a"]));
    node.sync();
    let [counted, scanned] = node.turn(&mut reader, [count(), scan()]);
    assert_eq!(reader.answer(counted), Answer::Count(2));
    assert_eq!(reader.answer(scanned), names(["a", "b"]));
}

#[test]
fn scan_and_count_see_the_writes_before_them_in_their_turn() {
    let mut node = Node::new(Setup::default());
    let mut client = node.connect();
    let [_, first, _, second, scanned] =
        node.turn(&mut client, [set("a", "1"), count(), set("b", "2"), count(), scan()]);
    assert_eq!(client.answer(first), Answer::Count(1));
    assert_eq!(client.answer(second), Answer::Count(2));
    assert_eq!(client.answer(scanned), names(["a", "b"]));
}

#[test]
fn a_condition_on_a_pending_record_sees_it() {
    let mut node = Node::new(Setup::default());
    let (mut one, mut two) = (node.connect(), node.connect());
    node.gate.close();
    let [won] = node.turn(&mut one, [set_new("lock", "one").always()]);
    let [lost] = node.turn(&mut two, [set_new("lock", "two")]);
    assert_eq!((one.answer(won), two.answer(lost)), (Answer::Nothing, Answer::Nothing));
    node.sync();
    assert_eq!((one.answer(won), two.answer(lost)), (Answer::Batch(1), Answer::Refused(0)));
}
