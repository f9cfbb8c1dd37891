use common::ids::{Epoch, Lane, LogicGroup, Lsn, NodeId, ServerIndex, StoreId};

use super::replica::Identity;
use super::*;
use crate::replication::action::Action;
use crate::replication::message::{Message, Pull, Records, Term};
use crate::replication::position::{Head, Holdings, Position, Span};
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
    let pull = Pull { term, life: 1, have, written, durable, leaving: false };
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

#[test]
fn a_run_is_numbered_like_its_records_one_by_one() {
    let mut lane = leader();
    assert!(!lane.append_run(6, Lsn(2), &[false], &mut Vec::new()), "it does not serve yet");
    pull(&mut lane, 2, TERM, 1);
    let mut single = lane.clone();
    let mut actions = Vec::new();
    assert!(!lane.append_run(6, Lsn(3), &[false], &mut actions), "2 comes next");
    assert!(lane.append_run(6, Lsn(2), &[false, true, false], &mut actions));
    assert!(actions.iter().all(|a| matches!(a, Action::Send(NodeId(2), Message::Records(_)))));
    for durable in [false, true, false] {
        single.append(6, durable, &mut Vec::new());
    }
    assert_eq!(lane.last(), Position { epoch: Epoch(1), lsn: Lsn(4) });
    assert_eq!(lane.held(), single.held());
    for lane in [&mut lane, &mut single] {
        pull(lane, 2, TERM, 4);
        assert_eq!(lane.official().lsn, Lsn(2), "3 is not durable here");
        lane.on_durable(7, Position { epoch: Epoch(1), lsn: Lsn(3) }, &mut Vec::new());
        assert_eq!(lane.official().lsn, Lsn(4));
    }
}

#[test]
fn those_who_hold_a_record_are_counted_in_step_or_not() {
    let mut lane = leader();
    pull(&mut lane, 2, TERM, 1);
    assert!(lane.append_run(6, Lsn(2), &[false; 30], &mut Vec::new()));
    assert_eq!((lane.acked_by(Lsn(31), false), lane.acked_by(Lsn(31), true)), (1, 0));
    pull(&mut lane, 3, TERM, 5);
    assert_eq!((lane.acked_by(Lsn(5), false), lane.acked_by(Lsn(5), true)), (2, 1));
    let standing = |lane: &LaneReplica| {
        let status = lane.follower_status(9);
        status.iter().map(|s| (s.node.0, s.written.0, s.standing)).collect::<Vec<_>>()
    };
    assert_eq!(standing(&lane), [(2, 1, Standing::InStep), (3, 5, Standing::Away)]);
    pull(&mut lane, 3, TERM, 31);
    assert_eq!(standing(&lane), [(2, 1, Standing::InStep), (3, 31, Standing::Returning)]);
    assert_eq!(lane.follower_status(9)[1].heard_ms_ago, Some(4));
}

#[test]
fn a_server_that_is_far_behind_in_older_streams_is_not_needed_yet() {
    let mut held = Holdings::default();
    for lsn in 1..=40 {
        let ends = (lsn == 1).then(Vec::new);
        held.take(&Head { at: Position { epoch: Epoch(1), lsn: Lsn(lsn) }, ends });
    }
    let me = Identity { node: NodeId(2), life: 1, rules: Rules::default() };
    let start = LaneStart { held, ..LaneStart::default() };
    let mut lane = LaneReplica::start(LANE, me, start);
    let lead = Change::TakeOver { silent: NodeId(1), by: NodeId(2) };
    let register = lead.apply(Some(&register())).expect("both are in step");
    lane.on_register(0, &register, &mut Vec::new());
    let term = Term { since: register.epoch, ..TERM };
    lane.on_durable(1, Position { epoch: register.epoch, lsn: Lsn(1) }, &mut Vec::new());
    assert!(lane.alone(), "R is this server");
    let behind = |lane: &mut LaneReplica, lsn| {
        let have = vec![Position { epoch: Epoch(1), lsn: Lsn(lsn) }];
        let pull = Pull { term, life: 1, have, written: Lsn(0), durable: Lsn(0), leaving: false };
        lane.on_pull(5, NodeId(3), pull, Epoch(3), &mut Vec::new());
        lane.alone()
    };
    assert!(behind(&mut lane, 2), "39 records behind");
    assert!(!behind(&mut lane, 30), "11 records behind: needed");
}

fn follower() -> LaneReplica {
    let me = Identity { node: NodeId(2), life: 1, rules: Rules::default() };
    let mut lane = LaneReplica::start(LANE, me, LaneStart::default());
    lane.on_register(10, &register(), &mut Vec::new());
    lane
}

fn misses(lane: &LaneReplica, now_ms: u64) -> bool {
    matches!(lane.role(), Role::Following(following) if following.misses_leader(now_ms))
}

#[test]
fn an_address_that_refuses_makes_a_leader_silent_unless_it_is_heard() {
    let mut lane = follower();
    assert!(!misses(&lane, 1_009) && misses(&lane, 1_010));
    lane.on_refused_address(100, NodeId(3));
    assert!(!misses(&lane, 410), "somebody else");
    lane.on_refused_address(100, NodeId(1));
    assert!(!misses(&lane, 409) && misses(&lane, 410));
    let (life, spans, official, confirmed) = (1, Vec::new(), Lsn(0), None);
    let records = Records { term: TERM, life, spans, official, confirmed };
    lane.on_records(200, NodeId(1), &records, &[], &mut Vec::new());
    assert!(!misses(&lane, 1_199) && misses(&lane, 1_200));
}

#[test]
fn a_server_whose_records_are_gone_is_seen_but_never_needed() {
    let mut lane = follower();
    lane.on_reseed(Term { since: Epoch(9), ..TERM }, &mut Vec::new());
    assert!(!lane.needs_reseed());
    lane.on_reseed(TERM, &mut Vec::new());
    assert!(lane.needs_reseed());
    assert_eq!(lane.poll_timeout(), Some(1_010), "it pulls now and then");
    let mut lane = leader();
    pull(&mut lane, 2, TERM, 1);
    pull(&mut lane, 3, TERM, 0);
    lane.on_gone(TERM, NodeId(3));
    lane.append(6, false, &mut Vec::new());
    pull(&mut lane, 2, TERM, 2);
    let needed = lane.follower_status(6)[1];
    assert!(needed.needs_reseed);
    match lane.role() {
        Role::Leading(leading) if needed.standing == Standing::Returning => {
            assert_eq!(leading.silent(6), Some(NodeId(3)), "the register ends that it is needed");
        }
        other => panic!("it was needed before its records were missed, not {other:?}"),
    }
}

#[test]
fn a_returning_server_is_confirmed_when_durable_what_had_to_be_durable() {
    let mut lane = leader();
    pull(&mut lane, 2, TERM, 1);
    let confirmed = |lane: &mut LaneReplica, durable| {
        let have = vec![Position { epoch: Epoch(1), lsn: lane.last().lsn }];
        let (written, durable) = (lane.last().lsn, Lsn(durable));
        let mut actions = Vec::new();
        let pull = Pull { term: TERM, life: 1, have, written, durable, leaving: false };
        lane.on_pull(5, NodeId(3), pull, Epoch(2), &mut actions);
        lane.on_timeout(500, &mut actions);
        actions.into_iter().rev().find_map(|action| match action {
            Action::Send(NodeId(3), Message::Records(records)) => records.confirmed,
            _ => None,
        })
    };
    assert_eq!(confirmed(&mut lane, 0), None, "the stream's first record has to be durable");
    assert_eq!(confirmed(&mut lane, 1), Some(Epoch(2)));
    lane.append(6, false, &mut Vec::new());
    pull(&mut lane, 2, TERM, 2);
    assert_eq!(confirmed(&mut lane, 1), Some(Epoch(2)), "this one need not be durable");
}

#[test]
fn a_returning_server_makes_durable_what_was_written_before_it_is_needed() {
    let mut lane = leader();
    pull(&mut lane, 2, TERM, 1);
    assert!(lane.append_run(6, Lsn(2), &[false; 4], &mut Vec::new()));
    pull(&mut lane, 2, TERM, 5);
    let confirmed = |lane: &mut LaneReplica, durable| {
        let have = vec![Position { epoch: Epoch(1), lsn: Lsn(5) }];
        let (written, durable) = (Lsn(5), Lsn(durable));
        let pull = Pull { term: TERM, life: 1, have, written, durable, leaving: false };
        let mut actions = Vec::new();
        lane.on_pull(5, NodeId(3), pull, Epoch(2), &mut actions);
        lane.on_timeout(500, &mut actions);
        actions.into_iter().rev().find_map(|action| match action {
            Action::Send(NodeId(3), Message::Records(records)) => records.confirmed,
            _ => None,
        })
    };
    assert_eq!(confirmed(&mut lane, 1), None, "what it missed may be old");
    assert_eq!(confirmed(&mut lane, 5), Some(Epoch(2)));
}

#[test]
fn who_lost_power_has_caught_up_when_it_is_durable() {
    let me = Identity { node: NodeId(2), life: 1, rules: Rules::default() };
    let start = LaneStart { amnesiac: true, ..LaneStart::default() };
    let mut lane = LaneReplica::start(LANE, me, start);
    lane.on_register(0, &register(), &mut Vec::new());
    let at = |lsn| Position { epoch: Epoch(1), lsn: Lsn(lsn) };
    let heads = [Head { at: at(1), ends: Some(Vec::new()) }, Head { at: at(2), ends: None }];
    let spans = vec![Span { epoch: Epoch(1), first: Lsn(1), last: Lsn(2) }];
    let records = Records { term: TERM, life: 1, spans, official: Lsn(2), confirmed: None };
    lane.on_records(1, NodeId(1), &records, &heads, &mut Vec::new());
    assert!(lane.is_amnesiac(), "it is in the kernel only");
    lane.on_durable(2, at(1), &mut Vec::new());
    assert!(lane.is_amnesiac());
    let mut actions = Vec::new();
    lane.on_durable(3, at(2), &mut actions);
    assert!(!lane.is_amnesiac() && actions.contains(&Action::CaughtUp(LANE)));
}
