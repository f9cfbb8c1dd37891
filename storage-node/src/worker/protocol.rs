//! The driver of the groups' protocol: inputs go into the machines, their actions are carried out
//! in order. What a `Store…` action names is durable before anything behind it is begun; a group
//! that waits for that keeps its inputs back. Records are put into the log with the turn, and what
//! stands behind them waits for its end.

use common::codec::Reader;
use common::ids::{Lane, LogicGroup, NodeId};
use common::log_record::LogRecord;
use common::register::{Register, VoterSet};

use crate::control::{Change, ControlEvent, Request};
use crate::replication::action::Action;
use crate::replication::member::messages::addressee;
use crate::replication::message::{Message, RegisterMessage, Term};
use crate::replication::position::{Head, Position};
use crate::replication::wire::{self, Incoming};
use crate::worker::core::Core;
use crate::worker::input::{Arrived, INPUTS_MAX, Input};

/// No records.
pub(super) const NONE: &[&[u8]] = &[];

impl Core {
    /// A frame of another node. What is malformed ends the connection.
    ///
    /// # Errors
    /// The bytes are no messages of this version; those before were handled.
    pub(crate) fn on_peer_frame(
        &mut self,
        from: NodeId,
        body: &[u8],
    ) -> Result<(), common::codec::DecodeError> {
        self.links.answered(from);
        let mut reader = Reader::new(body);
        let generation = wire::take_generation(&mut reader)?;
        while !reader.rest().is_empty() {
            match wire::take(&mut reader)? {
                Incoming::Message(message) => self.on_message(from, generation, message),
                Incoming::Records { records, safe_ms, sync, bodies } => {
                    let group = records.term.lane.group;
                    self.on_records(group, &Arrived { from, records, safe_ms, sync, bodies });
                }
                Incoming::Voters(set) => {
                    let worker = self.index;
                    self.ask_control(Request::Learn { worker, from, set });
                }
                Incoming::NeedsReseed(term) => self.on_reseed(term),
            }
        }
        Ok(())
    }

    /// A message from a node, perhaps this one.
    pub(super) fn on_message(
        &mut self,
        from: NodeId,
        generation: common::ids::VoterGeneration,
        message: Message,
    ) {
        if is_for_voter(&message) {
            let worker = self.index;
            return self.ask_control(Request::Voter { worker, from, generation, message });
        }
        match message {
            Message::Granted { sent_ms, granted, refused } => {
                self.on_granted(from, sent_ms, &granted, &refused);
            }
            message => {
                let Some((group, _)) = addressee(&message) else { return };
                self.on_group_message(group, from, message);
            }
        }
    }

    fn on_group_message(&mut self, id: LogicGroup, from: NodeId, message: Message) {
        let now_ms = self.mono_ms;
        let Some(group) = self.groups.get_mut(&id).filter(|group| !group.left) else { return };
        if group.waits.is_some() {
            if group.inputs.len() < INPUTS_MAX {
                group.inputs.push_back(Input::Message(from, message));
            }
            return;
        }
        let mut actions = std::mem::take(&mut self.actions);
        let hot = matches!(message, Message::Pull(_));
        group.replica.on_message(now_ms, from, message, &mut actions);
        self.carry_out(id, &mut actions, NONE);
        self.actions = actions;
        if hot { self.soon(id) } else { self.on_group_timeout(id) }
    }

    /// Records arrived from a leader.
    pub(super) fn on_records<B: AsRef<[u8]>>(&mut self, id: LogicGroup, arrived: &Arrived<B>) {
        let now_ms = self.mono_ms;
        let full = self.shared.memory.is_full_for_copies();
        let refuses = full || self.shared.record_refusal().is_some();
        let Some(group) = self.groups.get_mut(&id).filter(|group| !group.left) else { return };
        let Arrived { from, records, safe_ms, sync, bodies } = arrived;
        if refuses || group.stopped.is_some() {
            // A node that cannot keep records makes no progress, and so leaves R when there are any.
            // Its leader lives all the same.
            return group.replica.on_heartbeat(now_ms, *from, records.term);
        }
        if group.waits.is_some() {
            if group.inputs.len() < INPUTS_MAX {
                let bodies = bodies.iter().map(|body| body.as_ref().to_vec()).collect();
                let records = records.clone();
                let (from, safe_ms, sync) = (*from, *safe_ms, *sync);
                let owned = Arrived { from, records, safe_ms, sync, bodies };
                group.inputs.push_back(Input::Records(owned));
            }
            return;
        }
        let lane = records.term.lane;
        let mut heads = std::mem::take(&mut self.heads);
        heads.clear();
        for body in bodies {
            match head_of(body.as_ref(), lane) {
                Ok(head) => heads.push(head),
                Err(error) => {
                    tracing::error!(%lane, from = from.0, error, "records were refused");
                    self.heads = heads;
                    return;
                }
            }
        }
        let mut actions = std::mem::take(&mut self.actions);
        group.replica.on_records(now_ms, *from, records, &heads, &mut actions);
        let told = Position { epoch: records.term.since, lsn: records.official };
        let official = group.lane_replica(lane.server).map(|replica| replica.official());
        if official.is_some_and(|official| official >= told && official.epoch == told.epoch)
            && let Some(data) = group.lane_mut(lane.server)
        {
            data.safe_ms = data.safe_ms.max(*safe_ms);
        }
        self.heads = heads;
        self.turn.sync |= *sync && !bodies.is_empty();
        self.carry_out(id, &mut actions, bodies);
        self.actions = actions;
        self.soon(id);
    }

    /// Records that this server lacks have left their leader's log.
    fn on_reseed(&mut self, term: Term) {
        let id = term.lane.group;
        let Some(group) = self.groups.get_mut(&id) else { return };
        if group.left || group.waits.is_some() {
            return; // It is told again.
        }
        let mut actions = std::mem::take(&mut self.actions);
        group.replica.on_reseed(term, &mut actions);
        self.carry_out(id, &mut actions, NONE);
        self.actions = actions;
    }

    /// A voter answered a renewal.
    fn on_granted(&mut self, from: NodeId, sent_ms: u64, granted: &[Term], refused: &[Term]) {
        self.leases.on_granted(from, sent_ms, granted);
        for term in granted {
            let until_ms = self.leases.until_ms(*term).unwrap_or(0);
            let lane = self.groups.get_mut(&term.lane.group);
            if let Some(lead) = lane
                .and_then(|group| group.lane_mut(term.lane.server))
                .and_then(|lane| lane.lead_in(*term))
            {
                lead.lease_until_ms = until_ms;
            }
        }
        for term in refused {
            let (id, now_ms) = (term.lane.group, self.mono_ms);
            let Some(group) = self.groups.get_mut(&id) else { continue };
            if group.left || group.waits.is_some() {
                continue;
            }
            let mut actions = std::mem::take(&mut self.actions);
            group.replica.on_refused(now_ms, *term, &mut actions);
            self.carry_out(id, &mut actions, NONE);
            self.actions = actions;
        }
    }

    /// The control thread did something for this worker.
    pub(crate) fn on_control(&mut self, event: ControlEvent) {
        match event {
            ControlEvent::Stored(ticket) => self.on_stored(ticket),
            ControlEvent::Answers(answers) => {
                for (to, message) in answers {
                    if to == self.shared.node {
                        self.on_message(to, self.voters.generation, message);
                    } else {
                        self.put_message(to, &message);
                    }
                }
            }
            ControlEvent::VotersTo(node, set) => {
                self.links.put(node, None, |out| wire::put_voters(out, &set));
            }
            ControlEvent::Voters(set) => self.set_voters(set),
        }
    }

    /// A newer voter set is in force.
    fn set_voters(&mut self, set: VoterSet) {
        if set.generation <= self.voters.generation {
            return;
        }
        self.links.set_generation(set.generation);
        self.leases.set_voters(set.voters.clone());
        self.voters = set;
        // Grants of voters that left count no more.
        for lane in self.groups.values_mut().flat_map(|group| &mut group.lanes) {
            if let Some(lead) = &mut lane.lead {
                lead.lease_until_ms = self.leases.until_ms(lead.term).unwrap_or(0);
            }
        }
        let ids: Vec<LogicGroup> = self.groups.keys().copied().collect();
        for id in ids {
            if let Some(group) = self.groups.get_mut(&id) {
                group.replica.set_voters(self.mono_ms, self.voters.clone());
                group.next_ms = 0;
            }
        }
    }

    /// Has something made durable; what there is no room for is handed over again later.
    pub(super) fn store(&mut self, ticket: u64, changes: Vec<Change>) {
        let worker = self.index;
        let kept = changes.clone();
        if !self.shared.control.request(Request::Store { worker, ticket, changes }) {
            self.unsent.push((ticket, kept));
        }
    }

    /// Hands something to the control thread that is repeated by whoever wants it.
    fn ask_control(&self, request: Request) {
        if !self.shared.control.request(request) {
            tracing::debug!("a message for the voter was dropped: too many wait");
        }
    }

    /// What a group waited for is durable.
    fn on_stored(&mut self, ticket: u64) {
        let Some(id) = self.tickets.remove(&ticket) else { return };
        let Some(group) = self.groups.get_mut(&id) else { return };
        let Some((_, mut rest)) = group.waits.take() else { return };
        self.carry_out(id, &mut rest, NONE);
        self.on_group_timeout(id);
        while let Some(group) = self.groups.get_mut(&id)
            && group.waits.is_none()
            && let Some(input) = group.inputs.pop_front()
        {
            match input {
                Input::Message(from, message) => self.on_group_message(id, from, message),
                Input::Records(arrived) => self.on_records(id, &arrived),
            }
        }
    }

    /// The machines' timers.
    pub(crate) fn on_timers(&mut self) {
        let now_ms = self.mono_ms;
        self.links.release();
        for (ticket, changes) in std::mem::take(&mut self.unsent) {
            self.store(ticket, changes);
        }
        let mut actions = std::mem::take(&mut self.actions);
        self.leases.on_timeout(now_ms, &mut actions);
        for action in actions.drain(..) {
            if let Action::Send(to, message) = action {
                self.send(to, message);
            }
        }
        self.actions = actions;
        let due = self.groups.values().filter(|group| group.next_ms <= now_ms);
        let due: Vec<LogicGroup> = due.map(|group| group.id).collect();
        for id in due {
            self.on_group_timeout(id);
            self.answer_short(id);
        }
    }

    /// Calls a group's machines, which is due after every input.
    pub(super) fn on_group_timeout(&mut self, id: LogicGroup) {
        let now_ms = self.mono_ms;
        let Some(group) = self.groups.get_mut(&id) else { return };
        if group.left || group.waits.is_some() {
            // It is called when that is done.
            group.next_ms = u64::MAX;
            return;
        }
        let mut actions = std::mem::take(&mut self.actions);
        group.replica.on_timeout(now_ms, &mut actions);
        group.next_ms = group.replica.poll_timeout().max(now_ms + 1);
        self.carry_out(id, &mut actions, NONE);
        self.actions = actions;
    }

    /// The group's machines are called with the next tick: under load that is often enough.
    pub(super) fn soon(&mut self, id: LogicGroup) {
        let now_ms = self.mono_ms;
        if let Some(group) = self.groups.get_mut(&id) {
            group.next_ms = group.next_ms.min(now_ms);
        }
    }

    /// A link to a node could not be made, or ended: nobody need wait for its silence.
    pub(crate) fn on_refused_address(&mut self, node: NodeId) {
        let now_ms = self.mono_ms;
        for group in self.groups.values_mut() {
            group.replica.on_refused_address(now_ms, node);
            group.next_ms = group.next_ms.min(now_ms);
        }
    }

    /// The node cannot keep records any more. Where other servers can, it takes no further part in
    /// the protocol, so that they go on without it; what it alone holds can still be read.
    pub(super) fn leave(&mut self, cause: &str) {
        let me = self.shared.node;
        let mut ended = Vec::new();
        for group in self.groups.values_mut().filter(|group| !group.left) {
            let others = |register: &Register| register.in_step.iter().any(|node| *node != me);
            if !group.replica.register().is_none_or(others) {
                continue;
            }
            ended.extend(group.terms());
            group.leave(cause);
        }
        ended.into_iter().for_each(|term| self.on_ended(term));
    }

    /// The process is about to stop: hand everything over.
    pub(crate) fn depart(&mut self) {
        self.departs = true;
        let ids: Vec<LogicGroup> = self.groups.keys().copied().collect();
        for id in ids {
            if let Some(group) = self.groups.get_mut(&id) {
                group.replica.on_depart();
            }
            self.on_group_timeout(id);
        }
    }

    /// Whether nothing is left to hand over. A group that never had a register has nothing.
    pub(crate) fn has_departed(&self) -> bool {
        let left = |group: &crate::worker::group::Group| {
            group.departed
                || group.left
                || group.replica.register().is_none()
                || group.replica.is_stranger()
        };
        self.groups.values().all(left)
    }
}

fn is_for_voter(message: &Message) -> bool {
    match message {
        Message::Register { step, .. } => matches!(
            step,
            RegisterMessage::Prepare
                | RegisterMessage::Accept { .. }
                | RegisterMessage::Chosen { .. }
        ),
        Message::Renew { .. } | Message::AskRegister { .. } => true,
        _ => false,
    }
}

/// What the protocol sees of a record, if it is one of this lane.
fn head_of(body: &[u8], lane: Lane) -> Result<Head, String> {
    // All of it: what is in the log has to be readable at the next start.
    let record = LogRecord::decode(body).map_err(|error| error.to_string())?;
    let head = record.head;
    if head.stream.lane != lane {
        return Err(format!("a record of {} among those of {lane}", head.stream));
    }
    let position = |(epoch, lsn)| Position { epoch, lsn };
    Ok(Head {
        at: Position { epoch: head.stream.epoch, lsn: head.lsn },
        ends: record.ends.map(|ends| ends.into_iter().map(position).collect()),
    })
}
