//! The machines' actions carried out in their order: what comes behind a durable store waits for it.

use common::ids::Lane;
use storage_node::replication::action::Action;
use storage_node::replication::lane::Role;
use storage_node::replication::message::Term;
use storage_node::replication::position::{Head, Position};

use crate::client::Answer;
use crate::log::Rec;
use crate::node::{Busy, LeadState, Unit};
use crate::setup::node_of;
use crate::world::{What, World};

fn is_store(action: &Action) -> bool {
    matches!(action, Action::StoreSlot(..) | Action::StorePromise(..))
}

impl World {
    /// A group's actions, up to the first that has to be durable.
    pub fn run_group(&mut self, node: usize, group: usize, actions: Vec<Action>, recs: &[Rec]) {
        let mut rest = std::collections::VecDeque::from(actions);
        while let Some(action) = rest.pop_front() {
            if is_store(&action) {
                rest.push_front(action);
                let busy = Busy { rest, recs: recs.to_vec(), ..Busy::default() };
                return self.store(node, Unit::Group(group), busy);
            }
            self.act(node, action, recs);
        }
    }

    /// A voter's actions: one store for all of them, then what depends on it.
    pub fn run_voter(&mut self, node: usize, mut actions: Vec<Action>) {
        if actions.iter().any(is_store) {
            let rest = actions.into();
            return self.store(node, Unit::Voter, Busy { rest, ..Busy::default() });
        }
        if !self.votes(node) {
            actions.clear();
        }
        for action in actions {
            self.act(node, action, &[]);
        }
    }

    fn store(&mut self, node: usize, unit: Unit, busy: Busy) {
        let life = self.nodes[node].life;
        let Some(process) = self.nodes[node].process.as_mut() else {
            return;
        };
        process.busy.insert(unit, busy);
        let at_us = self.now_us + self.rng.range(300, self.setup.store_us);
        self.plan(at_us, What::Stored { node, life, unit });
    }

    /// What a unit waited for is durable.
    pub fn stored(&mut self, node: usize, unit: Unit) {
        let process = self.nodes[node].process.as_mut();
        let Some(mut busy) = process.and_then(|process| process.busy.remove(&unit)) else {
            return;
        };
        match unit {
            Unit::Voter => {
                // Who is no voter any more answers nothing.
                let votes = self.votes(node);
                for action in busy.rest.into_iter().filter(|action| votes || is_store(action)) {
                    self.act(node, action, &[]);
                }
                if !busy.inputs.is_empty() {
                    self.voter_inputs(node, busy.inputs);
                }
            }
            Unit::Group(group) => {
                if let Some(store) = busy.rest.pop_front() {
                    self.act(node, store, &[]);
                }
                self.run_group(node, group, busy.rest.into(), &busy.recs);
                let process = self.nodes[node].process.as_mut();
                match process.and_then(|process| process.busy.get_mut(&unit)) {
                    Some(again) => again.inputs = busy.inputs,
                    None => self.group_inputs(node, group, busy.inputs.into()),
                }
            }
        }
    }

    /// Carries out one action.
    pub fn act(&mut self, node: usize, action: Action, recs: &[Rec]) {
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
                let check = self.checks.one_register.on_register(&register);
                self.checks.note(check);
                let known = &mut self.registers[usize::from(register.group.0)];
                if known.as_ref().is_none_or(|known| known.epoch < register.epoch) {
                    *known = Some(register.clone());
                }
                self.nodes[node].disk.registers.insert(register.group, register);
            }
            Action::Departed(_) => self.departed(node),
            Action::Serves(_) | Action::Holds(_) => {}
        }
    }

    /// Puts a record into a node's log.
    pub fn append(&mut self, node: usize, lane: Lane, rec: Rec) {
        let check = self.checks.i5_one_content.on_append(lane, &rec);
        self.checks.note(check);
        let now_us = self.now_us;
        self.nodes[node].disk.logs.entry(lane).or_default().append(now_us, rec);
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
        let now_us = self.now_us;
        let Some(process) = self.nodes[node].process.as_mut() else {
            return;
        };
        let Some(state) = process.leads.get_mut(&lane).filter(|_| leads) else {
            self.checks.i3_kill.on_known_official(node, lane, at);
            return;
        };
        state.advance(at.lsn);
        let leader = self.checks.i16_one_leader.on_official(lane, at.epoch, node);
        let lost = self.checks.history.on_official(now_us, lane, state);
        self.checks.note(leader);
        match lost {
            Err(failure) => self.checks.note(Err(failure)),
            Ok(true) => self.lower_floors(lane),
            Ok(false) => {}
        }
        self.release(node, lane);
    }

    /// After a loss that is allowed, clients may see older values again.
    fn lower_floors(&mut self, lane: Lane) {
        for client in &mut self.clients {
            if let Some(open) = &mut client.open
                && self.setup.lane_of(open.key) == lane
            {
                open.floor = open.floor.min(self.checks.history.floor(open.key));
            }
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
        for waiting in state.waiting {
            self.answer(&waiting.request, term.lane.group, Answer::Elsewhere(None));
        }
    }
}
