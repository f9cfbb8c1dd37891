//! Cuts a connection's input into commands: arrays of bulk strings, or inline lines.
//!
//! One pass: what was parsed of an incomplete command is remembered as positions, so that a large
//! one is not parsed again with every read. Nothing is allocated from a length that the client
//! claims; the table of arguments grows as arguments arrive.

use thiserror::Error;

use super::args::{Args, Span};
use super::number::parse_i64;
use super::{encode, inline};

/// Most arguments of one command.
pub const ARGS_MAX: i64 = 1 << 20;
/// Longest inline command, as in Redis.
pub const INLINE_BYTES_MAX: usize = 64 << 10;
/// A count or length line that is longer holds no number.
const HEADER_BYTES_MAX: usize = 32;
/// Room for arguments that is kept between commands.
const SPANS_KEPT: usize = 1 << 10;

/// Input that is not the protocol. The connection answers `-ERR <text>` and closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RespError {
    /// The array's length is no number, or too large.
    #[error("Protocol error: invalid multibulk length")]
    ArrayLength,
    /// The string's length is no number, or the command would be over the connection's limit.
    #[error("Protocol error: invalid bulk length")]
    BulkLength,
    /// An array element that is not a bulk string.
    #[error("Protocol error: expected '$', got '{0}'")]
    NotBulk(char),
    /// A line without an end.
    #[error("Protocol error: too big inline request")]
    InlineTooBig,
    /// A quote that does not end, or with something directly behind its end.
    #[error("Protocol error: unbalanced quotes in request")]
    Quotes,
}

impl RespError {
    /// Writes the connection's last answer.
    pub fn answer(&self, out: &mut Vec<u8>) {
        encode::error(out, format!("ERR {self}").as_bytes());
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// At the start of a command.
    Fresh,
    /// In an inline command; no line end before `at`.
    Line,
    /// In an array; the length line of the next string comes.
    Header { missing: u32 },
    /// In an array; the bytes of a string and its line end come.
    Body { missing: u32, length: u32 },
    /// The arguments are complete; the next call starts a new command.
    Complete,
}

/// Takes commands off the front of a connection's buffer.
#[derive(Debug)]
pub struct Decoder {
    bytes_max: usize,
    state: State,
    /// Bytes of the buffer that are done.
    at: usize,
    spans: Vec<Span>,
    /// Resolved arguments of an inline command; unused for arrays.
    resolved: Option<Vec<u8>>,
}

impl Decoder {
    /// A decoder that refuses commands of more than `bytes_max` bytes.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        let bytes_max = bytes_max.min(u32::MAX as usize);
        Self { bytes_max, state: State::Fresh, at: 0, spans: Vec::new(), resolved: None }
    }

    /// Looks for a whole command at the front of `buf`. `Ok(Some(n))`: it is the first `n` bytes,
    /// and [`Self::args`] gives its arguments until the next call. `Ok(None)`: call again with the
    /// same front and more bytes behind it.
    ///
    /// # Errors
    /// The bytes are no command; the connection is to be closed.
    pub fn decode(&mut self, buf: &[u8]) -> Result<Option<usize>, RespError> {
        if self.state == State::Complete {
            self.restart();
        }
        loop {
            let advanced = match self.state {
                State::Fresh => self.on_start(buf)?,
                State::Line => self.on_line(buf)?,
                State::Header { missing } => self.on_header(buf, missing)?,
                State::Body { missing, length } => self.on_body(buf, missing, length),
                State::Complete => return Ok(Some(self.at)),
            };
            if !advanced {
                return Ok(None);
            }
        }
    }

    /// The arguments of the command that [`Self::decode`] found at the front of `buf`.
    #[must_use]
    pub fn args<'a>(&'a self, buf: &'a [u8]) -> Args<'a> {
        Args::new(self.resolved.as_deref().unwrap_or(buf), &self.spans)
    }

    fn restart(&mut self) {
        self.state = State::Fresh;
        self.at = 0;
        self.spans.clear();
        self.spans.shrink_to(SPANS_KEPT);
        self.resolved = None;
    }

    fn on_start(&mut self, buf: &[u8]) -> Result<bool, RespError> {
        match buf.first() {
            None => return Ok(false),
            Some(b'*') => {}
            Some(_) => {
                self.state = State::Line;
                return Ok(true);
            }
        }
        let Some(line) = header(buf, RespError::ArrayLength)? else {
            return Ok(false);
        };
        let count = parse_i64(line.number).filter(|&count| count <= ARGS_MAX);
        let count = count.ok_or(RespError::ArrayLength)?;
        self.at = line.bytes;
        // Zero and negative lengths are empty commands, as in Redis.
        self.state = match u32::try_from(count) {
            Ok(0) | Err(_) => State::Complete,
            Ok(missing) => State::Header { missing },
        };
        Ok(true)
    }

    fn on_header(&mut self, buf: &[u8], missing: u32) -> Result<bool, RespError> {
        let rest = buf.get(self.at..).unwrap_or_default();
        match rest.first() {
            None => return Ok(false),
            Some(b'$') => {}
            Some(&other) => return Err(RespError::NotBulk(char::from(other))),
        }
        let Some(line) = header(rest, RespError::BulkLength)? else {
            return Ok(false);
        };
        let length = parse_i64(line.number).and_then(|length| u32::try_from(length).ok());
        let length = length.ok_or(RespError::BulkLength)?;
        let start = self.at + line.bytes;
        if start.saturating_add(length as usize) > self.bytes_max {
            return Err(RespError::BulkLength);
        }
        self.at = start;
        self.state = State::Body { missing, length };
        Ok(true)
    }

    fn on_body(&mut self, buf: &[u8], missing: u32, length: u32) -> bool {
        let end = self.at + length as usize + 2;
        if buf.len() < end {
            return false;
        }
        let start = u32::try_from(self.at).expect("the header was checked against bytes_max");
        self.spans.push(Span { start, length });
        self.at = end;
        self.state = match missing - 1 {
            0 => State::Complete,
            missing => State::Header { missing },
        };
        true
    }

    fn on_line(&mut self, buf: &[u8]) -> Result<bool, RespError> {
        let rest = buf.get(self.at..).unwrap_or_default();
        let room = (INLINE_BYTES_MAX + 1).saturating_sub(self.at).min(rest.len());
        let rest = rest.get(..room).unwrap_or_default();
        let Some(length) = rest.iter().position(|&byte| byte == b'\n') else {
            self.at += rest.len();
            return if self.at > INLINE_BYTES_MAX {
                Err(RespError::InlineTooBig)
            } else {
                Ok(false)
            };
        };
        let end = self.at + length;
        let line = buf.get(..end).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let resolved = inline::split(line, &mut self.spans).ok_or(RespError::Quotes)?;
        self.resolved = Some(resolved);
        self.at = end + 1;
        self.state = State::Complete;
        Ok(true)
    }
}

/// A count or length line.
struct Header<'a> {
    /// What stands behind the type byte.
    number: &'a [u8],
    /// Bytes of the whole line.
    bytes: usize,
}

/// The line at the front of `buf`; `None` while its end is missing. As in Redis the end is a
/// carriage return and whatever byte follows it.
fn header(buf: &[u8], refused: RespError) -> Result<Option<Header<'_>>, RespError> {
    let line = buf.get(..HEADER_BYTES_MAX.min(buf.len())).unwrap_or_default();
    let Some(end) = line.iter().position(|&byte| byte == b'\r') else {
        return if line.len() == HEADER_BYTES_MAX { Err(refused) } else { Ok(None) };
    };
    if buf.len() < end + 2 {
        return Ok(None);
    }
    Ok(Some(Header { number: buf.get(1..end).unwrap_or_default(), bytes: end + 2 }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::harness::command;
    use super::*;

    type Commands = Vec<Vec<Vec<u8>>>;

    /// Feeds `stream` in the given pieces, as a session does.
    fn feed<'a>(
        decoder: &mut Decoder,
        pieces: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Commands, RespError> {
        let mut buf = Vec::new();
        let mut commands = Vec::new();
        for piece in pieces {
            buf.extend_from_slice(piece);
            while let Some(bytes) = decoder.decode(&buf)? {
                assert!(0 < bytes && bytes <= buf.len());
                let args: Vec<_> = decoder.args(&buf).iter().map(<[u8]>::to_vec).collect();
                assert_eq!(args.len(), decoder.args(&buf).len());
                commands.push(args);
                buf.drain(..bytes);
            }
            // What is remembered of an incomplete command is bounded by what has arrived.
            assert!(decoder.spans.len() * 5 <= buf.len() + 5);
        }
        Ok(commands)
    }

    fn whole(stream: &[u8]) -> Result<Commands, RespError> {
        feed(&mut Decoder::new(1 << 20), std::iter::once(stream))
    }

    fn words(words: &[&str]) -> Vec<Vec<u8>> {
        words.iter().map(|word| word.as_bytes().to_vec()).collect()
    }

    #[test]
    fn every_split_of_a_pipelined_stream_gives_the_same_commands() {
        let mut stream = command(&[b"SET", b"k\r\n$1", b""]);
        stream.extend_from_slice(b"PING\r\n\r\n*0\r\n*-1\r\nset \"a\\x41\\n\" 'b c'\n");
        stream.extend(command(&[b"GET", &[0xff; 40]]));
        let expected = whole(&stream).unwrap();
        assert_eq!(expected.len(), 7);
        assert_eq!(expected[0], [b"SET".to_vec(), b"k\r\n$1".to_vec(), vec![]]);
        assert_eq!(expected[1], words(&["PING"]));
        assert!(expected[2..5].iter().all(Vec::is_empty));
        assert_eq!(expected[5], words(&["set", "aA\n", "b c"]));
        for split in 0..=stream.len() {
            let (front, back) = stream.split_at(split);
            let pieces = [front, back].into_iter();
            assert_eq!(feed(&mut Decoder::new(1 << 20), pieces).unwrap(), expected, "at {split}");
        }
        let bytes = stream.chunks(1);
        assert_eq!(feed(&mut Decoder::new(1 << 20), bytes).unwrap(), expected);
    }

    #[test]
    fn errors_are_those_of_redis() {
        let text = |stream: &[u8]| whole(stream).unwrap_err().to_string();
        let array = "Protocol error: invalid multibulk length";
        assert_eq!(text(b"*x\r\n"), array);
        assert_eq!(text(b"*01\r\n"), array);
        assert_eq!(text(b"*1048577\r\n"), array);
        assert_eq!(text(b"*99999999999999999999\r\n"), array);
        assert_eq!(text(&[b'*'; 100]), array);
        let bulk = "Protocol error: invalid bulk length";
        assert_eq!(text(b"*1\r\n$-1\r\n"), bulk);
        assert_eq!(text(b"*1\r\n$abc\r\n"), bulk);
        assert_eq!(text(b"*1\r\n$1048577\r\n"), bulk);
        assert_eq!(text(b"*1\r\n$4294967296\r\n"), bulk);
        assert_eq!(text(b"*1\r\n:1\r\n"), "Protocol error: expected '$', got ':'");
        assert_eq!(text(b"get \"a\n"), "Protocol error: unbalanced quotes in request");
        let long = vec![b'a'; INLINE_BYTES_MAX + 1];
        assert_eq!(text(&long), "Protocol error: too big inline request");
    }

    #[test]
    fn the_last_answer_is_one_line() {
        let mut out = Vec::new();
        whole(b"*1\r\n\n").unwrap_err().answer(&mut out);
        assert_eq!(out, b"-ERR Protocol error: expected '$', got ' '\r\n");
    }

    #[test]
    fn lying_lengths_allocate_nothing() {
        let mut decoder = Decoder::new(usize::MAX);
        assert_eq!(decoder.decode(b"*1048576\r\n$2000000000\r\nabc"), Ok(None));
        assert_eq!(decoder.spans.capacity(), 0);
        let mut decoder = Decoder::new(64);
        let stream = b"*9\r\n$20\r\naaaaaaaaaaaaaaaaaaaa\r\n$20\r\naaaaaaaaaaaaaaaaaaaa\r\n$9\r\n";
        assert_eq!(decoder.decode(stream), Err(RespError::BulkLength));
    }

    #[test]
    fn room_for_many_arguments_is_given_back() {
        let mut decoder = Decoder::new(1 << 20);
        let many = command(&vec![&b"x"[..]; 20_000]);
        assert_eq!(decoder.decode(&many), Ok(Some(many.len())));
        assert_eq!(decoder.args(&many).len(), 20_000);
        assert_eq!(decoder.decode(b""), Ok(None));
        assert!(decoder.spans.capacity() <= SPANS_KEPT);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(
            stream in proptest::collection::vec(
                prop_oneof![
                    Just(b'*'), Just(b'$'), Just(b'\r'), Just(b'\n'), Just(b'"'), Just(b'\\'),
                    b'0'..=b'9', any::<u8>(),
                ], 0..400),
            piece in 1usize..50,
        ) {
            let outcome = feed(&mut Decoder::new(256), stream.chunks(piece));
            prop_assert_eq!(outcome, feed(&mut Decoder::new(256), std::iter::once(&stream[..])));
        }

        #[test]
        fn any_arguments_survive(
            commands in proptest::collection::vec(
                proptest::collection::vec(
                    proptest::collection::vec(any::<u8>(), 0..40), 1..6), 1..6),
            piece in 1usize..60,
        ) {
            let encode = |args: &Vec<Vec<u8>>| {
                command(&args.iter().map(Vec::as_slice).collect::<Vec<_>>())
            };
            let stream: Vec<u8> = commands.iter().flat_map(encode).collect();
            let got = feed(&mut Decoder::new(1 << 20), stream.chunks(piece)).unwrap();
            prop_assert_eq!(got, commands);
        }
    }
}
