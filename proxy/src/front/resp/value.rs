//! Values that come in parts.

use common::address::Address;
use common::failure::{Failure, FailureCode};
use common::limits::PART_BYTES;
use common::op::{Get, Op, Part};
use common::reply::{Lookup, Reply};
use common::version::Version;

use crate::front::call::{Answer, Progress, Submit};

use super::call::submit_one;
use super::encode::{self, Proto};
use super::error::{self, unexpected};
use super::kept::KeptAddress;

/// How often a value may change while its parts are fetched.
const RESTARTS_MAX: u8 = 16;

/// The operation for the part of a value that starts at `offset`.
pub(super) fn part_at(at: Address<'_>, offset: u32) -> Op<'_> {
    Op::Get(Get { at, part: Part { offset, limit: PART_BYTES } })
}

/// The operation that asks for everything about a record but its value.
pub(super) fn bare(at: Address<'_>) -> Op<'_> {
    Op::Get(Get { at, part: Part { offset: 0, limit: 0 } })
}

/// A value of which parts are still missing.
#[derive(Debug, Default)]
pub(super) struct Partial {
    version: Version,
    bytes: Vec<u8>,
    restarts: u8,
}

/// What a further part led to.
#[derive(Debug)]
pub(super) enum Step {
    /// All is there.
    Complete(Vec<u8>),
    /// The part from this byte on is needed next.
    More(u32),
    /// The record is gone.
    Missing,
    /// The object is of the other kind now.
    WrongKind,
    /// It cannot be had.
    Failed(Failure),
}

impl Partial {
    /// How many bytes are there.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Takes the next part, the first one included. Starts over when the value has changed.
    pub(super) fn on_part(&mut self, lookup: &Lookup<'_>) -> Step {
        let found = match lookup {
            Lookup::Missing => return Step::Missing,
            Lookup::WrongKind => return Step::WrongKind,
            Lookup::Found(found) => found,
        };
        if !self.bytes.is_empty() && found.version != self.version {
            self.restarts += 1;
            if self.restarts > RESTARTS_MAX {
                let text = "the value keeps changing while it is read";
                return Step::Failed(Failure::new(FailureCode::Busy, text));
            }
            self.bytes = Vec::new();
            return Step::More(0);
        }
        self.version = found.version;
        self.bytes.extend_from_slice(found.value);
        match u32::try_from(self.bytes.len()) {
            Ok(length) if length == found.total => Step::Complete(std::mem::take(&mut self.bytes)),
            Ok(length) if length < found.total && !found.value.is_empty() => Step::More(length),
            Ok(_) | Err(_) => Step::Failed(unexpected()),
        }
    }
}

/// GET and HGET.
pub(super) struct Value {
    at: KeptAddress,
    partial: Option<Box<Partial>>,
}

impl Value {
    /// Waits for the value at `at`, whose first part was submitted.
    pub(super) fn new(at: Address<'_>) -> Self {
        Self { at: KeptAddress::new(at), partial: None }
    }

    pub(super) fn on_answer(
        &mut self,
        answer: Answer<'_>,
        proto: Proto,
        submit: &mut dyn Submit,
        out: &mut Vec<u8>,
    ) -> Progress {
        let lookup = match answer {
            Ok(Reply::Lookup(lookup)) => lookup,
            Ok(_) => return failed(&unexpected(), out),
            Err(failure) => return failed(&failure, out),
        };
        match (&lookup, &self.partial) {
            (Lookup::Missing, _) => {
                encode::null(out, proto);
                return Progress::Done;
            }
            // The usual value is whole at once, and is copied only into the output.
            (Lookup::Found(found), None) if found.value.len() as u64 == u64::from(found.total) => {
                encode::bulk(out, found.value);
                return Progress::Done;
            }
            _ => {}
        }
        match self.partial.get_or_insert_default().on_part(&lookup) {
            Step::More(offset) => {
                submit_one(submit, &part_at(self.at.address(), offset));
                return Progress::Waiting;
            }
            Step::Complete(bytes) => encode::bulk(out, &bytes),
            Step::Missing => encode::null(out, proto),
            Step::WrongKind => error::wrong_kind(out),
            Step::Failed(failure) => return failed(&failure, out),
        }
        Progress::Done
    }
}

fn failed(failure: &Failure, out: &mut Vec<u8>) -> Progress {
    error::failure(out, failure);
    Progress::Done
}
