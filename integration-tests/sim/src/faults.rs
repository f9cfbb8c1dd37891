//! Faults, and the end of all faults.

use common::ids::{LogicGroup, NodeId};
use storage_node::replication::member::GroupReplica;
use storage_node::replication::message::{Message, RegisterMessage};
use storage_node::replication::register::Register;

use crate::client::Client;
use crate::node::Node;
use crate::setup::{CLIENTS, GROUPS, KEYS, NODES, SPARE, group_id, node_id, node_of};
use crate::world::{What, World};

impl World {
    /// One fault, and the time of the next.
    pub fn fault(&mut self) {
        if self.healed {
            return;
        }
        let mean_us = self.setup.fault_ms * 1_000;
        let at_us = self.now_us + self.rng.range(mean_us / 4, mean_us * 2);
        self.plan(at_us, What::Fault);
        let total: u64 = self.setup.weights.iter().sum();
        let mut chosen = self.rng.range(0, total.max(1));
        let node = self.victim();
        for (fault, weight) in self.setup.weights.into_iter().enumerate() {
            if chosen >= weight {
                chosen -= weight;
                continue;
            }
            if self.trace {
                self.say(format_args!("fault {fault} node {node}"));
            }
            return match fault {
                0 => self.kill(node),
                1 => self.power_cut(node),
                2 => self.pause(node),
                3 => self.partition(node),
                4 => self.depart(node),
                5 if self.rng.permille(600) => (0..NODES).for_each(|node| self.power_cut(node)),
                5 => (0..NODES).for_each(|node| self.kill(node)),
                6 => self.stick(node),
                7 => self.rotate(node),
                _ => self.lose_for_good(node),
            };
        }
    }

    /// Often a leader of some lane.
    fn victim(&mut self) -> usize {
        let group = self.rng.index(GROUPS);
        let lanes = self.registers[group].as_ref().map(|r| r.lanes.clone()).unwrap_or_default();
        if lanes.is_empty() || self.rng.permille(300) {
            return self.rng.index(NODES);
        }
        let lane = self.rng.index(lanes.len());
        node_of(lanes[lane].node)
    }

    fn stop(&mut self, node: usize) {
        self.nodes[node].process = None;
        self.nodes[node].wake_us = u64::MAX;
        self.nodes[node].paused_until_us = 0;
        let short = self.rng.permille(400);
        let wait_us = if short {
            self.rng.range(10_000, 400_000)
        } else {
            self.rng.range(400_000, 6_000_000)
        };
        self.plan(self.now_us + wait_us, What::Start(node));
    }

    /// kill -9.
    pub fn kill(&mut self, node: usize) {
        if self.nodes[node].process.is_some() {
            self.stop(node);
        }
    }

    /// The machine loses power. Under `everysec` the last second may be lost if all of an R do; then
    /// all of them have to come back.
    fn power_cut(&mut self, node: usize) {
        if self.nodes[node].process.is_none() {
            return;
        }
        if !self.setup.always {
            let only = |group: &LogicGroup| !self.others_kept(node, *group);
            let groups: Vec<_> = (0..GROUPS).map(group_id).filter(only).collect();
            if groups.iter().any(|group| self.may_need_lost(*group)) {
                return;
            }
            for group in groups {
                self.checks.history.i1_power.on_all_without_power(group, self.now_us);
            }
        }
        self.stop(node);
        self.checks.i3_kill.on_power_cut(node);
        let lose = self.rng.permille(800);
        let lanes: Vec<_> = self.nodes[node].disk.logs.keys().copied().collect();
        for lane in lanes {
            let Some(log) = self.nodes[node].disk.logs.get_mut(&lane) else { continue };
            let kept = if lose { self.rng.index(log.unsynced() + 1) } else { log.unsynced() };
            log.lose(self.now_us, kept);
            if !self.setup.always {
                self.nodes[node].disk.forgot.insert(lane, true);
            }
        }
    }

    /// Whether a server that never comes back is in an R of a group.
    fn may_need_lost(&self, group: LogicGroup) -> bool {
        let lost = |id: &NodeId| {
            let node = &self.nodes[node_of(*id)];
            node.gone || node.blank
        };
        self.any_register(group, |register| register.in_step.iter().any(lost))
    }

    /// Whether in every R of a group some other server kept its log.
    fn others_kept(&self, node: usize, group: LogicGroup) -> bool {
        !self.any_register(group, |register| {
            let others = register.in_step.iter().map(|id| node_of(*id)).filter(|o| *o != node);
            !others.into_iter().any(|other| {
                let other = &self.nodes[other];
                let mut forgot = other.disk.forgot.iter().filter(|(lane, _)| lane.group == group);
                !other.gone && !other.blank && forgot.all(|(_, forgot)| !forgot)
            })
        })
    }

    /// Whether this is so for any register of a group that is, or may become, agreed.
    fn any_register(&self, group: LogicGroup, is_so: impl Fn(&Register) -> bool) -> bool {
        let accepted = self.nodes.iter().filter_map(|n| n.disk.slots.get(&group));
        let accepted = accepted.filter_map(|slot| slot.accepted.as_ref()).map(|(_, value)| value);
        let waiting = self.nodes.iter().filter_map(|n| n.process.as_ref());
        let waiting = waiting.filter_map(|process| process.voter.slot(group));
        let waiting = waiting.filter_map(|slot| slot.accepted.as_ref()).map(|(_, value)| value);
        let coming = self.queue.iter().filter_map(|event| match &event.what {
            What::Peer {
                message: Message::Register { step: RegisterMessage::Accept { value, .. }, .. },
                ..
            } => Some(value).filter(|value| value.group == group),
            _ => None,
        });
        let known = self.registers.iter().flatten().filter(|register| register.group == group);
        let own = self.nodes.iter().filter_map(|n| n.disk.registers.get(&group));
        accepted.chain(waiting).chain(coming).chain(known).chain(own).any(is_so)
    }

    /// The disk does not sync for a while: a follower pulls on and does not advance.
    fn stick(&mut self, node: usize) {
        let at_us = self.now_us + self.rng.range(500_000, 4_000_000);
        self.nodes[node].stuck_until_us = at_us.min(self.setup.faults_ms * 1_000);
    }

    /// A node flushes what is official and forgets what is old of its log.
    fn rotate(&mut self, node: usize) {
        let (now_us, Node { disk, process, .. }) = (self.now_us, &mut self.nodes[node]);
        for lane in process.iter().flat_map(|process| &process.groups).flat_map(|g| g.lanes()) {
            let official = lane.official();
            let mut ends = lane.held().chain();
            ends.retain(|end| end.epoch <= official.epoch);
            if let Some(last) = ends.last_mut().filter(|last| last.epoch == official.epoch) {
                last.lsn = last.lsn.min(official.lsn);
                if let Some(log) = disk.logs.get_mut(&lane.id()) {
                    log.rotate(now_us, ends);
                }
            }
        }
    }

    /// A machine never comes back, or comes back with a blank disk; once in a run, and never the
    /// only one that has everything.
    fn lose_for_good(&mut self, node: usize) {
        let before = self.nodes.iter().any(|node| node.gone || node.blank);
        let data = node < self.setup.rf;
        let only = (0..GROUPS).map(group_id).any(|group| !self.others_kept(node, group));
        if before || node == SPARE || (data && only) {
            return;
        }
        self.kill(node);
        self.checks.i3_kill.on_power_cut(node);
        self.nodes[node].replace_disk();
        if self.rng.permille(500) {
            self.nodes[node].gone = true;
        }
        self.lose(node);
    }

    /// SIGSTOP for a while; the clock goes on and what arrives waits.
    fn pause(&mut self, node: usize) {
        if self.nodes[node].process.is_some() {
            let long = self.rng.permille(500);
            let most_us = if long { 4_000_000 } else { 600_000 };
            let until_us = self.now_us + self.rng.range(20_000, most_us);
            self.nodes[node].paused_until_us = until_us.min(self.setup.faults_ms * 1_000);
        }
    }

    /// Cuts a node off, or one link in one or both directions, for a while.
    fn partition(&mut self, node: usize) {
        let other = (node + 1 + self.rng.index(NODES - 1)) % NODES;
        match self.rng.index(4) {
            0 => {
                for peer in (0..NODES).filter(|peer| *peer != node) {
                    self.cut[node][peer] = true;
                    self.cut[peer][node] = true;
                }
            }
            1 => self.cut[node][other] = true,
            2 => self.cut[other][node] = true,
            _ => {
                self.cut[node][other] = true;
                self.cut[other][node] = true;
            }
        }
        let at_us = self.now_us + self.rng.range(100_000, 5_000_000);
        self.plan(at_us, What::Mend);
    }

    /// A planned stop: the node hands its lanes over, leaves R and stops; or is killed after 5 s.
    fn depart(&mut self, node: usize) {
        if let Some(process) = self.nodes[node].process.as_mut()
            && !process.groups.is_empty()
        {
            process.departing = true;
            for group in &mut process.groups {
                group.on_depart();
            }
        }
    }

    /// A group of a departing node is done.
    pub fn departed(&mut self, node: usize) {
        let Some(process) = self.nodes[node].process.as_ref().filter(|p| p.departing) else {
            return;
        };
        let me = node_id(node);
        let out = |register: &Register| !register.is_in_step(me) || register.in_step.len() == 1;
        let is_out =
            |group: &GroupReplica| group.is_stranger() || group.register().is_some_and(out);
        if process.groups.iter().all(is_out) {
            self.stop(node);
        }
    }

    /// A peer's address refuses connections.
    pub fn on_refused_address(&mut self, node: usize, peer: usize) {
        let now_ms = self.nodes[node].local_ms(self.now_us);
        for group in self.nodes[node].process.iter_mut().flat_map(|process| &mut process.groups) {
            group.on_refused_address(now_ms, node_id(peer));
        }
    }

    /// A node starts.
    pub fn start(&mut self, node: usize) {
        if self.nodes[node].process.is_some() || self.nodes[node].gone {
            return;
        }
        let check = self.checks.i3_kill.on_start(node, &self.nodes[node].disk);
        self.checks.note(check);
        // Recovery makes durable what it found.
        for log in self.nodes[node].disk.logs.values_mut() {
            log.sync();
        }
        let setup = self.setup.clone();
        let now_us = self.now_us;
        self.nodes[node].start(now_us, &setup);
        self.plan_wake(node);
    }

    /// Everything works from now on.
    pub fn heal(&mut self) {
        self.healed = true;
        self.cut = [[false; NODES]; NODES];
        for node in 0..NODES {
            let departing = self.nodes[node].process.as_ref().is_some_and(|p| p.departing);
            if departing {
                self.nodes[node].process = None;
                self.nodes[node].wake_us = u64::MAX;
            }
            self.start(node);
        }
        self.install();
        for key in 0..KEYS {
            let views = self.clients[key % CLIENTS].views.clone();
            self.clients[CLIENTS + key] = Client { views, probe: Some(key), ..Client::default() };
            self.plan(self.now_us + 1, What::Client { client: CLIENTS + key, turn: 0 });
        }
    }
}
