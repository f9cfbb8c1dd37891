//! Requests: at the node that is asked, and at the client that asks.

use common::ids::{Lane, LogicGroup};
use storage_node::replication::lane::LaneReplica;
use storage_node::replication::message::Term;
use storage_node::replication::position::{Head, Position};
use storage_node::replication::register::Register;

use crate::client::{Acks, Answer, Ask, DEADLINE_US, Open, RETRY_US, Request};
use crate::log::{Incr, Rec};
use crate::node::Waiting;
use crate::setup::{CLIENTS, KEYS, NODES, node_of};
use crate::world::{What, World};

impl World {
    /// A request arrived at a running node.
    pub fn on_request(&mut self, node: usize, request: Request) {
        let lane = self.setup.lane_of(request.key);
        let now_ms = self.nodes[node].local_ms(self.now_us);
        let Some(group) = self.nodes[node].group(lane.group) else {
            return self.answer(&request, lane.group, Answer::Elsewhere(None));
        };
        let term = Term { lane, since: request.since };
        let view = group.register().map(Register::view);
        if group.lane(lane.server).and_then(|lane| lane.serves()) != Some(term) {
            return self.answer(&request, lane.group, Answer::Elsewhere(view));
        }
        match request.ask {
            Ask::Incr => self.on_incr(node, lane, request),
            Ask::Get => {
                // Read, then check the lease, then answer.
                let process = self.nodes[node].process.as_ref();
                let value =
                    process.and_then(|p| p.leads.get(&lane)).map(|state| match request.acks {
                        // Of such a key what was answered may not be official yet.
                        Acks::One => state.counts[request.key],
                        _ => state.official_counts[request.key],
                    });
                let lease = process.is_some_and(|p| p.leases.holds(now_ms, term));
                let answer = match value {
                    Some(value) if lease || !self.setup.rules.lease_on_read => Answer::Value(value),
                    _ => Answer::Elsewhere(view),
                };
                self.answer(&request, lane.group, answer);
            }
        }
    }

    fn on_incr(&mut self, node: usize, lane: Lane, request: Request) {
        let always = self.setup.always;
        let dedup = self.setup.rules.dedup;
        let Some(process) = self.nodes[node].process.as_mut() else {
            return;
        };
        let Some(state) = process.leads.get_mut(&lane) else {
            return;
        };
        if let Some(&(place, answer)) = state.done.get(&request.id).filter(|_| dedup) {
            if request.client.is_some() {
                let op = Incr { key: request.key, request: request.id, answer };
                state.waiting.push(Waiting { place, request, op });
            }
            return self.release(node, lane);
        }
        let group = process.groups.get(usize::from(lane.group.0));
        let Some(last) = group.and_then(|g| g.lane(lane.server)).map(LaneReplica::last) else {
            return;
        };
        // The record is in the log before the machine hears of it.
        let answer = state.counts[request.key] + 1;
        let op = Incr { key: request.key, request: request.id, answer };
        let at = Position { epoch: last.epoch, lsn: last.lsn.next() };
        let rec = Rec { head: Head { at, ends: None }, op: Some(op) };
        if request.client.is_some() {
            state.waiting.push(Waiting { place: state.flat.len(), request, op });
        }
        state.push(rec.clone());
        self.append(node, lane, rec);
        self.plan_sync(node, false);
        let lazy = self.setup.lazy;
        let mut numbered = false;
        self.step_group(node, usize::from(lane.group.0), lazy, &[], |replica, now_ms, actions| {
            numbered = replica.append_run(now_ms, lane, at.lsn, &[always], actions);
        });
        assert!(numbered, "{lane}: what serves numbers what comes next");
        self.release(node, lane);
    }

    /// What a server holds but what does not count is offered to the leader again.
    pub fn offer_again(&mut self, node: usize, lane: Lane, key: usize, id: u64) {
        let register = self.nodes[node].group(lane.group).and_then(|group| group.register());
        let Some(leader) = register.and_then(|register| register.leader(lane.server)) else {
            return;
        };
        let (ask, since) = (Ask::Incr, leader.since);
        let request = Request { client: None, id, ask, key, acks: Acks::Step, since };
        if let Some(at_us) = self.arrival_us() {
            self.plan(at_us + 20_000, What::Request { to: node_of(leader.node), request });
        }
    }

    /// A client's timer, or its last request ended.
    pub fn on_client(&mut self, client: usize) {
        let probe = self.clients[client].probe;
        let open = match self.clients[client].open {
            Some(open) if self.now_us < open.since_us + DEADLINE_US || probe.is_some() => open,
            _ => {
                if self.quiet && probe.is_none() {
                    self.clients[client].open = None;
                    return;
                }
                self.requests += 1;
                let key = probe.unwrap_or_else(|| self.rng.index(KEYS));
                let read = probe.is_none() && self.rng.permille(350);
                let ask = if read { Ask::Get } else { Ask::Incr };
                let floor = self.checks.history.floor(key);
                let acks = self.acks_of(key, probe.is_some());
                Open { id: self.requests, ask, key, since_us: self.now_us, acks, floor, tries: 0 }
            }
        };
        let tries = open.tries + 1;
        self.clients[client].open = Some(Open { tries, ..open });
        self.clients[client].turn += 1;
        let turn = self.clients[client].turn;
        let at_us = self.now_us + RETRY_US + self.rng.range(0, 50_000);
        self.plan(at_us, What::Client { client, turn });
        let lane = self.setup.lane_of(open.key);
        if tries % 3 == 0 || self.clients[client].views.leader(lane).is_none() {
            self.ask_view(client, lane);
        }
        let Some((leader, since)) = self.clients[client].views.leader(lane) else {
            return;
        };
        let to = node_of(leader);
        let Open { id, ask, key, acks, .. } = open;
        let request = Request { client: Some(client), id, ask, key, acks, since };
        if let Some(at_us) = self.arrival_us() {
            self.plan(at_us, What::Request { to, request });
        }
        if !self.healed
            && self.rng.permille(self.setup.twice)
            && let Some(at_us) = self.arrival_us()
        {
            self.plan(at_us, What::Request { to, request });
        }
    }

    fn acks_of(&mut self, key: usize, probe: bool) -> Acks {
        if key >= self.setup.acks_one_from {
            Acks::One
        } else if probe || !self.rng.permille(self.setup.strict) {
            Acks::Step
        } else if self.rng.permille(500) {
            Acks::Majority
        } else {
            Acks::All
        }
    }

    /// A proxy asks all voters and all servers of the group.
    fn ask_view(&mut self, client: usize, lane: Lane) {
        for to in 0..NODES {
            if let Some(at_us) = self.arrival_us() {
                self.plan(at_us, What::AskView { client, to, group: lane.group });
            }
        }
    }

    /// A node tells a client's proxy what it knows: as a voter, or as a server of the group.
    pub fn on_ask_view(&mut self, client: usize, to: usize, group: LogicGroup) {
        let node = &self.nodes[to];
        let voter = node.process.as_ref().filter(|_| self.votes(to)).map(|p| &p.voter);
        let chosen = voter.and_then(|v| v.slot(group)).and_then(|s| s.chosen.as_ref());
        let known = node.group(group).and_then(|replica| replica.register());
        let greatest = chosen.into_iter().chain(known).max_by_key(|register| register.epoch);
        let view = greatest.map(Register::view);
        if let (Some(_), Some(at_us)) = (&view, self.arrival_us()) {
            self.plan(
                at_us,
                What::Answer { client, id: 0, group, answer: Answer::Elsewhere(view) },
            );
        }
    }

    /// An answer arrived at a client.
    pub fn on_answer(&mut self, client: usize, id: u64, group: LogicGroup, answer: Answer) {
        let open = self.clients[client].open.filter(|open| open.id == id);
        match answer {
            Answer::Elsewhere(view) => {
                let adopted = view.is_some_and(|v| self.clients[client].views.adopt(group, v));
                let asked = self.clients[client]
                    .open
                    .is_some_and(|open| self.setup.lane_of(open.key).group == group);
                if asked && (adopted || open.is_some()) {
                    let turn = self.clients[client].turn;
                    let wait_us = if adopted { 100 } else { 10_000 };
                    self.plan(self.now_us + wait_us, What::Client { client, turn });
                }
            }
            Answer::Value(value) => {
                let Some(open) = open else { return };
                let check = match open.ask {
                    _ if open.acks == Acks::One => Ok(()),
                    Ask::Incr => self.checks.history.on_acked(&open, value, self.now_us),
                    Ask::Get => self.checks.history.on_read(&open, value),
                };
                self.checks.note(check);
                let slow = self.clients[client].open.take().is_some_and(|o| o.tries > 1);
                if self.clients[client].probe.take().is_some() || self.quiet {
                    return;
                }
                if client >= CLIENTS {
                    return;
                }
                self.clients[client].turn += 1;
                let turn = self.clients[client].turn;
                let think_us = self.rng.range(1_000, if slow { 5_000 } else { 60_000 });
                self.plan(self.now_us + think_us, What::Client { client, turn });
            }
        }
    }

    /// Every client's proxy begins without a view.
    pub fn start_clients(&mut self) {
        for client in 0..CLIENTS {
            self.plan(self.now_us + 1, What::Client { client, turn: 0 });
        }
    }

    /// The sum of the groups' epochs, for the report.
    #[must_use]
    pub fn epochs(&self) -> u64 {
        self.registers.iter().flatten().map(|register| register.epoch.0).sum()
    }
}
