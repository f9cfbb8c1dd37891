use common::ids::{Lane, StoreId};

use super::super::{Change, Member};
use super::*;

const GROUP: LogicGroup = LogicGroup(0);
const LANE: Lane = Lane { group: GROUP, server: ServerIndex(0) };

fn ballot(round: u64) -> Ballot {
    Ballot { round, node: NodeId(2), life: 1 }
}

fn created() -> Register {
    let server = |n| Member { node: NodeId(n), store: StoreId(u128::from(n)) };
    let servers = vec![server(1), server(2)];
    let change = Change::Create { group: GROUP, generation: VoterGeneration(1), servers };
    change.apply(None).expect("an empty register is created")
}

fn taken() -> Register {
    let change = Change::TakeOver { silent: NodeId(1), by: NodeId(2) };
    change.apply(Some(&created())).expect("both are in step")
}

fn voter(now_ms: u64) -> Voter {
    let slot = Slot { accepted: Some((ballot(1), created())), ..Slot::default() };
    let slots = BTreeMap::from([(GROUP, slot)]);
    Voter::start(now_ms, Some(VoterGeneration(1)), slots, Rules::default())
}

fn accept(voter: &mut Voter, now_ms: u64, round: u64, consent: &[Epoch]) -> RegisterMessage {
    let consent = consent.iter().map(|since| (ServerIndex(0), *since)).collect();
    let step = RegisterMessage::Accept { value: taken(), consent };
    let mut actions = Vec::new();
    voter.on_register(now_ms, NodeId(2), (GROUP, ballot(round)), step, &mut actions);
    match actions.pop() {
        Some(Action::Send(_, Message::Register { step, .. })) => step,
        other => panic!("an answer comes last, not {other:?}"),
    }
}

fn renew(voter: &mut Voter, now_ms: u64, node: u32, since: u64) -> bool {
    let term = Term { lane: LANE, since: Epoch(since) };
    let mut actions = Vec::new();
    voter.on_renew(now_ms, NodeId(node), 5, &[term], &mut actions);
    match actions.pop() {
        Some(Action::Send(_, Message::Granted { granted, .. })) => granted == [term],
        other => panic!("a renewal is answered, not with {other:?}"),
    }
}

#[test]
fn a_lane_is_taken_only_after_its_lease_ended_here_and_is_not_renewed_then() {
    let mut voter = voter(0);
    assert!(renew(&mut voter, 10_000, 1, 1));
    let runs = RegisterMessage::LeaseRuns { remaining_ms: 600 };
    assert_eq!(accept(&mut voter, 10_900, 2, &[]), runs);
    assert_eq!(accept(&mut voter, 11_500, 2, &[]), RegisterMessage::Accepted);
    assert!(!renew(&mut voter, 11_501, 1, 1), "the term is over");
    assert!(renew(&mut voter, 11_501, 2, 2));
}

#[test]
fn with_the_leaders_consent_a_lane_is_taken_at_once() {
    let mut voter = voter(0);
    assert!(renew(&mut voter, 10_000, 1, 1));
    assert_eq!(accept(&mut voter, 10_001, 2, &[Epoch(1)]), RegisterMessage::Accepted);
}

#[test]
fn a_restarted_voter_takes_no_lane_for_one_lease_time() {
    let mut voter = voter(10_000);
    let runs = RegisterMessage::LeaseRuns { remaining_ms: 1_400 };
    assert_eq!(accept(&mut voter, 10_100, 2, &[]), runs);
    assert_eq!(accept(&mut voter, 11_500, 2, &[]), RegisterMessage::Accepted);
}

#[test]
fn a_server_marked_as_leaving_gets_no_lease() {
    let marked = Change::Mark { leaving: NodeId(1) }.apply(Some(&created()));
    let value = marked.expect("nobody is marked");
    let mut voter = voter(0);
    let mut actions = Vec::new();
    voter.on_chosen(ballot(2), value, &mut actions);
    assert!(!renew(&mut voter, 10_000, 1, 1));
    let term = Term { lane: Lane { server: ServerIndex(1), ..LANE }, since: Epoch(1) };
    assert!(voter.may_grant(NodeId(2), term), "others go on (I17)");
}

#[test]
fn a_blank_voter_never_votes() {
    let mut voter = Voter::start(0, None, BTreeMap::new(), Rules::default());
    let mut actions = Vec::new();
    let ballot = (GROUP, ballot(1));
    voter.on_register(10_000, NodeId(2), ballot, RegisterMessage::Prepare, &mut actions);
    voter.on_renew(10_000, NodeId(2), 5, &[], &mut actions);
    assert!(actions.is_empty());
}

#[test]
fn what_a_new_set_begins_with_gives_way_to_the_first_value_it_agrees_on() {
    let generation = VoterGeneration(2);
    let first = Slot::first(generation, created());
    let slots = BTreeMap::from([(GROUP, first.clone())]);
    let mut voter = Voter::start(0, Some(generation), slots, Rules::default());
    let value = Register { generation, ..taken() };
    let step = RegisterMessage::Accept { value: value.clone(), consent: Vec::new() };
    let late = LEASE_VOTER_MS;
    voter.on_register(late, NodeId(2), (GROUP, ballot(1)), step, &mut Vec::new());
    let found = [first.accepted, voter.slot(GROUP).and_then(|slot| slot.accepted.clone())];
    let greatest = found.into_iter().flatten().max_by_key(|(ballot, _)| *ballot);
    assert_eq!(greatest, Some((ballot(1), value)));
}
