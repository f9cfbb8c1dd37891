use common::ids::{Epoch, Lane, LogicGroup, Lsn, NodeId, ServerIndex, StoreId};

use super::replica::Identity;
use super::*;
use crate::replication::action::Action;
use crate::replication::message::{Message, Pull, Term};
use crate::replication::position::Position;
use crate::replication::register::{Change, Member, Register, VoterGeneration};
use crate::replication::rules::Rules;

const LANE: Lane = Lane { group: LogicGroup(0), server: ServerIndex(0) };
const TERM: Term = Term { lane: LANE, since: Epoch(1) };

fn register() -> Register {
    let server = |n| Member { node: NodeId(n), store: StoreId(u128::from(n)) };
    let servers = vec![server(1), server(2), server(3)];
    let (group, generation) = (LANE.group, VoterGeneration(1));
    let created = Change::Create { group, generation, servers }.apply(None);
    let silent = Change::TakeOver { silent: NodeId(3), by: NodeId(2) };
    silent.apply(Some(&created.expect("is empty"))).expect("all are in step")
}

/// The leader of the lane, with node 2 in step and node 3 away.
fn leader() -> LaneReplica {
    let me = Identity { node: NodeId(1), life: 1, rules: Rules::default() };
    let mut lane = LaneReplica::start(LANE, me, LaneStart::default());
    let mut actions = Vec::new();
    lane.on_register(0, &register(), &mut actions);
    let promise = actions.iter().position(|a| *a == Action::StorePromise(LANE, Epoch(1)));
    let asked = actions.iter().position(|a| matches!(a, Action::Send(_, Message::Seal(_))));
    assert!(promise < asked, "its own promise is durable first");
    lane.on_sealed(1, NodeId(2), (TERM, Position::default(), true), &mut actions);
    lane.on_durable(1, Position { epoch: Epoch(1), lsn: Lsn(1) }, &mut actions);
    lane
}

fn pull(lane: &mut LaneReplica, from: u32, term: Term, lsn: u64) -> Vec<Action> {
    let have = vec![Position { epoch: term.since, lsn: Lsn(lsn) }];
    let (written, durable) = (Lsn(lsn), Lsn(lsn));
    let mut actions = Vec::new();
    let pull = Pull { term, life: 1, have, written, durable };
    lane.on_pull(5, NodeId(from), pull, Epoch(2), &mut actions);
    actions
}

#[test]
fn a_record_is_official_when_all_of_r_hold_it_and_only_in_the_leaders_own_term() {
    let mut lane = leader();
    assert_eq!(lane.official().lsn, Lsn(0));
    let other = Term { since: Epoch(9), ..TERM };
    let answer = pull(&mut lane, 2, other, 1);
    assert!(matches!(answer[..], [Action::Send(_, Message::NotLeading { .. })]), "I18");
    assert_eq!(lane.serves(), None);
    pull(&mut lane, 2, TERM, 1);
    assert_eq!(lane.serves(), Some(TERM));
    assert!(lane.append(6, false, &mut Vec::new()).is_some());
    assert_eq!(lane.official().lsn, Lsn(1));
    pull(&mut lane, 2, TERM, 2);
    assert_eq!(lane.official().lsn, Lsn(2));
}

#[test]
fn a_returning_server_is_needed_before_it_is_confirmed() {
    let mut lane = leader();
    pull(&mut lane, 2, TERM, 1);
    let answer = pull(&mut lane, 3, TERM, 1);
    let confirmed = answer.iter().find_map(|action| match action {
        Action::Send(NodeId(3), Message::Records(records)) => records.confirmed,
        _ => None,
    });
    assert_eq!(confirmed, Some(Epoch(2)), "as of the register epoch it is needed at");
    lane.append(6, false, &mut Vec::new());
    pull(&mut lane, 2, TERM, 2);
    assert_eq!(lane.official().lsn, Lsn(1), "the returning server is needed");
    pull(&mut lane, 3, TERM, 2);
    assert_eq!(lane.official().lsn, Lsn(2));
}

#[test]
fn a_promise_of_a_newer_epoch_ends_a_leadership() {
    let mut lane = leader();
    let mut actions = Vec::new();
    let newer = Term { since: Epoch(7), ..TERM };
    lane.on_seal(9, NodeId(2), newer, &mut actions);
    assert!(actions.contains(&Action::Ended(TERM)));
    assert!(actions.contains(&Action::StorePromise(LANE, Epoch(7))));
    actions.clear();
    lane.on_seal(9, NodeId(3), TERM, &mut actions);
    let refused = Message::Superseded { term: TERM, promised: Epoch(7) };
    assert_eq!(actions, [Action::Send(NodeId(3), refused)]);
}

#[test]
fn a_later_process_start_does_not_continue_the_stream() {
    let me = Identity { node: NodeId(1), life: 2, rules: Rules::default() };
    let start = LaneStart { promised: Epoch(1), ..LaneStart::default() };
    let mut lane = LaneReplica::start(LANE, me, start);
    lane.on_register(0, &register(), &mut Vec::new());
    assert_eq!(lane.leads(), None);
    assert_eq!(lane.needs_new_term(&register()), Some(TERM));
}
