//! Which voter set counts (guarantees 1, the row on one voter), and the voter that belongs to it.
//!
//! Plain state: what is to become durable is returned as [`Change`]s, and nothing may be told to
//! anybody before it is. Invariant: the known generation is at least the admitted one.

use std::collections::{BTreeMap, BTreeSet};

use common::agreed::KnownRegister;
use common::ids::{LogicGroup, NodeId, VoterGeneration};
use common::register::{Register, VoterSet};
use common::wire::views::Views;
use thiserror::Error;

use super::kept::{Change, Kept};
use crate::replication::action::Action;
use crate::replication::message::Message;
use crate::replication::register::Voter;
use crate::replication::register::voter::Slot;
use crate::replication::rules::Rules;

/// Why a node is not made a voter. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AdmitRefused {
    /// No set that can vote.
    #[error("{0} is no voter set: it needs a generation from 1 on and voters, none of them twice")]
    NoSet(VoterGeneration),
    /// The node is not in the set.
    #[error("{0} does not contain this server; admit its own voters")]
    NotAVoter(VoterGeneration),
    /// A set of the same or a greater generation is in force.
    #[error(
        "{known} is known here already, and not with these voters; use a generation greater than \
         {known}"
    )]
    Outdated {
        /// The generation known here.
        known: VoterGeneration,
    },
    /// Two registers of one group.
    #[error("{0} is given twice; give each group once")]
    Twice(LogicGroup),
    /// This voter knows more than the registers it was given.
    #[error(
        "{group} has a newer register here than the one that was given; tell the new voter set to \
         all servers, collect their views again, then admit the voters with the newest registers"
    )]
    Newer {
        /// The group.
        group: LogicGroup,
    },
}

/// Why a voter set that an operator's tool gave is not in force. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{given} was not taken as the voter set: {known} is in force here, and only a set of a greater \
     generation replaces it, with voters none of which is named twice; ask for the voter set in \
     force again and give the next generation"
)]
pub(super) struct InstallRefused {
    /// The generation that was given.
    pub(super) given: VoterGeneration,
    /// The generation in force.
    pub(super) known: VoterGeneration,
}

/// What became of a message to the voter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// The voter had it.
    Voted,
    /// The sender knows an older voter set only: it is told the one in force.
    Outdated,
    /// Of a set this node's voter does not belong to.
    Ignored,
}

/// What became of a voter set that was heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Learned {
    /// It is in force from now on, and is to be stored.
    InForce,
    /// Nothing new.
    Known,
    /// Whoever knows no greater one is told the one in force.
    Outdated,
    /// It cannot vote, or another one of its generation was known first.
    Refused,
}

/// The voter set in force, and this node's voter.
#[derive(Debug)]
pub(super) struct Electorate {
    node: NodeId,
    known: VoterSet,
    voter: Voter,
    /// Groups of which the voter has a slot.
    groups: BTreeSet<LogicGroup>,
    /// The last set that was refused.
    refused: Option<VoterSet>,
}

impl Electorate {
    /// The state at a process start at `now_ms`.
    pub(super) fn start(now_ms: u64, node: NodeId, kept: &Kept) -> Self {
        let slots = kept.slots.clone();
        let groups = slots.keys().copied().collect();
        let voter = Voter::start(now_ms, kept.admitted, slots, Rules::default());
        Self { node, known: kept.voters.clone(), voter, groups, refused: None }
    }

    /// The voter set in force as far as this node knows.
    pub(super) fn known(&self) -> &VoterSet {
        &self.known
    }

    /// A message for the voter arrived, of a sender for which the set of `generation` is in force.
    pub(super) fn on_message(
        &mut self,
        now_ms: u64,
        (from, generation): (NodeId, VoterGeneration),
        message: Message,
        actions: &mut Vec<Action>,
    ) -> Heard {
        if generation < self.known.generation {
            return Heard::Outdated;
        }
        if self.voter.generation() != Some(generation) {
            return Heard::Ignored;
        }
        match message {
            Message::Register { group, ballot, step } => {
                self.groups.insert(group);
                self.voter.on_register(now_ms, from, (group, ballot), step, actions);
            }
            Message::Renew { sent_ms, terms } => {
                self.voter.on_renew(now_ms, from, sent_ms, &terms, actions);
            }
            Message::AskRegister { group, known } => {
                self.voter.on_ask(from, group, known, actions);
            }
            _ => return Heard::Ignored,
        }
        Heard::Voted
    }

    /// A voter set was heard of. One that is refused is reported once, however often it comes.
    pub(super) fn on_learned(&mut self, set: &VoterSet) -> Learned {
        if *set == self.known || self.refused.as_ref() == Some(set) {
            return Learned::Known;
        }
        if set.generation < self.known.generation {
            return Learned::Outdated;
        }
        if set.generation == self.known.generation || !can_vote(set) {
            self.refused = Some(set.clone());
            return Learned::Refused;
        }
        self.known = set.clone();
        Learned::InForce
    }

    /// Makes this node a voter of `set` that begins with `registers`. It takes no lane for one lease
    /// time, like a restarted one. Repeated for the same set it changes nothing.
    pub(super) fn admit(
        &mut self,
        now_ms: u64,
        set: &VoterSet,
        registers: Vec<Register>,
    ) -> Result<Vec<Change>, AdmitRefused> {
        let generation = set.generation;
        if !can_vote(set) {
            return Err(AdmitRefused::NoSet(generation));
        }
        if !set.voters.contains(&self.node) {
            return Err(AdmitRefused::NotAVoter(generation));
        }
        let known = self.known.generation;
        if generation < known || (generation == known && *set != self.known) {
            return Err(AdmitRefused::Outdated { known });
        }
        if self.voter.generation() == Some(generation) {
            return Ok(Vec::new());
        }
        let slots = self.new_slots(generation, registers)?;
        let mut changes = vec![Change::Voters(set.clone()), Change::Admitted(generation)];
        changes
            .extend(slots.iter().map(|(group, slot)| Change::Slot(*group, Box::new(slot.clone()))));
        self.known = set.clone();
        self.groups = slots.keys().copied().collect();
        self.voter = Voter::start(now_ms, Some(generation), slots, Rules::default());
        Ok(changes)
    }

    /// The slots a voter of a new set begins with. What was promised to older generations is void,
    /// and so is what was accepted but is not known to be chosen: all voters of the set must begin
    /// alike.
    fn new_slots(
        &self,
        generation: VoterGeneration,
        registers: Vec<Register>,
    ) -> Result<BTreeMap<LogicGroup, Slot>, AdmitRefused> {
        let mut slots: BTreeMap<_, _> =
            self.groups.iter().map(|group| (*group, Slot::default())).collect();
        let mut given = BTreeSet::new();
        for register in registers {
            let group = register.group;
            if !given.insert(group) {
                return Err(AdmitRefused::Twice(group));
            }
            slots.insert(group, first_slot(generation, register));
        }
        for (group, slot) in &slots {
            let epoch = |slot: Option<&Slot>| slot?.chosen.as_ref().map(|value| value.epoch);
            if epoch(self.voter.slot(*group)) > epoch(Some(slot)) {
                return Err(AdmitRefused::Newer { group: *group });
            }
        }
        Ok(slots)
    }

    /// The registers that are chosen as far as this voter knows. With `accepted` also what it
    /// accepted last, with its ballot: it may have been chosen, and only this voter be left to tell.
    pub(super) fn views(&self, accepted: bool) -> Views {
        let slots = self.groups.iter().filter_map(|group| self.voter.slot(*group));
        let known = |slot: &Slot| {
            let accepted = slot.accepted.clone().filter(|_| accepted);
            let accepted = accepted.map(|(ballot, register)| KnownRegister {
                chosen: slot.chosen.as_ref() == Some(&register),
                accepted: Some(ballot),
                register,
            });
            let is_told = accepted.as_ref().is_some_and(|known| known.chosen);
            let chosen = slot.chosen.clone().filter(|_| !is_told);
            accepted.into_iter().chain(chosen.map(KnownRegister::chosen))
        };
        Views { voters: self.known.clone(), groups: slots.flat_map(known).collect() }
    }
}

fn can_vote(set: &VoterSet) -> bool {
    let different: BTreeSet<&NodeId> = set.voters.iter().collect();
    set.generation > VoterGeneration(0)
        && !set.voters.is_empty()
        && different.len() == set.voters.len()
}

/// A register that a voter begins with, as if accepted in a round below all real ones, which begin
/// with 1. Its epoch stands in the ballot, so that of two the newer one is taken.
fn first_slot(generation: VoterGeneration, register: Register) -> Slot {
    let slot = Slot::first(generation, register);
    let chosen = slot.accepted.as_ref().map(|(_, value)| value.clone());
    Slot { chosen, ..slot }
}
