use super::*;
use crate::replication::register::{Member, VoterGeneration};

const GROUP: LogicGroup = LogicGroup(0);

fn register() -> Register {
    let server = |n| Member { node: NodeId(n), store: common::ids::StoreId(u128::from(n)) };
    let servers = vec![server(1), server(2)];
    let create = Change::Create { group: GROUP, generation: VoterGeneration(1), servers };
    create.apply(None).expect("an empty register is created")
}

#[test]
fn a_round_waits_for_a_lease_to_end_but_not_for_one_that_is_renewed() {
    let voters = vec![NodeId(1), NodeId(2), NodeId(3)];
    let set = VoterSet { generation: VoterGeneration(1), voters };
    let mut proposer = Proposer::new(GROUP, NodeId(2), 1, set);
    let change = Change::TakeOver { silent: NodeId(1), by: NodeId(2) };
    let goal = Goal::Change { expected: Epoch(1), change, consent: Vec::new() };
    let mut actions = Vec::new();
    proposer.start(0, goal, &mut actions);
    let ballot = Ballot { round: 1, node: NodeId(2), life: 1 };
    let promised = RegisterMessage::Promised {
        accepted: Some((Ballot::default(), register())),
        leases: Vec::new(),
    };
    for voter in [NodeId(2), NodeId(3)] {
        proposer.on_answer(0, (voter, ballot), promised.clone(), &[], &mut actions);
    }
    let mut refuse = |now_ms, remaining_ms| {
        let step = RegisterMessage::LeaseRuns { remaining_ms };
        let outcome = proposer.on_answer(now_ms, (NodeId(3), ballot), step, &[], &mut actions);
        assert_eq!(proposer.on_timeout(now_ms, &mut actions), None);
        outcome
    };
    assert_eq!(refuse(1, 1_500), []);
    assert_eq!(refuse(800, 1_100), []);
    assert_eq!(refuse(1_200, 1_500), [Outcome::LeaseRuns(1_500)], "it was renewed");
    assert!(!proposer.is_busy());
}
