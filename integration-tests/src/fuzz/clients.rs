//! What clients send: Redis commands, FastDHT packages, HTTP requests, and the bytes that say which
//! of them it is.

use proxy::front::call::{Progress, Started};
use proxy::front::fastdht::{FastDhtSession, Stat, StatSource};
use proxy::front::http::{self, HttpRequest, HttpStarted};
use proxy::front::resp::decode::{Decoder, RespError};
use proxy::front::resp::environment::{ClientLine, Environment, Identity, ServerInfo};
use proxy::front::resp::session::RespSession;
use proxy::front::sniff::{Sniff, sniff as sniff_bytes};

use super::answers::Nodes;

/// Longest command, in bytes: small, so that it is reached.
const COMMAND_BYTES_MAX: usize = 16 << 10;

/// The first bytes of a connection: more of them never change what was decided.
pub(super) fn sniff(bytes: &[u8]) {
    let decided = sniff_bytes(bytes);
    for length in 0..bytes.len().min(64) {
        let before = sniff_bytes(&bytes[..length]);
        assert!(before == Sniff::Undecided || before == decided, "another at {length} bytes");
    }
}

type Commands = Vec<Vec<Vec<u8>>>;

/// Redis commands, whole and in pieces: the same commands, and the same mistake behind them.
pub(super) fn resp_commands(bytes: &[u8]) {
    let whole = commands(std::iter::once(bytes));
    let piece = 1 + bytes.len() / 5;
    assert_eq!(commands(bytes.chunks(piece)), whole, "in pieces of {piece} bytes");
}

fn commands<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Commands, Option<RespError>) {
    let mut decoder = Decoder::new(COMMAND_BYTES_MAX);
    let (mut commands, mut buffer) = (Vec::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        let mut at = 0;
        loop {
            match decoder.decode(&buffer[at..]) {
                Ok(None) => break,
                Err(refused) => return (commands, Some(refused)),
                Ok(Some(length)) => {
                    assert!(0 < length && length <= buffer.len() - at);
                    let args = decoder.args(&buffer[at..]);
                    commands.push(args.iter().map(<[u8]>::to_vec).collect());
                    at += length;
                }
            }
        }
        buffer.drain(..at);
    }
    (commands, None)
}

/// A process with nothing to tell.
struct Quiet;

impl Environment for Quiet {
    fn server(&self) -> ServerInfo {
        ServerInfo::default()
    }

    fn clients(&self) -> Vec<ClientLine> {
        vec![ClientLine::default()]
    }

    fn on_identity(&self, _client_id: u64, _identity: &Identity) {}

    fn databases(&self) -> u32 {
        16
    }

    fn namespace_of_database(&self, database: u32) -> Option<Vec<u8>> {
        (database == 1).then(|| b"files".to_vec())
    }
}

impl StatSource for Quiet {
    fn stat(&self) -> Stat {
        Stat::default()
    }
}

/// A Redis connection: every command that can be cut off is executed, with any answers.
pub(super) fn resp_session(bytes: &[u8]) {
    let mut decoder = Decoder::new(COMMAND_BYTES_MAX);
    let (mut session, mut out) = (RespSession::new(1), Vec::new());
    let mut rest = bytes;
    loop {
        let length = match decoder.decode(rest) {
            Ok(Some(length)) => length,
            Ok(None) => return,
            Err(refused) => return refused.answer(&mut out),
        };
        out.clear();
        let mut nodes = Nodes::beginning_with(length);
        let args = decoder.args(rest);
        match session.start(&args, &Quiet, &mut nodes, &mut out) {
            Started::Answered => {}
            Started::AnsweredAndClose => return,
            Started::Waiting(mut call) | Started::WaitingAlone(mut call) => loop {
                assert!(out.is_empty(), "answered before it was done");
                let (part, answer) = nodes.next().expect("who waits has asked");
                if call.on_answer(part, answer, &mut nodes, &mut out) == Progress::Done {
                    assert!(!out.is_empty(), "done without an answer");
                    break;
                }
            },
        }
        rest = &rest[length..];
    }
}

/// A FastDHT connection, in the same way.
pub(super) fn fastdht_session(bytes: &[u8]) {
    let mut session = FastDhtSession::new(COMMAND_BYTES_MAX);
    let (mut out, mut rest) = (Vec::new(), bytes);
    while let Ok(Some(package)) = session.decode(rest) {
        assert!(package.bytes() <= rest.len().min(COMMAND_BYTES_MAX));
        out.clear();
        let mut nodes = Nodes::beginning_with(package.bytes());
        match session.start(&package, &Quiet, &mut nodes, &mut out) {
            Started::Answered => assert!(out.len() >= 19, "an answer has a header"),
            Started::AnsweredAndClose => return,
            Started::Waiting(mut call) | Started::WaitingAlone(mut call) => loop {
                let (part, answer) = nodes.next().expect("who waits has asked");
                if call.on_answer(part, answer, &mut nodes, &mut out) == Progress::Done {
                    assert!(out.len() >= 19, "an answer has a header");
                    break;
                }
            },
        }
        rest = &rest[package.bytes()..];
    }
}

/// Path and query of an HTTP request.
pub(super) fn http_target(bytes: &[u8]) {
    http::check_target(&String::from_utf8_lossy(bytes));
}

/// A request: a line with method and target, lines of headers up to an empty one, the body.
pub(super) fn http_request(bytes: &[u8]) {
    let (head, body) = match bytes.windows(2).position(|two| two == b"\n\n") {
        Some(end) => (&bytes[..end], &bytes[end + 2..]),
        None => (bytes, [].as_slice()),
    };
    let mut lines = head.split(|byte| *byte == b'\n');
    let first = String::from_utf8_lossy(lines.next().unwrap_or_default());
    let (method, path_and_query) = first.split_once(' ').unwrap_or((&first, ""));
    let header = |line: &'_ [u8]| -> Option<(String, Vec<u8>)> {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = String::from_utf8(line[..colon].to_vec()).ok()?;
        Some((name, line[colon + 1..].to_vec()))
    };
    let headers: Vec<_> = lines.filter_map(header).collect();
    let headers: Vec<(&str, &[u8])> = headers.iter().map(|(n, v)| (n.as_str(), &v[..])).collect();
    let request = HttpRequest { method, path_and_query, headers: &headers, body };
    let mut nodes = Nodes::beginning_with(bytes.len());
    let answer = match http::start(&request, &mut nodes) {
        HttpStarted::Answered(answer) => answer,
        HttpStarted::Waiting(mut call) => loop {
            let (part, answer) = nodes.next().expect("who waits has asked");
            if let Some(answer) = call.on_answer(part, answer, &mut nodes) {
                break answer;
            }
        },
    };
    assert!((200..600).contains(&answer.status), "status {}", answer.status);
    let one_line = |text: &str| !text.contains(['\r', '\n']);
    assert!(answer.headers.iter().all(|(_, value)| one_line(value)), "{:?}", answer.headers);
}
