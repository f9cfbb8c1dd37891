//! The register's consensus on a small configuration, in every order of its messages: three voters,
//! two proposers that want different changes of the same epoch, rounds that are given up and begun
//! again. A message may arrive at any time or never.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{Hash, Hasher};

use common::ids::{Epoch, LogicGroup, NodeId, ServerIndex, StoreId};
use storage_node::replication::action::Action;
use storage_node::replication::message::{Message, RegisterMessage};
use storage_node::replication::register::proposer::{Goal, Outcome};
use storage_node::replication::register::voter::Slot;
use storage_node::replication::register::{
    Ballot, Change, Member, Proposer, Register, Voter, VoterGeneration, VoterSet,
};
use storage_node::replication::rules::Rules;

const GROUP: LogicGroup = LogicGroup(0);
const NOW_MS: u64 = 1_000_000;

/// From, to, ballot, step.
type Flying = (NodeId, NodeId, Ballot, RegisterMessage);

#[derive(Clone)]
struct State {
    voters: Vec<Voter>,
    proposers: Vec<Proposer>,
    /// Rounds that each proposer may still give up.
    restarts: Vec<u32>,
    flying: BTreeSet<Flying>,
    /// Who ever accepted what under which ballot.
    accepted: BTreeMap<(Ballot, Register), BTreeSet<NodeId>>,
    changed: BTreeSet<(NodeId, Epoch)>,
    /// Each proposer's present ballot, and whether it asks for acceptance already.
    rounds: Vec<(Ballot, bool)>,
}

fn voter_ids() -> Vec<NodeId> {
    vec![NodeId(1), NodeId(2), NodeId(3)]
}

fn voters() -> VoterSet {
    VoterSet { generation: VoterGeneration(1), voters: voter_ids() }
}

fn proposer_id(index: usize) -> NodeId {
    NodeId(11 + u32::try_from(index).expect("small"))
}

fn proposer_index(id: NodeId) -> Option<usize> {
    let index = id.0.checked_sub(11)?;
    Some(usize::try_from(index).expect("small"))
}

fn first() -> Register {
    let server = |n| Member { node: NodeId(n), store: StoreId(u128::from(n)) };
    let servers = vec![server(11), server(12)];
    let (group, generation) = (GROUP, VoterGeneration(1));
    Change::Create { group, generation, servers }.apply(None).expect("an empty register is created")
}

fn goal(index: usize) -> Goal {
    let change = Change::Lead { lane: ServerIndex(0), by: proposer_id(index) };
    Goal::Change { expected: Epoch(1), change, consent: Vec::new() }
}

impl State {
    fn start(restarts: Vec<u32>) -> Self {
        let ballot = Ballot { round: 1, node: NodeId(9), life: 1 };
        let slot =
            Slot { promised: ballot, accepted: Some((ballot, first())), chosen: Some(first()) };
        let slots = BTreeMap::from([(GROUP, slot)]);
        let generation = Some(VoterGeneration(1));
        let voter = |_| Voter::start(0, generation, slots.clone(), Rules::default());
        let proposer = |index| Proposer::new(GROUP, proposer_id(index), 1, voters());
        let restarts_len = restarts.len();
        let mut state = Self {
            voters: voter_ids().iter().map(voter).collect(),
            proposers: (0..restarts.len()).map(proposer).collect(),
            restarts,
            flying: BTreeSet::new(),
            accepted: BTreeMap::from([((ballot, first()), voter_ids().into_iter().collect())]),
            changed: BTreeSet::new(),
            rounds: vec![(ballot, false); restarts_len],
        };
        for index in 0..state.proposers.len() {
            state.begin(index);
        }
        state
    }

    fn begin(&mut self, index: usize) {
        let mut actions = Vec::new();
        self.proposers[index].start(NOW_MS, goal(index), &mut actions);
        self.send(proposer_id(index), actions);
    }

    fn send(&mut self, from: NodeId, actions: Vec<Action>) {
        for action in actions {
            if let Action::Send(to, Message::Register { ballot, step, .. }) = action {
                if let Some(index) = proposer_index(from) {
                    let accepting = matches!(step, RegisterMessage::Accept { .. });
                    self.rounds[index] = (ballot, accepting);
                }
                // What was chosen is only told; leaving it out keeps the search small.
                if !matches!(step, RegisterMessage::Chosen { .. }) {
                    self.flying.insert((from, to, ballot, step));
                }
            }
        }
    }

    fn deliver(&mut self, flying: &Flying) {
        self.flying.remove(flying);
        let (from, to, ballot, step) = flying.clone();
        let mut actions = Vec::new();
        if let Some(index) = voter_ids().iter().position(|id| *id == to) {
            let value = match &step {
                RegisterMessage::Accept { value, .. } => Some(value.clone()),
                _ => None,
            };
            self.voters[index].on_register(NOW_MS, from, (GROUP, ballot), step, &mut actions);
            let took = |a: &Action| {
                matches!(
                    a,
                    Action::Send(_, Message::Register { step: RegisterMessage::Accepted, .. })
                )
            };
            if let Some(value) = value.filter(|_| actions.iter().any(took)) {
                self.accepted.entry((ballot, value)).or_default().insert(to);
            }
        } else {
            let index = proposer_index(to).expect("who is no voter is a proposer");
            let outcomes =
                self.proposers[index].on_answer(NOW_MS, (from, ballot), step, &[], &mut actions);
            for outcome in outcomes {
                match outcome {
                    Outcome::Chosen { value, changed: true } => {
                        self.changed.insert((to, value.epoch));
                    }
                    Outcome::Failed if self.restarts[index] > 0 => {
                        self.restarts[index] -= 1;
                        self.begin(index);
                    }
                    _ => {}
                }
            }
        }
        self.send(to, actions);
        self.drop_ignored();
    }

    /// Answers that their proposer ignores, now and for ever, need no order of their own.
    fn drop_ignored(&mut self) {
        let (proposers, rounds) = (&self.proposers, &self.rounds);
        self.flying.retain(|(_, to, ballot, step)| {
            let Some(index) = proposer_index(*to) else { return true };
            let (current, accepting) = rounds[index];
            let late = accepting && matches!(step, RegisterMessage::Promised { .. });
            proposers[index].is_busy() && current == *ballot && !late
        });
    }

    fn check(&self) {
        let mut chosen: BTreeMap<Epoch, BTreeSet<&Register>> = BTreeMap::new();
        for ((_, value), by) in self.accepted.iter().filter(|(_, by)| by.len() >= 2) {
            assert!(by.len() <= 3);
            chosen.entry(value.epoch).or_default().insert(value);
        }
        for (epoch, values) in chosen {
            assert_eq!(values.len(), 1, "{epoch} has two agreed values: {values:#?}");
        }
        let winners: BTreeSet<_> = self.changed.iter().map(|(node, _)| node).collect();
        assert!(winners.len() <= 1, "two changes of one epoch won: {:?}", self.changed);
    }

    fn key(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for voter in &self.voters {
            voter.slot(GROUP).hash(&mut hasher);
        }
        self.flying.hash(&mut hasher);
        self.restarts.hash(&mut hasher);
        self.accepted.hash(&mut hasher);
        self.changed.hash(&mut hasher);
        format!("{:?}", self.proposers).hash(&mut hasher);
        hasher.finish()
    }
}

/// Every state that can be reached, at most so many. Says how many there were.
fn search(start: State, states_max: usize) -> usize {
    let mut seen = HashSet::from([start.key()]);
    let mut open = vec![start];
    while let Some(state) = open.pop() {
        state.check();
        for flying in state.flying.clone() {
            let mut next = state.clone();
            next.deliver(&flying);
            if seen.len() < states_max && seen.insert(next.key()) {
                open.push(next);
            }
        }
    }
    seen.len()
}

#[test]
fn two_changes_of_one_epoch_never_both_win_in_any_order_of_messages() {
    let states = search(State::start(vec![0, 0]), usize::MAX);
    assert!(states > 50_000, "{states} states are not all of them");
}

#[test]
fn rounds_that_are_begun_again_settle_what_an_outbid_round_left_open() {
    let states = search(State::start(vec![1, 0]), 100_000);
    assert!(states > 90_000, "{states} states are not all of them");
}
