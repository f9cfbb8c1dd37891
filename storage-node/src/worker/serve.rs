//! Records for followers: from memory where they still wait to become official, from the log
//! otherwise.

use common::ids::{Lane, NodeId};
use common::log_record;

use crate::binlog::BODY_BYTES_MAX;
use crate::catch_up::{CaughtUp, Job, Want};
use crate::replication::message::Records;
use crate::replication::position::{Position, Span};
use crate::replication::wire::{self, RecordsWriter};
use crate::worker::core::Core;
use crate::worker::group::LaneData;

// What the log takes can be sent.
const _: () = assert!(BODY_BYTES_MAX <= wire::RECORD_BYTES_MAX);

/// One answer ends behind the record that makes it longer than this.
const ANSWER_BYTES: usize = 1 << 20;

impl Core {
    /// Sends the records that the protocol wants to be sent, as far as one answer goes.
    pub(super) fn serve_records(&mut self, to: NodeId, records: Records) {
        let lane = records.term.lane;
        let now_ms = self.now_ms();
        let Some(group) = self.groups.get_mut(&lane.group) else { return };
        let Some(data) = group.lane_mut(lane.server) else { return };
        let first =
            records.spans.first().map(|span| Position { epoch: span.epoch, lsn: span.first });
        let Some(first) = first.filter(|first| data.backlog.get(*first).is_none()) else {
            let safe_ms = data.safe_ms(now_ms);
            self.links.put(to, Some(lane.group), |out| put_pending(out, data, &records, safe_ms));
            if !records.spans.is_empty() {
                self.links.has_records(to, lane.group);
            }
            return;
        };
        match data.index.find(first) {
            Some(from) => {
                // One at a time: the follower pulls again before it has the answer.
                if data.reading.insert(to) {
                    self.wants.entry(to).or_default().push(Want { lane, records, from });
                }
            }
            None => {
                let term = records.term;
                group.replica.on_gone(term, to);
                self.links.put(to, Some(lane.group), |out| wire::put_needs_reseed(out, term));
            }
        }
    }

    /// Has the log read for the followers of this turn.
    pub(super) fn start_reading(&mut self) {
        while let Some((to, wants)) = self.wants.pop_first() {
            let job = Job { worker: self.index, to, wants };
            if let Err(job) = self.shared.catch_up.send(job) {
                for want in job.wants {
                    self.reading_ended(want.lane, to);
                }
            }
        }
    }

    fn reading_ended(&mut self, lane: Lane, to: NodeId) {
        let group = self.groups.get_mut(&lane.group);
        if let Some(data) = group.and_then(|group| group.lane_mut(lane.server)) {
            data.reading.remove(&to);
        }
    }

    /// The log was read for a follower.
    pub(crate) fn on_caught_up(&mut self, done: CaughtUp) {
        let CaughtUp { to, answers, released, failed } = done;
        for (records, bodies) in answers {
            let lane = records.term.lane;
            self.reading_ended(lane, to);
            self.links.put(to, Some(lane.group), |out| {
                // What a past answer says of time is not worth much.
                let mut writer = RecordsWriter::new(out, &records, 0, false);
                // What does not fit is pulled again.
                bodies.iter().take_while(|body| writer.body(body)).for_each(drop);
                writer.finish();
            });
        }
        for lane in released {
            self.reading_ended(lane, to);
            let Some(group) = self.groups.get_mut(&lane.group) else { continue };
            let led = group.lane_replica(lane.server).and_then(|replica| replica.leads());
            if let Some(term) = led {
                group.replica.on_gone(term, to);
                self.links.put(to, Some(lane.group), |out| wire::put_needs_reseed(out, term));
            }
        }
        for lane in failed {
            self.reading_ended(lane, to);
        }
    }
}

/// Writes an answer whose records are pending here.
fn put_pending(out: &mut Vec<u8>, data: &LaneData, records: &Records, safe_ms: u64) {
    let lead = data.lead.as_ref();
    let sync = lead.is_some_and(|lead| lead.wants_sync);
    let mut writer = RecordsWriter::new(out, records, safe_ms, sync);
    for span in &records.spans {
        if !put_span(&mut writer, data, *span) {
            break;
        }
    }
    writer.finish();
}

/// Writes what there is of a span; whether that was all of it, and there is room for more.
fn put_span(writer: &mut RecordsWriter<'_>, data: &LaneData, span: Span) -> bool {
    let mut next = span.first;
    for entry in data.backlog.range(span) {
        let fits = writer.bytes() < ANSWER_BYTES;
        if !fits || entry.at.lsn != next || !writer.body(&entry.body) {
            return false;
        }
        next = next.next();
    }
    next > span.last
}

impl LaneData {
    /// Everything that will still become official in the lane has a greater time, or was decided at
    /// one, in milliseconds since 1970; as this server sees it, if it leads the lane.
    pub(crate) fn safe_ms(&self, now_ms: u64) -> u64 {
        let Some(lead) = &self.lead else { return self.safe_ms };
        let since = lead.term.since;
        match self.backlog.front() {
            // Not official yet, so neither is any decision after it.
            Some(first) if first.at.epoch == since => {
                let head = log_record::decode_head(&first.body);
                head.map_or(0, |head| head.hlc.ms().saturating_sub(1))
            }
            Some(_) => 0,
            None if lead.official > common::ids::Lsn(0) => now_ms.saturating_sub(1),
            None => self.safe_ms,
        }
    }
}
