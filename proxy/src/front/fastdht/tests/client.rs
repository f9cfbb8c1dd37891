//! A client for the tests: writes packages with its own few lines, not with the code under test.

use common::wire::response;

use crate::front::call::{Progress, Started};
use crate::front::fastdht::model::Model;
use crate::front::fastdht::{Counters, FastDhtSession, Stat, StatSource};

/// STAT values that never change.
pub(super) struct FixedStat;

impl StatSource for FixedStat {
    fn stat(&self) -> Stat {
        Stat { server: "127.0.0.1:12200".into(), version: "0.1.0".into(), ..Stat::default() }
    }
}

/// What the server sent for a stream of requests, and whether it closed the connection.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) bytes: Vec<u8>,
    pub(super) closed: bool,
    pub(super) counters: Counters,
}

/// Feeds `input` to a new session, one request after the other.
pub(super) fn exchange(model: &mut Model, input: &[u8]) -> Sent {
    let mut session = FastDhtSession::new(256 << 10);
    let (mut sent, mut rest) = (Sent::default(), input);
    while !sent.closed {
        let frame = match session.decode(rest) {
            Ok(Some(frame)) => frame,
            Ok(None) => break,
            Err(_) => {
                sent.closed = true;
                break;
            }
        };
        rest = &rest[frame.bytes()..];
        let mut call = match session.start(&frame, &FixedStat, model, &mut sent.bytes) {
            Started::Answered => continue,
            Started::AnsweredAndClose => {
                sent.closed = true;
                break;
            }
            Started::Waiting(call) | Started::WaitingAlone(call) => call,
        };
        loop {
            let (part, bytes) = model.take_answer().expect("a waiting call has answers to come");
            let before = sent.bytes.len();
            let answer = response::decode(&bytes).unwrap();
            if call.on_answer(part, answer, model, &mut sent.bytes) == Progress::Done {
                break;
            }
            assert_eq!(sent.bytes.len(), before, "answers are written once, when done");
        }
        assert!(model.take_answer().is_none(), "a call that is done has no answers to come");
        sent.counters.add(call.counters());
        sent.closed = call.closes();
    }
    sent
}

/// One request with keep-alive; timestamp 0, so that `expires` is absolute.
pub(super) fn request(command: u8, expires: i32, body: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend(77_u32.to_be_bytes());
    bytes.extend(0_u32.to_be_bytes());
    bytes.extend(expires.to_be_bytes());
    bytes.extend([command, 1, 0]);
    bytes.extend(body);
    bytes
}

/// Length-prefixed parts.
pub(super) fn texts(parts: &[&[u8]]) -> Vec<u8> {
    let text = |part: &&[u8]| [&u32::try_from(part.len()).unwrap().to_be_bytes(), *part].concat();
    parts.iter().flat_map(text).collect()
}

/// An object, a count, and length-prefixed parts.
pub(super) fn batch(namespace: &[u8], object: &[u8], count: u32, parts: &[&[u8]]) -> Vec<u8> {
    [texts(&[namespace, object]), count.to_be_bytes().to_vec(), texts(parts)].concat()
}

/// Status, expires and body of the only answer in `sent`.
pub(super) fn only_answer(sent: &Sent) -> (u8, i32, Vec<u8>) {
    let bytes = &sent.bytes;
    let length = u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
    assert_eq!(bytes.len(), 19 + length);
    assert_eq!((&bytes[4..8], bytes[16], bytes[17]), (&77_u32.to_be_bytes()[..], 40, 1));
    (bytes[18], i32::from_be_bytes(bytes[12..16].try_into().unwrap()), bytes[19..].to_vec())
}
