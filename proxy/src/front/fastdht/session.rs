//! One client connection: its limit, and how each request starts.

use common::op::{Action, AddStyle, Op, Want, Write};

use super::batch_read::BatchRead;
use super::batch_write::BatchWrite;
use super::call::{FastDhtCall, Kind, Single};
use super::decode::{Frame, FrameError, Header, PACKAGE_BYTES_MAX, decode};
use super::encode::{Echo, bare, begin, finish};
use super::expiry::Wish;
use super::read::Read;
use super::request::{Key, Request, parse};
use super::stat::{StatSource, text};
use super::status;
use super::sub_keys::SubKeys;
use crate::front::call::{Durability, Started, Submit};

/// What a connection needs to know. It has no other state: every request stands for itself.
#[derive(Clone, Copy, Debug)]
pub struct FastDhtSession {
    package_max: usize,
}

impl FastDhtSession {
    /// A session that takes packages of up to `package_max` bytes, header included; at most
    /// [`PACKAGE_BYTES_MAX`].
    #[must_use]
    pub fn new(package_max: usize) -> Self {
        Self { package_max: package_max.min(PACKAGE_BYTES_MAX) }
    }

    /// The package at the front of `input`, or `None` while it is incomplete.
    ///
    /// # Errors
    /// The connection is to be closed without an answer.
    pub fn decode<'a>(&self, input: &'a [u8]) -> Result<Option<Frame<'a>>, FrameError> {
        decode(input, self.package_max)
    }

    /// Starts a request. Reads wait alone: the rest of a long value, or a touch of what was found,
    /// must not see writes that the client sent behind the read.
    pub fn start(
        &mut self,
        frame: &Frame<'_>,
        stat: &dyn StatSource,
        submit: &mut dyn Submit,
        out: &mut Vec<u8>,
    ) -> Started<FastDhtCall> {
        let Ok(request) = parse(frame.header.command, frame.body) else {
            return answer(&frame.header, submit, out, status::INVALID);
        };
        start(&frame.header, &request, stat, submit, out)
    }
}

fn start(
    header: &Header,
    request: &Request<'_>,
    stat: &dyn StatSource,
    submit: &mut dyn Submit,
    out: &mut Vec<u8>,
) -> Started<FastDhtCall> {
    let wish = Wish::of(header);
    let call = |kind| FastDhtCall::new(header, kind);
    match request {
        Request::Set { key, value } => {
            write(submit, key, Action::Put { value, replace: false }, wish);
            Started::Waiting(call(Kind::Single(Single::Set)))
        }
        Request::Inc { key, delta } => {
            let add = Action::Add { delta: i64::from(*delta), style: AddStyle::Lenient };
            write(submit, key, add, wish);
            Started::Waiting(call(Kind::Single(Single::Inc)))
        }
        Request::Delete { key } => {
            submit.submit(0, &Op::Write(Write::delete(key.address())), Durability::default());
            Started::Waiting(call(Kind::Single(Single::Delete)))
        }
        Request::Get { key } => {
            Started::WaitingAlone(call(Kind::Get(Box::new(Read::start(key, wish, submit)))))
        }
        Request::BatchSet { keys, values } => {
            let batch = BatchWrite::set(keys, values, wish, submit);
            Started::Waiting(call(Kind::BatchWrite(Box::new(batch))))
        }
        Request::BatchDelete { keys } => {
            let batch = BatchWrite::delete(keys, submit);
            Started::Waiting(call(Kind::BatchWrite(Box::new(batch))))
        }
        Request::BatchGet { keys } => {
            let batch = BatchRead::start(keys, submit);
            Started::WaitingAlone(call(Kind::BatchRead(Box::new(batch))))
        }
        Request::SubKeys { object } => {
            let names = SubKeys::start(*object, submit);
            Started::WaitingAlone(call(Kind::SubKeys(Box::new(names))))
        }
        Request::Stat => {
            let now_ms = submit.now_ms();
            let start = begin(out, Echo::of(header), now_ms, header.expires);
            out.extend_from_slice(text(&stat.stat(), now_ms).as_bytes());
            finish(out, start);
            answered(header)
        }
        Request::HeartBeat => answer(header, submit, out, status::OK),
        Request::Quit => Started::AnsweredAndClose,
    }
}

fn write(submit: &mut dyn Submit, key: &Key<'_>, action: Action<'_>, wish: Wish) {
    let write = Write { at: key.address(), action, expiry: wish.expiry(), want: Want::Nothing };
    submit.submit(0, &Op::Write(write), Durability::default());
}

fn answer(
    header: &Header,
    submit: &dyn Submit,
    out: &mut Vec<u8>,
    status: u8,
) -> Started<FastDhtCall> {
    bare(out, Echo::of(header), submit.now_ms(), status);
    answered(header)
}

fn answered(header: &Header) -> Started<FastDhtCall> {
    if header.keep_alive == 0 { Started::AnsweredAndClose } else { Started::Answered }
}
