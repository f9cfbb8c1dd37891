//! A started command: from the nodes' answers to the client's.
//!
//! The frequent commands need one operation and no memory of their own: `Simple` says how its
//! reply is written, so GET, SET, INCR and HGET allocate nothing between the input and the output
//! buffer. What gathers several answers keeps a boxed state.

use std::fmt;

use common::failure::Failure;
use common::op::Op;
use common::reply::{BatchReply, Described, Existed, Lookup, ObjectKind, Reply, Written};

use crate::front::call::{Answer, Durability, Progress, Submit};

use super::count::Count;
use super::encode::{self, Proto};
use super::error::{self, unexpected};
use super::expire::{self, TimeForm, TouchEarlier};
use super::field_times::FieldTimes;
use super::fields::Fields;
use super::many::Many;
use super::number::parse_i64;
use super::scan::Scan;
use super::tally::Tally;
use super::value::Value;

/// A command that waits for answers.
pub struct RespCall {
    /// The version that the client spoke when it sent the command.
    proto: Proto,
    kind: Kind,
}

// A connection keeps one for each pipelined command, and moves it about.
const _: () = assert!(size_of::<RespCall>() <= 192);

/// What a call waits for.
pub(super) enum Kind {
    /// The answer to one operation.
    Simple(Simple),
    /// A value that may come in parts.
    Value(Value),
    /// The sum of operations on many keys.
    Tally(Box<Tally>),
    /// Values of many keys or fields.
    Many(Box<Many>),
    /// All fields of a hash.
    Fields(Box<Fields>),
    /// Expiries of fields of a hash.
    FieldTimes(Box<FieldTimes>),
    /// EXPIRE with XX and LT.
    TouchEarlier(Box<TouchEarlier>),
    /// A page of keys.
    Scan(Box<Scan>),
    /// The number of keys.
    Count(Box<Count>),
}

/// How the reply to a single operation is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Simple {
    /// A write: OK.
    Ok,
    /// A batch: OK, or nil when a condition did not hold.
    OkOrNull,
    /// A batch: 1, or 0 when a condition did not hold.
    Flag,
    /// A write: the value before.
    Old,
    /// A batch whose first condition is about the kind: the value before, written or not.
    OldOfBatch,
    /// An addition: the number.
    Number,
    /// The same for a field of a hash, which has its own error text.
    FieldNumber,
    /// A write: the length afterwards.
    Length,
    /// A lookup: the length.
    LookupLength,
    /// A lookup: 1 if found.
    LookupFound,
    /// A write: 1 if it was applied.
    Applied,
    /// A write: 1 if something existed.
    Existed,
    /// A write: 1 if nothing existed.
    Created,
    /// A batch: how many writes created something.
    CreatedMany,
    /// A batch whose only condition is about the kind: how many writes found something.
    ExistedMany,
    /// A batch whose first condition, if it has any, is about the kind: 1, or 0 when another one did
    /// not hold.
    FieldsPut,
    /// A batch of touches whose only condition is about the kind: for each -2 if there was nothing,
    /// 0 if its rule said no, else 1, or 2 if the time is past.
    FieldsTouched { is_past: bool },
    /// The same for touches that end an expiry: -2, -1 if there was none, else 1.
    FieldsPersisted,
    /// A batch: OK.
    OkOfBatch,
    /// A description: the kind's name.
    KindName,
    /// A description: 1 if anything exists.
    ObjectFound,
    /// A description: the number of fields.
    FieldCount,
    /// A description: the expiry.
    Time(TimeForm),
}

impl fmt::Debug for RespCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RespCall").field("proto", &self.proto).finish_non_exhaustive()
    }
}

impl RespCall {
    pub(super) fn new(proto: Proto, kind: Kind) -> Self {
        Self { proto, kind }
    }

    /// Takes the answer to one of the call's operations. The client's answer is appended to `out`
    /// as a whole, together with [`Progress::Done`].
    pub fn on_answer(
        &mut self,
        part: u32,
        answer: Answer<'_>,
        submit: &mut dyn Submit,
        out: &mut Vec<u8>,
    ) -> Progress {
        let proto = self.proto;
        match &mut self.kind {
            Kind::Simple(simple) => {
                match answer {
                    Ok(reply) => simple.write(&reply, proto, submit.now_ms(), out),
                    Err(failure) => simple.write_failure(&failure, out),
                }
                Progress::Done
            }
            Kind::Value(value) => value.on_answer(answer, proto, submit, out),
            Kind::Tally(tally) => tally.on_answer(answer, submit, out),
            Kind::Many(many) => many.on_answer(part, answer, proto, submit, out),
            Kind::Fields(fields) => fields.on_answer(answer, proto, submit, out),
            Kind::FieldTimes(times) => times.on_answer(part, answer, submit, out),
            Kind::TouchEarlier(touch) => touch.on_answer(answer, submit, out),
            Kind::Scan(scan) => scan.on_answer(answer, submit, out),
            Kind::Count(count) => count.on_answer(answer, submit, out),
        }
    }
}

impl Simple {
    fn write(self, reply: &Reply<'_>, proto: Proto, now_ms: u64, out: &mut Vec<u8>) {
        match reply {
            Reply::Written(written) => self.on_written(written, proto, out),
            Reply::Lookup(lookup) => self.on_lookup(lookup, out),
            Reply::Batch(batch) => self.on_batch(batch, proto, out),
            Reply::Described(described) => self.on_described(described, now_ms, out),
            Reply::Lookups(_) | Reply::Range(_) | Reply::Scan(_) | Reply::Count(_) => {
                error::failure(out, &unexpected());
            }
        }
    }

    fn write_failure(self, failure: &Failure, out: &mut Vec<u8>) {
        use common::failure::FailureCode::NotInteger;
        if self == Self::FieldNumber && failure.code == NotInteger {
            encode::error(out, b"ERR hash value is not an integer");
        } else {
            error::failure(out, failure);
        }
    }

    fn on_written(self, written: &Written<'_>, proto: Proto, out: &mut Vec<u8>) {
        match self {
            Self::Ok => encode::ok(out),
            Self::Old => encode::bulk_or_null(out, proto, written.value),
            Self::Number | Self::FieldNumber => match written.value.and_then(parse_i64) {
                Some(number) => encode::integer(out, number),
                None => error::failure(out, &unexpected()),
            },
            Self::Length => encode::integer(out, i64::from(written.total)),
            Self::Applied => encode::integer(out, i64::from(written.applied)),
            Self::Existed => encode::integer(out, i64::from(written.existed == Existed::Yes)),
            Self::Created => encode::integer(out, i64::from(written.existed == Existed::No)),
            _ => error::failure(out, &unexpected()),
        }
    }

    fn on_lookup(self, lookup: &Lookup<'_>, out: &mut Vec<u8>) {
        match (self, lookup) {
            (_, Lookup::WrongKind) => error::wrong_kind(out),
            (Self::LookupLength | Self::LookupFound, Lookup::Missing) => encode::integer(out, 0),
            (Self::LookupLength, Lookup::Found(found)) => {
                encode::integer(out, i64::from(found.total));
            }
            (Self::LookupFound, Lookup::Found(_)) => encode::integer(out, 1),
            _ => error::failure(out, &unexpected()),
        }
    }

    fn on_batch(self, batch: &BatchReply<'_>, proto: Proto, out: &mut Vec<u8>) {
        let count = |existed| {
            let hits = batch.written.iter().filter(|written| written.existed == existed).count();
            i64::try_from(hits).unwrap_or(i64::MAX)
        };
        match (self, batch.refused) {
            (
                Self::OldOfBatch
                | Self::ExistedMany
                | Self::FieldsPut
                | Self::FieldsTouched { .. }
                | Self::FieldsPersisted,
                Some(0),
            ) => error::wrong_kind(out),
            (Self::OkOrNull, Some(_)) => encode::null(out, proto),
            (Self::OkOrNull | Self::OkOfBatch, None) => encode::ok(out),
            (Self::Flag | Self::FieldsPut, refused) => {
                encode::integer(out, i64::from(refused.is_none()))
            }
            (Self::OldOfBatch, _) => {
                let old = batch.written.first().and_then(|written| written.value);
                encode::bulk_or_null(out, proto, old);
            }
            (Self::CreatedMany, None) => encode::integer(out, count(Existed::No)),
            (Self::ExistedMany, None) => encode::integer(out, count(Existed::Yes)),
            (Self::FieldsTouched { is_past }, None) => {
                touches(out, &batch.written, 0, if is_past { 2 } else { 1 });
            }
            (Self::FieldsPersisted, None) => touches(out, &batch.written, -1, 1),
            _ => error::failure(out, &unexpected()),
        }
    }

    fn on_described(self, described: &Described, now_ms: u64, out: &mut Vec<u8>) {
        match (self, described.kind) {
            (Self::KindName, kind) => encode::simple(out, kind_name(kind)),
            (Self::ObjectFound, kind) => {
                encode::integer(out, i64::from(kind != ObjectKind::Missing));
            }
            (Self::FieldCount, ObjectKind::String) => error::wrong_kind(out),
            (Self::FieldCount, ObjectKind::Missing) => encode::integer(out, 0),
            (Self::FieldCount, ObjectKind::Hash) => {
                encode::integer(out, i64::try_from(described.size).unwrap_or(i64::MAX));
            }
            (Self::Time(form), _) => {
                encode::integer(out, expire::time_left(described, form, now_ms));
            }
            _ => error::failure(out, &unexpected()),
        }
    }
}

/// Writes what became of each touch of a field: `refused` where the rule said no.
fn touches(out: &mut Vec<u8>, written: &[Written<'_>], refused: i64, applied: i64) {
    encode::array(out, written.len());
    for write in written {
        let told = match write {
            Written { applied: true, .. } => applied,
            Written { existed: Existed::Yes, .. } => refused,
            Written { .. } => -2,
        };
        encode::integer(out, told);
    }
}

/// A kind as TYPE and SCAN name it.
pub(super) fn kind_name(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Missing => "none",
        ObjectKind::String => "string",
        ObjectKind::Hash => "hash",
    }
}

/// Submits the only outstanding operation of a call.
pub(super) fn submit_one(submit: &mut dyn Submit, op: &Op<'_>) {
    submit.submit(0, op, Durability::default());
}
