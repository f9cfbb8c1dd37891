//! Admitting a node to a voter set (guarantees 1, the row on one voter; 2.2).

use common::agreed::KnownRegister;
use common::ids::{Epoch, LogicGroup, NodeId};
use common::register::{Register, VoterSet};

use super::support::{
    Bench, GROUP, ME, Node, PEER, WORKERS, admit, ballot, first_ballot, generation, prepare,
    register, set, step, voter,
};
use crate::control::{ControlEvent, Request};
use crate::replication::message::RegisterMessage;

const OTHER: LogicGroup = LogicGroup(8);

fn outcome(node: &mut Node, set: &VoterSet, registers: Vec<Register>) -> Result<(), String> {
    let (request, mut answer) = admit(set, registers);
    node.turn([request]);
    answer.try_recv().expect("answered in its turn")
}

#[track_caller]
fn refused(node: &mut Node, set: &VoterSet, registers: Vec<Register>, says: &str) {
    let commits = node.keeper.store.commits();
    let reason = outcome(node, set, registers).expect_err("refused");
    assert!(reason.contains(says), "{reason}");
    assert_eq!(node.keeper.store.commits(), commits);
    assert_eq!(node.told(), []);
}

#[test]
fn an_admitted_voter_begins_with_the_registers_as_accepted_and_chosen() {
    let bench = Bench::new();
    let mut node = bench.blank();
    assert_eq!(outcome(&mut node, &set(3), vec![register(GROUP, 5, 2)]), Ok(()));
    let told: Vec<_> = (0..WORKERS).map(|w| (w, ControlEvent::Voters(set(3)))).collect();
    assert_eq!(node.told(), told);
    let groups = node.keeper.electorate.views(false).groups;
    assert_eq!(groups, [KnownRegister::chosen(register(GROUP, 5, 3))], "of the new generation");
    let accepted = Some((first_ballot(), register(GROUP, 5, 3)));
    let promised = RegisterMessage::Promised { accepted, leases: Vec::new() };
    assert_eq!(node.vote(3, prepare(GROUP, 1)), Some(promised), "any round outbids it");
    drop(node);
    let (_, kept) = bench.open();
    assert_eq!((kept.voters, kept.admitted), (set(3), Some(generation(3))));
    assert_eq!(kept.slots[&GROUP].chosen, Some(register(GROUP, 5, 3)));
}

#[test]
fn an_admitted_voter_takes_no_lane_for_one_lease_time() {
    let bench = Bench::new();
    let mut node = bench.blank();
    node.now_ms = 50_000;
    outcome(&mut node, &set(1), vec![register(GROUP, 5, 1)]).unwrap();
    node.told();
    let mut value = register(GROUP, 6, 1);
    value.lanes[0].node = PEER;
    value.lanes[0].since = Epoch(6);
    let accept = step(GROUP, 1, RegisterMessage::Accept { value, consent: Vec::new() });
    node.now_ms += 1_499;
    let runs = RegisterMessage::LeaseRuns { remaining_ms: 1 };
    assert_eq!(node.vote(1, accept.clone()), Some(runs), "of a lease the old voters granted");
    node.now_ms += 1;
    assert_eq!(node.vote(1, accept), Some(RegisterMessage::Accepted));
}

#[test]
fn the_same_admission_again_changes_nothing() {
    let bench = Bench::new();
    let mut node = bench.voter();
    node.vote(1, prepare(GROUP, 9));
    let commits = node.keeper.store.commits();
    assert_eq!(outcome(&mut node, &set(1), vec![register(GROUP, 5, 1)]), Ok(()));
    assert_eq!(node.keeper.store.commits(), commits);
    assert_eq!(node.told(), []);
    let outbid = RegisterMessage::Outbid { promised: ballot(9) };
    assert_eq!(node.vote(1, prepare(GROUP, 8)), Some(outbid), "its promises stand");
}

#[test]
fn other_sets_of_the_same_or_an_older_generation_are_refused() {
    let bench = Bench::new();
    let mut node = bench.voter();
    let other = VoterSet { voters: vec![ME, PEER], ..set(1) };
    refused(&mut node, &other, Vec::new(), "greater than voter generation 1");
    node.turn([Request::Learn { worker: 0, from: PEER, set: set(4) }]);
    node.told();
    refused(&mut node, &set(3), Vec::new(), "greater than voter generation 4");
    assert_eq!(outcome(&mut node, &set(4), vec![register(GROUP, 5, 1)]), Ok(()));
    assert!(node.vote(4, prepare(GROUP, 1)).is_some());
}

#[test]
fn sets_that_cannot_vote_or_are_without_this_node_are_refused() {
    let bench = Bench::new();
    let mut node = bench.blank();
    let of = |number, voters| VoterSet { generation: generation(number), voters };
    refused(&mut node, &of(0, vec![ME]), Vec::new(), "no voter set");
    refused(&mut node, &of(1, Vec::new()), Vec::new(), "no voter set");
    refused(&mut node, &of(1, vec![ME, PEER, ME]), Vec::new(), "no voter set");
    refused(&mut node, &of(1, vec![PEER, NodeId(3)]), Vec::new(), "does not contain this server");
    let twice = vec![register(GROUP, 5, 1), register(GROUP, 6, 1)];
    refused(&mut node, &set(1), twice, "group 7 is given twice");
}

#[test]
fn registers_older_than_what_the_voter_knows_are_refused() {
    let bench = Bench::new();
    let mut node = bench.voter();
    let newer = "group 7 has a newer register here";
    refused(&mut node, &set(2), vec![register(GROUP, 4, 1)], newer);
    refused(&mut node, &set(2), vec![register(OTHER, 9, 1)], newer);
    assert!(node.vote(1, prepare(GROUP, 9)).is_some(), "it is a voter as before");
    assert_eq!(outcome(&mut node, &set(2), vec![register(GROUP, 5, 1)]), Ok(()));
}

#[test]
fn what_was_promised_and_accepted_under_older_generations_is_void() {
    let bench = Bench::new();
    let mut node = bench.voter();
    let value = register(GROUP, 6, 1);
    node.vote(1, step(GROUP, 9, RegisterMessage::Accept { value, consent: Vec::new() }));
    node.vote(1, prepare(OTHER, 9));
    assert_eq!(outcome(&mut node, &set(2), vec![register(GROUP, 5, 1)]), Ok(()));
    node.told();
    let accepted = Some((first_ballot(), register(GROUP, 5, 2)));
    let promised = RegisterMessage::Promised { accepted, leases: Vec::new() };
    assert_eq!(node.vote(2, prepare(GROUP, 1)), Some(promised));
    let empty = RegisterMessage::Promised { accepted: None, leases: Vec::new() };
    assert_eq!(node.vote(2, prepare(OTHER, 1)), Some(empty));
    node.turn([voter(1, prepare(GROUP, 10))]);
    assert_eq!(node.told(), [(0, ControlEvent::VotersTo(PEER, set(2)))]);
}
