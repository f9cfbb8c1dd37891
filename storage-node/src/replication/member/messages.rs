//! Messages that arrive for the group.

use common::ids::{Lane, LogicGroup, NodeId};

use super::group::GroupReplica;
use crate::replication::action::Action;
use crate::replication::message::{Message, Records, Term};
use crate::replication::position::Head;

impl GroupReplica {
    /// A message for a replica of this group, without records. Others are ignored.
    pub fn on_message(
        &mut self,
        now_ms: u64,
        from: NodeId,
        message: Message,
        actions: &mut Vec<Action>,
    ) {
        let known = self.known();
        match message {
            Message::Register { group, ballot, step } => {
                self.on_voter(now_ms, from, (group, ballot), step, actions);
            }
            Message::TellRegister { value } => self.on_register(now_ms, value, actions),
            Message::Depart { known: theirs, consent, .. } => {
                if theirs == known {
                    self.departures = Some((from, consent));
                    self.hurry(now_ms);
                }
            }
            Message::Seal(term) => {
                if let Some(lane) = self.lane_mut(term.lane) {
                    lane.on_seal(now_ms, from, term, actions);
                }
            }
            Message::Sealed { term, last, kept } => {
                if let Some(lane) = self.lane_mut(term.lane) {
                    lane.on_sealed(now_ms, from, (term, last, kept), actions);
                }
            }
            Message::Superseded { term, promised } => {
                if let Some(lane) = self.lane_mut(term.lane) {
                    lane.on_superseded(term, promised, actions);
                    self.ask(now_ms, actions);
                }
            }
            Message::Copy { term, have } => {
                if let Some(lane) = self.lane_mut(term.lane) {
                    lane.on_copy(from, term, &have, actions);
                }
            }
            Message::Pull(pull) => {
                if let Some(lane) = self.lane_mut(pull.term.lane) {
                    lane.on_pull(now_ms, from, pull, known, actions);
                }
            }
            Message::NotLeading { term, known: theirs } => {
                self.heard_of(now_ms, theirs);
                let lane = self.lane(term.lane.server);
                if theirs > known && lane.is_some_and(|lane| lane.follows(from, term.since)) {
                    self.ask(now_ms, actions);
                }
            }
            Message::Records(_)
            | Message::Renew { .. }
            | Message::Granted { .. }
            | Message::AskRegister { .. } => {}
        }
    }

    /// Records arrived that this server cannot keep. Their leader lives, but they are not held; the
    /// next pull waits for its time.
    pub fn on_heartbeat(&mut self, now_ms: u64, from: NodeId, term: Term) {
        if let Some(lane) = self.lane_mut(term.lane) {
            lane.on_heartbeat(now_ms, from, term);
        }
    }

    /// Records arrived; `heads` are theirs, in the order of the answer's spans.
    pub fn on_records(
        &mut self,
        now_ms: u64,
        from: NodeId,
        records: &Records,
        heads: &[Head],
        actions: &mut Vec<Action>,
    ) {
        self.heard_of(now_ms, records.confirmed.unwrap_or_default());
        if let Some(lane) = self.lane_mut(records.term.lane) {
            lane.on_records(now_ms, from, records, heads, actions);
        }
    }
}

/// The group and, if it is about one, the lane of a message between replicas.
#[must_use]
pub fn addressee(message: &Message) -> Option<(LogicGroup, Option<Lane>)> {
    match message {
        Message::Register { group, .. } => Some((*group, None)),
        Message::TellRegister { value } => Some((value.group, None)),
        Message::AskRegister { group, .. } | Message::Depart { group, .. } => Some((*group, None)),
        Message::Seal(term)
        | Message::Sealed { term, .. }
        | Message::Superseded { term, .. }
        | Message::Copy { term, .. }
        | Message::NotLeading { term, .. } => Some((term.lane.group, Some(term.lane))),
        Message::Pull(pull) => Some((pull.term.lane.group, Some(pull.term.lane))),
        Message::Records(records) => Some((records.term.lane.group, Some(records.term.lane))),
        Message::Renew { .. } | Message::Granted { .. } => None,
    }
}
