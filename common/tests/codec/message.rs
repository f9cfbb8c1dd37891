//! A whole frame with its decoded body, for tests.

use common::codec::{DecodeError, Reader};
use common::failure::Failure;
use common::op::Op;
use common::reply::Reply;
use common::wire::command::Command;
use common::wire::frame::{self, Decoded, FrameType};
use common::wire::hello::{Greeting, Hello, HelloAnswer};
use common::wire::request::{self, RequestHead};
use common::wire::response;
use common::wire::views::Views;

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
    Peer(&'static [u8]),
    AskViews,
    Views(Views),
    AskTopology,
    Topology(&'static [u8]),
    Command(Command),
    CommandAnswer(&'static [u8]),
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
        Body::Peer(_) => FrameType::Peer,
        Body::AskViews => FrameType::AskViews,
        Body::Views(_) => FrameType::Views,
        Body::AskTopology => FrameType::AskTopology,
        Body::Topology(_) => FrameType::Topology,
        Body::Command(_) => FrameType::Command,
        Body::CommandAnswer(_) => FrameType::CommandAnswer,
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
        Body::Announce(bytes)
        | Body::AnnounceAnswer(bytes)
        | Body::Peer(bytes)
        | Body::Topology(bytes)
        | Body::CommandAnswer(bytes) => out.extend_from_slice(bytes),
        Body::AskViews | Body::AskTopology => {}
        Body::Views(views) => views.encode(out),
        Body::Command(command) => command.encode(out),
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
        FrameType::Peer => Body::Peer(frame.body),
        FrameType::AskViews => empty(frame.body, Body::AskViews)?,
        FrameType::Views => Body::Views(Views::decode(frame.body)?),
        FrameType::AskTopology => empty(frame.body, Body::AskTopology)?,
        FrameType::Topology => Body::Topology(frame.body),
        FrameType::Command => Body::Command(Command::decode(frame.body)?),
        FrameType::CommandAnswer => Body::CommandAnswer(frame.body),
    };
    Ok(Message { id: frame.id, body })
}

fn empty(bytes: &[u8], body: Body) -> Result<Body, DecodeError> {
    Reader::new(bytes).end()?;
    Ok(body)
}
