//! A group whose file failed, on a server with and without another one in step.

use std::path::Path;

use common::failure::FailureCode;
use common::ids::{Epoch, Lsn};

use super::answer::{Answer, DONE, value};
use super::follower::{record, term};
use super::node::{LOG, Node, Setup, lane, other};
use super::request::{add, get, set};
use crate::engine::EngineError;
use crate::replication::message::Message;
use crate::worker::Core;
use crate::worker::lead::Service;

const STOPPED: Answer = Answer::Failed(FailureCode::Stopped);

/// Of two servers; every tick flushes.
fn two() -> Setup {
    Setup { servers: 2, memtable_bytes: 0, ..Setup::default() }
}

/// The node's group stops, as its file failed in a flush. One record of it is not official. Returns its
/// number.
fn stop(node: &mut Node) -> Lsn {
    let mut client = node.connect();
    node.hear_other();
    let [write] = node.turn(&mut client, [set("k", "1").always()]);
    node.sync();
    let last = node.last(0);
    node.hear_pull(last, last);
    assert_eq!(client.answer(write), DONE);
    node.disk.faults_below(Path::new("/a1/groups"));
    node.disk.fail_sync(1);
    node.tick();
    node.sync();
    let [write] = node.turn(&mut client, [set("pending", "1")]);
    assert_eq!(node.run_flush_thread().len(), 1);
    assert_eq!(client.answer(write), Answer::Nothing);
    node.disk.faults_below(Path::new(LOG));
    assert!(node.group(0).stopped.is_some());
    node.last(0)
}

/// The register in which the other server leads everything alone.
fn taken_over(node: &Node) -> Message {
    let mut register = node.register(0).unwrap().clone();
    register.epoch = Epoch(register.epoch.0 + 1);
    register.in_step = vec![other()];
    for leader in &mut register.lanes {
        if leader.node != other() {
            (leader.node, leader.since) = (other(), register.epoch);
        }
    }
    Message::TellRegister { value: register }
}

#[test]
fn a_stopped_group_hands_its_lanes_to_the_server_in_step_and_no_client_is_refused() {
    let mut node = Node::new(two());
    let last = stop(&mut node);
    let mut client = node.connect();
    let [write, again, read] =
        node.turn(&mut client, [set("k", "2"), add("n", 1).again(), get("k")]);
    assert_eq!(client.answer(read), value("1"), "reads go on until then");
    assert_eq!(client.answer(write), Answer::Nothing, "it waits for the next leader");
    assert_eq!(node.last(0), last, "nothing was written");
    node.tick();
    let [late] = node.turn(&mut client, [set("l", "1")]);
    assert_eq!(
        node.group(0).lanes[0].lead.as_ref().map(|lead| lead.service),
        Some(Service::Holding)
    );
    assert_eq!(client.answer(late), Answer::Nothing);
    node.hear_pull(last, last);
    node.until("the lane is not given up", |node| node.group(0).lanes[0].lead.is_none());
    for id in [write, again, late] {
        let failure = client.failure(id);
        assert_eq!(failure.code, FailureCode::NotLeader);
        assert_eq!(*failure.view.unwrap(), node.register(0).unwrap().view());
    }
    assert_eq!(node.last(0), last, "nothing was written");
}

/// It leaves R; it must not be counted on for records that its file will never have.
#[test]
fn a_stopped_group_asks_to_be_taken_out_and_acknowledges_no_further_record() {
    let mut node = Node::new(two());
    let mut link = node.link();
    let second = term(&node);
    node.hear_records(&[record(second, 1)]);
    let last = stop(&mut node);
    link.pulls(&node.thread);
    node.hear_records(&[record(second, 2)]);
    node.tick();
    node.hear_pull(last, last);
    node.until("the lane is not given up", |node| node.group(0).lanes[0].lead.is_none());
    let taken = taken_over(&node);
    let frame = node.frame(&[taken]);
    node.core_turn(|core| core.on_peer_frame(other(), &frame)).unwrap();
    node.until("it has not left", |node| node.group(0).departed);
    let first = term_of_first(&node);
    for (lsn, term) in [(2, second), (1, first), (2, first)] {
        node.hear_records(&[record(term, lsn)]);
    }
    node.sync();
    node.core_turn(Core::on_timers);
    let pulls = link.pulls(&node.thread);
    assert!(!pulls.is_empty(), "it lets hear of itself");
    for pull in pulls {
        let known = if pull.term == second { 1 } else { 0 };
        assert!(pull.written <= Lsn(known), "{pull:?}");
        assert!(pull.leaving || pull.written == Lsn(known), "nobody is to wait for it: {pull:?}");
    }
    node.tick();
    assert!(node.core.has_departed());
}

fn term_of_first(node: &Node) -> crate::replication::message::Term {
    let leader = node.register(0).unwrap().leader(lane(0).server).unwrap();
    crate::replication::message::Term { lane: lane(0), since: leader.since }
}

/// The other one goes just when it was to take over: what is here can be read again.
#[test]
fn a_stopped_group_that_is_left_alone_refuses_writes_and_reads_again() {
    for gives_up in [false, true] {
        let mut node = Node::new(two());
        let last = stop(&mut node);
        let mut client = node.connect();
        let [waits] = node.turn(&mut client, [set("k", "2")]);
        node.tick();
        assert!(node.group(0).retires);
        if gives_up {
            node.hear_pull(last, last);
            node.until("the lane is not given up", |n| n.group(0).lanes[0].lead.is_none());
        }
        node.hear(&[other_departs(&node)]);
        node.until("the other server stays in R", |node| {
            !node.register(0).unwrap().is_in_step(other())
        });
        node.tick();
        node.until("it is not served again", |node| {
            node.tick();
            node.take_syncs();
            let lead = node.group(0).lanes[0].lead.as_ref();
            lead.is_some_and(|lead| lead.service == Service::Serving)
        });
        node.tick();
        node.serve();
        let code = if gives_up { FailureCode::NotLeader } else { FailureCode::Stopped };
        assert_eq!(client.answer(waits), Answer::Failed(code));
        let [write, read] = node.turn(&mut client, [set("k", "2"), get("k")]);
        assert_eq!((client.answer(write), client.answer(read)), (STOPPED, value("1")));
    }
}

/// What met the error first is to come again, like everything after it.
#[test]
fn an_operation_that_finds_the_file_damaged_comes_again_if_there_is_another_server() {
    for (servers, code) in [(1, FailureCode::Stopped), (2, FailureCode::NotYet)] {
        let mut node = Node::new(Setup { servers, ..two() });
        node.hear_other();
        let what = "a record".to_owned();
        let error = EngineError::Damaged { file: "/a1/groups/00000.redb".into(), what };
        let failure = node.core.stop_for(lane(0), &error);
        assert_eq!(failure.code, code, "{servers} servers");
        assert_eq!(failure.view.is_some(), servers == 2, "with whom to ask");
        assert!(failure.detail.contains("00000.redb"), "{failure:?}");
        assert!(node.group(0).stopped.is_some());
        let mut client = node.connect();
        let [write] = node.turn(&mut client, [set("k", "1")]);
        let answer = if servers == 2 { Answer::Nothing } else { STOPPED };
        assert_eq!(client.answer(write), answer);
    }
}

#[test]
fn a_stopped_group_that_is_left_alone_leaves_all_the_same_when_the_process_stops() {
    let mut node = Node::new(two());
    stop(&mut node);
    node.tick();
    assert!(node.group(0).retires);
    node.core_turn(Core::depart);
    node.hear(&[other_departs(&node)]);
    node.until("the other server stays in R", |node| {
        !node.register(0).unwrap().is_in_step(other())
    });
    node.tick();
    node.until("it stays", |node| {
        node.tick();
        node.core.has_departed()
    });
}

/// The other server asks to be taken out of R.
fn other_departs(node: &Node) -> Message {
    let register = node.register(0).unwrap();
    let own = register.leaders().filter(|(_, leader)| leader.node == other());
    let consent = own.map(|(server, leader)| (server, leader.since)).collect();
    Message::Depart { group: register.group, known: register.epoch, consent }
}
