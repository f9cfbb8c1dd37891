//! What the register says, and what a node does that does not know it.

use common::failure::FailureCode;
use common::ids::{Epoch, Lsn};

use super::answer::{Answer, DONE, value};
use super::node::{Node, Setup};
use super::request::{count, get, set};
use crate::binlog::PowerCut;

#[test]
fn a_group_without_a_register_answers_not_yet_and_says_what_to_do() {
    let mut node = Node::blank(Setup::default());
    let mut client = node.connect();
    let ids = node.turn(&mut client, [set("k", "1"), get("k"), count()]);
    for id in ids {
        assert_eq!(client.answer(id), Answer::Failed(FailureCode::NotYet));
        let failure = client.failure(id);
        assert!(failure.detail.contains("a1"), "{failure:?}");
        assert!(failure.detail.contains("fdht topology init"), "{failure:?}");
        assert_eq!(failure.view, None);
    }
    let refused = node.core_turn(|core| core.create(Vec::new())).unwrap_err();
    assert!(refused.contains("fdht topology init"), "{refused}");
    node.found();
    node.serve();
    let [write] = node.turn(&mut client, [set("k", "1")]);
    assert_eq!(client.answer(write), DONE);
}

#[test]
fn a_restarted_node_answers_not_yet_before_it_has_a_new_term() {
    let mut node = Node::new(Setup::default());
    let mut client = node.connect();
    let [_, old] = node.turn(&mut client, [set("k", "1"), get("k")]);
    assert_eq!(client.answer(old), value("1"));
    let before = node.lead(0).term;
    let disk = node.disk.after_power_cut(PowerCut::KeepAll);
    let mut node = node.restart_on(disk).unwrap();
    let [read] =
        node.turn_of_bodies(&mut client, [get("k").with(|h| h.since = before.since).body()]);
    assert_eq!(client.answer(read), Answer::Failed(FailureCode::NotYet));
    node.serve();
    assert!(node.lead(0).term.since > before.since, "a process start never continues a stream");
    let [read] = node.turn(&mut client, [get("k")]);
    assert_eq!(client.answer(read), value("1"));
}

/// I18.
#[test]
fn a_request_with_another_since_epoch_is_told_the_view() {
    let node = Node::new(Setup::default());
    let first = node.lead(0).term.since;
    let mut node = node.restart_after_kill();
    let mut client = node.connect();
    let (since, before) = (node.lead(0).term.since, node.last(0));
    for other in [Epoch(0), first, Epoch(since.0 + 1)] {
        let other = |head: &mut common::wire::request::RequestHead| head.since = other;
        let ids = node.turn(&mut client, [set("k", "1").with(other), get("k").with(other)]);
        for id in ids {
            let failure = client.failure(id);
            assert_eq!(failure.code, FailureCode::NotLeader);
            let view = failure.view.expect("whoever is wrong is told what is right");
            assert_eq!(*view, node.register(0).unwrap().view());
            assert_eq!(view.leaders, [(node.core.shared.node, since)]);
        }
    }
    assert_eq!(node.last(0), before, "nothing was written");
}

/// Records that are in the log are not applied before somebody says that they are official.
#[test]
fn replay_applies_only_what_is_known_to_be_official() {
    let mut node = Node::new(Setup::default());
    let mut client = node.connect();
    node.gate.close();
    node.turn(&mut client, [set("sure", "1")]);
    node.turn(&mut client, [set("a", "1").always(), set("b", "2"), set("a", "3")]);
    assert_eq!((node.last(0), node.lead(0).official), (Lsn(5), Lsn(2)));
    let disk = node.disk.after_power_cut(PowerCut::KeepAll);
    let mut node = node.restart_on(disk).unwrap();
    let known = Vec::from_iter(node.group(0).store.applied().values().copied());
    assert_eq!(known, [Lsn(2)], "the third record says that the second was official");
    assert_eq!(node.group(0).lanes[0].backlog.len(), 3);
    node.gate.close();
    node.until("no stream begins", |node| {
        node.group(0).lanes[0].lead.as_ref().is_some_and(|lead| lead.appended > Lsn(0))
    });
    assert_eq!(node.group(0).lanes[0].backlog.len(), 4, "the first record is not durable yet");
    let [early] = node.turn(&mut client, [get("a")]);
    assert_eq!(client.answer(early), Answer::Failed(FailureCode::NotYet));
    node.gate.open();
    node.serve();
    assert_eq!(node.group(0).lanes[0].backlog.len(), 0);
    let [a, b] = node.turn(&mut client, [get("a"), get("b")]);
    assert_eq!((client.answer(a), client.answer(b)), (value("3"), value("2")));
}
