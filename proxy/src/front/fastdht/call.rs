//! A request whose operations were submitted: takes their answers, then writes its own.

use common::reply::{Existed, Reply};

use super::batch_read::BatchRead;
use super::batch_write::BatchWrite;
use super::decode::Header;
use super::encode::{Echo, bare, begin, finish, put_bytes};
use super::expiry::Wish;
use super::read::Read;
use super::stat::{Counter, Counters};
use super::status;
use super::sub_keys::SubKeys;
use crate::front::call::{Answer, Progress, Submit};

/// A waiting request.
#[derive(Debug)]
pub struct FastDhtCall {
    reply_to: ReplyTo,
    counters: Counters,
    kind: Kind,
}

/// What a call needs of its request's header.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReplyTo {
    /// What the answer repeats.
    pub(super) echo: Echo,
    /// The expiry that was asked for.
    pub(super) wish: Wish,
}

#[derive(Debug)]
pub(super) enum Kind {
    Single(Single),
    Get(Box<Read>),
    BatchWrite(Box<BatchWrite>),
    BatchRead(Box<BatchRead>),
    SubKeys(Box<SubKeys>),
}

/// Requests of one write, whose answer is all they need.
#[derive(Clone, Copy, Debug)]
pub(super) enum Single {
    Set,
    Inc,
    Delete,
}

impl FastDhtCall {
    pub(super) fn new(header: &Header, kind: Kind) -> Self {
        let reply_to = ReplyTo { echo: Echo::of(header), wish: Wish::of(header) };
        Self { reply_to, counters: Counters::default(), kind }
    }

    /// Whether the connection closes after the answer.
    #[must_use]
    pub fn closes(&self) -> bool {
        self.reply_to.echo.keep_alive == 0
    }

    /// What to add to the counters of STAT once the call is done.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Takes the answer to one operation. The call's own answer is written when it is done.
    pub fn on_answer(
        &mut self,
        part: u32,
        answer: Answer<'_>,
        submit: &mut dyn Submit,
        out: &mut Vec<u8>,
    ) -> Progress {
        let to = self.reply_to;
        match &mut self.kind {
            Kind::Single(single) => {
                let status = single.finish(&answer, to, submit.now_ms(), out);
                single.count(&mut self.counters, status);
                Progress::Done
            }
            Kind::Get(read) => read.on_answer(answer, to, submit, out, &mut self.counters),
            Kind::BatchWrite(batch) => {
                batch.on_answer(part, answer, to, submit, out, &mut self.counters)
            }
            Kind::BatchRead(batch) => {
                batch.on_answer(part, answer, to, submit, out, &mut self.counters)
            }
            Kind::SubKeys(names) => names.on_answer(answer, to, submit, out),
        }
    }
}

impl Single {
    fn finish(self, answer: &Answer<'_>, to: ReplyTo, now_ms: u64, out: &mut Vec<u8>) -> u8 {
        let written = match answer {
            Ok(Reply::Written(written)) => written,
            Ok(_) => return fail(out, to, now_ms, status::UNKNOWN),
            Err(failure) => return fail(out, to, now_ms, status::of(failure)),
        };
        let stored = to.wish.answer(written.expire_at);
        match self {
            Self::Set => bare(out, to.echo.with_expires(stored), now_ms, status::OK),
            Self::Inc => {
                let start = begin(out, to.echo, now_ms, stored);
                put_bytes(out, written.value.unwrap_or_default());
                finish(out, start);
            }
            Self::Delete => {
                let status = of_delete(written.existed);
                bare(out, to.echo, now_ms, status);
                return status;
            }
        }
        status::OK
    }

    fn count(self, counters: &mut Counters, status: u8) {
        let counter = match self {
            Self::Set => &mut counters.set,
            Self::Inc => &mut counters.inc,
            Self::Delete => &mut counters.delete,
        };
        counter.add(Counter::of_status(status));
    }
}

/// The status of a delete.
pub(super) fn of_delete(existed: Existed) -> u8 {
    match existed {
        Existed::No => status::MISSING,
        Existed::Yes | Existed::Unknown => status::OK,
    }
}

/// Answers with a status and the request's own expiry.
pub(super) fn fail(out: &mut Vec<u8>, to: ReplyTo, now_ms: u64, status: u8) -> u8 {
    bare(out, to.echo, now_ms, status);
    status
}
