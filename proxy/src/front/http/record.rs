//! GET, HEAD, PUT and DELETE of one record, and DELETE of an object.

use common::op::{Batch, Condition, Get, Op, Part, Write};
use common::reply::{Existed, Found, Lookup, Reply, Written};

use super::accept::Form;
use super::answer::HttpAnswer;
use super::conditions::{Conditions, WriteCondition, etag};
use super::json::RecordJson;
use super::options::{EXPIRE_AT, TTL};
use super::target::Name;
use crate::front::call::{Durability, Submit};
use crate::front::fastdht::parts::{FIRST_PART, Next, Record, ValueParts};

const RECORD: &str = "the record";

/// A waiting GET or HEAD.
#[derive(Debug)]
pub(super) struct GetRecord {
    name: Name,
    conditions: Conditions,
    form: Form,
    head: bool,
    parts: ValueParts,
}

impl GetRecord {
    /// Submits the lookup; HEAD asks for no byte of the value.
    pub(super) fn start(
        name: Name,
        conditions: Conditions,
        form: Form,
        head: bool,
        submit: &mut dyn Submit,
    ) -> Self {
        let part = if head { Part { offset: 0, limit: 0 } } else { FIRST_PART };
        let get = Self { name, conditions, form, head, parts: ValueParts::default() };
        get.ask(part, submit);
        get
    }

    fn ask(&self, part: Part, submit: &mut dyn Submit) {
        let get = Get { at: self.name.as_address(), part };
        submit.submit(0, &Op::Get(get), Durability::default());
    }

    /// Takes a part of the value.
    pub(super) fn on_reply(
        &mut self,
        reply: &Reply<'_>,
        submit: &mut dyn Submit,
    ) -> Option<HttpAnswer> {
        match reply {
            Reply::Lookup(Lookup::Found(found)) => self.found(found, submit),
            Reply::Lookup(Lookup::Missing) if !self.conditions.match_holds(None) => {
                Some(HttpAnswer::precondition_failed(RECORD))
            }
            Reply::Lookup(Lookup::Missing) => Some(HttpAnswer::missing(RECORD)),
            Reply::Lookup(Lookup::WrongKind) => {
                Some(HttpAnswer::wrong_kind(match self.name.field {
                    None => "the object has fields: name one, or list it under /v1/objects",
                    Some(_) => "the object is a single value without fields",
                }))
            }
            _ => Some(HttpAnswer::unexpected()),
        }
    }

    fn found(&mut self, found: &Found<'_>, submit: &mut dyn Submit) -> Option<HttpAnswer> {
        let Found { version, expire_at, .. } = *found;
        let now_ms = submit.now_ms();
        if !self.conditions.match_holds(Some(version)) {
            let answer = HttpAnswer::precondition_failed(RECORD).with("ETag", etag(version));
            return Some(answer);
        }
        let described = |answer: HttpAnswer| {
            let answer = answer
                .with("ETag", etag(version))
                .with("Vary", "Accept")
                .with("Cache-Control", "no-cache")
                .with("X-Content-Type-Options", "nosniff");
            with_expiry(answer, expire_at, Some(now_ms))
        };
        if self.conditions.is_known(version) {
            return Some(described(HttpAnswer::empty(304)));
        }
        if self.head {
            return Some(described(self.head_answer(found)));
        }
        match self.parts.add(found) {
            Next::Complete(record) => Some(described(self.answer(record))),
            Next::Ask(part) => {
                self.ask(part, submit);
                None
            }
            Next::Unsteady => Some(unsteady()),
        }
    }

    fn answer(&self, record: Record) -> HttpAnswer {
        match self.form {
            Form::Raw => HttpAnswer::of_body(200, "application/octet-stream", record.value),
            Form::Json => HttpAnswer::json(200, &RecordJson { name: &self.name, record: &record }),
        }
    }

    /// The length of the JSON is not known without the value.
    fn head_answer(&self, found: &Found<'_>) -> HttpAnswer {
        match self.form {
            Form::Raw => HttpAnswer::of_body(200, "application/octet-stream", Vec::new())
                .with("Content-Length", found.total.to_string()),
            Form::Json => HttpAnswer::of_body(200, "application/json", Vec::new()),
        }
    }
}

/// The value changed too often while its parts were read.
pub(super) fn unsteady() -> HttpAnswer {
    let error = "the value changes faster than it can be read";
    HttpAnswer::error(503, "not_applied", error).with("Retry-After", "1")
}

/// What a waiting write is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriteRequest {
    Put,
    DeleteRecord,
    DeleteObject,
}

impl WriteRequest {
    /// Submits the write, under its condition if there is one.
    pub(super) fn start(
        self,
        write: Write<'_>,
        condition: &WriteCondition,
        durability: Durability,
        submit: &mut dyn Submit,
    ) -> Result<Self, HttpAnswer> {
        let op = match condition {
            WriteCondition::None => Op::Write(write),
            WriteCondition::Test(test) => Op::Batch(Batch {
                conditions: vec![Condition { at: write.at, test: *test }],
                writes: vec![write],
            }),
            WriteCondition::Never => return Err(HttpAnswer::precondition_failed(RECORD)),
        };
        submit.submit(0, &op, durability);
        Ok(self)
    }

    /// Takes the outcome.
    pub(super) fn on_reply(self, reply: &Reply<'_>) -> HttpAnswer {
        match reply {
            Reply::Written(written) => self.written(written),
            Reply::Batch(batch) => match (batch.refused, batch.written.first()) {
                (None, Some(written)) => self.written(written),
                (Some(_), Some(Written { existed: Existed::Yes, version, .. })) => {
                    HttpAnswer::precondition_failed(RECORD).with("ETag", etag(*version))
                }
                (Some(_), _) => HttpAnswer::precondition_failed(RECORD),
                (None, None) => HttpAnswer::unexpected(),
            },
            _ => HttpAnswer::unexpected(),
        }
    }

    fn written(self, written: &Written<'_>) -> HttpAnswer {
        let missing = written.existed == Existed::No;
        match self {
            Self::Put => {
                let answer = HttpAnswer::empty(204).with("ETag", etag(written.version));
                with_expiry(answer, written.expire_at, None)
            }
            Self::DeleteRecord if missing => HttpAnswer::missing(RECORD),
            Self::DeleteObject if missing => HttpAnswer::missing("the object"),
            Self::DeleteRecord | Self::DeleteObject => HttpAnswer::empty(204),
        }
    }
}

/// Says when the record expires, and in how long if a time is given.
fn with_expiry(answer: HttpAnswer, expire_at: u64, now_ms: Option<u64>) -> HttpAnswer {
    if expire_at == 0 {
        return answer;
    }
    let answer = answer.with(EXPIRE_AT, expire_at.to_string());
    match now_ms {
        Some(now_ms) => answer.with(TTL, expire_at.saturating_sub(now_ms).to_string()),
        None => answer,
    }
}
