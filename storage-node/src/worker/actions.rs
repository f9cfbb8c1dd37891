//! The actions of the groups' machines, carried out in their order. What a `Store…` action names is
//! durable before anything behind it is begun; what stands behind records that were added to the turn
//! waits until they are in the log.

use common::failure::{Failure, FailureCode};
use common::ids::{LogicGroup, NodeId};
use common::register::Register;

use crate::control::Change;
use crate::replication::action::Action;
use crate::replication::member::messages::addressee;
use crate::replication::message::{Message, Term};
use crate::replication::wire;
use crate::worker::core::Core;
use crate::worker::group::Group;
use crate::worker::lead::{LeadLane, Service};
use crate::worker::protocol::NONE;

impl Core {
    /// Carries out actions in their order.
    pub(super) fn carry_out<B: AsRef<[u8]>>(
        &mut self,
        id: LogicGroup,
        actions: &mut Vec<Action>,
        bodies: &[B],
    ) {
        self.take_away(id, actions);
        let mut rest = actions.drain(..);
        while let Some(action) = rest.next() {
            let Some(group) = self.groups.get_mut(&id).filter(|group| !group.left) else { return };
            match action {
                Action::Append(lane, range) => {
                    group.appending = true;
                    self.copy_records(lane, bodies.get(range).unwrap_or_default());
                }
                Action::AppendFirst(lane, head) => {
                    group.appending = true;
                    self.begin_stream(lane, &head);
                }
                action if group.appending => group.after_append.push(action),
                action @ (Action::StorePromise(..) | Action::StoreSlot(..)) => {
                    let mut changes = Vec::new();
                    let mut later = Vec::new();
                    for action in std::iter::once(action).chain(rest) {
                        match action {
                            Action::StorePromise(lane, epoch) => {
                                changes.push(Change::Promise(lane, epoch));
                            }
                            Action::StoreSlot(group, slot) => {
                                changes.push(Change::Slot(group, Box::new(slot)));
                            }
                            other => later.push(other),
                        }
                    }
                    self.next_ticket += 1;
                    let ticket = self.next_ticket;
                    group.waits = Some((ticket, later));
                    self.tickets.insert(ticket, id);
                    return self.store(ticket, changes);
                }
                action => self.act(id, action),
            }
        }
    }

    /// What ends a lane's service does not wait behind something that has to be durable first: until
    /// then writes would be evaluated that the protocol takes no more. Carried out again in its place
    /// among the others, it finds nothing to do.
    fn take_away(&mut self, id: LogicGroup, actions: &[Action]) {
        let waits = |group: &Group| group.appending || group.waits.is_some();
        let defers = |action: &Action| {
            matches!(
                action,
                Action::StorePromise(..)
                    | Action::StoreSlot(..)
                    | Action::Append(..)
                    | Action::AppendFirst(..)
            )
        };
        if !actions.iter().any(defers) && !self.groups.get(&id).is_some_and(waits) {
            return;
        }
        for action in actions {
            match action {
                Action::Ended(term) => self.on_ended(*term),
                Action::Holds(term) => drop(self.set_service(*term, Service::Holding)),
                _ => {}
            }
        }
    }

    /// Carries out what waited for the turn's records to be in the log.
    pub(super) fn after_append(&mut self) {
        let ids: Vec<LogicGroup> =
            self.groups.values().filter(|group| group.appending).map(|group| group.id).collect();
        for id in ids {
            let Some(group) = self.groups.get_mut(&id) else { continue };
            group.appending = false;
            let mut actions = std::mem::take(&mut group.after_append);
            self.carry_out(id, &mut actions, NONE);
        }
    }

    fn act(&mut self, id: LogicGroup, action: Action) {
        match action {
            Action::Send(to, message) => self.send(to, message),
            Action::Official(lane, at) => self.on_official(lane, at),
            Action::Void(lane, spans) => self.on_void(lane, &spans),
            Action::Leads(term) => self.on_leads(term),
            Action::Serves(term) => self.on_serves(term),
            Action::Holds(term) => drop(self.set_service(term, Service::Holding)),
            Action::Ended(term) => self.on_ended(term),
            Action::CaughtUp(lane) => {
                self.next_ticket += 1;
                self.store(self.next_ticket, vec![Change::CaughtUp(lane)]);
            }
            Action::NewRegister(register) => self.on_register(&register),
            Action::Departed(_) => {
                if let Some(group) = self.groups.get_mut(&id) {
                    group.departed = true;
                }
            }
            Action::StoreSlot(..)
            | Action::StorePromise(..)
            | Action::Append(..)
            | Action::AppendFirst(..) => unreachable!("handled by carry_out"),
        }
    }

    fn on_register(&mut self, register: &Register) {
        let names = |ids: &[NodeId]| -> Vec<String> {
            ids.iter().map(|id| self.shared.name_of(*id)).collect()
        };
        let leaders: Vec<NodeId> = register.lanes.iter().map(|leader| leader.node).collect();
        tracing::info!(
            group = %register.group, epoch = register.epoch.0,
            in_step = names(&register.in_step).join(","), leaders = names(&leaders).join(","),
            "register"
        );
        self.shared.note_members(&register.servers);
    }

    fn on_leads(&mut self, term: Term) {
        self.leases.begin(term);
        let group = self.groups.get_mut(&term.lane.group);
        if let Some(lane) = group.and_then(|group| group.lane_mut(term.lane.server)) {
            lane.lead = Some(LeadLane::new(term));
        }
    }

    fn set_service(&mut self, term: Term, service: Service) -> Option<&mut LeadLane> {
        let group = self.groups.get_mut(&term.lane.group)?;
        let lead = group.lane_mut(term.lane.server)?.lead_in(term)?;
        lead.service = service;
        Some(lead)
    }

    fn on_serves(&mut self, term: Term) {
        let parked = self.set_service(term, Service::Serving);
        let parked = parked.map(LeadLane::take_parked).unwrap_or_default();
        tracing::debug!(lane = %term.lane, since = term.since.0, "lane served");
        // Between inputs of the protocol: what is evaluated now must still be led when it is appended.
        self.resumed.extend(parked);
    }

    /// The lane is not led here any more: whoever waits is told where to go on.
    pub(super) fn on_ended(&mut self, term: Term) {
        self.leases.end(term);
        let name = self.shared.name.clone();
        let Some(group) = self.groups.get_mut(&term.lane.group) else { return };
        let view = group.replica.register().map(Register::view).unwrap_or_default();
        let Some(lane) = group.lane_mut(term.lane.server) else { return };
        if lane.lead_in(term).is_none() {
            return;
        }
        let Some(mut lead) = lane.lead.take() else { return };
        tracing::debug!(lane = %term.lane, since = term.since.0, "lane led no more");
        let place = format!("{} ({name})", term.lane.group);
        let gone = Failure::with_view(
            FailureCode::NotLeader,
            format!("{place}: leads {} no more", term.lane),
            view.clone(),
        );
        let interrupted = Failure::with_view(
            FailureCode::Interrupted,
            format!("{place}: stepped down before the write was official"),
            view,
        );
        for (_, write) in lead.writes.drain(..) {
            write.answer.peer.fail(write.answer.id, &interrupted);
            self.touch(&write.answer.peer);
        }
        for short in lead.short.drain(..) {
            self.fail_short(term.lane, &short);
        }
        for held in lead.take_held() {
            let (peer, id) = held.asker();
            peer.fail(id, &gone);
            self.touch(&peer);
        }
        for request in lead.take_parked() {
            request.peer.fail(request.id, &gone);
            self.touch(&request.peer);
        }
    }

    /// Sends a message to a node, or to this one's own voter or groups.
    pub(super) fn send(&mut self, to: NodeId, message: Message) {
        if to == self.shared.node {
            return self.on_message(to, self.voters.generation, message);
        }
        match message {
            Message::Records(records) => self.serve_records(to, records),
            message => self.put_message(to, &message),
        }
    }

    pub(super) fn put_message(&mut self, to: NodeId, message: &Message) {
        let group = addressee(message).map(|(group, _)| group);
        self.links.put(to, group, |out| wire::put_message(out, message));
    }
}
