//! Inputs of a node's machines. While something of a unit is being made durable its inputs wait.

use common::ids::{Lane, LogicGroup};
use storage_node::replication::action::Action;
use storage_node::replication::member::GroupReplica;
use storage_node::replication::member::messages::addressee;
use storage_node::replication::message::{Message, RegisterMessage, Term};
use storage_node::replication::position::{Head, Position};
use storage_node::replication::register::VoterGeneration;

use crate::client::{Acks, Answer};
use crate::log::Rec;
use crate::node::{Input, Node, Unit};
use crate::setup::{group_id, node_id};
use crate::world::{What, World};

/// For whom on a node a message is; `None`: for its leases.
fn unit_of(message: &Message) -> Option<Unit> {
    match message {
        Message::Renew { .. } | Message::AskRegister { .. } => Some(Unit::Voter),
        Message::Register { step, .. } if is_asked(step) => Some(Unit::Voter),
        Message::Granted { .. } => None,
        other => addressee(other).map(|(group, _)| Unit::Group(usize::from(group.0))),
    }
}

fn is_asked(step: &RegisterMessage) -> bool {
    matches!(
        step,
        RegisterMessage::Prepare | RegisterMessage::Accept { .. } | RegisterMessage::Chosen { .. }
    )
}

impl World {
    /// A message of a voter generation arrived at a running node.
    pub fn deliver(
        &mut self,
        (from, to): (usize, usize),
        generation: VoterGeneration,
        message: Message,
        recs: Vec<Rec>,
    ) {
        if !self.same_generation(from, to, generation) {
            return;
        }
        let unit = unit_of(&message);
        if unit == Some(Unit::Voter) && !self.votes(to) {
            return;
        }
        if let Some(unit) = unit {
            return self.input(to, unit, Input::Peer(from, message, recs));
        }
        let Message::Granted { sent_ms, granted, refused } = message else {
            return;
        };
        let Some(process) = self.nodes[to].process.as_mut() else {
            return;
        };
        let before = self.checks.i18_old_terms.leases(process);
        process.leases.on_granted(node_id(from), sent_ms, &granted);
        let check = self.checks.i18_old_terms.on_granted(process, &before, &granted);
        self.checks.note(check);
        for term in refused {
            let group = usize::from(term.lane.group.0);
            if !self.nodes[to].is_busy(Unit::Group(group)) {
                self.step_group(to, group, false, &[], |replica, now_ms, actions| {
                    replica.on_refused(now_ms, term, actions);
                });
            }
        }
    }

    /// Something arrived for a unit of a running node.
    pub fn input(&mut self, node: usize, unit: Unit, input: Input) {
        let Some(process) = self.nodes[node].process.as_mut() else {
            return;
        };
        if let Some(busy) = process.busy.get_mut(&unit) {
            return busy.inputs.push_back(input);
        }
        self.take_input(node, unit, input);
    }

    fn take_input(&mut self, node: usize, unit: Unit, input: Input) {
        let Unit::Group(group) = unit else {
            let mut actions = Vec::new();
            self.ask_voter(node, input, &mut actions);
            return self.run_voter(node, actions);
        };
        match input {
            Input::Peer(from, message, recs) => self.peer_input(node, group, from, message, &recs),
            Input::Gone(term) => {
                self.step_group(node, group, false, &[], |replica, _, actions| {
                    replica.on_reseed(term, actions);
                });
            }
            Input::Request(request) => self.on_request(node, request),
            Input::Durable(lane, at) => {
                self.step_group(node, group, false, &[], |replica, now_ms, actions| {
                    replica.on_durable(now_ms, lane, at, actions);
                });
                self.release(node, lane);
            }
        }
    }

    fn peer_input(
        &mut self,
        node: usize,
        group: usize,
        from: usize,
        message: Message,
        recs: &[Rec],
    ) {
        let (peer, lazy) = (node_id(from), self.setup.lazy);
        match message {
            Message::Register { group: of, ballot, step } => {
                self.step_group(node, group, false, &[], |replica, now_ms, actions| {
                    replica.on_voter(now_ms, peer, (of, ballot), step, actions);
                });
            }
            Message::Records(records) => {
                let heads: Vec<Head> = recs.iter().map(|rec| rec.head.clone()).collect();
                self.step_group(node, group, lazy, recs, |replica, now_ms, actions| {
                    replica.on_records(now_ms, peer, &records, &heads, actions);
                });
            }
            Message::Pull(pull) => {
                let term = pull.term;
                let old_terms = self.checks.i18_old_terms;
                let mut check = Ok(());
                self.step_group(node, group, lazy, &[], |replica, now_ms, actions| {
                    let acked = old_terms.acknowledged(replica, term);
                    replica.on_message(now_ms, peer, Message::Pull(pull), actions);
                    check = old_terms.on_pull(replica, term, &acked);
                });
                self.checks.note(check);
                self.release(node, term.lane);
            }
            other => {
                self.step_group(node, group, false, &[], |replica, now_ms, actions| {
                    replica.on_message(now_ms, peer, other, actions);
                });
            }
        }
    }

    fn ask_voter(&mut self, node: usize, input: Input, actions: &mut Vec<Action>) {
        let now_ms = self.nodes[node].local_ms(self.now_us);
        let (Some(process), Input::Peer(from, message, _)) =
            (self.nodes[node].process.as_mut(), input)
        else {
            return;
        };
        let (voter, peer) = (&mut process.voter, node_id(from));
        match message {
            Message::Register { group, ballot, step } => {
                voter.on_register(now_ms, peer, (group, ballot), step, actions);
            }
            Message::Renew { sent_ms, terms } => {
                voter.on_renew(now_ms, peer, sent_ms, &terms, actions);
            }
            Message::AskRegister { group, known } => voter.on_ask(peer, group, known, actions),
            _ => {}
        }
    }

    /// Everything that arrived for a voter while it waited for its disk: one more store for all.
    pub fn voter_inputs(&mut self, node: usize, inputs: impl IntoIterator<Item = Input>) {
        let mut actions = Vec::new();
        for input in inputs {
            self.ask_voter(node, input, &mut actions);
        }
        self.run_voter(node, actions);
    }

    /// What arrived for a group while it waited for its disk, until it waits again.
    pub fn group_inputs(&mut self, node: usize, group: usize, mut inputs: Vec<Input>) {
        let unit = Unit::Group(group);
        inputs.reverse();
        while let Some(input) = inputs.pop() {
            self.take_input(node, unit, input);
            let process = self.nodes[node].process.as_mut();
            if let Some(busy) = process.and_then(|process| process.busy.get_mut(&unit)) {
                busy.inputs.extend(inputs.into_iter().rev());
                return;
            }
        }
        self.step_group(node, group, false, &[], |_, _, _| {});
    }

    /// A step of a group that is not waiting, then its timers unless they may wait, then its actions.
    pub fn step_group(
        &mut self,
        node: usize,
        group: usize,
        lazy: bool,
        recs: &[Rec],
        step: impl FnOnce(&mut GroupReplica, u64, &mut Vec<Action>),
    ) {
        let now_ms = self.nodes[node].local_ms(self.now_us);
        let process = self.nodes[node].process.as_mut();
        let Some(replica) = process.and_then(|process| process.groups.get_mut(group)) else {
            return;
        };
        let before: Vec<Term> = replica.lanes().iter().filter_map(|lane| lane.serves()).collect();
        let mut actions = Vec::new();
        step(replica, now_ms, &mut actions);
        if !lazy {
            replica.on_timeout(now_ms, &mut actions);
        }
        let check = self.checks.i17_other_lanes.on_step(replica, &before, &actions);
        self.checks.note(check);
        self.run_group(node, group, actions, recs);
        self.plan_wake(node);
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
        for action in actions {
            self.act(node, action, &[]);
        }
        for group in (0..groups).map(|g| usize::from(group_id(g).0)) {
            if !self.nodes[node].is_busy(Unit::Group(group)) {
                self.step_group(node, group, false, &[], |_, _, _| {});
            }
        }
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

    /// The node's log became durable, unless its disk is stuck.
    pub fn sync(&mut self, node: usize) {
        let stuck_us = self.nodes[node].stuck_until_us;
        if stuck_us > self.now_us {
            self.nodes[node].sync_us = stuck_us;
            return self.plan(stuck_us, What::Sync(node));
        }
        self.nodes[node].sync_us = u64::MAX;
        let synced: Vec<(Lane, Position)> = (self.nodes[node].disk.logs.iter_mut())
            .filter(|(_, log)| log.unsynced() > 0)
            .map(|(lane, log)| (*lane, log.sync()))
            .collect();
        for (lane, at) in synced {
            let unit = Unit::Group(usize::from(lane.group.0));
            self.input(node, unit, Input::Durable(lane, at));
        }
    }

    /// Answers those who wait for a record of a lane that this node leads, if enough hold it.
    pub fn release(&mut self, node: usize, lane: Lane) {
        let group: LogicGroup = lane.group;
        let Node { process: Some(process), disk, .. } = &mut self.nodes[node] else {
            return;
        };
        let replica = process.groups.get(usize::from(group.0));
        let replica = replica.and_then(|replica| replica.lane(lane.server));
        let (Some(replica), Some(state)) = (replica, process.leads.get_mut(&lane)) else {
            return;
        };
        let log = disk.logs.get(&lane);
        let (always, servers) = (self.setup.always, self.setup.rf);
        let waiting = std::mem::take(&mut state.waiting);
        let (ready, waiting): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|waiting| {
            let at = state.flat[waiting.place].head.at;
            // Who holds the stream's first record holds everything before it.
            let lsn = if waiting.place < state.base { state.first } else { at.lsn };
            let official = waiting.place < state.official;
            match waiting.request.acks {
                Acks::One => !always || log.is_some_and(|log| log.had(at).1),
                Acks::Step => official,
                Acks::Majority => official && replica.acked_by(lsn, always) > servers / 2,
                Acks::All => official && replica.acked_by(lsn, always) >= servers,
            }
        });
        state.waiting = waiting;
        let ready: Vec<_> = ready.into_iter().map(|w| (w, state.flat[w.place].head.at)).collect();
        for (waiting, at) in ready {
            let check = self.acks_reached(lane, at, waiting.request.acks);
            self.checks.note(check);
            self.answer(&waiting.request, group, Answer::Value(waiting.op.answer));
        }
    }
}
