//! Inputs of a node's machines, and their actions carried out.

use common::ids::{Lane, LogicGroup};
use storage_node::replication::action::Action;
use storage_node::replication::lane::Role;
use storage_node::replication::member::messages::addressee;
use storage_node::replication::message::{Message, RegisterMessage, Term};
use storage_node::replication::position::{Head, Position};

use crate::client::{Answer, Ask, Request};
use crate::log::Rec;
use crate::node::LeadState;
use crate::setup::{group_id, node_id, node_of};
use crate::world::{What, World};

impl World {
    /// A message arrived at a running node.
    pub fn deliver(&mut self, from: usize, to: usize, message: Message, recs: &[Rec]) {
        let now_ms = self.nodes[to].local_ms(self.now_us);
        let mut actions = Vec::new();
        let group = addressee(&message).map(|(group, _)| group);
        let before = self.before(to, group);
        let Some(process) = self.nodes[to].process.as_mut() else {
            return;
        };
        let peer = node_id(from);
        match message {
            Message::Register { group, ballot, step } => match step {
                RegisterMessage::Prepare
                | RegisterMessage::Accept { .. }
                | RegisterMessage::Chosen { .. } => {
                    process.voter.on_register(now_ms, peer, (group, ballot), step, &mut actions);
                }
                _ => {
                    let replica = process.groups.get_mut(usize::from(group.0));
                    let Some(replica) = replica else { return };
                    replica.on_voter(now_ms, peer, (group, ballot), step, &mut actions);
                }
            },
            Message::Renew { sent_ms, terms } => {
                process.voter.on_renew(now_ms, peer, sent_ms, &terms, &mut actions);
            }
            Message::Granted { sent_ms, granted, refused } => {
                let leases_before = self.checks.i18_old_terms.leases(process);
                process.leases.on_granted(peer, sent_ms, &granted);
                let check = self.checks.i18_old_terms.on_granted(process, &leases_before, &granted);
                self.checks.note(check);
                for term in refused {
                    let replica = process.groups.get_mut(usize::from(term.lane.group.0));
                    if let Some(replica) = replica {
                        replica.on_refused(now_ms, term, &mut actions);
                    }
                }
            }
            Message::AskRegister { group, known } => {
                process.voter.on_ask(peer, group, known, &mut actions);
            }
            Message::Records(records) => {
                let heads: Vec<Head> = recs.iter().map(|rec| rec.head.clone()).collect();
                let replica = process.groups.get_mut(usize::from(records.term.lane.group.0));
                let Some(replica) = replica else { return };
                replica.on_records(now_ms, peer, &records, &heads, &mut actions);
            }
            Message::Pull(pull) => {
                let replica = process.groups.get_mut(usize::from(pull.term.lane.group.0));
                let Some(replica) = replica else { return };
                let term = pull.term;
                let acked = self.checks.i18_old_terms.acknowledged(replica, term);
                replica.on_message(now_ms, peer, Message::Pull(pull), &mut actions);
                let check = self.checks.i18_old_terms.on_pull(replica, term, &acked);
                self.checks.note(check);
            }
            other => {
                let replica = group.and_then(|g| process.groups.get_mut(usize::from(g.0)));
                let Some(replica) = replica else { return };
                replica.on_message(now_ms, peer, other, &mut actions);
            }
        }
        self.finish_input(to, group, before, actions, recs);
    }

    /// A node's timers.
    pub fn wake(&mut self, node: usize) {
        self.nodes[node].wake_us = u64::MAX;
        let now_ms = self.nodes[node].local_ms(self.now_us);
        let mut actions = Vec::new();
        let Some(process) = self.nodes[node].process.as_mut() else {
            return;
        };
        process.leases.on_timeout(now_ms, &mut actions);
        let groups = process.groups.len();
        self.act(node, actions, &[]);
        for group in 0..groups {
            let before = self.before(node, Some(group_id(group)));
            self.finish_input(node, Some(group_id(group)), before, Vec::new(), &[]);
        }
        self.plan_wake(node);
    }

    fn before(&self, node: usize, group: Option<LogicGroup>) -> Vec<Term> {
        let replica = group.and_then(|group| self.nodes[node].group(group));
        let lanes = replica.map(|r| r.lanes()).unwrap_or_default();
        lanes.iter().filter_map(|lane| lane.serves()).collect()
    }

    /// Carries out an input's actions and those of the group's next step.
    pub fn finish_input(
        &mut self,
        node: usize,
        group: Option<LogicGroup>,
        before: Vec<Term>,
        actions: Vec<Action>,
        recs: &[Rec],
    ) {
        let mut later = Vec::new();
        let now_ms = self.nodes[node].local_ms(self.now_us);
        let mut seen = actions.clone();
        self.act(node, actions, recs);
        if let Some(process) = self.nodes[node].process.as_mut()
            && let Some(replica) = group.and_then(|g| process.groups.get_mut(usize::from(g.0)))
        {
            replica.on_timeout(now_ms, &mut later);
            seen.extend(later.iter().cloned());
            let check = self.checks.i17_other_lanes.on_step(replica, &before, &seen);
            self.checks.note(check);
        }
        self.act(node, later, &[]);
        self.plan_wake(node);
    }

    /// Plans the next call of a node's machines.
    pub fn plan_wake(&mut self, node: usize) {
        let Some(process) = self.nodes[node].process.as_ref() else {
            return;
        };
        let groups = process.groups.iter().map(|group| group.poll_timeout());
        let Some(next_ms) = groups.chain(process.leases.poll_timeout()).min() else {
            return;
        };
        let at_us = self.nodes[node].real_us(next_ms).max(self.now_us + 5_000);
        if at_us < self.nodes[node].wake_us {
            self.nodes[node].wake_us = at_us;
            self.plan(at_us, What::Wake(node));
        }
    }

    /// Carries out actions in their order.
    pub fn act(&mut self, node: usize, actions: Vec<Action>, recs: &[Rec]) {
        for action in actions {
            if self.trace && !matches!(action, Action::Send(..)) {
                self.say(format_args!("n{node} {action:?}"));
            }
            match action {
                Action::Send(to, message) => self.send(node, node_of(to), message),
                Action::StoreSlot(group, slot) => {
                    self.nodes[node].disk.slots.insert(group, slot);
                }
                Action::StorePromise(lane, epoch) => {
                    self.nodes[node].disk.promises.insert(lane, epoch);
                }
                Action::Append(lane, range) => {
                    let received = recs.get(range).unwrap_or_default().to_vec();
                    let first = received.iter().any(|rec| rec.head.ends.is_some());
                    for rec in received {
                        self.append(node, lane, rec);
                    }
                    self.plan_sync(node, first);
                }
                Action::AppendFirst(lane, head) => self.begin_stream(node, lane, head),
                Action::Official(lane, at) => self.official(node, lane, at),
                Action::Void(lane, spans) => {
                    let log = self.nodes[node].disk.logs.entry(lane).or_default();
                    let ops: Vec<_> =
                        spans.iter().flat_map(|s| log.span(*s)).filter_map(|r| r.op).collect();
                    for op in ops {
                        self.offer_again(node, lane, op.key, op.request);
                    }
                }
                Action::Leads(term) => {
                    if let Some(process) = self.nodes[node].process.as_mut() {
                        process.leases.begin(term);
                    }
                }
                Action::Ended(term) => self.ended(node, term),
                Action::CaughtUp(lane) => {
                    self.nodes[node].disk.forgot.insert(lane, false);
                }
                Action::NewRegister(register) => {
                    let known = &mut self.registers[usize::from(register.group.0)];
                    if known.as_ref().is_none_or(|known| known.epoch < register.epoch) {
                        *known = Some(register);
                    }
                }
                Action::Departed(_) => self.departed(node),
                Action::Serves(_) | Action::Holds(_) => {}
            }
        }
    }

    /// Puts a record into a node's log.
    pub fn append(&mut self, node: usize, lane: Lane, rec: Rec) {
        let check = self.checks.i5_one_content.on_append(lane, &rec);
        self.checks.note(check);
        self.nodes[node].disk.logs.entry(lane).or_default().append(rec);
    }

    fn begin_stream(&mut self, node: usize, lane: Lane, head: Head) {
        let first = head.at.lsn;
        self.append(node, lane, Rec { head, op: None });
        self.plan_sync(node, true);
        let replica = self.nodes[node].group(lane.group).and_then(|g| g.lane(lane.server));
        let Some(held) = replica.map(|replica| replica.held().clone()) else {
            return;
        };
        let mut state = LeadState { first, ..LeadState::default() };
        for rec in self.nodes[node].disk.logs.entry(lane).or_default().flat(&held) {
            state.push(rec);
        }
        state.base = state.flat.len() - 1;
        if let Some(process) = self.nodes[node].process.as_mut() {
            process.leads.insert(lane, state);
        }
    }

    fn official(&mut self, node: usize, lane: Lane, at: Position) {
        let leads = self.nodes[node].group(lane.group).and_then(|group| group.lane(lane.server));
        let leads = leads
            .is_some_and(|lane| matches!(lane.role(), Role::Leading(_)) && lane.official() >= at);
        let Some(process) = self.nodes[node].process.as_mut() else {
            return;
        };
        let Some(state) = process.leads.get_mut(&lane).filter(|_| leads) else {
            self.checks.i3_kill.on_known_official(node, lane, at);
            return;
        };
        state.advance(at.lsn);
        let mut checks = vec![self.checks.i16_one_leader.on_official(lane, at.epoch, node)];
        checks.push(self.checks.history.on_official(lane, state));
        let official = state.official;
        let (ready, waiting): (Vec<_>, Vec<_>) =
            state.waiting.drain(..).partition(|(place, ..)| *place < official);
        state.waiting = waiting;
        for check in checks {
            self.checks.note(check);
        }
        for (_, client, op) in ready {
            let since = at.epoch;
            let (id, key) = (op.request, op.key);
            let request = Request { client: Some(client), id, ask: Ask::Incr, key, since };
            self.answer(&request, lane.group, Answer::Value(op.answer));
        }
    }

    fn ended(&mut self, node: usize, term: Term) {
        let Some(process) = self.nodes[node].process.as_mut() else {
            return;
        };
        process.leases.end(term);
        let Some(state) = process.leads.remove(&term.lane) else {
            return;
        };
        for (_, client, op) in state.waiting {
            let (id, key, since) = (op.request, op.key, term.since);
            let request = Request { client: Some(client), id, ask: Ask::Incr, key, since };
            self.answer(&request, term.lane.group, Answer::Elsewhere(None));
        }
    }

    /// Plans a sync of the node's log.
    pub fn plan_sync(&mut self, node: usize, soon: bool) {
        let most_us = self.setup.sync_ms * 1_000;
        let wait_us = if self.setup.always || soon {
            self.rng.range(500, most_us)
        } else {
            self.rng.range(600_000, 1_000_000)
        };
        let at_us = self.now_us + wait_us;
        if at_us < self.nodes[node].sync_us {
            self.nodes[node].sync_us = at_us;
            self.plan(at_us, What::Sync(node));
        }
    }

    /// The node's log became durable.
    pub fn sync(&mut self, node: usize) {
        self.nodes[node].sync_us = u64::MAX;
        let now_ms = self.nodes[node].local_ms(self.now_us);
        let synced: Vec<(Lane, Position)> = (self.nodes[node].disk.logs.iter_mut())
            .filter(|(_, log)| log.unsynced() > 0)
            .map(|(lane, log)| (*lane, log.sync()))
            .collect();
        for (lane, at) in synced {
            let before = self.before(node, Some(lane.group));
            let mut actions = Vec::new();
            if let Some(process) = self.nodes[node].process.as_mut()
                && let Some(group) = process.groups.get_mut(usize::from(lane.group.0))
            {
                group.on_durable(now_ms, lane, at, &mut actions);
            }
            self.finish_input(node, Some(lane.group), before, actions, &[]);
        }
    }
}
