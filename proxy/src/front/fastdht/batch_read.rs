//! BATCH_GET: one multi-get per lane, repeated for what did not fit; then, when the request asks for
//! it, a touch of the keys that were found.

use common::limits::PART_BYTES;
use common::op::{Action, Batch, ExpiryRule, Get, GetMany, Op, Part, Want, Write};
use common::reply::{BatchReply, Existed, Found, Lookup, Reply};

use super::batch_write::{last, successes};
use super::call::{ReplyTo, fail};
use super::encode::{begin, finish, put_bytes, put_len};
use super::expiry::{Wish, seconds};
use super::names::Names;
use super::parts::{Next, ValueParts};
use super::request::{BATCH_KEYS_MAX, Keys};
use super::stat::{Counter, Counters};
use super::status;
use crate::front::call::{Answer, Durability, Progress, Submit};

/// Most value bytes of one answer; keys behind answer 22. Every batch of values that were stored
/// with the default package limit fits.
const VALUE_BYTES_MAX: usize = BATCH_KEYS_MAX * super::decode::PACKAGE_BYTES_DEFAULT;

/// A waiting BATCH_GET.
#[derive(Debug)]
pub(super) struct BatchRead {
    keys: Names,
    statuses: Vec<u8>,
    values: Vec<Vec<u8>>,
    value_bytes: usize,
    /// By part.
    lanes: Vec<Lane>,
    unanswered: usize,
    /// The smallest expiry found, in milliseconds; 0 when there is none.
    smallest: u64,
    /// The expiry that a touch stored, in milliseconds.
    touched: Option<u64>,
}

/// The keys of one lane.
#[derive(Debug)]
struct Lane {
    /// Which of the request's keys.
    keys: Vec<usize>,
    /// How many of them have been read.
    read: usize,
    /// Parts of the value that is being read, when it is a long one.
    parts: ValueParts,
}

impl BatchRead {
    /// Submits the first multi-get of each lane.
    pub(super) fn start(keys: &Keys<'_>, submit: &mut dyn Submit) -> Self {
        let keys = Names::of_keys(keys);
        let lane = |keys| Lane { keys, read: 0, parts: ValueParts::default() };
        let lanes: Vec<_> = keys.by_lane(submit).into_iter().map(lane).collect();
        let batch = Self {
            statuses: vec![status::UNKNOWN; keys.len()],
            values: vec![Vec::new(); keys.len()],
            value_bytes: 0,
            unanswered: lanes.len(),
            lanes,
            keys,
            smallest: 0,
            touched: None,
        };
        for (part, lane) in (0..).zip(&batch.lanes) {
            batch.ask_many(part, lane, submit);
        }
        batch
    }

    fn ask_many(&self, part: u32, lane: &Lane, submit: &mut dyn Submit) {
        let at = lane.keys.iter().skip(lane.read).map(|&index| self.keys.address(index)).collect();
        let many = GetMany { at, bytes_max: PART_BYTES };
        submit.submit(part, &Op::GetMany(many), Durability::default());
    }

    /// Takes the answer to one operation of a lane.
    pub(super) fn on_answer(
        &mut self,
        part: u32,
        answer: Answer<'_>,
        to: ReplyTo,
        submit: &mut dyn Submit,
        out: &mut Vec<u8>,
        counters: &mut Counters,
    ) -> Progress {
        let lane_done = match answer {
            Ok(Reply::Lookups(lookups)) => self.on_lookups(part, &lookups, to.wish, submit),
            Ok(Reply::Lookup(lookup)) => self.on_lookups(part, &[lookup], to.wish, submit),
            Ok(Reply::Batch(reply)) => self.on_touched(&reply, counters),
            Ok(_) => self.fail_lane(part, to.wish, status::UNKNOWN),
            Err(failure) => self.fail_lane(part, to.wish, status::of(&failure)),
        };
        self.unanswered -= usize::from(lane_done);
        if self.unanswered > 0 {
            return Progress::Waiting;
        }
        self.finish(to, submit.now_ms(), out);
        self.statuses.iter().for_each(|&status| counters.get.add(Counter::of_status(status)));
        Progress::Done
    }

    /// Takes what stands at the lane's next keys; true when the lane is done.
    fn on_lookups(
        &mut self,
        part: u32,
        lookups: &[Lookup<'_>],
        wish: Wish,
        submit: &mut dyn Submit,
    ) -> bool {
        for lookup in lookups {
            let Some(index) = self.current(part) else {
                break;
            };
            let status = match lookup {
                Lookup::Missing => status::MISSING,
                Lookup::WrongKind => status::INVALID,
                Lookup::Found(found) => match self.add(part, index, found) {
                    Ok(status) => status,
                    Err(next) => {
                        let get = Get { at: self.keys.address(index), part: next };
                        submit.submit(part, &Op::Get(get), Durability::default());
                        return false;
                    }
                },
            };
            self.close(part, index, status);
        }
        if self.current(part).is_none() {
            return wish.is_none() || !self.touch(part, wish, submit);
        }
        if lookups.is_empty() {
            return self.fail_lane(part, wish, status::UNKNOWN);
        }
        if let Some(lane) = self.lanes.get(part as usize) {
            self.ask_many(part, lane, submit);
        }
        false
    }

    /// The key that the lane reads at the moment.
    fn current(&self, part: u32) -> Option<usize> {
        let lane = self.lanes.get(part as usize)?;
        lane.keys.get(lane.read).copied()
    }

    /// The key's status, or the part of its value that is wanted next.
    fn add(&mut self, part: u32, index: usize, found: &Found<'_>) -> Result<u8, Part> {
        if self.value_bytes + found.total as usize > VALUE_BYTES_MAX {
            return Ok(status::INVALID);
        }
        let Some(lane) = self.lanes.get_mut(part as usize) else {
            return Ok(status::UNKNOWN);
        };
        let record = match lane.parts.add(found) {
            Next::Complete(record) => record,
            Next::Ask(part) => return Err(part),
            Next::Unsteady => return Ok(status::AGAIN),
        };
        self.value_bytes += record.value.len();
        if record.expire_at > 0 && (self.smallest == 0 || record.expire_at < self.smallest) {
            self.smallest = record.expire_at;
        }
        if let Some(value) = self.values.get_mut(index) {
            *value = record.value;
        }
        Ok(status::OK)
    }

    fn close(&mut self, part: u32, index: usize, status: u8) {
        if let Some(slot) = self.statuses.get_mut(index) {
            *slot = status;
        }
        if let Some(lane) = self.lanes.get_mut(part as usize) {
            lane.read += 1;
            lane.parts = ValueParts::default();
        }
    }

    /// Changes the expiry of the lane's keys that were found; false when there are none.
    fn touch(&self, part: u32, wish: Wish, submit: &mut dyn Submit) -> bool {
        let Some(lane) = self.lanes.get(part as usize) else {
            return false;
        };
        let found = lane.keys.iter().filter(|&&index| self.status(index) == status::OK);
        let action = Action::Touch { rule: ExpiryRule::Always };
        let write = |&index: &usize| Write {
            at: self.keys.address(index),
            action,
            expiry: wish.expiry(),
            want: Want::Existed,
        };
        let writes: Vec<_> = found.map(write).collect();
        if writes.is_empty() {
            return false;
        }
        let batch = Batch { conditions: Vec::new(), writes };
        submit.submit(part, &Op::Batch(batch), Durability::default());
        true
    }

    fn on_touched(&mut self, reply: &BatchReply<'_>, counters: &mut Counters) -> bool {
        for written in &reply.written {
            counters.set.add(Counter::of_status(status::OK));
            if written.existed != Existed::No {
                self.touched = Some(written.expire_at);
            }
        }
        true
    }

    /// Gives the status to what the lane has not done: keys that were not read, and with a touch
    /// all that were found.
    fn fail_lane(&mut self, part: u32, wish: Wish, status: u8) -> bool {
        let Some(lane) = self.lanes.get(part as usize) else {
            return true;
        };
        for (place, &index) in lane.keys.iter().enumerate() {
            if let Some(slot) = self.statuses.get_mut(index)
                && (place >= lane.read || (!wish.is_none() && *slot == status::OK))
            {
                *slot = status;
            }
        }
        true
    }

    fn status(&self, index: usize) -> u8 {
        self.statuses.get(index).copied().unwrap_or(status::UNKNOWN)
    }

    fn finish(&self, to: ReplyTo, now_ms: u64, out: &mut Vec<u8>) {
        let Some(success_count) = successes(&self.statuses) else {
            fail(out, to, now_ms, last(&self.statuses));
            return;
        };
        let expires = match self.touched {
            _ if to.wish.is_none() => seconds(self.smallest),
            Some(touched) => to.wish.answer(touched),
            None => to.echo.expires,
        };
        let start = begin(out, to.echo, now_ms, expires);
        put_len(out, self.statuses.len());
        put_len(out, success_count);
        for (index, (&status, value)) in self.statuses.iter().zip(&self.values).enumerate() {
            put_bytes(out, self.keys.name(index));
            out.push(status);
            if status == status::OK {
                put_bytes(out, value);
            }
        }
        finish(out, start);
    }
}
