//! Evaluation of writes. A request that was executed before is answered as it was then (I7).

use std::rc::Rc;

use common::durability::Acks;
use common::failure::{Failure, FailureCode};
use common::ids::{Lane, Lsn, Stream};
use common::log_record::{LogHead, LogRecordWriter};
use common::op::{Action, Op};
use common::version::{HLC_AHEAD_MS_MAX, Version};
use common::wire::request::RequestHead;
use common::wire::response;

use crate::group::evaluate::{self, Moment, Refused};
use crate::memory::Place;
use crate::replication::position::Position;
use crate::worker::core::Core;
use crate::worker::group::Group;
use crate::worker::lead::{Held, LeadLane, Service, ShortWrite, WaitingAnswer, WaitingWrite};
use crate::worker::peer::Peer;
use crate::worker::turn::Asker;

/// How long an answer may take to its asker, in milliseconds.
const ANSWER_MS: u64 = 200;

/// What is known of a request from before.
enum Before {
    /// Nothing: it is new.
    New,
    /// It is in the log of the lane, here and with this answer.
    Done(Position, Vec<u8>),
    /// It may have been; what would tell was forgotten.
    Forgotten,
}

impl Core {
    /// Evaluates a write; its record is appended with the turn.
    pub(super) fn write(&mut self, peer: &Rc<Peer>, id: u64, head: &RequestHead, op: &Op<'_>) {
        if head.acks == Acks::One && !allows_one(op) {
            let why = "acks: 1 may lose a write at a failover, so counters and conditional writes \
                       need acks: step or more";
            let detail = format!("{} ({}): {why}", head.lane.group, self.shared.name);
            return peer.fail(id, &Failure::new(FailureCode::AcksTooWeak, detail));
        }
        if head.attempt > 0 && !self.turn.records.is_empty() {
            // An earlier attempt may be in this very turn, as after a hand-over that did not come
            // about.
            self.end_turn();
            match self.check(head, op) {
                Ok(Service::Holding) => return peer.fail(id, &self.held_back(head.lane)),
                Ok(_) => {}
                Err(failure) => return peer.fail(id, &failure),
            }
        }
        match self.before(head) {
            Before::New => self.evaluate(peer, id, head, op),
            Before::Done(at, reply) => self.repeat(peer, id, head, at, &reply),
            Before::Forgotten => {
                let why = "it was sent before what this node remembers of requests, so nobody \
                           knows whether it was applied";
                let detail = format!("{} ({}): {why}", head.lane.group, self.shared.name);
                peer.fail(id, &Failure::new(FailureCode::Unknown, detail));
            }
        }
    }

    /// Looks a request up among those that are in the log. Void records do not count.
    fn before(&mut self, head: &RequestHead) -> Before {
        let group = self.groups.get(&head.lane.group);
        let replica = group.and_then(|group| group.lane_replica(head.lane.server));
        let counts = |at: Position| {
            let chain = || replica.map(|replica| replica.held().chain()).unwrap_or_default();
            at.epoch == head.since
                || chain().iter().any(|end| end.epoch == at.epoch && at.lsn <= end.lsn)
        };
        let kept = self.dedup.find(head.request);
        for kept in kept.filter(|kept| kept.lane == head.lane) {
            if counts(kept.at) {
                return Before::Done(kept.at, kept.answer.to_vec());
            }
        }
        let first_sent_ms = self.wall_ms.saturating_sub(u64::from(head.age_ms));
        // The window's times are those of leaders whose clocks may have been behind this one.
        let known_ms = self.dedup.begins_ms().saturating_add(HLC_AHEAD_MS_MAX);
        if head.attempt > 0 && self.dedup.begins_ms() > 0 && first_sent_ms <= known_ms {
            return Before::Forgotten;
        }
        Before::New
    }

    /// Answers a request that was executed before, once that is official and on as many servers as
    /// it asks for: a repetition is told no more than the first attempt would have been.
    fn repeat(&mut self, peer: &Rc<Peer>, id: u64, head: &RequestHead, at: Position, reply: &[u8]) {
        metrics::counter!("fdht_node_repeated_requests_total").increment(1);
        let deadline_ms = self.answer_by_ms(head);
        let Some(lead) = self.lead_mut(head.lane) else { return };
        let body = [&[response::OUTCOME_REPLY], reply].concat();
        let answer = WaitingAnswer { peer: Rc::clone(peer), id, body };
        if head.acks > Acks::Step {
            let (sync, acks) = (head.sync, head.acks);
            let write = WaitingWrite { answer, place: Place::default(), sync, acks, deadline_ms };
            if lead.official < lead.appended {
                return lead.writes.push_back((lead.appended, write));
            }
            // Who acknowledges a record of this stream holds all of the older ones.
            let lsn = if at.epoch == lead.term.since { at.lsn } else { Lsn(1) };
            lead.short.push(ShortWrite { lsn, held_by: 1, write });
            return self.answer_short(head.lane.group);
        }
        if lead.official < lead.last {
            return lead.hold(Held::Answer(answer));
        }
        answer.peer.answer(id, |out| out.extend_from_slice(&answer.body));
    }

    fn evaluate(&mut self, peer: &Rc<Peer>, id: u64, head: &RequestHead, op: &Op<'_>) {
        let (wall_ms, now_ms, lane) = (self.wall_ms, self.now_ms(), head.lane);
        let (cleared, hlc) = (self.hlc.tick(wall_ms), self.hlc.tick(wall_ms));
        let Some(group) = self.groups.get_mut(&lane.group) else { return };
        let Group { store, lanes, .. } = group;
        let data = lanes.get_mut(usize::from(lane.server.0));
        let Some(lead) = data.and_then(|data| data.lead.as_mut()) else { return };
        let (node, epoch) = (self.shared.node, lead.term.since);
        let version = |hlc| Version { epoch, hlc, node };
        let at = Moment { now_ms, version: version(hlc), cleared: version(cleared) };
        let start = self.turn.begin_answer();
        let answers = self.turn.answers();
        let evaluated = if lead.overlay.is_empty() {
            evaluate::write(store, op, &at, &mut self.draft, answers)
        } else {
            let latest = lead.overlay.over(store);
            evaluate::write(&latest, op, &at, &mut self.draft, answers)
        };
        match evaluated {
            Ok(true) => self.number(peer, id, head, hlc, start),
            Ok(false) => {
                let response = self.turn.take_answer(start);
                self.answer_unchanged(peer, id, lane, op, response);
            }
            Err(refused) => {
                drop(self.turn.take_answer(start));
                match refused {
                    Refused::Failure(failure) => peer.fail(id, &failure),
                    Refused::Engine(error) => {
                        let failure = self.stop_for(lane, &error);
                        peer.fail(id, &failure);
                    }
                }
            }
        }
    }

    /// Gives an evaluated write its number and adds its record to the turn.
    fn number(
        &mut self,
        peer: &Rc<Peer>,
        id: u64,
        head: &RequestHead,
        hlc: common::version::Hlc,
        start: usize,
    ) {
        let (lane, node) = (head.lane, self.shared.node);
        let deadline_ms = self.answer_by_ms(head);
        let group = self.groups.get_mut(&lane.group);
        let data = group.and_then(|group| group.lane_mut(lane.server));
        let Some(lead) = data.and_then(|data| data.lead.as_mut()) else { return };
        let (epoch, lsn) = (lead.term.since, lead.last.next());
        let record = LogHead {
            stream: Stream { lane, epoch },
            lsn,
            hlc,
            node,
            request: head.request,
            open: open(lead),
        };
        let (draft, peer) = (&self.draft, Rc::clone(peer));
        let (sync, acks) = (head.sync, head.acks);
        let asker = Asker { peer: Rc::clone(&peer), id, sync, acks, deadline_ms };
        let at = Position { epoch, lsn };
        let pushed = self.turn.push_write(lane, at, asker, start, |body, reply| {
            let mut writer = LogRecordWriter::new(body, &record);
            draft.iter().for_each(|mutation| writer.mutation(&mutation));
            writer.finish(reply);
        });
        match pushed {
            Ok(()) => {
                lead.last = lsn;
                lead.overlay.push(lsn, acks == Acks::One, draft.iter());
            }
            Err(error) => peer.fail(id, &Failure::new(FailureCode::OverLimit, error.to_string())),
        }
    }

    /// A little before the proxy stops waiting, so that it hears on how many servers a write is.
    fn answer_by_ms(&self, head: &RequestHead) -> u64 {
        let remaining_ms = u64::from(head.remaining_ms);
        self.mono_ms + remaining_ms - (remaining_ms / 10).min(ANSWER_MS)
    }

    /// A write that changed nothing tells about the present, like a read: if that is pending, its
    /// answer waits, and it needs the lease.
    fn answer_unchanged(
        &mut self,
        peer: &Rc<Peer>,
        id: u64,
        lane: Lane,
        op: &Op<'_>,
        body: Vec<u8>,
    ) {
        let group = self.groups.get_mut(&lane.group);
        let data = group.and_then(|group| group.lane_mut(lane.server));
        let Some(lead) = data.and_then(|data| data.lead.as_mut()) else { return };
        if lead.overlay.touches(op, &mut self.keys) {
            let answer = WaitingAnswer { peer: Rc::clone(peer), id, body };
            return lead.hold(Held::Answer(answer));
        }
        match self.lease_holds(lane) {
            Ok(()) => peer.answer(id, |out| out.extend_from_slice(&body)),
            Err(failure) => peer.fail(id, &failure),
        }
    }
}

/// How many records right before the next one are not official.
fn open(lead: &LeadLane) -> u32 {
    let Lsn(official) = lead.official;
    u32::try_from(lead.last.0.saturating_sub(official)).unwrap_or(u32::MAX)
}

/// Whether a write may be lost again after it was answered.
fn allows_one(op: &Op<'_>) -> bool {
    let plain = |action: &Action<'_>| !matches!(action, Action::Add { .. } | Action::Append { .. });
    match op {
        Op::Write(write) => plain(&write.action),
        Op::Batch(batch) => {
            batch.conditions.is_empty() && batch.writes.iter().all(|write| plain(&write.action))
        }
        _ => true,
    }
}
