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
    let changes: [(Change, FailureCode); 7] = [
        (|head| head.cluster = ClusterId::of_name("prod"), FailureCode::WrongCluster),
        (|head| head.lane.group = LogicGroup(1), FailureCode::UnknownGroup),
        (|head| head.lane.server = ServerIndex(1), FailureCode::NotLeader),
        (|head| head.lane.server = ServerIndex(2), FailureCode::NotLeader),
        (|head| head.since = Epoch(0), FailureCode::NotLeader),
        (|head| head.since = Epoch(2), FailureCode::NotLeader),
        (|head| head.remaining_ms = 0, FailureCode::DeadlinePassed),
    ];
    let mut node = Node::new(Setup { servers: 2, ..Setup::default() });
    let mut client = node.connect();
    let before = node.last(0);
    for (change, code) in changes {
        node.hear_other();
        let [write, read, counted, good] = node.turn(
            &mut client,
            [set("k", "1").with(change), get("k").with(change), count().with(change), get("k")],
        );
        for id in [write, read, counted] {
            assert_eq!(client.answer(id), Answer::Failed(code));
        }
        assert_eq!(client.answer(good), Answer::Missing);
    }
    assert_eq!(node.last(0), before, "nothing was written");
}

#[test]
fn a_malformed_body_is_answered_with_its_id_and_the_next_request_is_executed() {
    let mut node = Node::new(Setup::default());
    let mut client = node.connect();
    let good = node.body(set("k", "1"));
    let mut longer = good.clone();
    longer.push(0);
    let mut unknown = good.clone();
    unknown[4 + 8 + 2 + 1 + 1 + 1 + 8 + 16 + 4 + 4 + 1] = 99;
    let cut = good[..good.len() - 1].to_vec();
    let ids = node.turn_of_bodies(&mut client, [Vec::new(), cut, longer, unknown, good]);
    let [malformed @ .., good] = ids;
    for id in malformed {
        assert_eq!(client.answer(id), Answer::Failed(FailureCode::Malformed));
    }
    assert_eq!(client.answer(good), DONE);
    assert_eq!(node.last(0), Lsn(2));
}

#[test]
fn all_copies_of_a_group_of_one_are_this_one() {
    let mut node = Node::new(Setup::default());
    let mut client = node.connect();
    let [all, majority] =
        node.turn(&mut client, [set("k", "1").acks(Acks::All), set("k", "2").acks(Acks::Majority)]);
    assert_eq!((client.answer(all), client.answer(majority)), (DONE, DONE));
    node.gate.close();
    let [all] = node.turn(&mut client, [set("k", "1").acks(Acks::All).always()]);
    assert_eq!(client.answer(all), Answer::Nothing);
    node.sync();
    assert_eq!(client.answer(all), DONE);
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
    assert_eq!(node.core.status()[0].stopped.as_deref(), Some("its file is damaged"));
}
