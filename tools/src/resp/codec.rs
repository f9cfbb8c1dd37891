//! RESP2 bytes. Pure: a reply is taken from the front of a buffer or, while it is incomplete, the
//! buffer is left alone. Nothing is allocated from a length field before the data is there.

/// Longest reply bulk that is accepted, in bytes.
const BULK_BYTES_MAX: usize = 64 << 20;
/// Most elements of one array.
const ARRAY_ITEMS_MAX: usize = 64 << 20;
/// Deepest nesting of arrays.
const DEPTH_MAX: usize = 8;
/// Longest line before its CRLF, in bytes.
const LINE_BYTES_MAX: usize = 64 << 10;

/// One reply of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    /// `+OK`
    Simple(Vec<u8>),
    /// `-ERR ...`
    Error(String),
    /// `:1`
    Int(i64),
    /// `$3`
    Bulk(Vec<u8>),
    /// `$-1` or `*-1`
    Nil,
    /// `*2`
    Array(Vec<Self>),
}

/// What a reply was, for callers that do not look inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Anything but an error.
    Fine,
    /// An error reply.
    Error,
}

/// The bytes are not RESP2.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CodecError {
    /// The first byte of a reply is none of `+-:$*`.
    #[error("a reply starts with byte 0x{0:02x}: is this a RESP port?")]
    Type(u8),
    /// A length or integer is not a number.
    #[error("a reply has a malformed number")]
    Number,
    /// A length is beyond what this client accepts.
    #[error("a reply is longer than this client accepts")]
    TooLong,
    /// A bulk does not end with CRLF.
    #[error("a reply's bulk does not end with CRLF")]
    Terminator,
}

/// Appends one command.
pub(crate) fn put_command(to: &mut Vec<u8>, args: &[&[u8]]) {
    put_header(to, b'*', args.len());
    for arg in args {
        put_header(to, b'$', arg.len());
        to.extend_from_slice(arg);
        to.extend_from_slice(b"\r\n");
    }
}

fn put_header(to: &mut Vec<u8>, kind: u8, count: usize) {
    to.push(kind);
    to.extend_from_slice(count.to_string().as_bytes());
    to.extend_from_slice(b"\r\n");
}

/// Takes replies off a growing buffer. A long array is kept as far as it came, so no byte of it is
/// looked at twice.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// Arrays that are not complete yet, outermost first, and how many items each still misses.
    open: Vec<(Vec<Reply>, usize)>,
}

enum Item {
    Whole(Reply),
    ArrayOf(usize),
}

impl Decoder {
    /// The next reply, or `None` while it is incomplete; moves `at` behind what was used of `from`.
    pub(crate) fn next(
        &mut self,
        from: &[u8],
        at: &mut usize,
    ) -> Result<Option<Reply>, CodecError> {
        loop {
            let start = *at;
            let mut reply = match take_item(from, at)? {
                None => {
                    *at = start;
                    return Ok(None);
                }
                Some(Item::ArrayOf(_)) if self.open.len() == DEPTH_MAX => {
                    return Err(CodecError::TooLong);
                }
                Some(Item::ArrayOf(0)) => Reply::Array(Vec::new()),
                Some(Item::ArrayOf(count)) => {
                    self.open.push((Vec::new(), count));
                    continue;
                }
                Some(Item::Whole(reply)) => reply,
            };
            loop {
                let Some((mut items, missing)) = self.open.pop() else {
                    return Ok(Some(reply));
                };
                items.push(reply);
                if missing > 1 {
                    self.open.push((items, missing - 1));
                    break;
                }
                reply = Reply::Array(items);
            }
        }
    }
}

fn take_item(from: &[u8], at: &mut usize) -> Result<Option<Item>, CodecError> {
    let Some((kind, line)) = take_line(from, at)? else {
        return Ok(None);
    };
    let reply = match kind {
        b'+' => Reply::Simple(line.to_vec()),
        b'-' => Reply::Error(String::from_utf8_lossy(line).into_owned()),
        b':' => Reply::Int(number(line)?),
        b'$' => match length(line, BULK_BYTES_MAX)? {
            None => Reply::Nil,
            Some(len) => match take_bulk(from, at, len)? {
                None => return Ok(None),
                Some(bulk) => Reply::Bulk(bulk.to_vec()),
            },
        },
        b'*' => match length(line, ARRAY_ITEMS_MAX)? {
            None => Reply::Nil,
            Some(count) => return Ok(Some(Item::ArrayOf(count))),
        },
        other => return Err(CodecError::Type(other)),
    };
    Ok(Some(Item::Whole(reply)))
}

/// What the flat reply at the front of `from` is and how many bytes it takes; it looks
/// no further than needed to step over it.
pub(crate) fn skip(from: &[u8]) -> Result<Option<(Outcome, usize)>, CodecError> {
    let mut at = 0;
    let Some((kind, line)) = take_line(from, &mut at)? else {
        return Ok(None);
    };
    let outcome = match kind {
        b'+' | b':' => Outcome::Fine,
        b'-' => Outcome::Error,
        b'$' => {
            if let Some(len) = length(line, BULK_BYTES_MAX)?
                && take_bulk(from, &mut at, len)?.is_none()
            {
                return Ok(None);
            }
            Outcome::Fine
        }
        other => return Err(CodecError::Type(other)),
    };
    Ok(Some((outcome, at)))
}

/// Reads replies, whole and in pieces, and forgets them: for fuzzing.
///
/// # Panics
/// If it matters how the bytes arrive, or what is stepped over is not what is read.
pub fn check_reply(bytes: &[u8]) {
    let whole = replies(&[bytes.len()], bytes);
    let cuts: Vec<usize> = (0..=bytes.len()).step_by(1 + bytes.len() / 5).collect();
    assert_eq!(replies(&cuts, bytes), replies(&[cuts[cuts.len() - 1]], bytes));
    if let (Ok(Some((outcome, length))), Some((first, end))) = (skip(bytes), whole.0.first()) {
        assert_eq!((outcome == Outcome::Error, length), (matches!(first, Reply::Error(_)), *end));
    }
}

/// The replies in `bytes` and where they end, looked for whenever so many bytes have arrived; and
/// what was wrong then.
fn replies(arrived: &[usize], bytes: &[u8]) -> (Vec<(Reply, usize)>, Option<CodecError>) {
    let (mut decoder, mut at, mut replies) = (Decoder::default(), 0, Vec::new());
    for length in arrived {
        loop {
            match decoder.next(&bytes[..*length], &mut at) {
                Ok(Some(reply)) => replies.push((reply, at)),
                Ok(None) => break,
                Err(error) => return (replies, Some(error)),
            }
        }
    }
    (replies, None)
}

/// The type byte and the rest of the line at `at`; moves `at` behind the CRLF.
fn take_line<'a>(from: &'a [u8], at: &mut usize) -> Result<Option<(u8, &'a [u8])>, CodecError> {
    let rest = from.get(*at..).unwrap_or_default();
    let Some(end) = rest.iter().take(LINE_BYTES_MAX).position(|b| *b == b'\r') else {
        return if rest.len() > LINE_BYTES_MAX { Err(CodecError::TooLong) } else { Ok(None) };
    };
    if rest.len() < end + 2 {
        return Ok(None);
    }
    if rest[end + 1] != b'\n' {
        return Err(CodecError::Terminator);
    }
    let Some((kind, line)) = rest[..end].split_first() else {
        return Err(CodecError::Type(b'\r'));
    };
    *at += end + 2;
    Ok(Some((*kind, line)))
}

fn take_bulk<'a>(
    from: &'a [u8],
    at: &mut usize,
    len: usize,
) -> Result<Option<&'a [u8]>, CodecError> {
    let Some(bulk) = from.get(*at..*at + len + 2) else {
        return Ok(None);
    };
    let Some(bulk) = bulk.strip_suffix(b"\r\n") else {
        return Err(CodecError::Terminator);
    };
    *at += len + 2;
    Ok(Some(bulk))
}

fn number(line: &[u8]) -> Result<i64, CodecError> {
    std::str::from_utf8(line).ok().and_then(|s| s.parse().ok()).ok_or(CodecError::Number)
}

/// A length that is at most `max`; `None` for the -1 of a nil.
fn length(line: &[u8], max: usize) -> Result<Option<usize>, CodecError> {
    match number(line)? {
        -1 => Ok(None),
        n => match usize::try_from(n) {
            Ok(n) if n <= max => Ok(Some(n)),
            Ok(_) => Err(CodecError::TooLong),
            Err(_) => Err(CodecError::Number),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_arrays_of_bulks() {
        let mut out = Vec::new();
        put_command(&mut out, &[b"SET", b"k", b""]);
        assert_eq!(out, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n");
    }

    fn decode(from: &[u8]) -> Result<Option<(Reply, usize)>, CodecError> {
        let mut at = 0;
        Ok(Decoder::default().next(from, &mut at)?.map(|reply| (reply, at)))
    }

    #[test]
    fn replies_are_taken_only_when_complete() {
        let bytes = b"*3\r\n$1\r\na\r\n*2\r\n:-7\r\n$-1\r\n+OK\r\n";
        let inner = Reply::Array(vec![Reply::Int(-7), Reply::Nil]);
        let whole =
            Reply::Array(vec![Reply::Bulk(b"a".to_vec()), inner, Reply::Simple(b"OK".to_vec())]);
        for cut in 0..bytes.len() {
            let (mut decoder, mut at) = (Decoder::default(), 0);
            assert_eq!(decoder.next(&bytes[..cut], &mut at), Ok(None), "cut at {cut}");
            assert_eq!(decoder.next(bytes, &mut at), Ok(Some(whole.clone())), "cut at {cut}");
            assert_eq!(at, bytes.len());
        }
    }

    #[test]
    fn skipping_takes_as_many_bytes_as_decoding() {
        for bytes in [&b"+OK\r\nrest"[..], b"$3\r\nabc\r\n+", b"$-1\r\n", b":12\r\n", b"-ERR x\r\n"]
        {
            let (reply, len) = decode(bytes).unwrap().unwrap();
            let (outcome, skipped) = skip(bytes).unwrap().unwrap();
            assert_eq!(skipped, len);
            assert_eq!(outcome == Outcome::Error, matches!(reply, Reply::Error(_)));
        }
    }

    #[test]
    fn what_is_not_resp_is_refused() {
        assert_eq!(decode(b"HTTP/1.1 400\r\n"), Err(CodecError::Type(b'H')));
        assert_eq!(decode(b"$x\r\n"), Err(CodecError::Number));
        assert_eq!(decode(b"$-2\r\n"), Err(CodecError::Number));
        assert_eq!(decode(b"$999999999999\r\n"), Err(CodecError::TooLong));
        assert_eq!(decode(b"$1\r\nabc"), Err(CodecError::Terminator));
        assert_eq!(decode(&b"*1\r\n".repeat(9)), Err(CodecError::TooLong));
        // A header that claims a lot does not allocate a lot.
        assert_eq!(decode(b"*60000000\r\n"), Ok(None));
    }
}
