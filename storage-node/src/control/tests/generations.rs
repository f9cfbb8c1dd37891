//! Which messages a voter answers (guarantees 1, the row on one voter; 2.2).

use common::ids::Epoch;
use common::register::VoterSet;

use super::support::{
    Bench, GROUP, ME, Node, PEER, WORKERS, ballot, first_ballot, generation, install, lane,
    prepare, register, set, step, voter,
};
use crate::control::electorate::Learned;
use crate::control::{ControlEvent, Request};
use crate::replication::message::{Message, RegisterMessage, Term};

fn learn(set: VoterSet) -> Request {
    Request::Learn { worker: 1, from: PEER, set }
}

fn messages() -> [Message; 5] {
    let value = register(GROUP, 6, 1);
    [
        prepare(GROUP, 9),
        step(GROUP, 9, RegisterMessage::Accept { value: value.clone(), consent: Vec::new() }),
        step(GROUP, 9, RegisterMessage::Chosen { value }),
        Message::Renew { sent_ms: 4, terms: vec![Term { lane: lane(0), since: Epoch(1) }] },
        Message::AskRegister { group: GROUP, known: Epoch(1) },
    ]
}

#[test]
fn a_blank_voter_never_answers() {
    let bench = Bench::new();
    let mut node = bench.blank();
    node.turn(messages().map(|message| voter(0, message)));
    node.turn(messages().map(|message| voter(1, message)));
    node.turn([learn(set(1))]);
    node.told();
    node.turn(messages().map(|message| voter(1, message)));
    assert_eq!(node.told(), [], "it knows the set and is in it, but was not admitted");
    assert_eq!(node.keeper.electorate.views(false).groups, []);
}

#[test]
fn the_senders_generation_must_be_the_voters_own() {
    let bench = Bench::new();
    let mut node = bench.voter();
    node.turn(messages().map(|message| voter(2, message)));
    assert_eq!(node.told(), [], "of a set this node was not admitted to");
    node.turn(messages().map(|message| voter(0, message)));
    let told = [(0, ControlEvent::VotersTo(PEER, set(1)))];
    assert_eq!(node.told(), told, "told once, not five times");
    let commits = node.keeper.store.commits();
    assert!(node.vote(1, prepare(GROUP, 1)).is_some(), "nothing of the others was done");
    assert_eq!(node.keeper.store.commits(), commits + 1);
}

#[test]
fn a_newer_set_is_stored_then_told_to_every_worker_and_ends_the_old_voter() {
    let bench = Bench::new();
    let mut node = bench.voter();
    node.turn([learn(set(2)), voter(1, prepare(GROUP, 9)), voter(2, prepare(GROUP, 9))]);
    let mut told: Vec<_> =
        (0..WORKERS).map(|worker| (worker, ControlEvent::Voters(set(2)))).collect();
    told.push((0, ControlEvent::VotersTo(PEER, set(2))));
    assert_eq!(node.told(), told);
    drop(node);

    let (store, kept) = bench.open();
    assert_eq!((&kept.voters, kept.admitted), (&set(2), Some(generation(1))));
    assert_eq!(kept.slots[&GROUP].promised, first_ballot());
    let mut node = Node::start(0, store, &kept);
    node.turn([voter(1, prepare(GROUP, 9))]);
    assert_eq!(node.told(), [(0, ControlEvent::VotersTo(PEER, set(2)))], "after a restart too");
}

#[test]
fn a_set_by_command_is_answered_by_what_is_in_force_then() {
    let bench = Bench::new();
    let mut node = bench.voter();
    let mut outcome = |set| {
        let (request, mut answer) = install(set);
        node.turn([request]);
        answer.try_recv().unwrap()
    };
    assert_eq!(outcome(set(2)), Ok(()));
    assert_eq!(outcome(set(2)), Ok(()), "again");
    for voters in [vec![PEER], vec![]] {
        let text = outcome(VoterSet { voters, ..set(2) }).unwrap_err();
        assert!(text.contains("voter generation 2 is in force here"), "{text}");
    }
    assert!(outcome(set(1)).is_err());
    let twice = VoterSet { generation: generation(3), voters: vec![PEER, PEER] };
    let text = outcome(twice.clone()).unwrap_err();
    assert!(text.starts_with("voter generation 3 was not taken"), "{text}");
    assert!(outcome(twice).is_err(), "also where it was refused and logged before");
    drop(node);
    assert_eq!(bench.open().1.voters, set(2), "what was done is durable");
}

#[test]
fn older_and_equal_sets_change_nothing() {
    let bench = Bench::new();
    let mut node = bench.voter();
    let commits = node.keeper.store.commits();
    node.turn([learn(set(1))]);
    assert_eq!(node.told(), []);
    let other = VoterSet { voters: vec![PEER], ..set(1) };
    node.turn([learn(other)]);
    assert_eq!(node.told(), [], "the first set of a generation stays");
    node.turn([learn(VoterSet::default())]);
    assert_eq!(node.told(), [(1, ControlEvent::VotersTo(PEER, set(1)))]);
    for voters in [vec![], vec![ME, ME]] {
        node.turn([learn(VoterSet { generation: generation(3), voters })]);
        assert_eq!(node.told(), [], "no set that can vote");
    }
    let electorate = &mut node.keeper.electorate;
    let other = VoterSet { voters: vec![PEER], ..set(1) };
    assert_eq!(electorate.on_learned(&other), Learned::Refused);
    assert_eq!(electorate.on_learned(&other), Learned::Known, "reported once");
    assert_eq!(electorate.known(), &set(1));
    assert_eq!(node.keeper.store.commits(), commits);
}

#[test]
fn a_register_of_another_generation_is_not_accepted() {
    let bench = Bench::new();
    let mut node = bench.voter();
    let value = register(GROUP, 6, 9);
    let accept = RegisterMessage::Accept { value, consent: Vec::new() };
    assert_eq!(node.vote(1, step(GROUP, 9, accept)), None);
    let promised = RegisterMessage::Promised {
        accepted: Some((first_ballot(), register(GROUP, 5, 1))),
        leases: Vec::new(),
    };
    assert_eq!(node.vote(1, prepare(GROUP, 1)), Some(promised));
    assert!(ballot(1) > first_ballot());
}
