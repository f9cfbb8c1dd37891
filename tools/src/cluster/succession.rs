//! Which voters follow lost ones, and with which registers they begin. Pure.

use std::collections::{BTreeMap, BTreeSet};

use common::ids::{LogicGroup, NodeId, VoterGeneration};
use common::register::{Register, VoterSet};
use config::Topology;

use super::ClusterError;
use super::known::{self, Answers, groups, name, names, voters_in_force};

/// What the operator says.
#[derive(Debug, Default)]
pub(super) struct Wish {
    /// The servers that are off for good.
    pub(super) lost: Vec<NodeId>,
    /// The new voters, where the operator chose them.
    pub(super) voters: Option<Vec<NodeId>>,
}

/// The new voters, and what has to happen to the old ones.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Succession {
    /// The voter set in force.
    pub(super) old: VoterSet,
    /// The voters that follow, in the order of the file's list.
    pub(super) voters: Vec<NodeId>,
    /// Old voters that answer: they are told first to agree on nothing more.
    pub(super) stopped: Vec<NodeId>,
    /// Whether so few old voters answer that they may not know what was agreed last.
    pub(super) is_guess: bool,
}

impl Wish {
    /// Reads the names of the command line.
    pub(super) fn of_names(
        topology: &Topology,
        lost: &[String],
        voters: Option<&[String]>,
    ) -> Result<Self, ClusterError> {
        let resolve = |flag, list: &[String]| -> Result<Vec<NodeId>, ClusterError> {
            list.iter().map(|name| server(topology, flag, name)).collect()
        };
        let mut lost = resolve("--lost", lost)?;
        let mut seen = BTreeSet::new();
        lost.retain(|id| seen.insert(*id));
        let voters = voters.map(|list| resolve("--voters", list)).transpose()?;
        if let Some(list) = &voters {
            let different: BTreeSet<NodeId> = list.iter().copied().collect();
            if different.len() != list.len() || !matches!(list.len(), 1 | 3 | 5) {
                return Err(ClusterError::VoterCount(list.len()));
            }
            if let Some(id) = list.iter().find(|id| lost.contains(id)) {
                return Err(ClusterError::LostVoter(name(topology, *id)));
            }
        }
        Ok(Self { lost, voters })
    }
}

fn server(topology: &Topology, flag: &'static str, name: &str) -> Result<NodeId, ClusterError> {
    topology.server(name).map(|server| server.id).ok_or_else(|| {
        let servers = topology.servers().iter().map(|server| server.name.as_str());
        let servers = servers.collect::<Vec<_>>().join(", ");
        ClusterError::NoSuchServer { flag, name: name.to_owned(), servers }
    })
}

impl Succession {
    /// Decides who follows. `answers` has the servers that answer; none of the lost is among them.
    pub(super) fn plan(
        topology: &Topology,
        wish: &Wish,
        answers: &Answers,
    ) -> Result<Self, ClusterError> {
        let old = voters_in_force(answers).ok_or(ClusterError::NoVoterSet)?.clone();
        let before = &old.voters;
        check_lost(topology, wish, before)?;
        let answers_of = |id: &&NodeId| answers.contains_key(id);
        let away = before.iter().filter(|id| !answers.contains_key(id) && !wish.lost.contains(id));
        let away: Vec<NodeId> = away.copied().collect();
        let majority = before.len() / 2 + 1;
        if away.len() >= majority {
            return Err(ClusterError::MayDecide(names(topology, &away)));
        }
        let voters = match &wish.voters {
            Some(list) => list.clone(),
            None => followers(topology, wish, answers, before)?,
        };
        if let Some(id) = voters.iter().find(|id| !answers.contains_key(id)) {
            return Err(ClusterError::VoterAway(name(topology, *id)));
        }
        let stopped: Vec<NodeId> = before.iter().filter(answers_of).copied().collect();
        let is_guess = stopped.len() + majority <= before.len();
        Ok(Self { old, voters, stopped, is_guess })
    }

    /// The set that stops the old voters: the same ones under a new generation, to which none of
    /// them is ever admitted, so that none votes. Whoever knows it still says who the old ones are:
    /// the file may name others, and an attempt that stopped half-way has to find them.
    pub(super) fn stop(&self) -> VoterSet {
        let generation = VoterGeneration(self.old.generation.0 + 1);
        VoterSet { generation, voters: self.old.voters.clone() }
    }

    /// The new set, and the registers that it begins with. `answers` is from after the stop.
    pub(super) fn begin(
        &self,
        topology: &Topology,
        answers: &Answers,
    ) -> Result<(VoterSet, Vec<Register>), ClusterError> {
        let known = answers.values().map(|known| known.views.voters.generation);
        let greatest = known.chain([self.old.generation]).max().unwrap_or_default();
        let generation = VoterGeneration(greatest.0 + 1);
        let registers = registers(topology, answers)?;
        let registers = registers.into_values().map(|old| Register { generation, ..old });
        Ok((VoterSet { generation, voters: self.voters.clone() }, registers.collect()))
    }
}

fn check_lost(topology: &Topology, wish: &Wish, voters: &[NodeId]) -> Result<(), ClusterError> {
    let is_voter = |id: &&NodeId| voters.contains(id) || topology.voters().contains(id);
    match wish.lost.iter().find(|id| !is_voter(id)) {
        None => Ok(()),
        Some(id) => Err(ClusterError::NotAVoter {
            lost: name(topology, *id),
            voters: names(topology, voters),
        }),
    }
}

/// The old voters that answer, filled up with other servers that do: those of other zones and of
/// other physical groups first.
fn followers(
    topology: &Topology,
    wish: &Wish,
    answers: &Answers,
    before: &[NodeId],
) -> Result<Vec<NodeId>, ClusterError> {
    let mut voters: Vec<NodeId> =
        before.iter().filter(|id| answers.contains_key(id)).copied().collect();
    while voters.len() < before.len() {
        let is_free = |id: &NodeId| {
            answers.contains_key(id) && !voters.contains(id) && !wish.lost.contains(id)
        };
        let zone = |id: NodeId| topology.server_by_id(id).and_then(|s| s.zone.as_deref());
        let group = |id: NodeId| topology.place_of_server(id).map(|(group, _)| &group.name);
        let shares = |id: NodeId| {
            let zone_taken = zone(id).is_some() && voters.iter().any(|v| zone(*v) == zone(id));
            let group_taken = group(id).is_some() && voters.iter().any(|v| group(*v) == group(id));
            (zone_taken, group_taken)
        };
        let free = topology.servers().iter().map(|server| server.id).filter(is_free);
        let Some(next) = free.min_by_key(|id| shares(*id)) else {
            let found = names(topology, &voters);
            return Err(ClusterError::TooFewServers { wanted: before.len(), found });
        };
        voters.push(next);
    }
    Ok(voters)
}

/// The register of every logic group that was agreed on last.
fn registers(
    topology: &Topology,
    answers: &Answers,
) -> Result<BTreeMap<LogicGroup, Register>, ClusterError> {
    let registers = known::registers(answers);
    let all = (0..topology.logic_groups()).map(LogicGroup);
    let unknown: Vec<LogicGroup> = all.filter(|group| !registers.contains_key(group)).collect();
    if unknown.is_empty() { Ok(registers) } else { Err(ClusterError::Unknown(groups(&unknown))) }
}

#[cfg(test)]
#[path = "succession_tests.rs"]
mod tests;
