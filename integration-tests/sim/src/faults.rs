//! Faults, and the end of all faults.

use storage_node::replication::message::{Message, RegisterMessage};
use storage_node::replication::register::Register;

use crate::client::Client;
use crate::setup::{CLIENTS, GROUPS, KEYS, NODES, node_of};
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
                _ if self.setup.always && self.rng.permille(600) => {
                    (0..NODES).for_each(|node| self.power_cut(node));
                }
                _ => (0..NODES).for_each(|node| self.kill(node)),
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

    /// The machine loses power. Under `everysec` at most one server of each R at a time: nothing is
    /// promised when all of them do.
    fn power_cut(&mut self, node: usize) {
        if self.nodes[node].process.is_none() || (!self.setup.always && !self.others_kept(node)) {
            return;
        }
        self.stop(node);
        self.checks.i3_kill.on_power_cut(node);
        let lose = self.rng.permille(800);
        let lanes: Vec<_> = self.nodes[node].disk.logs.keys().copied().collect();
        for lane in lanes {
            let Some(log) = self.nodes[node].disk.logs.get_mut(&lane) else { continue };
            let kept = if lose { self.rng.index(log.unsynced() + 1) } else { log.unsynced() };
            log.lose(kept);
            if !self.setup.always {
                self.nodes[node].disk.forgot.insert(lane, true);
            }
        }
    }

    /// Whether in every R that is, or may become, agreed some other server kept its log.
    fn others_kept(&self, node: usize) -> bool {
        let accepted = self.nodes.iter().flat_map(|n| n.disk.slots.values());
        let accepted = accepted.filter_map(|slot| slot.accepted.as_ref()).map(|(_, value)| value);
        let coming = self.queue.iter().filter_map(|event| match &event.what {
            What::Peer {
                message: Message::Register { step: RegisterMessage::Accept { value, .. }, .. },
                ..
            } => Some(value),
            _ => None,
        });
        let kept = |register: &Register| {
            register.in_step.iter().map(|id| node_of(*id)).filter(|other| *other != node).any(|o| {
                let forgot = self.nodes[o].disk.forgot.iter();
                forgot.filter(|(lane, _)| lane.group == register.group).all(|(_, forgot)| !forgot)
            })
        };
        let known = self.registers.iter().flatten();
        accepted.chain(coming).chain(known).all(kept)
    }

    /// SIGSTOP for a while; the clock goes on and what arrives waits.
    fn pause(&mut self, node: usize) {
        if self.nodes[node].process.is_some() {
            let long = self.rng.permille(500);
            let most_us = if long { 4_000_000 } else { 600_000 };
            self.nodes[node].paused_until_us = self.now_us + self.rng.range(20_000, most_us);
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
        let me = crate::setup::node_id(node);
        let out = |register: &Register| !register.is_in_step(me) || register.in_step.len() == 1;
        if process.groups.iter().all(|group| group.register().is_some_and(out)) {
            self.stop(node);
        }
    }

    /// A node starts.
    pub fn start(&mut self, node: usize) {
        if self.nodes[node].process.is_some() {
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
            self.nodes[node].paused_until_us = self.nodes[node].paused_until_us.min(self.now_us);
            let departing = self.nodes[node].process.as_ref().is_some_and(|p| p.departing);
            if departing {
                self.nodes[node].process = None;
                self.nodes[node].wake_us = u64::MAX;
            }
            self.start(node);
        }
        for key in 0..KEYS {
            let views = self.clients[key % CLIENTS].views.clone();
            self.clients[CLIENTS + key] = Client { views, probe: Some(key), ..Client::default() };
            self.plan(self.now_us + 1, What::Client { client: CLIENTS + key, turn: 0 });
        }
    }
}
