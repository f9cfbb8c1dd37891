//! GET of an object: a page of its fields, gathered from as many ranges as it takes.
//!
//! A page is no snapshot: each range shows the object as it stands when a node answers it.

use common::limits::PART_BYTES;
use common::op::{Get, Op, Part, Range};
use common::reply::{Found, Lookup, ObjectKind, RangeReply, Reply};

use super::answer::HttpAnswer;
use super::json::{FieldJson, FieldValue, ObjectJson};
use super::record::unsteady;
use super::target::{Name, Page};
use crate::front::call::{Durability, Submit};
use crate::front::fastdht::parts::{Next, ValueParts};

/// A page ends when its names and values reach this; a longer value still comes whole.
const PAGE_BYTES: usize = 4 << 20;

/// A waiting list.
#[derive(Debug)]
pub(super) struct ListObject {
    name: Name,
    page: Page,
    expire_at: u64,
    fields: Vec<FieldJson>,
    bytes: usize,
    /// The field that was looked at last.
    last: Option<Vec<u8>>,
    /// Parts of the last field's value, while it is being read.
    parts: ValueParts,
}

impl ListObject {
    /// Submits the first range.
    pub(super) fn start(name: Name, page: Page, submit: &mut dyn Submit) -> Self {
        let last = page.after.clone();
        let (fields, parts) = (Vec::new(), ValueParts::default());
        let list = Self { name, page, expire_at: 0, fields, bytes: 0, last, parts };
        list.ask_range(submit);
        list
    }

    fn ask_range(&self, submit: &mut dyn Submit) {
        let count = u32::try_from(self.fields.len()).unwrap_or(self.page.limit);
        let range = Range {
            object: self.name.as_object(),
            after: self.last.as_deref(),
            count_max: self.page.limit.saturating_sub(count),
            bytes_max: PART_BYTES,
            values: self.page.values,
        };
        submit.submit(0, &Op::Range(range), Durability::default());
    }

    fn ask_part(&self, part: Part, submit: &mut dyn Submit) {
        let field = self.last.as_deref().unwrap_or_default();
        let get = Get { at: self.name.as_object().field(field), part };
        submit.submit(0, &Op::Get(get), Durability::default());
    }

    /// Takes a range, or a part of a long value.
    pub(super) fn on_reply(
        &mut self,
        reply: &Reply<'_>,
        submit: &mut dyn Submit,
    ) -> Option<HttpAnswer> {
        match reply {
            Reply::Range(range) => self.on_range(range, submit),
            Reply::Lookup(Lookup::Found(found)) => match self.take(found, submit) {
                Took::Field => self.go_on(true, submit),
                Took::Part => None,
                Took::Unsteady => Some(unsteady()),
            },
            // The field has ceased to exist; the page goes on behind it.
            Reply::Lookup(Lookup::Missing | Lookup::WrongKind) => self.go_on(true, submit),
            _ => Some(HttpAnswer::unexpected()),
        }
    }

    fn on_range(&mut self, range: &RangeReply<'_>, submit: &mut dyn Submit) -> Option<HttpAnswer> {
        match range.kind {
            ObjectKind::Hash => self.expire_at = range.expire_at,
            // What was gathered before it ceased to exist is still an answer.
            ObjectKind::Missing | ObjectKind::String if !self.fields.is_empty() => {}
            ObjectKind::Missing => return Some(HttpAnswer::missing("the object")),
            ObjectKind::String => {
                let error = "the object is a single value without fields: read it under /v1/kv";
                return Some(HttpAnswer::wrong_kind(error));
            }
        }
        for field in &range.fields {
            self.last = Some(field.name.to_vec());
            if !self.page.values {
                self.push(&field.found, FieldValue::Bytes(field.found.total));
                continue;
            }
            match self.take(&field.found, submit) {
                Took::Field => {}
                Took::Part => return None,
                Took::Unsteady => return Some(unsteady()),
            }
        }
        self.go_on(range.more && !range.fields.is_empty(), submit)
    }

    /// Takes a field's value, or the next part of it.
    fn take(&mut self, found: &Found<'_>, submit: &mut dyn Submit) -> Took {
        match self.parts.add(found) {
            Next::Complete(record) => {
                self.parts = ValueParts::default();
                self.push(found, FieldValue::Whole(record.value));
                Took::Field
            }
            Next::Ask(part) => {
                self.ask_part(part, submit);
                Took::Part
            }
            Next::Unsteady => Took::Unsteady,
        }
    }

    fn push(&mut self, found: &Found<'_>, value: FieldValue) {
        let name = self.last.clone().unwrap_or_default();
        self.bytes += name.len();
        if let FieldValue::Whole(value) = &value {
            self.bytes += value.len();
        }
        let Found { version, expire_at, .. } = *found;
        self.fields.push(FieldJson { name, version, expire_at, value });
    }

    /// Asks for the next range, or answers when the page is full or nothing follows.
    fn go_on(&mut self, more: bool, submit: &mut dyn Submit) -> Option<HttpAnswer> {
        self.parts = ValueParts::default();
        let full = self.fields.len() >= self.page.limit as usize || self.bytes >= PAGE_BYTES;
        if more && !full {
            self.ask_range(submit);
            return None;
        }
        let last = self.last.as_deref().filter(|_| more);
        let (name, expire_at, fields) = (&self.name, self.expire_at, &self.fields);
        let next = last.map(|last| self.page.link(name, last));
        Some(HttpAnswer::json(200, &ObjectJson { name, expire_at, fields, next }))
    }
}

/// What became of a value.
enum Took {
    /// Its field is complete.
    Field,
    /// A further part of it was asked for.
    Part,
    /// It cannot be read.
    Unsteady,
}
