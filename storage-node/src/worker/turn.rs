//! What the writes of one turn append to the log together.

use std::ops::Range;
use std::rc::Rc;

use common::durability::Sync;
use common::failure::Failure;
use common::ids::{LogicGroup, Lsn};
use common::wire::response;

use crate::binlog::{Batch, LogError};
use crate::worker::peer::Peer;

/// One evaluated write.
pub(crate) struct TurnRecord {
    pub(crate) group: LogicGroup,
    pub(crate) lsn: Lsn,
    /// How durable it must be before it is official and answered.
    pub(crate) sync: Sync,
    pub(crate) peer: Rc<Peer>,
    pub(crate) id: u64,
    body: Range<usize>,
    answer: Range<usize>,
}

/// The writes since the last append. Buffers keep their capacity.
#[derive(Default)]
pub(crate) struct Turn {
    pub(crate) batch: Batch,
    pub(crate) records: Vec<TurnRecord>,
    bodies: Vec<u8>,
    answers: Vec<u8>,
}

/// The place of a write in a turn.
pub(crate) struct Place {
    pub(crate) group: LogicGroup,
    pub(crate) lsn: Lsn,
    pub(crate) sync: Sync,
    pub(crate) peer: Rc<Peer>,
    pub(crate) id: u64,
}

impl Turn {
    /// The buffer that the answer of the next write is encoded into, behind what it holds.
    pub(crate) fn answers(&mut self) -> &mut Vec<u8> {
        &mut self.answers
    }

    /// The answer that was encoded from `start` on; it is forgotten.
    pub(crate) fn take_answer(&mut self, start: usize) -> Vec<u8> {
        self.answers.split_off(start)
    }

    /// Adds a write whose answer was encoded from `answer` on and whose record `encode` writes. It
    /// is answered with `short` instead, if that is given.
    ///
    /// # Errors
    /// The record is too long for the log; nothing was added.
    pub(crate) fn push(
        &mut self,
        place: Place,
        short: Option<Failure>,
        answer: usize,
        encode: impl FnOnce(&mut Vec<u8>, &[u8]),
    ) -> Result<(), LogError> {
        let start = self.bodies.len();
        encode(&mut self.bodies, self.answers.get(answer..).unwrap_or_default());
        let body = self.bodies.get(start..).unwrap_or_default();
        if let Err(error) = self.batch.push(|out| out.extend_from_slice(body)) {
            self.bodies.truncate(start);
            self.answers.truncate(answer);
            return Err(error);
        }
        let Place { group, lsn, sync, peer, id } = place;
        let answer = self.as_response(answer, short);
        let body = start..self.bodies.len();
        self.records.push(TurnRecord { group, lsn, sync, peer, id, body, answer });
        Ok(())
    }

    /// Turns the reply that was encoded from `start` on into a response body.
    fn as_response(&mut self, start: usize, short: Option<Failure>) -> Range<usize> {
        match short {
            None => {
                const REPLY: u8 = 0;
                self.answers.insert(start, REPLY);
            }
            Some(failure) => {
                self.answers.truncate(start);
                response::encode_failure(&mut self.answers, &failure);
            }
        }
        start..self.answers.len()
    }

    /// A write's record.
    pub(crate) fn body(&self, record: &TurnRecord) -> &[u8] {
        self.bodies.get(record.body.clone()).unwrap_or_default()
    }

    /// A write's answer.
    pub(crate) fn answer(&self, record: &TurnRecord) -> &[u8] {
        self.answers.get(record.answer.clone()).unwrap_or_default()
    }

    /// Forgets everything; large buffers are given back.
    pub(crate) fn clear(&mut self) {
        const KEPT_BYTES: usize = 4 << 20;
        if self.bodies.capacity() > KEPT_BYTES {
            *self = Self::default();
        }
        self.batch.clear();
        self.records.clear();
        self.bodies.clear();
        self.answers.clear();
    }
}
