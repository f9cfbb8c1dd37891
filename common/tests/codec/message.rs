//! A whole frame with its decoded body, for tests.

use common::codec::DecodeError;
use common::failure::Failure;
use common::op::Op;
use common::reply::Reply;
use common::wire::frame::{self, Decoded, FrameType};
use common::wire::hello::{Greeting, Hello, HelloAnswer};
use common::wire::request::{self, RequestHead};
use common::wire::response;

/// One frame of any type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Message {
    pub(crate) id: u64,
    pub(crate) body: Body,
}

/// Its body.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    Greeting(Greeting),
    Hello(Hello<'static>),
    HelloAnswer(HelloAnswer<'static>),
    Request(RequestHead, Op<'static>),
    Response(Result<Reply<'static>, Failure>),
    Announce(&'static [u8]),
    AnnounceAnswer(&'static [u8]),
}

pub(crate) fn encode(message: &Message) -> Vec<u8> {
    let kind = match message.body {
        Body::Greeting(_) => FrameType::Greeting,
        Body::Hello(_) => FrameType::Hello,
        Body::HelloAnswer(_) => FrameType::HelloAnswer,
        Body::Request(..) => FrameType::Request,
        Body::Response(_) => FrameType::Response,
        Body::Announce(_) => FrameType::Announce,
        Body::AnnounceAnswer(_) => FrameType::AnnounceAnswer,
    };
    let mut out = Vec::new();
    frame::encode(&mut out, kind, message.id, |out| match &message.body {
        Body::Greeting(greeting) => greeting.encode(out),
        Body::Hello(hello) => hello.encode(out),
        Body::HelloAnswer(answer) => answer.encode(out),
        Body::Request(head, op) => {
            head.encode(out);
            request::encode_op(out, op);
        }
        Body::Response(Ok(reply)) => response::encode_reply(out, reply),
        Body::Response(Err(failure)) => response::encode_failure(out, failure),
        Body::Announce(text) | Body::AnnounceAnswer(text) => out.extend_from_slice(text),
    });
    out
}

/// Reads exactly one frame.
pub(crate) fn decode(bytes: &'static [u8]) -> Result<Message, DecodeError> {
    let (frame, length) = match frame::decode(bytes)? {
        Decoded::Frame(frame, length) => (frame, length),
        Decoded::Incomplete(needed) => {
            assert!(needed > bytes.len(), "{needed} bytes are there already");
            return Err(DecodeError::Truncated("frame"));
        }
    };
    if length < bytes.len() {
        return Err(DecodeError::Trailing(bytes.len() - length));
    }
    let body = match frame.kind {
        FrameType::Greeting => Body::Greeting(Greeting::decode(frame.body)?),
        FrameType::Hello => Body::Hello(Hello::decode(frame.body)?),
        FrameType::HelloAnswer => Body::HelloAnswer(HelloAnswer::decode(frame.body)?),
        FrameType::Request => {
            let (head, op) = request::decode(frame.body)?;
            Body::Request(head, op)
        }
        FrameType::Response => Body::Response(response::decode(frame.body)?),
        FrameType::Announce => Body::Announce(frame.body),
        FrameType::AnnounceAnswer => Body::AnnounceAnswer(frame.body),
    };
    Ok(Message { id: frame.id, body })
}
