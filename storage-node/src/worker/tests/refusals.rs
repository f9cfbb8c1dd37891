//! What is refused, with which code, and that nothing of it is done.

use common::durability::Acks;
use common::failure::FailureCode;
use common::ids::{ClusterId, Epoch, LogicGroup, Lsn, ServerIndex};
use common::wire::request::RequestHead;

use super::answer::{Answer, DONE, value};
use super::node::{Node, Setup};
use super::request::{count, get, set};

#[test]
fn requests_that_are_not_for_this_leader_are_refused() {
    type Change = fn(&mut RequestHead);
    let changes: [(Change, FailureCode); 6] = [
        (|head| head.cluster = ClusterId::of_name("prod"), FailureCode::WrongCluster),
        (|head| head.lane.group = LogicGroup(1), FailureCode::UnknownGroup),
        (|head| head.lane.server = ServerIndex(1), FailureCode::NotLeader),
        (|head| head.since = Epoch(0), FailureCode::NotLeader),
        (|head| head.since = Epoch(2), FailureCode::NotLeader),
        (|head| head.remaining_ms = 0, FailureCode::DeadlinePassed),
    ];
    let mut node = Node::new(Setup { servers: 2, ..Setup::default() });
    let mut client = node.connect();
    for (change, code) in changes {
        let [write, read, counted, good] = node.turn(
            &mut client,
            [set("k", "1").with(change), get("k").with(change), count().with(change), get("k")],
        );
        for id in [write, read, counted] {
            assert_eq!(client.answer(id), Answer::Failed(code));
        }
        assert_eq!(client.answer(good), Answer::Missing);
    }
    assert_eq!(node.last(0), Lsn(0), "nothing was written");
}

#[test]
fn a_malformed_body_is_answered_with_its_id_and_the_next_request_is_executed() {
    let mut node = Node::new(Setup::default());
    let mut client = node.connect();
    let good = set("k", "1").body();
    let mut longer = good.clone();
    longer.push(0);
    let mut unknown = good.clone();
    unknown[4 + 8 + 2 + 1 + 1 + 1 + 8 + 16 + 4 + 4] = 99;
    let cut = good[..good.len() - 1].to_vec();
    let ids = node.turn_of_bodies(&mut client, [Vec::new(), cut, longer, unknown, good]);
    let [malformed @ .., good] = ids;
    for id in malformed {
        assert_eq!(client.answer(id), Answer::Failed(FailureCode::Malformed));
    }
    assert_eq!(client.answer(good), DONE);
    assert_eq!(node.last(0), Lsn(1));
}

#[test]
fn a_write_for_more_copies_than_there_are_is_applied_and_answered_so() {
    let mut node = Node::new(Setup { servers: 2, ..Setup::default() });
    let mut client = node.connect();
    for (acks, key) in [(Acks::All, "all"), (Acks::Majority, "majority")] {
        let request = set(key, "1").with(|head| head.acks = acks);
        let [short] = node.turn(&mut client, [request]);
        assert_eq!(client.answer(short), Answer::Failed(FailureCode::AcksShort));
        let [read] = node.turn(&mut client, [get(key)]);
        assert_eq!(client.answer(read), value("1"));
    }
    for acks in [Acks::One, Acks::Step] {
        let [enough] = node.turn(&mut client, [set("k", "1").with(|head| head.acks = acks)]);
        assert_eq!(client.answer(enough), DONE);
    }
    let mut node = node.restart_after_kill();
    let [read] = node.turn(&mut client, [get("all")]);
    assert_eq!(client.answer(read), value("1"));
}

#[test]
fn a_write_for_more_copies_waits_for_the_log_as_any_other() {
    let mut node = Node::new(Setup { servers: 2, ..Setup::default() });
    let mut client = node.connect();
    node.gate.close();
    let [short] = node.turn(&mut client, [set("k", "1").always().with(|h| h.acks = Acks::All)]);
    assert_eq!(client.answer(short), Answer::Nothing);
    node.sync();
    assert_eq!(client.answer(short), Answer::Failed(FailureCode::AcksShort));
}

#[test]
fn all_copies_of_a_group_of_one_are_this_one() {
    let mut node = Node::new(Setup::default());
    let mut client = node.connect();
    let all = |key| set(key, "1").with(|head| head.acks = Acks::All);
    let [write] = node.turn(&mut client, [all("k")]);
    assert_eq!(client.answer(write), DONE);
}

#[test]
fn a_stopped_group_refuses_writes_and_still_reads() {
    let mut node = Node::new(Setup::default());
    let mut client = node.connect();
    node.turn(&mut client, [set("k", "1")]);
    node.group(0).stop("its file is damaged");
    let [write, read, counted] = node.turn(&mut client, [set("k", "2"), get("k"), count()]);
    assert_eq!(client.answer(write), Answer::Failed(FailureCode::Stopped));
    assert_eq!((client.answer(read), client.answer(counted)), (value("1"), Answer::Count(1)));
    node.tick();
    assert_eq!(node.group(0).status().stopped.as_deref(), Some("its file is damaged"));
}
