//! BATCH_SET and BATCH_DEL: one batch of writes per lane. The keys of an object are written
//! atomically; plain keys are objects of their own, and those that share a lane succeed or fail
//! together.

use common::op::{Action, Batch, Op, Want, Write};
use common::reply::{Reply, Written};

use super::call::{ReplyTo, fail, of_delete};
use super::encode::{begin, finish, put_bytes, put_len};
use super::expiry::Wish;
use super::names::Names;
use super::request::Keys;
use super::stat::{Counter, Counters};
use super::status;
use crate::front::call::{Answer, Durability, Progress, Submit};

/// A waiting batch of writes.
#[derive(Debug)]
pub(super) struct BatchWrite {
    keys: Names,
    deletes: bool,
    statuses: Vec<u8>,
    /// The keys of each part.
    lanes: Vec<Vec<usize>>,
    unanswered: usize,
    /// The expiry of the first lane that was written.
    stored: Option<u64>,
}

impl BatchWrite {
    /// Submits a BATCH_SET.
    pub(super) fn set(
        keys: &Keys<'_>,
        values: &[&[u8]],
        wish: Wish,
        submit: &mut dyn Submit,
    ) -> Self {
        let batch = Self::new(keys, false, submit);
        batch.submit(submit, |index| Write {
            at: batch.keys.address(index),
            action: Action::Put {
                value: values.get(index).copied().unwrap_or_default(),
                replace: false,
            },
            expiry: wish.expiry(),
            want: Want::Nothing,
        });
        batch
    }

    /// Submits a BATCH_DEL.
    pub(super) fn delete(keys: &Keys<'_>, submit: &mut dyn Submit) -> Self {
        let batch = Self::new(keys, true, submit);
        batch.submit(submit, |index| Write::delete(batch.keys.address(index)));
        batch
    }

    fn new(keys: &Keys<'_>, deletes: bool, submit: &dyn Submit) -> Self {
        let keys = Names::of_keys(keys);
        let statuses = vec![status::UNKNOWN; keys.len()];
        let lanes = keys.by_lane(submit);
        let unanswered = lanes.len();
        Self { keys, deletes, statuses, lanes, unanswered, stored: None }
    }

    fn submit<'a>(&'a self, submit: &mut dyn Submit, write: impl Fn(usize) -> Write<'a>) {
        for (part, keys) in (0..).zip(&self.lanes) {
            let writes = keys.iter().map(|&index| write(index)).collect();
            let batch = Batch { conditions: Vec::new(), writes };
            submit.submit(part, &Op::Batch(batch), Durability::default());
        }
    }

    /// Takes the answer of one lane.
    pub(super) fn on_answer(
        &mut self,
        part: u32,
        answer: Answer<'_>,
        to: ReplyTo,
        submit: &dyn Submit,
        out: &mut Vec<u8>,
        counters: &mut Counters,
    ) -> Progress {
        let keys = self.lanes.get(part as usize).map(Vec::as_slice).unwrap_or_default();
        match answer {
            Ok(Reply::Batch(reply)) => {
                for (&index, written) in keys.iter().zip(&reply.written) {
                    set(&mut self.statuses, index, of_write(self.deletes, written));
                }
                let stored = reply.written.first().map(|written| written.expire_at);
                self.stored = self.stored.or(stored);
            }
            Ok(_) => {}
            Err(failure) => {
                let status = status::of(&failure);
                keys.iter().for_each(|&index| set(&mut self.statuses, index, status));
            }
        }
        self.unanswered -= 1;
        if self.unanswered > 0 {
            return Progress::Waiting;
        }
        self.finish(to, submit.now_ms(), out);
        let counter = if self.deletes { &mut counters.delete } else { &mut counters.set };
        self.statuses.iter().for_each(|&status| counter.add(Counter::of_status(status)));
        Progress::Done
    }

    fn finish(&self, to: ReplyTo, now_ms: u64, out: &mut Vec<u8>) {
        let Some(success_count) = successes(&self.statuses) else {
            fail(out, to, now_ms, last(&self.statuses));
            return;
        };
        let expires = match self.stored {
            Some(stored) if !self.deletes => to.wish.answer(stored),
            _ => to.echo.expires,
        };
        let start = begin(out, to.echo, now_ms, expires);
        put_len(out, self.statuses.len());
        put_len(out, success_count);
        for (index, &status) in self.statuses.iter().enumerate() {
            put_bytes(out, self.keys.name(index));
            out.push(status);
        }
        finish(out, start);
    }
}

fn of_write(deletes: bool, written: &Written<'_>) -> u8 {
    if deletes { of_delete(written.existed) } else { status::OK }
}

fn set(statuses: &mut [u8], index: usize, status: u8) {
    if let Some(slot) = statuses.get_mut(index) {
        *slot = status;
    }
}

/// How many keys succeeded; none when none did, which is answered with a header alone.
pub(super) fn successes(statuses: &[u8]) -> Option<usize> {
    let count = statuses.iter().filter(|&&status| status == status::OK).count();
    (count > 0).then_some(count)
}

/// The status of a batch of which nothing succeeded.
pub(super) fn last(statuses: &[u8]) -> u8 {
    statuses.last().copied().unwrap_or(status::INVALID)
}
