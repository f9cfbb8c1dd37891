//! GET: a lookup, or a touch that reports the value.

use common::op::{Action, ExpiryRule, Get, Op, Part, Want, Write};
use common::reply::{Existed, Found, Lookup, Reply, Written};

use super::call::{ReplyTo, fail};
use super::encode::{begin, finish, put_bytes};
use super::expiry::{Wish, seconds};
use super::names::Names;
use super::parts::{FIRST_PART, Next, ValueParts};
use super::request::Key;
use super::stat::{Counter, Counters};
use super::status;
use crate::front::call::{Answer, Durability, Progress, Submit};

/// A waiting GET.
#[derive(Debug)]
pub(super) struct Read {
    key: Names,
    parts: ValueParts,
    /// What the header is to say about the expiry, once a touch has stored it.
    touched: Option<i32>,
}

impl Read {
    /// Submits the lookup, or the touch.
    pub(super) fn start(key: &Key<'_>, wish: Wish, submit: &mut dyn Submit) -> Self {
        let at = key.address();
        let op = if wish.is_none() {
            Op::Get(Get { at, part: FIRST_PART })
        } else {
            let action = Action::Touch { rule: ExpiryRule::Always };
            Op::Write(Write { at, action, expiry: wish.expiry(), want: Want::Value })
        };
        submit.submit(0, &op, Durability::default());
        Self { key: Names::of_key(key), parts: ValueParts::default(), touched: None }
    }

    /// Takes the answer to the lookup, the touch or a further part.
    pub(super) fn on_answer(
        &mut self,
        answer: Answer<'_>,
        to: ReplyTo,
        submit: &mut dyn Submit,
        out: &mut Vec<u8>,
        counters: &mut Counters,
    ) -> Progress {
        let touch = !to.wish.is_none() && self.touched.is_none();
        let status = match answer {
            Ok(Reply::Lookup(Lookup::Found(found))) => self.found(&found, to, submit, out),
            Ok(Reply::Lookup(Lookup::Missing)) => Some(status::MISSING),
            Ok(Reply::Lookup(Lookup::WrongKind)) => Some(status::INVALID),
            Ok(Reply::Written(written)) => self.touched(&written, to, submit, out),
            Ok(_) => Some(status::UNKNOWN),
            Err(failure) => Some(status::of(&failure)),
        };
        // As in the original, a touch counts as a set as well.
        if touch {
            let status = if self.touched.is_some() { Some(status::OK) } else { status };
            counters.set.add(Counter::of_status(status.unwrap_or(status::OK)));
        }
        let Some(status) = status else {
            return Progress::Waiting;
        };
        if status != status::OK {
            fail(out, to, submit.now_ms(), status);
        }
        counters.get.add(Counter::of_status(status));
        Progress::Done
    }

    fn touched(
        &mut self,
        written: &Written<'_>,
        to: ReplyTo,
        submit: &mut dyn Submit,
        out: &mut Vec<u8>,
    ) -> Option<u8> {
        let Some(value) = written.value.filter(|_| written.existed != Existed::No) else {
            return Some(status::MISSING);
        };
        self.touched = Some(to.wish.answer(written.expire_at));
        let Written { version, expire_at, total, .. } = *written;
        self.found(&Found { version, expire_at, total, value }, to, submit, out)
    }

    /// Answers, or asks for more.
    fn found(
        &mut self,
        found: &Found<'_>,
        to: ReplyTo,
        submit: &mut dyn Submit,
        out: &mut Vec<u8>,
    ) -> Option<u8> {
        let expires = self.touched.unwrap_or_else(|| seconds(found.expire_at));
        if found.value.len() == found.total as usize {
            return Some(value(out, to, submit.now_ms(), expires, found.value));
        }
        match self.parts.add(found) {
            Next::Complete(record) => Some(value(out, to, submit.now_ms(), expires, &record.value)),
            Next::Ask(part) => {
                self.ask(part, submit);
                None
            }
            Next::Unsteady => Some(status::AGAIN),
        }
    }

    fn ask(&self, part: Part, submit: &mut dyn Submit) {
        let get = Get { at: self.key.address(0), part };
        submit.submit(0, &Op::Get(get), Durability::default());
    }
}

fn value(out: &mut Vec<u8>, to: ReplyTo, now_ms: u64, expires: i32, value: &[u8]) -> u8 {
    let start = begin(out, to.echo, now_ms, expires);
    put_bytes(out, value);
    finish(out, start);
    status::OK
}
