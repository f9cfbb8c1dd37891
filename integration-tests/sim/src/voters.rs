//! The voter set: a generation in every message, and an operator's command that replaces a set of
//! which a voter is lost (guarantees 1).

use common::agreed::{KnownRegister, agreed};
use storage_node::replication::register::voter::Slot;
use storage_node::replication::register::{Register, Voter, VoterGeneration, VoterSet};

use crate::node::{Node, Unit};
use crate::setup::{NODES, SPARE, node_id, node_of, voter_set};
use crate::world::{What, World};

/// The operator's command, once it is given.
#[derive(Clone, Debug)]
pub struct Install {
    set: VoterSet,
    lost: usize,
    old: Vec<usize>,
    /// What the old set agreed on, once nobody votes in it any more.
    registers: Option<Vec<Register>>,
}

const AGAIN_US: u64 = 150_000;

impl World {
    /// Whether both nodes have the same voters: a lower generation is refused and told the newer
    /// set, a greater one is adopted.
    pub fn same_generation(&mut self, from: usize, to: usize, generation: VoterGeneration) -> bool {
        let own = self.nodes[to].disk.set.clone();
        if generation < own.generation {
            self.tell_voters(from, own);
            return false;
        }
        if generation > own.generation {
            let set = self.nodes[from].disk.set.clone();
            self.adopt_voters(to, set);
        }
        self.nodes[to].disk.set.generation == generation
    }

    fn tell_voters(&mut self, to: usize, set: VoterSet) {
        if let Some(at_us) = self.arrival_us() {
            self.plan(at_us, What::Voters { to, set });
        }
    }

    /// A node learns of a voter set.
    pub fn adopt_voters(&mut self, node: usize, set: VoterSet) {
        let now_ms = self.nodes[node].local_ms(self.now_us);
        if set.generation <= self.nodes[node].disk.set.generation {
            return;
        }
        let Some(process) = self.nodes[node].process.as_mut() else {
            return;
        };
        process.leases.set_voters(set.voters.clone());
        for group in &mut process.groups {
            group.set_voters(now_ms, set.clone());
        }
        self.nodes[node].disk.set = set;
        self.plan_wake(node);
    }

    /// A node, or its disk, is lost for good; if it was a voter the operator replaces it.
    pub fn lose(&mut self, node: usize) {
        let set = self.newest_set();
        let old: Vec<usize> = set.voters.iter().map(|id| node_of(*id)).collect();
        if !old.contains(&node) || (old.len() > 1 && self.rng.permille(300)) {
            return;
        }
        let mut voters: Vec<usize> = old.iter().copied().filter(|other| *other != node).collect();
        voters.push(SPARE);
        let set = voter_set(set.generation.0 + 1, &voters);
        self.install = Some(Install { set, lost: node, old, registers: None });
        let at_us = self.now_us + self.rng.range(200_000, 2_500_000);
        self.plan(at_us, What::Install);
    }

    /// The greatest voter set that any node knows.
    #[must_use]
    pub fn newest_set(&self) -> VoterSet {
        let sets = self.nodes.iter().map(|node| &node.disk.set);
        sets.max_by_key(|set| set.generation).cloned().unwrap_or_default()
    }

    /// One try of the operator's command; it is repeated until it is through.
    pub fn install(&mut self) {
        let Some(mut install) = self.install.take() else {
            return;
        };
        for node in (0..NODES).filter(|node| *node != install.lost) {
            if self.nodes[node].disk.set.generation < install.set.generation {
                self.tell_voters(node, install.set.clone());
            }
        }
        if install.registers.is_none() {
            install.registers = self.gather(&install);
        }
        let mut admitted = install.registers.is_some();
        if let Some(registers) = &install.registers {
            for voter in install.set.voters.iter().map(|id| node_of(*id)) {
                if self.nodes[voter].disk.admitted < Some(install.set.generation) {
                    admitted = false;
                    if let Some(at_us) = self.arrival_us() {
                        let (set, registers) = (install.set.clone(), registers.clone());
                        self.plan(at_us, What::Admit { to: voter, set, registers });
                    }
                }
            }
        }
        if !admitted {
            self.install = Some(install);
            self.plan(self.now_us + AGAIN_US, What::Install);
        }
    }

    /// Of each group what may have been agreed on, from the old voters that are left and from the
    /// servers; none before all of them refuse the old set.
    fn gather(&self, install: &Install) -> Option<Vec<Register>> {
        let servers = (0..self.setup.rf).filter(|node| !self.nodes[*node].gone);
        let asked: Vec<usize> =
            install.old.iter().copied().chain(servers).filter(|n| *n != install.lost).collect();
        let ready = |node: &usize| {
            let node = &self.nodes[*node];
            node.process.is_some() && node.disk.set.generation >= install.set.generation
        };
        if !asked.iter().all(ready) {
            return None;
        }
        let mut known = Vec::new();
        for node in asked {
            let disk = &self.nodes[node].disk;
            known.extend(disk.registers.values().cloned().map(KnownRegister::chosen));
            for slot in disk.slots.values().filter(|_| install.old.contains(&node)) {
                known.extend(slot.chosen.clone().map(KnownRegister::chosen));
                let accepted = |(ballot, register)| KnownRegister {
                    register,
                    accepted: Some(ballot),
                    chosen: false,
                };
                known.extend(slot.accepted.clone().map(accepted));
            }
        }
        Some(agreed(&known).into_values().collect())
    }

    /// A voter is admitted to a set.
    pub fn admit(&mut self, node: usize, set: &VoterSet, registers: Vec<Register>) {
        self.adopt_voters(node, set.clone());
        if self.nodes[node].is_busy(Unit::Voter) {
            return; // The command is repeated.
        }
        let now_ms = self.nodes[node].local_ms(self.now_us);
        let rules = self.setup.rules;
        let Node { process: Some(process), disk, .. } = &mut self.nodes[node] else {
            return;
        };
        if disk.admitted >= Some(set.generation) {
            return;
        }
        // Generation and registers become durable in one step. What was granted is forgotten: no
        // lane is taken for one lease time.
        let first = registers.into_iter().map(|r| (r.group, Slot::first(set.generation, r)));
        (disk.admitted, disk.slots) = (Some(set.generation), first.collect());
        process.voter = Voter::start(now_ms, disk.admitted, disk.slots.clone(), rules);
    }

    /// The node's voter belongs to the set that its node knows.
    #[must_use]
    pub fn votes(&self, node: usize) -> bool {
        let disk = &self.nodes[node].disk;
        disk.admitted == Some(disk.set.generation) && disk.set.voters.contains(&node_id(node))
    }
}
