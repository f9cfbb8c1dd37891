use std::collections::BTreeMap;

use common::ids::{Epoch, Lane, LogicGroup, Lsn, NodeId, ServerIndex, StoreId, VoterGeneration};

use super::{GroupReplica, GroupStart};
use crate::replication::action::Action;
use crate::replication::lane::LaneStart;
use crate::replication::message::{Message, Pull, Records, RegisterMessage, Term};
use crate::replication::position::Position;
use crate::replication::register::{Ballot, Change, Member, Register, VoterSet};
use crate::replication::rules::Rules;

const GROUP: LogicGroup = LogicGroup(0);
const LANE: Lane = Lane { group: GROUP, server: ServerIndex(0) };

fn server(node: u32) -> Member {
    Member { node: NodeId(node), store: StoreId(u128::from(node)) }
}

fn register() -> Register {
    let servers = vec![server(1), server(2)];
    let create = Change::Create { group: GROUP, generation: VoterGeneration(1), servers };
    create.apply(None).expect("an empty register is created")
}

fn voters(generation: u32, voters: &[u32]) -> VoterSet {
    let voters = voters.iter().map(|node| NodeId(*node)).collect();
    VoterSet { generation: VoterGeneration(generation), voters }
}

fn replica(me: Member) -> GroupReplica {
    let start = GroupStart {
        group: GROUP,
        me,
        life: 1,
        voters: voters(1, &[1, 2, 3]),
        lanes: BTreeMap::new(),
        rules: Rules::default(),
    };
    GroupReplica::new(0, start)
}

fn leads_and_pulls(me: Member) -> (bool, bool) {
    let mut actions = Vec::new();
    replica(me).on_register(0, register(), &mut actions);
    let pulls = |a: &Action| matches!(a, Action::Send(_, Message::Pull(_)));
    (actions.iter().any(|a| matches!(a, Action::Leads(_))), actions.iter().any(pulls))
}

#[test]
fn a_blank_disk_under_an_old_id_is_a_stranger_and_takes_no_part() {
    assert_eq!(leads_and_pulls(server(1)), (true, true));
    let blank = Member { store: StoreId(99), ..server(1) };
    assert_eq!(leads_and_pulls(blank), (false, false));
    let mut replica = replica(blank);
    let mut actions = Vec::new();
    assert!(!replica.is_stranger(), "not known yet");
    replica.on_register(0, register(), &mut actions);
    assert!(replica.is_stranger());
    assert_eq!(actions, [Action::NewRegister(register())]);
    actions.clear();
    let term = Term { lane: LANE, since: Epoch(9) };
    let last = Position { epoch: Epoch(1), lsn: Lsn(1) };
    let pull =
        Pull { term, life: 1, have: vec![last], written: Lsn(1), durable: Lsn(1), leaving: false };
    for message in [
        Message::Seal(term),
        Message::Sealed { term, last, kept: true },
        Message::Copy { term, have: Vec::new() },
        Message::Pull(pull),
        Message::Depart { group: GROUP, known: Epoch(1), consent: Vec::new() },
    ] {
        replica.on_message(1, NodeId(2), message, &mut actions);
    }
    assert!(!replica.append_run(2, LANE, Lsn(1), &[true], &mut actions));
    assert_eq!(actions, []);
    replica.on_depart();
    for now_ms in (0..20_000).step_by(10) {
        replica.on_timeout(now_ms, &mut actions);
    }
    let departed = actions.iter().filter(|a| matches!(a, Action::Departed(_))).count();
    assert_eq!(departed, 1);
    let asks = |action: &&Action| {
        let read = RegisterMessage::Prepare;
        match action {
            Action::Send(_, Message::Register { step, .. }) => *step != read,
            Action::Send(_, Message::AskRegister { .. }) | Action::Departed(_) => false,
            _ => true,
        }
    };
    assert_eq!(actions.iter().find(asks), None, "it reads the register and no more");
}

/// The value that a round of this replica asks its voters to accept.
fn proposed(replica: &mut GroupReplica, now_ms: u64, accepted: &Register) -> Option<Register> {
    let mut actions = Vec::new();
    replica.on_timeout(now_ms, &mut actions);
    let (to, ballot) = actions.iter().find_map(|action| match action {
        Action::Send(to, Message::Register { ballot, step: RegisterMessage::Prepare, .. }) => {
            Some((*to, *ballot))
        }
        _ => None,
    })?;
    actions.clear();
    let found = Some((Ballot::default(), accepted.clone()));
    for voter in [to, NodeId(to.0 + 1)] {
        let step = RegisterMessage::Promised { accepted: found.clone(), leases: Vec::new() };
        replica.on_voter(now_ms, voter, (GROUP, ballot), step, &mut actions);
    }
    actions.into_iter().find_map(|action| match action {
        Action::Send(_, Message::Register { step: RegisterMessage::Accept { value, .. }, .. }) => {
            Some(value)
        }
        _ => None,
    })
}

#[test]
fn a_newer_voter_set_drops_the_round_and_marks_what_is_proposed() {
    let mut replica = replica(server(1));
    let mut actions = Vec::new();
    replica.on_timeout(0, &mut actions);
    let Some(Action::Send(_, Message::Register { ballot, .. })) = actions.first().cloned() else {
        panic!("the register is read first, not {actions:?}");
    };
    replica.set_voters(10, voters(2, &[7, 8, 9]));
    actions.clear();
    for voter in [1, 2, 3] {
        let step = RegisterMessage::Promised { accepted: None, leases: Vec::new() };
        replica.on_voter(10, NodeId(voter), (GROUP, ballot), step, &mut actions);
    }
    assert_eq!(actions, [], "the old voters are asked no more");
    let value = proposed(&mut replica, 10, &register()).expect("the register is read again");
    assert_eq!((value.generation, value.epoch), (VoterGeneration(2), Epoch(1)));
    replica.set_voters(20, voters(1, &[1, 2, 3]));
    replica.on_timeout(1_000, &mut actions);
    let to_old = |a: &Action| matches!(a, Action::Send(NodeId(1..=3), Message::Register { .. }));
    assert!(!actions.iter().any(to_old), "an older set changes nothing");
    let newer = Register { generation: VoterGeneration(3), ..register() };
    assert_eq!(proposed(&mut replica, 3_000, &newer), None, "this node's voters are outdated");
}

#[test]
fn timers_come_seldom_when_nothing_is_to_be_done() {
    let mut replica = replica(Member { store: StoreId(99), ..server(1) });
    let mut actions = Vec::new();
    replica.on_register(0, register(), &mut actions);
    let (mut now_ms, mut calls) = (0, 0);
    while now_ms < 10_000 {
        replica.on_timeout(now_ms, &mut actions);
        assert!(replica.poll_timeout() > now_ms, "no timer is due at once again");
        (now_ms, calls) = (replica.poll_timeout(), calls + 1);
    }
    assert!(calls < 400, "{calls} calls in 10 s");
}

#[test]
fn a_leader_whose_best_log_is_rotated_away_hands_the_lane_to_its_owner() {
    let mut replica = replica(server(1));
    let lane = LaneStart { amnesiac: true, ..LaneStart::default() };
    replica.start.lanes.insert(LANE.server, lane);
    let again = Change::Lead { lane: LANE.server, by: NodeId(1) };
    let register = again.apply(Some(&register())).expect("it is in step");
    let mut actions = Vec::new();
    replica.on_register(0, register.clone(), &mut actions);
    let term = Term { lane: LANE, since: register.epoch };
    let last = Position { epoch: Epoch(1), lsn: Lsn(9) };
    let sealed = Message::Sealed { term, last, kept: true };
    replica.on_message(1, NodeId(2), sealed, &mut actions);
    let copies = |a: &Action| matches!(a, Action::Send(NodeId(2), Message::Copy { .. }));
    assert!(actions.iter().any(copies));
    replica.on_reseed(Term { since: Epoch(1), ..term }, &mut actions);
    assert_eq!(replica.leading().len(), 1, "I18");
    replica.on_reseed(term, &mut actions);
    assert_eq!(actions.last(), Some(&Action::Ended(term)));
    let value = proposed(&mut replica, 100, &register).expect("a leader is wanted");
    assert_eq!(value.lanes[0].node, NodeId(2));
    assert!(value.is_in_step(NodeId(1)), "R stays as it is");
}

#[test]
fn a_register_that_only_another_server_was_told_of_is_read() {
    let mut replica = replica(server(2));
    let mut actions = Vec::new();
    replica.on_register(0, register(), &mut actions);
    replica.read_wanted = false;
    let term = Term { lane: LANE, since: Epoch(1) };
    let records = |confirmed| {
        let (spans, official) = (Vec::new(), Lsn(0));
        Records { term, life: 1, spans, official, confirmed: Some(Epoch(confirmed)) }
    };
    let reads = |replica: &mut GroupReplica, now_ms, confirmed| {
        let mut actions = Vec::new();
        replica.on_records(now_ms, NodeId(1), &records(confirmed), &[], &mut actions);
        replica.on_timeout(now_ms, &mut actions);
        let prepares = |action: &Action| match action {
            Action::Send(_, Message::Register { step, .. }) => *step == RegisterMessage::Prepare,
            _ => false,
        };
        actions.iter().any(prepares)
    };
    assert!(!reads(&mut replica, 100, 1));
    assert!(!reads(&mut replica, 200, 2), "it may be on its way");
    assert!(reads(&mut replica, 700, 2));
}
