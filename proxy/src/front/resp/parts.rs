//! Commands that ask for many names, of each lane together: what of it was answered. A node puts as
//! many values into an answer as fit, always the first ones, and is asked for the rest again.

use common::address::Address;
use common::failure::Failure;
use common::limits::PART_BYTES;
use common::op::{GetMany, Op};

use crate::front::call::{Durability, Progress, Submit};

use super::error::{self, unexpected};
use super::gathered::Gathered;
use super::tally::{ADDRESSES_MAX, part_number};

/// What one operation asks for.
struct Part {
    /// Indexes of the names.
    indexes: Vec<usize>,
    /// How many of them are answered.
    done: usize,
}

/// The parts of a command. Names are known by their indexes; `address` finds them.
pub(super) struct Parts {
    parts: Vec<Part>,
    gathered: Gathered,
}

impl Parts {
    /// Asks for names by lanes: the indexes of each one's, cut where they are too many.
    pub(super) fn of_lanes(lanes: impl Iterator<Item = Vec<usize>>) -> Self {
        let mut parts = Vec::new();
        for lane in lanes {
            let chunks = lane.chunks(ADDRESSES_MAX);
            parts.extend(chunks.map(|chunk| Part { indexes: chunk.to_vec(), done: 0 }));
        }
        Self { gathered: Gathered::of(parts.len()), parts }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.parts.len()
    }

    /// Asks for everything.
    pub(super) fn ask_all<'a>(
        &self,
        address: impl Fn(usize) -> Address<'a>,
        submit: &mut dyn Submit,
    ) {
        for (number, part) in self.parts.iter().enumerate() {
            part.ask(number, &address, submit);
        }
    }

    /// The index of the name that a part's answer tells next. The failure: the part has no more.
    pub(super) fn next(&self, number: usize) -> Result<usize, Failure> {
        let part = self.parts.get(number).ok_or_else(unexpected)?;
        part.indexes.get(part.done).copied().ok_or_else(unexpected)
    }

    /// That name is answered.
    pub(super) fn advance(&mut self, number: usize) {
        if let Some(part) = self.parts.get_mut(number) {
            part.done += 1;
        }
    }

    /// Asks for the names of a part that are not answered yet, if there are any.
    pub(super) fn go_on<'a>(
        &self,
        number: usize,
        address: impl Fn(usize) -> Address<'a>,
        submit: &mut dyn Submit,
    ) -> Result<Progress, Failure> {
        let part = self.parts.get(number).ok_or_else(unexpected)?;
        // After a failure elsewhere the rest is of no use.
        if part.done == part.indexes.len() || self.gathered.has_failed() {
            return Ok(Progress::Done);
        }
        part.ask(number, &address, submit);
        Ok(Progress::Waiting)
    }

    /// What became of a part. With the last one the client is told the failure, if there was any.
    pub(super) fn on_part(
        &mut self,
        taken: Result<Progress, Failure>,
        out: &mut Vec<u8>,
    ) -> PartsEnd {
        if self.gathered.on_part(taken) == Progress::Waiting {
            return PartsEnd::Waiting;
        }
        match self.gathered.failure() {
            Some(failure) => {
                error::failure(out, failure);
                PartsEnd::Failed
            }
            None => PartsEnd::Complete,
        }
    }
}

/// Whether all parts have ended, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PartsEnd {
    /// Some have not.
    Waiting,
    /// The client was told a failure.
    Failed,
    /// Everything is there, and the client is to be told.
    Complete,
}

impl Part {
    fn ask<'a>(
        &self,
        number: usize,
        address: &impl Fn(usize) -> Address<'a>,
        submit: &mut dyn Submit,
    ) {
        let missing = self.indexes.iter().skip(self.done);
        let at = missing.map(|&index| address(index)).collect();
        let op = Op::GetMany(GetMany { at, bytes_max: PART_BYTES });
        submit.submit(part_number(number), &op, Durability::default());
    }
}
