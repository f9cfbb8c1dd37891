//! A voter: keeps its part of the groups' registers and grants leases (guarantees 3).
//!
//! A lane is taken from a leader only after its lease ended here, or with its consent. What was
//! granted is not durable, so a restarted voter takes no lane from a leader for one lease time.
//! Everything else is: each answer is pushed behind the [`Action::StoreSlot`] it depends on.

use std::collections::BTreeMap;

use common::ids::{Epoch, LogicGroup, NodeId, ServerIndex};

use super::ballot::Ballot;
use super::grants::{Grants, blocked_ms};
use super::value::{Register, VoterGeneration};
use crate::replication::action::Action;
use crate::replication::message::{Message, RegisterMessage, Term};
use crate::replication::rules::Rules;
use crate::replication::timing::LEASE_VOTER_MS;

/// A voter's durable state of one group. Never deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    /// No smaller ballot is answered.
    pub promised: Ballot,
    /// The last accepted value with its ballot.
    pub accepted: Option<(Ballot, Register)>,
    /// The greatest value known to be chosen.
    pub chosen: Option<Register>,
}

impl Slot {
    /// What a voter of a new set begins with: what the old set may have agreed on. That is, of all
    /// that a majority of the old voters had accepted (of those that are lost for good what the
    /// servers acted on counts), the value of the greatest ballot; nobody of the old set may vote
    /// any more when it is looked for (`common::agreed`). Its ballot is below all real ones, which begin with round 1:
    /// with one of the old set's a voter that begins late could hide what was agreed on meanwhile.
    #[must_use]
    pub fn first(generation: VoterGeneration, register: Register) -> Self {
        let value = Register { generation, ..register };
        let ballot = Ballot { round: 0, node: NodeId(0), life: value.epoch.0 };
        Self { promised: ballot, accepted: Some((ballot, value)), chosen: None }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Voter {
    /// `None`: blank, not admitted to any voter set; it never votes.
    generation: Option<VoterGeneration>,
    started_ms: u64,
    slots: BTreeMap<LogicGroup, Slot>,
    grants: Grants,
    rules: Rules,
}

impl Voter {
    /// A voter that starts at `now_ms` with its durable state. Without a generation it is blank.
    #[must_use]
    pub fn start(
        now_ms: u64,
        generation: Option<VoterGeneration>,
        slots: BTreeMap<LogicGroup, Slot>,
        rules: Rules,
    ) -> Self {
        Self { generation, started_ms: now_ms, slots, grants: Grants::default(), rules }
    }

    /// The voter set this voter belongs to; the driver refuses messages of a lower one.
    #[must_use]
    pub fn generation(&self) -> Option<VoterGeneration> {
        self.generation
    }

    /// The state of a group, for status and checkers.
    #[must_use]
    pub fn slot(&self, group: LogicGroup) -> Option<&Slot> {
        self.slots.get(&group)
    }

    /// A round's step arrived from a proposer of this voter's generation.
    pub fn on_register(
        &mut self,
        now_ms: u64,
        from: NodeId,
        (group, ballot): (LogicGroup, Ballot),
        step: RegisterMessage,
        actions: &mut Vec<Action>,
    ) {
        if self.generation.is_none() {
            return;
        }
        let answer = match step {
            RegisterMessage::Prepare => self.on_prepare(now_ms, group, ballot, actions),
            RegisterMessage::Accept { value, consent } => {
                if Some(value.generation) != self.generation {
                    return;
                }
                self.on_accept(now_ms, (group, ballot), value, &consent, actions)
            }
            RegisterMessage::Chosen { value } => {
                return self.on_chosen(ballot, value, actions);
            }
            RegisterMessage::Promised { .. }
            | RegisterMessage::Outbid { .. }
            | RegisterMessage::Accepted
            | RegisterMessage::LeaseRuns { .. } => return,
        };
        actions.push(Action::Send(from, Message::Register { group, ballot, step: answer }));
    }

    /// A node asks for the leases of its lanes.
    pub fn on_renew(
        &mut self,
        now_ms: u64,
        from: NodeId,
        sent_ms: u64,
        terms: &[Term],
        actions: &mut Vec<Action>,
    ) {
        if self.generation.is_none() {
            return;
        }
        let (granted, refused): (Vec<Term>, Vec<Term>) =
            terms.iter().copied().partition(|term| self.may_grant(from, *term));
        self.grants.expire(now_ms);
        for term in &granted {
            self.grants.grant(now_ms, term.lane, term.since);
        }
        actions.push(Action::Send(from, Message::Granted { sent_ms, granted, refused }));
    }

    /// A node asks for a register newer than the one it knows.
    pub fn on_ask(&self, from: NodeId, group: LogicGroup, known: Epoch, actions: &mut Vec<Action>) {
        let chosen = self.slots.get(&group).and_then(|slot| slot.chosen.as_ref());
        if let Some(value) = chosen.filter(|value| value.epoch > known) {
            actions.push(Action::Send(from, Message::TellRegister { value: value.clone() }));
        }
    }

    fn on_prepare(
        &mut self,
        now_ms: u64,
        group: LogicGroup,
        ballot: Ballot,
        actions: &mut Vec<Action>,
    ) -> RegisterMessage {
        let slot = self.slots.entry(group).or_default();
        if slot.promised > ballot {
            return RegisterMessage::Outbid { promised: slot.promised };
        }
        if slot.promised < ballot {
            slot.promised = ballot;
            actions.push(Action::StoreSlot(group, slot.clone()));
        }
        RegisterMessage::Promised {
            accepted: slot.accepted.clone(),
            leases: if self.rules.takeover_waits_for_lease {
                self.grants.running(now_ms, group)
            } else {
                Vec::new()
            },
        }
    }

    fn on_accept(
        &mut self,
        now_ms: u64,
        (group, ballot): (LogicGroup, Ballot),
        value: Register,
        consent: &[(ServerIndex, Epoch)],
        actions: &mut Vec<Action>,
    ) -> RegisterMessage {
        let slot = self.slots.entry(group).or_default();
        if slot.promised > ballot {
            return RegisterMessage::Outbid { promised: slot.promised };
        }
        for (lane, since) in consent {
            self.grants.give_up(value.lane(*lane), *since);
        }
        let granted_ms = blocked_ms(&self.grants.running(now_ms, group), &value);
        let restart_ms = (self.started_ms + LEASE_VOTER_MS).saturating_sub(now_ms);
        let restart_ms = if takes_lane(slot, &value, consent) { restart_ms } else { 0 };
        let remaining_ms = granted_ms.max(restart_ms);
        if remaining_ms > 0 && self.rules.takeover_waits_for_lease {
            return RegisterMessage::LeaseRuns { remaining_ms };
        }
        slot.promised = ballot;
        slot.accepted = Some((ballot, value));
        actions.push(Action::StoreSlot(group, slot.clone()));
        RegisterMessage::Accepted
    }

    /// A value was chosen: it may be handed out, and counts as accepted if no later ballot forbids.
    fn on_chosen(&mut self, ballot: Ballot, value: Register, actions: &mut Vec<Action>) {
        let group = value.group;
        let slot = self.slots.entry(group).or_default();
        let before = slot.clone();
        if slot.promised <= ballot && slot.accepted.as_ref().is_none_or(|(b, _)| *b < ballot) {
            slot.promised = ballot;
            slot.accepted = Some((ballot, value.clone()));
        }
        if slot.chosen.as_ref().is_none_or(|chosen| chosen.epoch < value.epoch) {
            slot.chosen = Some(value);
        }
        if *slot != before {
            actions.push(Action::StoreSlot(group, slot.clone()));
        }
    }

    /// A term is granted while nothing accepted or chosen here ends it, and something names it.
    fn may_grant(&self, from: NodeId, term: Term) -> bool {
        let Some(slot) = self.slots.get(&term.lane.group) else {
            return false;
        };
        let mut known = false;
        for value in known_values(slot) {
            let Some(leader) = value.leader(term.lane.server) else {
                return false;
            };
            let named = leader.since == term.since && leader.node == from;
            known |= named;
            if leader.since > term.since || (named && value.leaving == Some(from)) {
                return false;
            }
        }
        known
    }
}

fn known_values(slot: &Slot) -> impl Iterator<Item = &Register> {
    slot.accepted.iter().map(|(_, value)| value).chain(&slot.chosen)
}

/// Whether `value` gives a lane to another term than the ones that this voter may have granted.
fn takes_lane(slot: &Slot, value: &Register, consent: &[(ServerIndex, Epoch)]) -> bool {
    known_values(slot).any(|old| {
        old.leaders().any(|(lane, leader)| {
            let kept = value.leader(lane).is_some_and(|new| new.since == leader.since);
            !kept && !consent.contains(&(lane, leader.since))
        })
    })
}

#[cfg(test)]
#[path = "voter_tests.rs"]
mod tests;
