//! Which register a voter set agreed on last, from what its voters and the servers know: a set that
//! lost its majority for good is asked no more, so a new one has to begin with the right value
//! (guarantees 1, `fdht failover`). Pure; the tool and the simulator use the same function.

use std::collections::BTreeMap;

use crate::ids::LogicGroup;
use crate::register::{Ballot, Register};

/// A register as one node knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownRegister {
    /// The value.
    pub register: Register,
    /// The ballot under which the node's voter accepted it, if it did so last.
    pub accepted: Option<Ballot>,
    /// It is known that a majority accepted it: what leaders and followers act on.
    pub chosen: bool,
}

impl KnownRegister {
    /// One that is known to be chosen.
    #[must_use]
    pub fn chosen(register: Register) -> Self {
        Self { register, accepted: None, chosen: true }
    }
}

/// Of each group the register that was agreed on last, as far as `known` tells. `known` has to come
/// from nodes that vote no more, since they would go on to agree on others.
///
/// Only values of the greatest voter generation count: its voters began with what was agreed on
/// before. Of these, what was accepted under the greatest ballot may have been chosen, and everything
/// chosen before it is in it (CASPaxos); a smaller ballot's value may have a greater epoch, or
/// another content at the same one, and was never chosen then. What is known to be chosen wins when
/// its epoch is at least that one's: then fewer than a majority answer, or it is the same.
#[must_use]
pub fn agreed<'k>(
    known: impl IntoIterator<Item = &'k KnownRegister>,
) -> BTreeMap<LogicGroup, Register> {
    let mut groups: BTreeMap<LogicGroup, Vec<&KnownRegister>> = BTreeMap::new();
    for one in known {
        groups.entry(one.register.group).or_default().push(one);
    }
    let last = |all: Vec<&KnownRegister>| last(&all).cloned();
    groups.into_iter().filter_map(|(group, all)| Some((group, last(all)?))).collect()
}

/// The same of one group.
fn last<'k>(all: &[&'k KnownRegister]) -> Option<&'k Register> {
    let generation = all.iter().map(|known| known.register.generation).max()?;
    let all = || all.iter().filter(|known| known.register.generation == generation);
    let chosen = all().filter(|known| known.chosen).max_by_key(|known| known.register.epoch);
    let accepted = all().filter(|known| known.accepted.is_some()).max_by_key(|k| k.accepted);
    match (chosen, accepted) {
        (Some(chosen), Some(accepted)) if accepted.register.epoch > chosen.register.epoch => {
            Some(&accepted.register)
        }
        (Some(known), _) | (None, Some(known)) => Some(&known.register),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Epoch, NodeId, VoterGeneration};

    /// A register of group 3; `by` tells those of one epoch apart.
    fn register(generation: u32, epoch: u64, by: u32) -> Register {
        Register {
            group: LogicGroup(3),
            generation: VoterGeneration(generation),
            epoch: Epoch(epoch),
            servers: Vec::new(),
            in_step: vec![NodeId(by)],
            lanes: Vec::new(),
            leaving: None,
            moving: None,
        }
    }

    fn accepted(round: u64, register: Register) -> KnownRegister {
        let ballot = Ballot { round, node: NodeId(1), life: 1 };
        KnownRegister { register, accepted: Some(ballot), chosen: false }
    }

    /// What is found, in whatever order the nodes are asked.
    fn found(known: &[KnownRegister]) -> Option<Register> {
        let forwards = agreed(known).remove(&LogicGroup(3));
        let backwards = agreed(known.iter().rev()).remove(&LogicGroup(3));
        assert_eq!(forwards, backwards, "the order of the answers decides nothing");
        forwards
    }

    #[test]
    fn of_two_that_compete_for_an_epoch_the_greater_ballot_is_taken() {
        // Both expected epoch 8. The first was accepted by one voter of three, the second chosen.
        let (lost, won) = (accepted(5, register(1, 9, 1)), accepted(6, register(1, 9, 2)));
        assert_eq!(found(&[lost, won.clone()]), Some(won.register));
    }

    #[test]
    fn a_value_known_to_be_chosen_wins_its_epoch() {
        // The voters that accepted it are lost; a server acts on it.
        let lost = accepted(9, register(1, 9, 1));
        let won = KnownRegister::chosen(register(1, 9, 2));
        assert_eq!(found(&[lost, won.clone()]), Some(won.register));
    }

    #[test]
    fn what_was_accepted_after_the_last_known_choice_may_have_been_chosen() {
        let before = KnownRegister::chosen(register(1, 8, 1));
        let after = accepted(9, register(1, 9, 2));
        assert_eq!(found(&[before, after.clone()]), Some(after.register));
    }

    #[test]
    fn a_greater_epoch_under_a_smaller_ballot_was_never_chosen() {
        let alone = accepted(5, register(1, 9, 1));
        let settled = accepted(7, register(1, 8, 2));
        assert_eq!(found(&[alone.clone(), settled.clone()]), Some(settled.register.clone()));
        let known = KnownRegister { chosen: true, ..settled };
        assert_eq!(found(&[alone, known.clone()]), Some(known.register));
    }

    #[test]
    fn an_older_voter_set_counts_only_without_a_newer_one() {
        let old = accepted(90, register(1, 9, 1));
        let new = accepted(0, register(2, 9, 2));
        assert_eq!(found(&[old.clone(), new.clone()]), Some(new.register));
        assert_eq!(found(std::slice::from_ref(&old)), Some(old.register));
        assert_eq!(found(&[]), None);
    }

    #[test]
    fn each_group_is_looked_at_by_itself() {
        let one = KnownRegister::chosen(register(1, 9, 1));
        let other = Register { group: LogicGroup(4), ..register(1, 2, 1) };
        let all = agreed(&[one, KnownRegister::chosen(other)]);
        assert_eq!(all.values().map(|r| r.epoch.0).collect::<Vec<_>>(), [9, 2]);
    }
}
