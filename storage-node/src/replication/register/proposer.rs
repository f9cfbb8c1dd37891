//! A proposer of one group's register: one round at a time, a read or a compare-and-set.
//!
//! A round promises a ballot at a majority, takes the value of the greatest accepted ballot, changes
//! it if it has the expected epoch (otherwise it is written back as it is, which settles whether it
//! was chosen), and has it accepted by a majority.

use common::ids::{Epoch, LogicGroup, NodeId, ServerIndex};

use super::ballot::Ballot;
use super::change::Change;
use super::grants::blocked_ms;
use super::value::{Register, VoterSet};
use crate::replication::action::Action;
use crate::replication::message::{Message, RegisterMessage, RunningLease};
use crate::replication::timing::{LEASE_VOTER_MS, ROUND_MS};

/// What a round is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Goal {
    /// To know the value.
    Read,
    /// To change it.
    Change {
        /// The epoch the change was decided at; 0 for the creation.
        expected: Epoch,
        /// The change.
        change: Change,
        /// Terms that the asker gave up for it.
        consent: Vec<(ServerIndex, Epoch)>,
    },
}

/// How a round went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// This value is the agreed one.
    Chosen {
        /// The value.
        value: Register,
        /// Whether it holds this round's change.
        changed: bool,
    },
    /// The value found takes these lanes from this node, which still leads them: it has to stop
    /// serving them now, as its consent is sent with the value.
    Lost(Vec<(ServerIndex, Epoch)>),
    /// The change takes lanes whose leases run for so long; it is given up.
    LeaseRuns(u64),
    /// Nothing is agreed on: the group was never created.
    Unknown,
    /// No majority in time, or outbid. Whether it changed anything is open.
    Failed,
}

#[derive(Clone, Debug)]
struct Vote {
    node: NodeId,
    accepted: Option<(Ballot, Register)>,
    leases: Vec<RunningLease>,
}

#[derive(Clone, Debug)]
enum Phase {
    Preparing(Vec<Vote>),
    Accepting {
        value: Register,
        changed: bool,
        consent: Vec<(ServerIndex, Epoch)>,
        by: Vec<NodeId>,
        again_ms: u64,
        /// Leases that run longer are being renewed: then it is not a matter of waiting.
        until_ms: u64,
    },
}

#[derive(Clone, Debug)]
struct Round {
    ballot: Ballot,
    goal: Goal,
    phase: Phase,
    ends_ms: u64,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Proposer {
    group: LogicGroup,
    set: VoterSet,
    last: Ballot,
    round: Option<Round>,
}

impl Proposer {
    /// A proposer on `node` in its process start `life`, for this set of voters.
    #[must_use]
    pub fn new(group: LogicGroup, node: NodeId, life: u64, set: VoterSet) -> Self {
        Self { group, set, last: Ballot { round: 0, node, life }, round: None }
    }

    /// The voters in force.
    #[must_use]
    pub fn voters(&self) -> &VoterSet {
        &self.set
    }

    /// A newer voter set came into force: the round is given up, its outcome is open. Says whether
    /// the set is newer.
    pub fn set_voters(&mut self, set: VoterSet) -> bool {
        let newer = set.generation > self.set.generation;
        if newer {
            (self.set, self.round) = (set, None);
        }
        newer
    }

    /// Whether a round is under way.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.round.is_some()
    }

    /// When [`Self::on_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        self.round.as_ref().map(|round| match &round.phase {
            Phase::Preparing(_) => round.ends_ms,
            Phase::Accepting { again_ms, .. } => round.ends_ms.min(*again_ms),
        })
    }

    /// Begins a round; one that was under way is given up.
    pub fn start(&mut self, now_ms: u64, goal: Goal, actions: &mut Vec<Action>) {
        self.last.round += 1;
        let ballot = self.last;
        let phase = Phase::Preparing(Vec::new());
        self.round = Some(Round { ballot, goal, phase, ends_ms: now_ms + ROUND_MS });
        self.send(ballot, &RegisterMessage::Prepare, actions);
    }

    /// Time passed.
    pub fn on_timeout(&mut self, now_ms: u64, actions: &mut Vec<Action>) -> Option<Outcome> {
        let round = self.round.as_mut()?;
        if now_ms >= round.ends_ms {
            self.round = None;
            return Some(Outcome::Failed);
        }
        let ballot = round.ballot;
        if let Phase::Accepting { value, consent, again_ms, .. } = &mut round.phase
            && now_ms >= *again_ms
        {
            *again_ms = now_ms + ROUND_MS;
            let step = RegisterMessage::Accept { value: value.clone(), consent: consent.clone() };
            self.send(ballot, &step, actions);
        }
        None
    }

    /// A voter answered. `leading` are the terms in which this node serves lanes of the group.
    pub fn on_answer(
        &mut self,
        now_ms: u64,
        (from, ballot): (NodeId, Ballot),
        step: RegisterMessage,
        leading: &[(ServerIndex, Epoch)],
        actions: &mut Vec<Action>,
    ) -> Vec<Outcome> {
        let voters = self.set.voters.len();
        let round = self.round.as_mut().filter(|round| round.ballot == ballot);
        let Some(round) = round.filter(|_| self.set.voters.contains(&from)) else {
            return Vec::new();
        };
        match (step, &mut round.phase) {
            (RegisterMessage::Promised { accepted, leases }, Phase::Preparing(votes)) => {
                if votes.iter().all(|vote| vote.node != from) {
                    votes.push(Vote { node: from, accepted, leases });
                }
                if votes.len() > voters / 2 {
                    return self.propose(now_ms, leading, actions);
                }
                Vec::new()
            }
            (RegisterMessage::Accepted, Phase::Accepting { value, changed, by, .. }) => {
                if !by.contains(&from) {
                    by.push(from);
                }
                if by.len() <= voters / 2 {
                    return Vec::new();
                }
                let (value, changed) = (value.clone(), *changed);
                self.round = None;
                self.send(ballot, &RegisterMessage::Chosen { value: value.clone() }, actions);
                vec![Outcome::Chosen { value, changed }]
            }
            (
                RegisterMessage::LeaseRuns { remaining_ms },
                Phase::Accepting { again_ms, until_ms, .. },
            ) => {
                if now_ms + remaining_ms > *until_ms {
                    self.round = None;
                    return vec![Outcome::LeaseRuns(remaining_ms)];
                }
                *again_ms = (*again_ms).min(now_ms + remaining_ms.max(1));
                round.ends_ms = round.ends_ms.max(now_ms + remaining_ms + ROUND_MS);
                Vec::new()
            }
            (RegisterMessage::Outbid { promised }, _) => {
                self.last.round = self.last.round.max(promised.round);
                self.round = None;
                vec![Outcome::Failed]
            }
            _ => Vec::new(),
        }
    }

    /// A majority promised: choose the value and ask for its acceptance.
    fn propose(
        &mut self,
        now_ms: u64,
        leading: &[(ServerIndex, Epoch)],
        actions: &mut Vec<Action>,
    ) -> Vec<Outcome> {
        let Some(round) = self.round.take() else {
            return Vec::new();
        };
        let Phase::Preparing(votes) = round.phase else {
            return Vec::new();
        };
        let found = votes.iter().filter_map(|vote| vote.accepted.as_ref());
        let found = found.max_by_key(|(ballot, _)| *ballot).map(|(_, value)| value);
        let epoch = found.map_or(Epoch(0), |value| value.epoch);
        let (changed, mut consent) = match &round.goal {
            Goal::Change { expected, change, consent } if *expected == epoch => {
                (change.apply(found).ok(), consent.clone())
            }
            _ => (None, Vec::new()),
        };
        if let Some(value) = &changed {
            let blocked = |vote: &Vote| {
                let running = vote.leases.iter().filter(|l| !consent.contains(&(l.lane, l.since)));
                blocked_ms(&running.copied().collect::<Vec<_>>(), value)
            };
            let remaining_ms = votes.iter().map(blocked).max().unwrap_or(0);
            if remaining_ms > 0 {
                return vec![Outcome::LeaseRuns(remaining_ms)];
            }
        }
        let is_change = changed.is_some();
        let Some(mut value) = changed.or_else(|| found.cloned()) else {
            return vec![Outcome::Unknown];
        };
        // Whose voters are of an older generation than the value gets no further.
        if value.generation > self.set.generation {
            return vec![Outcome::Failed];
        }
        value.generation = self.set.generation;
        let lost: Vec<_> = (leading.iter().copied())
            .filter(|(lane, since)| value.leader(*lane).is_none_or(|l| l.since != *since))
            .filter(|term| !consent.contains(term))
            .collect();
        consent.extend(&lost);
        let step = RegisterMessage::Accept { value: value.clone(), consent: consent.clone() };
        self.send(round.ballot, &step, actions);
        let (by, again_ms) = (Vec::new(), now_ms + ROUND_MS);
        let until_ms = now_ms + LEASE_VOTER_MS + ROUND_MS;
        let changed = is_change;
        let phase = Phase::Accepting { value, changed, consent, by, again_ms, until_ms };
        let ends_ms = now_ms + ROUND_MS;
        self.round = Some(Round { phase, ends_ms, ..round });
        if lost.is_empty() { Vec::new() } else { vec![Outcome::Lost(lost)] }
    }

    fn send(&self, ballot: Ballot, step: &RegisterMessage, actions: &mut Vec<Action>) {
        let group = self.group;
        for voter in &self.set.voters {
            let message = Message::Register { group, ballot, step: step.clone() };
            actions.push(Action::Send(*voter, message));
        }
    }
}

#[cfg(test)]
#[path = "proposer_tests.rs"]
mod tests;
