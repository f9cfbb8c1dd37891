//! What one turn of a worker appends to the log together: its clients' writes, and records that
//! arrived from the leaders it follows.

use std::ops::Range;
use std::rc::Rc;

use common::durability::{Acks, Sync};
use common::ids::{Lane, Lsn};
use common::wire::response;

use crate::binlog::{Batch, LogError};
use crate::replication::position::Position;
use crate::worker::lead::WaitingAnswer;
use crate::worker::peer::Peer;

/// One record of the turn.
pub(crate) struct TurnRecord {
    pub(crate) lane: Lane,
    pub(crate) at: Position,
    /// What waits for it; `None` for a record that was copied from a leader or begins a stream.
    pub(crate) write: Option<TurnWrite>,
}

/// A client's evaluated write.
pub(crate) struct TurnWrite {
    /// How durable it must be before it is official and answered.
    pub(crate) sync: Sync,
    /// How many servers must hold it before it is answered.
    pub(crate) acks: Acks,
    /// When its client stops waiting, in milliseconds of the node's monotonic clock.
    pub(crate) deadline_ms: u64,
    pub(crate) peer: Rc<Peer>,
    pub(crate) id: u64,
    answer: Range<usize>,
}

impl TurnWrite {
    /// Its response, for when that may be sent.
    pub(crate) fn waiting(&self, answer: &[u8]) -> WaitingAnswer {
        WaitingAnswer { peer: Rc::clone(&self.peer), id: self.id, body: answer.to_vec() }
    }
}

/// The writes of one lane in the turn: they have consecutive numbers.
pub(crate) struct Run {
    pub(crate) lane: Lane,
    pub(crate) first: Lsn,
    /// For each whether it must be durable before it is official.
    pub(crate) durable: Vec<bool>,
}

/// The records since the last append. Buffers keep their capacity.
#[derive(Default)]
pub(crate) struct Turn {
    pub(crate) batch: Batch,
    /// In the order of the batch.
    pub(crate) records: Vec<TurnRecord>,
    pub(crate) runs: Vec<Run>,
    /// Records that must be synced without delay are among them.
    pub(crate) sync: bool,
    answers: Vec<u8>,
    spare: Vec<Vec<bool>>,
}

/// A client's request, as far as its answer needs it.
pub(crate) struct Asker {
    pub(crate) peer: Rc<Peer>,
    pub(crate) id: u64,
    pub(crate) sync: Sync,
    pub(crate) acks: Acks,
    pub(crate) deadline_ms: u64,
}

impl Turn {
    /// Begins the response of the next write; its reply is encoded behind what the buffer holds.
    pub(crate) fn begin_answer(&mut self) -> usize {
        let start = self.answers.len();
        self.answers.push(response::OUTCOME_REPLY);
        start
    }

    /// The buffer that the reply is encoded into.
    pub(crate) fn answers(&mut self) -> &mut Vec<u8> {
        &mut self.answers
    }

    /// The response that was begun at `start`; it is forgotten.
    pub(crate) fn take_answer(&mut self, start: usize) -> Vec<u8> {
        self.answers.split_off(start)
    }

    /// Adds a write whose response was begun at `start` and whose record `encode` writes.
    ///
    /// # Errors
    /// The record is too long for the log; nothing was added.
    pub(crate) fn push_write(
        &mut self,
        lane: Lane,
        at: Position,
        asker: Asker,
        start: usize,
        encode: impl FnOnce(&mut Vec<u8>, &[u8]),
    ) -> Result<(), LogError> {
        let reply = self.answers.get(start + 1..).unwrap_or_default();
        if let Err(error) = self.batch.push(|out| encode(out, reply)) {
            self.answers.truncate(start);
            return Err(error);
        }
        let Asker { peer, id, sync, acks, deadline_ms } = asker;
        let must_be_durable = sync == Sync::Always;
        self.sync |= must_be_durable;
        match self.runs.iter_mut().find(|run| run.lane == lane) {
            Some(run) => run.durable.push(must_be_durable),
            None => {
                let mut durable = self.spare.pop().unwrap_or_default();
                durable.push(must_be_durable);
                self.runs.push(Run { lane, first: at.lsn, durable });
            }
        }
        let answer = start..self.answers.len();
        let write = TurnWrite { sync, acks, deadline_ms, peer, id, answer };
        self.records.push(TurnRecord { lane, at, write: Some(write) });
        Ok(())
    }

    /// Adds a record that nobody waits for here.
    ///
    /// # Errors
    /// The record is too long for the log; nothing was added.
    pub(crate) fn push_copy(
        &mut self,
        lane: Lane,
        at: Position,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), LogError> {
        self.batch.push(encode)?;
        self.records.push(TurnRecord { lane, at, write: None });
        Ok(())
    }

    /// A write's response.
    pub(crate) fn answer(&self, write: &TurnWrite) -> &[u8] {
        self.answers.get(write.answer.clone()).unwrap_or_default()
    }

    /// Forgets everything; large buffers are given back.
    pub(crate) fn clear(&mut self) {
        const KEPT_BYTES: usize = 4 << 20;
        if self.batch.capacity() > KEPT_BYTES || self.answers.capacity() > KEPT_BYTES {
            *self = Self::default();
        }
        self.batch.clear();
        self.records.clear();
        for run in self.runs.drain(..) {
            let mut durable = run.durable;
            durable.clear();
            self.spare.push(durable);
        }
        self.answers.clear();
        self.sync = false;
    }
}
