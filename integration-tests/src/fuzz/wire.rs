//! The node protocol: frames and their bodies.

use common::limits::DETAIL_BYTES_MAX;
use common::wire::command::Command;
use common::wire::frame::{self, Decoded, Frame, FrameType};
use common::wire::hello::{Greeting, Hello, HelloAnswer};
use common::wire::views::Views;
use common::wire::{reply as reply_codec, request as request_codec, response as response_codec};

/// What `put` writes.
pub(super) fn written(put: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out);
    out
}

/// A connection's input: frames, one behind the other, and what is in them.
pub(super) fn frame(bytes: &[u8]) {
    let mut rest = bytes;
    loop {
        match frame::decode(rest) {
            Ok(Decoded::Frame(found, length)) => {
                let body = |out: &mut Vec<u8>| out.extend_from_slice(found.body);
                let again = written(|out| frame::encode(out, found.kind, found.id, body));
                assert_eq!(again, rest[..length]);
                body_of(&found);
                rest = &rest[length..];
            }
            Ok(Decoded::Incomplete(needed)) => {
                assert!(needed > rest.len(), "{needed} bytes are there");
                return;
            }
            Err(_) => return,
        }
    }
}

fn body_of(frame: &Frame<'_>) {
    match frame.kind {
        FrameType::Greeting | FrameType::Hello | FrameType::HelloAnswer => hello(frame.body),
        FrameType::Request => request(frame.body),
        FrameType::Response => response(frame.body),
        FrameType::Peer => super::nodes::peer_frame(frame.body),
        FrameType::Views => views(frame.body),
        FrameType::Command => command(frame.body),
        FrameType::Announce
        | FrameType::AnnounceAnswer
        | FrameType::AskViews
        | FrameType::AskTopology
        | FrameType::Topology
        | FrameType::CommandAnswer => {}
    }
}

/// The bodies of the first three frames.
pub(super) fn hello(bytes: &[u8]) {
    if let Ok(greeting) = Greeting::decode(bytes) {
        assert_eq!(Greeting::decode(&written(|out| greeting.encode(out))), Ok(greeting));
    }
    if let Ok(hello) = Hello::decode(bytes) {
        let again = written(|out| hello.encode(out));
        assert_eq!(Hello::decode(&again), Ok(hello));
    }
    if let Ok(answer) = HelloAnswer::decode(bytes) {
        let again = written(|out| answer.encode(out));
        let long = matches!(answer, HelloAnswer::Refused(text) if text.len() > DETAIL_BYTES_MAX);
        assert!(long || HelloAnswer::decode(&again) == Ok(answer));
    }
}

/// A request's body.
pub(super) fn request(bytes: &[u8]) {
    let Ok((head, op)) = request_codec::decode(bytes) else { return };
    let again = written(|out| {
        head.encode(out);
        request_codec::encode_op(out, &op);
    });
    assert_eq!(request_codec::decode(&again), Ok((head, op)));
}

/// A response's body.
pub(super) fn response(bytes: &[u8]) {
    match response_codec::decode(bytes) {
        Ok(Ok(reply)) => {
            let again = written(|out| response_codec::encode_reply(out, &reply));
            assert_eq!(response_codec::decode(&again), Ok(Ok(reply)));
        }
        Ok(Err(mut failure)) => {
            let again = written(|out| response_codec::encode_failure(out, &failure));
            let cut = failure.detail.floor_char_boundary(DETAIL_BYTES_MAX);
            failure.detail.truncate(cut);
            assert_eq!(response_codec::decode(&again), Ok(Err(failure)));
        }
        Err(_) => {}
    }
}

/// A reply by itself, as log records keep it.
pub(super) fn reply(bytes: &[u8]) {
    let Ok(reply) = reply_codec::decode(bytes) else { return };
    let again = written(|out| reply_codec::encode(out, &reply));
    assert_eq!(reply_codec::decode(&again), Ok(reply));
}

/// A node's views: voter set and registers.
pub(super) fn views(bytes: &[u8]) {
    let Ok(views) = Views::decode(bytes) else { return };
    let again = written(|out| views.encode(out));
    assert_eq!(Views::decode(&again), Ok(views));
}

/// An operator's command.
pub(super) fn command(bytes: &[u8]) {
    let Ok(command) = Command::decode(bytes) else { return };
    let again = written(|out| command.encode(out));
    assert_eq!(Command::decode(&again), Ok(command));
}
